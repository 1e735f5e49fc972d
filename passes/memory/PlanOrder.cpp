//===- PlanOrder.cpp - Steps in an order with a low peak -------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/memory/OrderChoice.h"

namespace llmc {
#define GEN_PASS_DEF_PLANORDERPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

struct PlanOrder : impl::PlanOrderPassBase<PlanOrder> {
  using PlanOrderPassBase::PlanOrderPassBase;

  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    Builder builder(&getContext());
    for (auto entry : getOperation().getOps<planir::EntryOp>()) {
      memory::StepModel model(entry, symbols);
      memory::OrderChoice choice = memory::chooseOrder(model, nodes, inPlace);
      if (!choice.moved) {
        continue;
      }
      Block &block = entry.getBody().front();
      for (uint32_t step : choice.order) {
        model.steps[step].op->moveBefore(&block, block.end());
      }
      auto bytes = [&](uint64_t value) {
        return builder.getI64IntegerAttr(static_cast<int64_t>(value));
      };
      entry->setAttr(
          "plan.peak",
          builder.getDictionaryAttr(
              {builder.getNamedAttr("model", bytes(choice.modelPeak)),
               builder.getNamedAttr("ordered", bytes(choice.peak))}));
    }
  }
};

} // namespace
} // namespace llmc
