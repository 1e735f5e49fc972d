//===- Schedule.h - An order of steps with a low peak ----------*- C++ -*-===//
//
// Finds an order in which the bytes alive at the worst step are few. Glossary,
// used by every file Schedule*:
//
//   order     a permutation of the steps that respects the edges; the model's
//             own order is the identity and is always one
//   edge      (before, after): an order runs `before` first
//   touch     a step touches a buffer when it reads or writes it
//   alive     a buffer is alive from the first of its steps in the order to
//             the last, inclusive; an input from the very beginning, an output
//             to the very end
//   takeover  a step writes one buffer over another that dies there: the two
//             are one memory, so at that step only the larger one counts
//   peak      the most bytes alive at one step; the objective
//   optimal   it is proved that no order has a lower peak
//
// What is alive depends only on the set of steps already executed. This is
// the (one-shot, weighted) pebbling of a graph: NP-hard in general, solved by
// Liu (1987) for trees. Standard library only; nothing here knows of tensors.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULE_H
#define LLMC_PASSES_SOLVER_SCHEDULE_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmc::solver {

struct ScheduleBuffer {
  uint64_t size = 0;           // bytes
  std::vector<uint32_t> steps; // all steps that touch it, ascending, unique
  bool liveAtStart = false;    // an input: alive from before the first step
  bool liveAtEnd = false;      // an output: alive to the end
  // Without steps it is alive throughout if either flag is set, else never.
};

/// `step` may write buffer `into` over buffer `from`. That happens if at
/// `step` `from` is alive already and dies (no later step touches it, it is
/// no output) and `into` becomes alive. Each `from` and each `into` takes part
/// at most once: of the candidates of one step, those earlier in the list win.
/// Needs size of into <= size of from, and both touched by `step`.
struct Takeover {
  uint32_t step = 0;
  uint32_t from = 0; // index of a buffer
  uint32_t into = 0; // index of a buffer
};

struct ScheduleProblem {
  uint32_t steps = 0;
  std::vector<std::pair<uint32_t, uint32_t>> edges; // each with before < after
  std::vector<ScheduleBuffer> buffers;
  std::vector<Takeover> takeovers;
};

struct ScheduleLimits {
  /// Steps that the searches may execute, all together. A measure of effort
  /// that does not depend on the machine; 0: the cheap heuristics only.
  uint64_t nodes = 1'000'000;
};

struct ScheduleResult {
  std::vector<uint32_t> order; // the identity unless another is better
  uint64_t peak = 0;           // bytes, of `order`
  uint64_t modelPeak = 0;      // bytes, of the identity
  uint64_t bound = 0;          // bytes; proved: no order has a lower peak
  bool optimal = false;        // the bound is reached
  std::string_view algorithm;  // what found the order, for people
  uint64_t nodes = 0;          // spent
};

/// One line that says what is malformed; empty if nothing is.
std::string check(const ScheduleProblem &problem);

/// Whether `order` is a permutation that respects the edges.
bool isOrder(const ScheduleProblem &problem, std::span<const uint32_t> order);

/// Bytes. `order` must be one.
uint64_t peakOf(const ScheduleProblem &problem,
                std::span<const uint32_t> order);

/// Aborts, saying why, if the problem is malformed. Deterministic; never worse
/// than the identity, which is kept where nothing is gained.
ScheduleResult schedule(const ScheduleProblem &problem,
                        const ScheduleLimits &limits = {});

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULE_H
