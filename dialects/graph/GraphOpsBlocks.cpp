//===- GraphOpsBlocks.cpp - Verifiers of the larger ops --------*- C++ -*-===//
//
// Reductions, norms, products, transformer blocks and states' readers.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/GraphOps.h"
#include "dialects/graph/VerifyHelpers.h"

using namespace mlir;

namespace llmc::graph {

using namespace verify;

static constexpr StringLiteral kReduceKinds[] = {"sum", "mean", "max",
                                                 "min", "prod", "sum_square",
                                                 "l2",  "l1",   "log_sum_exp"};
static constexpr StringLiteral kActivations[] = {
    "none",      "relu",       "silu",    "gelu_erf",
    "gelu_tanh", "quick_gelu", "sigmoid", "tanh"};

//===-- Reductions and norms ---------------------------------------------===//

LogicalResult ReduceOp::verify() {
  if (failed(verifyOneOf(*this, "kind", getKind(), kReduceKinds))) {
    return failure();
  }
  int64_t rank = typeOf(getX()).getRank(), previous = -1;
  for (int64_t axis : getAxes()) {
    if (axis <= previous || axis >= rank) {
      return emitOpError() << "axes must ascend within rank " << rank;
    }
    previous = axis;
  }
  int64_t expected = getKeepdims() ? rank : rank - getAxes().size();
  return verifyRank(*this, "the result", getResult(), expected);
}

LogicalResult SoftmaxOp::verify() {
  return verifyAxis(*this, getAxis(), getX());
}

static LogicalResult verifyTrailing(Operation *op, Value x, Value parameter,
                                    int64_t trailing) {
  int64_t rank = typeOf(x).getRank();
  if (trailing < 1 || trailing > rank) {
    return op->emitOpError()
           << "trailing " << trailing << " is outside of " << x.getType();
  }
  if (parameter && typeOf(parameter).getRank() > trailing) {
    return op->emitOpError() << "parameter " << parameter.getType()
                             << " has more than " << trailing << " dimensions";
  }
  return success();
}

LogicalResult LayerNormOp::verify() {
  if (failed(verifyTrailing(*this, getX(), getScale(), getTrailing()))) {
    return failure();
  }
  return verifyTrailing(*this, getX(), getBias(), getTrailing());
}

LogicalResult RmsNormOp::verify() {
  return verifyTrailing(*this, getX(), getScale(), getTrailing());
}

//===-- Products ---------------------------------------------------------===//

LogicalResult MatMulOp::verify() {
  RankedTensorType a = typeOf(getA()), b = typeOf(getB());
  if (a.getRank() < 2 || b.getRank() < 2) {
    return emitOpError() << "operands must have rank 2 or more: " << a
                         << " and " << b;
  }
  int64_t k = a.getDimSize(a.getRank() - (getTransA() ? 2 : 1));
  int64_t otherK = b.getDimSize(b.getRank() - (getTransB() ? 1 : 2));
  if (differ(k, otherK)) {
    return emitOpError() << "inner dimensions differ: " << k << " and "
                         << otherK;
  }
  return verifyRank(*this, "the result", getResult(),
                    std::max(a.getRank(), b.getRank()));
}

/// That `weight` is a matrix from a graph.load_weight (or, for `splats`, a
/// splat constant) that takes x to the result.
static LogicalResult verifyMatrix(Operation *op, Value x, Value weight,
                                  StringRef layout, Value result, bool splats) {
  auto constant = weight.getDefiningOp<ConstantOp>();
  if (!weight.getDefiningOp<LoadWeightOp>() &&
      !(splats && constant && constant.getValue().isSplat())) {
    return op->emitOpError("the weight must be a graph.load_weight")
           << (splats ? " or a splat constant" : "");
  }
  if (failed(verifyRank(op, "the weight", weight, 2))) {
    return failure();
  }
  if (layout != "nk" && layout != "kn") {
    return op->emitOpError() << "unknown weight_layout '" << layout << "'";
  }
  RankedTensorType matrix = typeOf(weight);
  int64_t n = matrix.getDimSize(layout == "nk" ? 0 : 1);
  int64_t k = matrix.getDimSize(layout == "nk" ? 1 : 0);
  RankedTensorType from = typeOf(x), to = typeOf(result);
  if (from.getRank() < 1 || to.getRank() != from.getRank()) {
    return op->emitOpError()
           << "the result " << to << " does not have the rank of " << from;
  }
  if (differ(from.getShape().back(), k) || differ(to.getShape().back(), n)) {
    return op->emitOpError() << "weight is " << n << " by " << k << ", x is "
                             << from << ", the result " << to;
  }
  return success();
}

static LogicalResult verifyBias(Operation *op, Value bias, Value result) {
  int64_t n = typeOf(result).getShape().back();
  if (typeOf(bias).getRank() != 1 || differ(typeOf(bias).getDimSize(0), n)) {
    return op->emitOpError()
           << "bias " << bias.getType() << " is not [" << n << "]";
  }
  return success();
}

LogicalResult LinearOp::verify() {
  if (failed(verifyMatrix(*this, getX(), getWeight(), getWeightLayout(),
                          getResult(), /*splats=*/true)) ||
      failed(verifyOneOf(*this, "activation", getActivation(), kActivations)) ||
      (getBias() && failed(verifyBias(*this, getBias(), getResult())))) {
    return failure();
  }
  if (getResidual() && getResidual().getType() != getResult().getType()) {
    return emitOpError() << "residual " << getResidual().getType()
                         << " is not of the result's type "
                         << getResult().getType();
  }
  return success();
}

LogicalResult GatedLinearOp::verify() {
  return failure(
      failed(verifyMatrix(*this, getX(), getGate(), getGateLayout(),
                          getResult(), /*splats=*/false)) ||
      failed(verifyMatrix(*this, getX(), getUp(), getUpLayout(), getResult(),
                          /*splats=*/false)) ||
      failed(verifyOneOf(*this, "activation", getActivation(), kActivations)));
}

LogicalResult SplitLinearOp::verify() {
  size_t parts = getWeights().size();
  if (parts == 0 || getResults().size() != parts ||
      getLayouts().size() != parts ||
      (!getBiases().empty() && getBiases().size() != parts)) {
    return emitOpError() << "has " << parts << " weights, "
                         << getLayouts().size() << " layouts, "
                         << getBiases().size() << " biases and "
                         << getResults().size() << " results";
  }
  for (size_t i = 0; i < parts; ++i) {
    auto layout = cast<StringAttr>(getLayouts()[i]).getValue();
    if (failed(verifyMatrix(*this, getX(), getWeights()[i], layout,
                            getResults()[i], /*splats=*/false)) ||
        (!getBiases().empty() &&
         failed(verifyBias(*this, getBiases()[i], getResults()[i])))) {
      return failure();
    }
  }
  return verifyOneOf(*this, "activation", getActivation(), kActivations);
}

static LogicalResult verifyPacked(Operation *op, Value codes, StringRef format,
                                  int64_t bits, int64_t k, int64_t blockSize) {
  if (!codes.getDefiningOp<LoadWeightOp>() &&
      !codes.getDefiningOp<ConstantOp>()) {
    return op->emitOpError("the codes must be a graph.load_weight or constant");
  }
  static constexpr StringLiteral formats[] = {"nbits", "qdq_nk", "qdq_kn",
                                              "int8"};
  if (failed(verifyOneOf(op, "format", format, formats))) {
    return failure();
  }
  if (bits != 4 && bits != 8) {
    return op->emitOpError() << "bits must be 4 or 8, found " << bits;
  }
  if (blockSize < 1 || k < 1) {
    return op->emitOpError() << "block_size " << blockSize << " and k " << k
                             << " must be positive";
  }
  return success();
}

LogicalResult QuantLinearOp::verify() {
  if (failed(verifyPacked(*this, getCodes(), getFormat(), getBits(), getK(),
                          getBlockSize())) ||
      failed(verifyOneOf(*this, "activation", getActivation(), kActivations))) {
    return failure();
  }
  if (!getScales() && getFormat() != "int8") {
    return emitOpError("has no scales");
  }
  if (differ(typeOf(getX()).getShape().back(), getK()) ||
      differ(typeOf(getResult()).getShape().back(), getN())) {
    return emitOpError() << "x is " << getX().getType() << " and the result "
                         << getResult().getType() << " for n " << getN()
                         << ", k " << getK();
  }
  return success();
}

LogicalResult QuantGatherOp::verify() {
  if (failed(verifyPacked(*this, getCodes(), getFormat(), getBits(), getK(),
                          getBlockSize()))) {
    return failure();
  }
  if (!getScales() && getFormat() != "int8") {
    return emitOpError("has no scales");
  }
  return verifyRank(*this, "the result", getResult(),
                    typeOf(getIndices()).getRank() + 1);
}

//===-- Transformer blocks -----------------------------------------------===//

LogicalResult RopeOp::verify() {
  if (getLayout() != "bhsd" && getLayout() != "bshd") {
    return emitOpError() << "unknown layout '" << getLayout() << "'";
  }
  if (failed(verifyRank(*this, "x", getX(), 4))) {
    return failure();
  }
  int64_t rotary = getRotaryDim(), features = typeOf(getX()).getDimSize(3);
  if (rotary < 2 || rotary % 2 != 0 ||
      (!ShapedType::isDynamic(features) && rotary > features)) {
    return emitOpError() << "rotary_dim " << rotary << " for " << features
                         << " features";
  }
  for (Value table : {getCos(), getSin()}) {
    RankedTensorType type = typeOf(table);
    int64_t width = type.getRank() == 0 ? 0 : type.getShape().back();
    if ((type.getRank() != 2 && type.getRank() != 3) ||
        (differ(width, rotary) && differ(width, rotary / 2))) {
      return emitOpError() << "cos and sin must be [S, R/2] or [B, S, R/2] "
                              "with R = "
                           << rotary << ", found " << type;
    }
  }
  return success();
}

LogicalResult AttentionOp::verify() {
  if (getQLayout() != "bhsd" && getQLayout() != "bshd") {
    return emitOpError() << "unknown q_layout '" << getQLayout() << "'";
  }
  if (failed(verifyRank(*this, "q", getQ(), 4)) ||
      failed(verifyRank(*this, "the result", getResult(), 4)) ||
      failed(verifyExpr(*this, "total", getTotal()))) {
    return failure();
  }
  if (isa<CacheType>(getK().getType()) != isa<CacheType>(getV().getType())) {
    return emitOpError("k and v must be both caches or both dense");
  }
  for (Value dense : {getK(), getV()}) {
    if (!isa<CacheType>(dense.getType()) &&
        failed(verifyRank(*this, "k and v", dense, 4))) {
      return failure();
    }
  }
  if (getWindow() < 0) {
    return emitOpError() << "window must be 0 (none) or positive, found "
                         << static_cast<int64_t>(getWindow());
  }
  return success();
}

LogicalResult KvAppendOp::verify() {
  return verifyExpr(*this, "position", getPosition());
}

LogicalResult KvAppendOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto state = symbols.lookupNearestSymbolFrom<StateOp>(*this, getStateAttr());
  if (!state) {
    return emitOpError() << "no graph.state @" << getState();
  }
  auto type = cast<RankedTensorType>(state.getType());
  RankedTensorType value = typeOf(getValue());
  // A state may keep floats in fewer bits than the values it is given.
  Type from = value.getElementType(), to = type.getElementType();
  bool fits = value.getRank() == type.getRank() &&
              (from == to || (isa<FloatType>(from) && isa<FloatType>(to)));
  for (int64_t i = 0; fits && i < type.getRank(); ++i) {
    fits = i == static_cast<int64_t>(state.getAxis()) ||
           !differ(value.getDimSize(i), type.getDimSize(i));
  }
  if (!fits) {
    return emitOpError() << "value " << value << " does not fit into @"
                         << getState() << " : " << type;
  }
  return success();
}

LogicalResult KvReadOp::verify() {
  return verifyExpr(*this, "total", getTotal());
}

LogicalResult LoadWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight =
      symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight) {
    return emitOpError() << "no graph.weight @" << getWeight();
  }
  if (weight.getType() != getResult().getType()) {
    return emitOpError() << "is " << getResult().getType() << ", @"
                         << getWeight() << " is " << weight.getType();
  }
  return success();
}

} // namespace llmc::graph
