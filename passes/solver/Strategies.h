//===- Strategies.h - Orders in which the search tries ---------*- C++ -*-===//
//
// The search finds a packing either within a few hundred nodes or not for a
// very long time, depending on its first decisions (its run times are heavy
// tailed). So many short runs are made, in rounds:
//
//   recipe   how pivots and candidates are chosen, and by which measures the
//            buffers are ranked
//   round    one run per recipe. The first round takes the ranks as they
//            are; later ones disturb them, little and much in turn.
//   reach    nodes that a run of the round may open: a multiple of the number
//            of buffers by Luby's sequence 1 1 2 1 1 2 4 ...
//
// Everything follows from the component: the same problem gives the same
// packing on every machine.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_STRATEGIES_H
#define LLMC_PASSES_SOLVER_STRATEGIES_H

#include "passes/solver/Search.h"

#include <string_view>

namespace llmc::solver {

struct Recipe {
  Strategy::Pivot pivot;
  Strategy::Candidate candidate;
  /// Measures by which buffers are ranked, largest first, ties by the next:
  /// T total bytes of its fullest section, W width (steps), A area (steps *
  /// bytes), S size.
  std::string_view measures;
};

/// The recipes, most successful first.
const std::vector<Recipe> &recipes();

class Strategies {
public:
  explicit Strategies(const Component &component);

  Strategy make(const Recipe &recipe, uint64_t round) const;
  /// Nodes for a run of this round.
  uint64_t reach(uint64_t round) const;

private:
  double measure(char name, uint32_t buffer) const;

  const Component &component;
  std::vector<Units> fullest; // per buffer: total of its fullest section
};

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_STRATEGIES_H
