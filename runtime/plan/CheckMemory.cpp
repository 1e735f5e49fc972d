//===- CheckMemory.cpp - Where buffers lie and when -----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckMemory.h"

#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/Report.h"

#include <algorithm>
#include <map>
#include <vector>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

static std::string number(uint64_t value) { return std::to_string(value); }

static std::string place(const Buffer &buffer) {
  return "'" + buffer.name + "' at [" + number(buffer.offset) + ", " +
         number(buffer.offset + buffer.size) + ")";
}

Result<void> checkSegments(const Plan &plan) {
  std::vector<const Segment *> order;
  for (const Segment &segment : plan.segments) {
    if (segment.offset % kSegmentAlignment != 0) {
      return unsafe("segment '" + segment.name + "' starts at " +
                    number(segment.offset) + ", not a multiple of " +
                    number(kSegmentAlignment));
    }
    order.push_back(&segment);
  }
  std::sort(order.begin(), order.end(), [](const Segment *a, const Segment *b) {
    return a->offset < b->offset;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->size > order[i]->offset) {
      return unsafe("segments '" + order[i - 1]->name + "' and '" +
                    order[i]->name + "' overlap in the weights file");
    }
  }
  return {};
}

Result<void> checkBuffers(const Plan &plan) {
  const Totals &totals = plan.totals;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.offset % kBufferAlignment != 0) {
      return unsafe("buffer " + place(buffer) +
                    " does not start at a multiple of " +
                    number(kBufferAlignment));
    }
    uint64_t end = buffer.offset + buffer.size; // validate(): cannot wrap
    bool inFile = buffer.tier == Tier::Disk && buffer.segment != kNone;
    uint64_t room = buffer.tier == Tier::Device ? totals.arenaBytes
                    : buffer.tier == Tier::Host ? totals.hostBytes
                                                : totals.diskBytes;
    if (end > room && !inFile) {
      return unsafe("buffer " + place(buffer) + " does not lie in the " +
                    number(room) + " bytes of the " +
                    std::string(name(buffer.tier)) + " tier");
    }
    if (buffer.segment != kNone &&
        plan.segments[buffer.segment].size > buffer.size) {
      return unsafe("segment '" + plan.segments[buffer.segment].name + "' of " +
                    number(plan.segments[buffer.segment].size) +
                    " bytes does not fit into buffer " + place(buffer));
    }
    if (buffer.kind == BufferKind::Weight && buffer.segment == kNone) {
      return unsafe("weight " + place(buffer) + " is filled by no segment");
    }
  }
  std::vector<int> filled(plan.buffers.size());
  for (const Plan::ConstantData &constant : plan.constants) {
    const Buffer &buffer = plan.buffers[constant.buffer];
    if (buffer.kind != BufferKind::Constant ||
        constant.bytes.size() > buffer.size || ++filled[constant.buffer] > 1) {
      return unsafe(number(constant.bytes.size()) +
                    " bytes of constant data do not fit buffer " +
                    place(buffer) + " of kind " +
                    std::string(name(buffer.kind)) + ", or come twice");
    }
  }
  std::vector<int> stateOf(plan.buffers.size());
  for (const State &state : plan.states) {
    const Buffer &buffer = plan.buffers[state.buffer];
    std::optional<uint64_t> bytes = stateBytes(state);
    if (buffer.kind != BufferKind::State || !bytes || *bytes > buffer.size ||
        ++stateOf[state.buffer] > 1) {
      return unsafe("state '" + state.name + "' of " +
                    (bytes ? number(*bytes) : "too many") +
                    " bytes does not fit buffer " + place(buffer) +
                    " of kind " + std::string(name(buffer.kind)) +
                    ", or shares it");
    }
    if (state.ringBlocks != 0 &&
        (placesOf(state) >= blocksOf(state) || state.spill != kNone)) {
      return unsafe("state '" + state.name + "' of " + number(blocksOf(state)) +
                    " blocks has places for " + number(placesOf(state)) +
                    " of them: it must have fewer, and spill none");
    }
    if (state.spill == kNone) {
      continue;
    }
    const Buffer &below = plan.buffers[state.spill];
    if (buffer.tier != Tier::Device || state.residentBlocks < 1 ||
        uint64_t(state.residentBlocks) >= blocksOf(state)) {
      return unsafe("state '" + state.name + "' of " + number(blocksOf(state)) +
                    " blocks keeps " + std::to_string(state.residentBlocks) +
                    " of them: it must keep one and spill one");
    }
    bytes = spilledBytes(state);
    if (below.kind != BufferKind::State || below.tier != Tier::Disk || !bytes ||
        *bytes > below.size || ++stateOf[state.spill] > 1) {
      return unsafe("the spilled part of state '" + state.name + "', " +
                    (bytes ? number(*bytes) : "too many") +
                    " bytes, does not fit buffer " + place(below) +
                    " of kind " + std::string(name(below.kind)) + " and tier " +
                    std::string(name(below.tier)) + ", or shares it");
    }
  }
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    BufferKind kind = plan.buffers[i].kind;
    if ((kind == BufferKind::Constant && filled[i] == 0) ||
        (kind == BufferKind::State && stateOf[i] == 0)) {
      return unsafe("buffer " + place(plan.buffers[i]) + " of kind " +
                    std::string(name(kind)) + " has no contents");
    }
  }
  return {};
}

Result<void> checkTotals(const Plan &plan) {
  const Totals &t = plan.totals;
  uint64_t sum = 0;
  bool overflow = false;
  std::string words;
  auto addPart = [&](const char *label, uint64_t bytes) {
    overflow |= __builtin_add_overflow(sum, bytes, &sum);
    words +=
        (words.empty() ? "" : " + ") + std::string(label) + " " + number(bytes);
  };
  addPart("weights", t.residentWeightBytes);
  addPart("state", t.stateBytes);
  addPart("constants", t.constantBytes);
  addPart("staging", t.stagingBytes);
  addPart("workspace", t.workspaceBytes);
  addPart("activations", t.activationPeakBytes);
  addPart("reserve", t.reserveBytes);
  if (overflow || sum != t.deviceBytes) {
    return unsafe("device_bytes " + number(t.deviceBytes) +
                  " is not the sum of its parts: " + words + " = " +
                  (overflow ? "overflow" : number(sum)));
  }
  uint64_t device;
  if (__builtin_add_overflow(t.arenaBytes, t.reserveBytes, &device) ||
      device != t.deviceBytes) {
    return unsafe("device_bytes " + number(t.deviceBytes) + " is not arena " +
                  number(t.arenaBytes) + " + reserve " +
                  number(t.reserveBytes));
  }
  if (t.deviceBytes > t.budgetBytes) {
    return unsafe("device_bytes " + number(t.deviceBytes) +
                  " exceeds the budget of " + number(t.budgetBytes));
  }
  // Lasting buffers overlap nothing, so their sizes add up.
  uint64_t lasting[3] = {};
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.kind <= BufferKind::Constant && buffer.tier == Tier::Device) {
      lasting[static_cast<size_t>(buffer.kind)] += buffer.size;
    }
  }
  const uint64_t said[3] = {t.residentWeightBytes, t.stateBytes,
                            t.constantBytes};
  const char *labels[3] = {"resident weights", "state", "constants"};
  for (int i = 0; i < 3; ++i) {
    if (lasting[i] > said[i]) {
      return unsafe(std::string(labels[i]) + " take " + number(lasting[i]) +
                    " bytes, the plan says " + number(said[i]));
    }
  }
  return {};
}

namespace {

/// One buffer with its lifetime in the entry that is looked at.
struct Live {
  const Buffer *buffer;
  uint32_t start;
  uint32_t end;
};

} // namespace

static std::vector<Live> liveBuffers(const Plan &plan, uint32_t entry) {
  std::vector<Live> live;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.entry == kNone) {
      live.push_back({&buffer, 0, UINT32_MAX});
    } else if (buffer.entry == entry) {
      // The caller writes an input even if no step reads it.
      bool isInput = buffer.kind == BufferKind::Input;
      live.push_back({&buffer, buffer.start,
                      std::max(buffer.end, buffer.start + uint32_t(isInput))});
    }
  }
  return live;
}

Result<void> checkOverlap(const Plan &plan, uint32_t entry) {
  std::vector<Live> live = liveBuffers(plan, entry);
  std::erase_if(live, [](const Live &l) {
    return l.buffer->size == 0 || l.start >= l.end;
  });
  // (step, kind of event, index): ends come before starts, since lifetimes
  // are half-open.
  struct Event {
    uint32_t step;
    bool isStart;
    size_t index;
  };
  std::vector<Event> events;
  for (size_t i = 0; i < live.size(); ++i) {
    events.push_back({live[i].start, true, i});
    events.push_back({live[i].end, false, i});
  }
  std::sort(events.begin(), events.end(), [](const Event &a, const Event &b) {
    return std::tie(a.step, a.isStart, a.index) <
           std::tie(b.step, b.isStart, b.index);
  });
  // While nothing overlaps, the live buffers of a tier are ordered by address
  // and a new one can only meet its two neighbours.
  std::map<uint64_t, size_t> byOffset[3];
  for (const Event &event : events) {
    const Live &now = live[event.index];
    auto &tier = byOffset[static_cast<size_t>(now.buffer->tier)];
    if (!event.isStart) {
      tier.erase(now.buffer->offset);
      continue;
    }
    auto next = tier.lower_bound(now.buffer->offset);
    const Live *other = nullptr;
    if (next != tier.end() &&
        next->first < now.buffer->offset + now.buffer->size) {
      other = &live[next->second];
    } else if (next != tier.begin()) {
      const Live &previous = live[std::prev(next)->second];
      if (previous.buffer->offset + previous.buffer->size >
          now.buffer->offset) {
        other = &previous;
      }
    }
    if (other != nullptr) {
      return unsafe("entry '" + plan.entries[entry].name + "', step " +
                    number(event.step) + ": buffers " + place(*other->buffer) +
                    " and " + place(*now.buffer) + " of the " +
                    std::string(name(now.buffer->tier)) +
                    " tier are live at once and overlap");
    }
    tier.emplace(now.buffer->offset, event.index);
  }
  return {};
}

HighWater highWater(const Plan &plan, uint32_t entry) {
  HighWater result;
  size_t steps = std::max<size_t>(plan.entries[entry].steps.size(), 1);
  std::vector<uint64_t> change(steps + 1); // sums wrap and come back
  for (const Live &live : liveBuffers(plan, entry)) {
    const Buffer &buffer = *live.buffer;
    if (buffer.tier != Tier::Device || live.start >= live.end) {
      continue;
    }
    result.extentBytes =
        std::max(result.extentBytes, buffer.offset + buffer.size);
    if (buffer.entry == kNone) {
      result.lastingBytes += buffer.size;
      continue;
    }
    change[live.start] += buffer.size;
    change[live.end] -= buffer.size;
  }
  uint64_t bytes = result.lastingBytes;
  result.liveBytes = bytes;
  for (size_t step = 0; step < steps; ++step) {
    bytes += change[step];
    if (bytes > result.liveBytes) {
      result.liveBytes = bytes;
      result.liveStep = static_cast<uint32_t>(step);
    }
  }
  return result;
}

} // namespace llmc::plan
