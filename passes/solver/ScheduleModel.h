//===- ScheduleModel.h - Executing steps one by one ------------*- C++ -*-===//
//
// A schedule problem in flat arrays, and the state that an order passes
// through: which steps were executed, which are ready, what is alive.
//
//   ready     not executed, all its predecessors are
//   level     bytes alive between two steps
//   during    bytes alive while a step executes
//   own       what a step needs on top of the level: during - level
//   mirrored  the same problem with time reversed: every order read backwards
//             is an order of it with the same peak. Step s is steps - 1 - s.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULEMODEL_H
#define LLMC_PASSES_SOLVER_SCHEDULEMODEL_H

#include "passes/solver/Schedule.h"

namespace llmc::solver {

using StepOrder = std::vector<uint32_t>;

/// Lists of lists in two arrays.
struct Rows {
  Rows() = default;
  /// From pairs (row, item); the items of a row keep the order of the pairs.
  Rows(uint32_t rows, std::span<const std::pair<uint32_t, uint32_t>> pairs);

  std::span<const uint32_t> operator[](uint32_t row) const {
    return {items.data() + first[row], items.data() + first[row + 1]};
  }

  std::vector<uint32_t> first; // one more than there are rows
  std::vector<uint32_t> items;
};

struct ScheduleModel {
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kSeveral = UINT32_MAX - 1;

  struct Buffer {
    uint64_t size;    // bytes
    uint32_t touches; // how many steps touch it
    bool liveAtStart;
    bool liveAtEnd;
    /// The step, if any, that may write it over another buffer.
    uint32_t takenOverAt = kNone;
    /// The step, if any, whose choice of takeovers may get worse when this
    /// buffer becomes ready to die.
    uint32_t contestedAt = kNone;
  };
  struct Candidate {
    uint32_t from;
    uint32_t into;
    uint64_t bytes; // saved
  };

  explicit ScheduleModel(const ScheduleProblem &problem, bool mirrored = false);

  uint32_t steps = 0;
  Rows after;    // per step: direct successors, unique
  Rows before;   // per step: direct predecessors, unique
  Rows touches;  // per step: buffers
  Rows touchers; // per buffer: steps
  Rows takes;    // per step: indices of candidates, in list order
  std::vector<Buffer> buffers;
  std::vector<Candidate> candidates; // those that some order can use
};

class ScheduleState {
public:
  explicit ScheduleState(const ScheduleModel &model);

  uint64_t level() const { return alive; }
  uint32_t executed() const { return done; }
  /// In an order that depends on nothing but the calls so far.
  std::span<const uint32_t> ready() const { return readySteps; }
  bool isReady(uint32_t step) const { return place[step] != kNowhere; }
  bool isAlive(uint32_t buffer) const {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    return it.liveAtStart || left[buffer] < it.touches;
  }
  /// Steps that touch the buffer and were not executed.
  uint32_t touchesLeft(uint32_t buffer) const { return left[buffer]; }

  struct Cost {
    uint64_t during; // bytes
    uint64_t after;  // the level after the step, bytes
  };
  /// If the step came next. It need not be ready.
  Cost cost(uint32_t step) const;
  /// No order that has a peak of `budget` is lost if the step comes next.
  /// `cost` is its own.
  bool isSafe(uint32_t step, Cost cost, uint64_t budget) const {
    return cost.after <= alive && cost.during <= budget && changesNoOther(step);
  }
  /// Executing the step takes no takeover from another step.
  bool changesNoOther(uint32_t step) const;

  void execute(uint32_t step);
  /// `step` is the last one executed.
  void undo(uint32_t step);

private:
  static constexpr uint32_t kNowhere = UINT32_MAX;

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

/// Bytes; `order` is one of the model.
uint64_t peakOf(const ScheduleModel &model, std::span<const uint32_t> order);

/// Of the order, per position.
std::vector<uint64_t> duringOf(const ScheduleModel &model,
                               std::span<const uint32_t> order);

/// The steps at positions [begin, end) of an order as a problem of their own:
/// its step i is order[begin + i], all others stay where they are.
ScheduleProblem windowOf(const ScheduleModel &model,
                         std::span<const uint32_t> order, uint32_t begin,
                         uint32_t end);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULEMODEL_H
