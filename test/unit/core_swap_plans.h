//===- core_swap_plans.h - A plan whose activation leaves ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The plan of core_spill_plans.h without spilled blocks, but the result of the
// attention is swapped out and comes back in front of the sum.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_CORE_SWAP_PLANS_H
#define LLMC_TEST_UNIT_CORE_SWAP_PLANS_H

#include "core_spill_plans.h"

namespace llmc::test {

/// Step of SwapOut in both entries; then signal and wait, 3: SwapIn, signal and
/// wait, 6: the sum.
constexpr size_t kSwapOut = 3;

inline void swapActivation(plan::Plan &plan) {
  using namespace plan;
  uint64_t fileEnd = 4096;
  uint64_t arena = plan.totals.arenaBytes;
  for (uint32_t i = 0; i < plan.entries.size(); ++i) {
    Entry &entry = plan.entries[i];
    const auto sum =
        std::find_if(entry.steps.begin(), entry.steps.end(),
                     [](const Step &step) { return step.name == "sum"; });
    const uint32_t y = sum->operands[0].buffer;
    Buffer back = plan.buffers[y];
    back.name += ".back";
    back.kind = BufferKind::Staging;
    back.offset = arena;
    arena += (back.size + 63) / 64 * 64;
    Buffer below = plan.buffers[y];
    below.name += ".below";
    below.tier = Tier::Disk;
    below.offset = fileEnd;
    fileEnd += (below.size + 4095) / 4096 * 4096;
    const auto backIndex = static_cast<uint32_t>(plan.buffers.size());
    plan.buffers.push_back(back);
    plan.buffers.push_back(below);
    sum->operands[0].buffer = backIndex;
    std::vector<Step> steps(6);
    const auto swap = [&](Step &step, StepKind kind, uint32_t buffer) {
      step.kind = kind;
      step.name = "y";
      step.buffer = buffer;
      step.below = backIndex + 1;
      step.bytes = below.size;
    };
    const auto sync = [&](Step &step, StepKind kind, Stream stream,
                          uint32_t event) {
      step.kind = kind;
      step.stream = stream;
      step.event = entry.numEvents + event;
    };
    swap(steps[0], StepKind::SwapOut, y);
    sync(steps[1], StepKind::Signal, Stream::Compute, 0);
    sync(steps[2], StepKind::Wait, Stream::Copy, 0);
    swap(steps[3], StepKind::SwapIn, backIndex);
    steps[3].stream = Stream::Copy;
    sync(steps[4], StepKind::Signal, Stream::Copy, 1);
    sync(steps[5], StepKind::Wait, Stream::Compute, 1);
    entry.numEvents += 2;
    entry.steps.insert(sum, steps.begin(), steps.end());
    for (Buffer &buffer : plan.buffers) {
      if (buffer.entry == i) {
        buffer.end = static_cast<uint32_t>(entry.steps.size());
      }
    }
  }
  plan.totals.diskBytes = fileEnd;
  fillTotals(plan, arena);
}

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_CORE_SWAP_PLANS_H
