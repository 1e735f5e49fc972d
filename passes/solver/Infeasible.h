//===- Infeasible.h - Why a capacity cannot be met -------------*- C++ -*-===//
//
//   infeasible subset   buffers that do not fit into the capacity even alone
//   irreducible         leaving out any one of them makes the rest fit (or, if
//                       the effort ran out, not proved to be infeasible)
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_INFEASIBLE_H
#define LLMC_PASSES_SOLVER_INFEASIBLE_H

#include "passes/solver/Pack.h"

#include <functional>
#include <string>

namespace llmc::solver {

struct InfeasibleSubset {
  std::vector<size_t> buffers; // ascending
  /// Every one of them was shown to be needed.
  bool irreducible = false;
  /// A step at which all of them live, when there is one.
  std::optional<Step> step;
};

/// For a problem with a capacity that pack() proved to be impossible; nullopt
/// if that cannot be repeated within the options.
std::optional<InfeasibleSubset>
findInfeasibleSubset(const Problem &problem, const PackOptions &options = {});

/// The subset in words, with sizes, largest first, e.g.
///   the capacity of 100 bytes cannot be met: at step 3, 2 buffers need 110
///     60  a
///     50  b
/// `name` gives what a buffer is called, `stepName` what a step is.
std::string describe(const Problem &problem, const InfeasibleSubset &subset,
                     const std::function<std::string(size_t)> &name,
                     const std::function<std::string(Step)> &stepName);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_INFEASIBLE_H
