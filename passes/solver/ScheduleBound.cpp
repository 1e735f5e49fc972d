//===- ScheduleBound.cpp - What no order can avoid -------------*- C++ -*-===//

#include "passes/solver/ScheduleBound.h"

#include <algorithm>
#include <bit>

namespace llmc::solver {

namespace {

/// No more than this can be saved at the step, whatever came before: every
/// buffer takes part once at most.
uint64_t mostSaved(const ScheduleModel &model, uint32_t step,
                   const Reach *reach) {
  std::vector<std::pair<uint32_t, uint64_t>> froms, intos;
  auto offer = [](auto &list, uint32_t buffer, uint64_t bytes) {
    for (auto &[other, most] : list) {
      if (other == buffer) {
        most = std::max(most, bytes);
        return;
      }
    }
    list.emplace_back(buffer, bytes);
  };
  for (uint32_t index : model.takes[step]) {
    const ScheduleModel::Candidate &it = model.candidates[index];
    bool possible = true;
    for (uint32_t other : model.touchers[it.from]) {
      possible &=
          !reach || other == step || !StepSets::has(reach->later[step], other);
    }
    for (uint32_t other : model.touchers[it.into]) {
      possible &= !reach || other == step ||
                  !StepSets::has(reach->earlier[step], other);
    }
    if (possible) {
      offer(froms, it.from, it.bytes);
      offer(intos, it.into, it.bytes);
    }
  }
  uint64_t byFrom = 0, byInto = 0;
  for (const auto &[buffer, bytes] : froms) {
    byFrom += bytes;
  }
  for (const auto &[buffer, bytes] : intos) {
    byInto += bytes;
  }
  return std::min(byFrom, byInto);
}

uint64_t alwaysAlive(const ScheduleModel &model) {
  uint64_t bytes = 0;
  for (const ScheduleModel::Buffer &it : model.buffers) {
    bool always = it.touches == 0 ? it.liveAtStart || it.liveAtEnd
                                  : it.liveAtStart && it.liveAtEnd;
    bytes += always ? it.size : 0;
  }
  return bytes;
}

} // namespace

Reach::Reach(const ScheduleModel &model)
    : later(model.steps, model.steps), earlier(model.steps, model.steps) {
  for (uint32_t step = 0; step < model.steps; ++step) {
    StepSets::add(earlier[step], step);
    for (uint32_t before : model.before[step]) {
      StepSets::join(earlier[step], earlier[before]);
    }
  }
  for (uint32_t step = model.steps; step-- > 0;) {
    StepSets::add(later[step], step);
    for (uint32_t after : model.after[step]) {
      StepSets::join(later[step], later[after]);
    }
  }
}

std::vector<uint64_t> Reach::begunAt(const ScheduleModel &model,
                                     uint32_t buffer) const {
  const ScheduleModel::Buffer &it = model.buffers[buffer];
  std::vector<uint64_t> set((model.steps + 63) / 64,
                            it.liveAtStart ? UINT64_MAX : 0);
  for (uint32_t step : model.touchers[buffer]) {
    StepSets::join(set, later[step]);
  }
  return set;
}

std::vector<uint64_t> Reach::neededAt(const ScheduleModel &model,
                                      uint32_t buffer) const {
  const ScheduleModel::Buffer &it = model.buffers[buffer];
  std::vector<uint64_t> set((model.steps + 63) / 64,
                            it.liveAtEnd ? UINT64_MAX : 0);
  for (uint32_t step : model.touchers[buffer]) {
    StepSets::join(set, earlier[step]);
  }
  return set;
}

std::vector<uint64_t> workingSets(const ScheduleModel &model,
                                  const Reach &reach) {
  std::vector<uint64_t> bytes(model.steps, alwaysAlive(model));
  for (uint32_t buffer = 0; buffer < model.buffers.size(); ++buffer) {
    const ScheduleModel::Buffer &it = model.buffers[buffer];
    if (it.touches == 0 || (it.liveAtStart && it.liveAtEnd)) {
      continue;
    }
    std::vector<uint64_t> begun = reach.begunAt(model, buffer);
    std::vector<uint64_t> needed = reach.neededAt(model, buffer);
    for (uint32_t word = 0; word < begun.size(); ++word) {
      for (uint64_t set = begun[word] & needed[word]; set; set &= set - 1) {
        uint32_t step = word * 64 + std::countr_zero(set);
        if (step < model.steps) {
          bytes[step] += it.size;
        }
      }
    }
  }
  for (uint32_t step = 0; step < model.steps; ++step) {
    bytes[step] -= std::min(bytes[step], mostSaved(model, step, &reach));
  }
  return bytes;
}

uint64_t quickBound(const ScheduleModel &model) {
  uint64_t always = alwaysAlive(model);
  uint64_t atStart = 0, atEnd = 0, most = 0;
  for (const ScheduleModel::Buffer &it : model.buffers) {
    bool counts = it.touches > 0 || it.liveAtStart || it.liveAtEnd;
    atStart += it.liveAtStart || (counts && it.touches == 0) ? it.size : 0;
    atEnd += it.liveAtEnd || (counts && it.touches == 0) ? it.size : 0;
  }
  for (uint32_t step = 0; step < model.steps; ++step) {
    uint64_t bytes = always;
    for (uint32_t buffer : model.touches[step]) {
      const ScheduleModel::Buffer &it = model.buffers[buffer];
      bytes += it.liveAtStart && it.liveAtEnd ? 0 : it.size;
    }
    most = std::max(most,
                    bytes - std::min(bytes, mostSaved(model, step, nullptr)));
  }
  return std::max({most, atStart, atEnd});
}

std::vector<uint32_t> forcedCuts(const ScheduleModel &model) {
  // Step v is a barrier if no step has all its predecessors before v while it
  // is after v itself, and none the mirror image. Counted as differences.
  uint32_t steps = model.steps;
  std::vector<int64_t> passing(steps + 1);
  auto passes = [&](uint32_t begin, uint32_t end) { // v in [begin, end)
    if (begin < end) {
      ++passing[begin];
      --passing[end];
    }
  };
  for (uint32_t step = 0; step < steps; ++step) {
    std::span<const uint32_t> before = model.before[step];
    std::span<const uint32_t> after = model.after[step];
    passes(before.empty() ? 0 : before.back() + 1, step); // ascending
    passes(step + 1, after.empty() ? steps : after.front());
  }
  std::vector<uint32_t> cuts = {0};
  int64_t count = 0;
  auto cut = [&](uint32_t position) {
    if (cuts.back() != position) {
      cuts.push_back(position);
    }
  };
  for (uint32_t step = 0; step < steps; ++step) {
    count += passing[step];
    if (count == 0) {
      cut(step);
      cut(step + 1);
    }
  }
  cut(steps);
  return cuts;
}

} // namespace llmc::solver
