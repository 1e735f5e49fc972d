//===- Check.cpp - Lower bound and independent check -----------*- C++ -*-===//
//
// Shares no code with the solver: a sweep over the steps that keeps the
// buffers alive at one step in a map ordered by offset. A new buffer can only
// overlap its two neighbours there, since the others are disjoint already.
//
//===----------------------------------------------------------------------===//

#include "passes/solver/Problem.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace llmc::solver {

namespace {

/// One end of a lifetime. Ends sort before starts of the same step, since
/// lifetimes are half-open.
struct Event {
  Step step = 0;
  bool isStart = false;
  size_t buffer = 0;

  bool operator<(const Event &other) const {
    return std::tie(step, isStart, buffer) <
           std::tie(other.step, other.isStart, other.buffer);
  }
};

/// Appends the parts of the lifetime that are not in a gap, in order.
void appendLive(const Buffer &buffer, std::vector<Gap> &live) {
  std::vector<Gap> gaps = buffer.gaps;
  std::sort(gaps.begin(), gaps.end(), [](const Gap &a, const Gap &b) {
    return std::tie(a.start, a.end) < std::tie(b.start, b.end);
  });
  Step cursor = buffer.start;
  for (const Gap &gap : gaps) {
    if (gap.start >= gap.end) {
      continue;
    }
    Step until = std::min(gap.start, buffer.end);
    if (cursor < until) {
      live.push_back({cursor, until});
    }
    cursor = std::max(cursor, gap.end);
  }
  if (cursor < buffer.end) {
    live.push_back({cursor, buffer.end});
  }
}

std::vector<Event> sortedEvents(const Problem &problem) {
  std::vector<Event> events;
  events.reserve(2 * problem.buffers.size());
  std::vector<Gap> live;
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    if (problem.buffers[i].size == 0) {
      continue;
    }
    live.clear();
    appendLive(problem.buffers[i], live);
    for (const Gap &part : live) {
      events.push_back({part.start, true, i});
      events.push_back({part.end, false, i});
    }
  }
  std::sort(events.begin(), events.end());
  return events;
}

std::string text(size_t buffer) { return "buffer " + std::to_string(buffer); }

} // namespace

bool conflict(const Buffer &a, const Buffer &b) {
  if (a.size == 0 || b.size == 0 || a.start >= b.end || b.start >= a.end ||
      a.start >= a.end || b.start >= b.end) {
    return false;
  }
  if (a.gaps.empty() && b.gaps.empty()) {
    return true;
  }
  std::vector<Gap> liveA;
  std::vector<Gap> liveB;
  appendLive(a, liveA);
  appendLive(b, liveB);
  for (const Gap &x : liveA) {
    for (const Gap &y : liveB) {
      if (x.start < y.end && y.start < x.end) {
        return true;
      }
    }
  }
  return false;
}

uint64_t lowerBound(const Problem &problem) {
  uint64_t live = 0;
  uint64_t bound = 0;
  for (const Event &event : sortedEvents(problem)) {
    const Buffer &buffer = problem.buffers[event.buffer];
    if (event.isStart) {
      live += buffer.size;
      bound = std::max(bound, live);
      if (buffer.fixed) {
        bound = std::max(bound, *buffer.fixed + buffer.size);
      }
    } else {
      live -= buffer.size;
    }
  }
  return bound;
}

std::string check(const Problem &problem, const Solution &solution) {
  const std::vector<Buffer> &buffers = problem.buffers;
  if (solution.offsets.size() != buffers.size()) {
    return "the solution has " + std::to_string(solution.offsets.size()) +
           " offsets for " + std::to_string(buffers.size()) + " buffers";
  }
  std::vector<Gap> live;
  for (size_t i = 0; i < buffers.size(); ++i) {
    Offset offset = solution.offsets[i];
    if (buffers[i].fixed && offset != *buffers[i].fixed) {
      return text(i) + " is at " + std::to_string(offset) +
             ", not at its fixed offset " + std::to_string(*buffers[i].fixed);
    }
    live.clear();
    appendLive(buffers[i], live);
    if (live.empty() || buffers[i].size == 0) {
      continue; // needs no address
    }
    if (buffers[i].alignment == 0 || offset % buffers[i].alignment != 0) {
      return text(i) + " at " + std::to_string(offset) + " is not aligned to " +
             std::to_string(buffers[i].alignment);
    }
    uint64_t end = 0;
    if (__builtin_add_overflow(offset, buffers[i].size, &end)) {
      return text(i) + " ends beyond 64 bits";
    }
    if (end > solution.extent) {
      return text(i) + " ends at " + std::to_string(end) +
             ", beyond the extent " + std::to_string(solution.extent);
    }
  }
  if (problem.capacity && solution.extent > *problem.capacity) {
    return "the extent " + std::to_string(solution.extent) +
           " exceeds the capacity " + std::to_string(*problem.capacity);
  }

  std::map<Offset, size_t> placed;
  for (const Event &event : sortedEvents(problem)) {
    Offset offset = solution.offsets[event.buffer];
    if (!event.isStart) {
      placed.erase(offset);
      continue;
    }
    auto next = placed.lower_bound(offset);
    size_t other = buffers.size();
    if (next != placed.end() &&
        next->first < offset + buffers[event.buffer].size) {
      other = next->second;
    } else if (next != placed.begin()) {
      auto previous = std::prev(next);
      if (previous->first + buffers[previous->second].size > offset) {
        other = previous->second;
      }
    }
    if (other != buffers.size()) {
      return text(std::min(other, event.buffer)) + " and " +
             text(std::max(other, event.buffer)) +
             " overlap in memory at step " + std::to_string(event.step);
    }
    placed.emplace(offset, event.buffer);
  }
  return "";
}

} // namespace llmc::solver
