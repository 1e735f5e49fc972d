//===- Search.h - Exact search for a packing -------------------*- C++ -*-===//
//
// Can the buffers of one component be packed into a capacity? Buffers are
// placed one after the other, each on top of what is placed already, and the
// search backtracks. It is complete: it looks for a *settled* packing, and
// where there is any packing there is a settled one (the one with the least
// sum of offsets). In the words of the MiniMalloc paper (Moffitt, ASPLOS
// 2023), settled packings are canonical and undominated.
//
//   settled      no single buffer can be moved to a lower offset
//   floor        of an unplaced buffer: the lowest aligned offset above all
//                placed buffers that conflict with it
//   bound        of an unplaced buffer: no settled packing that contains the
//                placed buffers has it lower. At least its floor.
//   delayed      its bound is above its floor: in a settled packing it rests
//                on a buffer that is not placed yet
//   pivot        an unplaced buffer whose bound + size is the least among
//                those that matter to it. Either it or a conflicting buffer
//                that begins below bound + size comes next, and that one lies
//                on its floor: the candidates. All else would leave room for
//                the pivot to sink.
//   refuted      a candidate whose subtree is exhausted: from there on it is
//                delayed, which is what the next candidates profit from
//   first        lying lowest of the unplaced buffers of a section. A buffer
//                cannot be first where bound + bytes still to be placed in
//                the section exceed the capacity.
//   sub-problem  when no unplaced buffer crosses a border between sections,
//                the two sides are solved one after the other
//   node         a sub-problem that the search opened
//
// All bounds and offsets are in units (see Component): bytes divided by what
// sizes and alignments have in common, so that small slacks are seen as none.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SEARCH_H
#define LLMC_PASSES_SOLVER_SEARCH_H

#include "passes/solver/Timeline.h"

#include <functional>

namespace llmc::solver {

using Units = int64_t;

/// One component, in units and with its own numbering.
struct Component {
  Component(const Problem &problem, const Timeline &timeline,
            std::vector<uint32_t> members);

  std::vector<uint32_t> members; // indices of the problem's buffers
  uint64_t unit = 1;             // bytes
  uint32_t sections = 0;
  std::vector<Units> size;
  std::vector<Units> alignment;
  std::vector<Units> fixed;  // -1: free
  std::vector<Units> length; // steps
  std::vector<std::vector<SectionRange>> ranges;
  std::vector<std::vector<uint32_t>> neighbours; // conflicting, ascending
  std::vector<uint32_t> twinOf; // the first buffer that is just like it
  Units bound = 0;              // lower bound of the extent
};

/// How the search takes its decisions; any choice is complete.
struct Strategy {
  enum class Pivot : uint8_t {
    Lowest,  // least bound + size of all
    Fewest,  // fewest candidates
    Failing, // the sections that failed most so far
  };
  enum class Candidate : uint8_t {
    Priority, // by priority alone
    Lowest,   // lowest floor, then priority
    Tightest, // least waste below it, then priority
  };
  Pivot pivot = Pivot::Fewest;
  Candidate candidate = Candidate::Lowest;
  std::vector<uint32_t> priority; // per buffer; smaller is earlier, distinct
};

struct Limits {
  /// A run that placed nearly all buffers once may exceed this.
  uint64_t nodes = UINT64_MAX;
  /// Called now and then; true ends the search. May be empty.
  std::function<bool()> stop;
};

enum class Verdict : uint8_t {
  Found,
  Impossible, // proved
  Unknown,    // a limit was reached
};

/// Keeps what was learnt (failed states, failures by section) between runs.
class Search {
public:
  /// No buffer.
  static constexpr uint32_t kNobody = UINT32_MAX;

  explicit Search(const Component &component);

  Verdict run(Units capacity, const Strategy &strategy, const Limits &limits);

  /// After Found: per buffer of the component.
  const std::vector<Units> &offsets() const { return offset; }
  /// Of all runs together.
  uint64_t nodes() const { return totalNodes; }
  /// Visits of a buffer's sections in all runs: a measure of time that does
  /// not depend on the machine.
  uint64_t effort() const { return totalEffort; }

private:
  struct Change {
    uint32_t buffer;
    Units floor;
    Units bound;
  };
  /// Where to return to.
  struct Mark {
    size_t changes;
    size_t placements;
  };
  /// Range of `pool`: the buffers of a sub-problem by first section.
  struct Members {
    size_t begin;
    size_t end;
  };

  bool solve(Members members);
  bool solveParts(Members members, uint32_t without);
  bool propagate(Members members);
  bool settleDelayed();
  bool applyNotFirst(Members members, bool &changed);
  uint32_t choosePivot(Members members) const;
  uint32_t chooseCandidate(uint32_t pivot) const;
  Units wasteBelow(uint32_t buffer) const;

  bool raise(uint32_t buffer, Units bound);
  bool refute(uint32_t buffer);
  bool place(uint32_t buffer);
  void undo(Mark mark);
  Mark mark() const { return {changes.size(), placements.size()}; }
  bool fail(uint32_t section);
  void noteEnd(uint32_t buffer, Units end);
  uint64_t stateHash(Members members) const;

  const Component &component;
  const Strategy *strategy = nullptr;
  const Limits *limits = nullptr;
  Units capacity = 0;
  uint64_t runNodes = 0;
  uint64_t nodeLimit = 0;
  size_t deepest = 0; // most buffers placed at one time in this run
  uint64_t totalNodes = 0;
  uint64_t totalEffort = 0;
  bool aborted = false;

  // Per buffer.
  std::vector<Units> floor;
  std::vector<Units> bound;
  std::vector<Units> offset;
  std::vector<uint8_t> placed;
  // Per section: bytes still to be placed, least bound, least two ends of
  // unplaced buffers and whose the least is, and failures.
  std::vector<Units> remaining;
  std::vector<Units> lowest;
  std::vector<Units> leastEnd;
  std::vector<Units> secondEnd;
  std::vector<uint32_t> leastOwner;
  std::vector<uint64_t> failures;

  std::vector<Change> changes;
  std::vector<uint32_t> placements;
  std::vector<uint32_t> pool;
  std::vector<uint32_t> delayed;      // scratch of propagate
  std::vector<Units> support;         // per delayed: least end it may rest on
  std::vector<uint64_t> failedStates; // a lossy table of hashes
};

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SEARCH_H
