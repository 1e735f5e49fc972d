//===- CopyStream.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/CopyStream.h"

#include "runtime/support/Stack.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

using namespace llmc;

// Small enough that an abort is seen soon, large enough to cost nothing.
static constexpr uint64_t kReadChunk = uint64_t(8) << 20;

ReadFailure llmc::readFully(const WeightsSource &source, uint64_t offset,
                            uint8_t *target, uint64_t bytes,
                            const Events *events, uint32_t epoch) {
  uint64_t done = 0;
  while (done < bytes) {
    if (events && events->aborted(epoch)) {
      break;
    }
    const uint64_t at = source.base + offset + done;
    const ssize_t got =
        pread(source.fd, target + done, std::min(bytes - done, kReadChunk),
              static_cast<off_t>(at));
    if (got > 0) {
      done += static_cast<uint64_t>(got);
    } else if (got == 0) {
      return {true, at, 0};
    } else if (errno != EINTR) {
      return {true, at, errno};
    }
  }
  return {};
}

Error llmc::describe(const WeightsSource &source, const ReadFailure &failure) {
  if (failure.error == 0) {
    return {ErrorCode::WeightsTruncated, source.path +
                                             ": the file ends before byte " +
                                             std::to_string(failure.offset)};
  }
  return {ErrorCode::TransferFailed, source.path + ": cannot read at byte " +
                                         std::to_string(failure.offset) + ": " +
                                         std::strerror(failure.error) +
                                         " (errno " +
                                         std::to_string(failure.error) + ")"};
}

CopyStream::CopyStream(const WeightsSource &source, Events &events,
                       Profiler *profiler)
    : source(source), events(events), profiler(profiler),
      thread([this] { loop(); }) {
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
    position = 0;
    failure = {};
  }
  requested.store(epoch, std::memory_order_release);
  requested.notify_all();
}

void CopyStream::help(uint32_t event, uint32_t epoch) {
  std::unique_lock<std::mutex> hold(turn, std::try_to_lock);
  if (hold && current == epoch) {
    advance(event);
  }
}

ReadFailure CopyStream::finish(uint32_t epoch) {
  // All that the compute stream signals is signalled by now.
  std::lock_guard<std::mutex> hold(turn);
  if (current == epoch) {
    advance(plan::kNone);
  }
  return failure;
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

uint32_t CopyStream::advance(uint32_t until) {
  while (position < schedule->copyOrder.size()) {
    const Action &action = schedule->actions[schedule->copyOrder[position]];
    if (events.aborted(current) ||
        (until != plan::kNone && events.signalled(until, current))) {
      return plan::kNone;
    }
    const uint64_t begin = profiler ? nowNanoseconds() : 0;
    switch (action.kind) {
    case plan::StepKind::Copy:
      failure = readFully(source, action.fileOffset, action.target,
                          action.bytes, &events, current);
      if (failure.failed) {
        events.abort(current);
        return plan::kNone;
      }
      break;
    case plan::StepKind::Signal:
      events.signal(action.event, current);
      break;
    case plan::StepKind::Wait:
      if (!events.signalled(action.event, current)) {
        return action.event;
      }
      break;
    case plan::StepKind::Launch:
      break; // refused by Schedule::build
    }
    ++position;
    if (profiler) {
      profiler->record(entry, action.step, begin, nowNanoseconds());
    }
  }
  return plan::kNone;
}
