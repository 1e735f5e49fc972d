//===- CopyStream.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/CopyStream.h"

#include "runtime/support/Stack.h"

using namespace llmc;

CopyStream::CopyStream(io::TransferEngine &engine, FirstUse &firstUse,
                       Events &events, Profiler *profiler, size_t longest)
    : engine(engine), firstUse(firstUse), events(events), profiler(profiler),
      pending(longest), thread([this] { loop(); }) {
  started.wait(false); // its first touches are part of the load
}

CopyStream::~CopyStream() {
  quit.store(true, std::memory_order_release);
  requested.fetch_add(1, std::memory_order_release);
  requested.notify_all();
  thread.join();
}

void CopyStream::start(const Schedule &newSchedule, uint32_t newEntry,
                       uint32_t epoch) {
  {
    std::lock_guard<std::mutex> hold(turn);
    schedule = &newSchedule;
    entry = newEntry;
    current = epoch;
    issued = retired = 0;
    failure = {};
  }
  requested.store(epoch, std::memory_order_release);
  requested.notify_all();
}

void CopyStream::nudge(uint32_t epoch) {
  // Where the walking thread reads itself, a read belongs where it is waited
  // for.
  if (engine.method() == io::Method::Cached) {
    return;
  }
  std::unique_lock<std::mutex> hold(turn, std::try_to_lock);
  if (hold && current == epoch && !events.aborted(epoch)) {
    engine.pump(false); // makes room
    issue();
    engine.pump(false);
  }
}

void CopyStream::help(uint32_t event, uint32_t epoch) {
  std::unique_lock<std::mutex> hold(turn, std::try_to_lock);
  if (hold && current == epoch) {
    advance(event);
  }
}

CopyFailure CopyStream::finish(uint32_t epoch) {
  // All that the compute stream signals is signalled by now.
  std::lock_guard<std::mutex> hold(turn);
  if (current == epoch) {
    advance(plan::kNone);
    engine.drain(); // after an abort, reads are still in flight
  }
  return failure;
}

CopyFailure CopyStream::copyNow(const Action &action) {
  std::lock_guard<std::mutex> hold(turn);
  CopyFailure result;
  while (!engine.failure().failed &&
         (engine.full() || engine.conflicts(action.target, action.bytes))) {
    engine.pump(true);
  }
  const uint64_t transfer =
      engine.begin(action.fileOffset, action.target, action.bytes);
  while (!engine.failure().failed && engine.completed() <= transfer) {
    engine.pump(true);
  }
  result.read = engine.failure();
  if (!result.read.failed && !firstUse.arrived(action)) {
    result.damaged = action.segment;
  }
  return result;
}

void CopyStream::loop() {
  touchStack();
  started.store(true);
  started.notify_all();
  uint32_t last = 0;
  for (;;) {
    requested.wait(last, std::memory_order_acquire);
    const uint32_t epoch = requested.load(std::memory_order_acquire);
    if (quit.load(std::memory_order_acquire)) {
      return;
    }
    last = epoch;
    for (uint32_t missing = 0; missing != plan::kNone;) {
      {
        std::lock_guard<std::mutex> hold(turn);
        missing = current == epoch ? advance(plan::kNone) : plan::kNone;
      }
      if (missing != plan::kNone) {
        events.wait(missing, epoch);
      }
    }
  }
}

uint32_t CopyStream::issue() {
  const std::vector<uint32_t> &order = schedule->copyOrder;
  for (; issued < order.size(); ++issued) {
    const Action &action = schedule->actions[order[issued]];
    pending[issued].begin = profiler ? nowNanoseconds() : 0;
    if (action.kind == plan::StepKind::Copy) {
      if (engine.full() || engine.conflicts(action.target, action.bytes)) {
        return plan::kNone;
      }
      pending[issued].transfer =
          engine.begin(action.fileOffset, action.target, action.bytes);
    } else if (action.kind == plan::StepKind::Wait &&
               !events.signalled(action.event, current)) {
      return action.event;
    }
  }
  return plan::kNone;
}

bool CopyStream::retire() {
  for (; retired < issued; ++retired) {
    const Action &action = schedule->actions[schedule->copyOrder[retired]];
    if (action.kind == plan::StepKind::Copy) {
      if (engine.completed() <= pending[retired].transfer) {
        break;
      }
      if (!firstUse.arrived(action)) {
        failure.damaged = action.segment;
        return false;
      }
    } else if (action.kind == plan::StepKind::Signal) {
      events.signal(action.event, current);
    }
    if (profiler) {
      profiler->record(entry, action.step, pending[retired].begin,
                       nowNanoseconds());
    }
  }
  if (engine.failure().failed) {
    failure.read = engine.failure();
    return false;
  }
  return true;
}

uint32_t CopyStream::advance(uint32_t until) {
  for (;;) {
    if (events.aborted(current) ||
        (until != plan::kNone && events.signalled(until, current))) {
      return plan::kNone;
    }
    const size_t before = retired;
    const uint32_t missing = issue();
    // What has just arrived makes room before its checksum takes time.
    engine.pump(false);
    if (!retire()) {
      events.abort(current);
      return plan::kNone;
    }
    if (retired == schedule->copyOrder.size()) {
      return plan::kNone;
    }
    if (retired != before) {
      continue;
    }
    if (engine.idle()) {
      return missing;
    }
    engine.pump(true);
  }
}
