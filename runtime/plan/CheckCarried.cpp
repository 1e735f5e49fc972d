//===- CheckCarried.cpp - What outlasts a run -----------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckCarried.h"

#include "runtime/plan/Validate.h"

#include <algorithm>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

static std::string slotName(const Plan &plan, size_t index) {
  const CarriedSlot &slot = plan.carried[index];
  return "carried slot " + std::to_string(index) + " (bytes [" +
         std::to_string(slot.sourceOffset) + ", " +
         std::to_string(slot.sourceOffset + slot.bytes) + ") of segment '" +
         plan.segments[slot.segment].name + "' at [" +
         std::to_string(slot.offset) + ", " +
         std::to_string(slot.offset + slot.bytes) + "))";
}

Result<void> checkCarriedSlots(const Plan &plan) {
  std::vector<size_t> order;
  for (size_t i = 0; i < plan.carried.size(); ++i) {
    const CarriedSlot &slot = plan.carried[i];
    if (slot.bytes == 0 ||
        slot.sourceOffset + slot.bytes > plan.segments[slot.segment].size) {
      return unsafe(slotName(plan, i) + ": the segment has " +
                    std::to_string(plan.segments[slot.segment].size) +
                    " bytes");
    }
    if (slot.offset % kBufferAlignment != 0 ||
        slot.offset + slot.bytes > plan.totals.arenaBytes) {
      return unsafe(slotName(plan, i) + ": misaligned or outside of the arena");
    }
    order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return plan.carried[a].offset < plan.carried[b].offset;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const CarriedSlot &before = plan.carried[order[i - 1]];
    if (before.offset + before.bytes > plan.carried[order[i]].offset) {
      return unsafe(slotName(plan, order[i - 1]) + " and " +
                    slotName(plan, order[i]) + " overlap");
    }
  }
  // Of these not every one is live when an entry starts, and so not covered by
  // the check for overlaps: what lasts, and inputs that no step uses.
  for (const Buffer &buffer : plan.buffers) {
    bool isWritten = buffer.entry == kNone || buffer.kind == BufferKind::Input;
    if (!isWritten || buffer.tier != Tier::Device || buffer.size == 0) {
      continue;
    }
    auto after =
        std::partition_point(order.begin(), order.end(), [&](size_t i) {
          return plan.carried[i].offset < buffer.offset + buffer.size;
        });
    if (after == order.begin()) {
      continue;
    }
    const CarriedSlot &slot = plan.carried[*std::prev(after)];
    if (slot.offset + slot.bytes > buffer.offset) {
      return unsafe(slotName(plan, *std::prev(after)) + " lies over buffer '" +
                    buffer.name + "'");
    }
  }
  return {};
}

/// `buffer` is the slot's place in the entry.
static Result<void> checkPlace(const Plan &plan, uint32_t entry, size_t index,
                               uint32_t which, const char *role) {
  const CarriedSlot &slot = plan.carried[index];
  const Buffer &buffer = plan.buffers[which];
  if (buffer.entry != entry || buffer.kind != BufferKind::Staging ||
      buffer.tier != Tier::Device || buffer.offset != slot.offset ||
      buffer.size != slot.bytes) {
    return unsafe("entry '" + plan.entries[entry].name + "': the " + role +
                  " buffer '" + buffer.name + "' of " + slotName(plan, index) +
                  " is not its place");
  }
  return {};
}

Result<void> checkCarried(const Plan &plan, uint32_t entryIndex) {
  const Entry &entry = plan.entries[entryIndex];
  // Every buffer that something writes, and the only copy that does.
  std::vector<uint32_t> writers(plan.buffers.size(), 0);
  std::vector<size_t> writer(plan.buffers.size(), 0);
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    if (step.kind == StepKind::Copy) {
      ++writers[step.buffer];
      writer[step.buffer] = i;
    }
    if (step.kind == StepKind::Restore || step.kind == StepKind::SwapIn) {
      writers[step.buffer] += 2;
    }
    for (const Operand &operand : step.operands) {
      writers[operand.buffer] += operand.access == Access::Read ? 0 : 2;
    }
  }
  std::vector<bool> taken(plan.buffers.size());
  for (size_t i = 0; i < plan.carried.size(); ++i) {
    const CarriedSlot &slot = plan.carried[i];
    const CarriedUse &use = entry.carried[i];
    for (auto [which, role] :
         {std::pair(use.first, "first"), std::pair(use.last, "last")}) {
      if (Result<void> good = checkPlace(plan, entryIndex, i, which, role);
          !good) {
        return good;
      }
    }
    const Buffer &first = plan.buffers[use.first];
    const Buffer &last = plan.buffers[use.last];
    auto wrong = [&](const std::string &what) {
      return unsafe("entry '" + entry.name + "': " + slotName(plan, i) + ": " +
                    what);
    };
    if (first.start != 0 || first.end == 0) {
      return wrong("buffer '" + first.name + "' does not live at step 0");
    }
    if (last.end != std::max<size_t>(entry.steps.size(), 1)) {
      return wrong("buffer '" + last.name + "' does not live to the end");
    }
    if (taken[use.first] || taken[use.last]) {
      return wrong("its buffers are those of another slot");
    }
    taken[use.first] = taken[use.last] = true;
    if (writers[use.first] != 0) {
      return wrong("buffer '" + first.name + "' is written");
    }
    if (use.last == use.first) {
      continue;
    }
    if (writers[use.last] != 1) {
      return wrong("buffer '" + last.name + "' is not written by one copy");
    }
    const Step &copy = entry.steps[writer[use.last]];
    if (copy.segment != slot.segment ||
        copy.sourceOffset != slot.sourceOffset || copy.targetOffset != 0 ||
        copy.bytes != slot.bytes) {
      return wrong("step " + std::to_string(writer[use.last]) +
                   " fills it with other bytes");
    }
  }
  return {};
}

} // namespace llmc::plan
