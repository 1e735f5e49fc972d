//===- ScheduleModel.h - Executing steps one by one ------------*- C++ -*-===//
//
// A schedule problem in flat arrays, and the state that an order passes
// through: which steps were executed, which are ready, what is alive.
//
//   ready     not executed, all its predecessors are
//   during    bytes alive while a step executes
//   level     bytes alive between two steps
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULEMODEL_H
#define LLMC_PASSES_SOLVER_SCHEDULEMODEL_H

#include "passes/solver/Schedule.h"

namespace llmc::solver {

/// Lists of lists in two arrays.
struct Rows {
  std::vector<uint32_t> first; // one more than there are rows
  std::vector<uint32_t> items;

  /// From pairs (row, item); items of a row keep the order of the pairs.
  Rows() = default;
  Rows(uint32_t rows, std::span<const std::pair<uint32_t, uint32_t>> pairs);

  std::span<const uint32_t> operator[](uint32_t row) const {
    return {items.data() + first[row], items.data() + first[row + 1]};
  }
};

struct ScheduleModel {
  explicit ScheduleModel(const ScheduleProblem &problem);

  uint32_t steps = 0;
  Rows after;     // per step: direct successors, unique
  Rows before;    // per step: direct predecessors, unique
  Rows touches;   // per step: buffers
  Rows takeovers; // per step: indices of problem.takeovers, in list order
  const ScheduleProblem &problem;
};

class ScheduleState {
public:
  explicit ScheduleState(const ScheduleModel &model);

  uint64_t level() const { return alive; }
  uint32_t executed() const { return done; }
  /// In an order that depends on the history only.
  std::span<const uint32_t> ready() const { return readySteps; }
  bool isReady(uint32_t step) const {
    return place[step] != kNowhere && missing[step] == 0;
  }

  /// The step need not be ready.
  uint64_t during(uint32_t step) const;
  /// The level after the step, which is ready.
  uint64_t levelAfter(uint32_t step) const;

  void execute(uint32_t step);
  /// `step` is the last one executed.
  void undo(uint32_t step);

private:
  static constexpr uint32_t kNowhere = UINT32_MAX;

  bool isAlive(uint32_t buffer) const {
    const ScheduleBuffer &it = model.problem.buffers[buffer];
    return it.liveAtStart || left[buffer] < it.steps.size();
  }
  uint64_t saved(uint32_t step) const;
  void addReady(uint32_t step);
  void removeReady(uint32_t step);

  const ScheduleModel &model;
  uint64_t alive = 0;
  uint32_t done = 0;
  std::vector<uint32_t> missing; // per step: predecessors not executed
  std::vector<uint32_t> left;    // per buffer: steps not executed
  std::vector<uint32_t> readySteps;
  std::vector<uint32_t> place;         // per step: in readySteps
  mutable std::vector<uint32_t> taken; // scratch of saved()
};

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULEMODEL_H
