//===- GraphOps.cpp - Operations: definitions and verifiers ----*- C++ -*-===//
//
// Folders and canonicalization patterns are in GraphFolds.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/GraphOps.h"
#include "dialects/graph/GraphDims.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.cpp.inc"

namespace llmc::graph {

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
static constexpr StringLiteral kReduceKinds[] = {"sum", "mean", "max",
                                                 "min", "prod", "sum_square",
                                                 "l2",  "l1",   "log_sum_exp"};
static constexpr StringLiteral kActivations[] = {
    "none",      "relu",       "silu",    "gelu_erf",
    "gelu_tanh", "quick_gelu", "sigmoid", "tanh"};

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static LogicalResult verifyOneOf(Operation *op, StringRef attribute,
                                 StringRef value,
                                 ArrayRef<StringLiteral> known) {
  if (!llvm::is_contained(known, value)) {
    return op->emitOpError() << "unknown " << attribute << " '" << value << "'";
  }
  return success();
}

static LogicalResult verifyExpr(Operation *op, StringRef attribute,
                                StringRef text) {
  if (!DimExpr::parse(text)) {
    return op->emitOpError()
           << "'" << attribute << "' is not a dimension expression: '" << text
           << "'";
  }
  return success();
}

static LogicalResult verifySameElementType(Operation *op, Value a, Value b) {
  if (typeOf(a).getElementType() != typeOf(b).getElementType()) {
    return op->emitOpError()
           << "element types differ: " << a.getType() << " and " << b.getType();
  }
  return success();
}

static LogicalResult verifyRank(Operation *op, StringRef what, Value value,
                                int64_t rank) {
  if (typeOf(value).getRank() != rank) {
    return op->emitOpError() << what << " must have rank " << rank << ", found "
                             << value.getType();
  }
  return success();
}

static LogicalResult verifyAxis(Operation *op, int64_t axis, Value value) {
  if (axis < 0 || axis >= typeOf(value).getRank()) {
    return op->emitOpError()
           << "axis " << axis << " is outside of " << value.getType();
  }
  return success();
}

/// Two extents that cannot be the same number.
static bool differ(int64_t a, int64_t b) {
  return !ShapedType::isDynamic(a) && !ShapedType::isDynamic(b) && a != b;
}

/// `operand` broadcasts to the result (NumPy), as far as extents are static.
static LogicalResult verifyBroadcast(Operation *op, Value operand) {
  RankedTensorType from = typeOf(operand), to = typeOf(op->getResult(0));
  int64_t skip = to.getRank() - from.getRank();
  bool fits = skip >= 0;
  for (int64_t i = 0; fits && i < from.getRank(); ++i) {
    int64_t extent = from.getDimSize(i);
    fits = extent == 1 || !differ(extent, to.getDimSize(skip + i));
  }
  if (!fits) {
    return op->emitOpError()
           << "operand " << from << " does not broadcast to the result " << to;
  }
  return success();
}

//===-- Module level
//--------------------------------------------------------===//

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

//===-- Leaves
//--------------------------------------------------------------===//

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

//===-- Element-wise
//--------------------------------------------------------===//

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

//===-- Layout and indexing
//-------------------------------------------------===//

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

//===-- Reductions and norms
//------------------------------------------------===//

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

//===-- Products
//------------------------------------------------------------===//

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

LogicalResult LinearOp::verify() {
  if (!getWeight().getDefiningOp<LoadWeightOp>()) {
    return emitOpError("the weight must be a graph.load_weight");
  }
  if (failed(verifyRank(*this, "the weight", getWeight(), 2)) ||
      failed(verifyOneOf(*this, "activation", getActivation(), kActivations))) {
    return failure();
  }
  StringRef layout = getWeightLayout();
  if (layout != "nk" && layout != "kn") {
    return emitOpError() << "unknown weight_layout '" << layout << "'";
  }
  RankedTensorType weight = typeOf(getWeight());
  int64_t n = weight.getDimSize(layout == "nk" ? 0 : 1);
  int64_t k = weight.getDimSize(layout == "nk" ? 1 : 0);
  RankedTensorType x = typeOf(getX()), result = typeOf(getResult());
  if (x.getRank() < 1 || result.getRank() != x.getRank()) {
    return emitOpError() << "the result " << result
                         << " does not have the rank of " << x;
  }
  if (differ(x.getShape().back(), k) || differ(result.getShape().back(), n)) {
    return emitOpError() << "weight is " << n << " by " << k << ", x is " << x
                         << ", the result " << result;
  }
  if (getBias() && (typeOf(getBias()).getRank() != 1 ||
                    differ(typeOf(getBias()).getDimSize(0), n))) {
    return emitOpError() << "bias " << getBias().getType() << " is not [" << n
                         << "]";
  }
  return success();
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

//===-- Transformer blocks
//--------------------------------------------------===//

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
  bool fits = value.getRank() == type.getRank() &&
              value.getElementType() == type.getElementType();
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
