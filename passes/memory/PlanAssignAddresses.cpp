//===- PlanAssignAddresses.cpp - Offsets of all buffers --------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/memory/Layout.h"

#include "dialects/plan/PlanDialect.h"

namespace llmc {
#define GEN_PASS_DEF_PLANASSIGNADDRESSESPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using planir::BufferOp;
using planir::Kind;

struct PlanAssignAddresses
    : impl::PlanAssignAddressesPassBase<PlanAssignAddresses> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder builder(&getContext());
    memory::Totals totals = memory::Totals::of(module);
    totals.state = totals.residentWeights = totals.constants = 0;

    // The shared part. What fills whole pages comes first, so that it begins at
    // one and the load reads it directly.
    uint64_t shared = 0;
    for (bool inPages : {true, false}) {
      auto placeShared = [&](Kind kind, uint64_t &part) {
        for (auto buffer : module.getOps<BufferOp>()) {
          uint64_t size = buffer.getSize();
          if (buffer.getKind() == kind &&
              buffer.getTier() == planir::Tier::Device &&
              inPages == (size >= memory::kLargeSlot &&
                          size % memory::kSlotAlignment == 0)) {
            buffer.setOffsetAttr(
                builder.getI64IntegerAttr(static_cast<int64_t>(shared)));
            shared += memory::padded(size);
            part += memory::padded(size);
          }
        }
      };
      placeShared(Kind::State, totals.state);
      placeShared(Kind::Weight, totals.residentWeights);
      placeShared(Kind::Constant, totals.constants);
    }

    shared = memory::regionStart(
        shared, llvm::any_of(module.getOps<BufferOp>(), [](BufferOp buffer) {
          return buffer.getKind() == Kind::Staging &&
                 buffer.getSize() >= memory::kLargeSlot;
        }));

    // Carried slots lie at the beginning of every entry's region.
    llvm::DenseMap<StringAttr, uint64_t> fixed; // by buffer
    llvm::DenseMap<StringAttr, uint64_t> slotOffset;
    uint64_t carried = 0;
    for (auto slot : module.getOps<planir::CarriedOp>()) {
      uint64_t offset = memory::placeCarried(carried, slot.getBytes());
      slotOffset[slot.getSymNameAttr()] = offset;
      slot.setOffsetAttr(
          builder.getI64IntegerAttr(static_cast<int64_t>(shared + offset)));
    }
    for (auto carry : module.getOps<planir::CarryOp>()) {
      for (FlatSymbolRefAttr buffer :
           {carry.getFirstAttr(), carry.getLastAttr()}) {
        fixed[buffer.getAttr()] =
            slotOffset.lookup(carry.getSlotAttr().getAttr());
      }
    }

    uint64_t region = 0;
    uint64_t activationBound = 0;
    bool streams = false;
    for (auto entry : module.getOps<planir::EntryOp>()) {
      SmallVector<BufferOp> buffers;
      std::vector<solver::Buffer> problem;
      solver::Problem activations;
      for (auto buffer : module.getOps<BufferOp>()) {
        if (buffer.getEntry() != entry.getSymName() ||
            buffer.getTier() != planir::Tier::Device) {
          continue;
        }
        if (!buffer.getStart()) {
          buffer.emitOpError("has no lifetime: plan-liveness comes first");
          return signalPassFailure();
        }
        buffers.push_back(buffer);
        problem.push_back(memory::regionBuffer(
            buffer.getSize(), static_cast<uint32_t>(*buffer.getStart()),
            static_cast<uint32_t>(*buffer.getEnd()),
            buffer.getKind() == Kind::Staging));
        if (auto it = fixed.find(buffer.getSymNameAttr()); it != fixed.end()) {
          problem.back().fixed = it->second;
        }
        if (buffer.getKind() == Kind::Staging) {
          streams = true;
        } else {
          activations.buffers.push_back(problem.back());
        }
      }
      solver::Solution solution = memory::solveRegion(problem);
      for (auto [buffer, offset] : llvm::zip_equal(buffers, solution.offsets)) {
        buffer.setOffsetAttr(
            builder.getI64IntegerAttr(static_cast<int64_t>(shared + offset)));
      }
      region = std::max(region, solution.extent);
      activationBound =
          std::max(activationBound, solver::lowerBound(activations));
    }

    // The parts of the region add up to it: with staging, activations count
    // what they hold at their peak and staging the rest; without, all of it is
    // activations (what exceeds the lower bound is fragmentation).
    totals.arena = shared + region;
    totals.lowerBound = activationBound;
    totals.activationPeak = streams ? activationBound : region;
    totals.staging = totals.arena - totals.state - totals.residentWeights -
                     totals.constants - totals.activationPeak;
    module->setAttr(memory::kTotalsAttr, totals.toAttr(&getContext()));
    if (totals.budget != UINT64_MAX &&
        totals.arena + totals.reserve > totals.budget) {
      mlir::emitError(module.getLoc())
          << "the plan needs " << totals.arena + totals.reserve
          << " bytes, the budget is " << totals.budget;
      signalPassFailure();
    }
  }
};

} // namespace
} // namespace llmc
