//===- ScheduleModel.cpp - Executing steps one by one ----------*- C++ -*-===//

#include "passes/solver/ScheduleModel.h"

#include <algorithm>
#include <cassert>

namespace llmc::solver {

namespace {

using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;

void note(uint32_t &where, uint32_t step) {
  bool first = where == ScheduleModel::kNone || where == step;
  where = first ? step : ScheduleModel::kSeveral;
}

} // namespace

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

ScheduleModel::ScheduleModel(const ScheduleProblem &problem, bool mirrored)
    : steps(problem.steps) {
  auto at = [&](uint32_t step) { return mirrored ? steps - 1 - step : step; };
  Pairs pairs;
  for (const auto &[first, second] : problem.edges) {
    pairs.emplace_back(at(first), at(second));
    if (mirrored) {
      std::swap(pairs.back().first, pairs.back().second);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  after = Rows(steps, pairs);
  for (auto &pair : pairs) {
    std::swap(pair.first, pair.second);
  }
  before = Rows(steps, pairs);

  pairs.clear();
  for (const ScheduleBuffer &it : problem.buffers) {
    uint32_t index = buffers.size();
    for (uint32_t step : it.steps) {
      pairs.emplace_back(at(step), index);
    }
    buffers.push_back({it.size, static_cast<uint32_t>(it.steps.size()),
                       mirrored ? it.liveAtEnd : it.liveAtStart,
                       mirrored ? it.liveAtStart : it.liveAtEnd});
  }
  touches = Rows(steps, pairs);
  for (auto &pair : pairs) {
    std::swap(pair.first, pair.second);
  }
  touchers = Rows(buffers.size(), pairs);

  pairs.clear();
  for (const Takeover &it : problem.takeovers) {
    const ScheduleBuffer &from = problem.buffers[it.from];
    const ScheduleBuffer &into = problem.buffers[it.into];
    bool held = from.liveAtStart || from.steps.size() > 1;
    if (!held || from.liveAtEnd || into.liveAtStart) {
      continue; // no order can use it
    }
    pairs.emplace_back(at(it.step), candidates.size());
    Candidate candidate{it.from, it.into, into.size};
    if (mirrored) {
      std::swap(candidate.from, candidate.into);
    }
    candidates.push_back(candidate);
    note(buffers[candidate.into].takenOverAt, at(it.step));
  }
  takes = Rows(steps, pairs);
  if (mirrored) {
    // What is saved is the size of the one that dies here: when several may
    // take the same place, another one ready can mean less saved.
    for (uint32_t step = 0; step < steps; ++step) {
      for (uint32_t i : takes[step]) {
        for (uint32_t j : takes[step]) {
          if (candidates[i].into == candidates[j].into &&
              candidates[i].from != candidates[j].from) {
            note(buffers[candidates[i].from].contestedAt, step);
          }
        }
      }
    }
  }
}

ScheduleState::ScheduleState(const ScheduleModel &model)
    : model(model), missing(model.steps), left(model.buffers.size()),
      place(model.steps, kNowhere) {
  for (uint32_t buffer = 0; buffer < left.size(); ++buffer) {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    left[buffer] = it.touches;
    if (it.liveAtStart || (it.liveAtEnd && it.touches == 0)) {
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
  uint64_t bytes = 0;
  taken.clear();
  for (uint32_t index : model.takes[step]) {
    const ScheduleModel::Candidate &it = model.candidates[index];
    bool applies =
        left[it.from] == 1 && left[it.into] == model.buffers[it.into].touches;
    for (uint32_t other : taken) {
      const ScheduleModel::Candidate &earlier = model.candidates[other];
      applies &= earlier.from != it.from && earlier.into != it.into;
    }
    if (applies) {
      taken.push_back(index);
      bytes += it.bytes;
    }
  }
  return bytes;
}

ScheduleState::Cost ScheduleState::cost(uint32_t step) const {
  uint64_t born = 0, dying = 0;
  for (uint32_t buffer : model.touches[step]) {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    born += isAlive(buffer) ? 0 : it.size;
    dying += left[buffer] == 1 && !it.liveAtEnd ? it.size : 0;
  }
  return {alive + born - saved(step), alive + born - dying};
}

bool ScheduleState::changesNoOther(uint32_t step) const {
  for (uint32_t buffer : model.touches[step]) {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    bool takes = it.takenOverAt != ScheduleModel::kNone &&
                 it.takenOverAt != step && !isAlive(buffer);
    bool contests =
        it.contestedAt != ScheduleModel::kNone && it.contestedAt != step;
    if (takes || contests) {
      return false;
    }
  }
  return true;
}

void ScheduleState::execute(uint32_t step) {
  assert(isReady(step));
  for (uint32_t buffer : model.touches[step]) {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    alive += isAlive(buffer) ? 0 : it.size;
    --left[buffer];
    alive -= left[buffer] == 0 && !it.liveAtEnd ? it.size : 0;
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
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    alive += left[buffer] == 0 && !it.liveAtEnd ? it.size : 0;
    ++left[buffer];
    alive -= isAlive(buffer) ? 0 : it.size;
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

uint64_t peakOf(const ScheduleModel &model, std::span<const uint32_t> order) {
  ScheduleState state(model);
  uint64_t peak = state.level();
  for (uint32_t step : order) {
    peak = std::max(peak, state.cost(step).during);
    state.execute(step);
  }
  return peak;
}

std::vector<uint64_t> duringOf(const ScheduleModel &model,
                               std::span<const uint32_t> order) {
  ScheduleState state(model);
  std::vector<uint64_t> during;
  for (uint32_t step : order) {
    during.push_back(state.cost(step).during);
    state.execute(step);
  }
  return during;
}

ScheduleProblem windowOf(const ScheduleModel &model,
                         std::span<const uint32_t> order, uint32_t begin,
                         uint32_t end) {
  ScheduleState state(model);
  for (uint32_t step : order.first(begin)) {
    state.execute(step);
  }
  ScheduleProblem window;
  window.steps = end - begin;
  std::vector<uint32_t> local(model.steps, ScheduleModel::kNone);
  for (uint32_t i = begin; i < end; ++i) {
    local[order[i]] = i - begin;
  }
  std::vector<uint32_t> touched;
  for (uint32_t i = begin; i < end; ++i) {
    for (uint32_t next : model.after[order[i]]) {
      if (local[next] != ScheduleModel::kNone) {
        window.edges.emplace_back(i - begin, local[next]);
      }
    }
    std::span<const uint32_t> of = model.touches[order[i]];
    touched.insert(touched.end(), of.begin(), of.end());
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  ScheduleBuffer others{state.level(), {}, true, true};
  for (uint32_t buffer : touched) {
    ScheduleBuffer it;
    it.size = model.buffers[buffer].size;
    it.liveAtStart = state.isAlive(buffer);
    others.size -= it.liveAtStart ? it.size : 0;
    for (uint32_t step : model.touchers[buffer]) {
      if (local[step] != ScheduleModel::kNone) {
        it.steps.push_back(local[step]);
      }
    }
    std::sort(it.steps.begin(), it.steps.end());
    it.liveAtEnd = model.buffers[buffer].liveAtEnd ||
                   state.touchesLeft(buffer) > it.steps.size();
    window.buffers.push_back(std::move(it));
  }
  auto index = [&](uint32_t buffer) {
    return static_cast<uint32_t>(
        std::lower_bound(touched.begin(), touched.end(), buffer) -
        touched.begin());
  };
  for (uint32_t i = begin; i < end; ++i) {
    for (uint32_t take : model.takes[order[i]]) {
      const ScheduleModel::Candidate &it = model.candidates[take];
      window.takeovers.push_back({i - begin, index(it.from), index(it.into)});
    }
  }
  window.buffers.push_back(std::move(others));
  return window;
}

} // namespace llmc::solver
