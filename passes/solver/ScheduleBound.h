//===- ScheduleBound.h - What no order can avoid ---------------*- C++ -*-===//
//
//   working set  of a step: the buffers that are alive while it executes in
//                every order, because it touches them or because they are
//                touched both by a step that must come before and by one that
//                must come after; less what takeovers can save
//   barrier      a step that is ordered against all others: whatever the
//                order, the same steps come before it
//   late for     a step: a buffer not in its working set, but alive at it once
//                it is alive before it
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULEBOUND_H
#define LLMC_PASSES_SOLVER_SCHEDULEBOUND_H

#include "passes/solver/ScheduleModel.h"

namespace llmc::solver {

/// Sets of steps, one per row.
class StepSets {
public:
  StepSets(uint32_t rows, uint32_t steps)
      : words((steps + 63) / 64), bits(static_cast<size_t>(rows) * words) {}
  std::span<uint64_t> operator[](uint32_t row) {
    return {bits.data() + static_cast<size_t>(row) * words, words};
  }
  std::span<const uint64_t> operator[](uint32_t row) const {
    return {bits.data() + static_cast<size_t>(row) * words, words};
  }
  static bool has(std::span<const uint64_t> set, uint32_t step) {
    return set[step / 64] >> (step % 64) & 1;
  }
  static void add(std::span<uint64_t> set, uint32_t step) {
    set[step / 64] |= uint64_t{1} << (step % 64);
  }
  static void join(std::span<uint64_t> set, std::span<const uint64_t> other) {
    for (size_t i = 0; i < set.size(); ++i) {
      set[i] |= other[i];
    }
  }

private:
  size_t words;
  std::vector<uint64_t> bits;
};

/// Per step, itself and all that must come after it (or before it).
struct Reach {
  explicit Reach(const ScheduleModel &model);

  /// Steps that run at or after a step that touches the buffer; all steps if
  /// it is an input.
  std::vector<uint64_t> begunAt(const ScheduleModel &model,
                                uint32_t buffer) const;
  /// Likewise at or before; all steps if it is an output.
  std::vector<uint64_t> neededAt(const ScheduleModel &model,
                                 uint32_t buffer) const;

  StepSets later;   // per step
  StepSets earlier; // per step
};

/// Bytes of the working set, per step.
std::vector<uint64_t> workingSets(const ScheduleModel &model,
                                  const Reach &reach);

/// No peak is below this. Looks at what each step touches alone.
uint64_t quickBound(const ScheduleModel &model);

/// The positions p, 0 and the number of steps included, such that in every
/// order the same steps are at the positions before p, as far as barriers
/// show. Ascending. Needs that the identity is an order.
std::vector<uint32_t> forcedCuts(const ScheduleModel &model);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULEBOUND_H
