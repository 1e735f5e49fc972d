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

std::vector<Event> sortedEvents(const Problem &problem) {
  std::vector<Event> events;
  events.reserve(2 * problem.buffers.size());
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    const Buffer &buffer = problem.buffers[i];
    if (buffer.start < buffer.end && buffer.size > 0) {
      events.push_back({buffer.start, true, i});
      events.push_back({buffer.end, false, i});
    }
  }
  std::sort(events.begin(), events.end());
  return events;
}

std::string text(size_t buffer) { return "buffer " + std::to_string(buffer); }

} // namespace

bool conflict(const Buffer &a, const Buffer &b) {
  return a.size > 0 && b.size > 0 && a.start < b.end && b.start < a.end &&
         a.start < a.end && b.start < b.end;
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
  for (size_t i = 0; i < buffers.size(); ++i) {
    Offset offset = solution.offsets[i];
    if (buffers[i].fixed && offset != *buffers[i].fixed) {
      return text(i) + " is at " + std::to_string(offset) +
             ", not at its fixed offset " + std::to_string(*buffers[i].fixed);
    }
    if (buffers[i].start >= buffers[i].end || buffers[i].size == 0) {
      continue;
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

  std::map<Offset, size_t> live;
  for (const Event &event : sortedEvents(problem)) {
    Offset offset = solution.offsets[event.buffer];
    if (!event.isStart) {
      live.erase(offset);
      continue;
    }
    auto next = live.lower_bound(offset);
    size_t other = buffers.size();
    if (next != live.end() &&
        next->first < offset + buffers[event.buffer].size) {
      other = next->second;
    } else if (next != live.begin()) {
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
    live.emplace(offset, event.buffer);
  }
  return "";
}

} // namespace llmc::solver
