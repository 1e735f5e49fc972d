//===- LastLogits.cpp - Logits of the last position only -------*- C++ -*-===//
//
// Generation needs one row of logits. The row is cut from the result and the
// cut moves up: an op of which every reader wants that one row computes that
// row alone. It stops where a reader wants more (keys and values of a layer).
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include <map>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_LASTLOGITSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// operand number -> the axis of which it needs one row only. Operands that
/// are not listed are needed as they are.
using Needs = SmallVector<std::pair<unsigned, int64_t>>;

/// What op needs for row `rows - 1` of `axis` of its result; nullopt if that
/// cannot be computed alone.
std::optional<Needs> needsOf(Operation *op, int64_t axis, DimExpr rows) {
  Value result = op->getResult(0);
  int64_t rank = rankOf(result);
  if (isa<UnaryOp, CastOp>(op)) {
    return Needs{{0, axis}};
  }
  if (isa<BinaryOp, SelectOp>(op)) {
    Needs needs;
    for (OpOperand &operand : op->getOpOperands()) {
      int64_t own = axis - (rank - rankOf(operand.get()));
      if (own >= 0 && getDim(operand.get(), own) != DimExpr(1)) {
        needs.push_back({operand.getOperandNumber(), own});
      }
    }
    return needs;
  }
  if (isa<LinearOp, QuantLinearOp>(op)) {
    return axis < rank - 1 ? std::optional(Needs{{0, axis}}) : std::nullopt;
  }
  if (auto matmul = dyn_cast<MatMulOp>(op)) {
    if (axis != rank - 2 || matmul.getTransA()) {
      return std::nullopt;
    }
    return Needs{{0, rankOf(matmul.getA()) - 2}};
  }
  if (auto norm = dyn_cast<RmsNormOp>(op)) {
    bool outside = axis < rank - static_cast<int64_t>(norm.getTrailing());
    return outside ? std::optional(Needs{{0, axis}}) : std::nullopt;
  }
  if (auto norm = dyn_cast<LayerNormOp>(op)) {
    bool outside = axis < rank - static_cast<int64_t>(norm.getTrailing());
    return outside ? std::optional(Needs{{0, axis}}) : std::nullopt;
  }
  if (auto softmax = dyn_cast<SoftmaxOp>(op)) {
    bool other = axis != static_cast<int64_t>(softmax.getAxis());
    return other ? std::optional(Needs{{0, axis}}) : std::nullopt;
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    return Needs{{0, transpose.getPerm()[axis]}};
  }
  if (auto reshape = dyn_cast<ReshapeOp>(op)) {
    // The dims before the axis are the same, units apart, and so is the axis.
    Dims from = getDims(reshape.getX()), to = getDims(result);
    size_t at = 0;
    for (int64_t i = 0; i <= axis; ++i) {
      if (to[i] == DimExpr(1)) {
        continue;
      }
      while (at < from.size() && from[at] == DimExpr(1)) {
        ++at;
      }
      if (at == from.size() || from[at] != to[i]) {
        return std::nullopt;
      }
      if (i == axis) {
        return Needs{{0, static_cast<int64_t>(at)}};
      }
      ++at;
    }
    return std::nullopt;
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    bool whole =
        slice.getSteps()[axis] == 1 &&
        exprAttr(cast<StringAttr>(slice.getStarts()[axis])) == DimExpr(0) &&
        getDim(slice.getX(), axis) == rows;
    return whole ? std::optional(Needs{{0, axis}}) : std::nullopt;
  }
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    if (axis == static_cast<int64_t>(concat.getAxis())) {
      return std::nullopt;
    }
    Needs needs;
    for (unsigned i = 0; i < op->getNumOperands(); ++i) {
      needs.push_back({i, axis});
    }
    return needs;
  }
  if (auto rope = dyn_cast<RopeOp>(op)) {
    if (axis != (rope.getLayout() == "bhsd" ? 2 : 1)) {
      return std::nullopt;
    }
    return Needs{{0, axis},
                 {1, rankOf(rope.getCos()) - 2},
                 {2, rankOf(rope.getSin()) - 2}};
  }
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    // Causal and window are counted from the last row: still the same.
    if (axis != (attention.getQLayout() == "bhsd" ? 2 : 1)) {
      return std::nullopt;
    }
    Needs needs{{0, axis}};
    if (Value bias = attention.getBias(); bias && rankOf(bias) >= 2) {
      int64_t own = rankOf(bias) - 2;
      if (getDim(bias, own) != DimExpr(1)) {
        needs.push_back({3, own});
      }
    }
    return needs;
  }
  return std::nullopt;
}

/// Row rows - 1 of `axis`.
Value lastRow(OpBuilder &builder, Location loc, Value value, int64_t axis) {
  Dims dims = getDims(value);
  SmallVector<Attribute> starts(dims.size(), builder.getStringAttr("0"));
  starts[axis] = exprToAttr(builder.getContext(), dims[axis] - DimExpr(1));
  dims[axis] = 1;
  return createOp<SliceOp>(builder, loc, dims, elementOf(value), value,
                           builder.getArrayAttr(starts),
                           SmallVector<int64_t>(dims.size(), 1));
}

void keepLastRow(func::FuncOp entry, unsigned result) {
  auto exit = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  OpOperand &root = exit->getOpOperand(result);
  if (rankOf(root.get()) != 3 || getDim(root.get(), 1) == DimExpr(1)) {
    return;
  }
  // Readers before what they read: each op sees whether all want one row.
  std::map<OpOperand *, int64_t> rowUses{{&root, 1}};
  std::map<Operation *, int64_t> rowOps;
  SmallVector<Operation *> ops;
  for (Operation &op : entry.getBody().front()) {
    ops.push_back(&op);
  }
  for (Operation *op : llvm::reverse(ops)) {
    if (op->getNumResults() != 1 || op->use_empty()) {
      continue;
    }
    std::optional<int64_t> axis;
    bool all = true;
    for (OpOperand &use : op->getResult(0).getUses()) {
      auto it = rowUses.find(&use);
      all = all && it != rowUses.end() && (!axis || *axis == it->second);
      if (all) {
        axis = it->second;
      }
    }
    if (!all) {
      continue;
    }
    std::optional<Needs> needs =
        needsOf(op, *axis, getDim(op->getResult(0), *axis));
    if (!needs) {
      continue;
    }
    rowOps[op] = *axis;
    for (auto [operand, own] : *needs) {
      rowUses[&op->getOpOperand(operand)] = own;
    }
  }
  // Producers first. What is not computed as one row is cut.
  std::map<std::pair<void *, int64_t>, Value> cuts;
  OpBuilder builder(entry.getContext());
  auto cut = [&](OpOperand &use, int64_t axis) {
    Operation *producer = use.get().getDefiningOp();
    if (producer && rowOps.count(producer)) {
      return;
    }
    Value &row = cuts[{use.get().getAsOpaquePointer(), axis}];
    if (!row) {
      if (producer) {
        builder.setInsertionPointAfter(producer);
      } else {
        builder.setInsertionPointToStart(&entry.getBody().front());
      }
      row = lastRow(builder, use.getOwner()->getLoc(), use.get(), axis);
    }
    use.set(row);
  };
  for (Operation *op : ops) {
    auto it = rowOps.find(op);
    if (it == rowOps.end()) {
      continue;
    }
    for (OpOperand &operand : op->getOpOperands()) {
      auto use = rowUses.find(&operand);
      if (use != rowUses.end()) {
        cut(operand, use->second);
      }
    }
    Dims dims = getDims(op->getResult(0));
    dims[it->second] = 1;
    setDims(op, 0, dims);
  }
  cut(root, 1);
  SmallVector<Type> results(entry.getFunctionType().getResults());
  results[result] = root.get().getType();
  entry.setType(
      FunctionType::get(entry.getContext(), entry.getArgumentTypes(), results));
  if (entry.getResultAttr(result, kArgDimsAttr)) {
    entry.setResultAttr(result, kArgDimsAttr,
                        dimsToAttr(entry.getContext(), getDims(root.get())));
  }
}

struct LastLogits : llmc::impl::LastLogitsPassBase<LastLogits> {
  using LastLogitsPassBase::LastLogitsPassBase;

  void runOnOperation() override {
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      for (unsigned i = 0; i < entry.getNumResults(); ++i) {
        std::optional<Port> port = getResultPort(entry, i);
        if (port && port->role == "logits") {
          keepLastRow(entry, i);
        }
      }
    }
  }
};
} // namespace
