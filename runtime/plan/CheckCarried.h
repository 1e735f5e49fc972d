//===- CheckCarried.h - What outlasts a run --------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A carried slot holds the same bytes of the weights file at the start and at
// the end of every entry, so any entry may follow any other. In an entry,
//   - its `first` buffer lives from step 0 on, so no input and no early result
//     lies over it, and no step writes it;
//   - its `last` buffer lives to the end and is filled by one copy of just the
//     declared bytes (or is `first`).
// What lies over it in between is the matter of the check for overlaps; that
// the copy is complete in the end follows from the end of an entry, which waits
// for both streams. After a run that stopped early the executor fills the slots
// again, as the load did: with the plan's own offsets, checked here.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKCARRIED_H
#define LLMC_RUNTIME_PLAN_CHECKCARRIED_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>

namespace llmc::plan {

/// The slots alone: their bytes are in the segment and in the arena, apart from
/// one another, from what lasts and from every input.
Result<void> checkCarriedSlots(const Plan &plan);

/// The slots' buffers in entry `entry`.
Result<void> checkCarried(const Plan &plan, uint32_t entry);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKCARRIED_H
