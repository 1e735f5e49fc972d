//===- solver_schedule.cpp - Tests of the order of steps -------*- C++ -*-===//

#include "passes/solver/ScheduleSearch.h"
#include "test/unit/solver_schedule_problems.h"

using namespace llmc::solver;
using namespace llmc::solver::test;

namespace {

struct Shape {
  uint32_t steps;
  uint32_t edgePercent; // of all pairs
  uint32_t maxSize;     // bytes
  bool takeovers;
};

/// A graph in which every step writes a buffer that its successors read, and
/// some buffers that anybody touches.
ScheduleProblem randomProblem(Random &random, Shape shape) {
  auto chance = [&](uint32_t percent) { return random() % 100 < percent; };
  ScheduleProblem problem;
  problem.steps = shape.steps;
  for (uint32_t step = 0; step < shape.steps; ++step) {
    ScheduleBuffer result;
    result.size = random() % (shape.maxSize + 1);
    result.steps = {step};
    for (uint32_t reader = step + 1; reader < shape.steps; ++reader) {
      if (chance(shape.edgePercent)) {
        problem.edges.emplace_back(step, reader);
        if (!chance(10)) { // some edges carry no data
          result.steps.push_back(reader);
        }
      }
    }
    result.liveAtEnd = chance(8);
    problem.buffers.push_back(result);
  }
  for (uint32_t extra = random() % 4; extra > 0; --extra) {
    ScheduleBuffer buffer;
    buffer.size = random() % (shape.maxSize + 1);
    for (uint32_t step = 0; step < shape.steps; ++step) {
      if (chance(25)) {
        buffer.steps.push_back(step);
      }
    }
    buffer.liveAtStart = chance(60);
    buffer.liveAtEnd = chance(20);
    problem.buffers.push_back(buffer);
  }
  for (uint32_t tries = shape.takeovers ? 4 * shape.steps : 0; tries > 0;
       --tries) {
    uint32_t count = problem.buffers.size();
    Takeover it{0, random() % count, random() % count};
    const ScheduleBuffer &from = problem.buffers[it.from];
    const ScheduleBuffer &into = problem.buffers[it.into];
    std::vector<uint32_t> both;
    std::set_intersection(from.steps.begin(), from.steps.end(),
                          into.steps.begin(), into.steps.end(),
                          std::back_inserter(both));
    if (it.from != it.into && into.size <= from.size && !both.empty()) {
      it.step = both[random() % both.size()];
      problem.takeovers.push_back(it);
    }
  }
  EXPECT_EQ(check(problem), "");
  return problem;
}

/// Buffers that any steps touch in any order, and every takeover there can
/// be: what each step saves depends on the order in many ways.
ScheduleProblem tangledProblem(Random &random, uint32_t steps) {
  ScheduleProblem problem;
  problem.steps = steps;
  for (uint32_t count = 2 + random() % 7; count > 0; --count) {
    ScheduleBuffer buffer;
    buffer.size = 1 + random() % 12;
    for (uint32_t touches = 1 + random() % 3; touches > 0; --touches) {
      buffer.steps.push_back(random() % steps);
    }
    std::sort(buffer.steps.begin(), buffer.steps.end());
    buffer.steps.erase(std::unique(buffer.steps.begin(), buffer.steps.end()),
                       buffer.steps.end());
    buffer.liveAtStart = random() % 4 == 0;
    buffer.liveAtEnd = random() % 6 == 0;
    problem.buffers.push_back(buffer);
  }
  for (uint32_t edges = random() % 4; edges > 0; --edges) {
    uint32_t before = random() % steps, after = random() % steps;
    if (before < after) {
      problem.edges.emplace_back(before, after);
    }
  }
  for (uint32_t from = 0; from < problem.buffers.size(); ++from) {
    for (uint32_t into = 0; into < problem.buffers.size(); ++into) {
      for (uint32_t step : problem.buffers[from].steps) {
        Takeover it{step, from, into};
        problem.takeovers.push_back(it);
        if (check(problem) != "" || random() % 4 == 0) {
          problem.takeovers.pop_back();
        }
      }
    }
  }
  for (size_t i = problem.takeovers.size(); i > 1; --i) {
    std::swap(problem.takeovers[i - 1], problem.takeovers[random() % i]);
  }
  return problem;
}

std::vector<uint32_t> randomOrder(Random &random,
                                  const ScheduleProblem &problem) {
  std::vector<uint32_t> missing(problem.steps), order, ready;
  for (const auto &[before, after] : problem.edges) {
    ++missing[after];
  }
  for (uint32_t step = 0; step < problem.steps; ++step) {
    if (missing[step] == 0) {
      ready.push_back(step);
    }
  }
  while (!ready.empty()) {
    size_t pick = random() % ready.size();
    uint32_t step = ready[pick];
    ready.erase(ready.begin() + pick);
    order.push_back(step);
    for (const auto &[before, after] : problem.edges) {
      if (before == step && --missing[after] == 0) {
        ready.push_back(after);
      }
    }
  }
  return order;
}

/// Every order, by trying all.
uint64_t bestByBruteForce(const ScheduleProblem &problem) {
  std::vector<uint32_t> order = identity(problem.steps);
  uint64_t best = UINT64_MAX;
  do {
    if (isOrder(problem, order)) {
      best = std::min(best, peakByDefinition(problem, order));
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

/// Every set of executed steps, each cost straight from the definition.
uint64_t bestByAllSets(const ScheduleProblem &problem) {
  uint32_t count = problem.steps;
  std::vector<uint32_t> needs(count), of(problem.buffers.size());
  for (const auto &[before, after] : problem.edges) {
    needs[after] |= 1u << before;
  }
  for (size_t i = 0; i < of.size(); ++i) {
    for (uint32_t step : problem.buffers[i].steps) {
      of[i] |= 1u << step;
    }
  }
  auto during = [&](uint32_t set, uint32_t step) {
    uint64_t bytes = 0;
    auto held = [&](uint32_t i) {
      return problem.buffers[i].liveAtStart || (of[i] & set) != 0;
    };
    auto dies = [&](uint32_t i) {
      return !problem.buffers[i].liveAtEnd &&
             (of[i] & ~(set | 1u << step)) == 0;
    };
    for (size_t i = 0; i < of.size(); ++i) {
      const ScheduleBuffer &it = problem.buffers[i];
      bool needed = it.liveAtEnd || (of[i] & ~set) != 0;
      bool touched = (of[i] >> step & 1) != 0;
      bool always = of[i] == 0 && (it.liveAtStart || it.liveAtEnd);
      bytes += (held(i) && needed) || touched || always ? it.size : 0;
    }
    uint64_t froms = 0, intos = 0;
    for (const Takeover &it : problem.takeovers) {
      if (it.step == step && held(it.from) && dies(it.from) && !held(it.into) &&
          !(froms >> it.from & 1) && !(intos >> it.into & 1)) {
        froms |= uint64_t{1} << it.from;
        intos |= uint64_t{1} << it.into;
        bytes -= problem.buffers[it.into].size;
      }
    }
    return bytes;
  };
  std::vector<uint64_t> best(size_t{1} << count, UINT64_MAX);
  best[0] = 0;
  for (uint32_t set = 0; set + 1 < best.size(); ++set) {
    for (uint32_t step = 0; best[set] != UINT64_MAX && step < count; ++step) {
      if (!(set >> step & 1) && (needs[step] & ~set) == 0) {
        uint64_t &next = best[set | 1u << step];
        next = std::min(next, std::max(best[set], during(set, step)));
      }
    }
  }
  return best.back();
}

} // namespace

TEST(Schedule, PeakFollowsTheDefinition) {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    Shape shape{1 + random() % 12, 5 + random() % 60, 1 + random() % 20,
                random() % 2 == 0};
    ScheduleProblem problem = randomProblem(random, shape);
    std::vector<uint32_t> order = randomOrder(random, problem);
    ASSERT_TRUE(isOrder(problem, order));
    ASSERT_EQ(peakOf(problem, order), peakByDefinition(problem, order));
  }
}

TEST(Schedule, EmptyProblem) {
  ScheduleProblem problem;
  ScheduleResult result = schedule(problem);
  EXPECT_TRUE(result.order.empty());
  EXPECT_EQ(result.peak, 0u);
  problem.buffers = {{7, {}, true, false}, {5, {}, false, true}, {3, {}}};
  EXPECT_EQ(schedule(problem).peak, 12u);
}

TEST(Schedule, MalformedProblemsAreRefused) {
  ScheduleProblem good;
  good.steps = 3;
  good.edges = {{0, 1}, {1, 2}};
  good.buffers = {{8, {0, 1}}, {4, {1, 2}}};
  good.takeovers = {{1, 0, 1}};
  ASSERT_EQ(check(good), "");
  auto wrong = [&](auto &&damage) {
    ScheduleProblem problem = good;
    damage(problem);
    std::string why = check(problem);
    EXPECT_NE(why, "");
    EXPECT_DEATH(schedule(problem), why);
    return why;
  };
  EXPECT_EQ(wrong([](auto &it) { it.edges.push_back({2, 0}); }), // a cycle
            "edge 2 goes against the model's own order");
  EXPECT_EQ(wrong([](auto &it) { it.edges[1] = {1, 1}; }),
            "edge 1 goes against the model's own order");
  EXPECT_EQ(wrong([](auto &it) { it.edges[0] = {0, 3}; }),
            "edge 0 names a step that does not exist");
  EXPECT_EQ(wrong([](auto &it) { it.buffers[1].steps = {1, 3}; }),
            "buffer 1 names a step that does not exist");
  EXPECT_EQ(wrong([](auto &it) { it.buffers[0].steps = {1, 1}; }),
            "buffer 0 has steps that do not ascend");
  EXPECT_EQ(wrong([](auto &it) { it.takeovers[0].into = 2; }),
            "takeover 0 does not name two buffers");
  EXPECT_EQ(wrong([](auto &it) { it.takeovers[0].into = 0; }),
            "takeover 0 does not name two buffers");
  EXPECT_EQ(wrong([](auto &it) { it.takeovers[0].step = 2; }),
            "takeover 0 names a buffer its step does not touch");
  EXPECT_EQ(wrong([](auto &it) { it.buffers[1].size = 9; }),
            "takeover 0 writes past the end");
}

TEST(Schedule, OrdersAreTold) {
  ScheduleProblem problem;
  problem.steps = 3;
  problem.edges = {{0, 2}};
  EXPECT_TRUE(isOrder(problem, std::vector<uint32_t>{0, 1, 2}));
  EXPECT_TRUE(isOrder(problem, std::vector<uint32_t>{1, 0, 2}));
  EXPECT_FALSE(isOrder(problem, std::vector<uint32_t>{2, 1, 0}));
  EXPECT_FALSE(isOrder(problem, std::vector<uint32_t>{0, 0, 2}));
  EXPECT_FALSE(isOrder(problem, std::vector<uint32_t>{0, 3, 2}));
  EXPECT_FALSE(isOrder(problem, std::vector<uint32_t>{0, 2}));
}

TEST(Schedule, ATakeoverMakesTwoBuffersOne) {
  // 0 writes a, 1 writes b from a, 2 reads b.
  ScheduleProblem problem;
  problem.steps = 3;
  problem.edges = {{0, 1}, {1, 2}};
  problem.buffers = {{10, {0, 1}}, {6, {1, 2}}};
  EXPECT_EQ(schedule(problem).peak, 16u);
  problem.takeovers = {{1, 0, 1}};
  EXPECT_EQ(schedule(problem).peak, 10u);
  problem.buffers[0].liveAtEnd = true; // a must stay
  EXPECT_EQ(schedule(problem).peak, 16u);
  problem.buffers[0].liveAtEnd = false;
  problem.buffers[1].liveAtStart = true; // b holds something already
  EXPECT_EQ(schedule(problem).peak, 16u);
}

TEST(Schedule, ATakeoverIsWorthAnotherOrder) {
  // 1 and 2 read a; only the later one can write over it, and 2 writes less
  // than 1: run 1 last.
  ScheduleProblem problem;
  problem.steps = 3;
  problem.edges = {{0, 1}, {0, 2}};
  problem.buffers = {
      {10, {0, 1, 2}}, {10, {1}, false, true}, {2, {2}, false, true}};
  problem.takeovers = {{1, 0, 1}, {2, 0, 2}};
  ScheduleResult result = schedule(problem);
  EXPECT_EQ(result.modelPeak, 20u);
  EXPECT_EQ(result.peak, 12u);
  EXPECT_TRUE(result.optimal);
  EXPECT_EQ(result.order, (std::vector<uint32_t>{0, 2, 1}));
}

TEST(Schedule, SoundOnRandomProblems) {
  Random random(2);
  for (int round = 0; round < 2000; ++round) {
    Shape shape{1 + random() % 30, 2 + random() % 40, 1 + random() % 20,
                random() % 2 == 0};
    ScheduleProblem problem = randomProblem(random, shape);
    expectSound(problem, schedule(problem));
  }
}

TEST(Schedule, TheOraclesAgree) {
  Random random(3);
  for (int round = 0; round < 400; ++round) {
    Shape shape{1 + random() % 6, 2 + random() % 50, 1 + random() % 20,
                random() % 2 == 0};
    ScheduleProblem problem = randomProblem(random, shape);
    ASSERT_EQ(bestByAllSets(problem), bestByBruteForce(problem));
  }
}

TEST(Schedule, OptimalOnSmallProblems) {
  Random random(4);
  int lowered = 0;
  for (int round = 0; round < 20'000; ++round) {
    Shape shape{2 + random() % 10, 2 + random() % 50, 1 + random() % 20,
                random() % 2 == 0};
    ScheduleProblem problem = randomProblem(random, shape);
    ScheduleResult result = schedule(problem);
    expectSound(problem, result);
    ASSERT_TRUE(result.optimal);
    ASSERT_EQ(result.peak, bestByAllSets(problem)) << "round " << round;
    lowered += result.peak < result.modelPeak;
  }
  EXPECT_GT(lowered, 5'000);
}

TEST(Schedule, OptimalOnMiddlingProblems) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    Shape shape{12 + random() % 5, 2 + random() % 30, 1 + random() % 20,
                random() % 2 == 0};
    ScheduleProblem problem = randomProblem(random, shape);
    ScheduleResult result = schedule(problem);
    expectSound(problem, result);
    ASSERT_TRUE(result.optimal);
    ASSERT_EQ(result.peak, bestByAllSets(problem)) << "round " << round;
  }
}

namespace {

void expectDecided(const ScheduleProblem &problem, Random &random) {
  uint64_t best = bestByAllSets(problem);
  ScheduleModel model(problem), mirror(problem, true);
  for (bool backward : {false, true}) {
    const ScheduleModel &here = backward ? mirror : model;
    Reach reach(here);
    ScheduleSearch search(here, backward ? model : mirror,
                          random() % 2 == 0 ? &reach : nullptr);
    // In any sequence: what is remembered must hold for other budgets.
    for (int run = 0; run < 6; ++run) {
      uint64_t budget = best + random() % 12 - std::min<uint64_t>(best, 6);
      OrderVerdict verdict = search.run(budget, UINT64_MAX / 2);
      if (budget < best) {
        ASSERT_EQ(verdict, OrderVerdict::Impossible);
        ASSERT_GT(search.threshold(), budget);
        ASSERT_LE(search.threshold(), best);
      } else {
        ASSERT_EQ(verdict, OrderVerdict::Found);
        ASSERT_LE(peakOf(here, search.order()), budget);
      }
    }
  }
}

} // namespace

TEST(ScheduleSearch, DecidesEveryBudgetFromBothEnds) {
  Random random(6);
  for (int round = 0; round < 4'000 && !HasFatalFailure(); ++round) {
    SCOPED_TRACE(round);
    Shape shape{2 + random() % 8, 2 + random() % 40, 1 + random() % 20,
                random() % 4 != 0};
    expectDecided(randomProblem(random, shape), random);
  }
}

TEST(ScheduleSearch, DecidesTangledTakeovers) {
  Random random(7);
  for (int round = 0; round < 20'000 && !HasFatalFailure(); ++round) {
    SCOPED_TRACE(round);
    ScheduleProblem problem = tangledProblem(random, 2 + random() % 7);
    expectDecided(problem, random);
  }
}

TEST(ScheduleSearch, AStepLastMayCostAnotherItsTakeovers) {
  // Step 0 reads x and y and writes f and g: f over x and g over y. While x
  // is still needed by step 1, f goes over y and g finds no place. Seen from
  // the end, step 1 frees its result and looks safe.
  ScheduleProblem problem;
  problem.steps = 2;
  enum : uint32_t { X, Y, F, G };
  problem.buffers = {
      {1, {0, 1}, true, false}, {100, {0}, true, false},
      {1, {0}, false, true},    {100, {0}, false, true},
      {5, {1}, false, true},    {10, {0}, false, false}}; // scratch
  problem.takeovers = {{0, X, F}, {0, Y, F}, {0, Y, G}};
  ScheduleModel model(problem), mirror(problem, true);
  EXPECT_EQ(peakOf(problem, identity(2)), 211u);
  ScheduleSearch search(model, mirror, nullptr);
  EXPECT_EQ(search.run(115, 1000), OrderVerdict::Impossible);
  ASSERT_EQ(search.run(116, 1000), OrderVerdict::Found);
  EXPECT_EQ(search.order(), (StepOrder{1, 0}));
}
