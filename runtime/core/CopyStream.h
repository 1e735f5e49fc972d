//===- CopyStream.h - The transfer thread of the disk link -----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// One thread walks the copy stream of the entry that runs: reads pieces of the
// weights file into their slots, signals and waits. Files are read, never
// mapped: a truncated file is an error, not a SIGBUS.
//
// A compute stream that has to wait for a copy that nobody has begun makes it
// itself: handing small copies to a thread that may not be running costs more
// than the copies. Whoever holds `turn` walks the stream, in order.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_COPYSTREAM_H
#define LLMC_RUNTIME_CORE_COPYSTREAM_H

#include "runtime/core/Events.h"
#include "runtime/core/Profiler.h"
#include "runtime/core/Schedule.h"

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

namespace llmc {

/// An open weights file; offsets of segments count from `base`.
struct WeightsSource {
  int fd = -1;
  uint64_t base = 0;
  std::string path;
};

/// A read that failed: where, and errno (0: the file ends too early).
struct ReadFailure {
  bool failed = false;
  uint64_t offset = 0;
  int error = 0;
};

/// Reads all of [offset, offset + bytes) of the file. Gives up early, without
/// failure, once `events` says that `epoch` was aborted (nullptr: never).
ReadFailure readFully(const WeightsSource &source, uint64_t offset,
                      uint8_t *target, uint64_t bytes,
                      const Events *events = nullptr, uint32_t epoch = 0);

/// The message for a failed read.
Error describe(const WeightsSource &source, const ReadFailure &failure);

class CopyStream {
public:
  CopyStream(const WeightsSource &source, Events &events, Profiler *profiler);
  ~CopyStream();
  CopyStream(const CopyStream &) = delete;
  CopyStream &operator=(const CopyStream &) = delete;

  /// Starts the copy stream of one run. `entry` is the schedule's index.
  void start(const Schedule &schedule, uint32_t entry, uint32_t epoch);

  /// Called by the compute stream before it waits for `event`: walks the copy
  /// stream up to there, unless the thread is at it.
  void help(uint32_t event, uint32_t epoch);

  /// Ends that run's copy stream: it is walked to its end, or the run was
  /// aborted, and the thread will not touch memory for it any more.
  ReadFailure finish(uint32_t epoch);

private:
  void loop();
  /// Walks on from `position` until `until` is signalled (kNone: to the end) or
  /// an event is missing, which is returned; kNone if there is nothing more to
  /// do. The caller holds `turn`.
  uint32_t advance(uint32_t until);

  const WeightsSource &source;
  Events &events;
  Profiler *profiler;
  std::mutex turn; // guards the next five
  const Schedule *schedule = nullptr;
  uint32_t entry = 0;
  uint32_t current = 0; // epoch
  size_t position = 0;  // in copyOrder
  ReadFailure failure;
  std::atomic<uint32_t> requested{0};
  std::atomic<bool> quit{false};
  std::atomic<bool> started{false};
  std::thread thread;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_COPYSTREAM_H
