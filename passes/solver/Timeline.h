//===- Timeline.h - The steps of a problem, compressed ---------*- C++ -*-===//
//
//   section    a step at which the set of live buffers is not contained in
//              that of another section. Keeping conflicting buffers apart in
//              the sections keeps them apart everywhere, and there are never
//              more sections than buffers with gaps counted as new ones.
//   range      consecutive sections [begin, end) that a buffer covers. One
//              per buffer, more only when it has gaps.
//   component  buffers that are connected by conflicts; each is a problem of
//              its own
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_TIMELINE_H
#define LLMC_PASSES_SOLVER_TIMELINE_H

#include "passes/solver/Problem.h"

#include <span>

namespace llmc::solver {

struct SectionRange {
  uint32_t begin = 0;
  uint32_t end = 0; // one past the last section
};

class Timeline {
public:
  /// O(n log n) in the number of buffers and gaps.
  explicit Timeline(const Problem &problem);

  uint32_t sectionCount() const { return sections; }
  /// In order and disjoint; empty for a buffer that needs no address.
  std::span<const SectionRange> ranges(size_t buffer) const {
    return {all.data() + first[buffer], all.data() + first[buffer + 1]};
  }

  /// The buffers that need an address, by component; components and their
  /// members are in order of their first section.
  std::vector<std::vector<uint32_t>> components() const;

private:
  uint32_t sections = 0;
  std::vector<uint32_t> first; // of each buffer's ranges, and one past all
  std::vector<SectionRange> all;
};

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_TIMELINE_H
