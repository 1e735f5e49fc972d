//===- CheckStreams.h - What happens before what ---------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Steps of one stream run in order; the two streams know of each other only by
// events. Each step carries a vector clock: how many steps of each stream are
// known to be complete when it starts. The linear order of the plan is one
// legal order (an event is signalled before it is waited for), and two steps
// that touch the same bytes, one of them writing, must be ordered by the
// clocks as they are in the plan.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKSTREAMS_H
#define LLMC_RUNTIME_PLAN_CHECKSTREAMS_H

#include "runtime/plan/CheckCoverage.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

namespace llmc::plan {

/// Events: signalled once, and before they are waited for. Then every pair of
/// conflicting steps on different streams, by device address, so that a slot's
/// next use waits for its last reader.
Result<void> checkStreams(const Plan &plan, const Entry &entry,
                          const StepRanges &ranges);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKSTREAMS_H
