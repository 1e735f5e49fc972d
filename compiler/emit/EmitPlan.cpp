//===- EmitPlan.cpp - The plan dialect as a plan::Plan ---------*- C++ -*-===//

#include "compiler/emit/EmitPlan.h"

#include "compiler/emit/Expressions.h"
#include "compiler/emit/Predict.h"
#include "dialects/plan/PlanDialect.h"
#include "passes/memory/Layout.h"

#include "llvm/ADT/StringMap.h"

#include <algorithm>

using namespace mlir;

namespace llmc::emit {

namespace {

Error invalid(const Twine &what) {
  return Error{ErrorCode::Internal, ("emit: " + what).str()};
}

std::string withoutPrefix(StringRef name, StringRef prefix) {
  name.consume_front(prefix);
  return name.str();
}

/// The bytes of a dense constant as kernels read them: little endian, bool one
/// byte each, four-bit integers two to a byte.
std::vector<uint8_t> bytesOf(DenseElementsAttr data) {
  std::vector<uint8_t> bytes;
  Type type = data.getElementType();
  unsigned width = type.getIntOrFloatBitWidth();
  bool low = true;
  auto append = [&](const APInt &value) {
    if (width == 4) {
      auto code = static_cast<uint8_t>(value.getZExtValue());
      if (low) {
        bytes.push_back(code);
      } else {
        bytes.back() = static_cast<uint8_t>(bytes.back() | code << 4);
      }
      low = !low;
      return;
    }
    uint64_t bits = value.getZExtValue();
    for (unsigned i = 0; i < (width + 7) / 8; ++i) {
      bytes.push_back(static_cast<uint8_t>(bits >> (8 * i)));
    }
  };
  if (isa<FloatType>(type)) {
    for (const APFloat &value : data.getValues<APFloat>()) {
      append(value.bitcastToAPInt());
    }
  } else {
    for (const APInt &value : data.getValues<APInt>()) {
      append(value);
    }
  }
  return bytes;
}

class Emitter {
public:
  explicit Emitter(ModuleOp module)
      : module(module), model(module, memory::ratesOf(module)) {}

  Result<plan::Plan> run() {
    emitSegments();
    if (Result<void> done = emitBuffers(); !done) {
      return done.error();
    }
    emitStates();
    emitCarried();
    for (auto entry : module.getOps<planir::EntryOp>()) {
      out.entries.push_back({});
      if (Result<void> done = emitEntry(entry, out.entries.back()); !done) {
        return done.error();
      }
    }
    // Entry indices are known only now.
    for (auto [buffer, name] : llvm::zip_equal(out.buffers, bufferEntries)) {
      if (!name.empty()) {
        auto it = std::find_if(
            out.entries.begin(), out.entries.end(),
            [&](const plan::Entry &entry) { return entry.name == name; });
        if (it == out.entries.end()) {
          return invalid("buffer " + buffer.name + " belongs to no entry");
        }
        buffer.entry = static_cast<uint32_t>(it - out.entries.begin());
      }
    }
    for (auto [op, entry] :
         llvm::zip_equal(module.getOps<planir::EntryOp>(), out.entries)) {
      fillFigures(op, entry);
    }
    emitTotals();
    return std::move(out);
  }

private:
  void emitSegments() {
    for (auto op : module.getOps<planir::SegmentOp>()) {
      segments[op.getSymName()] = static_cast<uint32_t>(out.segments.size());
      plan::Segment segment;
      segment.name = withoutPrefix(op.getSymName(), "segment.");
      segment.size = op.getSize();
      out.segments.push_back(segment);
    }
  }

  Result<void> emitBuffers() {
    for (auto op : module.getOps<planir::BufferOp>()) {
      auto index = static_cast<uint32_t>(out.buffers.size());
      buffers[op.getSymName()] = index;
      plan::Buffer buffer;
      StringRef name = op.getSymName();
      if (!op.getEntry()) {
        name = name.split('.').second; // weight. state. constant.
      }
      buffer.name = name.str();
      buffer.kind = static_cast<plan::BufferKind>(op.getKind());
      buffer.tier = static_cast<plan::Tier>(op.getTier());
      buffer.size = op.getSize();
      if (!op.getOffset()) {
        return invalid("buffer @" + op.getSymName() + " has no offset");
      }
      buffer.offset = *op.getOffset();
      buffer.start = static_cast<uint32_t>(op.getStart().value_or(0));
      buffer.end = static_cast<uint32_t>(op.getEnd().value_or(0));
      if (op.getSegment()) {
        buffer.segment = segments.lookup(*op.getSegment());
      }
      bufferEntries.push_back(op.getEntry().value_or("").str());
      if (op.getData()) {
        auto dense = dyn_cast<DenseElementsAttr>(*op.getData());
        if (!dense) {
          return invalid("constant @" + op.getSymName() + " is not dense");
        }
        plan::Plan::ConstantData data;
        data.buffer = index;
        data.bytes = bytesOf(dense);
        data.bytes.resize(buffer.size);
        out.constants.push_back(std::move(data));
      }
      out.buffers.push_back(std::move(buffer));
    }
    return {};
  }

  void emitStates() {
    for (auto op : module.getOps<planir::StateOp>()) {
      states[op.getSymName()] = static_cast<uint32_t>(out.states.size());
      plan::State state;
      state.name = op.getInputName().str();
      state.outputName = op.getOutputName().str();
      state.dtype = *plan::parseDType(op.getDtype());
      state.outer.assign(op.getOuter().begin(), op.getOuter().end());
      state.inner.assign(op.getInner().begin(), op.getInner().end());
      state.capacity = static_cast<int64_t>(op.getCapacity());
      state.blockTokens = static_cast<int64_t>(op.getBlockTokens());
      state.buffer = buffers.lookup(op.getBuffer());
      if (std::optional<ArrayRef<int64_t>> ring = op.getRing()) {
        state.sinkBlocks = (*ring)[0];
        state.ringBlocks = (*ring)[1];
      }
      if (op.getSpill()) {
        state.spill = buffers.lookup(*op.getSpill());
        state.residentBlocks =
            static_cast<int64_t>(op.getResidentBlocks().value_or(0));
        const plan::Buffer &below = out.buffers[state.spill];
        out.totals.diskBytes =
            std::max(out.totals.diskBytes, below.offset + below.size);
      }
      out.states.push_back(std::move(state));
    }
  }

  void emitCarried() {
    for (auto op : module.getOps<planir::CarriedOp>()) {
      out.carried.push_back({segments.lookup(op.getSegment()),
                             op.getSourceOffset(), op.getBytes(),
                             op.getOffset().value_or(0)});
      carried[op.getSymName()] = static_cast<uint32_t>(carried.size());
    }
  }

  Result<uint32_t> expression(ExpressionTable &table, Attribute attr) {
    std::optional<graph::DimExpr> expr = planir::toExpr(attr);
    std::optional<uint32_t> index = expr ? table.add(*expr) : std::nullopt;
    if (!index) {
      std::string text;
      llvm::raw_string_ostream(text) << attr;
      return invalid("expression " + text + " has an unknown symbol");
    }
    return *index;
  }

  Result<std::vector<uint32_t>> expressions(ExpressionTable &table,
                                            ArrayAttr list) {
    std::vector<uint32_t> indices;
    for (Attribute attr : list) {
      Result<uint32_t> index = expression(table, attr);
      if (!index) {
        return index.error();
      }
      indices.push_back(*index);
    }
    return indices;
  }

  Result<plan::Port> emitPort(ExpressionTable &table, DictionaryAttr attr) {
    plan::Port port;
    port.name = attr.getAs<StringAttr>("name").str();
    StringRef role = attr.getAs<StringAttr>("role").getValue();
    port.role = role == "tokens"   ? plan::PortRole::Tokens
                : role == "logits" ? plan::PortRole::Logits
                : role == "state"  ? plan::PortRole::State
                                   : plan::PortRole::Generic;
    port.dtype = *plan::parseDType(attr.getAs<StringAttr>("dtype").getValue());
    if (auto buffer = attr.getAs<FlatSymbolRefAttr>("buffer")) {
      port.buffer = buffers.lookup(buffer.getValue());
    }
    if (auto state = attr.getAs<FlatSymbolRefAttr>("state")) {
      port.state = states.lookup(state.getValue());
      port.buffer = out.states[port.state].buffer;
    }
    if (auto dims = attr.getAs<ArrayAttr>("dims")) {
      Result<std::vector<uint32_t>> indices = expressions(table, dims);
      if (!indices) {
        return indices.error();
      }
      port.dims = *indices;
    }
    return port;
  }

  Result<void> emitEntry(planir::EntryOp op, plan::Entry &entry) {
    entry.name = op.getSymName().str();
    for (const auto &[name, interval] : planir::getBounds(op)) {
      plan::Symbol symbol;
      symbol.name = name;
      symbol.lower = interval.lower;
      symbol.upper = interval.upper;
      symbol.isPast = op.getPast() == name;
      entry.symbols.push_back(std::move(symbol));
    }
    ExpressionTable table(entry);
    for (auto [attrs, ports] : {std::pair(op.getInputs(), &entry.inputs),
                                std::pair(op.getOutputs(), &entry.outputs)}) {
      for (auto attr : attrs.getAsRange<DictionaryAttr>()) {
        Result<plan::Port> port = emitPort(table, attr);
        if (!port) {
          return port.error();
        }
        ports->push_back(*port);
      }
    }
    for (NamedAttribute attr : op.getDerived()) {
      StringRef kind = cast<StringAttr>(attr.getValue()).getValue();
      plan::DerivedInput derived;
      derived.name = attr.getName().str();
      derived.kind = kind == "positions" ? plan::DerivedKind::Positions
                     : kind == "empty"   ? plan::DerivedKind::Empty
                                         : plan::DerivedKind::Ones;
      entry.derived.push_back(std::move(derived));
    }
    if (op.getNewTokens()) {
      Result<uint32_t> index = expression(table, op.getNewTokensAttr());
      if (!index) {
        return index.error();
      }
      entry.newTokens = *index;
    }
    for (Operation &stepOp : op.getBody().front()) {
      Result<plan::Step> step = emitStep(table, entry, &stepOp);
      if (!step) {
        return step.error();
      }
      entry.steps.push_back(std::move(*step));
    }
    entry.carried.resize(out.carried.size());
    for (auto carry : module.getOps<planir::CarryOp>()) {
      if (carry.getEntry() == op.getSymName()) {
        entry.carried[carried.lookup(carry.getSlot())] = {
            buffers.lookup(carry.getFirst()), buffers.lookup(carry.getLast())};
      }
    }
    return {};
  }

  Result<plan::Operand> emitOperand(ExpressionTable &table,
                                    planir::ViewAttr view) {
    plan::Operand operand;
    operand.buffer = buffers.lookup(view.getBuffer().getValue());
    operand.access = static_cast<plan::Access>(view.getAccess());
    operand.dtype = *plan::parseDType(view.getDtype().getValue());
    operand.packing =
        view.getPanel64() ? plan::Packing::Panel64 : plan::Packing::Raw;
    operand.offset = static_cast<uint64_t>(view.getOffset());
    Result<std::vector<uint32_t>> dims = expressions(table, view.getDims());
    if (!dims) {
      return dims.error();
    }
    operand.dims = *dims;
    return operand;
  }

  Result<plan::Step> emitStep(ExpressionTable &table, plan::Entry &entry,
                              Operation *op) {
    plan::Step step;
    if (auto copy = dyn_cast<planir::CopyOp>(op)) {
      step.kind = plan::StepKind::Copy;
      step.stream = plan::Stream::Copy;
      step.segment = segments.lookup(copy.getSegment());
      step.name = out.segments[step.segment].name;
      step.sourceOffset = copy.getSourceOffset();
      step.buffer = buffers.lookup(copy.getBuffer());
      step.targetOffset = copy.getTargetOffset();
      step.bytes = copy.getBytes();
      if (copy.getIndices()) {
        Result<plan::Operand> indices = emitOperand(table, *copy.getIndices());
        if (!indices) {
          return indices.error();
        }
        step.operands.push_back(std::move(*indices));
        step.ints = {static_cast<int64_t>(*copy.getRows()),
                     static_cast<int64_t>(*copy.getRowBytes())};
      }
      return step;
    }
    auto blocks = [&](auto move, plan::StepKind kind, plan::Stream stream) {
      step.kind = kind;
      step.stream = stream;
      step.state = states.lookup(move.getState());
      step.name = out.states[step.state].name;
      step.firstBlock = move.getFirstBlock();
      step.buffer = buffers.lookup(move.getBuffer());
      step.bytes = move.getBytes();
    };
    if (auto restore = dyn_cast<planir::RestoreOp>(op)) {
      blocks(restore, plan::StepKind::Restore, plan::Stream::Copy);
      return step;
    }
    if (auto spill = dyn_cast<planir::SpillOp>(op)) {
      blocks(spill, plan::StepKind::Spill, plan::Stream::Compute);
      return step;
    }
    auto swap = [&](auto move, plan::StepKind kind, plan::Stream stream) {
      step.kind = kind;
      step.stream = stream;
      step.name = move.getBuffer().str();
      step.buffer = buffers.lookup(move.getBuffer());
      step.targetOffset = move.getTargetOffset();
      step.bytes = move.getBytes();
      step.below = buffers.lookup(move.getBelow());
      const plan::Buffer &below = out.buffers[step.below];
      out.totals.diskBytes =
          std::max(out.totals.diskBytes, below.offset + below.size);
    };
    if (auto away = dyn_cast<planir::SwapOutOp>(op)) {
      swap(away, plan::StepKind::SwapOut, plan::Stream::Compute);
      return step;
    }
    if (auto back = dyn_cast<planir::SwapInOp>(op)) {
      swap(back, plan::StepKind::SwapIn, plan::Stream::Copy);
      return step;
    }
    if (auto signal = dyn_cast<planir::SignalOp>(op)) {
      step.kind = plan::StepKind::Signal;
      step.stream = static_cast<plan::Stream>(signal.getStream());
      step.event = static_cast<uint32_t>(signal.getEvent());
      entry.numEvents = std::max(entry.numEvents, step.event + 1);
      return step;
    }
    if (auto wait = dyn_cast<planir::WaitOp>(op)) {
      step.kind = plan::StepKind::Wait;
      step.stream = static_cast<plan::Stream>(wait.getStream());
      step.event = static_cast<uint32_t>(wait.getEvent());
      return step;
    }
    auto launch = cast<planir::LaunchOp>(op);
    step.kind = plan::StepKind::Launch;
    step.name = launch.getName().str();
    step.kernel = *planir::parseKernel(launch.getKernel());
    for (planir::ViewAttr view : launch.operandViews()) {
      Result<plan::Operand> operand = emitOperand(table, view);
      if (!operand) {
        return operand.error();
      }
      step.operands.push_back(std::move(*operand));
    }
    if (ArrayAttr params = launch.getParamsAttr()) {
      Result<std::vector<uint32_t>> indices = expressions(table, params);
      if (!indices) {
        return indices.error();
      }
      step.params = *indices;
    }
    if (auto ints = launch.getIntsAttr()) {
      step.ints.assign(ints.asArrayRef().begin(), ints.asArrayRef().end());
    }
    if (auto floats = launch.getFloatsAttr()) {
      step.floats.assign(floats.asArrayRef().begin(),
                         floats.asArrayRef().end());
    }
    return step;
  }

  /// peakLiveBytes counts shared buffers too.
  void fillFigures(planir::EntryOp op, plan::Entry &entry) {
    auto index = static_cast<uint32_t>(&entry - out.entries.data());
    uint64_t shared = 0;
    std::vector<int64_t> change(entry.steps.size() + 2, 0);
    for (const plan::Buffer &buffer : out.buffers) {
      if (buffer.entry == plan::kNone) {
        shared += buffer.tier == plan::Tier::Device ? buffer.size : 0;
      } else if (buffer.entry == index && buffer.start < buffer.end &&
                 buffer.tier == plan::Tier::Device) {
        change[buffer.start] += static_cast<int64_t>(buffer.size);
        change[buffer.end] -= static_cast<int64_t>(buffer.size);
      }
    }
    int64_t live = 0;
    int64_t peak = 0;
    for (int64_t delta : change) {
      live += delta;
      peak = std::max(peak, live);
    }
    entry.peakLiveBytes = shared + static_cast<uint64_t>(peak);
    for (const plan::Step &step : entry.steps) {
      entry.streamedBytes += step.kind == plan::StepKind::Copy ? step.bytes : 0;
    }
    predict(model, op, entry);
  }

  void emitTotals() {
    memory::Totals totals = memory::Totals::of(module);
    out.totals.budgetBytes = totals.budget;
    out.totals.reserveBytes = totals.reserve;
    out.totals.minimumBytes = totals.minimum;
    out.totals.arenaBytes = totals.arena;
    out.totals.deviceBytes = totals.arena + totals.reserve;
    out.totals.residentWeightBytes = totals.residentWeights;
    out.totals.stateBytes = totals.state;
    out.totals.constantBytes = totals.constants;
    out.totals.activationPeakBytes = totals.activationPeak;
    out.totals.stagingBytes = totals.staging;
    out.totals.lowerBoundBytes = totals.lowerBound;
  }

  ModuleOp module;
  memory::CostModel model;
  plan::Plan out;
  llvm::StringMap<uint32_t> segments, buffers, states, carried;
  std::vector<std::string> bufferEntries;
};

} // namespace

Result<plan::Plan> emitPlan(ModuleOp module) { return Emitter(module).run(); }

std::optional<Infeasible> getInfeasible(ModuleOp module) {
  auto attr = module->getAttrOfType<DictionaryAttr>(memory::kInfeasibleAttr);
  if (!attr) {
    return std::nullopt;
  }
  Infeasible out;
  if (auto bytes = attr.getAs<IntegerAttr>("minimum_bytes")) {
    out.minimumBytes = static_cast<uint64_t>(bytes.getInt());
  }
  if (auto step = attr.getAs<StringAttr>("peak_step")) {
    out.peakStep = step.str();
  }
  if (auto tensors = attr.getAs<ArrayAttr>("peak_tensors")) {
    for (auto tensor : tensors.getAsRange<DictionaryAttr>()) {
      out.peakTensors.push_back(
          {tensor.getAs<StringAttr>("name").str(),
           static_cast<uint64_t>(tensor.getAs<IntegerAttr>("bytes").getInt())});
    }
  }
  if (auto advice = attr.getAs<ArrayAttr>("advice")) {
    for (auto line : advice.getAsRange<StringAttr>()) {
      out.advice.push_back(line.str());
    }
  }
  return out;
}

} // namespace llmc::emit
