//===- PlanCost.cpp - What the cost model says, as attributes --*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/memory/CostModel.h"

#include "mlir/IR/Builders.h"

#include <cmath>

namespace llmc {
#define GEN_PASS_DEF_PLANCOSTPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

class PlanCostPass : public impl::PlanCostPassBase<PlanCostPass> {
public:
  using PlanCostPassBase::PlanCostPassBase;

  void runOnOperation() override {
    memory::CostModel model(getOperation());
    for (auto entry : getOperation().getOps<planir::EntryOp>()) {
      for (auto [op, cost] :
           llvm::zip_equal(entry.getBody().front(), model.steps(entry))) {
        annotate(&op, cost);
      }
      std::optional<memory::EntryCost> cost = model.cost(entry);
      if (!cost) {
        entry.emitError("a wait is never satisfied");
        return signalPassFailure();
      }
      entry->setAttr("plan.cost",
                     dictionary({{"nanoseconds", cost->run.seconds * 1e9},
                                 {"compute", cost->run.computeSeconds * 1e9},
                                 {"link", cost->run.linkSeconds * 1e9},
                                 {"stall", cost->run.stallSeconds * 1e9}},
                                cost->boundBy()));
    }
  }

private:
  DictionaryAttr
  dictionary(std::initializer_list<std::pair<StringRef, double>> numbers,
             StringRef bound) {
    Builder builder(&getContext());
    SmallVector<NamedAttribute> fields;
    for (auto [name, value] : numbers) {
      fields.push_back(builder.getNamedAttr(
          name, builder.getI64IntegerAttr(std::llround(value))));
    }
    if (!bound.empty()) {
      fields.push_back(
          builder.getNamedAttr("bound", builder.getStringAttr(bound)));
    }
    return builder.getDictionaryAttr(fields);
  }

  void annotate(Operation *op, const memory::StepCost &cost) {
    if (isa<planir::LaunchOp>(op)) {
      StringRef bound = cost.bound == memory::Bound::Compute  ? "compute"
                        : cost.bound == memory::Bound::Memory ? "memory"
                                                              : "overhead";
      op->setAttr("cost", dictionary({{"bytes", cost.work.bytes()},
                                      {"operations", cost.work.operations},
                                      {"nanoseconds", cost.seconds * 1e9}},
                                     bound));
    } else if (isa<planir::CopyOp>(op)) {
      op->setAttr("cost",
                  dictionary({{"nanoseconds", cost.seconds * 1e9}}, ""));
    }
  }
};

} // namespace
} // namespace llmc
