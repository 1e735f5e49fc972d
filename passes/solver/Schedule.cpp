//===- Schedule.cpp - An order of steps with a low peak --------*- C++ -*-===//

#include "passes/solver/Schedule.h"

#include "passes/solver/ScheduleModel.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <tuple>

namespace llmc::solver {

namespace {

std::string fault(std::string_view what, size_t index, std::string_view why) {
  return std::string(what) + " " + std::to_string(index) + " " +
         std::string(why);
}

bool touchedBy(const ScheduleBuffer &buffer, uint32_t step) {
  return std::binary_search(buffer.steps.begin(), buffer.steps.end(), step);
}

/// Always the ready step that needs the least; ties by what stays, by index.
std::vector<uint32_t> greedyOrder(const ScheduleModel &model) {
  std::vector<uint32_t> order;
  ScheduleState state(model);
  using Key = std::tuple<uint64_t, uint64_t, uint32_t>;
  uint64_t peak = state.level();
  while (!state.ready().empty()) {
    Key best{UINT64_MAX, UINT64_MAX, UINT32_MAX};
    for (uint32_t step : state.ready()) {
      uint64_t during = std::max(peak, state.during(step));
      best = std::min(best, Key{during, state.levelAfter(step), step});
    }
    peak = std::get<0>(best);
    order.push_back(std::get<2>(best));
    state.execute(order.back());
  }
  return order;
}

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
  ScheduleModel model(problem);
  ScheduleState state(model);
  uint64_t peak = state.level();
  for (uint32_t step : order) {
    peak = std::max(peak, state.during(step));
    state.execute(step);
  }
  return peak;
}

ScheduleResult schedule(const ScheduleProblem &problem,
                        const ScheduleLimits &limits) {
  assert(check(problem).empty());
  ScheduleModel model(problem);
  ScheduleResult result;
  result.order.resize(problem.steps);
  std::iota(result.order.begin(), result.order.end(), 0);
  result.modelPeak = result.peak = peakOf(problem, result.order);
  result.algorithm = "model order";
  std::vector<uint32_t> greedy = greedyOrder(model);
  uint64_t peak = peakOf(problem, greedy);
  if (peak < result.peak) {
    result.order = std::move(greedy);
    result.peak = peak;
    result.algorithm = "greedy";
  }
  return result;
}

} // namespace llmc::solver
