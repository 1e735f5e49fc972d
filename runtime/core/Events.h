//===- Events.h - Signals between the streams of one run -------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An event holds the epoch (number of the run) in which it was signalled last,
// so nothing has to be reset between runs. abort() wakes every waiter of an
// epoch; who wakes looks whether the epoch was aborted.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_EVENTS_H
#define LLMC_RUNTIME_CORE_EVENTS_H

#include <atomic>
#include <cstdint>
#include <memory>

namespace llmc {

class Events {
public:
  explicit Events(uint32_t count)
      : count(count), slots(new std::atomic<uint32_t>[count]()) {}

  void signal(uint32_t event, uint32_t epoch) {
    slots[event].store(epoch, std::memory_order_release);
    slots[event].notify_all();
  }

  /// Whether the event was signalled in this epoch. A thread that lags behind
  /// may ask about an epoch that is over: then it was.
  bool signalled(uint32_t event, uint32_t epoch) const {
    return reached(slots[event].load(std::memory_order_acquire), epoch);
  }

  /// Returns false if the epoch was aborted.
  bool wait(uint32_t event, uint32_t epoch) const {
    for (;;) {
      const uint32_t seen = slots[event].load(std::memory_order_acquire);
      if (reached(seen, epoch)) {
        return !aborted(epoch);
      }
      slots[event].wait(seen, std::memory_order_acquire);
    }
  }

  void abort(uint32_t epoch) {
    abortedEpoch.store(epoch, std::memory_order_release);
    for (uint32_t i = 0; i < count; ++i) {
      signal(i, epoch);
    }
  }

  bool aborted(uint32_t epoch) const {
    return abortedEpoch.load(std::memory_order_acquire) == epoch;
  }

private:
  static bool reached(uint32_t seen, uint32_t epoch) {
    return static_cast<int32_t>(seen - epoch) >= 0; // epochs may wrap around
  }

  uint32_t count;
  std::unique_ptr<std::atomic<uint32_t>[]> slots;
  std::atomic<uint32_t> abortedEpoch{0};
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_EVENTS_H
