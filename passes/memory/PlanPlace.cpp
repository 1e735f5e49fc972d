//===- PlanPlace.cpp - Residency and streaming under a budget --*- C++ -*-===//
//
// The decision is made on numbers (PlacementModel, PlacementChoice), a budget
// that cannot be met is reported by BudgetReport; this file rewrites the plan.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/BudgetReport.h"
#include "passes/memory/CutLaunch.h"
#include "passes/memory/Layout.h"
#include "passes/memory/Liveness.h"
#include "passes/memory/PlacementChoice.h"

#include "llvm/ADT/StringSet.h"

#include <numeric>

namespace llmc {
#define GEN_PASS_DEF_PLANPLACEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using memory::Choice;
using memory::EntryInfo;
using memory::MinimumPlan;
using memory::Piece;
using memory::PlacementModel;
using memory::StreamGroup;
using memory::Streaming;
using memory::StreamRange;
using memory::StreamSchedule;
using memory::WeightUse;
using planir::BufferOp;
using planir::Kind;

//===-- Rewriting ------------------------------------------------------------//

class Rewriter {
public:
  Rewriter(ModuleOp module, const PlacementModel &model, const Choice &choice)
      : module(module), model(model), choice(choice),
        streaming(model.stream(choice)), context(module.getContext()),
        builder(context) {
    for (auto op : module.getOps<SymbolOpInterface>()) {
      names.insert(op.getName());
    }
  }

  void run() {
    makeCarried();
    if (uint64_t count = model.gatheredRows(choice)) {
      makeRowNumbers(static_cast<int64_t>(count));
    }
    for (auto [entry, plan] :
         llvm::zip_equal(model.entries, streaming.schedules)) {
      rewrite(entry, plan);
    }
    for (size_t i = 0; i < model.weights.size(); ++i) {
      if (!choice.resident[i]) {
        BufferOp(model.weights[i].op).erase();
      }
    }
  }

private:
  void makeCarried() {
    OpBuilder before(*module.getOps<planir::EntryOp>().begin());
    for (const StreamRange &range : streaming.carried) {
      BufferOp weight = model.weights[range.weight].op;
      std::string name = "carried." + std::to_string(carried.size());
      auto bytes = [&](uint64_t value) {
        return builder.getI64IntegerAttr(static_cast<int64_t>(value));
      };
      carried.push_back(planir::CarriedOp::create(
          before, weight.getLoc(), builder.getStringAttr(name),
          bytes(range.bytes), weight.getSegmentAttr(), bytes(range.begin),
          IntegerAttr()));
    }
  }

  /// The entry's places of the carried slots, one of each per slot.
  void carry(planir::EntryOp entry, ArrayRef<BufferOp> first,
             ArrayRef<BufferOp> last) {
    OpBuilder before(*module.getOps<planir::EntryOp>().begin());
    auto named = [](auto op) {
      return FlatSymbolRefAttr::get(op.getSymNameAttr());
    };
    for (size_t i = 0; i < carried.size(); ++i) {
      planir::CarryOp::create(before, carried[i].getLoc(), named(carried[i]),
                              named(entry), named(BufferOp(first[i])),
                              named(BufferOp(last[i])));
    }
  }

  /// 0, 1, 2, ...: the rows of a slot, in the order of the indices that they
  /// were gathered for.
  void makeRowNumbers(int64_t count) {
    SmallVector<int64_t> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    std::string name = "constant.rows";
    for (unsigned i = 1; !names.insert(name).second; ++i) {
      name = "constant.rows." + std::to_string(i);
    }
    // Behind the other lasting buffers.
    auto buffers = module.getOps<BufferOp>();
    auto it = llvm::find_if(buffers, [](BufferOp op) { return op.getEntry(); });
    OpBuilder before(
        it != buffers.end()
            ? (*it).getOperation()
            : (*module.getOps<planir::EntryOp>().begin()).getOperation());
    rowNumbers = BufferOp::create(
        before, module.getLoc(), builder.getStringAttr(name),
        planir::KindAttr::get(context, Kind::Constant),
        planir::TierAttr::get(context, planir::Tier::Device),
        builder.getI64IntegerAttr(count * 8), IntegerAttr(), IntegerAttr(),
        IntegerAttr(), FlatSymbolRefAttr(), FlatSymbolRefAttr(),
        DenseElementsAttr::get(
            RankedTensorType::get({count}, builder.getI64Type()),
            ArrayRef<int64_t>(numbers)));
  }

  /// Gathers one table of a launch into its slot and lets the launch read that,
  /// where row i belongs to index i.
  void gatherRows(planir::LaunchOp launch, const memory::RowGather &gather,
                  const memory::RowTable &table, BufferOp slot) {
    auto number = [&](uint64_t value) {
      return builder.getI64IntegerAttr(static_cast<int64_t>(value));
    };
    auto slotRef = FlatSymbolRefAttr::get(slot.getSymNameAttr());
    planir::CopyOp::create(
        builder, launch.getLoc(), table.segment, number(0), slotRef, number(0),
        number(gather.maxRows * table.rowBytes), number(gather.rows),
        number(table.rowBytes), gather.indices);
    SmallVector<Attribute> views(launch.getViews().getValue());
    auto view = cast<planir::ViewAttr>(views[table.operand]);
    SmallVector<Attribute> dims(view.getDims().getValue());
    dims[0] = number(gather.maxRows);
    views[table.operand] = planir::ViewAttr::get(
        context, slotRef, view.getAccess(), view.getDtype(),
        builder.getArrayAttr(dims), /*panel64=*/false, 0);
    views[gather.indexOperand] = planir::ViewAttr::get(
        context, FlatSymbolRefAttr::get(rowNumbers.getSymNameAttr()),
        planir::Access::Read, builder.getStringAttr("i64"),
        gather.indices.getDims(), /*panel64=*/false, 0);
    launch.setViewsAttr(builder.getArrayAttr(views));
    if (planir::parseKernel(launch.getKernel()) ==
        plan::KernelId::GatherQuant) {
      SmallVector<int64_t> ints(*launch.getInts());
      ints[0] = static_cast<int64_t>(gather.maxRows);
      launch.setIntsAttr(builder.getDenseI64ArrayAttr(ints));
    }
  }

  /// Writes the copies of the launch's rows; returns the event to wait for.
  uint64_t gather(planir::EntryOp entry, planir::LaunchOp launch,
                  const StreamGroup &group, const memory::RowGather &how,
                  uint64_t &nextEvent) {
    Location loc = launch.getLoc();
    uint64_t go = nextEvent++;
    planir::SignalOp::create(builder, loc, go, planir::Stream::Compute);
    planir::WaitOp::create(builder, loc, go, planir::Stream::Copy);
    for (const StreamRange &range : group.ranges) {
      const memory::RowTable &table = how.tables[*range.table];
      gatherRows(launch, how, table, makeSlot(entry, range, table.op));
    }
    uint64_t arrived = nextEvent++;
    planir::SignalOp::create(builder, loc, arrived, planir::Stream::Copy);
    return arrived;
  }

  BufferOp weightOf(const StreamRange &range) {
    return model.weights[range.weight].op;
  }

  BufferOp makeSlot(planir::EntryOp entry, const StreamRange &range,
                    BufferOp weight) {
    StringRef base = weight.getSymName();
    base.consume_front("weight.");
    std::string wanted = (entry.getSymName() + ".stream." + base).str();
    std::string name = wanted;
    for (unsigned &i = repeats[wanted]; !names.insert(name).second;) {
      name = wanted + "." + std::to_string(++i);
    }
    OpBuilder before(*module.getOps<planir::EntryOp>().begin());
    return BufferOp::create(
        before, weight.getLoc(), builder.getStringAttr(name),
        planir::KindAttr::get(context, Kind::Staging), weight.getTierAttr(),
        builder.getI64IntegerAttr(static_cast<int64_t>(range.bytes)),
        IntegerAttr(), IntegerAttr(), IntegerAttr(),
        FlatSymbolRefAttr::get(entry.getSymNameAttr()), FlatSymbolRefAttr(),
        ElementsAttr());
  }

  void redirect(planir::LaunchOp launch, BufferOp from, BufferOp to) {
    SmallVector<Attribute> views;
    for (planir::ViewAttr view : launch.operandViews()) {
      if (view.getBuffer().getValue() == from.getSymName()) {
        view = planir::ViewAttr::get(
            context, FlatSymbolRefAttr::get(to.getSymNameAttr()),
            view.getAccess(), view.getDtype(), view.getDims(),
            view.getPanel64(), view.getOffset());
      }
      views.push_back(view);
    }
    launch.setViewsAttr(builder.getArrayAttr(views));
  }

  void rewrite(const EntryInfo &entry, const StreamSchedule &plan) {
    planir::EntryOp op = entry.op;
    SmallVector<Operation *> steps;
    for (Operation &step : op.getBody().front()) {
      steps.push_back(&step);
    }
    // One operation per piece first, so that slots can be made where they are
    // issued, which may be before their readers are reached.
    SmallVector<Operation *> pieces;
    for (uint32_t step = 0; step < entry.steps; ++step) {
      uint32_t first = plan.firstPiece[step], last = plan.firstPiece[step + 1];
      if (last - first == 1) {
        pieces.push_back(steps[step]);
        continue;
      }
      auto launch = cast<planir::LaunchOp>(steps[step]);
      SmallVector<bool> streamed(launch.getViews().size());
      for (const WeightUse &use : entry.stepInfos[step].uses) {
        streamed[use.operand] = !choice.resident[use.weight];
      }
      builder.setInsertionPoint(launch);
      for (uint32_t i = first; i < last; ++i) {
        pieces.push_back(
            memory::cutLaunch(builder, launch, plan.pieces[i], streamed));
      }
      launch.erase();
    }

    auto readBy = [&](const StreamRange &range, BufferOp slot) {
      for (uint32_t i = range.first; i <= range.last; ++i) {
        if (auto launch = dyn_cast<planir::LaunchOp>(pieces[i])) {
          redirect(launch, model.weights[range.weight].op, slot);
        }
      }
    };
    SmallVector<BufferOp> firsts, lasts;
    for (uint32_t i = 0; i < plan.carried; ++i) {
      for (const StreamRange &range : plan.groups[i].ranges) {
        firsts.push_back(makeSlot(op, range, weightOf(range)));
        readBy(range, firsts.back());
      }
    }
    for (const StreamRange &range : plan.kept) {
      firsts.push_back(makeSlot(op, range, weightOf(range)));
      lasts.push_back(firsts.back());
    }

    uint64_t nextEvent = 0; // beyond those of plan-swap
    op.getBody().walk([&](planir::SignalOp signal) {
      nextEvent = std::max(nextEvent, signal.getEvent() + 1);
    });
    auto copies = [&](const StreamGroup &group, auto &&use) {
      Location loc = builder.getUnknownLoc();
      uint64_t go = nextEvent++;
      planir::SignalOp::create(builder, loc, go, planir::Stream::Compute);
      planir::WaitOp::create(builder, loc, go, planir::Stream::Copy);
      for (const StreamRange &range : group.ranges) {
        if (range.isRestore) {
          builder.clone(*pieces[range.first]);
          continue;
        }
        BufferOp weight = weightOf(range);
        BufferOp slot = makeSlot(op, range, weight);
        auto bytes = [&](uint64_t value) {
          return builder.getI64IntegerAttr(static_cast<int64_t>(value));
        };
        planir::CopyOp::create(builder, weight.getLoc(),
                               weight.getSegmentAttr(), bytes(range.begin),
                               FlatSymbolRefAttr::get(slot.getSymNameAttr()),
                               bytes(0), bytes(range.bytes));
        use(range, slot);
      }
    };
    SmallVector<uint64_t> arrival(plan.carried); // per group
    uint64_t rows = 0;                           // event of the gather
    uint32_t place = 0;
    auto at = [&](uint32_t piece) {
      place = piece;
      if (piece == pieces.size()) {
        builder.setInsertionPointToEnd(&op.getBody().front());
      } else {
        builder.setInsertionPoint(pieces[piece]);
      }
    };
    auto gatherRows = [&](uint32_t i) {
      rows = gather(op, cast<planir::LaunchOp>(pieces[place]), plan.gathers[i],
                    entry.stepInfos[plan.pieces[place].step].gather, nextEvent);
    };
    auto copy = [&](uint32_t i) {
      copies(plan.groups[i], readBy);
      arrival.push_back(nextEvent++);
      planir::SignalOp::create(builder, builder.getUnknownLoc(), arrival.back(),
                               planir::Stream::Copy);
    };
    auto refill = [&](uint32_t i) {
      copies(
          plan.groups[plan.refills[i].group],
          [&](const StreamRange &, BufferOp slot) { lasts.push_back(slot); });
    };
    auto wait = [&](uint64_t event) {
      planir::WaitOp::create(builder, builder.getUnknownLoc(), event,
                             planir::Stream::Compute);
    };
    auto waitForGather = [&](uint32_t) { wait(rows); };
    auto waitForCopy = [&](uint32_t i) { wait(arrival[i]); };
    auto launch = [](uint32_t) {};
    struct {
      llvm::function_ref<void(uint32_t)> at, gather, copy, refill,
          waitForGather, waitForCopy, launch;
    } visitor{at, gatherRows, copy, refill, waitForGather, waitForCopy, launch};
    memory::walk(plan, visitor);
    // They stand where their groups are issued now.
    for (auto [piece, step] : llvm::zip_equal(plan.pieces, pieces)) {
      if (piece.isRestore) {
        step->erase();
      }
    }
    carry(op, firsts, lasts);
  }

  ModuleOp module;
  const PlacementModel &model;
  const Choice &choice;
  Streaming streaming;
  MLIRContext *context;
  OpBuilder builder;
  llvm::StringSet<> names;
  llvm::StringMap<unsigned> repeats; // of a slot's name
  SmallVector<planir::CarriedOp> carried;
  BufferOp rowNumbers;
};

struct PlanPlace : impl::PlanPlacePassBase<PlanPlace> {
  using PlanPlacePassBase::PlanPlacePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (policy != "planned" && policy != "naive") {
      mlir::emitError(module.getLoc())
          << "unknown policy '" << policy.getValue() << "': planned or naive";
      return signalPassFailure();
    }
    PlacementModel model(module);
    MinimumPlan minimum = memory::findMinimum(model, reserve);
    memory::Totals totals = memory::Totals::of(module);
    totals.budget = budget;
    totals.reserve = reserve;
    totals.minimum = minimum.bytes;
    if (auto least = module->getAttrOfType<IntegerAttr>(memory::kLeastAttr)) {
      totals.minimum = std::min<uint64_t>(totals.minimum, least.getInt());
    }
    module->setAttr(memory::kTotalsAttr, totals.toAttr(&getContext()));
    if (budget < minimum.bytes) {
      memory::reportInfeasible(module, model, minimum, budget);
      return signalPassFailure();
    }
    uint64_t capacity = budget == UINT64_MAX ? UINT64_MAX : budget - reserve;
    Choice choice = policy == "naive"
                        ? memory::chooseNaive(model, minimum, capacity)
                        : memory::choosePlanned(model, minimum, capacity);
    Rewriter(module, model, choice).run();
    memory::updateLifetimes(module);
  }
};

} // namespace
} // namespace llmc
