//===- ScheduleModel.cpp - Executing steps one by one ----------*- C++ -*-===//

#include "passes/solver/ScheduleModel.h"

#include <algorithm>
#include <cassert>

namespace llmc::solver {

Rows::Rows(uint32_t rows, std::span<const std::pair<uint32_t, uint32_t>> pairs)
    : first(rows + 1), items(pairs.size()) {
  for (const auto &[row, item] : pairs) {
    ++first[row + 1];
  }
  for (uint32_t row = 0; row < rows; ++row) {
    first[row + 1] += first[row];
  }
  std::vector<uint32_t> next(first.begin(), first.end() - 1);
  for (const auto &[row, item] : pairs) {
    items[next[row]++] = item;
  }
}

ScheduleModel::ScheduleModel(const ScheduleProblem &problem)
    : steps(problem.steps), problem(problem) {
  std::vector<std::pair<uint32_t, uint32_t>> pairs = problem.edges;
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  after = Rows(steps, pairs);
  for (auto &pair : pairs) {
    std::swap(pair.first, pair.second);
  }
  before = Rows(steps, pairs);
  pairs.clear();
  for (uint32_t buffer = 0; buffer < problem.buffers.size(); ++buffer) {
    for (uint32_t step : problem.buffers[buffer].steps) {
      pairs.emplace_back(step, buffer);
    }
  }
  touches = Rows(steps, pairs);
  pairs.clear();
  for (uint32_t i = 0; i < problem.takeovers.size(); ++i) {
    pairs.emplace_back(problem.takeovers[i].step, i);
  }
  takeovers = Rows(steps, pairs);
}

ScheduleState::ScheduleState(const ScheduleModel &model)
    : model(model), missing(model.steps), left(model.problem.buffers.size()),
      place(model.steps, kNowhere) {
  for (uint32_t buffer = 0; buffer < left.size(); ++buffer) {
    const ScheduleBuffer &it = model.problem.buffers[buffer];
    left[buffer] = it.steps.size();
    if (it.liveAtStart || (it.liveAtEnd && it.steps.empty())) {
      alive += it.size;
    }
  }
  for (uint32_t step = 0; step < model.steps; ++step) {
    missing[step] = model.before[step].size();
    if (missing[step] == 0) {
      addReady(step);
    }
  }
}

uint64_t ScheduleState::saved(uint32_t step) const {
  std::span<const uint32_t> candidates = model.takeovers[step];
  if (candidates.empty()) {
    return 0;
  }
  uint64_t bytes = 0;
  taken.clear();
  for (uint32_t index : candidates) {
    const Takeover &it = model.problem.takeovers[index];
    bool applies = left[it.from] == 1 && isAlive(it.from) &&
                   !model.problem.buffers[it.from].liveAtEnd &&
                   !isAlive(it.into);
    for (uint32_t other : taken) {
      const Takeover &earlier = model.problem.takeovers[other];
      applies &= earlier.from != it.from && earlier.into != it.into;
    }
    if (applies) {
      taken.push_back(index);
      bytes += model.problem.buffers[it.into].size;
    }
  }
  return bytes;
}

uint64_t ScheduleState::during(uint32_t step) const {
  uint64_t bytes = alive;
  for (uint32_t buffer : model.touches[step]) {
    if (!isAlive(buffer)) {
      bytes += model.problem.buffers[buffer].size;
    }
  }
  return bytes - saved(step);
}

uint64_t ScheduleState::levelAfter(uint32_t step) const {
  uint64_t bytes = alive;
  for (uint32_t buffer : model.touches[step]) {
    const ScheduleBuffer &it = model.problem.buffers[buffer];
    if (!isAlive(buffer)) {
      bytes += it.size;
    }
    if (left[buffer] == 1 && !it.liveAtEnd) {
      bytes -= it.size;
    }
  }
  return bytes;
}

void ScheduleState::execute(uint32_t step) {
  assert(isReady(step));
  alive = levelAfter(step);
  for (uint32_t buffer : model.touches[step]) {
    --left[buffer];
  }
  removeReady(step);
  for (uint32_t next : model.after[step]) {
    if (--missing[next] == 0) {
      addReady(next);
    }
  }
  ++done;
}

void ScheduleState::undo(uint32_t step) {
  --done;
  for (uint32_t next : model.after[step]) {
    if (missing[next]++ == 0) {
      removeReady(next);
    }
  }
  addReady(step);
  for (uint32_t buffer : model.touches[step]) {
    ++left[buffer];
    const ScheduleBuffer &it = model.problem.buffers[buffer];
    if (left[buffer] == 1 && !it.liveAtEnd) {
      alive += it.size;
    }
    if (!isAlive(buffer)) {
      alive -= it.size;
    }
  }
}

void ScheduleState::addReady(uint32_t step) {
  place[step] = readySteps.size();
  readySteps.push_back(step);
}

void ScheduleState::removeReady(uint32_t step) {
  uint32_t last = readySteps.back();
  readySteps[place[step]] = last;
  place[last] = place[step];
  place[step] = kNowhere;
  readySteps.pop_back();
}

} // namespace llmc::solver
