//===- ScheduleSearch.cpp - Is there an order within a budget? -*- C++ -*-===//

#include "passes/solver/ScheduleSearch.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace llmc::solver {

namespace {

/// Steps whose working set is watched during the search.
constexpr uint32_t kTight = 16;
/// Longest safe run that is looked for.
constexpr uint32_t kRun = 12;

/// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t scramble(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

} // namespace

Refuted::Refuted() : entries(256) {}

size_t Refuted::slotOf(StepSetKey key) const {
  size_t slot = key.low & (entries.size() - 1);
  while (entries[slot].threshold != 0 && !(entries[slot].key == key)) {
    slot = (slot + 1) & (entries.size() - 1);
  }
  return slot;
}

uint64_t Refuted::find(StepSetKey key) const {
  return entries[slotOf(key)].threshold;
}

void Refuted::insert(StepSetKey key, uint64_t threshold) {
  if (2 * (used + 1) > entries.size()) {
    std::vector<Entry> old(2 * entries.size());
    old.swap(entries);
    for (const Entry &entry : old) {
      if (entry.threshold != 0) {
        entries[slotOf(entry.key)] = entry;
      }
    }
  }
  Entry &entry = entries[slotOf(key)];
  used += entry.threshold == 0;
  entry.key = key;
  entry.threshold = std::max(entry.threshold, threshold);
}

ScheduleSearch::ScheduleSearch(const ScheduleModel &model,
                               const ScheduleModel &mirror, const Reach *reach)
    : model(model), mirror(mirror), state(model), random(model.steps),
      inTail(model.steps), ran(model.steps) {
  for (uint32_t step = 0; step < model.steps; ++step) {
    random[step] = {scramble(2 * step), scramble(2 * step + 1)};
  }
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  if (reach) {
    std::vector<uint64_t> bytes = workingSets(model, *reach);
    tight.resize(model.steps);
    std::iota(tight.begin(), tight.end(), 0);
    std::sort(tight.begin(), tight.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(bytes[b], a) < std::pair(bytes[a], b);
    });
    tight.resize(std::min(model.steps, kTight));
    for (uint32_t step : tight) {
      atTight.push_back(bytes[step]);
    }
    for (uint32_t buffer = 0; buffer < model.buffers.size(); ++buffer) {
      std::vector<uint64_t> begun = reach->begunAt(model, buffer);
      std::vector<uint64_t> needed = reach->neededAt(model, buffer);
      for (uint32_t i = 0; i < tight.size(); ++i) {
        if (StepSets::has(needed, tight[i]) &&
            !StepSets::has(begun, tight[i])) {
          pairs.emplace_back(buffer, i);
        }
      }
    }
  }
  lateFor = Rows(model.buffers.size(), pairs);
}

OrderVerdict ScheduleSearch::run(uint64_t limit, uint64_t nodes) {
  budget = limit;
  stop = spent + nodes;
  undoTo(0);
  frames.clear();
  choices.clear();
  if (state.level() > budget) {
    refused = state.level();
    return OrderVerdict::Impossible;
  }
  findTail();
  Entered entered = enter();
  while (true) {
    if (entered == Entered::Complete) {
      path.insert(path.end(), tail.begin(), tail.end());
      return OrderVerdict::Found;
    }
    if (entered == Entered::Stopped) {
      return OrderVerdict::Unknown;
    }
    if (frames.empty()) {
      assert(refused > budget);
      return OrderVerdict::Impossible;
    }
    Frame &frame = frames.back();
    undoTo(frame.path);
    if (entered == Entered::Dead) {
      frame.threshold = std::min(frame.threshold, refused);
    }
    if (frame.next == frame.end) {
      refused = frame.threshold;
      refuted.insert(key, refused);
      size_t begin = frames.size() > 1 ? frames[frames.size() - 2].end : 0;
      choices.resize(begin);
      frames.pop_back();
      entered = Entered::Dead;
      continue;
    }
    if (spent >= stop) {
      return OrderVerdict::Unknown;
    }
    execute(choices[frame.next++].step);
    entered = enter();
  }
}

/// Goes on with all that is safe, then lists what can come next.
ScheduleSearch::Entered ScheduleSearch::enter() {
  while (settleOne()) {
    if (spent >= stop) {
      return Entered::Stopped;
    }
  }
  if (state.executed() + tail.size() == model.steps) {
    return Entered::Complete;
  }
  refused = pressure();
  if (refused > budget) {
    return Entered::Dead;
  }
  refused = refuted.find(key);
  if (refused > budget) {
    return Entered::Dead;
  }
  refused = UINT64_MAX;
  size_t begin = choices.size();
  for (uint32_t step : state.ready()) {
    if (inTail[step]) {
      continue;
    }
    ScheduleState::Cost cost = state.cost(step);
    if (cost.during <= budget) {
      choices.push_back({cost.after, cost.during, step});
    } else {
      refused = std::min(refused, cost.during);
    }
  }
  if (choices.size() == begin) {
    refuted.insert(key, refused);
    return Entered::Dead;
  }
  std::sort(choices.begin() + begin, choices.end());
  frames.push_back({path.size(), begin, choices.size(), refused});
  return Entered::Open;
}

/// Executes something that is safe, if there is anything.
bool ScheduleSearch::settleOne() {
  uint32_t least = ScheduleModel::kNone;
  for (uint32_t step : state.ready()) {
    if (!inTail[step] && step < least &&
        state.isSafe(step, state.cost(step), budget)) {
      least = step;
    }
  }
  spent += state.ready().size() / 16;
  if (least != ScheduleModel::kNone) {
    execute(least);
    return true;
  }
  std::vector<uint32_t> starts(state.ready().begin(), state.ready().end());
  std::sort(starts.begin(), starts.end());
  for (uint32_t step : starts) {
    if (!inTail[step] && tryRun(step)) {
      return true;
    }
  }
  return false;
}

/// Executes a safe run that begins with the step, if there is one.
bool ScheduleSearch::tryRun(uint32_t step) {
  size_t begin = path.size();
  uint64_t level = state.level();
  while (path.size() - begin < kRun) {
    ScheduleState::Cost cost = state.cost(step);
    if (cost.during > budget || !state.changesNoOther(step)) {
      break;
    }
    execute(step);
    if (state.level() <= level) {
      return true;
    }
    // On with the one that leaves least; it must have become ready just now.
    Choice best{UINT64_MAX, UINT64_MAX, ScheduleModel::kNone};
    for (uint32_t next : model.after[step]) {
      if (state.isReady(next) && !inTail[next]) {
        ScheduleState::Cost there = state.cost(next);
        best = std::min(best, Choice{there.after, there.during, next});
      }
    }
    if (best.step == ScheduleModel::kNone) {
      break;
    }
    step = best.step;
  }
  undoTo(begin);
  return false;
}

void ScheduleSearch::findTail() {
  tail.clear();
  std::fill(inTail.begin(), inTail.end(), 0);
  ScheduleState back(mirror);
  bool found = back.level() <= budget;
  while (found) {
    found = false;
    for (uint32_t step : back.ready()) {
      if (back.isSafe(step, back.cost(step), budget)) {
        uint32_t here = model.steps - 1 - step;
        tail.push_back(here);
        inTail[here] = 1;
        back.execute(step);
        ++spent;
        found = true;
        break;
      }
    }
  }
  std::reverse(tail.begin(), tail.end());
}

/// The most that is certain to be alive at a step to come.
uint64_t ScheduleSearch::pressure() const {
  uint64_t most = 0;
  for (uint32_t i = 0; i < tight.size(); ++i) {
    if (!ran[tight[i]]) {
      most = std::max(most, atTight[i]);
    }
  }
  return most;
}

void ScheduleSearch::execute(uint32_t step) {
  ran[step] = 1;
  for (uint32_t buffer : model.touches[step]) {
    if (!state.isAlive(buffer)) {
      for (uint32_t i : lateFor[buffer]) {
        atTight[i] += ran[tight[i]] ? 0 : model.buffers[buffer].size;
      }
    }
  }
  state.execute(step);
  path.push_back(step);
  key.low += random[step].low;
  key.high += random[step].high;
  ++spent;
}

void ScheduleSearch::undoTo(size_t length) {
  while (path.size() > length) {
    uint32_t step = path.back();
    path.pop_back();
    if (!ran[step]) {
      continue; // the tail of an order found
    }
    state.undo(step);
    for (uint32_t buffer : model.touches[step]) {
      if (!state.isAlive(buffer)) {
        for (uint32_t i : lateFor[buffer]) {
          atTight[i] -= ran[tight[i]] ? 0 : model.buffers[buffer].size;
        }
      }
    }
    ran[step] = 0;
    key.low -= random[step].low;
    key.high -= random[step].high;
  }
}

} // namespace llmc::solver
