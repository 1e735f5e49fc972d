//===- solver_schedule_graphs.cpp - Orders of known graphs -----*- C++ -*-===//
//
// Graphs in the shapes of known networks, and trees, whose optimum is known
// from Liu, "An application of generalized tree pebbling to sparse matrix
// factorization" (1987).
//
//===----------------------------------------------------------------------===//

#include "test/unit/solver_schedule_problems.h"

using namespace llmc::solver;
using namespace llmc::solver::test;

namespace {

/// A graph in which every step writes one buffer.
class Graph {
public:
  /// A step that reads the results of others; returns its index.
  uint32_t add(uint64_t bytes, std::vector<uint32_t> inputs) {
    uint32_t step = problem.steps++;
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    for (uint32_t input : inputs) {
      problem.edges.emplace_back(input, step);
      problem.buffers[input].steps.push_back(step);
    }
    problem.buffers.push_back({bytes, {step}});
    return step;
  }
  /// Several steps one after the other.
  uint32_t chain(uint32_t from, std::vector<uint64_t> bytes) {
    for (uint64_t size : bytes) {
      from = add(size, {from});
    }
    return from;
  }
  /// A step that may write over what it reads.
  uint32_t inPlace(std::vector<uint32_t> inputs) {
    uint64_t bytes = problem.buffers[inputs[0]].size;
    uint32_t step = add(bytes, inputs);
    for (uint32_t input : inputs) {
      if (problem.buffers[input].size >= bytes) {
        problem.takeovers.push_back({step, input, step});
      }
    }
    return step;
  }
  uint64_t size(uint32_t step) const { return problem.buffers[step].size; }

  /// With what nobody reads as results.
  ScheduleProblem take() {
    for (ScheduleBuffer &buffer : problem.buffers) {
      buffer.liveAtEnd = buffer.steps.size() == 1;
    }
    EXPECT_EQ(check(problem), "");
    return problem;
  }

private:
  ScheduleProblem problem;
};

/// The root is the last step; every other has one reader.
struct Tree {
  std::vector<uint64_t> size; // bytes
  std::vector<uint32_t> parent;
};

/// Parents are at most `reach` steps away.
Tree randomTree(Random &random, uint32_t count, uint32_t reach) {
  Tree tree;
  for (uint32_t node = 0; node < count; ++node) {
    tree.size.push_back(1 + random() % 50);
    uint32_t later = std::min(count - node - 1, 1 + random() % reach);
    tree.parent.push_back(later == 0 ? node : node + 1 + random() % later);
  }
  return tree;
}

ScheduleProblem problemOf(const Tree &tree) {
  std::vector<std::vector<uint32_t>> children(tree.size.size());
  Graph graph;
  for (uint32_t node = 0; node < tree.size.size(); ++node) {
    graph.add(tree.size[node], children[node]);
    children[tree.parent[node]].push_back(node);
  }
  return graph.take();
}

/// Liu's algorithm. An order of a subtree is a sequence of hills and
/// valleys; the best order of a node is its children's sequences merged by
/// falling hill - valley, then the node.
uint64_t liuOptimum(const Tree &tree) {
  const auto &[size, parent] = tree;
  struct Part {
    uint64_t hill, valley; // bytes above what was there before the subtree
  };
  uint32_t count = size.size();
  std::vector<std::vector<Part>> parts(count);
  std::vector<std::vector<uint32_t>> children(count);
  for (uint32_t node = 0; node + 1 < count; ++node) {
    children[parent[node]].push_back(node);
  }
  for (uint32_t node = 0; node < count; ++node) {
    struct Rise {
      uint64_t hill, valley; // above the valley before
      size_t index;          // a child's own parts stay in order
    };
    std::vector<Rise> rises;
    uint64_t inputs = 0;
    for (uint32_t child : children[node]) {
      uint64_t before = 0;
      for (const Part &part : parts[child]) {
        rises.push_back(
            {part.hill - before, part.valley - before, rises.size()});
        before = part.valley;
      }
      inputs += size[child];
    }
    std::sort(rises.begin(), rises.end(), [](const Rise &a, const Rise &b) {
      return std::pair(b.hill - b.valley, a.index) <
             std::pair(a.hill - a.valley, b.index);
    });
    std::vector<Part> all;
    uint64_t level = 0;
    for (const Rise &rise : rises) {
      all.push_back({level + rise.hill, level + rise.valley});
      level += rise.valley;
    }
    EXPECT_EQ(level, inputs);
    all.push_back({inputs + size[node], size[node]});
    // Back to the last highest hill, the last lowest valley after it, and so
    // on: what remains falls in hills and rises in valleys.
    std::vector<Part> &own = parts[node];
    for (size_t at = 0; at < all.size();) {
      size_t hill = at;
      for (size_t i = at; i < all.size(); ++i) {
        hill = all[i].hill >= all[hill].hill ? i : hill;
      }
      size_t valley = hill;
      for (size_t i = hill; i < all.size(); ++i) {
        valley = all[i].valley <= all[valley].valley ? i : valley;
      }
      own.push_back({all[hill].hill, all[valley].valley});
      at = valley + 1;
    }
  }
  return parts[count - 1][0].hill;
}

/// Branches of which each first widens what it reads, written layer by layer
/// as many exporters do: all first layers, then all second ones.
ScheduleProblem inceptionLike(int blocks, bool interleaved) {
  Graph graph;
  uint32_t x = graph.add(16, {});
  for (int block = 0; block < blocks; ++block) {
    const std::vector<std::vector<uint64_t>> branches = {
        {4}, {24, 4}, {20, 28, 4}, {16, 4}};
    std::vector<uint32_t> at(branches.size(), x);
    size_t deepest = interleaved ? 3 : 1;
    for (size_t layer = 0; layer < deepest; ++layer) {
      for (size_t branch = 0; branch < branches.size(); ++branch) {
        const std::vector<uint64_t> &sizes = branches[branch];
        if (!interleaved) {
          at[branch] = graph.chain(x, sizes);
        } else if (layer < sizes.size()) {
          at[branch] = graph.add(sizes[layer], {at[branch]});
        }
      }
    }
    x = graph.add(16, at);
  }
  graph.add(1, {x});
  return graph.take();
}

/// Every layer reads all before it in the block; the narrow auxiliary result
/// of each is written at once though it is read at the end only.
ScheduleProblem denseNetLike(int blocks, int layers) {
  Graph graph;
  uint32_t x = graph.add(32, {});
  for (int block = 0; block < blocks; ++block) {
    std::vector<uint32_t> features = {x};
    std::vector<uint32_t> last;
    for (int layer = 0; layer < layers; ++layer) {
      uint32_t wide = graph.add(40, features);
      last.push_back(graph.add(24, {features[0]})); // from what lives anyway
      features.push_back(graph.chain(wide, {40, 8}));
    }
    std::vector<uint32_t> narrow;
    for (uint32_t it : last) {
      narrow.push_back(graph.add(2, {it}));
    }
    features.insert(features.end(), narrow.begin(), narrow.end());
    x = graph.add(32, features);
  }
  graph.add(1, {x});
  return graph.take();
}

/// What the decoder reads of each level is widened by the encoder already,
/// where the model has it.
ScheduleProblem unetLike(int levels) {
  Graph graph;
  uint32_t x = graph.add(8, {});
  std::vector<uint32_t> skips;
  for (int level = 0; level < levels; ++level) {
    x = graph.chain(x, {64, 64});
    skips.push_back(graph.chain(x, {16, 64})); // narrow, then wide
    x = graph.add(32, {x});
  }
  while (!skips.empty()) {
    x = graph.add(64, {x, skips.back()});
    skips.pop_back();
    x = graph.chain(x, {64});
  }
  return graph.take();
}

/// Cells of sums of pairs, each reading the two cells before it, as NASNet's.
ScheduleProblem nasLike(Random &random, int cells) {
  Graph graph;
  uint32_t before = graph.add(10, {}), last = graph.add(10, {before});
  for (int cell = 0; cell < cells; ++cell) {
    std::vector<uint32_t> values = {before, last}, results;
    std::vector<std::pair<uint32_t, uint32_t>> pairs;
    for (int block = 0; block < 5; ++block) { // all operations, then all sums
      uint32_t sides[2];
      for (uint32_t &side : sides) {
        side = values[random() % values.size()];
        for (uint32_t length = 1 + random() % 3; length > 0; --length) {
          side = graph.add(10, {side});
        }
      }
      pairs.emplace_back(sides[0], sides[1]);
      values.push_back(sides[random() % 2]);
    }
    for (const auto &[left, right] : pairs) {
      results.push_back(graph.inPlace({left, right}));
    }
    before = last;
    last = graph.add(10, results);
  }
  return graph.take();
}

} // namespace

TEST(ScheduleTree, AsLowAsLiu) {
  Random random(1);
  int lowered = 0;
  for (int round = 0; round < 400; ++round) {
    Tree tree = randomTree(random, 3 + random() % 40, 12);
    ScheduleProblem problem = problemOf(tree);
    ScheduleResult result = schedule(problem);
    expectSound(problem, result);
    EXPECT_TRUE(result.optimal);
    ASSERT_EQ(result.peak, liuOptimum(tree)) << "round " << round;
    lowered += result.peak < result.modelPeak;
  }
  EXPECT_GT(lowered, 200);
}

TEST(ScheduleTree, AsLowAsLiuWithoutSearch) {
  Random random(2);
  for (int round = 0; round < 20; ++round) {
    Tree tree = randomTree(random, 1500, 200);
    ScheduleProblem problem = problemOf(tree);
    ScheduleResult result = schedule(problem, {0});
    EXPECT_EQ(result.nodes, 0u);
    EXPECT_EQ(result.peak, peakOf(problem, result.order));
    ASSERT_EQ(result.peak, liuOptimum(tree)) << "round " << round;
    EXPECT_LT(result.peak * 2, result.modelPeak);
  }
}

TEST(ScheduleGraphs, InceptionBranchByBranch) {
  ScheduleProblem problem = inceptionLike(4, true);
  ScheduleResult result = schedule(problem);
  expectSound(problem, result);
  EXPECT_TRUE(result.optimal);
  // The worst branch comes last, when its first layer has freed what all
  // read: 20 and 28 of its own, 4 of each of the three others.
  EXPECT_EQ(result.peak, 60u);
  EXPECT_EQ(result.modelPeak, 80u); // all first layers and what they read
  problem = inceptionLike(4, false);
  result = schedule(problem);
  expectSound(problem, result);
  EXPECT_EQ(result.peak, 60u);
  EXPECT_EQ(result.modelPeak, 72u); // 16, 20 and 28; 4 of each of two
}

TEST(ScheduleGraphs, DenseNetWithSideResults) {
  ScheduleProblem problem = denseNetLike(3, 8);
  ScheduleResult result = schedule(problem);
  expectSound(problem, result);
  EXPECT_TRUE(result.optimal);
  EXPECT_LT(result.peak * 10, result.modelPeak * 6);
}

TEST(ScheduleGraphs, UNetWidensSkipsLate) {
  ScheduleProblem problem = unetLike(5);
  ScheduleResult result = schedule(problem);
  expectSound(problem, result);
  EXPECT_TRUE(result.optimal);
  EXPECT_LT(result.peak * 10, result.modelPeak * 8);
}

TEST(ScheduleGraphs, NasCells) {
  Random random(2);
  for (int round = 0; round < 10; ++round) {
    ScheduleProblem problem = nasLike(random, 12);
    ScheduleResult result = schedule(problem);
    expectSound(problem, result);
    EXPECT_TRUE(result.optimal) << round;
    EXPECT_LT(result.peak * 10, result.modelPeak * 9) << round;
  }
}

TEST(ScheduleLimits, TheSameEveryTime) {
  Random random(3);
  ScheduleProblem problem = nasLike(random, 40);
  ScheduleResult first = schedule(problem), second = schedule(problem);
  EXPECT_EQ(first.order, second.order);
  EXPECT_EQ(first.peak, second.peak);
  EXPECT_EQ(first.nodes, second.nodes);
  EXPECT_EQ(first.algorithm, second.algorithm);
}

TEST(ScheduleLimits, SoundWithinAnyEffort) {
  Random random(4);
  for (uint64_t nodes : {0, 1, 100, 10'000}) {
    for (int round = 0; round < 5; ++round) {
      ScheduleProblem problem = nasLike(random, 30);
      ScheduleResult result = schedule(problem, {nodes});
      expectSound(problem, result);
      EXPECT_LE(result.bound, result.peak);
      EXPECT_EQ(result.optimal, result.bound == result.peak);
    }
  }
}

TEST(ScheduleLimits, EffortEndsOnLargeHardGraphs) {
  // A grid has no barrier and no easy step: nothing can be proved here.
  constexpr uint32_t kSide = 100;
  Random random(5);
  Graph graph;
  for (uint32_t i = 0; i < kSide * kSide; ++i) {
    std::vector<uint32_t> inputs;
    if (i >= kSide) {
      inputs.push_back(i - kSide);
    }
    if (i % kSide > 0) {
      inputs.push_back(i - 1);
    }
    graph.add(50 + random() % 51, inputs);
  }
  ScheduleProblem problem = graph.take();
  ScheduleResult result = schedule(problem, {300'000});
  EXPECT_TRUE(isOrder(problem, result.order));
  EXPECT_EQ(peakOf(problem, result.order), result.peak);
  EXPECT_LT(result.peak, result.modelPeak);
  EXPECT_FALSE(result.optimal);
  EXPECT_GE(result.nodes, 200'000u);
  EXPECT_LE(result.nodes, 600'000u);
}

TEST(ScheduleLimits, FewStepsMove) {
  // One of many equal blocks is out of order: the others stay.
  Graph graph;
  uint32_t x = graph.add(8, {});
  for (int block = 0; block < 50; ++block) {
    // Two long branches, each wide in the middle.
    if (block == 30) {
      uint32_t left = graph.add(30, {x}), right = graph.add(30, {x});
      x = graph.add(8, {graph.add(4, {left}), graph.add(4, {right})});
    } else {
      uint32_t left = graph.chain(x, {30, 4}), right = graph.chain(x, {30, 4});
      x = graph.add(8, {left, right});
    }
  }
  ScheduleProblem problem = graph.take();
  ScheduleResult result = schedule(problem);
  expectSound(problem, result);
  EXPECT_EQ(result.modelPeak, 68u);
  EXPECT_EQ(result.peak, 42u);
  uint32_t moved = 0;
  for (uint32_t i = 0; i < problem.steps; ++i) {
    moved += result.order[i] != i;
  }
  EXPECT_EQ(moved, 2u);
}

TEST(ScheduleLimits, FewStepsMoveWhereGreedyMovesAll) {
  Random random(6);
  Graph graph;
  for (uint32_t step = 0; step < 400; ++step) {
    std::vector<uint32_t> inputs;
    for (uint32_t count = step == 0 ? 0 : random() % 4; count > 0; --count) {
      inputs.push_back(step - 1 - random() % std::min(step, 20u));
    }
    graph.add(1 + random() % 1000, inputs);
  }
  ScheduleProblem problem = graph.take();
  ScheduleResult result = schedule(problem);
  expectSound(problem, result);
  EXPECT_TRUE(result.optimal);
  EXPECT_LT(result.peak, result.modelPeak);
  uint32_t moved = 0;
  for (uint32_t i = 0; i < problem.steps; ++i) {
    moved += result.order[i] != i;
  }
  EXPECT_LT(moved, problem.steps / 4);
}
