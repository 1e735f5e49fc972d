//===- Schedule.cpp - An order of steps with a low peak --------*- C++ -*-===//

#include "passes/solver/Schedule.h"

#include "passes/solver/ScheduleBound.h"
#include "passes/solver/ScheduleImprove.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>

namespace llmc::solver {

namespace {

std::string fault(std::string_view what, size_t index, std::string_view why) {
  return std::string(what) + " " + std::to_string(index) + " " +
         std::string(why);
}

bool touchedBy(const ScheduleBuffer &buffer, uint32_t step) {
  return std::binary_search(buffer.steps.begin(), buffer.steps.end(), step);
}

/// Segments between barriers are problems of their own.
struct Segment {
  uint32_t begin;
  uint32_t end;
  uint64_t modelPeak = 0; // bytes, of the identity
  uint64_t peak = 0;      // bytes, of its current order
  bool tried = false;
};

} // namespace

std::string check(const ScheduleProblem &problem) {
  for (size_t i = 0; i < problem.edges.size(); ++i) {
    const auto &[before, after] = problem.edges[i];
    if (after >= problem.steps) {
      return fault("edge", i, "names a step that does not exist");
    }
    if (before >= after) {
      return fault("edge", i, "goes against the model's own order");
    }
  }
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    const std::vector<uint32_t> &steps = problem.buffers[i].steps;
    if (!steps.empty() && steps.back() >= problem.steps) {
      return fault("buffer", i, "names a step that does not exist");
    }
    if (std::adjacent_find(steps.begin(), steps.end(),
                           std::greater_equal<>()) != steps.end()) {
      return fault("buffer", i, "has steps that do not ascend");
    }
  }
  for (size_t i = 0; i < problem.takeovers.size(); ++i) {
    const Takeover &it = problem.takeovers[i];
    size_t count = problem.buffers.size();
    if (it.from >= count || it.into >= count || it.from == it.into) {
      return fault("takeover", i, "does not name two buffers");
    }
    const ScheduleBuffer &from = problem.buffers[it.from];
    const ScheduleBuffer &into = problem.buffers[it.into];
    if (!touchedBy(from, it.step) || !touchedBy(into, it.step)) {
      return fault("takeover", i, "names a buffer its step does not touch");
    }
    if (into.size > from.size) {
      return fault("takeover", i, "writes past the end");
    }
  }
  return "";
}

bool isOrder(const ScheduleProblem &problem, std::span<const uint32_t> order) {
  if (order.size() != problem.steps) {
    return false;
  }
  std::vector<uint32_t> position(problem.steps, UINT32_MAX);
  for (uint32_t i = 0; i < order.size(); ++i) {
    if (order[i] >= problem.steps || position[order[i]] != UINT32_MAX) {
      return false;
    }
    position[order[i]] = i;
  }
  return std::all_of(problem.edges.begin(), problem.edges.end(),
                     [&](const auto &edge) {
                       return position[edge.first] < position[edge.second];
                     });
}

uint64_t peakOf(const ScheduleProblem &problem,
                std::span<const uint32_t> order) {
  assert(isOrder(problem, order));
  return peakOf(ScheduleModel(problem), order);
}

ScheduleResult schedule(const ScheduleProblem &problem,
                        const ScheduleLimits &limits) {
  if (std::string wrong = check(problem); !wrong.empty()) {
    // A bug of the caller; an order of such a problem would mean nothing.
    std::fprintf(stderr, "schedule: %s\n", wrong.c_str());
    std::abort();
  }
  ScheduleModel model(problem);
  ScheduleResult result;
  result.order.resize(problem.steps);
  std::iota(result.order.begin(), result.order.end(), 0);
  result.modelPeak = result.peak = peakOf(model, result.order);
  result.algorithm = "model order";
  uint64_t bound = quickBound(model);
  if (result.peak <= bound) {
    result.bound = bound;
    result.optimal = true;
    return result;
  }

  std::vector<uint64_t> during = duringOf(model, result.order);
  std::vector<uint32_t> cuts = forcedCuts(model);
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Segment segment{cuts[i], cuts[i + 1]};
    segment.peak = *std::max_element(during.begin() + segment.begin,
                                     during.begin() + segment.end);
    segment.modelPeak = segment.peak;
    segments.push_back(segment);
  }
  // The segment with the highest peak, until that one cannot be lowered.
  const StepOrder identity = result.order;
  while (true) {
    Segment &top = *std::max_element(
        segments.begin(), segments.end(),
        [](const Segment &a, const Segment &b) { return a.peak < b.peak; });
    result.peak = top.peak;
    if (top.tried || top.peak <= bound) {
      break;
    }
    top.tried = true;
    Improved improved =
        improve(windowOf(model, identity, top.begin, top.end), bound,
                limits.nodes - std::min(limits.nodes, result.nodes));
    result.nodes += improved.nodes;
    bound = std::max(bound, improved.bound);
    if (improved.peak < top.peak) {
      top.peak = improved.peak;
      for (uint32_t i = 0; i < improved.order.size(); ++i) {
        result.order[top.begin + i] = top.begin + improved.order[i];
      }
      result.algorithm = improved.algorithm;
    }
  }
  result.bound = bound;
  result.optimal = result.peak <= bound;
  if (result.peak == result.modelPeak) {
    result.order = identity;
    result.algorithm = "model order";
    return result;
  }
  for (const Segment &it : segments) {
    auto begin = result.order.begin() + it.begin;
    if (it.modelPeak <= result.peak) { // lowered in vain, if at all
      std::iota(begin, result.order.begin() + it.end, it.begin);
      continue;
    }
    StepOrder part(begin, result.order.begin() + it.end);
    for (uint32_t &step : part) {
      step -= it.begin;
    }
    result.nodes += nearIdentity(windowOf(model, identity, it.begin, it.end),
                                 part, result.peak, limits.nodes / 16);
    std::transform(part.begin(), part.end(), begin,
                   [&](uint32_t step) { return step + it.begin; });
  }
  return result;
}

} // namespace llmc::solver
