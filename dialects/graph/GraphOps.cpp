//===- GraphOps.cpp - Operations: definitions and verifiers ----*- C++ -*-===//
//
// Verifiers of reductions, products and transformer blocks are in
// GraphOpsBlocks.cpp, folders in GraphFolds.cpp, canonicalization in
// PatternsElementwise.cpp and PatternsLayout.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/GraphOps.h"
#include "dialects/graph/VerifyHelpers.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.cpp.inc"

namespace llmc::graph {

using namespace verify;

static constexpr StringLiteral kUnaryKinds[] = {
    "neg",        "abs",      "exp",   "log",      "sqrt",      "rsqrt",
    "reciprocal", "sin",      "cos",   "tan",      "tanh",      "erf",
    "sigmoid",    "relu",     "silu",  "gelu_erf", "gelu_tanh", "quick_gelu",
    "floor",      "ceil",     "round", "not",      "is_nan",    "is_inf",
    "sign",       "softplus", "square"};
static constexpr StringLiteral kComparisons[] = {"eq", "lt", "le",
                                                 "gt", "ge", "ne"};
static constexpr StringLiteral kArithmetic[] = {"add",  "sub", "mul", "div",
                                                "pow",  "min", "max", "mod",
                                                "fmod", "and", "or",  "xor"};

//===-- Module level -----------------------------------------------------===//

LogicalResult WeightOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape()) {
    return emitOpError() << "must be a tensor with static shape, found "
                         << getType();
  }
  if (getOffset() < 0 || getLength() < 0) {
    return emitOpError() << "negative offset or length";
  }
  return success();
}

LogicalResult StateOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape()) {
    return emitOpError() << "must be a tensor with static shape, found "
                         << getType();
  }
  if (static_cast<int64_t>(getAxis()) >= type.getRank()) {
    return emitOpError() << "axis " << getAxis() << " is outside of " << type;
  }
  if (getBlockTokens() < 1) {
    return emitOpError() << "block_tokens must be positive, found "
                         << getBlockTokens();
  }
  if (type.getDimSize(getAxis()) % getBlockTokens() != 0) {
    return emitOpError() << "capacity " << type.getDimSize(getAxis())
                         << " is not a whole number of blocks of "
                         << getBlockTokens() << " tokens";
  }
  return success();
}

//===-- Leaves -----------------------------------------------------------===//

LogicalResult ConstantOp::verify() {
  auto type = cast<RankedTensorType>(getValue().getType());
  if (!getValue().isSplat() && type.getNumElements() > 16384) {
    return emitOpError() << "has " << type.getNumElements()
                         << " elements; more than 16384 belong into a "
                            "graph.weight";
  }
  return success();
}

LogicalResult FillOp::verify() {
  auto type = cast<ShapedType>(getValue().getType());
  if (type.getNumElements() != 1 ||
      type.getElementType() != typeOf(getResult()).getElementType()) {
    return emitOpError() << "'value' must be one element of the result's type, "
                            "found "
                         << type;
  }
  return success();
}

LogicalResult IotaOp::verify() {
  if (failed(verifyAxis(*this, getAxis(), getResult())) ||
      failed(verifyExpr(*this, "start", getStart()))) {
    return failure();
  }
  return verifyExpr(*this, "step", getStep());
}

LogicalResult DimValueOp::verify() {
  RankedTensorType type = typeOf(getResult());
  if (!type.hasStaticShape() ||
      type.getNumElements() != static_cast<int64_t>(getExprs().size())) {
    return emitOpError() << "has " << getExprs().size() << " expressions for "
                         << type;
  }
  for (Attribute expr : getExprs()) {
    if (auto text = dyn_cast<StringAttr>(expr)) {
      if (failed(verifyExpr(*this, "exprs", text.getValue()))) {
        return failure();
      }
    } else if (!isa<IntegerAttr>(expr)) {
      return emitOpError() << "'exprs' holds neither text nor integer: "
                           << expr;
    }
  }
  return success();
}

//===-- Element-wise -----------------------------------------------------===//

LogicalResult UnaryOp::verify() {
  return verifyOneOf(*this, "kind", getKind(), kUnaryKinds);
}

LogicalResult BinaryOp::verify() {
  bool comparison = llvm::is_contained(kComparisons, getKind());
  if (!comparison &&
      failed(verifyOneOf(*this, "kind", getKind(), kArithmetic))) {
    return failure();
  }
  if (comparison && !typeOf(getResult()).getElementType().isInteger(1)) {
    return emitOpError() << "a comparison gives i1, found "
                         << getResult().getType();
  }
  if (failed(verifySameElementType(*this, getLhs(), getRhs())) ||
      failed(verifyBroadcast(*this, getLhs()))) {
    return failure();
  }
  return verifyBroadcast(*this, getRhs());
}

LogicalResult SelectOp::verify() {
  if (!typeOf(getCond()).getElementType().isInteger(1)) {
    return emitOpError() << "the condition must be i1, found "
                         << getCond().getType();
  }
  for (Value operand : getOperands()) {
    if (failed(verifyBroadcast(*this, operand))) {
      return failure();
    }
  }
  return verifySameElementType(*this, getX(), getY());
}

LogicalResult FusedOp::verify() {
  Block &block = getBody().front();
  if (block.getNumArguments() != getInputs().size()) {
    return emitOpError() << "has " << getInputs().size() << " inputs and "
                         << block.getNumArguments() << " block arguments";
  }
  for (auto [input, argument] : llvm::zip(getInputs(), block.getArguments())) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type || type.getRank() != 0 ||
        type.getElementType() != typeOf(input).getElementType()) {
      return emitOpError() << "block argument " << argument.getType()
                           << " for the input " << input.getType();
    }
    if (failed(verifyBroadcast(*this, input))) {
      return failure();
    }
  }
  for (Operation &op : block) {
    if (!isa<UnaryOp, BinaryOp, SelectOp, CastOp, ConstantOp, YieldOp>(op)) {
      return emitOpError() << "'" << op.getName() << "' is not allowed inside";
    }
    for (Type type : op.getResultTypes()) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (!tensor || tensor.getRank() != 0) {
        return emitOpError() << "'" << op.getName() << "' inside is not of "
                             << "rank 0: " << type;
      }
    }
  }
  auto yield = dyn_cast<YieldOp>(block.back());
  if (!yield || typeOf(yield.getValue()).getElementType() !=
                    typeOf(getResult()).getElementType()) {
    return emitOpError() << "must end with a graph.yield of the result's "
                            "element type";
  }
  return success();
}

//===-- Layout and indexing ----------------------------------------------===//

LogicalResult ReshapeOp::verify() {
  if (failed(verifySameElementType(*this, getX(), getResult()))) {
    return failure();
  }
  RankedTensorType from = typeOf(getX()), to = typeOf(getResult());
  if (from.hasStaticShape() && to.hasStaticShape() &&
      from.getNumElements() != to.getNumElements()) {
    return emitOpError() << "changes the number of elements: " << from << " to "
                         << to;
  }
  return success();
}

LogicalResult TransposeOp::verify() {
  RankedTensorType from = typeOf(getX()), to = typeOf(getResult());
  ArrayRef<int64_t> perm = getPerm();
  SmallVector<bool> seen(perm.size());
  bool valid = static_cast<int64_t>(perm.size()) == from.getRank() &&
               to.getRank() == from.getRank();
  for (size_t i = 0; valid && i < perm.size(); ++i) {
    valid = perm[i] >= 0 && perm[i] < from.getRank() && !seen[perm[i]];
    if (valid) {
      seen[perm[i]] = true;
      if (differ(to.getDimSize(i), from.getDimSize(perm[i]))) {
        return emitOpError()
               << "result dimension " << i << " of " << to
               << " is not dimension " << perm[i] << " of " << from;
      }
    }
  }
  if (!valid) {
    return emitOpError() << "'perm' is not a permutation of the dimensions of "
                         << from;
  }
  return success();
}

LogicalResult BroadcastOp::verify() { return verifyBroadcast(*this, getX()); }

LogicalResult SliceOp::verify() {
  int64_t rank = typeOf(getX()).getRank();
  if (static_cast<int64_t>(getStarts().size()) != rank ||
      static_cast<int64_t>(getSteps().size()) != rank ||
      typeOf(getResult()).getRank() != rank) {
    return emitOpError() << "needs one start and one step for each of " << rank
                         << " dimensions";
  }
  for (auto [start, step] : llvm::zip(getStarts(), getSteps())) {
    if (failed(verifyExpr(*this, "starts", cast<StringAttr>(start).strref()))) {
      return failure();
    }
    if (step == 0) {
      return emitOpError("has a step of 0");
    }
  }
  return success();
}

LogicalResult ConcatOp::verify() {
  if (getInputs().empty()) {
    return emitOpError("has no inputs");
  }
  if (failed(verifyAxis(*this, getAxis(), getResult()))) {
    return failure();
  }
  RankedTensorType to = typeOf(getResult());
  for (Value input : getInputs()) {
    RankedTensorType from = typeOf(input);
    bool fits = from.getRank() == to.getRank() &&
                from.getElementType() == to.getElementType();
    for (int64_t i = 0; fits && i < to.getRank(); ++i) {
      fits = i == static_cast<int64_t>(getAxis()) ||
             !differ(from.getDimSize(i), to.getDimSize(i));
    }
    if (!fits) {
      return emitOpError() << "input " << from << " does not fit to the result "
                           << to;
    }
  }
  return success();
}

LogicalResult GatherOp::verify() {
  if (getWeightLayout() != "nk") {
    if (getWeightLayout() != "kn" || getAxis() != 0 ||
        !getData().getDefiningOp<LoadWeightOp>() ||
        typeOf(getData()).getRank() != 2) {
      return emitOpError() << "weight_layout '" << getWeightLayout()
                           << "' needs axis 0 of a graph.load_weight of rank 2";
    }
  }
  if (failed(verifyAxis(*this, getAxis(), getData()))) {
    return failure();
  }
  return verifyRank(*this, "the result", getResult(),
                    typeOf(getData()).getRank() +
                        typeOf(getIndices()).getRank() - 1);
}

LogicalResult TopKOp::verify() { return verifyExpr(*this, "k", getK()); }

} // namespace llmc::graph
