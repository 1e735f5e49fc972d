//===- CheckStreams.cpp - What happens before what ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckStreams.h"

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

/// One access by device address.
struct DeviceAccess {
  uint64_t begin;
  uint64_t end;
  uint32_t step;
  uint32_t position; // in its stream
  uint32_t buffer;
  bool writes;
};

} // namespace

Result<void> checkStreams(const Plan &plan, const Entry &entry,
                          const StepRanges &ranges) {
  Result<std::vector<Clock>> starts = startClocks(entry);
  if (!starts) {
    return starts.error();
  }
  std::array<std::vector<DeviceAccess>, 2> accesses;
  Clock positions{};
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    auto stream = static_cast<size_t>(entry.steps[i].stream);
    for (const TouchedRange &range : ranges[i]) {
      const Buffer &buffer = plan.buffers[range.buffer];
      if (range.bytes.begin < range.bytes.end && buffer.tier == Tier::Device) {
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
      if ((*starts)[second.step][stream] <= first.position) {
        return unsafe(
            describeStep(entry, second.step) +
            (second.writes ? ": writes" : ": reads") + " bytes [" +
            std::to_string(std::max(copy.begin, other.begin)) + ", " +
            std::to_string(std::min(copy.end, other.end)) +
            ") of the device (buffer '" + plan.buffers[second.buffer].name +
            "') without waiting for step " + std::to_string(first.step) +
            (first.writes ? ", which writes them" : ", which reads them") +
            " on the other stream (buffer '" + plan.buffers[first.buffer].name +
            "')");
      }
    }
  }
  return {};
}

namespace {

/// A set of bytes as disjoint ranges.
class ByteSet {
public:
  void add(ByteRange range) {
    if (range.begin >= range.end) {
      return;
    }
    auto it = ranges.upper_bound(range.begin);
    if (it != ranges.begin() && std::prev(it)->second >= range.begin) {
      --it;
    }
    while (it != ranges.end() && it->first <= range.end) {
      range.begin = std::min(range.begin, it->first);
      range.end = std::max(range.end, it->second);
      it = ranges.erase(it);
    }
    ranges.emplace(range.begin, range.end);
  }
  /// The first byte of `range` that is missing.
  std::optional<uint64_t> missing(ByteRange range) const {
    if (range.begin >= range.end) {
      return std::nullopt;
    }
    auto it = ranges.upper_bound(range.begin);
    if (it == ranges.begin() || std::prev(it)->second <= range.begin) {
      return range.begin;
    }
    uint64_t end = std::prev(it)->second;
    return end < range.end ? std::optional(end) : std::nullopt;
  }

private:
  std::map<uint64_t, uint64_t> ranges;
};

} // namespace

Result<void> checkInitialized(const Plan &plan, uint32_t entryIndex,
                              const EntryBounds &bounds,
                              const StepRanges &ranges) {
  const Entry &entry = plan.entries[entryIndex];
  std::vector<ByteSet> written(plan.buffers.size());
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const Buffer &buffer = plan.buffers[i];
    // Weights, states and constants are filled at load, inputs by the caller.
    if (buffer.kind == BufferKind::Weight && buffer.segment != kNone) {
      written[i].add({0, plan.segments[buffer.segment].size});
    } else if (buffer.kind <= BufferKind::Input) {
      written[i].add({0, buffer.size});
    }
  }
  auto missing = [&](const TouchedRange &range) -> std::optional<uint64_t> {
    std::optional<uint64_t> byte = written[range.buffer].missing(range.bytes);
    // A reshape keeps the elements, but its bound may be looser than that of
    // what was written; slots of streamed weights are never symbolic.
    bool loose = range.symbolic && byte && *byte != range.bytes.begin;
    return loose ? std::nullopt : byte;
  };
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    for (const TouchedRange &range : ranges[i]) {
      std::optional<uint64_t> byte =
          range.reads ? missing(range) : std::nullopt;
      if (byte) {
        return unsafe(describeStep(entry, i) + ": reads bytes [" +
                      std::to_string(range.bytes.begin) + ", " +
                      std::to_string(range.bytes.end) + ") of buffer '" +
                      plan.buffers[range.buffer].name + "', but byte " +
                      std::to_string(*byte) + " was never written");
      }
    }
    for (const TouchedRange &range : ranges[i]) {
      written[range.buffer].add(range.written);
    }
  }
  for (const Port &port : entry.outputs) {
    if (port.buffer == kNone || port.role == PortRole::State) {
      continue;
    }
    std::optional<uint64_t> bytes = tensorBytes(bounds, port.dtype, port.dims);
    TouchedRange range{port.buffer, {0, bytes.value_or(0)}, true, false, true,
                       {}};
    if (std::optional<uint64_t> byte = missing(range)) {
      return unsafe("entry '" + entry.name + "': output '" + port.name +
                    "' (buffer '" + plan.buffers[port.buffer].name +
                    "') is never written");
    }
  }
  return {};
}

} // namespace llmc::plan
