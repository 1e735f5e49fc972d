//===- CopyStream.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/CopyStream.h"

#include "runtime/support/Stack.h"

#include <cstring>

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
    rowsBegun = 0;
    failure = {};
  }
  requested.store(epoch, std::memory_order_release);
  requested.notify_all();
}

/// Where the walking thread reads itself, a read belongs where it is waited
/// for.
static bool readsItself(const io::TransferEngine &engine) {
  return engine.method() == io::Method::Cached;
}

void CopyStream::nudge(uint32_t epoch) {
  bool helps = false;
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    helps |= engine && !readsItself(*engine);
  }
  if (!helps) {
    return;
  }
  std::unique_lock<std::mutex> hold(turn, std::try_to_lock);
  if (hold && current == epoch && !events.aborted(epoch)) {
    pump(Reads::InBackground); // makes room
    issue(Reads::InBackground);
    pump(Reads::InBackground);
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
  Pending own;
  uint64_t rows = 0;
  Begun begun = Begun::Part;
  while (!readFailed(result) &&
         (begun = tryBegin(action, rows, own)) == Begun::Part) {
    for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
      if (engine) {
        engine->pump(true);
      }
    }
  }
  if (begun == Begun::OutOfRange) {
    result.outOfRange = &action;
    return result;
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

void CopyStream::pump(Reads reads) {
  for (io::TransferEngine *engine : {sources.weights, sources.spilled}) {
    if (engine && (reads == Reads::All || !readsItself(*engine))) {
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
         action.kind == plan::StepKind::Restore ||
         action.kind == plan::StepKind::SwapIn;
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

CopyStream::Begun CopyStream::tryBegin(const Action &action, uint64_t &rows,
                                       Pending &pending) {
  if (action.indices) {
    return beginRows(action, rows, pending);
  }
  if (blocked(action)) {
    return Begun::Part;
  }
  begin(action, pending);
  return Begun::All;
}

/// Index `i` counted from the front; -1 if it is out of range. As Gather does.
static int64_t rowAt(const Action &action, uint64_t i) {
  const void *data = action.indices->data;
  const int64_t index = action.indices->dtype == plan::DType::I32
                            ? static_cast<const int32_t *>(data)[i]
                            : static_cast<const int64_t *>(data)[i];
  const int64_t row = index < 0 ? index + action.rows : index;
  return row < 0 || row >= action.rows ? -1 : row;
}

CopyStream::Begun CopyStream::beginRows(const Action &action, uint64_t &rows,
                                        Pending &pending) {
  io::TransferEngine &engine = *sources.weights;
  const auto count = static_cast<uint64_t>(action.indices->numElements());
  const uint64_t room = action.bytes / action.rowBytes;
  if (rows == 0) {
    pending.isEmpty = true;
    // The indices may come by a copy of their own.
    const auto *indices = static_cast<const uint8_t *>(action.indices->data);
    const uint64_t width = plan::bitWidth(action.indices->dtype) / 8;
    for (io::TransferEngine *any : {sources.weights, sources.spilled}) {
      if (any && (any->conflicts(action.target, action.bytes) ||
                  any->conflicts(indices, count * width))) {
        return Begun::Part;
      }
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (i == room || rowAt(action, i) < 0) { // the checker bounds the count
        return Begun::OutOfRange;
      }
    }
    const uint64_t filled = count * action.rowBytes;
    std::memset(action.target + filled, 0, action.bytes - filled);
  }
  while (rows < count) {
    if (engine.full()) {
      return Begun::Part;
    }
    // Neighbours are one read, as long as it stays a small one.
    const auto first = static_cast<uint64_t>(rowAt(action, rows));
    uint64_t run = 1;
    while (rows + run < count &&
           (run + 1) * action.rowBytes < io::kSmallTransfer &&
           static_cast<uint64_t>(rowAt(action, rows + run)) == first + run) {
      ++run;
    }
    pending.isEmpty = false;
    pending.transfer = engine.begin(action.fileOffset + first * action.rowBytes,
                                    action.target + rows * action.rowBytes,
                                    run * action.rowBytes);
    rows += run;
  }
  return Begun::All;
}

uint32_t CopyStream::issue(Reads reads) {
  const std::vector<uint32_t> &order = schedule->copyOrder;
  for (; issued < order.size(); ++issued) {
    const Action &action = schedule->actions[order[issued]];
    pending[issued].begin = profiler ? nowNanoseconds() : 0;
    if (isTransfer(action)) {
      if (reads == Reads::InBackground && readsItself(*sources.of(action))) {
        return plan::kNone;
      }
      const Begun begun = tryBegin(action, rowsBegun, pending[issued]);
      if (begun != Begun::All) {
        failure.outOfRange = begun == Begun::OutOfRange ? &action : nullptr;
        return plan::kNone;
      }
      rowsBegun = 0;
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
    const uint32_t missing = issue(Reads::All);
    // What has just arrived makes room before its checksum takes time.
    pump(Reads::All);
    if (failure.outOfRange || !retire()) {
      events.abort(current);
      return plan::kNone;
    }
    if (retired == schedule->copyOrder.size()) {
      return plan::kNone;
    }
    if (retired != before) {
      continue;
    }
    if (retired == issued && rowsBegun == 0) {
      return missing;
    }
    // The oldest that is not complete; both files go on meanwhile.
    const Action &oldest = schedule->actions[schedule->copyOrder[retired]];
    sources.of(oldest)->pump(true);
  }
}
