//===- Critical.h - Large problems: the full sections first ----*- C++ -*-===//
//
// In a large problem only few sections are nearly as full as the fullest, and
// what lives there is a small problem of its own. So that is packed first, by
// the exact search, and the rest is placed greedily around it, where there is
// slack. What then still reaches above the goal is repaired in a window of
// time around it.
//
//   critical   a section whose live bytes are at least some share of the goal
//   core       the buffers that live in a critical section
//   offender   a buffer that ends above the goal
//   window     steps [begin, end) around an offender. Buffers that live inside
//              only are packed anew by the exact search, those that cross its
//              borders stay where they are.
//
// Time is O(n log n) for a bounded number of passes, and a bounded effort per
// buffer of a core and per window.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_CRITICAL_H
#define LLMC_PASSES_SOLVER_CRITICAL_H

#include "passes/solver/Pack.h"
#include "passes/solver/Timeline.h"

namespace llmc::solver {

/// The best packing found, at most `start`, which is a packing. Ends early
/// when the extent is within `goal`. Adds its searches to `nodes`.
Solution packCritical(const Problem &problem, const Timeline &timeline,
                      uint64_t goal, const PackOptions &options, Solution start,
                      uint64_t &nodes);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_CRITICAL_H
