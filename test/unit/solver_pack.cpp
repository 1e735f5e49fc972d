//===- solver_pack.cpp - Tests of the exact search ------------------------===//

#include "passes/solver/Greedy.h"
#include "passes/solver/Infeasible.h"
#include "passes/solver/Pack.h"
#include "test/unit/solver_problems.h"

#include <gtest/gtest.h>

using namespace llmc::solver;
using namespace llmc::solver::test;

namespace {

/// Enough to settle any problem of a handful of buffers.
PackOptions thorough() {
  PackOptions options;
  options.effort = UINT64_MAX;
  return options;
}

/// Compares the search with every order of placement, with no capacity, with
/// one that is just enough and with one byte less.
void compareWithBruteForce(unsigned seed, int rounds, const Shape &shape) {
  std::mt19937 random(seed);
  int harder = 0; // than the lower bound says
  for (int round = 0; round < rounds; ++round) {
    Shape some = shape;
    some.buffers = 1 + random() % shape.buffers;
    Problem problem = randomProblem(random, some);
    uint64_t best = leastExtent(problem);
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " +
                 std::to_string(round));

    PackResult smallest = pack(problem, thorough());
    ASSERT_TRUE(smallest.solution);
    EXPECT_EQ(smallest.solution->extent, best);
    EXPECT_TRUE(smallest.proved);
    EXPECT_EQ(smallest.lowerBound, best);
    EXPECT_TRUE(isGood(problem, *smallest.solution));
    EXPECT_EQ(check(problem, *smallest.solution), "");

    problem.capacity = best;
    PackResult enough = pack(problem, thorough());
    ASSERT_TRUE(enough.solution);
    EXPECT_TRUE(isGood(problem, *enough.solution));
    if (best > 0) {
      problem.capacity = best - 1;
      PackResult tooSmall = pack(problem, thorough());
      EXPECT_FALSE(tooSmall.solution);
      EXPECT_TRUE(tooSmall.proved);
    }
    harder += best > lowerBound(problem);
  }
  // With plain sizes so few buffers always reach the bound.
  bool plain = !shape.fixedIn && !shape.gapsIn && shape.alignments == 1;
  EXPECT_EQ(harder > 0, !plain);
}

} // namespace

TEST(SolverPack, MatchesBruteForce) {
  compareWithBruteForce(1, 250, {8, 6, 3, 5, 1, 0, 0});
}

TEST(SolverPack, MatchesBruteForceOnWideSizes) {
  compareWithBruteForce(2, 250, {8, 5, 3, 50, 1, 0, 0});
}

TEST(SolverPack, MatchesBruteForceWithAlignment) {
  compareWithBruteForce(3, 1000, {6, 5, 4, 12, 4, 0, 0});
}

TEST(SolverPack, MatchesBruteForceWithGaps) {
  compareWithBruteForce(4, 1000, {6, 6, 6, 6, 1, 0, 2});
}

TEST(SolverPack, MatchesBruteForceWithFixedOffsets) {
  compareWithBruteForce(5, 1000, {6, 5, 4, 8, 3, 4, 0});
}

TEST(SolverPack, MatchesBruteForceWithEverything) {
  compareWithBruteForce(6, 1000, {6, 6, 5, 9, 3, 5, 3});
}

TEST(SolverPack, EveryPackingOfLargerProblemsIsGood) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    Problem problem =
        randomProblem(random, {10 + random() % 80, 30, 12, 100, 4, 10, 6});
    PackOptions options;
    options.effort = 2'000'000;
    PackResult result = pack(problem, options);
    ASSERT_TRUE(result.solution);
    EXPECT_TRUE(isGood(problem, *result.solution)) << "round " << round;
    EXPECT_EQ(check(problem, *result.solution), "");
    EXPECT_GE(result.solution->extent, result.lowerBound);
    EXPECT_LE(result.solution->extent,
              placeGreedily(problem, Order::Size, Fit::First).extent);
  }
}

TEST(SolverPack, LargeProblemsByTheirFullestSections) {
  std::mt19937 random(10);
  // Gaps, alignment and fixed offsets: right, and never worse than greedy.
  for (int round = 0; round < 3; ++round) {
    Problem problem =
        randomProblem(random, {1200, 600, 30, 100, round > 0 ? 4u : 1u,
                               round > 1 ? 4u : 0u, round > 1 ? 6u : 0u});
    PackResult result = pack(problem);
    PackOptions greedy;
    greedy.effort = 0;
    ASSERT_TRUE(result.solution);
    EXPECT_EQ(check(problem, *result.solution), "") << "round " << round;
    EXPECT_LE(result.solution->extent, pack(problem, greedy).solution->extent);
  }
  // One component each, which no order of placement packs within 3 %.
  int within = 0;
  for (int round = 0; round < 3; ++round) {
    Problem problem;
    for (int i = 0; i < 10000; ++i) {
      Step start = random() % 10000;
      Step length = 1 + random() % 99;
      problem.buffers.push_back(
          make(64 * (1 + random() % 999), start, start + length));
    }
    PackOptions greedy;
    greedy.effort = 0;
    PackOptions searching;
    searching.effort = 2'000'000'000;
    PackResult ordered = pack(problem, greedy);
    PackResult result = pack(problem, searching);
    EXPECT_EQ(check(problem, *result.solution), "");
    double bound = double(lowerBound(problem));
    double before = double(ordered.solution->extent) / bound;
    double after = double(result.solution->extent) / bound;
    EXPECT_GT(before, 1.03);
    EXPECT_LT(after, before);
    within += after <= 1.02;
  }
  EXPECT_GE(within, 2); // of 3: there is no guarantee
}

TEST(SolverPack, SameProblemSamePacking) {
  std::mt19937 random(8);
  Problem problem = randomProblem(random, {60, 30, 12, 100, 1, 0, 0});
  PackResult first = pack(problem);
  PackResult second = pack(problem);
  EXPECT_EQ(first.solution->offsets, second.solution->offsets);
  EXPECT_EQ(first.nodes, second.nodes);
}

TEST(SolverPack, BeatsEveryGreedyOrderWhereItMust) {
  std::mt19937 random(9);
  int better = 0;
  for (int round = 0; round < 300; ++round) {
    Problem problem = randomProblem(random, {12, 8, 5, 9, 1, 0, 0});
    PackOptions greedy;
    greedy.effort = 0;
    PackResult heuristics = pack(problem, greedy);
    PackResult searched = pack(problem);
    ASSERT_TRUE(heuristics.solution && searched.solution);
    EXPECT_LE(searched.solution->extent, heuristics.solution->extent);
    better += searched.solution->extent < heuristics.solution->extent;
  }
  EXPECT_GT(better, 10);
}

TEST(SolverPack, AGapIsUsed) {
  // b fits into a's gap, so both share the bytes.
  Problem problem;
  problem.buffers = {make(100, 0, 10), make(100, 4, 6)};
  problem.buffers[0].gaps = {{3, 7}};
  PackResult result = pack(problem);
  EXPECT_EQ(result.solution->extent, 100u);
  problem.buffers[0].gaps = {{3, 5}};
  EXPECT_EQ(pack(problem).solution->extent, 200u);
}

TEST(SolverPack, OverlappingFixedBuffersAreImpossible) {
  Problem problem;
  problem.buffers = {make(10, 0, 4), make(10, 2, 6)};
  problem.buffers[0].fixed = 0;
  problem.buffers[1].fixed = 5;
  PackResult result = pack(problem);
  EXPECT_FALSE(result.solution);
  EXPECT_TRUE(result.proved);
}

TEST(SolverPack, StopsWhenTold) {
  std::mt19937 random(10);
  Problem problem = randomProblem(random, {300, 100, 30, 1000, 1, 0, 0});
  PackOptions options = thorough();
  int calls = 0;
  options.stop = [&] { return ++calls > 3; };
  PackResult result = pack(problem, options);
  ASSERT_TRUE(result.solution);
  EXPECT_EQ(check(problem, *result.solution), "");
  EXPECT_LE(calls, 5);
}

TEST(SolverInfeasible, TheFullestStep) {
  Problem problem;
  problem.buffers = {make(60, 0, 4), make(5, 1, 3), make(50, 3, 6),
                     make(90, 5, 6)};
  problem.capacity = 139;
  std::optional<InfeasibleSubset> subset = findInfeasibleSubset(problem);
  ASSERT_TRUE(subset);
  EXPECT_EQ(subset->buffers, (std::vector<size_t>{2, 3}));
  EXPECT_TRUE(subset->irreducible);
  const char *names[] = {"a", "b", "c", "d"};
  EXPECT_EQ(describe(
                problem, *subset, [&](size_t i) { return names[i]; },
                [](Step step) { return std::to_string(step); }),
            "the capacity of 139 bytes cannot be met: at step 5, 2 buffers "
            "need 140 bytes\n"
            "            90  d, alive in steps 5 to 6\n"
            "            50  c, alive in steps 3 to 6\n");
}

TEST(SolverInfeasible, IrreducibleByBruteForce) {
  std::mt19937 random(11);
  int beyondBytes = 0;
  for (int round = 0; round < 300; ++round) {
    Problem problem = randomProblem(random, {7, 5, 4, 12, 3, 0, 0});
    problem.capacity = leastExtent(problem) - 1;
    beyondBytes += lowerBound(problem) <= *problem.capacity;
    std::optional<InfeasibleSubset> subset =
        findInfeasibleSubset(problem, thorough());
    ASSERT_TRUE(subset);
    EXPECT_TRUE(subset->irreducible);
    auto without = [&](size_t left) {
      Problem part;
      for (size_t i : subset->buffers) {
        if (i != left) {
          part.buffers.push_back(problem.buffers[i]);
        }
      }
      return leastExtent(part);
    };
    EXPECT_GT(without(SIZE_MAX), *problem.capacity);
    for (size_t i : subset->buffers) {
      EXPECT_LE(without(i), *problem.capacity) << "round " << round;
    }
  }
  EXPECT_GT(beyondBytes, 5);
}

TEST(SolverInfeasible, NothingToExplain) {
  Problem problem;
  problem.buffers = {make(60, 0, 4)};
  EXPECT_FALSE(findInfeasibleSubset(problem));
  problem.capacity = 60;
  EXPECT_FALSE(findInfeasibleSubset(problem));
}
