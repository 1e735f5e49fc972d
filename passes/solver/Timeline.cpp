//===- Timeline.cpp - The steps of a problem, compressed -------*- C++ -*-===//

#include "passes/solver/Timeline.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace llmc::solver {

namespace {

/// A part of a lifetime between gaps.
struct Part {
  uint32_t buffer = 0;
  Step start = 0;
  Step end = 0;
};

std::vector<Part> partsOf(const Problem &problem) {
  std::vector<Part> parts;
  parts.reserve(problem.buffers.size());
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    const Buffer &buffer = problem.buffers[i];
    if (buffer.size == 0 || buffer.start >= buffer.end) {
      continue;
    }
    std::vector<Gap> gaps = buffer.gaps;
    std::sort(gaps.begin(), gaps.end(),
              [](const Gap &a, const Gap &b) { return a.start < b.start; });
    Step cursor = buffer.start;
    for (const Gap &gap : gaps) {
      if (gap.start >= gap.end || gap.start >= buffer.end) {
        continue;
      }
      if (gap.start > cursor) {
        parts.push_back({uint32_t(i), cursor, gap.start});
      }
      cursor = std::max(cursor, gap.end);
    }
    if (cursor < buffer.end) {
      parts.push_back({uint32_t(i), cursor, buffer.end});
    }
  }
  return parts;
}

} // namespace

Timeline::Timeline(const Problem &problem) {
  std::vector<Part> parts = partsOf(problem);

  // Ends come before starts of the same step, since lifetimes are half-open.
  std::vector<std::tuple<Step, bool, uint32_t>> events;
  events.reserve(2 * parts.size());
  for (uint32_t i = 0; i < parts.size(); ++i) {
    events.push_back({parts[i].start, true, i});
    events.push_back({parts[i].end, false, i});
  }
  std::sort(events.begin(), events.end());

  // The live set is largest when the first buffer after some starts ends.
  std::vector<SectionRange> ofPart(parts.size());
  bool grown = false;
  for (auto [step, isStart, part] : events) {
    if (isStart) {
      ofPart[part].begin = sections;
      grown = true;
      continue;
    }
    if (grown) {
      ++sections;
      grown = false;
    }
    ofPart[part].end = sections;
  }

  first.assign(problem.buffers.size() + 1, 0);
  size_t part = 0;
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    first[i] = uint32_t(all.size());
    for (; part < parts.size() && parts[part].buffer == i; ++part) {
      if (all.size() > first[i] && all.back().end == ofPart[part].begin) {
        all.back().end = ofPart[part].end; // the gap holds no section
      } else {
        all.push_back(ofPart[part]);
      }
    }
  }
  first.back() = uint32_t(all.size());
}

std::vector<std::vector<uint32_t>> Timeline::components() const {
  // Sections joined by a buffer belong together.
  std::vector<uint32_t> parent(sections);
  std::iota(parent.begin(), parent.end(), 0u);
  auto find = [&](uint32_t s) {
    while (parent[s] != s) {
      s = parent[s] = parent[parent[s]];
    }
    return s;
  };
  size_t count = first.size() - 1;
  // Consecutive sections first, by a sweep; a buffer with gaps then joins
  // what its ranges touch.
  std::vector<uint32_t> reach(sections, 0);
  for (const SectionRange &range : all) {
    reach[range.begin] = std::max(reach[range.begin], range.end);
  }
  uint32_t until = 0;
  for (uint32_t s = 0; s < sections; ++s) {
    if (s < until && s > 0) {
      parent[find(s)] = find(s - 1);
    }
    until = std::max(until, reach[s]);
  }
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < count; ++i) {
    std::span<const SectionRange> own = ranges(i);
    if (own.empty()) {
      continue;
    }
    order.push_back(i);
    for (const SectionRange &range : own) {
      parent[find(range.begin)] = find(own.front().begin);
    }
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(ranges(a).front().begin, a) <
           std::pair(ranges(b).front().begin, b);
  });

  std::vector<std::vector<uint32_t>> result;
  std::vector<uint32_t> index(sections, UINT32_MAX);
  for (uint32_t buffer : order) {
    uint32_t root = find(ranges(buffer).front().begin);
    if (index[root] == UINT32_MAX) {
      index[root] = uint32_t(result.size());
      result.emplace_back();
    }
    result[index[root]].push_back(buffer);
  }
  return result;
}

} // namespace llmc::solver
