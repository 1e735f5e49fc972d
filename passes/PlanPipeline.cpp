//===- PlanPipeline.cpp - From the graph to a placed plan ------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/Pass/PassRegistry.h"

using namespace mlir;

namespace llmc {

void buildSchedulePipeline(OpPassManager &pm,
                           const PlanPipelineOptions &options) {
  // From here on the order of the steps is the order of execution.
  pm.addPass(createLowerToPlanPass());

  // Each value still has a buffer of its own, so steps are as free to move as
  // they will ever be; once buffers share places they are not.
  if (options.order == "planned") {
    PlanOrderPassOptions order;
    order.inPlace = options.inPlace;
    pm.addPass(createPlanOrderPass(order));
  }

  // Relies on the final order: who is the last to read a buffer decides who may
  // write over it. Placement must not see buffers and copies that go here.
  if (options.inPlace) {
    pm.addPass(createPlanInPlacePass());
  }

  // The schedule is final: every buffer gets its lifetime.
  pm.addPass(createPlanLivenessPass());
}

void buildPlacementPipeline(OpPassManager &pm,
                            const PlanPipelineOptions &options) {
  // What of the states lives below depends on the budget. After the steps have
  // found their order, which knows launches only; its slots are buffers like
  // any other and get their lifetimes at once.
  PlanSpillPassOptions spill;
  spill.resident = options.kvResident;
  spill.budget = options.budget;
  spill.reserve = options.reserve;
  pm.addPass(createPlanSpillPass(spill));
  pm.addPass(createPlanLivenessPass());

  // The last resort: what plan-place can do by itself comes first, so this asks
  // for its smallest plan. The slots are buffers that plan-place has to see.
  if (options.swap) {
    PlanSwapPassOptions swap;
    swap.budget = options.budget;
    swap.reserve = options.reserve;
    pm.addPass(createPlanSwapPass(swap));
  }

  // Decides what stays and what streams, inserts the copies and renews the
  // lifetimes. It counts bytes with the same solver as the assignment, so
  // nothing that moves a lifetime may come between the two.
  PlanPlacePassOptions place;
  place.budget = options.budget;
  place.reserve = options.reserve;
  place.policy = options.policy;
  pm.addPass(createPlanPlacePass(place));
  pm.addPass(createPlanAssignAddressesPass());

  // The phase ends: what the emission relies on.
  pm.addPass(createVerifyPlanPass());
}

void buildPlanPipeline(OpPassManager &pm, const PlanPipelineOptions &options) {
  buildSchedulePipeline(pm, options);
  buildPlacementPipeline(pm, options);
}

void registerPlanPipeline() {
  PassPipelineRegistration<PlanPipelineOptions>(
      "llmc-plan", "Lower to a plan, place it under a budget, verify",
      buildPlanPipeline);
}

} // namespace llmc
