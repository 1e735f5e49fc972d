//===- PlacementModel.cpp - What plan-place decides about ------*- C++ -*-===//

#include "passes/memory/PlacementModel.h"

#include "passes/memory/CutLaunch.h"
#include "passes/memory/Layout.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace mlir;

namespace llmc::memory {

using planir::BufferOp;
using planir::Kind;

static bool alwaysStays(BufferOp buffer, const SymbolTable &symbols) {
  if (buffer.getSize() <= PlacementModel::kTinyWeight) {
    return true;
  }
  auto segment = symbols.lookup<planir::SegmentOp>(*buffer.getSegment());
  auto kind =
      segment ? segment.getPacking().getAs<StringAttr>("kind") : StringAttr();
  bool isMatrix =
      kind && (kind.getValue().starts_with("panel64") || kind == "q_codes");
  return buffer.getSize() <= PlacementModel::kSmallWeight && !isMatrix;
}

/// Fills in how the launch could gather by rows.
static void describeGather(planir::LaunchOp launch,
                           const graph::SymbolBounds &bounds,
                           const SymbolTable &symbols,
                           const llvm::DenseMap<StringAttr, uint32_t> &streams,
                           StepInfo &info) {
  std::optional<plan::KernelId> kernel =
      planir::parseKernel(launch.getKernel());
  bool isQuant = kernel == plan::KernelId::GatherQuant;
  if ((!isQuant && kernel != plan::KernelId::Gather) || !launch.getInts()) {
    return;
  }
  ArrayRef<int64_t> ints = *launch.getInts();
  SmallVector<planir::ViewAttr> views(launch.operandViews());
  RowGather gather;
  gather.indexOperand = !isQuant ? 1 : ints[4] != 0 ? 3 : 2;
  gather.indices = views[gather.indexOperand];
  auto rows = views[0].getDims().empty()
                  ? IntegerAttr()
                  : dyn_cast<IntegerAttr>(views[0].getDims()[0]);
  auto from = symbols.lookup<BufferOp>(gather.indices.getBuffer().getValue());
  std::optional<uint64_t> indexBytes =
      planir::boundBytes(gather.indices, bounds);
  if ((!isQuant && ints[0] != 0) || !rows || rows.getInt() <= 0 ||
      (isQuant && ints[0] != rows.getInt()) || !indexBytes ||
      *indexBytes == 0 || from.getKind() == Kind::State ||
      streams.contains(from.getSymNameAttr())) {
    return;
  }
  gather.rows = static_cast<uint64_t>(rows.getInt());
  gather.maxRows =
      *indexBytes * 8 /
      plan::bitWidth(*plan::parseDType(gather.indices.getDtype().getValue()));
  uint64_t whole = 0, gathered = 0;
  if (info.uses.empty()) {
    return;
  }
  uint32_t weight = info.uses.front().weight;
  for (uint32_t i = 0; i < gather.indexOperand; ++i) {
    planir::ViewAttr view = views[i];
    auto buffer = symbols.lookup<BufferOp>(view.getBuffer().getValue());
    if (!buffer.getSegment() || view.getOffset() != 0 ||
        view.getDims().empty() || view.getDims()[0] != rows) {
      return;
    }
    auto segment = symbols.lookup<planir::SegmentOp>(*buffer.getSegment());
    FlatSymbolRefAttr source = buffer.getSegmentAttr();
    if (view.getPanel64()) {
      source = segment ? segment.getByRowsAttr() : FlatSymbolRefAttr();
      segment = source ? symbols.lookup<planir::SegmentOp>(source.getValue())
                       : planir::SegmentOp();
    }
    std::optional<uint64_t> bytes = planir::boundBytes(
        planir::ViewAttr::get(launch.getContext(), view.getBuffer(),
                              view.getAccess(), view.getDtype(), view.getDims(),
                              /*panel64=*/false, 0),
        bounds);
    if (!segment || !bytes || segment.getSize() != *bytes ||
        *bytes % gather.rows != 0) {
      return;
    }
    auto it = streams.find(buffer.getSymNameAttr());
    if (it != streams.end()) {
      weight = it->second;
    }
    gather.tables.push_back({buffer, source, i, *bytes / gather.rows, weight});
    whole += *bytes;
    gathered += gather.tables.back().rowBytes * gather.maxRows;
  }
  if (gathered >= whole) {
    return;
  }
  for (WeightUse &use : info.uses) {
    use.byRows = use.operand < gather.indexOperand;
  }
  info.gather = std::move(gather);
}

PlacementModel::PlacementModel(ModuleOp module) : costs(module) {
  SymbolTable symbols(module);
  llvm::DenseMap<StringAttr, uint32_t> weightIndex;
  llvm::DenseMap<StringAttr, BufferOp> buffers;
  for (auto buffer : module.getOps<BufferOp>()) {
    buffers[buffer.getSymNameAttr()] = buffer;
    if (buffer.getEntry() || buffer.getTier() != planir::Tier::Device) {
      continue;
    }
    if (buffer.getKind() == Kind::Weight) {
      if (!alwaysStays(buffer, symbols)) {
        weightIndex[buffer.getSymNameAttr()] =
            static_cast<uint32_t>(weights.size());
        weights.push_back({buffer, buffer.getSize()});
        continue;
      }
    }
    fixedBytes += padded(buffer.getSize());
  }
  for (auto op : module.getOps<planir::EntryOp>()) {
    EntryInfo entry;
    entry.op = op;
    std::vector<StepCost> stepCosts = costs.steps(op);
    graph::SymbolBounds bounds = planir::getBounds(op);
    uint64_t restoring = 0; // bytes, without a step between
    for (Operation &step : op.getBody().front()) {
      StepInfo info;
      info.seconds = isa<planir::SwapInOp>(step)
                         ? 0 // on the copy stream
                         : stepCosts[entry.stepInfos.size()].seconds;
      if (auto restore = dyn_cast<planir::RestoreOp>(step)) {
        // A window is chosen for a full state.
        info.restoredBytes = restore.getBytes();
        restoring += padded(info.restoredBytes);
        restoreGroup = std::max(restoreGroup, restoring);
      } else {
        restoring = 0;
      }
      if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
        for (auto [i, view] : llvm::enumerate(launch.operandViews())) {
          auto it = weightIndex.find(view.getBuffer().getAttr());
          if (it != weightIndex.end() &&
              llvm::none_of(info.uses, [&](const WeightUse &use) {
                return use.weight == it->second;
              })) {
            info.uses.push_back({it->second, static_cast<uint32_t>(i), 0});
          }
        }
        describeCut(launch, info, weights);
        describeGather(launch, bounds, symbols, weightIndex, info);
      }
      for (const WeightUse &use : info.uses) {
        weights[use.weight].isWhole |= use.unitBytes == 0 && !use.byRows;
      }
      entry.stepInfos.push_back(std::move(info));
    }
    entry.steps = static_cast<uint32_t>(entry.stepInfos.size());
    // Lifetimes of inputs and outputs reach beyond the steps that touch them;
    // region() adds that again, in the numbers of the new list.
    uint32_t index = 0;
    llvm::DenseMap<StringAttr, std::pair<uint32_t, uint32_t>> touches;
    for (Operation &step : op.getBody().front()) {
      if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
        for (planir::ViewAttr view : launch.operandViews()) {
          auto [it, isNew] = touches.try_emplace(view.getBuffer().getAttr(),
                                                 std::pair(index, index));
          it->second.second = index;
        }
      }
      // Slots of spilled states come with their steps, see plan-spill.
      FlatSymbolRefAttr slot;
      if (auto restore = dyn_cast<planir::RestoreOp>(step)) {
        slot = restore.getBufferAttr();
      } else if (auto spill = dyn_cast<planir::SpillOp>(step)) {
        slot = spill.getBufferAttr();
      } else if (auto out = dyn_cast<planir::SwapOutOp>(step)) {
        slot = out.getBufferAttr();
      } else if (auto in = dyn_cast<planir::SwapInOp>(step)) {
        slot = in.getBufferAttr();
      }
      if (slot) {
        auto [it, isNew] =
            touches.try_emplace(slot.getAttr(), std::pair(index, index));
        it->second.second = index;
      }
      ++index;
    }
    for (auto buffer : module.getOps<BufferOp>()) {
      if (buffer.getEntry() != op.getSymName() ||
          buffer.getTier() != planir::Tier::Device) {
        continue;
      }
      ActivationInfo info;
      info.op = buffer;
      info.size = buffer.getSize();
      auto it = touches.find(buffer.getSymNameAttr());
      if (it != touches.end()) {
        info.touched = true;
        info.first = it->second.first;
        info.last = it->second.second;
      }
      entry.activations.push_back(info);
    }
    entries.push_back(std::move(entry));
  }
}

size_t PlacementModel::mainEntry() const {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (planir::EntryOp(entries[i].op).getSymName() == "decode") {
      return i;
    }
  }
  return 0;
}

std::vector<solver::Buffer>
PlacementModel::region(const EntryInfo &entry,
                       const StreamSchedule &schedule) const {
  std::vector<solver::Buffer> buffers;
  for (const ActivationInfo &info : entry.activations) {
    uint32_t start = 0;
    uint32_t end = 0;
    if (info.touched) {
      start = schedule.newIndex[schedule.firstPiece[info.first]];
      end = schedule.newIndex[schedule.firstPiece[info.last + 1] - 1] + 1;
    }
    Kind kind = BufferOp(info.op).getKind();
    if (kind == Kind::Input) {
      start = 0;
      end = std::max(end, 1u);
    } else if (kind == Kind::Output) {
      end = std::max(schedule.newSteps, 1u);
    }
    buffers.push_back(
        regionBuffer(info.size, start, end, kind == Kind::Staging));
  }
  size_t copy = 0;
  uint64_t next = 0;
  auto carry = [&](const StreamRange &range, uint32_t start, uint32_t end) {
    buffers.push_back(
        regionBuffer(range.bytes, start, std::max(end, 1u), true));
    buffers.back().fixed = placeCarried(next, range.bytes);
  };
  for (size_t i = 0; i < schedule.groups.size(); ++i) {
    for (const StreamRange &range : schedule.groups[i].ranges) {
      if (range.isRestore) {
        ++copy; // its slot is among the activations
        continue;
      }
      uint32_t end = schedule.newIndex[range.last] + 1;
      if (i < schedule.carried) {
        carry(range, 0, end);
      } else {
        buffers.push_back(
            regionBuffer(range.bytes, schedule.copyIndex[copy++], end, true));
      }
    }
  }
  next = 0;
  for (const Refill &refill : schedule.refills) {
    for (const StreamRange &range : schedule.groups[refill.group].ranges) {
      carry(range, schedule.copyIndex[copy++], schedule.newSteps);
    }
  }
  next = 0;
  for (const StreamRange &range : schedule.kept) {
    carry(range, 0, schedule.newSteps);
  }
  size_t gather = 0;
  for (const StreamGroup &group : schedule.gathers) {
    for (const StreamRange &range : group.ranges) {
      buffers.push_back(
          regionBuffer(range.bytes, schedule.gatherIndex[gather++],
                       schedule.newIndex[group.reader] + 1, true));
    }
  }
  return buffers;
}

namespace {

/// The steps that plan-place would write, for the simulation.
struct Simulated {
  using Stream = SimulatedStep::Stream;

  const EntryInfo &entry;
  const StreamSchedule &schedule;
  const CostModel &costs;
  std::vector<SimulatedStep> steps = {};
  uint32_t events = 0;
  std::vector<uint32_t> arrival = {}; // per group
  uint32_t rows = 0;                  // event of the gather

  void at(uint32_t) {}
  void copies(const StreamGroup &group) {
    uint32_t go = events++;
    steps.push_back(SimulatedStep::signal(Stream::Compute, go));
    steps.push_back(SimulatedStep::wait(Stream::Copy, go));
    for (const StreamRange &range : group.ranges) {
      CopyTime time = costs.copy(range.bytes);
      if (range.table) {
        const RowGather &gather =
            entry.stepInfos[schedule.pieces[range.first].step].gather;
        time = costs.rows(gather.maxRows, gather.tables[*range.table].rowBytes);
      }
      steps.push_back(
          SimulatedStep::work(Stream::Copy, time.seconds, time.latency));
    }
  }
  uint32_t arrived() {
    steps.push_back(SimulatedStep::signal(Stream::Copy, events));
    return events++;
  }
  void gather(uint32_t i) {
    copies(schedule.gathers[i]);
    rows = arrived();
  }
  void copy(uint32_t i) {
    copies(schedule.groups[i]);
    arrival.push_back(arrived());
  }
  void refill(uint32_t i) {
    copies(schedule.groups[schedule.refills[i].group]);
  }
  void waitForGather(uint32_t) {
    steps.push_back(SimulatedStep::wait(Stream::Compute, rows));
  }
  void waitForCopy(uint32_t i) {
    steps.push_back(
        SimulatedStep::wait(Stream::Compute, arrival[i - schedule.carried]));
  }
  void launch(uint32_t piece) {
    if (schedule.pieces[piece].isRestore) {
      return;
    }
    const Rates &rates = costs.machine();
    uint32_t step = schedule.pieces[piece].step;
    uint32_t count = schedule.firstPiece[step + 1] - schedule.firstPiece[step];
    steps.push_back(SimulatedStep::work(
        Stream::Compute, rates.launchSeconds + rates.handOverSeconds +
                             entry.stepInfos[step].seconds / count));
  }
};

} // namespace

double PlacementModel::seconds(const EntryInfo &entry,
                               const StreamSchedule &schedule) const {
  Simulated simulated{entry, schedule, costs};
  walk(schedule, simulated);
  const std::vector<SimulatedStep> &steps = simulated.steps;
  std::optional<SimulatedRun> run = simulate(steps, costs.speedWhileCopying());
  assert(run && "every event is signalled before it is waited for");
  if (!run) {
    return INFINITY;
  }
  // Copies out of the page cache are work of the same cores; handing each to a
  // thread and back takes most of what the overlap gains.
  constexpr double kOverlapped = 0.25;
  double serial = 0;
  for (const SimulatedStep &step : steps) {
    serial += step.seconds;
  }
  return costs.isCached()
             ? kOverlapped * run->seconds + (1 - kOverlapped) * serial
             : run->seconds;
}

uint64_t PlacementModel::gatheredRows(const Choice &choice) const {
  uint64_t rows = 0;
  for (const EntryInfo &entry : entries) {
    for (const StepInfo &info : entry.stepInfos) {
      if (info.gathers(choice.resident)) {
        rows = std::max(rows, info.gather.maxRows);
      }
    }
  }
  return rows;
}

uint64_t PlacementModel::sharedBytes(const Choice &choice) const {
  uint64_t bytes = fixedBytes;
  for (size_t i = 0; i < weights.size(); ++i) {
    bytes += choice.resident[i] ? padded(weights[i].size) : 0;
  }
  return bytes + padded(gatheredRows(choice) * sizeof(int64_t));
}

/// The arena, given the shared part and what each region takes.
template <typename Extent>
static uint64_t arenaBytes(const PlacementModel &model,
                           const Streaming &streaming, uint64_t shared,
                           Extent extentOf) {
  uint64_t largest = 0;
  bool hasLargeSlots = false;
  for (auto [entry, schedule] :
       llvm::zip_equal(model.entries, streaming.schedules)) {
    std::vector<solver::Buffer> buffers = model.region(entry, schedule);
    hasLargeSlots |= llvm::any_of(buffers, [](const solver::Buffer &buffer) {
      return buffer.alignment == kSlotAlignment;
    });
    largest = std::max(largest, extentOf(std::move(buffers)));
  }
  return regionStart(shared, hasLargeSlots) + largest;
}

uint64_t PlacementModel::estimate(const Choice &choice,
                                  const Streaming &streaming) const {
  return arenaBytes(*this, streaming, sharedBytes(choice),
                    [](std::vector<solver::Buffer> buffers) {
                      solver::Problem problem;
                      problem.buffers = std::move(buffers);
                      return solver::lowerBound(problem);
                    });
}

uint64_t PlacementModel::evaluate(const Choice &choice,
                                  const Streaming &streaming) const {
  return arenaBytes(*this, streaming, sharedBytes(choice),
                    [](const std::vector<solver::Buffer> &buffers) {
                      return solveRegion(buffers).extent;
                    });
}

} // namespace llmc::memory
