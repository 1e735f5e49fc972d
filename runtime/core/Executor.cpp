//===- Executor.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Executor.h"

#include <algorithm>

using namespace llmc;
using namespace llmc::plan;

Executor::Executor(const Plan &plan, const TierMemory &memory,
                   const WeightsSource &source, const CopySources &sources,
                   FirstUse &firstUse, Profiler *profiler, bool poison)
    : plan(plan), memory(memory), source(source), sources(sources),
      firstUse(firstUse), profiler(profiler), poison(poison) {}

Result<std::unique_ptr<Executor>>
Executor::create(const Plan &plan, const TierMemory &memory,
                 const WeightsSource &source, const CopySources &sources,
                 FirstUse &firstUse, kernels::ThreadPool *pool,
                 Profiler *profiler, bool poison, const GeneratedCode *code) {
  std::unique_ptr<Executor> executor(
      new Executor(plan, memory, source, sources, firstUse, profiler, poison));
  uint32_t numEvents = 0;
  size_t longest = 0;
  bool copies = false;
  for (uint32_t i = 0; i < plan.entries.size(); ++i) {
    Result<Schedule> schedule = Schedule::build(plan, i, memory, pool, code);
    if (!schedule) {
      return schedule.error();
    }
    numEvents = std::max(numEvents, plan.entries[i].numEvents);
    longest = std::max(longest, schedule->copyOrder.size());
    copies |= !schedule->copyOrder.empty();
    for (const Action &action : schedule->actions) {
      const bool isRestore = action.kind == StepKind::Restore;
      const bool isSpill = action.kind == StepKind::Spill;
      const bool isSwapIn = action.kind == StepKind::SwapIn;
      const bool isSwap = isSwapIn || action.kind == StepKind::SwapOut;
      if ((isRestore || isSpill || isSwap) &&
          (!sources.spilled || !sources.spill)) {
        return Error{ErrorCode::PlanUnsafe,
                     "entry '" + plan.entries[i].name + "' moves " +
                         (isSwap ? "activations" : "blocks of a state") +
                         " to the spill file, but nothing is spilled"};
      }
      copies |= isRestore || isSwapIn;
      if (isSwapIn) {
        if (Result<void> allowed = sources.spilled->allow(
                action.fileOffset, action.target, action.bytes);
            !allowed) {
          return allowed.error();
        }
      }
      if (isRestore) {
        if (Result<void> allowed = sources.spilled->allow(
                sources.spill->offsetOf(action), action.target, action.bytes);
            !allowed) {
          return allowed.error();
        }
      }
      if (action.kind != StepKind::Copy) {
        continue;
      }
      copies = true;
      io::TransferEngine *engine = sources.weights;
      if (!engine) {
        return Error{ErrorCode::PlanUnsafe,
                     "entry '" + plan.entries[i].name +
                         "' copies weights, but the plan has no weights file"};
      }
      // Rows are small: they go through the page cache.
      if (action.indices) {
        continue;
      }
      if (Result<void> allowed =
              engine->allow(action.fileOffset, action.target, action.bytes);
          !allowed) {
        return allowed.error();
      }
    }
    firstUse.expect(*schedule);
    executor->schedules.push_back(std::move(*schedule));
  }
  executor->events = std::make_unique<Events>(numEvents);
  if (copies) {
    executor->copies = std::make_unique<CopyStream>(
        sources, firstUse, *executor->events, profiler, longest);
  }
  return executor;
}

Error Executor::kernelError(uint32_t entry, const Action &action,
                            kernels::Status status) const {
  const Step &step = plan.entries[entry].steps[action.step];
  return {ErrorCode::KernelFailed,
          "entry '" + plan.entries[entry].name + "' step " +
              std::to_string(action.step) + " '" + step.name + "' (" +
              std::string(name(step.kernel)) + "): " + status};
}

Error Executor::copyError(uint32_t entry, const CopyFailure &failure) const {
  if (failure.outOfRange) {
    // In the words of the launch that this copy stands for.
    const Step &step = plan.entries[entry].steps[failure.outOfRange->step];
    return {ErrorCode::KernelFailed,
            "entry '" + plan.entries[entry].name + "' step " +
                std::to_string(failure.outOfRange->step) + " '" + step.name +
                "' (gather): index out of range"};
  }
  return failure.read.failed
             ? io::describe(failure.below ? sources.spill->source() : source,
                            failure.read)
             : firstUse.mismatch(source, failure.damaged);
}

Result<void> Executor::fillCarried() {
  for (const CarriedSlot &slot : plan.carried) {
    Action fill;
    fill.kind = StepKind::Copy;
    fill.segment = slot.segment;
    fill.sourceOffset = slot.sourceOffset;
    fill.fileOffset = plan.segments[slot.segment].offset + slot.sourceOffset;
    fill.bytes = slot.bytes;
    fill.target = memory.base[0] + slot.offset;
    if (const CopyFailure failure = copies->copyNow(fill); failure.failed()) {
      sources.drain();
      return copyError(0, failure);
    }
  }
  return {};
}

Result<void> Executor::run(uint32_t entry) {
  // A run that stopped early has left anything in them.
  if (stale) {
    if (Result<void> filled = fillCarried(); !filled) {
      return filled;
    }
  }
  Result<void> done = poison ? runSerially(entry) : runStreams(entry);
  stale = !done && copies && !plan.carried.empty();
  return done;
}

Result<void> Executor::runStreams(uint32_t entry) {
  const Schedule &schedule = schedules[entry];
  const bool copying = !schedule.copyOrder.empty();
  ++epoch;
  if (copying) {
    copies->start(schedule, entry, epoch);
  }
  const Action *failed = nullptr;
  kernels::Status status = nullptr;
  CopyFailure ownCopy;
  WriteFailure ownSpill;
  for (uint32_t index : schedule.computeOrder) {
    const Action &action = schedule.actions[index];
    const uint64_t begin = profiler ? nowNanoseconds() : 0;
    bool stop = false;
    switch (action.kind) {
    case StepKind::Launch:
      status = action.kernel(action.launch);
      if (status) {
        failed = &action;
        stop = true;
      }
      break;
    case StepKind::Spill:
    case StepKind::SwapOut:
      ownSpill = sources.spill->take(action);
      stop = ownSpill.failed;
      break;
    case StepKind::Copy: // a synchronous copy, in order with the launches
    case StepKind::Restore:
    case StepKind::SwapIn:
      ownCopy = copies->copyNow(action);
      stop = ownCopy.failed();
      break;
    case StepKind::Signal:
      events->signal(action.event, epoch);
      if (copying) {
        copies->nudge(epoch);
      }
      break;
    case StepKind::Wait:
      if (copying && !events->signalled(action.event, epoch)) {
        copies->help(action.event, epoch);
      }
      stop = !events->wait(action.event, epoch);
      break;
    }
    if (stop) {
      events->abort(epoch);
      break;
    }
    if (profiler) {
      profiler->record(entry, action.step, begin, nowNanoseconds());
    }
  }
  CopyFailure otherCopy;
  if (copying) {
    otherCopy = copies->finish(epoch);
  } else if (ownCopy.failed()) {
    sources.drain();
  }
  if (ownSpill.failed) {
    return sources.spill->describe(ownSpill);
  }
  if (failed) {
    return kernelError(entry, *failed, status);
  }
  if (ownCopy.failed() || otherCopy.failed()) {
    return copyError(entry, ownCopy.failed() ? ownCopy : otherCopy);
  }
  return {};
}

// The plan's own order is one that respects every signal and wait, so the
// streams can be run one step at a time; then "live at this step" is exact.
Result<void> Executor::runSerially(uint32_t entry) {
  const Schedule &schedule = schedules[entry];
  for (const Action &action : schedule.actions) {
    poisonAtStep(entry, action.step);
    const uint64_t begin = profiler ? nowNanoseconds() : 0;
    if (action.kind == StepKind::Launch) {
      if (kernels::Status status = action.kernel(action.launch)) {
        return kernelError(entry, action, status);
      }
    } else if (action.kind == StepKind::Spill ||
               action.kind == StepKind::SwapOut) {
      const WriteFailure failure = sources.spill->take(action);
      if (failure.failed) {
        return sources.spill->describe(failure);
      }
    } else if (action.kind == StepKind::Copy ||
               action.kind == StepKind::Restore ||
               action.kind == StepKind::SwapIn) {
      const CopyFailure failure = copies->copyNow(action);
      if (failure.failed()) {
        sources.drain();
        return copyError(entry, failure);
      }
    }
    if (profiler) {
      profiler->record(entry, action.step, begin, nowNanoseconds());
    }
  }
  return {};
}

void llmc::fillPoison(uint8_t *data, uint64_t bytes) {
  constexpr uint8_t pattern[2] = {0xa0, 0x7f};
  for (uint64_t i = 0; i < bytes; ++i) {
    data[i] = pattern[i % 2];
  }
}

void Executor::poisonAtStep(uint32_t entry, uint32_t step) {
  struct Range {
    uint64_t begin;
    uint64_t end;
  };
  for (int tier = 0; tier < 2; ++tier) {
    std::vector<Range> live;
    std::vector<Range> dead;
    for (const Buffer &b : plan.buffers) {
      if (static_cast<int>(b.tier) != tier || b.size == 0) {
        continue;
      }
      const bool always = b.entry == kNone;
      const bool now = b.entry == entry && b.start <= step && step < b.end;
      if (always || now) {
        live.push_back({b.offset, b.offset + b.size});
      } else if (step != 0 && b.entry == entry && b.end == step) {
        dead.push_back({b.offset, b.offset + b.size});
      }
    }
    // What another entry or the run before left behind goes at step 0; later
    // only what has just died has to be overwritten.
    if (step == 0) {
      dead.push_back({0, memory.size[tier]});
    }
    std::sort(live.begin(), live.end(),
              [](const Range &a, const Range &b) { return a.begin < b.begin; });
    for (const Range &range : dead) {
      uint64_t at = range.begin;
      for (const Range &keep : live) {
        if (keep.end <= at || keep.begin >= range.end) {
          continue;
        }
        if (keep.begin > at) {
          fillPoison(memory.base[tier] + at, keep.begin - at);
        }
        at = std::max(at, keep.end);
      }
      if (at < range.end) {
        fillPoison(memory.base[tier] + at, range.end - at);
      }
    }
  }
}
