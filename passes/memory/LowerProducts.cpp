//===- LowerProducts.cpp - Products and quantized weights ------*- C++ -*-===//

#include "passes/memory/Lowering.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace llmc::lowering {

using plan::KernelId;

static FailureOr<int64_t> activation(Operation *op, StringRef name) {
  auto kind = llvm::StringSwitch<std::optional<plan::Activation>>(name)
                  .Case("none", plan::Activation::None)
                  .Case("relu", plan::Activation::Relu)
                  .Case("silu", plan::Activation::Silu)
                  .Case("gelu_erf", plan::Activation::GeluErf)
                  .Case("gelu_tanh", plan::Activation::GeluTanh)
                  .Case("quick_gelu", plan::Activation::QuickGelu)
                  .Case("sigmoid", plan::Activation::Sigmoid)
                  .Case("tanh", plan::Activation::Tanh)
                  .Default(std::nullopt);
  if (!kind) {
    return op->emitOpError() << "unknown activation '" << name << "'";
  }
  return static_cast<int64_t>(*kind);
}

LogicalResult EntryLowering::lowerLinear(graph::LinearOp op) {
  graph::WeightOp weight = module.weightOf(op.getWeight());
  DenseElementsAttr splat = splatOf(op.getWeight());
  if (!weight && !splat) {
    return op.emitOpError(
        "the weight must be a graph.load_weight or a splat constant");
  }
  FailureOr<int64_t> act = activation(op, op.getActivation());
  FailureOr<View> x = operand(op, op.getX());
  if (failed(act) || failed(x)) {
    return failure();
  }
  FailureOr<View> w = weight
                          ? module.panelWeight(op, weight, op.getWeightLayout())
                          : module.panelSplat(op, splat, op.getWeightLayout());
  if (failed(w)) {
    return failure();
  }
  SmallVector<Use> uses = {read(*x), read(*w)};
  for (Value more : {op.getResidual(), op.getBias()}) {
    if (!more) {
      continue;
    }
    FailureOr<View> view = operand(op, more);
    if (failed(view)) {
      return failure();
    }
    uses.push_back(read(*view));
  }
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  uses.push_back(write(*out));
  Numbers numbers;
  numbers.ints = {op.getBias() != nullptr, *act};
  return launch(op, op.getResidual() ? KernelId::LinearAdd : KernelId::Linear,
                uses, std::move(numbers));
}

LogicalResult EntryLowering::lowerGatedLinear(graph::GatedLinearOp op) {
  FailureOr<int64_t> act = activation(op, op.getActivation());
  FailureOr<View> x = operand(op, op.getX());
  if (failed(act) || failed(x)) {
    return failure();
  }
  FailureOr<View> w = module.interleavedWeight(
      op, {{module.weightOf(op.getGate()), op.getGateLayout()},
           {module.weightOf(op.getUp()), op.getUpLayout()}});
  if (failed(w)) {
    return failure();
  }
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  Numbers numbers;
  numbers.ints = {*act};
  return launch(op, KernelId::LinearGated, {read(*x), read(*w), write(*out)},
                std::move(numbers));
}

LogicalResult EntryLowering::lowerSplitLinear(graph::SplitLinearOp op) {
  FailureOr<int64_t> act = activation(op, op.getActivation());
  FailureOr<View> x = operand(op, op.getX());
  if (failed(act) || failed(x)) {
    return failure();
  }
  SmallVector<ModuleLowering::Part> parts;
  for (auto [weight, layout] : llvm::zip(op.getWeights(), op.getLayouts())) {
    parts.push_back(
        {module.weightOf(weight), cast<StringAttr>(layout).getValue()});
  }
  FailureOr<View> w = module.joinedWeight(op, parts);
  if (failed(w)) {
    return failure();
  }
  SmallVector<Use> uses = {read(*x), read(*w)};
  if (!op.getBiases().empty()) {
    SmallVector<graph::WeightOp> biases;
    for (Value bias : op.getBiases()) {
      biases.push_back(module.weightOf(bias));
    }
    FailureOr<View> bias = module.joinedVector(op, biases);
    if (failed(bias)) {
      return failure();
    }
    uses.push_back(read(*bias));
  }
  Numbers numbers;
  numbers.ints = {!op.getBiases().empty(), *act,
                  static_cast<int64_t>(op.getResults().size())};
  for (Value part : op.getResults()) {
    FailureOr<View> out = result(part);
    if (failed(out)) {
      return failure();
    }
    uses.push_back(write(*out));
    numbers.ints.push_back(
        cast<RankedTensorType>(part.getType()).getShape().back());
    numbers.ints.push_back(0);
  }
  return launch(op, KernelId::LinearSplit, uses, std::move(numbers));
}

namespace {

/// What LinearQuant and GatherQuant share: the parts of the weight, brought to
/// the canonical form by the packer.
struct QuantWeight {
  SmallVector<Use> uses; // codes, scales, opt zero points, opt g_idx
  bool hasZero = false;
  bool hasGroups = false;
  int64_t zero = 0;
};

template <typename OpT>
FailureOr<QuantWeight> lowerQuantWeight(ModuleLowering &module, OpT op,
                                        Value groups, StringRef floatLayout) {
  auto n = static_cast<int64_t>(op.getN());
  auto k = static_cast<int64_t>(op.getK());
  auto bits = static_cast<int64_t>(op.getBits());
  auto blockSize = static_cast<int64_t>(op.getBlockSize());
  if (n <= 0 || k <= 0 || (bits != 4 && bits != 8) || blockSize <= 0) {
    return op.emitOpError()
           << "cannot pack a weight with n = " << n << ", k = " << k
           << ", bits = " << bits << ", block_size = " << blockSize;
  }
  bool rounded = op.getFormat() == "int8";
  Builder b(op.getContext());
  int64_t blocks = (k + blockSize - 1) / blockSize;
  int64_t rowBytes = (blocks * blockSize * bits + 7) / 8;
  StringRef layout = rounded                      ? floatLayout
                     : op.getFormat() == "qdq_kn" ? "kn"
                                                  : "nk";

  auto part = [&](Value source, StringRef kind, uint64_t size,
                  std::optional<plan::DType> dtype,
                  graph::Dims dims) -> FailureOr<View> {
    std::optional<plan::DType> stored =
        toDType(cast<RankedTensorType>(source.getType()).getElementType());
    if (!stored) {
      return op.emitOpError() << "a plan cannot hold " << source.getType();
    }
    if (!dtype) {
      dtype = stored;
    }
    auto packing = b.getDictionaryAttr(
        {b.getNamedAttr("kind", b.getStringAttr(kind)),
         b.getNamedAttr("format", b.getStringAttr(op.getFormat())),
         b.getNamedAttr("n", b.getI64IntegerAttr(n)),
         b.getNamedAttr("k", b.getI64IntegerAttr(k)),
         b.getNamedAttr("bits", b.getI64IntegerAttr(bits)),
         b.getNamedAttr("block_size", b.getI64IntegerAttr(blockSize)),
         b.getNamedAttr("layout", b.getStringAttr(layout)),
         b.getNamedAttr("dtype", b.getStringAttr(plan::name(*stored)))});
    return module.quantPart(op, source, kind, packing, size, *dtype,
                            std::move(dims));
  };

  QuantWeight out;
  auto un = static_cast<uint64_t>(n);
  FailureOr<View> codes =
      part(op.getCodes(), "q_codes", un * static_cast<uint64_t>(rowBytes),
           plan::DType::U8, {n, rowBytes});
  if (failed(codes)) {
    return failure();
  }
  out.uses.push_back(read(*codes));

  Value scaleSource = rounded ? op.getCodes() : op.getScales();
  if (!scaleSource) {
    return op.emitOpError("has no scales");
  }
  plan::DType scaleType = plan::DType::F32;
  if (!rounded) {
    Type element =
        cast<RankedTensorType>(scaleSource.getType()).getElementType();
    scaleType = toDType(element).value_or(plan::DType::I8);
    if (!isa<FloatType>(element) || element.isF64()) {
      return op.emitOpError() << "scales must be f32, f16 or bf16, found "
                              << scaleSource.getType();
    }
  }
  uint64_t groupCount = un * static_cast<uint64_t>(blocks);
  FailureOr<View> scales =
      part(scaleSource, "q_scales", groupCount * plan::bitWidth(scaleType) / 8,
           scaleType, {n, blocks});
  if (failed(scales)) {
    return failure();
  }
  out.uses.push_back(read(*scales));

  if (op.getZeroPoints()) {
    // MatMulNBits may keep them as floats; they are packed as they are.
    auto zeroType = plan::DType::U8;
    Type element =
        cast<RankedTensorType>(op.getZeroPoints().getType()).getElementType();
    if (isa<FloatType>(element)) {
      zeroType = toDType(element).value_or(plan::DType::F32);
    }
    FailureOr<View> zero =
        part(op.getZeroPoints(), "q_zero",
             groupCount * plan::bitWidth(zeroType) / 8, zeroType, {n, blocks});
    if (failed(zero)) {
      return failure();
    }
    out.uses.push_back(read(*zero));
    out.hasZero = true;
  }
  if (groups) {
    FailureOr<View> gidx = part(groups, "q_gidx", static_cast<uint64_t>(k) * 4,
                                plan::DType::I32, {k});
    if (failed(gidx)) {
      return failure();
    }
    out.uses.push_back(read(*gidx));
    out.hasGroups = true;
  }
  // Signed codes are moved up by half the range, and so is their zero;
  // MatMulNBits has that zero by definition.
  Type codeType =
      cast<RankedTensorType>(op.getCodes().getType()).getElementType();
  bool isUnsigned = codeType.isUnsignedInteger();
  bool qdq = !rounded && op.getFormat() != "nbits";
  out.zero = qdq && isUnsigned ? 0 : int64_t{1} << (bits - 1);
  return out;
}

} // namespace

LogicalResult EntryLowering::lowerQuantLinear(graph::QuantLinearOp op) {
  FailureOr<int64_t> act = activation(op, op.getActivation());
  FailureOr<View> x = operand(op, op.getX());
  if (failed(act) || failed(x)) {
    return failure();
  }
  FailureOr<QuantWeight> weight =
      lowerQuantWeight(module, op, op.getGIdx(), op.getFloatLayout());
  if (failed(weight)) {
    return failure();
  }
  SmallVector<Use> uses = {read(*x)};
  llvm::append_range(uses, weight->uses);
  if (op.getBias()) {
    FailureOr<View> bias = operand(op, op.getBias());
    if (failed(bias)) {
      return failure();
    }
    uses.push_back(read(*bias));
  }
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  uses.push_back(write(*out));
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getN()),
                  static_cast<int64_t>(op.getK()),
                  static_cast<int64_t>(op.getBits()),
                  static_cast<int64_t>(op.getBlockSize()),
                  weight->hasZero,
                  weight->hasGroups,
                  op.getBias() != nullptr,
                  *act,
                  weight->zero};
  return launch(op, KernelId::LinearQuant, uses, std::move(numbers));
}

LogicalResult EntryLowering::lowerQuantGather(graph::QuantGatherOp op) {
  FailureOr<View> indices = operand(op, op.getIndices());
  if (failed(indices)) {
    return failure();
  }
  FailureOr<QuantWeight> weight =
      lowerQuantWeight(module, op, Value(), op.getFloatLayout());
  if (failed(weight)) {
    return failure();
  }
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  SmallVector<Use> uses = weight->uses;
  uses.push_back(read(*indices));
  uses.push_back(write(*out));
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getN()),
                  static_cast<int64_t>(op.getK()),
                  static_cast<int64_t>(op.getBits()),
                  static_cast<int64_t>(op.getBlockSize()),
                  weight->hasZero,
                  weight->zero};
  return launch(op, KernelId::GatherQuant, uses, std::move(numbers));
}

LogicalResult EntryLowering::lowerProduct(Operation *op) {
  Numbers numbers;
  if (auto matmul = dyn_cast<graph::MatMulOp>(op)) {
    numbers.ints = {matmul.getTransA(), matmul.getTransB()};
    numbers.floats = {matmul.getAlpha().convertToDouble()};
    return launchSimple(op, KernelId::MatMul, std::move(numbers));
  }
  auto matmul = cast<graph::MatMulIntegerOp>(op);
  numbers.ints = {matmul.getAZeroPoint() != nullptr,
                  matmul.getBZeroPoint() != nullptr};
  return launchSimple(op, KernelId::MatMulInteger, std::move(numbers));
}

LogicalResult EntryLowering::lowerQuantization(Operation *op) {
  Numbers numbers;
  if (isa<graph::DynamicQuantizeOp>(op)) {
    return launchSimple(op, KernelId::DynamicQuantizeLinear);
  }
  auto lower = [&](auto o, KernelId kernel) {
    numbers.ints = {static_cast<int64_t>(o.getAxis()),
                    static_cast<int64_t>(o.getBlockSize()),
                    o.getZeroPoint() != nullptr};
    return launchSimple(o, kernel, std::move(numbers));
  };
  if (auto dequantize = dyn_cast<graph::DequantizeOp>(op)) {
    return lower(dequantize, KernelId::DequantizeLinear);
  }
  return lower(cast<graph::QuantizeOp>(op), KernelId::QuantizeLinear);
}

LogicalResult EntryLowering::lowerConv(graph::ConvOp op) {
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getStrides().size()),
                  static_cast<int64_t>(op.getGroups()),
                  op.getBias() != nullptr};
  for (ArrayRef<int64_t> list : {op.getStrides(), op.getDilations(),
                                 op.getPadsBegin(), op.getPadsEnd()}) {
    llvm::append_range(numbers.ints, list);
  }
  return launchSimple(op, KernelId::Conv, std::move(numbers));
}

} // namespace llmc::lowering
