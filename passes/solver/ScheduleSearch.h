//===- ScheduleSearch.h - Is there an order within a budget? ---*- C++ -*-===//
//
// Depth first through the sets of executed steps, with a memory of the sets
// from which the budget cannot be kept.
//
//   budget     the highest peak that is accepted, bytes
//   safe       a step that the budget admits and that leaves no more alive
//              than before: if any order goes on from here within the budget,
//              then one goes on with this step. Frees come later only to be
//              smaller, and births earlier only to be larger (the level is a
//              submodular function of the executed set), so moving the step
//              to the front harms nobody.
//   safe run   the same for several steps, each of which the one before it
//              made ready, if the level returns to where it was at the last
//              of them for the first time
//   tail       steps that are safe with time reversed: they come last
//   threshold  a budget below it fails in the same way: the least that was
//              refused
//   node       a step executed, for trial or not
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULESEARCH_H
#define LLMC_PASSES_SOLVER_SCHEDULESEARCH_H

#include "passes/solver/ScheduleBound.h"

namespace llmc::solver {

/// A set of steps, by sums of random numbers: two different sets are taken
/// for the same with a chance of 2^-128.
struct StepSetKey {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const StepSetKey &) const = default;
};

/// For each set the largest threshold known.
class Refuted {
public:
  Refuted();
  /// 0 if the set is not there.
  uint64_t find(StepSetKey key) const;
  void insert(StepSetKey key, uint64_t threshold);

private:
  struct Entry {
    StepSetKey key;
    uint64_t threshold = 0; // 0: free
  };
  size_t slotOf(StepSetKey key) const;

  std::vector<Entry> entries; // open addressing; a power of two
  size_t used = 0;
};

enum class OrderVerdict : uint8_t {
  Found,
  Impossible, // proved
  Unknown,    // the nodes were spent
};

/// Keeps what was refuted between runs.
class ScheduleSearch {
public:
  /// `reach`, if given, is the model's; used here only.
  ScheduleSearch(const ScheduleModel &model, const ScheduleModel &mirror,
                 const Reach *reach);

  OrderVerdict run(uint64_t budget, uint64_t nodes);

  /// After Found.
  const StepOrder &order() const { return path; }
  /// After Impossible: no peak is below this. Above the budget.
  uint64_t threshold() const { return refused; }
  /// Of all runs together.
  uint64_t nodes() const { return spent; }

private:
  struct Choice {
    uint64_t after;  // bytes
    uint64_t during; // bytes
    uint32_t step;
    auto operator<=>(const Choice &) const = default;
  };
  struct Frame {
    size_t path;        // steps executed at this set
    size_t next;        // in `choices`
    size_t end;         // in `choices`
    uint64_t threshold; // of what was tried
  };
  /// What became of a set just entered.
  enum class Entered : uint8_t { Open, Complete, Dead, Stopped };

  Entered enter();
  bool settleOne();
  bool tryRun(uint32_t step);
  void findTail();
  uint64_t pressure() const;
  void execute(uint32_t step);
  void undoTo(size_t length);

  const ScheduleModel &model;
  const ScheduleModel &mirror;
  ScheduleState state;
  uint64_t budget = 0;
  uint64_t spent = 0;
  uint64_t stop = 0;    // of `spent`
  uint64_t refused = 0; // the threshold of the set that died last
  StepOrder path;
  StepSetKey key;
  std::vector<StepSetKey> random; // per step
  std::vector<Frame> frames;
  std::vector<Choice> choices;
  std::vector<uint32_t> tail;  // in executing order
  std::vector<uint8_t> inTail; // per step
  Refuted refuted;

  // The steps that need most, and what is alive at them as it stands.
  std::vector<uint32_t> tight;
  std::vector<uint64_t> atTight;
  Rows lateFor;             // per buffer: indices of `tight`
  std::vector<uint8_t> ran; // per step: executed
};

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULESEARCH_H
