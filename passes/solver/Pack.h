//===- Pack.h - Packing with everything there is ---------------*- C++ -*-===//
//
// Heuristics first; then, component by component, the exact search in short
// runs. With a capacity it stops at the first packing that fits; without one
// it lowers the extent towards the lower bound as far as the effort goes.
//
//   effort   what a run may cost. Counted in visits of sections, about a
//            nanosecond each, so that the result does not depend on the
//            machine.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_PACK_H
#define LLMC_PASSES_SOLVER_PACK_H

#include "passes/solver/Problem.h"

#include <functional>

namespace llmc::solver {

struct PackOptions {
  /// For all exact searches together; 0: heuristics only.
  uint64_t effort = 20'000'000;
  /// Called now and then; true ends the search with the best packing so far.
  /// May be empty. A clock in it makes the result depend on the machine.
  std::function<bool()> stop;
  /// Larger components are left to the heuristics.
  size_t largestExact = 5'000;
  /// Larger problems that greedy leaves above the bound are packed by their
  /// fullest sections first (Critical.h).
  size_t critical = 1'000;
};

struct PackResult {
  /// The best packing found; nothing if none fits the capacity.
  std::optional<Solution> solution;
  /// Bytes that no packing can do with less of: lowerBound(), or more where
  /// the search proved more.
  uint64_t lowerBound = 0;
  /// With a solution: no smaller one exists. Without: none exists.
  bool proved = false;
  /// What found the solution, for people.
  std::string algorithm;
  /// Nodes that the search opened, and its effort.
  uint64_t nodes = 0;
  uint64_t effort = 0;
};

/// Alignments must be at least 1. Fixed buffers that overlap are a proof
/// that there is no solution.
PackResult pack(const Problem &problem, const PackOptions &options = {});

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_PACK_H
