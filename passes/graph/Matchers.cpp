//===- Matchers.cpp - Small questions that the graph passes ask -*- C++ -*-===//

#include "passes/graph/Matchers.h"

#include "dialects/graph/ConstantFold.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <cmath>

using namespace mlir;

namespace llmc::graph {

Value skipFloatCasts(Value value) {
  while (auto cast = value.getDefiningOp<CastOp>()) {
    if (!isa<FloatType>(elementOf(cast.getX())) ||
        !isa<FloatType>(elementOf(value))) {
      break;
    }
    value = cast.getX();
  }
  return value;
}

Value skipWideningCasts(Value value) {
  while (auto cast = value.getDefiningOp<CastOp>()) {
    auto from = dyn_cast<FloatType>(elementOf(cast.getX()));
    auto to = dyn_cast<FloatType>(elementOf(value));
    if (!from || !to || from.getWidth() >= to.getWidth()) {
      break;
    }
    value = cast.getX();
  }
  return value;
}

std::optional<double> scalarOf(Value value) {
  Operation *op = value.getDefiningOp();
  while (isa_and_nonnull<CastOp, ReshapeOp, BroadcastOp>(op)) {
    bool truncates = isa<CastOp>(op) && !isa<FloatType>(elementOf(value)) &&
                     isa<FloatType>(elementOf(op->getOperand(0)));
    if (truncates) {
      return std::nullopt;
    }
    value = op->getOperand(0);
    op = value.getDefiningOp();
  }
  Attribute attr;
  if (auto constant = dyn_cast_or_null<ConstantOp>(op)) {
    attr = constant.getValue();
  } else if (auto fill = dyn_cast_or_null<FillOp>(op)) {
    attr = fill.getValue();
  }
  auto dense = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!dense || !dense.isSplat()) {
    return std::nullopt;
  }
  std::optional<Elements> elements = readElements(dense);
  if (!elements) {
    return std::nullopt;
  }
  return elements->isFloat ? elements->floats[0]
                           : static_cast<double>(elements->integers[0]);
}

bool nearly(double a, double b) {
  return std::fabs(a - b) <= 1e-4 * std::fmax(std::fabs(a), std::fabs(b));
}

UnaryOp unaryOf(Value value, StringRef kind) {
  auto op = value.getDefiningOp<UnaryOp>();
  return op && op.getKind() == kind ? op : UnaryOp();
}

BinaryOp binaryOf(Value value, StringRef kind) {
  auto op = value.getDefiningOp<BinaryOp>();
  return op && op.getKind() == kind ? op : BinaryOp();
}

std::optional<ScalarOperation> scalarOperation(Value value, StringRef kind) {
  auto op = value.getDefiningOp<BinaryOp>();
  if (!op) {
    return std::nullopt;
  }
  if (op.getKind() == kind) {
    if (std::optional<double> scalar = scalarOf(op.getRhs())) {
      return ScalarOperation{op.getLhs(), *scalar};
    }
    if (std::optional<double> scalar = scalarOf(op.getLhs())) {
      return ScalarOperation{op.getRhs(), *scalar};
    }
  }
  std::optional<double> scalar = scalarOf(op.getRhs());
  if (scalar && kind == "mul" && op.getKind() == "div" && *scalar != 0) {
    return ScalarOperation{op.getLhs(), 1.0 / *scalar};
  }
  if (scalar && kind == "add" && op.getKind() == "sub") {
    return ScalarOperation{op.getLhs(), -*scalar};
  }
  return std::nullopt;
}

Part partOf(Value value) {
  Part region{value, {}, getDims(value)};
  auto slice = value.getDefiningOp<SliceOp>();
  if (slice &&
      llvm::all_of(slice.getSteps(), [](int64_t step) { return step == 1; })) {
    region.base = slice.getX();
    for (Attribute start : slice.getStarts()) {
      region.starts.push_back(exprAttr(cast<StringAttr>(start)));
    }
  } else {
    region.starts.assign(region.dims.size(), DimExpr(0));
  }
  return region;
}

Value reshapeTo(OpBuilder &builder, Location loc, Value value,
                const Dims &dims) {
  if (getDims(value) == dims) {
    return value;
  }
  if (auto inner = value.getDefiningOp<ReshapeOp>()) {
    return reshapeTo(builder, loc, inner.getX(), dims);
  }
  return createOp<ReshapeOp>(builder, loc, dims, elementOf(value), value);
}

void eraseDeadOps(Operation *root) {
  SmallVector<Operation *> ops;
  root->walk([&](Operation *op) { ops.push_back(op); });
  // Readers come after what they read.
  for (Operation *op : llvm::reverse(ops)) {
    if (op != root && isOpTriviallyDead(op)) {
      op->erase();
    }
  }
}

Value transposeBy(OpBuilder &builder, Location loc, Value value,
                  ArrayRef<int64_t> perm) {
  SmallVector<int64_t> total(perm);
  if (auto inner = value.getDefiningOp<TransposeOp>()) {
    for (int64_t &dim : total) {
      dim = inner.getPerm()[dim];
    }
    value = inner.getX();
  }
  Dims from = getDims(value), dims;
  bool identity = true;
  for (auto [index, dim] : llvm::enumerate(total)) {
    dims.push_back(from[dim]);
    identity &= dim == static_cast<int64_t>(index);
  }
  if (identity) {
    return value;
  }
  return createOp<TransposeOp>(builder, loc, dims, elementOf(value), value,
                               total);
}

} // namespace llmc::graph
