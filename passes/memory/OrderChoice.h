//===- OrderChoice.h - The order of an entry's steps -----------*- C++ -*-===//
//
// The decision of plan-order: hands the entry to the solver's scheduler in
// several forms, with and without what plan-in-place will do, and keeps what
// lowers the peak that plan-in-place really reaches.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_ORDERCHOICE_H
#define LLMC_PASSES_MEMORY_ORDERCHOICE_H

#include "passes/memory/InPlaceChoice.h"
#include "passes/solver/Schedule.h"

namespace llmc::memory {

struct OrderChoice {
  std::vector<uint32_t> order; // step at each place; the identity if not moved
  bool moved = false;
  uint64_t modelPeak = 0; // bytes, padded, after plan-in-place; own order
  uint64_t peak = 0;      // bytes, padded, after plan-in-place; this order
};

/// The entry as the scheduler sees it. Groups of `choice` are one buffer, its
/// dropped copies take no memory, and its takeovers are left to the scheduler
/// (give a choice made without them).
solver::ScheduleProblem scheduleProblem(const StepModel &model,
                                        const InPlaceChoice &choice,
                                        bool takeovers);

/// `nodes` is the effort of each search (0: the solver's default). Without
/// `inPlace` nothing is assumed of plan-in-place.
OrderChoice chooseOrder(const StepModel &model, uint64_t nodes, bool inPlace);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_ORDERCHOICE_H
