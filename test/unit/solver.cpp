//===- solver.cpp - Tests of address assignment ----------------*- C++ -*-===//

#include "passes/solver/Greedy.h"
#include "passes/solver/Pack.h"
#include "test/unit/solver_problems.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

using namespace llmc::solver;
using namespace llmc::solver::test;

namespace {

Problem randomProblem(std::mt19937 &random) {
  return test::randomProblem(random, {random() % 40, 20, 8, 100, 4, 8, 5});
}

} // namespace

TEST(Solver, EmptyProblem) {
  Problem problem;
  EXPECT_EQ(lowerBound(problem), 0u);
  std::optional<Solution> solution = solve(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->extent, 0u);
  EXPECT_EQ(check(problem, *solution), "");
}

TEST(Solver, DisjointLifetimesShareBytes) {
  Problem problem;
  problem.buffers = {make(100, 0, 2), make(100, 2, 4)};
  std::optional<Solution> solution = solve(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->extent, 100u); // half-open: 2 is not shared
}

TEST(Solver, ChainNeedsTwoAtATime) {
  // a b c d with lifetimes that overlap pairwise: 10+20, 20+30, 30+40.
  Problem problem;
  problem.buffers = {make(10, 0, 2), make(20, 1, 3), make(30, 2, 4),
                     make(40, 3, 5)};
  EXPECT_EQ(lowerBound(problem), 70u);
  std::optional<Solution> solution = solve(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->extent, 70u);
  EXPECT_EQ(check(problem, *solution), "");
}

TEST(Solver, FixedBuffersStay) {
  Problem problem;
  problem.buffers = {make(64, 0, 4), make(64, 0, 4), make(64, 0, 4)};
  problem.buffers[1].fixed = 64;
  std::optional<Solution> solution = solve(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->offsets[1], 64u);
  EXPECT_EQ(solution->extent, 192u);
  EXPECT_EQ(check(problem, *solution), "");
}

TEST(Solver, Alignment) {
  Problem problem;
  problem.buffers = {make(65, 0, 1, 64), make(1, 0, 1, 64)};
  std::optional<Solution> solution = solve(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->offsets[0], 0u);
  EXPECT_EQ(solution->offsets[1], 128u);
}

TEST(Solver, CapacityIsKept) {
  Problem problem;
  problem.buffers = {make(50, 0, 1), make(51, 0, 1)};
  problem.capacity = 100;
  EXPECT_FALSE(solve(problem));
  problem.capacity = 101;
  EXPECT_TRUE(solve(problem));
}

TEST(SolverCheck, NamesWhatIsWrong) {
  Problem problem;
  problem.buffers = {make(10, 0, 2, 2), make(10, 1, 3, 2)};
  EXPECT_EQ(check(problem, {{0}, 10}),
            "the solution has 1 offsets for 2 buffers");
  EXPECT_EQ(check(problem, {{0, 8}, 18}),
            "buffer 0 and buffer 1 overlap in memory at step 1");
  EXPECT_EQ(check(problem, {{0, 10}, 19}),
            "buffer 1 ends at 20, beyond the extent 19");
  EXPECT_EQ(check(problem, {{0, 11}, 21}),
            "buffer 1 at 11 is not aligned to 2");
  EXPECT_EQ(check(problem, {{0, UINT64_MAX - 1}, UINT64_MAX}),
            "buffer 1 ends beyond 64 bits");
  EXPECT_EQ(check(problem, {{0, 10}, 20}), "");
  problem.capacity = 19;
  EXPECT_EQ(check(problem, {{0, 10}, 20}),
            "the extent 20 exceeds the capacity 19");
  problem.buffers[0].fixed = 2;
  EXPECT_EQ(check(problem, {{0, 10}, 20}),
            "buffer 0 is at 0, not at its fixed offset 2");
}

TEST(SolverCheck, ALaterNeighbourIsSeen) {
  // The new buffer starts below a live one and reaches into it.
  Problem problem;
  problem.buffers = {make(10, 0, 4), make(10, 1, 2)};
  EXPECT_NE(check(problem, {{5, 0}, 15}), "");
  EXPECT_EQ(check(problem, {{10, 0}, 20}), "");
}

TEST(SolverRandom, EverySolutionIsGood) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    Problem problem = ::randomProblem(random);
    for (Fit fit : {Fit::First, Fit::Best}) {
      for (Order order :
           {Order::Size, Order::Area, Order::Lifetime, Order::Start}) {
        // Fixed buffers never conflict by construction.
        Solution solution = placeGreedily(problem, order, fit);
        EXPECT_TRUE(isGood(problem, solution)) << "round " << round;
        EXPECT_GE(solution.extent, lowerBound(problem));
      }
    }
    PackOptions brief;
    brief.effort = 50'000;
    std::optional<Solution> best = pack(problem, brief).solution;
    ASSERT_TRUE(best);
    EXPECT_TRUE(isGood(problem, *best));
    EXPECT_EQ(check(problem, *best), "");
  }
}

TEST(SolverRandom, CheckAgreesWithTheOracle) {
  std::mt19937 random(2);
  int good = 0;
  int bad = 0;
  for (int round = 0; round < 4000; ++round) {
    Problem problem = ::randomProblem(random);
    Solution solution = placeGreedily(problem, Order::Size, Fit::First);
    // Move one buffer; sometimes that is still a solution.
    if (!solution.offsets.empty()) {
      size_t victim = random() % solution.offsets.size();
      solution.offsets[victim] = random() % (solution.extent + 50);
      if (random() % 2 == 0) {
        solution.extent += 150;
      }
    }
    bool expected = isGood(problem, solution);
    EXPECT_EQ(check(problem, solution).empty(), expected) << "round " << round;
    ++(expected ? good : bad);
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 100);
}
