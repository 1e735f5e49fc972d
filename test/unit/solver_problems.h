//===- solver_problems.h - Problems and oracles for solver tests *- C++ -*-===//

#ifndef LLMC_TEST_UNIT_SOLVER_PROBLEMS_H
#define LLMC_TEST_UNIT_SOLVER_PROBLEMS_H

#include "passes/solver/Problem.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace llmc::solver::test {

inline Buffer make(uint64_t size, Step start, Step end,
                   uint64_t alignment = 1) {
  Buffer buffer;
  buffer.size = size;
  buffer.start = start;
  buffer.end = end;
  buffer.alignment = alignment;
  return buffer;
}

/// Straight from the definition: step by step.
inline bool livesAt(const Buffer &buffer, Step step) {
  bool lives = buffer.size > 0 && buffer.start <= step && step < buffer.end;
  for (const Gap &gap : buffer.gaps) {
    lives = lives && !(gap.start <= step && step < gap.end);
  }
  return lives;
}

inline bool everLives(const Buffer &buffer) {
  for (Step step = buffer.start; step < buffer.end; ++step) {
    if (livesAt(buffer, step)) {
      return true;
    }
  }
  return false;
}

inline bool conflictByStep(const Buffer &a, const Buffer &b) {
  for (Step step = a.start; step < a.end; ++step) {
    if (livesAt(a, step) && livesAt(b, step)) {
      return true;
    }
  }
  return false;
}

/// The oracle: every pair, straight from the definitions.
inline bool isGood(const Problem &problem, const Solution &solution) {
  const std::vector<Buffer> &buffers = problem.buffers;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].fixed && solution.offsets[i] != *buffers[i].fixed) {
      return false;
    }
    if (!everLives(buffers[i])) {
      continue; // needs no address
    }
    if (solution.offsets[i] % buffers[i].alignment != 0 ||
        solution.offsets[i] + buffers[i].size > solution.extent) {
      return false;
    }
    for (size_t j = 0; j < i; ++j) {
      bool sameBytes =
          solution.offsets[i] < solution.offsets[j] + buffers[j].size &&
          solution.offsets[j] < solution.offsets[i] + buffers[i].size;
      if (sameBytes && conflictByStep(buffers[i], buffers[j])) {
        return false;
      }
    }
  }
  return !problem.capacity || solution.extent <= *problem.capacity;
}

/// The least extent, by placing the buffers in every order, each at the lowest
/// offset above what conflicts with it: the packing with the least sum of
/// offsets is among these. UINT64_MAX if fixed buffers overlap.
inline uint64_t leastExtent(const Problem &problem) {
  const std::vector<Buffer> &buffers = problem.buffers;
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<std::vector<bool>> apart(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    for (size_t j = 0; j < buffers.size(); ++j) {
      apart[i].push_back(conflictByStep(buffers[i], buffers[j]));
    }
  }
  uint64_t best = UINT64_MAX;
  do {
    std::vector<uint64_t> offsets(buffers.size());
    uint64_t extent = 0;
    bool good = true;
    for (size_t i = 0; i < order.size() && good; ++i) {
      const Buffer &buffer = buffers[order[i]];
      uint64_t floor = 0;
      for (size_t j = 0; j < i; ++j) {
        if (apart[order[i]][order[j]]) {
          floor = std::max(floor, offsets[order[j]] + buffers[order[j]].size);
        }
      }
      floor =
          (floor + buffer.alignment - 1) / buffer.alignment * buffer.alignment;
      if (buffer.fixed) {
        good = floor <= *buffer.fixed;
        floor = *buffer.fixed;
      }
      offsets[order[i]] = floor;
      if (everLives(buffer)) {
        extent = std::max(extent, floor + buffer.size);
      }
    }
    if (good) {
      best = std::min(best, extent);
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

struct Shape {
  size_t buffers = 40;
  Step steps = 20;
  Step longest = 8;
  uint64_t largest = 100;
  unsigned alignments = 4; // 1, 2, 4, ...
  unsigned fixedIn = 0;    // one in so many is fixed
  unsigned gapsIn = 0;     // one in so many has gaps
};

/// Buffers, some with fixed offsets that do not overlap, some with gaps.
inline Problem randomProblem(std::mt19937 &random, const Shape &shape) {
  Problem problem;
  Offset nextFixed = 0;
  for (size_t i = 0; i < shape.buffers; ++i) {
    Step start = random() % shape.steps;
    Buffer buffer = make(random() % shape.largest + (shape.fixedIn ? 0 : 1),
                         start, start + random() % shape.longest + 1,
                         uint64_t{1} << (random() % shape.alignments));
    if (shape.fixedIn && random() % shape.fixedIn == 0) {
      buffer.fixed = (nextFixed + 7) / 8 * 8;
      nextFixed = *buffer.fixed + buffer.size;
    }
    while (shape.gapsIn && random() % shape.gapsIn == 0) {
      Step first = start + random() % shape.longest;
      buffer.gaps.push_back({first, first + Step(random() % 3)});
    }
    problem.buffers.push_back(buffer);
  }
  return problem;
}

} // namespace llmc::solver::test

#endif // LLMC_TEST_UNIT_SOLVER_PROBLEMS_H
