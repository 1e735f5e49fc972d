//===- CheckSwaps.h - Activations that leave and come back ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What is read back was written whole before, in the same run:
//
//   - each Activation of the disk tier is swapped out once per run, first of
//     all, and then swapped in with the same bytes at the same offset; nothing
//     else may touch it (checkLaunch() refuses operands that are not on the
//     device);
//   - nothing overwrites it in between: it is live from the one to the other,
//     and what is live at once does not overlap (CheckMemory.h), in the disk
//     tier as in the others;
//   - the read waits for the write, and who uses the slot for the read
//     (CheckStreams.h, which orders accesses to the disk tier as well);
//   - what was not written of the bytes before they left is not there when they
//     come back (CheckCoverage.h). For that, the slot must be untouched.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKSWAPS_H
#define LLMC_RUNTIME_PLAN_CHECKSWAPS_H

#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <vector>

namespace llmc::plan {

inline bool isSwap(const Step &step) {
  return step.kind == StepKind::SwapOut || step.kind == StepKind::SwapIn;
}

/// The bytes that a swap reads and writes. Bounds: see checkSwaps().
std::vector<TouchedRange> swapRanges(const Step &step);

/// The rules above as far as no other part of the checker has them.
Result<void> checkSwaps(const Plan &plan, uint32_t entry);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKSWAPS_H
