//===- Greedy.h - Heuristic placement --------------------------*- C++ -*-===//

#ifndef LLMC_PASSES_SOLVER_GREEDY_H
#define LLMC_PASSES_SOLVER_GREEDY_H

#include "passes/solver/Problem.h"
#include "passes/solver/Timeline.h"

namespace llmc::solver {

/// In which order buffers are placed; ties are broken by index, so that the
/// result depends on the problem alone.
enum class Order : uint8_t {
  Size,     // largest first
  Area,     // largest size * lifetime first
  Lifetime, // longest first, then largest
  Start,    // earliest first, then largest: as an allocator at run time would
};

/// Which of the gaps that are large enough is taken.
enum class Fit : uint8_t {
  First, // the lowest
  Best,  // the smallest
};

/// Places all buffers in one order. Does not look at the capacity. Buffers
/// with a fixed offset come first.
Solution placeGreedily(const Problem &problem, Order order, Fit fit);

/// The same, for a problem whose timeline is known.
Solution placeGreedily(const Problem &problem, const Timeline &timeline,
                       Order order, Fit fit);

/// A packing by pack() with an effort of a few milliseconds.
/// nullopt if none within the capacity was found.
std::optional<Solution> solve(const Problem &problem);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_GREEDY_H
