//===- CheckTransitions.h - From one entry to the next ---------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// After an entry, complete or stopped after any of its steps, any entry may
// follow, the same one again included. That is safe when whatever the first
// one did, the next reads only
//   - weights and constants, which no entry writes: no result and no copy goes
//     to such a buffer, and no buffer of any entry, nor any input, lies over
//     one, whatever its lifetime;
//   - state, of which an entry writes only tokens at `past` and beyond, while
//     [0, past) is what complete runs have left: a stopped one does not move
//     `past`. Within an entry no token is read that is neither in [0, past)
//     nor appended before, and a complete entry has appended all that it says;
//     Of a spilled state this holds block by block. In a run each block below
//     goes the same way once, all blocks of a state in ascending order: it is
//     restored into a slot, what is appended (exactly [past, past + newTokens))
//     is written there, and the slot is spilled. So what is below `past` is
//     complete whenever a run ends or stops: blocks that are written again keep
//     the bytes of those tokens. The restores of a run come before the spills
//     of the same blocks and, by the slot, are done before them.
//     Of a state with a ring, a token is written over the one that is as many
//     tokens older as the ring holds. An entry writes tokens below past + m,
//     m the most that any entry adds, and the oldest token that any row reads
//     in its window is past + 1 - window: so that no token is lost that any
//     entry reads from the same `past`, the ring holds window + m - 1
//     (checkRings).
//   - its own inputs and what its own earlier steps wrote (CheckCoverage.h).
// None of these depends on which entry came before or how far it got, so they
// prove every pair.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKTRANSITIONS_H
#define LLMC_RUNTIME_PLAN_CHECKTRANSITIONS_H

#include "runtime/plan/CheckCoverage.h"
#include "runtime/plan/Plan.h"
#include "runtime/plan/Polynomial.h"
#include "runtime/support/Result.h"

#include <cstdint>

namespace llmc::plan {

/// Lasting buffers share bytes with no buffer that any entry or caller may
/// write.
Result<void> checkLasting(const Plan &plan);

/// Tokens of the states: written at `past` and beyond, read only if there.
/// Returns the number of appends. The launches must have passed checkLaunch().
Result<uint64_t> checkTokens(const Plan &plan, const Entry &entry,
                             const EntryPolynomials &polynomials);

/// The rings of states are long enough for every attention of every entry.
Result<void> checkRings(const Plan &plan);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKTRANSITIONS_H
