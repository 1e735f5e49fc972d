//===- ScheduleImprove.h - Lower the peak of one order ---------*- C++ -*-===//
//
// Greedy orders from both ends, then the search for ever lower budgets, then
// the search on windows of the order around its peaks.
//
//   bound   no order of the problem has a lower peak (proved), bytes
//   enough  a peak that needs no improvement, bytes
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULEIMPROVE_H
#define LLMC_PASSES_SOLVER_SCHEDULEIMPROVE_H

#include "passes/solver/ScheduleModel.h"

namespace llmc::solver {

struct Improved {
  StepOrder order; // the identity unless another has a lower peak
  uint64_t peak = 0;
  uint64_t bound = 0;
  uint64_t nodes = 0;
  std::string_view algorithm;
};

Improved improve(const ScheduleProblem &problem, uint64_t enough,
                 uint64_t nodes);

/// Takes back the changes to the identity, two neighbours at a time, that the
/// peak does not need.
void settleBack(const ScheduleModel &model, StepOrder &order, uint64_t peak);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULEIMPROVE_H
