//===- Pack.cpp - Packing with everything there is -------------*- C++ -*-===//

#include "passes/solver/Pack.h"

#include "passes/solver/Critical.h"
#include "passes/solver/Greedy.h"
#include "passes/solver/Strategies.h"

#include <algorithm>

namespace llmc::solver {

namespace {

/// The best that is known of one component.
struct Part {
  std::vector<uint32_t> members;
  std::vector<Offset> offsets; // one per member
  uint64_t extent = UINT64_MAX;
};

const char *name(Order order) {
  switch (order) {
  case Order::Size:
    return "largest size";
  case Order::Area:
    return "largest area";
  case Order::Lifetime:
    return "longest lifetime";
  case Order::Start:
    return "earliest start";
  }
  return "";
}

class Packer {
public:
  Packer(const Problem &problem, const PackOptions &options)
      : problem(problem), options(options), timeline(problem) {
    for (std::vector<uint32_t> &members : timeline.components()) {
      parts.push_back({std::move(members), {}, UINT64_MAX});
    }
    result.lowerBound = solver::lowerBound(problem);
    goal = problem.capacity.value_or(result.lowerBound);
  }

  PackResult run() {
    if (problem.capacity && result.lowerBound > *problem.capacity) {
      result.proved = true;
      return result;
    }
    if (!tryHeuristics()) {
      result.proved = true; // fixed buffers overlap
      return result;
    }
    bool impossible = false;
    size_t left =
        size_t(std::count_if(parts.begin(), parts.end(), [&](const Part &part) {
          return part.extent > goal;
        }));
    uint64_t effort = options.effort;
    for (Part &part : parts) {
      if (part.extent <= goal) {
        continue;
      }
      uint64_t share = effort / left--;
      effort -= std::min(effort, search(part, share, impossible));
      if (impossible) {
        result.proved = true;
        return result;
      }
      if (!problem.capacity) {
        goal = std::max(goal, part.extent); // the others need not do better
      }
    }
    return finish();
  }

private:
  /// False if the fixed buffers overlap.
  bool tryHeuristics() {
    bool fixed = std::any_of(
        problem.buffers.begin(), problem.buffers.end(),
        [](const Buffer &buffer) { return buffer.fixed.has_value(); });
    result.algorithm = "greedy";
    bool first = true;
    for (Fit fit : {Fit::First, Fit::Best}) {
      for (Order order :
           {Order::Size, Order::Area, Order::Lifetime, Order::Start}) {
        Solution solution = placeGreedily(problem, timeline, order, fit);
        if (first && fixed &&
            !check({problem.buffers, std::nullopt}, solution).empty()) {
          return false;
        }
        uint64_t extent = keep(solution);
        if (first && extent > goal &&
            problem.buffers.size() > options.critical && options.effort > 0) {
          solution = packCritical(problem, timeline, goal, options,
                                  std::move(solution), result.nodes);
          if (keep(solution) < extent) {
            result.algorithm = "fullest sections first";
            // Other orders find no better, and each takes as long as all this.
            if (solution.extent <= goal + goal / 64) {
              return true;
            }
          }
        }
        first = false;
        if (extent <= goal) {
          result.algorithm =
              std::string("greedy (") + name(order) +
              (fit == Fit::First ? ", first fit)" : ", best fit)");
          return true;
        }
      }
    }
    if (result.algorithm == "greedy") {
      result.algorithm = "greedy (best of 8)";
    }
    return true;
  }

  /// Keeps what is better by component; gives the extent of all.
  uint64_t keep(const Solution &solution) {
    uint64_t extent = 0;
    for (Part &part : parts) {
      uint64_t partExtent = 0;
      for (uint32_t member : part.members) {
        partExtent = std::max(partExtent, solution.offsets[member] +
                                              problem.buffers[member].size);
      }
      if (partExtent < part.extent) {
        part.extent = partExtent;
        part.offsets.clear();
        for (uint32_t member : part.members) {
          part.offsets.push_back(solution.offsets[member]);
        }
      }
      extent = std::max(extent, part.extent);
    }
    return extent;
  }

  /// Short runs of the exact search on one component. Returns the effort.
  uint64_t search(Part &part, uint64_t effort, bool &impossible) {
    // A run opens at least one node per buffer and looks at what is left in
    // each: with less than this not even the first would end.
    size_t count = part.members.size();
    if (count > options.largestExact || effort / count < count / 4 + 1) {
      return 0;
    }
    Component component(problem, timeline, part.members);
    Search search(component);
    Strategies strategies(component);
    bool stopped = false;
    Limits limits;
    limits.stop = [&] {
      stopped = stopped || search.effort() > effort ||
                (options.stop && options.stop());
      return stopped;
    };

    // In units. Everything below `low` is proved impossible; `high` is found.
    Units low = std::max(component.bound, Units(goal / component.unit));
    Units high = Units(part.extent / component.unit);
    if (problem.capacity) {
      low = high = Units(goal / component.unit);
    }
    // Without a capacity: a round at the bound itself, then steps of several
    // sizes towards it, with the same orders. A success is followed by the
    // next step, smaller since the way is shorter.
    static constexpr Units kEighths[] = {0, 4, 6, 7};
    size_t turns = problem.capacity ? 1 : std::size(kEighths);
    bool done = false;
    for (uint64_t round = 0; !stopped && !done; ++round) {
      for (size_t i = 0; i < recipes().size() && !stopped && !done; ++i) {
        Strategy strategy = strategies.make(recipes()[i], round / turns);
        limits.nodes = strategies.reach(round / turns);
        Units eighths = round == 0 ? 0 : kEighths[(round + i) % turns];
        Verdict verdict = Verdict::Found;
        while (verdict == Verdict::Found && !done) {
          Units target = low;
          if (!problem.capacity) {
            target = std::min(low + (high - low) * eighths / 8, high - 1);
          }
          verdict = search.run(target, strategy, limits);
          if (verdict == Verdict::Found) {
            record(part, component, search.offsets());
            high = Units(part.extent / component.unit);
            done = problem.capacity || high <= low;
          } else if (verdict == Verdict::Impossible) {
            low = target + 1;
            result.lowerBound =
                std::max(result.lowerBound, uint64_t(low) * component.unit);
            impossible = problem.capacity.has_value();
            done = impossible || high <= low;
          }
        }
      }
    }
    result.nodes += search.nodes();
    result.effort += search.effort();
    return search.effort();
  }

  void record(Part &part, const Component &component,
              const std::vector<Units> &offsets) {
    part.extent = 0;
    for (size_t i = 0; i < offsets.size(); ++i) {
      part.offsets[i] = uint64_t(offsets[i]) * component.unit;
      part.extent =
          std::max(part.extent, part.offsets[i] + uint64_t(component.size[i]) *
                                                      component.unit);
    }
    searched = true;
  }

  PackResult finish() {
    Solution solution;
    solution.offsets.resize(problem.buffers.size());
    for (size_t i = 0; i < problem.buffers.size(); ++i) {
      solution.offsets[i] = problem.buffers[i].fixed.value_or(0);
    }
    for (const Part &part : parts) {
      for (size_t i = 0; i < part.members.size(); ++i) {
        solution.offsets[part.members[i]] = part.offsets[i];
      }
      solution.extent = std::max(solution.extent, part.extent);
    }
    if (searched) {
      result.algorithm = "exact search";
    }
    if (!problem.capacity || solution.extent <= *problem.capacity) {
      result.proved = solution.extent <= result.lowerBound;
      result.solution = std::move(solution);
    }
    return result;
  }

  const Problem &problem;
  const PackOptions &options;
  Timeline timeline;
  std::vector<Part> parts;
  uint64_t goal = 0; // an extent with which we stop
  bool searched = false;
  PackResult result;
};

} // namespace

PackResult pack(const Problem &problem, const PackOptions &options) {
  return Packer(problem, options).run();
}

std::optional<Solution> solve(const Problem &problem) {
  // The planner asks for hundreds of layouts, one per choice it weighs.
  PackOptions options;
  options.effort = 2'000'000;
  return pack(problem, options).solution;
}

} // namespace llmc::solver
