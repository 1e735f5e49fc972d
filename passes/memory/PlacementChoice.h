//===- PlacementChoice.h - Which weights stay under a budget ---*- C++ -*-===//

#ifndef LLMC_PASSES_MEMORY_PLACEMENTCHOICE_H
#define LLMC_PASSES_MEMORY_PLACEMENTCHOICE_H

#include "passes/memory/PlacementModel.h"

#include <optional>

namespace llmc::memory {

/// The minimum is a multiple of this.
constexpr uint64_t kPage = 4096;

struct MinimumPlan {
  Choice choice;
  uint64_t bytes = 0; // arena and reserve, rounded up to kPage
};

/// The smallest-layout plan: every large weight streamed right before its use
/// (or everything resident, should that be smaller). Does not look at the
/// budget.
MinimumPlan findMinimum(const PlacementModel &model, uint64_t reserve);

/// The choice for `capacity` bytes of arena, which is at least the minimum's:
/// everything resident if that fits; else the cheapest, by predicted time, of
/// several prefetch depths, each with as much resident as fits; if nothing
/// else fits, the minimum plan.
Choice choosePlanned(const PlacementModel &model, const MinimumPlan &minimum,
                     uint64_t capacity);

/// What people do by hand: the first weights stay, as many as fit, the others
/// are loaded when they are needed.
Choice chooseNaive(const PlacementModel &model, const MinimumPlan &minimum,
                   uint64_t capacity);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_PLACEMENTCHOICE_H
