//===- FirstUse.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/FirstUse.h"

#include <map>

using namespace llmc;
using namespace llmc::plan;

FirstUse::FirstUse(const Plan &plan, bool enabled)
    : plan(plan), segments(plan.segments.size()) {
  for (size_t i = 0; i < segments.size(); ++i) {
    segments[i].pending = enabled && plan.segments[i].size != 0;
  }
  for (const CarriedSlot &slot : plan.carried) {
    segments[slot.segment].inOrder = false;
  }
}

void FirstUse::expect(const Schedule &schedule) {
  std::map<uint32_t, uint64_t> next;
  for (const Action &action : schedule.actions) {
    if (action.kind != StepKind::Copy || action.bytes == 0) {
      continue;
    }
    State &state = segments[action.segment];
    if (action.indices) {
      state.streamed = true;
      state.inOrder = false; // some rows in some order
      continue;
    }
    uint64_t &at = next[action.segment];
    if (at == plan.segments[action.segment].size) {
      at = 0; // a segment may be loaded more than once
    }
    state.streamed = true;
    state.inOrder = state.inOrder && action.sourceOffset == at;
    at = action.sourceOffset + action.bytes;
  }
  for (const auto &[segment, end] : next) {
    State &state = segments[segment];
    state.inOrder = state.inOrder && end == plan.segments[segment].size;
  }
}

bool FirstUse::arrived(uint32_t segment, uint64_t sourceOffset,
                       const uint8_t *data, uint64_t bytes) {
  State &state = segments[segment];
  if (sourceOffset == 0) {
    state.hasher = Hasher(); // a run before may have ended early
    state.next = 0;
  }
  if (sourceOffset != state.next) {
    return true;
  }
  state.hasher.update(data, bytes);
  state.next += bytes;
  if (state.next != plan.segments[segment].size) {
    return true;
  }
  const Hash128 sum = state.hasher.finish();
  if (sum != Hash128(plan.segments[segment].hash)) {
    found = sum;
    return false;
  }
  state.pending = false;
  return true;
}

Error FirstUse::mismatch(const WeightsSource &source, uint32_t segment) const {
  const Segment &damaged = plan.segments[segment];
  return {ErrorCode::WeightsChecksum,
          source.path + ": checksum mismatch in segment '" + damaged.name +
              "', bytes [" + std::to_string(damaged.offset) + ", " +
              std::to_string(damaged.offset + damaged.size) + "): found " +
              found.text() + ", expected " + Hash128(damaged.hash).text()};
}
