//===- PlanSwap.cpp - Activations that leave for a while -------*- C++ -*-===//
//
// SwapChoice decides; this file finds the bound that the budget asks for and
// rewrites the plan.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/Layout.h"
#include "passes/memory/Liveness.h"
#include "passes/memory/PlacementChoice.h"
#include "passes/memory/SwapChoice.h"

#include "llvm/ADT/StringSet.h"

namespace llmc {
#define GEN_PASS_DEF_PLANSWAPPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using memory::Move;
using memory::PlacementModel;
using memory::SwapProblem;
using planir::BufferOp;
using planir::EntryOp;
using planir::LaunchOp;
using planir::ViewAttr;

constexpr uint64_t kFileAlignment = 4096; // of an activation in the spill file

/// An entry's problem, and what can be done.
struct Entry {
  EntryOp op;
  SwapProblem problem;
  std::vector<Move> possible;
};

/// Bytes of slots that the smallest plan has beside each step.
std::vector<int64_t> slotLevels(const PlacementModel &model,
                                const memory::EntryInfo &entry,
                                const memory::StreamSchedule &plan) {
  std::vector<solver::Buffer> buffers = model.region(entry, plan);
  std::vector<int64_t> change(plan.newSteps + 1);
  for (size_t i = entry.activations.size(); i < buffers.size(); ++i) {
    change[buffers[i].start] += static_cast<int64_t>(buffers[i].size);
    change[buffers[i].end] -= static_cast<int64_t>(buffers[i].size);
  }
  for (size_t i = 1; i < change.size(); ++i) {
    change[i] += change[i - 1];
  }
  std::vector<int64_t> levels(entry.steps);
  for (uint32_t step = 0; step < entry.steps; ++step) {
    for (uint32_t piece = plan.firstPiece[step];
         piece < plan.firstPiece[step + 1]; ++piece) {
      levels[step] = std::max(levels[step], change[plan.newIndex[piece]]);
    }
  }
  return levels;
}

Entry makeEntry(const PlacementModel &model, const memory::EntryInfo &info,
                const memory::StreamSchedule &smallest,
                const SymbolTable &symbols) {
  Entry entry;
  entry.op = info.op;
  SwapProblem &problem = entry.problem;
  problem.model = memory::StepModel(entry.op, symbols);
  problem.levels = slotLevels(model, info, smallest);
  auto lifetimes = memory::computeLifetimes(entry.op);
  // What other steps than launches touch has slots and windows of its own.
  llvm::DenseSet<StringAttr> taken;
  for (Operation &op : entry.op.getBody().front()) {
    if (auto restore = dyn_cast<planir::RestoreOp>(op)) {
      taken.insert(restore.getBufferAttr().getAttr());
    }
  }
  int64_t highest = 0;
  for (const memory::StepBuffer &buffer : problem.model.buffers) {
    BufferOp op = buffer.op;
    memory::Lifetime live{0, UINT32_MAX};
    if (!buffer.isShared()) {
      live = lifetimes.lookup(op.getSymNameAttr());
      for (uint32_t step = live.start; step < live.end; ++step) {
        problem.levels[step] +=
            static_cast<int64_t>(memory::padded(buffer.size));
      }
    }
    problem.lifetimes.push_back({live.start, live.end});
    problem.movable.push_back((buffer.kind == planir::Kind::Activation ||
                               buffer.kind == planir::Kind::Input) &&
                              op.getTier() == planir::Tier::Device &&
                              !taken.contains(op.getSymNameAttr()));
  }
  for (int64_t level : problem.levels) {
    highest = std::max(highest, level);
  }
  // A thousand buffers of a thousandth of the peak take a step or four each.
  problem.smallest = std::max<uint64_t>(problem.smallest,
                                        static_cast<uint64_t>(highest) / 512);
  for (const memory::StepInfo &step : info.stepInfos) {
    problem.seconds.push_back(step.seconds);
    // What it streams would have to come again.
    std::optional<double> again;
    if (step.uses.empty()) {
      again = step.seconds + model.costs.machine().launchSeconds +
              model.costs.machine().handOverSeconds;
    }
    problem.again.push_back(again);
  }
  problem.swapSeconds = model.costs.swap(0);
  problem.bytesPerSecond =
      1e6 / (model.costs.swap(1000000) - problem.swapSeconds);
  entry.possible = memory::possibleMoves(problem);
  return entry;
}

//===-- Rewriting ------------------------------------------------------------//

class Rewriter {
public:
  explicit Rewriter(ModuleOp module)
      : module(module), builder(module.getContext()) {
    for (auto op : module.getOps<SymbolOpInterface>()) {
      names.insert(op.getName());
    }
    for (auto buffer : module.getOps<BufferOp>()) {
      if (!buffer.getEntry() && buffer.getTier() == planir::Tier::Disk) {
        lasting = std::max<uint64_t>(lasting, buffer.getOffset().value_or(0) +
                                                  buffer.getSize());
      }
    }
  }

  /// `moves` are ordered by buffer and step. Returns their predicted seconds.
  double run(EntryOp entry, const memory::StepModel &model,
             const std::vector<Move> &moves) {
    fileEnd = llvm::alignTo(lasting, kFileAlignment);
    SmallVector<Operation *> steps;
    uint64_t nextEvent = 0;
    for (Operation &step : entry.getBody().front()) {
      steps.push_back(&step);
      if (auto signal = dyn_cast<planir::SignalOp>(step)) {
        nextEvent = std::max(nextEvent, signal.getEvent() + 1);
      }
    }
    // Where a buffer's contents are from a step on.
    llvm::DenseMap<StringAttr, SmallVector<std::pair<uint32_t, BufferOp>>> at;
    struct Placed {
      BufferOp from, to, below;
      bool writes = false; // out, or it is below from the move before
      uint64_t event = 0;
    };
    std::vector<Placed> placed;
    double seconds = 0;
    for (size_t i = 0; i < moves.size(); ++i) {
      const Move &move = moves[i];
      BufferOp original = model.buffers[move.buffer].op;
      auto &parts = at[original.getSymNameAttr()];
      Placed place;
      place.from = parts.empty() ? original : parts.back().second;
      auto size = static_cast<uint64_t>(original.getSize());
      place.to =
          make(original, entry, ".back",
               move.again ? planir::Kind::Activation : planir::Kind::Staging,
               planir::Tier::Device, size);
      if (!move.again) {
        place.event = nextEvent++;
        // Unchanged since it was written: it is still below.
        bool isThere =
            i > 0 && moves[i - 1].buffer == move.buffer &&
            placed[i - 1].below && moves[i - 1].begin == move.begin &&
            moves[i - 1].end == move.end &&
            !isWritten(model, move.buffer, moves[i - 1].before, move.after);
        place.writes = !isThere;
        seconds -= isThere ? move.seconds / 2 : 0;
        place.below =
            isThere ? placed[i - 1].below
                    : make(original, entry, ".below", planir::Kind::Activation,
                           planir::Tier::Disk, move.end - move.begin);
        if (!isThere) {
          place.below.setOffsetAttr(number(fileEnd));
          fileEnd =
              llvm::alignTo(fileEnd + move.end - move.begin, kFileAlignment);
        }
      }
      seconds += move.seconds;
      parts.push_back({move.before, place.to});
      placed.push_back(place);
    }

    auto placeOf = [&](FlatSymbolRefAttr buffer, uint32_t step) {
      FlatSymbolRefAttr found = buffer;
      auto it = at.find(buffer.getAttr());
      for (auto [from, part] :
           it == at.end() ? SmallVector<std::pair<uint32_t, BufferOp>>()
                          : it->second) {
        if (from <= step) {
          found = FlatSymbolRefAttr::get(part.getSymNameAttr());
        }
      }
      return found;
    };
    SmallVector<ArrayAttr> before; // the views of each launch
    for (auto [index, step] : llvm::enumerate(steps)) {
      auto launch = dyn_cast<LaunchOp>(step);
      before.push_back(launch ? launch.getViewsAttr() : ArrayAttr());
      if (launch) {
        redirect(launch, before.back(), static_cast<uint32_t>(index), placeOf);
      }
    }
    for (auto [move, place] : llvm::zip_equal(moves, placed)) {
      if (move.again) {
        continue;
      }
      Location loc = BufferOp(place.from).getLoc();
      auto bytes = number(move.end - move.begin);
      auto below = FlatSymbolRefAttr::get(place.below.getSymNameAttr());
      if (place.writes) {
        builder.setInsertionPointAfter(steps[move.after]);
        planir::SwapOutOp::create(
            builder, loc, bytes,
            FlatSymbolRefAttr::get(place.from.getSymNameAttr()),
            number(move.begin), below);
      }
      builder.setInsertionPoint(steps[move.issue]);
      uint64_t go = nextEvent++;
      planir::SignalOp::create(builder, loc, go, planir::Stream::Compute);
      planir::WaitOp::create(builder, loc, go, planir::Stream::Copy);
      planir::SwapInOp::create(
          builder, loc, bytes,
          FlatSymbolRefAttr::get(place.to.getSymNameAttr()), number(move.begin),
          below);
      planir::SignalOp::create(builder, loc, place.event, planir::Stream::Copy);
    }
    // Behind all copies that are issued in front of the same step.
    for (auto [move, place] : llvm::zip_equal(moves, placed)) {
      if (!move.again) {
        builder.setInsertionPoint(steps[move.before]);
        planir::WaitOp::create(builder, steps[move.before]->getLoc(),
                               place.event, planir::Stream::Compute);
      }
    }
    for (const Move &move : moves) {
      if (move.again) {
        builder.setInsertionPoint(steps[move.before]);
        auto launch = cast<LaunchOp>(builder.clone(*steps[*move.again]));
        redirect(launch, before[*move.again], move.before, placeOf);
      }
    }
    return seconds;
  }

private:
  static bool isWritten(const memory::StepModel &model, uint32_t buffer,
                        uint32_t first, uint32_t last) {
    for (uint32_t step = first; step <= last; ++step) {
      for (const memory::Touch &touch : model.steps[step].touches) {
        if (touch.buffer == buffer && touch.writes) {
          return true;
        }
      }
    }
    return false;
  }

  template <typename PlaceOf>
  void redirect(LaunchOp launch, ArrayAttr original, uint32_t step,
                PlaceOf placeOf) {
    SmallVector<Attribute> views;
    for (ViewAttr view : original.getAsRange<ViewAttr>()) {
      views.push_back(
          ViewAttr::get(module.getContext(), placeOf(view.getBuffer(), step),
                        view.getAccess(), view.getDtype(), view.getDims(),
                        view.getPanel64(), view.getOffset()));
    }
    launch.setViewsAttr(builder.getArrayAttr(views));
  }

  IntegerAttr number(uint64_t value) {
    return builder.getI64IntegerAttr(static_cast<int64_t>(value));
  }

  BufferOp make(BufferOp original, EntryOp entry, StringRef suffix,
                planir::Kind kind, planir::Tier tier, uint64_t size) {
    std::string wanted = (original.getSymName() + suffix).str();
    std::string name = wanted;
    for (unsigned i = 1; !names.insert(name).second; ++i) {
      name = wanted + "." + std::to_string(i);
    }
    OpBuilder before(*module.getOps<EntryOp>().begin());
    MLIRContext *context = module.getContext();
    return BufferOp::create(before, original.getLoc(),
                            builder.getStringAttr(name),
                            planir::KindAttr::get(context, kind),
                            planir::TierAttr::get(context, tier), number(size),
                            IntegerAttr(), IntegerAttr(), IntegerAttr(),
                            FlatSymbolRefAttr::get(entry.getSymNameAttr()),
                            FlatSymbolRefAttr(), ElementsAttr());
  }

  ModuleOp module;
  OpBuilder builder;
  llvm::StringSet<> names;
  uint64_t lasting = 0; // bytes of the spill file that states take
  uint64_t fileEnd = 0;
};

//===-- The pass -------------------------------------------------------------//

struct PlanSwap : impl::PlanSwapPassBase<PlanSwap> {
  using PlanSwapPassBase::PlanSwapPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    uint64_t without = 0;
    int64_t lowest = 0, highest = 0;
    {
      PlacementModel model(module);
      memory::MinimumPlan smallest = memory::findMinimum(model, reserve);
      without = smallest.bytes;
      SymbolTable symbols(module);
      memory::Streaming streaming = model.stream(smallest.choice);
      for (auto [info, schedule] :
           llvm::zip_equal(model.entries, streaming.schedules)) {
        entries.push_back(makeEntry(model, info, schedule, symbols));
        const Entry &entry = entries.back();
        lowest = std::max(lowest,
                          memory::lowestLevel(entry.problem, entry.possible));
        for (int64_t level : entry.problem.levels) {
          highest = std::max(highest, level);
        }
      }
    }
    // Less than that part is not worth the spill file, nor the time to plan.
    constexpr uint64_t kLeastGain = 100;
    if (static_cast<uint64_t>(highest - lowest) <= without / kLeastGain) {
      entries.clear();
      return;
    }
    uint64_t least = tryBound(lowest);
    if (least < without) {
      module->setAttr(memory::kLeastAttr,
                      Builder(&getContext())
                          .getI64IntegerAttr(static_cast<int64_t>(least)));
      if (budget < without) {
        apply(module,
              budget >= least ? findBound(without, lowest, highest) : lowest);
        memory::updateLifetimes(module);
      }
    }
    entries.clear();
  }

private:
  /// The highest of some bounds at which the smallest plan is within the
  /// budget; `lowest` is one.
  int64_t findBound(uint64_t without, int64_t lowest, int64_t highest) {
    // A byte off the levels is mostly one off the plan.
    int64_t bound = highest;
    uint64_t needed = without;
    for (int tries = 0; tries < 4; ++tries) {
      bound -= static_cast<int64_t>(needed - budget);
      if (bound <= lowest) {
        break;
      }
      needed = tryBound(bound);
      if (needed <= budget) {
        return bound;
      }
    }
    return lowest;
  }

  /// What the smallest plan takes under a bound.
  uint64_t tryBound(int64_t bound) {
    OwningOpRef<ModuleOp> trial = cast<ModuleOp>(getOperation()->clone());
    if (!apply(*trial, bound)) {
      return UINT64_MAX;
    }
    memory::updateLifetimes(*trial);
    return memory::findMinimum(PlacementModel(*trial), reserve).bytes;
  }

  /// Rewrites `module`, the pass's own or a clone of it.
  bool apply(ModuleOp module, int64_t bound) {
    std::vector<std::vector<Move>> all;
    for (const Entry &entry : entries) {
      std::optional<std::vector<Move>> moves =
          memory::chooseMoves(entry.problem, entry.possible, bound);
      if (!moves) {
        return false;
      }
      all.push_back(std::move(*moves));
    }
    Rewriter rewriter(module);
    uint64_t swapped = 0, again = 0;
    double seconds = 0;
    for (auto [entry, moves, op] :
         llvm::zip_equal(entries, all, module.getOps<EntryOp>())) {
      seconds += rewriter.run(op, entry.problem.model, moves);
      for (const Move &move : moves) {
        ++(move.again ? again : swapped);
      }
    }
    Builder b(module.getContext());
    module->setAttr(
        memory::kSwapsAttr,
        b.getDictionaryAttr(
            {b.getNamedAttr("swapped",
                            b.getI64IntegerAttr(static_cast<int64_t>(swapped))),
             b.getNamedAttr("recomputed",
                            b.getI64IntegerAttr(static_cast<int64_t>(again))),
             b.getNamedAttr("seconds", b.getF64FloatAttr(seconds))}));
    return true;
  }

  std::vector<Entry> entries;
};

} // namespace
} // namespace llmc
