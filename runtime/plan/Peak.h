//===- Peak.h - When a tier is fullest, and with what ----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What lives at a step is what the plan's lifetimes say: lasting buffers
// always, the others in [start, end) of their entry. The largest such sum is
// a lower bound of the tier's extent: no choice of addresses can do with less.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PEAK_H
#define LLMC_RUNTIME_PLAN_PEAK_H

#include "runtime/plan/Plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan {

/// Bytes live in a tier at each step of an entry: one number per step, and one
/// for an entry without steps. The plan must have passed validate().
std::vector<uint64_t> liveBytes(const Plan &plan, uint32_t entry,
                                Tier tier = Tier::Device);

struct Peak {
  uint32_t step = 0; // the first of the fullest steps
  uint64_t bytes = 0;
  std::vector<uint32_t> buffers; // live then: largest first, then by offset
};
Peak findPeak(const Plan &plan, uint32_t entry, Tier tier = Tier::Device);

/// The largest sum of live bytes at any step of any entry.
uint64_t liveLowerBound(const Plan &plan, Tier tier = Tier::Device);

/// For every entry the fullest step of the device: live bytes beside lower
/// bound, arena and budget, then each live buffer with its share.
std::string peakText(const Plan &plan);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PEAK_H
