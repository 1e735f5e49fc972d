//===- PlanLiveness.cpp - Lifetimes of buffers -----------------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/memory/Liveness.h"

#include "mlir/IR/BuiltinOps.h"

namespace llmc {
#define GEN_PASS_DEF_PLANLIVENESSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc::memory {

llvm::MapVector<StringAttr, Lifetime> computeLifetimes(planir::EntryOp entry) {
  using planir::Kind;
  llvm::MapVector<StringAttr, Lifetime> lifetimes;
  auto module = entry->getParentOfType<ModuleOp>();
  auto steps = static_cast<uint32_t>(std::distance(
      entry.getBody().front().begin(), entry.getBody().front().end()));
  // UINT32_MAX: not touched yet.
  for (auto buffer : module.getOps<planir::BufferOp>()) {
    if (buffer.getEntry() == entry.getSymName()) {
      lifetimes[buffer.getSymNameAttr()] = {UINT32_MAX, 0};
    }
  }
  uint32_t index = 0;
  auto touch = [&](FlatSymbolRefAttr buffer) {
    auto it = lifetimes.find(buffer.getAttr());
    if (it != lifetimes.end()) {
      it->second.start = std::min(it->second.start, index);
      it->second.end = index + 1;
    }
  };
  // A copy reads its indices until whoever waits for it goes on.
  llvm::DenseMap<StringAttr, FlatSymbolRefAttr> indicesOf; // by slot
  for (Operation &step : entry.getBody().front()) {
    if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
      for (planir::ViewAttr view : launch.operandViews()) {
        touch(view.getBuffer());
        if (FlatSymbolRefAttr indices =
                indicesOf.lookup(view.getBuffer().getAttr())) {
          touch(indices);
        }
      }
    } else if (auto copy = dyn_cast<planir::CopyOp>(step)) {
      touch(copy.getBufferAttr());
      if (copy.getIndices()) {
        touch(copy.getIndices()->getBuffer());
        indicesOf[copy.getBufferAttr().getAttr()] =
            copy.getIndices()->getBuffer();
      }
    } else if (auto restore = dyn_cast<planir::RestoreOp>(step)) {
      touch(restore.getBufferAttr());
    } else if (auto spill = dyn_cast<planir::SpillOp>(step)) {
      touch(spill.getBufferAttr());
    } else if (auto out = dyn_cast<planir::SwapOutOp>(step)) {
      touch(out.getBufferAttr());
      touch(out.getBelowAttr());
    } else if (auto in = dyn_cast<planir::SwapInOp>(step)) {
      touch(in.getBufferAttr());
      touch(in.getBelowAttr());
    }
    ++index;
  }
  for (auto buffer : module.getOps<planir::BufferOp>()) {
    auto it = lifetimes.find(buffer.getSymNameAttr());
    if (it == lifetimes.end()) {
      continue;
    }
    Lifetime &lifetime = it->second;
    bool untouched = lifetime.start == UINT32_MAX;
    if (untouched) {
      lifetime = {0, 0};
    }
    // The caller fills inputs before step 0 and reads outputs after the last
    // step, whether or not a step touches them.
    if (buffer.getKind() == Kind::Input) {
      lifetime = {0, std::max(lifetime.end, 1u)};
    } else if (buffer.getKind() == Kind::Output) {
      lifetime.end = std::max(steps, 1u);
    }
  }
  for (auto carry : module.getOps<planir::CarryOp>()) {
    if (carry.getEntry() != entry.getSymName()) {
      continue;
    }
    auto first = lifetimes.find(carry.getFirstAttr().getAttr());
    auto last = lifetimes.find(carry.getLastAttr().getAttr());
    if (first != lifetimes.end() && last != lifetimes.end()) {
      first->second.start = 0;
      first->second.end = std::max(first->second.end, 1u);
      last->second.end = std::max(steps, 1u);
    }
  }
  return lifetimes;
}

void updateLifetimes(ModuleOp module) {
  SymbolTable symbols(module);
  Builder builder(module.getContext());
  for (auto entry : module.getOps<planir::EntryOp>()) {
    for (auto &[name, lifetime] : computeLifetimes(entry)) {
      auto buffer = symbols.lookup<planir::BufferOp>(name);
      buffer.setStartAttr(builder.getI64IntegerAttr(lifetime.start));
      buffer.setEndAttr(builder.getI64IntegerAttr(lifetime.end));
    }
  }
}

} // namespace llmc::memory

namespace llmc {
namespace {

struct PlanLiveness : impl::PlanLivenessPassBase<PlanLiveness> {
  void runOnOperation() override { memory::updateLifetimes(getOperation()); }
};

} // namespace
} // namespace llmc
