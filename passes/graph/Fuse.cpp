//===- Fuse.cpp - Bias, activation and element-wise trees ------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_FUSEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

constexpr size_t kMaxInputs = 16;
constexpr size_t kMaxInstructions = 64;

/// linear x + b -> linear with bias.
template <typename LinearT> struct FuseBias : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() != "add") {
      return failure();
    }
    for (auto [left, right] :
         {std::pair<Value, Value>{op.getLhs(), op.getRhs()},
          {op.getRhs(), op.getLhs()}}) {
      auto linear = left.getDefiningOp<LinearT>();
      bool leaf =
          isa_and_nonnull<LoadWeightOp, ConstantOp>(right.getDefiningOp());
      if (!linear || linear.getBias() || linear.getActivation() != "none" ||
          !linear->hasOneUse() || !leaf || rankOf(right) != 1 ||
          getDims(left) != getDims(op.getResult()) ||
          getDim(right, 0) != getDims(left).back()) {
        continue;
      }
      rewriter.setInsertionPoint(op);
      auto *fused = rewriter.clone(*linear.getOperation());
      auto typed = cast<LinearT>(fused);
      rewriter.modifyOpInPlace(typed,
                               [&] { typed.getBiasMutable().assign(right); });
      rewriter.replaceOp(op, typed.getResult());
      rewriter.eraseOp(linear);
      return success();
    }
    return failure();
  }
};

/// act(linear x) -> linear with activation.
template <typename LinearT> struct FuseActivation : OpRewritePattern<UnaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(UnaryOp op,
                                PatternRewriter &rewriter) const override {
    static constexpr StringLiteral kinds[] = {
        "relu",       "silu",    "gelu_erf", "gelu_tanh",
        "quick_gelu", "sigmoid", "tanh"};
    auto linear = op.getX().getDefiningOp<LinearT>();
    if (!linear || !linear->hasOneUse() || linear.getActivation() != "none" ||
        !llvm::is_contained(kinds, op.getKind())) {
      return failure();
    }
    rewriter.modifyOpInPlace(linear,
                             [&] { linear.setActivation(op.getKind()); });
    rewriter.replaceOp(op, linear.getResult());
    return success();
  }
};

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
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseBias<LinearOp>, FuseBias<QuantLinearOp>,
                 FuseActivation<LinearOp>, FuseActivation<QuantLinearOp>>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      return signalPassFailure();
    }
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
