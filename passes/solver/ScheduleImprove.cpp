//===- ScheduleImprove.cpp - Lower the peak of one order -------*- C++ -*-===//

#include "passes/solver/ScheduleImprove.h"

#include "passes/solver/ScheduleSearch.h"
#include "passes/solver/ScheduleTree.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

namespace llmc::solver {

namespace {

/// Problems up to this size have their reach computed: two bits per pair.
constexpr uint32_t kReachSteps = 20'000;
/// Looks at ready steps that a greedy order may cost.
constexpr uint64_t kGreedyLooks = 10'000'000;
/// Steps of the first windows.
constexpr uint32_t kNarrow = 16;
/// Times that an order is gone through to bring it nearer to the identity.
constexpr int kPasses = 64;

/// Always the ready step that raises the peak least; ties by what stays, by
/// index. When the looks are spent, by index alone.
StepOrder greedyOrder(const ScheduleModel &model) {
  StepOrder order;
  ScheduleState state(model);
  using Key = std::tuple<uint64_t, uint64_t, uint32_t>;
  uint64_t peak = state.level(), looks = 0;
  while (!state.ready().empty()) {
    Key best{UINT64_MAX, UINT64_MAX, UINT32_MAX};
    if (looks > kGreedyLooks) {
      std::get<2>(best) = *std::min_element(state.ready().begin(), //
                                            state.ready().end());
    } else {
      for (uint32_t step : state.ready()) {
        ScheduleState::Cost cost = state.cost(step);
        best =
            std::min(best, Key{std::max(peak, cost.during), cost.after, step});
      }
      looks += state.ready().size();
    }
    peak = std::get<0>(best);
    order.push_back(std::get<2>(best));
    state.execute(order.back());
  }
  return order;
}

StepOrder mirrored(StepOrder order) {
  std::reverse(order.begin(), order.end());
  for (uint32_t &step : order) {
    step = order.size() - 1 - step;
  }
  return order;
}

/// A problem from both sides, with what is known of it.
struct Both {
  explicit Both(const ScheduleProblem &problem)
      : model(problem), mirror(problem, true) {
    best.order.resize(problem.steps);
    std::iota(best.order.begin(), best.order.end(), 0);
    best.peak = peakOf(model, best.order);
    best.bound = quickBound(model);
    best.algorithm = "model order";
  }

  bool done() const { return best.peak <= std::max(best.bound, enough); }

  void offer(StepOrder order, uint64_t peak, std::string_view algorithm) {
    if (peak < best.peak) {
      best.peak = peak;
      best.order = std::move(order);
      best.algorithm = algorithm;
    }
  }

  ScheduleModel model;
  ScheduleModel mirror;
  uint64_t enough = 0;
  Improved best;
};

/// What can be had without a search.
void offerCheap(Both &both) {
  struct {
    StepOrder (*make)(const ScheduleModel &);
    bool fromEnd;
    std::string_view name;
  } const ways[] = {{greedyOrder, false, "greedy"},
                    {greedyOrder, true, "greedy from the end"},
                    {treeOrder, false, "tree"},
                    {treeOrder, true, "tree from the end"}};
  for (const auto &way : ways) {
    if (!both.done()) {
      StepOrder order =
          way.fromEnd ? mirrored(way.make(both.mirror)) : way.make(both.model);
      uint64_t peak = peakOf(both.model, order);
      both.offer(std::move(order), peak, way.name);
    }
  }
}

/// Searches with budgets between the bound and the peak, from either end of
/// time, with ever more nodes per budget.
class Seek {
public:
  explicit Seek(Both &both) : both(both) {
    std::optional<Reach> here, there;
    if (both.model.steps <= kReachSteps) {
      here.emplace(both.model);
      there.emplace(both.mirror);
      for (uint64_t bytes : workingSets(both.model, *here)) {
        both.best.bound = std::max(both.best.bound, bytes);
      }
    }
    forward.emplace(both.model, both.mirror, here ? &*here : nullptr);
    backward.emplace(both.mirror, both.model, there ? &*there : nullptr);
  }

  /// Spends about so many nodes.
  void run(uint64_t nodes) {
    Improved &best = both.best;
    uint64_t stop = spent() + nodes;
    while (!both.done() && spent() < stop) {
      // Budgets below `soft` were given up in this round.
      uint64_t soft = std::max(best.bound, both.enough);
      uint64_t budget = soft;
      while (!both.done() && spent() < stop && soft < best.peak) {
        Outcome outcome = tryBudget(budget, std::min(limit, stop - spent()));
        if (outcome == Outcome::Neither) {
          soft = budget + 1;
        }
        soft = std::max(soft, best.bound);
        budget = soft + (best.peak - std::min(best.peak, soft)) / 2;
        budget = std::min(budget, best.peak - 1);
      }
      limit *= 4;
    }
    best.nodes += spent() - reported;
    reported = spent();
  }

private:
  enum class Outcome : uint8_t { Lower, Refuted, Neither };

  uint64_t spent() const { return forward->nodes() + backward->nodes(); }

  Outcome tryBudget(uint64_t budget, uint64_t nodes) {
    for (bool reverse : {false, true}) {
      ScheduleSearch &search = reverse ? *backward : *forward;
      OrderVerdict verdict = search.run(budget, nodes);
      if (verdict == OrderVerdict::Impossible) {
        both.best.bound = std::max(both.best.bound, search.threshold());
        return Outcome::Refuted;
      }
      if (verdict == OrderVerdict::Found) {
        StepOrder order = reverse ? mirrored(search.order()) : search.order();
        uint64_t peak = peakOf(both.model, order);
        both.offer(std::move(order), peak, "search");
        return Outcome::Lower;
      }
    }
    return Outcome::Neither;
  }

  Both &both;
  std::optional<ScheduleSearch> forward;
  std::optional<ScheduleSearch> backward;
  uint64_t limit = 4 * both.model.steps + 500; // nodes per budget
  uint64_t reported = 0;
};

/// Lowers the peaks of an order one by one, by search in the steps around
/// them, until it is enough or neither the nodes nor wider windows help.
/// Returns the nodes spent.
uint64_t lowerByWindows(const ScheduleModel &model, StepOrder &order,
                        uint64_t enough, uint64_t nodes) {
  uint64_t spent = 0;
  uint32_t steps = model.steps;
  for (uint32_t width = kNarrow; spent < nodes; width *= 2) {
    bool lowered = true;
    while (lowered && spent < nodes) {
      std::vector<uint64_t> during = duringOf(model, order);
      uint32_t at =
          std::max_element(during.begin(), during.end()) - during.begin();
      if (during[at] <= enough) {
        return spent;
      }
      uint32_t begin = at - std::min(at, width / 2);
      uint32_t end = std::min(steps, begin + width);
      uint64_t outside = enough;
      for (uint32_t i = 0; i < steps; ++i) {
        outside = std::max(outside, i < begin || i >= end ? during[i] : 0);
      }
      Both window(windowOf(model, order, begin, end));
      // Another step may need as much: this window is still to be lowered.
      window.enough = std::min(outside, during[at] - 1);
      Seek(window).run((nodes - spent) / 4 + 1);
      spent += window.best.nodes + width + steps / 8;
      lowered = window.best.peak < during[at];
      if (lowered) {
        StepOrder part(order.begin() + begin, order.begin() + end);
        for (uint32_t i = begin; i < end; ++i) {
          order[i] = part[window.best.order[i - begin]];
        }
      }
    }
    if (width >= steps) {
      break;
    }
  }
  return spent;
}

/// How far the steps are from where they were, all together.
uint64_t displacement(const StepOrder &order) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < order.size(); ++i) {
    sum += order[i] < i ? i - order[i] : order[i] - i;
  }
  return sum;
}

/// Puts the steps of ever smaller blocks of the order back in sequence where
/// the peak stays.
void sortBlocks(const ScheduleModel &model, StepOrder &order, uint64_t peak) {
  for (size_t width = order.size(); width > 2; width = (width + 1) / 2) {
    ScheduleState state(model);
    for (size_t begin = 0; begin < order.size(); begin += width) {
      size_t end = std::min(begin + width, order.size());
      StepOrder block(order.begin() + begin, order.begin() + end);
      std::sort(block.begin(), block.end());
      size_t done = 0;
      while (done < block.size() && state.cost(block[done]).during <= peak) {
        state.execute(block[done++]);
      }
      if (done == block.size()) {
        std::copy(block.begin(), block.end(), order.begin() + begin);
        continue;
      }
      while (done > 0) {
        state.undo(block[--done]);
      }
      for (size_t i = begin; i < end; ++i) {
        state.execute(order[i]);
      }
    }
  }
}

/// Likewise two neighbours at a time.
void sortNeighbours(const ScheduleModel &model, StepOrder &order,
                    uint64_t peak) {
  bool swapped = true;
  for (int pass = 0; swapped && pass < kPasses; ++pass) {
    swapped = false;
    ScheduleState state(model);
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      uint32_t first = order[i + 1], second = order[i];
      if (first < second && state.isReady(first) &&
          state.cost(first).during <= peak) {
        state.execute(first);
        bool fits = state.cost(second).during <= peak;
        state.undo(first);
        if (fits) {
          std::swap(order[i], order[i + 1]);
          swapped = true;
        }
      }
      state.execute(order[i]);
    }
  }
}

void settleBack(const ScheduleModel &model, StepOrder &order, uint64_t peak) {
  sortBlocks(model, order, peak);
  sortNeighbours(model, order, peak);
}

} // namespace

Improved improve(const ScheduleProblem &problem, uint64_t enough,
                 uint64_t nodes) {
  Both both(problem);
  both.enough = enough;
  if (both.done()) {
    return both.best;
  }
  Seek seek(both);
  offerCheap(both);
  seek.run(nodes / 2);
  if (!both.done() && both.best.nodes < nodes) {
    StepOrder order = both.best.order;
    both.best.nodes +=
        lowerByWindows(both.model, order, std::max(both.best.bound, enough),
                       (nodes - both.best.nodes) / 2);
    uint64_t peak = peakOf(both.model, order);
    both.offer(std::move(order), peak, "windows");
  }
  if (!both.done() && both.best.nodes < nodes) {
    seek.run(nodes - both.best.nodes);
  }
  return both.best;
}

uint64_t nearIdentity(const ScheduleProblem &problem, StepOrder &order,
                      uint64_t peak, uint64_t nodes) {
  ScheduleModel model(problem);
  settleBack(model, order, peak);
  StepOrder other(order.size());
  std::iota(other.begin(), other.end(), 0);
  uint64_t spent = lowerByWindows(model, other, peak, nodes);
  if (peakOf(model, other) <= peak) {
    settleBack(model, other, peak);
    if (displacement(other) < displacement(order)) {
      order = std::move(other);
    }
  }
  return spent;
}

} // namespace llmc::solver
