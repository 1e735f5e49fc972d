//===- CheckKernels.h - What each kernel may touch -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The checker's own knowledge of the kernels, derived from KernelId.h alone.
//
// A kernel indexes its operands by their dimensions; two dimensions that it
// takes to be the same (K of a row and K of a weight) must have the same
// bound. Then whatever the dimensions are at run time, and whichever of them
// the kernel loops over, it stays within each operand's bytes at the bound.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKKERNELS_H
#define LLMC_RUNTIME_PLAN_CHECKKERNELS_H

#include "runtime/plan/Bounds.h"
#include "runtime/plan/Plan.h"
#include "runtime/plan/Polynomial.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <vector>

namespace llmc::plan {

/// Bytes [begin, end) of a buffer.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// Bytes that a step has surely written when it is done: [begin, end) of the
/// buffer, or, in rows, [begin, end) of each of `count` periods from `base` on.
struct Writing {
  Polynomial begin, end;
  bool inRows = false;
  uint64_t base = 0;
  Polynomial period = {}, count = {};
};

/// What a step may do to a buffer.
struct TouchedRange {
  uint32_t buffer = 0;
  ByteRange bytes; // at the bounds of the dimensions
  bool reads = false;
  bool writes = false;
  /// The bytes in a run, from bytes.begin on; nullopt: unknown, so all.
  std::optional<Polynomial> size;
  /// nullopt: nothing that could be named.
  std::optional<Writing> written;
  /// A window of a state in a slot: which of the bytes are there is a matter of
  /// tokens, see CheckTransitions.h.
  bool holdsTokens = false;
};

/// The bytes of a dense tensor with these dimensions at their bounds; nullopt
/// on overflow or a negative dimension.
std::optional<uint64_t> tensorBytes(const EntryBounds &bounds, DType dtype,
                                    const std::vector<uint32_t> &dims);

/// The same in a run; nullopt if that cannot be followed.
std::optional<Polynomial> tensorSize(const EntryPolynomials &polynomials,
                                     DType dtype,
                                     const std::vector<uint32_t> &dims);

/// The bytes of one block of a state; nullopt on overflow.
std::optional<uint64_t> blockBytes(const State &state);
/// Blocks of a state, resident or not; of one with a ring as if it had none.
uint64_t blocksOf(const State &state);
/// Blocks that have a place: with a ring fewer.
uint64_t placesOf(const State &state);
/// The token axis of an operand that is the whole of the state.
int64_t tokensOf(const State &state);
/// The bytes of a state's buffer: whole blocks, with the one that is being
/// filled if some lie below. nullopt on overflow.
std::optional<uint64_t> stateBytes(const State &state);
/// The bytes of what is spilled.
std::optional<uint64_t> spilledBytes(const State &state);

/// Whether the launch works on windows of states: an attention or an append in
/// parts. Then operand `index` is such a window where windowOperand() says so.
bool worksOnWindows(const Step &step);
bool windowOperand(const Step &step, size_t index);
/// The first token of the launch's windows.
int64_t firstTokenOf(const Step &step);

/// Checks the launch against the kernel's contract and returns the bytes of
/// each operand, in order. PlanUnsafe names step and operand. Whether the
/// ranges lie in their buffers is checked here too.
Result<std::vector<TouchedRange>>
checkLaunch(const Plan &plan, const Entry &entry, const EntryBounds &bounds,
            const EntryPolynomials &sizes, size_t stepIndex);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKKERNELS_H
