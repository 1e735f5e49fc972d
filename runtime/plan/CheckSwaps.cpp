//===- CheckSwaps.cpp - Activations that leave and come back --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckSwaps.h"

#include "runtime/plan/Report.h"
#include "runtime/plan/Validate.h"

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

std::vector<TouchedRange> swapRanges(const Step &step) {
  bool out = step.kind == StepKind::SwapOut;
  TouchedRange buffer{
      step.buffer, {step.targetOffset, step.targetOffset + step.bytes},
      out,         !out,
      {},          {}};
  TouchedRange below{step.below, {0, step.bytes}, !out, out, {}, {}};
  return {buffer, below};
}

Result<void> checkSwaps(const Plan &plan, uint32_t entryIndex) {
  const Entry &entry = plan.entries[entryIndex];
  std::vector<const Step *> left(plan.buffers.size()); // how a buffer went
  std::vector<bool> touched(plan.buffers.size());
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    if (!isSwap(step)) {
      for (const Operand &operand : step.operands) {
        touched[operand.buffer] = true;
      }
      bool hasBuffer =
          step.kind != StepKind::Signal && step.kind != StepKind::Wait;
      if (hasBuffer && step.buffer < touched.size()) {
        touched[step.buffer] = true;
      }
      continue;
    }
    std::string where = describeStep(entry, i);
    const Buffer &buffer = plan.buffers[step.buffer];
    const Buffer &below = plan.buffers[step.below];
    bool out = step.kind == StepKind::SwapOut;
    if (below.tier != Tier::Disk || below.kind != BufferKind::Activation ||
        step.bytes > below.size) {
      return unsafe(where + ": buffer '" + below.name + "' of kind " +
                    std::string(name(below.kind)) + " and tier " +
                    std::string(name(below.tier)) + " is no place for " +
                    std::to_string(step.bytes) + " bytes below");
    }
    bool goodKind = out ? buffer.kind == BufferKind::Activation ||
                              buffer.kind == BufferKind::Input ||
                              buffer.kind == BufferKind::Staging
                        : buffer.kind == BufferKind::Staging ||
                              buffer.kind == BufferKind::Output;
    if (buffer.tier != Tier::Device || !goodKind || step.bytes == 0 ||
        step.targetOffset + step.bytes > buffer.size) {
      return unsafe(where + ": bytes [" + std::to_string(step.targetOffset) +
                    ", " + std::to_string(step.targetOffset + step.bytes) +
                    ") of buffer '" + buffer.name + "' of kind " +
                    std::string(name(buffer.kind)) + " and " +
                    std::to_string(buffer.size) + " bytes cannot be swapped");
    }
    if (out) {
      if (left[step.below]) {
        return unsafe(where + ": buffer '" + below.name +
                      "' is swapped out a second time");
      }
      if (step.stream != Stream::Compute) {
        return unsafe(where + ": is not on the compute stream");
      }
      left[step.below] = &step;
      continue;
    }
    const Step *wrote = left[step.below];
    if (!wrote || wrote->bytes != step.bytes ||
        wrote->targetOffset != step.targetOffset) {
      return unsafe(where + ": bytes [" + std::to_string(step.targetOffset) +
                    ", " + std::to_string(step.targetOffset + step.bytes) +
                    ") come from buffer '" + below.name + "', where " +
                    (wrote ? "others are" : "nothing was written"));
    }
    if (touched[step.buffer]) {
      return unsafe(where + ": buffer '" + buffer.name +
                    "' was used before, it must be new");
    }
    touched[step.buffer] = true;
  }
  return {};
}

} // namespace llmc::plan
