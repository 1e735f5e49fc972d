//===- ScheduleTree.cpp - Orders that are best for trees -------*- C++ -*-===//

#include "passes/solver/ScheduleTree.h"

#include <algorithm>

namespace llmc::solver {

namespace {

/// Parts of one subtree; more are taken for one.
constexpr size_t kParts = 64;
constexpr uint32_t kNone = UINT32_MAX;

struct Part {
  uint64_t hill;   // bytes above what is alive before the subtree
  uint64_t valley; // likewise
  uint32_t first;  // its steps, as a list
  uint32_t last;
};

class TreeOrder {
public:
  explicit TreeOrder(const ScheduleModel &model)
      : model(model), next(model.steps, kNone), stays(model.steps),
        own(model.steps), parts(model.steps) {}

  StepOrder run() {
    measure();
    std::vector<std::vector<uint32_t>> children(model.steps);
    std::vector<uint32_t> roots;
    for (uint32_t step = 0; step < model.steps; ++step) {
      std::span<const uint32_t> after = model.after[step];
      (after.empty() ? roots : children[after.front()]).push_back(step);
    }
    for (uint32_t step = 0; step < model.steps; ++step) {
      std::vector<Part> all = merged(children[step]);
      uint64_t inputs = all.empty() ? 0 : all.back().valley;
      all.push_back({inputs + own[step], stays[step], step, step});
      parts[step] = joined(all);
    }
    StepOrder order;
    for (const Part &part : merged(roots)) {
      for (uint32_t step = part.first;; step = next[step]) {
        order.push_back(step);
        if (step == part.last) {
          break;
        }
      }
    }
    return mended(order);
  }

private:
  /// What every step needs and leaves behind, as the identity shows.
  void measure() {
    ScheduleState state(model);
    for (uint32_t step = 0; step < model.steps; ++step) {
      own[step] = state.cost(step).during - state.level();
      for (uint32_t buffer : model.touches[step]) {
        bool lasts =
            state.touchesLeft(buffer) > 1 || model.buffers[buffer].liveAtEnd;
        if (!state.isAlive(buffer) && lasts) {
          stays[step] += model.buffers[buffer].size;
        }
      }
      state.execute(step);
    }
  }

  /// The parts of several subtrees, those first that give back most.
  std::vector<Part> merged(const std::vector<uint32_t> &subtrees) {
    struct Rise {
      uint64_t hill, valley; // bytes above the valley before
      size_t index;
      const Part *part;
    };
    std::vector<Rise> rises;
    for (uint32_t subtree : subtrees) {
      uint64_t before = 0;
      for (const Part &part : parts[subtree]) {
        rises.push_back(
            {part.hill - before, part.valley - before, rises.size(), &part});
        before = part.valley;
      }
    }
    std::sort(rises.begin(), rises.end(), [](const Rise &a, const Rise &b) {
      return std::pair(b.hill - b.valley, a.index) <
             std::pair(a.hill - a.valley, b.index);
    });
    std::vector<Part> all;
    uint64_t level = 0;
    for (const Rise &rise : rises) {
      all.push_back({level + rise.hill, level + rise.valley, rise.part->first,
                     rise.part->last});
      level += rise.valley;
    }
    for (uint32_t subtree : subtrees) {
      parts[subtree] = {};
    }
    return all;
  }

  /// Ends a part at the lowest valley behind the highest hill, and so on.
  std::vector<Part> joined(const std::vector<Part> &all) {
    // From the end: where each part that begins here has to end.
    std::vector<Part> result;
    for (size_t at = 0; at < all.size();) {
      size_t hill = at;
      for (size_t i = at; i < all.size(); ++i) {
        hill = all[i].hill >= all[hill].hill ? i : hill;
      }
      size_t valley = hill;
      for (size_t i = hill; i < all.size(); ++i) {
        valley = all[i].valley <= all[valley].valley ? i : valley;
      }
      if (result.size() + 1 == kParts) {
        valley = all.size() - 1;
      }
      for (size_t i = at; i < valley; ++i) {
        next[all[i].last] = all[i + 1].first;
      }
      result.push_back({all[hill].hill, all[valley].valley, all[at].first,
                        all[valley].last});
      at = valley + 1;
    }
    return result;
  }

  /// Every step as soon as its turn comes or another needs it.
  StepOrder mended(const StepOrder &wanted) {
    StepOrder order;
    std::vector<uint32_t> rank(model.steps);
    std::vector<uint8_t> done(model.steps);
    for (uint32_t i = 0; i < wanted.size(); ++i) {
      rank[wanted[i]] = i;
    }
    std::vector<uint32_t> stack;
    for (uint32_t turn : wanted) {
      stack.push_back(turn);
      while (!stack.empty()) {
        uint32_t step = stack.back(), needed = kNone;
        for (uint32_t before : model.before[step]) {
          if (!done[before] &&
              (needed == kNone || rank[before] < rank[needed])) {
            needed = before;
          }
        }
        if (needed != kNone) {
          stack.push_back(needed);
          continue;
        }
        stack.pop_back();
        if (!done[step]) {
          done[step] = 1;
          order.push_back(step);
        }
      }
    }
    return order;
  }

  const ScheduleModel &model;
  std::vector<uint32_t> next;  // per step: the one behind it in its part
  std::vector<uint64_t> stays; // per step: bytes it leaves alive
  std::vector<uint64_t> own;   // per step: bytes it needs besides its inputs
  std::vector<std::vector<Part>> parts; // per step that is a root so far
};

} // namespace

StepOrder treeOrder(const ScheduleModel &model) {
  return TreeOrder(model).run();
}

} // namespace llmc::solver
