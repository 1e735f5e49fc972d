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
  StepOrder order;    // the identity unless another has a lower peak
  uint64_t peak = 0;  // bytes
  uint64_t bound = 0; // bytes
  uint64_t nodes = 0; // spent
  std::string_view algorithm;
};

/// Lowers the peak of the identity.
Improved improve(const ScheduleProblem &problem, uint64_t enough,
                 uint64_t nodes);

/// Brings the order nearer to the identity as far as the peak, which it has,
/// is kept. Returns the nodes spent.
uint64_t nearIdentity(const ScheduleProblem &problem, StepOrder &order,
                      uint64_t peak, uint64_t nodes);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULEIMPROVE_H
