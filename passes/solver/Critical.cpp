//===- Critical.cpp - Large problems: the full sections first --*- C++ -*-===//

#include "passes/solver/Critical.h"

#include "passes/solver/Greedy.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace llmc::solver {

namespace {

/// Critical are sections that hold so many hundredths of the goal.
constexpr std::array<uint64_t, 5> kShares = {95, 90, 85, 80, 70};
/// Effort of the exact search: for a core, and per buffer.
constexpr uint64_t kLeastEffort = 10'000'000;
constexpr uint64_t kCoreEffort = 10'000;
constexpr uint64_t kWindowEffort = 30'000;
/// What placing them all greedily counts as, per buffer.
constexpr uint64_t kGreedyEffort = 64;
/// Buffers that a window packs anew, at least: it grows until it has so many.
constexpr std::array<size_t, 2> kWindows = {60, 200};
/// A window that cannot be kept small is given up.
constexpr size_t kLargestWindow = 2000;
/// Failed windows after which a goal is given up, and after how many
/// thousandths above the goal the next one is tried.
constexpr int kFailures = 3;
constexpr std::array<uint64_t, 4> kExcess = {0, 4, 10, 20};
/// Cores that were not packed within the goal until no larger one is tried.
constexpr int kUnsolvedCores = 2;
/// With so many thousandths above the goal no further share is tried.
constexpr uint64_t kGoodEnough = 4;

uint64_t raised(uint64_t goal, uint64_t thousandths) {
  return goal + goal / 1000 * thousandths;
}

/// Buffers by the steps they live in.
class Calendar {
public:
  explicit Calendar(const Problem &problem) : problem(problem) {
    for (uint32_t i = 0; i < problem.buffers.size(); ++i) {
      const Buffer &buffer = problem.buffers[i];
      if (buffer.size > 0 && buffer.start < buffer.end) {
        byStart.push_back(i);
      }
    }
    std::sort(byStart.begin(), byStart.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(problem.buffers[a].start, a) <
             std::pair(problem.buffers[b].start, b);
    });
    for (size_t i = 0; i < byStart.size(); ++i) {
      if (i % kBlock == 0) {
        lastEnd.push_back(0);
      }
      lastEnd.back() =
          std::max(lastEnd.back(), problem.buffers[byStart[i]].end);
      last = std::max(last, lastEnd.back());
    }
  }

  /// One past the last step.
  Step end() const { return last; }

  /// Those that live in [begin, end).
  void collect(Step begin, Step end, std::vector<uint32_t> &out) const {
    out.clear();
    for (size_t block = 0; block < lastEnd.size(); ++block) {
      size_t first = block * kBlock;
      if (problem.buffers[byStart[first]].start >= end) {
        return;
      }
      if (lastEnd[block] <= begin) {
        continue;
      }
      size_t stop = std::min(first + kBlock, byStart.size());
      for (size_t i = first; i < stop; ++i) {
        const Buffer &buffer = problem.buffers[byStart[i]];
        if (buffer.start < end && buffer.end > begin) {
          out.push_back(byStart[i]);
        }
      }
    }
  }

private:
  static constexpr size_t kBlock = 256;
  const Problem &problem;
  std::vector<uint32_t> byStart;
  std::vector<Step> lastEnd; // of each block
  Step last = 0;
};

class Critical {
public:
  Critical(const Problem &problem, const Timeline &timeline, uint64_t goal,
           const PackOptions &options, Solution start, uint64_t &nodes)
      : problem(problem), timeline(timeline), calendar(problem), goal(goal),
        options(options), effort(options.effort), nodes(nodes),
        best(std::move(start)), load(timeline.sectionCount() + 1) {
    for (size_t i = 0; i < problem.buffers.size(); ++i) {
      for (const SectionRange &range : timeline.ranges(i)) {
        load[range.begin] += problem.buffers[i].size;
        load[range.end] -= problem.buffers[i].size; // modulo 2^64
      }
    }
    std::partial_sum(load.begin(), load.end(), load.begin());
  }

  Solution run() {
    repair(best);
    int unsolved = 0;
    for (uint64_t share : kShares) {
      if (done() || unsolved == kUnsolvedCores) {
        break;
      }
      Problem around = problem;
      unsolved += !fixCore(share, around);
      for (Order order : {Order::Size, Order::Area, Order::Lifetime}) {
        if (done()) {
          break;
        }
        Solution solution = placeGreedily(around, timeline, order, Fit::First);
        effort -= std::min(effort, kGreedyEffort * problem.buffers.size());
        repair(solution);
      }
    }
    return std::move(best);
  }

private:
  bool stopped() const {
    return effort == 0 || (options.stop && options.stop());
  }
  bool done() const {
    return best.extent <= raised(goal, kGoodEnough) || stopped();
  }

  /// The exact search on a small problem.
  std::optional<Solution> search(const Problem &small, uint64_t allowance) {
    PackOptions limited = options;
    limited.effort = std::min(effort, allowance);
    limited.critical = SIZE_MAX;
    PackResult result = pack(small, limited);
    effort -= std::min(effort, result.effort);
    nodes += result.nodes;
    return std::move(result.solution);
  }

  /// Packs the core and fixes it in `around`. False if it is above the goal.
  bool fixCore(uint64_t share, Problem &around) {
    std::vector<uint32_t> index(load.size(), 0); // critical sections before
    for (size_t s = 0; s + 1 < load.size(); ++s) {
      index[s + 1] = index[s] + (load[s] >= goal / 100 * share);
    }
    Problem core;
    core.capacity = goal;
    std::vector<uint32_t> members;
    for (uint32_t i = 0; i < problem.buffers.size(); ++i) {
      std::span<const SectionRange> ranges = timeline.ranges(i);
      if (std::any_of(ranges.begin(), ranges.end(), [&](SectionRange range) {
            return index[range.begin] < index[range.end];
          })) {
        core.buffers.push_back(problem.buffers[i]);
        members.push_back(i);
      }
    }
    uint64_t allowance = kLeastEffort + kCoreEffort * members.size();
    std::optional<Solution> packed = search(core, allowance);
    bool solved = packed.has_value();
    if (!solved) {
      core.capacity.reset();
      packed = search(core, allowance);
    }
    if (packed) {
      for (size_t i = 0; i < members.size(); ++i) {
        around.buffers[members[i]].fixed = packed->offsets[i];
      }
    }
    return solved;
  }

  uint64_t top(const Solution &solution, uint32_t buffer) const {
    return solution.offsets[buffer] + problem.buffers[buffer].size;
  }

  /// Lowers what lies above the goal, window by window, and keeps the result
  /// if it is the best.
  void repair(Solution &solution) {
    for (uint64_t excess : kExcess) {
      uint64_t limit = raised(goal, excess);
      if (limit >= best.extent && limit > goal) {
        break; // no gain
      }
      int failed = 0;
      calendar.collect(0, UINT32_MAX, scratch);
      std::vector<uint32_t> offenders;
      for (uint32_t i : scratch) {
        if (top(solution, i) > limit) {
          offenders.push_back(i);
        }
      }
      for (uint32_t offender : offenders) {
        if (failed == kFailures || stopped()) {
          break;
        }
        failed += top(solution, offender) > limit &&
                  !lower(solution, offender, limit);
      }
      if (failed == 0) {
        break;
      }
    }
    solution.extent = 0;
    calendar.collect(0, UINT32_MAX, scratch);
    for (uint32_t i : scratch) {
      solution.extent = std::max(solution.extent, top(solution, i));
    }
    if (solution.extent < best.extent) {
      best = solution;
    }
  }

  bool inside(uint32_t buffer, Step begin, Step end) const {
    return problem.buffers[buffer].start >= begin &&
           problem.buffers[buffer].end <= end;
  }

  /// Packs windows of growing size around it until one fits.
  bool lower(Solution &solution, uint32_t offender, uint64_t limit) {
    Step begin = problem.buffers[offender].start;
    Step end = problem.buffers[offender].end;
    for (size_t wanted : kWindows) {
      if (!widen(solution, limit, wanted, begin, end)) {
        return false;
      }
      if (packWindow(solution, begin, end, limit)) {
        return true;
      }
      if (stopped()) {
        return false;
      }
    }
    return false;
  }

  /// Until so many live inside it, and no other offender crosses its borders.
  bool widen(const Solution &solution, uint64_t limit, size_t wanted,
             Step &begin, Step &end) {
    for (Step grow = 1;; grow += grow / 2 + 1) {
      size_t free = 0;
      for (bool crossed = true; crossed;) {
        calendar.collect(begin, end, scratch);
        crossed = false;
        free = 0;
        Step oldBegin = begin;
        Step oldEnd = end;
        for (uint32_t i : scratch) {
          if (inside(i, oldBegin, oldEnd)) {
            ++free;
          } else if (top(solution, i) > limit) {
            begin = std::min(begin, problem.buffers[i].start);
            end = std::max(end, problem.buffers[i].end);
            crossed = true;
          }
        }
      }
      if (free > kLargestWindow) {
        return false;
      }
      if (free >= wanted || (begin == 0 && end >= calendar.end())) {
        return true;
      }
      begin = begin > grow ? begin - grow : 0;
      end = calendar.end() - std::min(end, calendar.end()) > grow
                ? end + grow
                : calendar.end();
    }
  }

  bool packWindow(Solution &solution, Step begin, Step end, uint64_t limit) {
    calendar.collect(begin, end, scratch);
    std::vector<uint32_t> members = scratch;
    Problem window;
    window.capacity = limit;
    size_t free = 0;
    for (uint32_t i : members) {
      Buffer buffer = problem.buffers[i];
      if (inside(i, begin, end)) {
        ++free;
      } else {
        buffer.fixed = solution.offsets[i];
        buffer.start = std::max(buffer.start, begin);
        buffer.end = std::min(buffer.end, end);
      }
      window.buffers.push_back(std::move(buffer));
    }
    std::optional<Solution> packed = search(window, kWindowEffort * free);
    if (!packed) {
      return false;
    }
    for (size_t i = 0; i < members.size(); ++i) {
      solution.offsets[members[i]] = packed->offsets[i];
    }
    return true;
  }

  const Problem &problem;
  const Timeline &timeline;
  Calendar calendar;
  uint64_t goal;
  const PackOptions &options;
  uint64_t effort; // left
  uint64_t &nodes;
  Solution best;
  std::vector<uint64_t> load; // per section
  std::vector<uint32_t> scratch;
};

} // namespace

Solution packCritical(const Problem &problem, const Timeline &timeline,
                      uint64_t goal, const PackOptions &options, Solution start,
                      uint64_t &nodes) {
  return Critical(problem, timeline, goal, options, std::move(start), nodes)
      .run();
}

} // namespace llmc::solver
