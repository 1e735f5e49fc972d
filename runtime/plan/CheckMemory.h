//===- CheckMemory.h - Where buffers lie and when --------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKMEMORY_H
#define LLMC_RUNTIME_PLAN_CHECKMEMORY_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>

namespace llmc::plan {

/// Segments are aligned and apart.
Result<void> checkSegments(const Plan &plan);

/// Each buffer alone: alignment, inside its tier, and what fills it fits:
/// segments into weights, data into constants, blocks into states.
Result<void> checkBuffers(const Plan &plan);

/// device_bytes is the sum of its parts and within the budget; the parts that
/// last hold what they must.
Result<void> checkTotals(const Plan &plan);

/// No two buffers of one tier that live at the same step of entry `entry`
/// share a byte: a sweep over the steps with the live buffers sorted by
/// address.
Result<void> checkOverlap(const Plan &plan, uint32_t entry);

/// The most that lives on the device in one entry.
struct HighWater {
  uint64_t liveBytes = 0;    // sum of sizes
  uint32_t liveStep = 0;     // first step at which that is so
  uint64_t extentBytes = 0;  // end of the highest live buffer
  uint64_t lastingBytes = 0; // of liveBytes: lives in every entry
};
HighWater highWater(const Plan &plan, uint32_t entry);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKMEMORY_H
