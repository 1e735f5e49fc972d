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
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_COPYSTREAM_H
#define LLMC_RUNTIME_CORE_COPYSTREAM_H

#include "runtime/core/Events.h"
#include "runtime/core/Profiler.h"
#include "runtime/core/Schedule.h"

#include <atomic>
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

  /// Waits until that run's copy stream has ended, well or not.
  ReadFailure finish(uint32_t epoch);

private:
  void loop();
  void walk(const Schedule &schedule, uint32_t entry, uint32_t epoch);

  const WeightsSource &source;
  Events &events;
  Profiler *profiler;
  const Schedule *schedule = nullptr;
  uint32_t entry = 0;
  ReadFailure failure;
  std::atomic<uint32_t> requested{0};
  std::atomic<uint32_t> finished{0};
  std::atomic<bool> quit{false};
  std::thread thread;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_COPYSTREAM_H
