//===- Greedy.cpp - Heuristic placement ------------------------*- C++ -*-===//

#include "passes/solver/Greedy.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace llmc::solver {

namespace {

uint64_t alignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

bool needsNoAddress(const Buffer &buffer) {
  return buffer.size == 0 || buffer.start >= buffer.end;
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

/// The placed buffers, sorted by offset.
class Arena {
public:
  Arena(const Problem &problem, Solution &solution)
      : problem(problem), solution(solution) {}

  void place(size_t index, Offset offset) {
    solution.offsets[index] = offset;
    const Buffer &buffer = problem.buffers[index];
    if (needsNoAddress(buffer)) {
      return;
    }
    solution.extent = std::max(solution.extent, offset + buffer.size);
    auto position = std::upper_bound(placed.begin(), placed.end(), offset,
                                     [&](Offset value, size_t other) {
                                       return value < solution.offsets[other];
                                     });
    placed.insert(position, index);
  }

  /// The lowest (or tightest) gap between conflicting buffers that holds it.
  Offset findGap(const Buffer &buffer, Fit fit) const {
    Offset cursor = 0; // end of the conflicting buffers seen so far
    Offset best = 0;
    uint64_t bestWaste = UINT64_MAX;
    for (size_t other : placed) {
      const Buffer &obstacle = problem.buffers[other];
      if (!conflict(buffer, obstacle)) {
        continue;
      }
      Offset begin = alignUp(cursor, buffer.alignment);
      Offset limit = solution.offsets[other];
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
      cursor = std::max(cursor, limit + obstacle.size);
    }
    return bestWaste != UINT64_MAX ? best : alignUp(cursor, buffer.alignment);
  }

private:
  const Problem &problem;
  Solution &solution;
  std::vector<size_t> placed;
};

} // namespace

Solution placeGreedily(const Problem &problem, Order order, Fit fit) {
  const std::vector<Buffer> &buffers = problem.buffers;
  Solution solution;
  solution.offsets.resize(buffers.size());
  Arena arena(problem, solution);

  std::vector<size_t> sequence(buffers.size());
  std::iota(sequence.begin(), sequence.end(), size_t{0});
  std::sort(sequence.begin(), sequence.end(), [&](size_t a, size_t b) {
    auto keyA = key(buffers[a], order);
    auto keyB = key(buffers[b], order);
    return keyA != keyB ? keyA > keyB : a < b;
  });
  for (size_t index : sequence) {
    if (buffers[index].fixed) {
      arena.place(index, *buffers[index].fixed);
    }
  }
  for (size_t index : sequence) {
    if (buffers[index].fixed) {
      continue;
    }
    bool trivial = needsNoAddress(buffers[index]);
    arena.place(index, trivial ? 0 : arena.findGap(buffers[index], fit));
  }
  return solution;
}

std::optional<Solution> solve(const Problem &problem) {
  uint64_t bound = lowerBound(problem);
  std::optional<Solution> best;
  for (Fit fit : {Fit::First, Fit::Best}) {
    for (Order order :
         {Order::Size, Order::Area, Order::Lifetime, Order::Start}) {
      Solution solution = placeGreedily(problem, order, fit);
      if (!best || solution.extent < best->extent) {
        best = std::move(solution);
      }
      if (best->extent <= bound) {
        break;
      }
    }
    if (best->extent <= bound) {
      break;
    }
  }
  if (problem.capacity && best->extent > *problem.capacity) {
    return std::nullopt;
  }
  return best;
}

} // namespace llmc::solver
