//===- Greedy.cpp - Heuristic placement ------------------------*- C++ -*-===//

#include "passes/solver/Greedy.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <tuple>
#include <utility>

namespace llmc::solver {

namespace {

uint64_t alignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

/// Larger keys are placed earlier.
std::tuple<uint64_t, uint64_t> key(const Buffer &buffer, Order order) {
  uint64_t length = buffer.end > buffer.start ? buffer.end - buffer.start : 0;
  switch (order) {
  case Order::Size:
    return {buffer.size, length};
  case Order::Area: {
    uint64_t area = 0;
    if (__builtin_mul_overflow(buffer.size, length, &area)) {
      area = UINT64_MAX;
    }
    return {area, buffer.size};
  }
  case Order::Lifetime:
    return {length, buffer.size};
  case Order::Start:
    return {UINT64_MAX - buffer.start, buffer.size};
  }
  return {0, 0};
}

/// The placed buffers, found by the sections they cover.
///
/// A segment tree over the sections: a range is listed at the O(log n) nodes
/// that make it up, so those that cover one section are on one path to the
/// root. Whatever else meets a range begins inside it.
class Arena {
public:
  Arena(const Problem &problem, const Timeline &timeline, Solution &solution)
      : problem(problem), timeline(timeline), solution(solution),
        leaves(std::bit_ceil(std::max(timeline.sectionCount(), 1u))),
        covering(2 * leaves), starting(leaves), seen(problem.buffers.size()) {}

  void place(uint32_t index, Offset offset) {
    solution.offsets[index] = offset;
    const Buffer &buffer = problem.buffers[index];
    if (timeline.ranges(index).empty()) {
      return;
    }
    solution.extent = std::max(solution.extent, offset + buffer.size);
    for (const SectionRange &range : timeline.ranges(index)) {
      starting[range.begin].push_back(index);
      for (size_t low = leaves + range.begin, high = leaves + range.end;
           low < high; low /= 2, high /= 2) {
        if (low & 1) {
          covering[low++].push_back(index);
        }
        if (high & 1) {
          covering[--high].push_back(index);
        }
      }
    }
  }

  /// The lowest (or tightest) gap between conflicting buffers that holds it.
  Offset findGap(uint32_t index, Fit fit) {
    const Buffer &buffer = problem.buffers[index];
    collect(index);
    Offset cursor = 0; // end of the conflicting buffers seen so far
    Offset best = 0;
    uint64_t bestWaste = UINT64_MAX;
    for (auto [limit, end] : obstacles) {
      Offset begin = alignUp(cursor, buffer.alignment);
      if (begin + buffer.size <= limit) {
        uint64_t waste = limit - begin - buffer.size;
        if (fit == Fit::First) {
          return begin;
        }
        if (waste < bestWaste) {
          best = begin;
          bestWaste = waste;
        }
      }
      cursor = std::max(cursor, end);
    }
    return bestWaste != UINT64_MAX ? best : alignUp(cursor, buffer.alignment);
  }

private:
  /// Fills `obstacles` with the ranges of bytes that conflict, by offset.
  void collect(uint32_t index) {
    obstacles.clear();
    ++round;
    auto add = [&](const std::vector<uint32_t> &list) {
      for (uint32_t other : list) {
        if (seen[other] != round) {
          seen[other] = round;
          Offset offset = solution.offsets[other];
          obstacles.push_back({offset, offset + problem.buffers[other].size});
        }
      }
    };
    for (const SectionRange &range : timeline.ranges(index)) {
      for (size_t node = leaves + range.begin; node > 0; node /= 2) {
        add(covering[node]);
      }
      for (uint32_t s = range.begin + 1; s < range.end; ++s) {
        add(starting[s]);
      }
    }
    std::sort(obstacles.begin(), obstacles.end());
  }

  const Problem &problem;
  const Timeline &timeline;
  Solution &solution;
  size_t leaves;
  std::vector<std::vector<uint32_t>> covering; // by node of the tree
  std::vector<std::vector<uint32_t>> starting; // by first section
  std::vector<uint64_t> seen;                  // round in which it was added
  uint64_t round = 0;
  std::vector<std::pair<Offset, Offset>> obstacles;
};

} // namespace

Solution placeGreedily(const Problem &problem, const Timeline &timeline,
                       Order order, Fit fit) {
  const std::vector<Buffer> &buffers = problem.buffers;
  Solution solution;
  solution.offsets.resize(buffers.size());
  Arena arena(problem, timeline, solution);

  std::vector<uint32_t> sequence(buffers.size());
  std::iota(sequence.begin(), sequence.end(), 0u);
  std::sort(sequence.begin(), sequence.end(), [&](uint32_t a, uint32_t b) {
    auto keyA = key(buffers[a], order);
    auto keyB = key(buffers[b], order);
    return keyA != keyB ? keyA > keyB : a < b;
  });
  for (uint32_t index : sequence) {
    if (buffers[index].fixed) {
      arena.place(index, *buffers[index].fixed);
    }
  }
  for (uint32_t index : sequence) {
    if (buffers[index].fixed) {
      continue;
    }
    bool trivial = timeline.ranges(index).empty();
    arena.place(index, trivial ? 0 : arena.findGap(index, fit));
  }
  return solution;
}

Solution placeGreedily(const Problem &problem, Order order, Fit fit) {
  return placeGreedily(problem, Timeline(problem), order, fit);
}

} // namespace llmc::solver
