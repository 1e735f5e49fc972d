//===- CopyStream.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/CopyStream.h"

#include "runtime/support/Stack.h"

using namespace llmc;

CopyStream::CopyStream(const CopySources &sources, FirstUse &firstUse,
                       Events &events, Profiler *profiler, size_t longest)
    : sources(sources), firstUse(firstUse), events(events), profiler(profiler),
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
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    if (engine && engine->method() == io::Method::Cached) {
      return;
    }
  }
  std::unique_lock<std::mutex> hold(turn, std::try_to_lock);
  if (hold && current == epoch && !events.aborted(epoch)) {
    pump(); // makes room
    issue();
    pump();
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
    sources.drain(); // after an abort, reads are still in flight
  }
  return failure;
}

CopyFailure CopyStream::copyNow(const Action &action) {
  std::lock_guard<std::mutex> hold(turn);
  CopyFailure result;
  while (!readFailed(result) && blocked(action)) {
    for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
      if (engine) {
        engine->pump(true);
      }
    }
  }
  Pending own;
  if (!result.failed()) {
    begin(action, own);
  }
  while (!readFailed(result) && !complete(action, own)) {
    sources.of(action)->pump(true);
  }
  if (!result.failed() && action.kind == plan::StepKind::Copy &&
      !firstUse.arrived(action)) {
    result.damaged = action.segment;
  }
  return result;
}

void CopyStream::pump() {
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    if (engine) {
      engine->pump(false);
    }
  }
}

bool CopyStream::blocked(const Action &action) const {
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    if (engine && engine->conflicts(action.target, action.bytes)) {
      return true;
    }
  }
  return sources.of(action)->full();
}

void CopyStream::begin(const Action &action, Pending &pending) {
  SpillFile::Piece piece{action.fileOffset, action.bytes};
  if (action.kind == plan::StepKind::Restore) {
    piece = sources.spill->restore(action);
  }
  pending.isEmpty = piece.bytes == 0;
  if (!pending.isEmpty) {
    pending.transfer =
        sources.of(action)->begin(piece.offset, action.target, piece.bytes);
  }
}

bool CopyStream::complete(const Action &action, const Pending &pending) const {
  return pending.isEmpty || sources.of(action)->completed() > pending.transfer;
}

bool CopyStream::readFailed(CopyFailure &failure) const {
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    if (engine && engine->failure().failed) {
      failure.read = engine->failure();
      failure.below = engine == sources.spilled;
      return true;
    }
  }
  return false;
}

static bool isTransfer(const Action &action) {
  return action.kind == plan::StepKind::Copy ||
         action.kind == plan::StepKind::Restore;
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
    if (isTransfer(action)) {
      if (blocked(action)) {
        return plan::kNone;
      }
      begin(action, pending[issued]);
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
    if (isTransfer(action)) {
      if (!complete(action, pending[retired])) {
        break;
      }
      if (action.kind == plan::StepKind::Copy && !firstUse.arrived(action)) {
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
  return !readFailed(failure);
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
    pump();
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
    if (retired == issued) {
      return missing;
    }
    // The oldest that is not complete; both files go on meanwhile.
    const Action &oldest = schedule->actions[schedule->copyOrder[retired]];
    sources.of(oldest)->pump(true);
  }
}
