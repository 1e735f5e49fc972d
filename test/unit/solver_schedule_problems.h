//===- solver_schedule_problems.h - Helpers of schedule tests --*- C++ -*-===//

#ifndef LLMC_TEST_UNIT_SOLVER_SCHEDULE_PROBLEMS_H
#define LLMC_TEST_UNIT_SOLVER_SCHEDULE_PROBLEMS_H

#include "passes/solver/Schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace llmc::solver::test {

/// The same numbers everywhere.
struct Random {
  explicit Random(uint32_t seed) : engine(seed) {}
  /// Up to 2^32 - 1.
  uint32_t operator()() { return static_cast<uint32_t>(engine()); }
  std::mt19937 engine;
};

inline std::vector<uint32_t> identity(uint32_t steps) {
  std::vector<uint32_t> order(steps);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

/// The oracle, straight from the definitions: positions, no running state.
inline uint64_t peakByDefinition(const ScheduleProblem &problem,
                                 const std::vector<uint32_t> &order) {
  uint32_t count = problem.steps;
  std::vector<uint32_t> position(count);
  for (uint32_t i = 0; i < count; ++i) {
    position[order[i]] = i;
  }
  struct Life {
    bool any = false;
    uint32_t first = 0, last = 0;
  };
  std::vector<Life> lives;
  uint64_t always = 0;
  for (const ScheduleBuffer &buffer : problem.buffers) {
    Life life;
    if (buffer.steps.empty()) {
      always += buffer.liveAtStart || buffer.liveAtEnd ? buffer.size : 0;
    } else {
      life = {true, count, 0};
      for (uint32_t step : buffer.steps) {
        life.first = std::min(life.first, position[step]);
        life.last = std::max(life.last, position[step]);
      }
      life.first = buffer.liveAtStart ? 0 : life.first;
      life.last = buffer.liveAtEnd ? count - 1 : life.last;
    }
    lives.push_back(life);
  }
  uint64_t peak = always;
  for (uint32_t at = 0; at < count; ++at) {
    uint64_t bytes = always;
    for (size_t i = 0; i < lives.size(); ++i) {
      if (lives[i].any && lives[i].first <= at && at <= lives[i].last) {
        bytes += problem.buffers[i].size;
      }
    }
    std::vector<uint32_t> froms, intos;
    for (const Takeover &it : problem.takeovers) {
      const ScheduleBuffer &from = problem.buffers[it.from];
      const ScheduleBuffer &into = problem.buffers[it.into];
      bool held = from.liveAtStart || lives[it.from].first < at;
      bool fresh = !into.liveAtStart && lives[it.into].first == at;
      bool dies = !from.liveAtEnd && lives[it.from].last == at;
      bool taken =
          std::find(froms.begin(), froms.end(), it.from) != froms.end() ||
          std::find(intos.begin(), intos.end(), it.into) != intos.end();
      if (order[at] == it.step && held && fresh && dies && !taken) {
        froms.push_back(it.from);
        intos.push_back(it.into);
        bytes -= into.size;
      }
    }
    peak = std::max(peak, bytes);
  }
  return peak;
}

inline void expectSound(const ScheduleProblem &problem,
                        const ScheduleResult &result) {
  ASSERT_TRUE(isOrder(problem, result.order));
  EXPECT_EQ(result.modelPeak,
            peakByDefinition(problem, identity(problem.steps)));
  EXPECT_EQ(result.peak, peakByDefinition(problem, result.order));
  EXPECT_LE(result.peak, result.modelPeak);
  if (result.peak == result.modelPeak) {
    EXPECT_EQ(result.order, identity(problem.steps));
  }
}

} // namespace llmc::solver::test

#endif // LLMC_TEST_UNIT_SOLVER_SCHEDULE_PROBLEMS_H
