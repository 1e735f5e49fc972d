//===- LowerToPlan.cpp - The graph becomes a linear schedule ---*- C++ -*-===//
//
// One plan.entry per graph entry: one launch (or a few strided copies) per op
// in the order of the graph, one buffer per value, sized at the upper bound of
// its dimensions. Nothing is placed yet, and every weight is resident.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/Lowering.h"

#include "llvm/ADT/TypeSwitch.h"

namespace llmc {
#define GEN_PASS_DEF_LOWERTOPLANPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc::lowering {

using planir::Access;
using planir::Kind;

Use read(View view) { return {Access::Read, std::move(view)}; }
Use write(View view) { return {Access::Write, std::move(view)}; }
Use update(View view) { return {Access::ReadWrite, std::move(view)}; }

graph::Dims stridesOf(const graph::Dims &dims) {
  graph::Dims strides(dims.size());
  graph::DimExpr stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride = stride * dims[i];
  }
  return strides;
}

EntryLowering::EntryLowering(ModuleLowering &module, func::FuncOp func)
    : module(module), func(func), context(func.getContext()),
      name(func.getSymName().str()), bounds(graph::symbolBounds(func)),
      builder(context) {}

FailureOr<uint64_t> EntryLowering::boundBytes(Operation *op, plan::DType dtype,
                                              const graph::Dims &dims) {
  uint64_t bits = plan::bitWidth(dtype);
  for (graph::DimExpr dim : dims) {
    graph::Interval interval = dim.bounds(bounds);
    if (!interval.hasUpper()) {
      std::vector<std::string> symbols;
      dim.collectSymbols(symbols);
      InFlightDiagnostic error = op->emitOpError() << "dimension '" << dim.str()
                                                   << "' has no upper bound";
      for (const std::string &symbol : symbols) {
        auto it = bounds.find(symbol);
        if (it == bounds.end() || !it->second.hasUpper()) {
          error << "; give --dim " << symbol << "=LO..HI";
        }
      }
      return error;
    }
    auto extent = static_cast<uint64_t>(std::max<int64_t>(interval.upper, 0));
    if (__builtin_mul_overflow(bits, extent, &bits)) {
      return op->emitOpError() << "a tensor exceeds 64 bits of bytes";
    }
  }
  return bits / 8 + (bits % 8 != 0);
}

plan::DType widened(plan::DType dtype) {
  bool isNarrow = dtype == plan::DType::F16 || dtype == plan::DType::BF16;
  return isNarrow ? plan::DType::F32 : dtype;
}

FailureOr<View> EntryLowering::result(Value value,
                                      std::optional<plan::DType> dtype) {
  Operation *op = value.getDefiningOp();
  std::optional<plan::DType> declared =
      toDType(cast<RankedTensorType>(value.getType()).getElementType());
  if (!declared) {
    return op->emitOpError()
           << "a plan cannot hold a tensor of type " << value.getType();
  }
  if (!dtype) {
    dtype = widened(*declared);
  }
  graph::Dims dims = graph::getDims(value);
  FailureOr<uint64_t> size = boundBytes(op, *dtype, dims);
  if (failed(size)) {
    return failure();
  }
  View view{module.makeBuffer(name + "." + graph::nodeName(op),
                              Kind::Activation, *size, name),
            0, *dtype, std::move(dims)};
  views[value] = view;
  return view;
}

FailureOr<View> EntryLowering::converted(Operation *op, const View &view,
                                         plan::DType dtype) {
  if (view.dtype == dtype) {
    return view;
  }
  FailureOr<uint64_t> size = boundBytes(op, dtype, view.dims);
  if (failed(size)) {
    return failure();
  }
  View out{module.makeBuffer(name + "." + nameOf(op) + ".cast",
                             Kind::Activation, *size, name),
           0, dtype, view.dims};
  if (failed(launch(op, plan::KernelId::Cast, {read(view), write(out)}))) {
    return failure();
  }
  return out;
}

DenseElementsAttr EntryLowering::splatOf(Value value) {
  ElementsAttr elements;
  if (auto constant = value.getDefiningOp<graph::ConstantOp>()) {
    elements = constant.getValue();
  } else if (auto fill = value.getDefiningOp<graph::FillOp>()) {
    elements = fill.getValue();
  }
  auto dense = dyn_cast_or_null<DenseElementsAttr>(elements);
  return dense && dense.isSplat() ? dense : DenseElementsAttr();
}

FailureOr<View> EntryLowering::operand(Operation *user, Value value) {
  auto it = views.find(value);
  if (it != views.end()) {
    return it->second;
  }
  if (graph::WeightOp weight = module.weightOf(value)) {
    return module.rawWeight(user, weight);
  }
  // A large constant is a weight, of which the module keeps the value alone.
  constexpr int64_t kLargestConstantSplat = 1024;
  DenseElementsAttr splat = splatOf(value);
  auto constant = value.getDefiningOp<graph::ConstantOp>();
  if (splat && !constant) {
    FailureOr<View> out = result(value);
    if (failed(out) || failed(fill(value.getDefiningOp(), *out, splat))) {
      return failure();
    }
    return out;
  }
  if (splat && splat.getNumElements() > kLargestConstantSplat) {
    return module.rawSplat(user, splat);
  }
  if (constant) {
    auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!dense) {
      return user->emitOpError() << "has a constant that is not dense";
    }
    FailureOr<View> view = module.constant(user, dense);
    if (succeeded(view)) {
      views[value] = *view;
    }
    return view;
  }
  return user->emitOpError() << "operand has no place in the plan: " << value;
}

LogicalResult EntryLowering::launch(Operation *op, plan::KernelId kernel,
                                    ArrayRef<Use> uses, Numbers numbers) {
  SmallVector<Attribute> operands;
  for (const Use &use : uses) {
    const View &view = use.view;
    operands.push_back(planir::ViewAttr::get(
        context,
        FlatSymbolRefAttr::get(context,
                               planir::BufferOp(view.buffer).getSymName()),
        use.access, builder.getStringAttr(plan::name(view.dtype)),
        planir::toAttr(context, view.dims), view.panel64, view.offset));
  }
  ArrayAttr params;
  if (!numbers.params.empty()) {
    params = planir::toAttr(context, graph::Dims(numbers.params));
  }
  planir::LaunchOp::create(
      builder, op->getLoc(), builder.getStringAttr(plan::name(kernel)),
      builder.getArrayAttr(operands), params,
      numbers.ints.empty() ? DenseI64ArrayAttr()
                           : builder.getDenseI64ArrayAttr(numbers.ints),
      numbers.floats.empty() ? DenseF64ArrayAttr()
                             : builder.getDenseF64ArrayAttr(numbers.floats),
      builder.getStringAttr(nameOf(op)));
  return success();
}

LogicalResult EntryLowering::launchSimple(Operation *op, plan::KernelId kernel,
                                          Numbers numbers, bool keepsType) {
  SmallVector<Use> uses;
  auto elementOf = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType();
  };
  std::optional<plan::DType> kept;
  for (Value value : op->getOperands()) {
    FailureOr<View> view = operand(op, value);
    if (failed(view)) {
      return failure();
    }
    if (keepsType && elementOf(value) == elementOf(op->getOperand(0))) {
      kept = kept ? kept : view->dtype;
      view = converted(op, *view, *kept);
      if (failed(view)) {
        return failure();
      }
    }
    uses.push_back(read(*view));
  }
  for (Value value : op->getResults()) {
    bool same = kept && elementOf(value) == elementOf(op->getOperand(0));
    FailureOr<View> view =
        result(value, same ? kept : std::optional<plan::DType>());
    if (failed(view)) {
      return failure();
    }
    uses.push_back(write(*view));
  }
  return launch(op, kernel, uses, std::move(numbers));
}

LogicalResult EntryLowering::lowerArguments() {
  SmallVector<Attribute> inputs;
  SmallVector<NamedAttribute> derived;
  for (BlockArgument argument : func.getArguments()) {
    unsigned index = argument.getArgNumber();
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    std::optional<plan::DType> dtype =
        type ? toDType(type.getElementType()) : std::nullopt;
    if (!dtype) {
      return func.emitOpError()
             << "argument " << index << " has type " << argument.getType()
             << ", which a plan cannot hold";
    }
    graph::Port port;
    if (std::optional<graph::Port> found = graph::getArgPort(func, index)) {
      port = *found;
    } else {
      port.name = "input" + std::to_string(index);
    }
    graph::Dims dims = graph::getDims(argument);
    FailureOr<uint64_t> size = boundBytes(func, *dtype, dims);
    if (failed(size)) {
      return failure();
    }
    View view{
        module.makeBuffer(name + "." + port.name, Kind::Input, *size, name), 0,
        *dtype, dims};
    views[argument] = view;
    inputs.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("name", builder.getStringAttr(port.name)),
         builder.getNamedAttr(
             "role", builder.getStringAttr(port.role == "tokens" ? "tokens"
                                                                 : "generic")),
         builder.getNamedAttr("dtype",
                              builder.getStringAttr(plan::name(*dtype))),
         builder.getNamedAttr("buffer", FlatSymbolRefAttr::get(
                                            context, view.buffer.getSymName())),
         builder.getNamedAttr("dims", planir::toAttr(context, dims))}));
    auto attr = func.getArgAttrOfType<DictionaryAttr>(index, graph::kPortAttr);
    if (auto kind = attr ? attr.getAs<StringAttr>("derived") : StringAttr()) {
      derived.push_back(builder.getNamedAttr(port.name, kind));
    }
  }
  SmallVector<NamedAttribute> symbols;
  for (const auto &[symbol, interval] : bounds) {
    symbols.push_back(builder.getNamedAttr(
        symbol, builder.getI64ArrayAttr({interval.lower, interval.upper})));
  }
  entry = planir::EntryOp::create(
      module.builder, func.getLoc(), builder.getStringAttr(name),
      builder.getDictionaryAttr(symbols), StringAttr(), StringAttr(),
      builder.getArrayAttr(inputs), builder.getArrayAttr({}),
      builder.getDictionaryAttr(derived));
  builder.setInsertionPointToStart(&entry.getBody().emplaceBlock());
  return success();
}

LogicalResult EntryLowering::lowerReturn(func::ReturnOp op) {
  SmallVector<Attribute> outputs;
  auto port = [&](StringRef portName, StringRef role, plan::DType dtype,
                  StringRef key, StringRef symbol, const graph::Dims &dims) {
    outputs.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("name", builder.getStringAttr(portName)),
         builder.getNamedAttr("role", builder.getStringAttr(role)),
         builder.getNamedAttr("dtype",
                              builder.getStringAttr(plan::name(dtype))),
         builder.getNamedAttr(key, FlatSymbolRefAttr::get(context, symbol)),
         builder.getNamedAttr("dims", planir::toAttr(context, dims))}));
  };
  for (OpOperand &returned : op->getOpOperands()) {
    Value value = returned.get();
    if (isa<graph::CacheType>(value.getType())) {
      continue; // listed with the states below
    }
    unsigned index = returned.getOperandNumber();
    graph::Port info;
    if (std::optional<graph::Port> found = graph::getResultPort(func, index)) {
      info = *found;
    } else {
      info.name = "output" + std::to_string(index);
    }
    outputName = info.name;
    FailureOr<View> view = operand(op, value);
    if (failed(view)) {
      return failure();
    }
    plan::DType declared =
        *toDType(cast<RankedTensorType>(value.getType()).getElementType());
    // Logits stay wide: they are for sampling, and rounding makes ties.
    bool isLogits = info.role == "logits";
    view = converted(op, *view, isLogits ? widened(declared) : declared);
    if (failed(view)) {
      return failure();
    }
    // What is not a buffer of its own, or an output already, is copied.
    if (view->buffer.getKind() != Kind::Activation || view->offset != 0) {
      View source = *view;
      view->offset = 0;
      FailureOr<uint64_t> size = boundBytes(op, view->dtype, view->dims);
      if (failed(size)) {
        return failure();
      }
      view->buffer = module.makeBuffer(name + "." + info.name, Kind::Activation,
                                       *size, name);
      graph::Dims strides = stridesOf(source.dims);
      if (failed(copy(op, source, 0, strides, *view, 0, strides, source.dims,
                      /*coversOut=*/true))) {
        return failure();
      }
    }
    view->buffer.setKind(Kind::Output);
    port(info.name, info.role == "logits" ? "logits" : "generic", view->dtype,
         "buffer", view->buffer.getSymName(), view->dims);
  }
  outputName.clear();
  for (auto &[stateOp, value] : latest) {
    const Cache &last = caches.find(value)->second;
    graph::StateOp state = last.state;
    FailureOr<View> view = module.state(op, state);
    if (failed(view)) {
      return failure();
    }
    graph::Dims dims = view->dims;
    dims[state.getAxis()] = last.total;
    port(state.getOutputName(), "state", view->dtype, "state",
         module.stateSymbol(state), dims);
  }
  entry.setOutputsAttr(builder.getArrayAttr(outputs));
  if (!past.empty()) {
    entry.setPastAttr(builder.getStringAttr(past));
  }
  if (newTokens) {
    entry.setNewTokensAttr(builder.getStringAttr(newTokens->str()));
  }
  return success();
}

LogicalResult EntryLowering::lowerOp(Operation *op) {
  using namespace graph;
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      // Made on demand, see operand().
      .Case<ConstantOp, FillOp, LoadWeightOp>([](auto) { return success(); })
      .Case<UnaryOp, BinaryOp, SelectOp, CastOp>(
          [&](auto o) { return lowerPointwise(o); })
      .Case<FusedOp>([&](auto o) { return lowerFused(o); })
      .Case<ReshapeOp>([&](auto o) { return lowerReshape(o); })
      .Case<TransposeOp>([&](auto o) { return lowerTranspose(o); })
      .Case<BroadcastOp>([&](auto o) { return lowerBroadcast(o); })
      .Case<SliceOp>([&](auto o) { return lowerSlice(o); })
      .Case<ConcatOp>([&](auto o) { return lowerConcat(o); })
      .Case<PadOp>([&](auto o) { return lowerPad(o); })
      .Case<IotaOp>([&](auto o) { return lowerIota(o); })
      .Case<DimValueOp>([&](auto o) { return lowerDimValue(o); })
      .Case<GatherOp>([&](auto o) { return lowerGather(o); })
      .Case<GatherElementsOp, GatherNDOp, ScatterNDOp, ScatterElementsOp>(
          [&](auto o) { return lowerIndexing(o); })
      .Case<TopKOp>([&](auto o) { return lowerTopK(o); })
      .Case<ReduceOp, ArgReduceOp, SoftmaxOp, CumSumOp>(
          [&](auto o) { return lowerReduction(o); })
      .Case<LayerNormOp, RmsNormOp>([&](auto o) { return lowerNorm(o); })
      .Case<LinearOp>([&](auto o) { return lowerLinear(o); })
      .Case<GatedLinearOp>([&](auto o) { return lowerGatedLinear(o); })
      .Case<SplitLinearOp>([&](auto o) { return lowerSplitLinear(o); })
      .Case<QuantLinearOp>([&](auto o) { return lowerQuantLinear(o); })
      .Case<QuantGatherOp>([&](auto o) { return lowerQuantGather(o); })
      .Case<MatMulOp, MatMulIntegerOp>([&](auto o) { return lowerProduct(o); })
      .Case<DynamicQuantizeOp, DequantizeOp, QuantizeOp>(
          [&](auto o) { return lowerQuantization(o); })
      .Case<ConvOp>([&](auto o) { return lowerConv(o); })
      .Case<PoolOp>([&](auto o) { return lowerPool(o); })
      .Case<LrnOp>([&](auto o) { return lowerLrn(o); })
      .Case<RopeOp>([&](auto o) { return lowerRope(o); })
      .Case<AttentionOp>([&](auto o) { return lowerAttention(o); })
      .Case<KvAppendOp>([&](auto o) { return lowerKvAppend(o); })
      .Case<KvReadOp>([&](auto o) { return lowerKvRead(o); })
      .Case<func::ReturnOp>([&](auto o) { return lowerReturn(o); })
      .Default([](Operation *o) {
        return o->emitOpError("has no lowering to the plan dialect");
      });
}

LogicalResult EntryLowering::run() {
  if (!llvm::hasSingleElement(func.getBody())) {
    return func.emitOpError("must have one block");
  }
  if (failed(lowerArguments())) {
    return failure();
  }
  for (Operation &op : func.front()) {
    if (failed(lowerOp(&op))) {
      return failure();
    }
  }
  return success();
}

} // namespace llmc::lowering

namespace llmc {
namespace {

struct LowerToPlan : impl::LowerToPlanPassBase<LowerToPlan> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    lowering::ModuleLowering shared(module);
    shared.collectWeightUses();
    SmallVector<func::FuncOp> entries(module.getOps<func::FuncOp>());
    for (func::FuncOp func : entries) {
      if (!func->hasAttr(graph::kEntryAttr)) {
        func.emitOpError("is not an entry (no 'graph.entry')");
        return signalPassFailure();
      }
      if (failed(lowering::EntryLowering(shared, func).run())) {
        return signalPassFailure();
      }
    }
    for (func::FuncOp func : entries) {
      func.erase();
    }
    for (graph::StateOp state :
         llvm::make_early_inc_range(module.getOps<graph::StateOp>())) {
      state.erase();
    }
    shared.finish();
  }
};

} // namespace
} // namespace llmc
