//===- SwapChoice.h - Which activations leave for a while ------*- C++ -*-===//
//
// The decision of plan-swap, on numbers. Glossary.
//   level    live bytes of an entry's region at a step: activations, and the
//            slots of the smallest plan
//   gap      steps between two uses of an activation
//   move     the activation is away during a gap: swapped (written to the disk
//            tier and read back) or recomputed (its launch is made again)
//
// Moves are chosen until no step's level is above a bound, always at the
// highest step, and there the move that takes most bytes off the levels above
// the bound per predicted second. Those that the later ones made unnecessary
// are dropped in the end. What a step uses itself cannot move: its bytes are
// the floor, below which no moves bring the step.
//
// A copy back is issued as early as the levels allow, until the launches that
// run beside it take as long as it is predicted to take.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_SWAPCHOICE_H
#define LLMC_PASSES_MEMORY_SWAPCHOICE_H

#include "passes/memory/StepModel.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace llmc::memory {

struct Move {
  uint32_t buffer = 0; // of the StepModel
  uint32_t after = 0;  // step: the last use in front of the gap
  uint32_t before = 0; // step: the first use behind it
  uint64_t begin = 0;  // bytes of the buffer that are worth keeping
  uint64_t end = 0;
  double seconds = 0; // predicted
  /// Recomputed: the step that is made again in front of `before`.
  std::optional<uint32_t> again;
  uint32_t issue = 0; // swapped: the copy back stands in front of this step
};

/// One entry on numbers.
struct SwapProblem {
  StepModel model;
  std::vector<int64_t> levels; // per step
  std::vector<bool> movable;   // per buffer
  /// Per buffer: the steps at which it is live, half-open.
  std::vector<std::pair<uint32_t, uint32_t>> lifetimes;
  std::vector<double> seconds; // per step: of the launch, estimated
  /// Per step: what making it again takes; nullopt: it may not be.
  std::vector<std::optional<double>> again;
  double bytesPerSecond = 1; // of a swap, each way
  double swapSeconds = 0;    // of a swap, beside its bytes

  /// Smaller buffers are not worth the steps.
  uint64_t smallest = 4096;
};

/// All moves that are possible, ordered by buffer and step; for each gap the
/// swap, and after it the recomputation if there is one.
std::vector<Move> possibleMoves(const SwapProblem &problem);

/// The lowest level that moves can reach: the largest floor of a step.
int64_t lowestLevel(const SwapProblem &problem,
                    const std::vector<Move> &possible);

/// Moves after which no level is above `bound`, in the order of `possible`;
/// nullopt if there are none. `bound` is at least lowestLevel().
std::optional<std::vector<Move>> chooseMoves(const SwapProblem &problem,
                                             const std::vector<Move> &possible,
                                             int64_t bound);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_SWAPCHOICE_H
