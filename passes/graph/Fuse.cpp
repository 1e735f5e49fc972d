//===- Fuse.cpp - Element-wise trees ---------------------------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_FUSEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

constexpr size_t kMaxInputs = 16;
constexpr size_t kMaxInstructions = 64;

bool isElementwise(Operation *op) {
  return isa_and_nonnull<UnaryOp, BinaryOp, SelectOp, CastOp>(op) &&
         !op->getParentOfType<FusedOp>();
}

/// The value of a splat, to stand in the region as a constant.
DenseElementsAttr scalarConstant(Value value) {
  Attribute attr;
  if (auto constant = value.getDefiningOp<ConstantOp>()) {
    attr = constant.getValue();
  } else if (auto fill = value.getDefiningOp<FillOp>()) {
    attr = fill.getValue();
  }
  auto dense = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!dense || !dense.isSplat()) {
    return {};
  }
  return dense.resizeSplat(RankedTensorType::get({}, dense.getElementType()));
}

/// The op and those of its producers that only it reads and that have its
/// dimensions, in program order.
SmallVector<Operation *> growTree(Operation *root) {
  Dims dims = getDims(root->getResult(0));
  SetVector<Operation *> tree;
  tree.insert(root);
  auto countInputs = [&] {
    SetVector<Value> inputs;
    for (Operation *op : tree) {
      for (Value operand : op->getOperands()) {
        if (!tree.contains(operand.getDefiningOp()) &&
            !scalarConstant(operand)) {
          inputs.insert(operand);
        }
      }
    }
    return inputs.size();
  };
  // Grown from readers to producers: a producer is taken once all its readers
  // are inside.
  bool grew = true;
  while (grew) {
    grew = false;
    for (size_t i = 0; i < tree.size(); ++i) {
      for (Value operand : tree[i]->getOperands()) {
        Operation *producer = operand.getDefiningOp();
        bool inside =
            producer && isElementwise(producer) && !tree.contains(producer) &&
            producer->getBlock() == root->getBlock() &&
            getDims(operand) == dims &&
            llvm::all_of(producer->getUsers(),
                         [&](Operation *user) { return tree.contains(user); });
        if (!inside || tree.size() >= kMaxInstructions) {
          continue;
        }
        tree.insert(producer);
        if (countInputs() > kMaxInputs) {
          tree.remove(producer);
          continue;
        }
        grew = true;
      }
    }
  }
  SmallVector<Operation *> ops(tree.begin(), tree.end());
  llvm::sort(ops,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ops;
}

void makeFused(IRRewriter &rewriter, ArrayRef<Operation *> ops) {
  Operation *root = ops.back();
  Location loc = root->getLoc();
  DenseSet<Operation *> inside(ops.begin(), ops.end());
  SetVector<Value> inputs;
  for (Operation *op : ops) {
    for (Value operand : op->getOperands()) {
      if (!inside.contains(operand.getDefiningOp()) &&
          !scalarConstant(operand)) {
        inputs.insert(operand);
      }
    }
  }
  rewriter.setInsertionPoint(root);
  auto fused =
      createOp<FusedOp>(rewriter, loc, getDims(root->getResult(0)),
                        elementOf(root->getResult(0)), inputs.getArrayRef());
  keepName(root, fused);
  Block *body = rewriter.createBlock(&fused.getBody());
  IRMapping mapping;
  auto scalar = [](Value value) {
    return RankedTensorType::get({}, elementOf(value));
  };
  for (Value input : inputs) {
    mapping.map(input, body->addArgument(scalar(input), loc));
  }
  rewriter.setInsertionPointToEnd(body);
  for (Operation *op : ops) {
    for (Value operand : op->getOperands()) {
      if (!mapping.contains(operand)) {
        DenseElementsAttr value = scalarConstant(operand);
        mapping.map(operand,
                    ConstantOp::create(rewriter, loc, value.getType(), value)
                        .getResult());
      }
    }
    Operation *copy = rewriter.clone(*op, mapping);
    copy->getResult(0).setType(scalar(op->getResult(0)));
    copy->removeAttr(kDimsAttr);
    copy->removeAttr(kNameAttr);
  }
  YieldOp::create(rewriter, loc, mapping.lookup(root->getResult(0)));
  rewriter.replaceOp(root, fused);
  for (Operation *op : llvm::reverse(ops.drop_back())) {
    rewriter.eraseOp(op);
  }
}

struct Fuse : llmc::impl::FusePassBase<Fuse> {
  using FusePassBase::FusePassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      if (entry.empty()) {
        continue;
      }
      // Roots from the end: a tree is as large as it can be.
      SmallVector<Operation *> ops;
      for (Operation &op : entry.getBody().front()) {
        ops.push_back(&op);
      }
      DenseSet<Operation *> gone;
      for (Operation *op : llvm::reverse(ops)) {
        if (gone.contains(op) || !isElementwise(op)) {
          continue;
        }
        SmallVector<Operation *> tree = growTree(op);
        if (tree.size() > 1) {
          gone.insert(tree.begin(), tree.end());
          makeFused(rewriter, tree);
        }
      }
    }
    eraseDeadOps(getOperation());
  }
};
} // namespace
