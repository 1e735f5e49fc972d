//===- CheckStreams.cpp - What happens before what ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckStreams.h"

#include "runtime/plan/Report.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <array>
#include <map>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

/// Complete steps of each stream.
using Clock = std::array<uint32_t, 2>;

/// The clocks at which the steps start; PlanUnsafe for misused events.
static Result<std::vector<Clock>> startClocks(const Entry &entry) {
  std::vector<Clock> starts(entry.steps.size());
  std::vector<std::optional<Clock>> events(entry.numEvents);
  std::array<Clock, 2> known{};
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    auto stream = static_cast<size_t>(step.stream);
    Clock &clock = known[stream];
    if (step.kind == StepKind::Wait) {
      const std::optional<Clock> &event = events[step.event];
      if (!event) {
        return unsafe(describeStep(entry, i) + ": waits for event " +
                      std::to_string(step.event) +
                      ", which no earlier step signals");
      }
      clock[0] = std::max(clock[0], (*event)[0]);
      clock[1] = std::max(clock[1], (*event)[1]);
    }
    starts[i] = clock;
    ++clock[stream];
    if (step.kind == StepKind::Signal) {
      if (events[step.event]) {
        return unsafe(describeStep(entry, i) + ": signals event " +
                      std::to_string(step.event) + " a second time");
      }
      events[step.event] = clock;
    }
  }
  return starts;
}

namespace {

/// One access by address in its tier.
struct DeviceAccess {
  uint64_t begin;
  uint64_t end;
  uint32_t step;
  uint32_t position; // in its stream
  uint32_t buffer;
  bool writes;
};

} // namespace

static Result<void> checkTier(const Plan &plan, const Entry &entry,
                              const StepRanges &ranges,
                              const std::vector<Clock> &starts, Tier tier) {
  std::array<std::vector<DeviceAccess>, 2> accesses;
  Clock positions{};
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    auto stream = static_cast<size_t>(entry.steps[i].stream);
    for (const TouchedRange &range : ranges[i]) {
      const Buffer &buffer = plan.buffers[range.buffer];
      if (range.bytes.begin < range.bytes.end && buffer.tier == tier) {
        accesses[stream].push_back({buffer.offset + range.bytes.begin,
                                    buffer.offset + range.bytes.end,
                                    static_cast<uint32_t>(i), positions[stream],
                                    range.buffer, range.writes});
      }
    }
    ++positions[stream];
  }
  // Most of what one stream touches the other never does.
  auto &compute = accesses[static_cast<size_t>(Stream::Compute)];
  const auto &copies = accesses[static_cast<size_t>(Stream::Copy)];
  if (copies.empty()) {
    return {};
  }
  std::map<uint64_t, uint64_t> touched; // disjoint ranges, begin to end
  for (const DeviceAccess &copy : copies) {
    uint64_t begin = copy.begin, end = copy.end;
    auto it = touched.upper_bound(begin);
    if (it != touched.begin() && std::prev(it)->second >= begin) {
      --it;
    }
    while (it != touched.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = touched.erase(it);
    }
    touched.emplace(begin, end);
  }
  std::erase_if(compute, [&](const DeviceAccess &access) {
    auto it = touched.lower_bound(access.end);
    return it == touched.begin() || std::prev(it)->second <= access.begin;
  });
  for (const DeviceAccess &copy : copies) {
    for (const DeviceAccess &other : compute) {
      if (copy.begin >= other.end || other.begin >= copy.end ||
          (!copy.writes && !other.writes)) {
        continue;
      }
      bool copyFirst = copy.step < other.step;
      const DeviceAccess &first = copyFirst ? copy : other;
      const DeviceAccess &second = copyFirst ? other : copy;
      auto stream = static_cast<size_t>(entry.steps[first.step].stream);
      if (starts[second.step][stream] <= first.position) {
        return unsafe(
            describeStep(entry, second.step) +
            (second.writes ? ": writes" : ": reads") + " bytes [" +
            std::to_string(std::max(copy.begin, other.begin)) + ", " +
            std::to_string(std::min(copy.end, other.end)) + ") of the " +
            std::string(name(tier)) + " (buffer '" +
            plan.buffers[second.buffer].name + "') without waiting for step " +
            std::to_string(first.step) +
            (first.writes ? ", which writes them" : ", which reads them") +
            " on the other stream (buffer '" + plan.buffers[first.buffer].name +
            "')");
      }
    }
  }
  return {};
}

Result<void> checkStreams(const Plan &plan, const Entry &entry,
                          const StepRanges &ranges) {
  Result<std::vector<Clock>> starts = startClocks(entry);
  if (!starts) {
    return starts.error();
  }
  for (Tier tier : {Tier::Device, Tier::Disk}) {
    if (Result<void> good = checkTier(plan, entry, ranges, *starts, tier);
        !good) {
      return good;
    }
  }
  return {};
}

} // namespace llmc::plan
