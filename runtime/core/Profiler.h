//===- Profiler.h - Time per step, and a trace -----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// All room is taken when the profiler is made; recording never allocates. Each
// step belongs to one stream, so its counters have one writer.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_PROFILER_H
#define LLMC_RUNTIME_CORE_PROFILER_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <atomic>
#include <ctime>
#include <string>
#include <vector>

namespace llmc {

/// Nanoseconds of the monotonic clock.
inline uint64_t nowNanoseconds() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

class Profiler {
public:
  /// `traceEvents` 0: only sums per step.
  Profiler(const plan::Plan &plan, size_t traceEvents);

  void record(uint32_t entry, uint32_t step, uint64_t start, uint64_t end) {
    Sum &sum = sums[entry][step];
    sum.nanoseconds += end - start;
    ++sum.calls;
    if (!events.empty()) {
      const size_t at = used.fetch_add(1, std::memory_order_relaxed);
      if (at < events.size()) {
        events[at] = {entry, step, start, end};
      }
    }
  }

  /// A table with one line per kernel, the most expensive first.
  std::string table() const;

  /// Writes Chrome's trace format (chrome://tracing, Perfetto).
  Result<void> writeTrace(const std::string &path) const;

private:
  struct Sum {
    uint64_t nanoseconds = 0;
    uint64_t calls = 0;
  };
  struct Event {
    uint32_t entry;
    uint32_t step;
    uint64_t start;
    uint64_t end;
  };

  const plan::Plan &plan;
  std::vector<std::vector<Sum>> sums;
  std::vector<Event> events;
  std::atomic<size_t> used{0};
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_PROFILER_H
