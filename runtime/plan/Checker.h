//===- Checker.h - The proof that a plan is safe to run --------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Runs after every compile, at every load and as `llmc verify`. Shares no code
// with the planner: everything is derived from the plan itself and from the
// contracts of Plan.h and KernelId.h.
//
// Proved, for every run whose symbols keep their bounds:
//   bounds    each operand lies in its buffer, each buffer in its tier, each
//             copy in its segment and slot, each token position in its state
//   overlap   no two buffers that live at the same step share a byte; every
//             step touches only what is live; no result lies over an operand
//             that its kernel still reads
//   order     nothing is read before it is written, byte by byte at the sizes
//             of every run; steps of the two streams that touch the same bytes
//             are ordered by events, so that a slot is not read before its copy
//             is complete, nor filled again before its last reader is done
//   transitions  after any entry, complete or stopped after any step, any entry
//             finds what it reads: weights and constants, which nobody writes;
//             state before `past`, which is only ever written beyond; its
//             inputs; and what it wrote itself (CheckTransitions.h)
//   budget    device_bytes = arena + reserve = the sum of its named parts, and
//             at most the budget
//
// Assumed: kernels stay inside their operands and write a result as a whole or
// report an error; the executor binds symbols within their bounds, refuses a
// run whose past + newTokens exceeds the capacity of any state, ends an entry
// only when both streams are done, starts one with no event signalled, and adds
// newTokens to `past` only when an entry is complete.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKER_H
#define LLMC_RUNTIME_PLAN_CHECKER_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan {

/// What was proved, in figures. Bytes are device bytes.
struct Certificate {
  struct EntryFigures {
    std::string name;
    uint64_t steps = 0;
    uint64_t launches = 0;
    uint64_t copies = 0;
    uint64_t events = 0;
    uint64_t operands = 0;       // byte ranges proved to lie in their buffers
    uint64_t appends = 0;        // launches that write state, all beyond past
    uint64_t streamedBytes = 0;  // copied in one run
    uint64_t peakLiveBytes = 0;  // largest sum of live buffers
    uint32_t peakStep = 0;       // where that is
    uint64_t highWaterBytes = 0; // end of the highest live buffer
  };
  /// From an entry to the next.
  struct Transitions {
    uint64_t pairs = 0;        // ordered pairs of entries, an entry's own too
    uint64_t cases = 0;        // with every step that the first may stop after
    uint64_t lastingBytes = 0; // device bytes that outlive entries
    uint64_t highWaterBytes = 0; // end of the highest live buffer in any
  };
  std::vector<EntryFigures> entries;
  Transitions transitions;
  uint64_t buffers = 0;
  uint64_t segments = 0;
  uint64_t arenaBytes = 0;
  uint64_t deviceBytes = 0;
  uint64_t budgetBytes = UINT64_MAX; // UINT64_MAX: unbounded

  std::string text() const; // a few lines
  std::string json() const; // one object
};

/// PlanUnsafe with the first violation in words: entry, step, names, numbers.
/// PlanMalformed if the plan does not pass validate().
Result<Certificate> check(const Plan &plan);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKER_H
