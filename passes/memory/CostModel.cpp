//===- CostModel.cpp - How long the steps of a plan take -------*- C++ -*-===//

#include "passes/memory/CostModel.h"

#include "mlir/IR/Builders.h"

#include <algorithm>

using namespace mlir;

namespace llmc::memory {

/// One list for both directions, so that they cannot differ.
template <typename RatesT, typename Fn>
static void forEachField(RatesT &rates, Fn fn) {
  fn("f32", rates.f32);
  fn("f16", rates.f16);
  fn("bf16", rates.bf16);
  fn("int8", rates.int8);
  fn("int4", rates.int4);
  fn("attention", rates.attention);
  fn("convolution", rates.convolution);
  fn("score_seconds", rates.scoreSeconds);
  fn("elementwise", rates.elementwise);
  fn("memory", rates.memory);
  fn("scattered", rates.scattered);
  fn("cache", rates.cache);
  fn("cache_bytes", rates.cacheBytes);
  fn("core_cache_bytes", rates.coreCacheBytes);
  fn("threads", rates.threads);
  fn("launch_seconds", rates.launchSeconds);
  fn("share_from_seconds", rates.shareFromSeconds);
  fn("hand_over_seconds", rates.handOverSeconds);
  fn("link", rates.link);
  fn("link_seconds", rates.linkSeconds);
  fn("copy_seconds", rates.copySeconds);
  fn("cached_file_bytes", rates.cachedFileBytes);
  fn("small_copy_bytes", rates.smallCopyBytes);
  fn("cached_link", rates.cachedLink);
  fn("cached_link_seconds", rates.cachedLinkSeconds);
  fn("compute_while_copying", rates.computeWhileCopying);
}

namespace {

struct ToAttr {
  Builder builder;
  SmallVector<NamedAttribute> fields;

  void operator()(StringRef name, const ProductRate &rate) {
    fields.push_back(builder.getNamedAttr(
        name, builder.getF64ArrayAttr({rate.oneRow, rate.manyRows})));
  }
  template <typename T> void operator()(StringRef name, T value) {
    fields.push_back(builder.getNamedAttr(
        name, builder.getF64FloatAttr(static_cast<double>(value))));
  }
};

struct FromAttr {
  DictionaryAttr attr;

  void operator()(StringRef name, ProductRate &rate) {
    auto list = attr.getAs<ArrayAttr>(name);
    if (list && list.size() == 2 && isa<FloatAttr>(list[0]) &&
        isa<FloatAttr>(list[1])) {
      rate = {cast<FloatAttr>(list[0]).getValueAsDouble(),
              cast<FloatAttr>(list[1]).getValueAsDouble()};
    }
  }
  template <typename T> void operator()(StringRef name, T &value) {
    if (auto number = attr.getAs<FloatAttr>(name)) {
      value = static_cast<T>(number.getValueAsDouble());
    }
  }
};

} // namespace

void setRates(ModuleOp module, const Rates &rates) {
  ToAttr to{Builder(module.getContext()), {}};
  forEachField(rates,
               [&](StringRef name, const auto &value) { to(name, value); });
  module->setAttr(kRatesAttr, to.builder.getDictionaryAttr(to.fields));
}

Rates ratesOf(ModuleOp module) {
  Rates rates;
  if (auto attr = module->getAttrOfType<DictionaryAttr>(kRatesAttr)) {
    FromAttr from{attr};
    forEachField(rates,
                 [&](StringRef name, auto &value) { from(name, value); });
  }
  return rates;
}

std::string EntryCost::boundBy() const {
  if (run.linkSeconds > run.computeSeconds) {
    return "link";
  }
  double most = std::max({computeBoundSeconds, memoryBoundSeconds});
  if (overheadSeconds > most) {
    return "overhead";
  }
  return memoryBoundSeconds > computeBoundSeconds ? "memory" : "compute";
}

CostModel::CostModel(ModuleOp module, const Rates &rates) : rates(rates) {
  uint32_t index = 0;
  for (auto buffer : module.getOps<planir::BufferOp>()) {
    buffers[buffer.getSymNameAttr()] = {
        index++, static_cast<plan::BufferKind>(buffer.getKind())};
  }
  for (auto segment : module.getOps<planir::SegmentOp>()) {
    fileBytes += segment.getSize();
  }
}

CopyTime CostModel::copy(uint64_t bytes) const {
  return copyTime(bytes, fileBytes, rates);
}

double CostModel::swap(uint64_t bytes) const {
  return rates.copySeconds +
         static_cast<double>(bytes) / std::min(rates.link, rates.memory / 4);
}

CopyTime CostModel::rows(uint64_t count, uint64_t rowBytes) const {
  // Each row is a read that waits its part of the latency: so many are in
  // flight (IoOptions::depth). Which rows come is not known, so of a file
  // larger than the page cache is trusted with none is there already.
  constexpr double kRowsInFlight = 16;
  double latency = isCached() ? rates.cachedLinkSeconds : rates.linkSeconds;
  double link = isCached() ? rates.cachedLink : rates.link;
  return {static_cast<double>(count) *
              (latency / kRowsInFlight + static_cast<double>(rowBytes) / link),
          latency};
}

graph::SymbolValues CostModel::typical(planir::EntryOp entry) {
  graph::SymbolValues values;
  for (const auto &[name, interval] : planir::getBounds(entry)) {
    int64_t upper = interval.hasUpper() ? interval.upper : interval.lower;
    bool isPast = entry.getPast() == name;
    values[name] = isPast ? std::max(interval.lower, upper / 2) : upper;
  }
  return values;
}

/// An element of a dims or params list; 0 if it cannot be known.
static int64_t valueOf(Attribute attr, const graph::SymbolValues &values) {
  if (auto integer = dyn_cast<IntegerAttr>(attr)) {
    return integer.getInt();
  }
  std::optional<graph::DimExpr> expr = planir::toExpr(attr);
  return expr ? expr->evaluate(values).value_or(0) : 0;
}

LaunchNumbers CostModel::numbers(planir::LaunchOp launch,
                                 const graph::SymbolValues &values) const {
  LaunchNumbers out;
  out.kernel = *planir::parseKernel(launch.getKernel());
  for (planir::ViewAttr view : launch.operandViews()) {
    OperandNumbers operand;
    operand.dtype = *plan::parseDType(view.getDtype().getValue());
    operand.access = static_cast<plan::Access>(view.getAccess());
    operand.packing =
        view.getPanel64() ? plan::Packing::Panel64 : plan::Packing::Raw;
    BufferNumbers buffer = buffers.lookup(view.getBuffer().getAttr());
    operand.buffer = buffer.index;
    operand.kind = buffer.kind;
    for (Attribute dim : view.getDims()) {
      operand.dims.push_back(valueOf(dim, values));
    }
    out.operands.push_back(std::move(operand));
  }
  if (ArrayAttr params = launch.getParamsAttr()) {
    for (Attribute param : params) {
      out.params.push_back(valueOf(param, values));
    }
  }
  if (auto ints = launch.getIntsAttr()) {
    out.ints.assign(ints.asArrayRef().begin(), ints.asArrayRef().end());
  }
  return out;
}

/// What of the blocks is there, half of the context being filled.
static uint64_t restoredBytes(planir::RestoreOp restore, planir::EntryOp entry,
                              const graph::SymbolValues &values) {
  auto state = SymbolTable::lookupNearestSymbolFrom<planir::StateOp>(
      entry, restore.getStateAttr());
  auto buffer = state ? SymbolTable::lookupNearestSymbolFrom<planir::BufferOp>(
                            entry, state.getBufferAttr())
                      : planir::BufferOp();
  auto past = values.find(entry.getPast().value_or("").str());
  if (!buffer || past == values.end()) {
    return 0;
  }
  // Behind the resident blocks lies the one that is being filled.
  uint64_t block =
      buffer.getSize() / (state.getResidentBlocks().value_or(0) + 1);
  uint64_t filled =
      (static_cast<uint64_t>(past->second) + state.getBlockTokens() - 1) /
      state.getBlockTokens();
  uint64_t first = restore.getFirstBlock();
  return std::min(filled > first ? (filled - first) * block : 0,
                  restore.getBytes());
}

std::vector<StepCost>
CostModel::steps(planir::EntryOp entry,
                 const graph::SymbolValues &values) const {
  std::vector<StepCost> out;
  // Weights and states are read once per run; activations pass through a few
  // buffers again and again, and the largest step says how much of them.
  double cold = 0;
  double warm = 0;
  for (Operation &op : entry.getBody().front()) {
    StepCost step;
    if (auto launch = dyn_cast<planir::LaunchOp>(op)) {
      step.work = workOf(numbers(launch, values));
      cold += step.work.coldBytes;
      warm = std::max(warm, step.work.warmBytes);
    }
    out.push_back(std::move(step));
  }
  for (auto [op, step] : llvm::zip_equal(entry.getBody().front(), out)) {
    if (isa<planir::LaunchOp>(op)) {
      LaunchTime time = timeOf(step.work, cold + warm, rates);
      step.seconds = time.seconds;
      step.bound = time.bound;
    } else if (auto copy = dyn_cast<planir::CopyOp>(op)) {
      CopyTime time =
          copy.getIndices()
              ? rows(copy.getBytes() / *copy.getRowBytes(), *copy.getRowBytes())
              : this->copy(copy.getBytes());
      step.seconds = time.seconds + time.latency;
    } else if (auto restore = dyn_cast<planir::RestoreOp>(op)) {
      step.seconds = this->copy(restoredBytes(restore, entry, values)).seconds;
    } else if (auto in = dyn_cast<planir::SwapInOp>(op)) {
      step.seconds = swap(in.getBytes());
    } else if (auto out = dyn_cast<planir::SwapOutOp>(op)) {
      step.seconds = swap(out.getBytes());
      step.bound = Bound::Memory;
    }
  }
  return out;
}

double CostModel::speedWhileCopying() const {
  return isCached() ? std::max(0.5, 1 - 1 / double(std::max(rates.threads, 1u)))
                    : rates.computeWhileCopying;
}

std::optional<EntryCost>
CostModel::cost(planir::EntryOp entry,
                const graph::SymbolValues &values) const {
  using Stream = SimulatedStep::Stream;
  EntryCost out;
  std::vector<SimulatedStep> list;
  auto stream = [](planir::Stream stream) {
    return stream == planir::Stream::Compute ? Stream::Compute : Stream::Copy;
  };
  for (auto [op, step] :
       llvm::zip_equal(entry.getBody().front(), steps(entry, values))) {
    if (auto signal = dyn_cast<planir::SignalOp>(op)) {
      list.push_back(
          SimulatedStep::signal(stream(signal.getStream()),
                                static_cast<uint32_t>(signal.getEvent())));
    } else if (auto wait = dyn_cast<planir::WaitOp>(op)) {
      list.push_back(SimulatedStep::wait(
          stream(wait.getStream()), static_cast<uint32_t>(wait.getEvent())));
    } else if (auto copy = dyn_cast<planir::CopyOp>(op)) {
      CopyTime time = this->copy(copy.getBytes());
      list.push_back(
          SimulatedStep::work(Stream::Copy, time.seconds, time.latency));
      out.copiedBytes += copy.getBytes();
    } else if (isa<planir::RestoreOp, planir::SwapInOp>(op)) {
      list.push_back(SimulatedStep::work(Stream::Copy, step.seconds));
    } else if (isa<planir::LaunchOp, planir::SwapOutOp>(op)) {
      list.push_back(SimulatedStep::work(Stream::Compute, step.seconds));
      out.activationBytes += step.work.warmBytes;
      out.launches += isa<planir::LaunchOp>(op);
      (step.bound == Bound::Compute  ? out.computeBoundSeconds
       : step.bound == Bound::Memory ? out.memoryBoundSeconds
                                     : out.overheadSeconds) += step.seconds;
    }
  }
  std::optional<SimulatedRun> run = simulate(list, speedWhileCopying());
  if (!run) {
    return std::nullopt;
  }
  out.run = *run;
  return out;
}

} // namespace llmc::memory
