//===- ThreadPool.cpp - Worker threads of the host kernels ----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A job is published by one store to `gate` = (generation, open bit, number of
// workers that joined). A worker joins an open job by counting itself in; the
// caller takes part, closes the gate when no task is left, and waits only for
// those who joined. A worker that the system has not scheduled in time costs
// nothing.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/ThreadPool.h"

#include "runtime/support/Stack.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace llmc::kernels {

namespace {
constexpr uint64_t kJoinedMask = 0xffff;
constexpr uint64_t kOpen = 0x10000;
constexpr uint64_t kGenerationStep = 0x20000;
/// Below this many nanoseconds of work the hand-over costs more than it saves.
constexpr int64_t kMinimumSharedCost = 12000;
constexpr int kSpins = 4000;
constexpr int kYields = 64;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
} // namespace

struct ThreadPool::Shared {
  int numThreads = 1;
  std::byte *scratch = nullptr;
  std::vector<std::thread> workers;

  TaskFn fn = nullptr;
  const void *context = nullptr;
  int64_t tasks = 0;

  alignas(64) std::atomic<uint64_t> gate{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> done{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<int> ready{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;

  void work(int thread) {
    TaskFn call = fn;
    const void *data = context;
    int64_t count = tasks;
    for (;;) {
      int64_t task = next.fetch_add(1, std::memory_order_relaxed);
      if (task >= count) {
        return;
      }
      call(data, task, thread);
    }
  }

  /// Returns the first gate value with another generation than `seen`.
  uint64_t await(uint64_t seen) {
    auto changed = [&](uint64_t value) {
      return value / kGenerationStep != seen / kGenerationStep;
    };
    for (int i = 0; i < kSpins; ++i) {
      uint64_t value = gate.load(std::memory_order_acquire);
      if (changed(value)) {
        return value;
      }
      pause();
    }
    for (int i = 0; i < kYields; ++i) {
      uint64_t value = gate.load(std::memory_order_acquire);
      if (changed(value)) {
        return value;
      }
      std::this_thread::yield();
    }
    std::unique_lock<std::mutex> lock(mutex);
    sleepers.fetch_add(1);
    uint64_t value = 0;
    wake.wait(lock, [&] { return changed(value = gate.load()); });
    sleepers.fetch_sub(1);
    return value;
  }

  std::byte *scratchOf(int thread) const {
    return scratch + kScratchBytes * thread;
  }

  /// First touch of what a thread works with: part of the load, not of a step.
  void prepare(int thread) {
    touchStack();
    std::memset(scratchOf(thread), 0, kScratchBytes);
    ready.fetch_add(1, std::memory_order_release);
    ready.notify_all();
  }

  void loop(int thread) {
    prepare(thread);
    uint64_t seen = 0;
    for (;;) {
      uint64_t value = await(seen);
      seen = value;
      if (stop.load()) {
        return;
      }
      while ((value & kOpen) &&
             value / kGenerationStep == seen / kGenerationStep) {
        if (gate.compare_exchange_weak(value, value + 1,
                                       std::memory_order_acq_rel)) {
          work(thread);
          done.fetch_add(1, std::memory_order_release);
          break;
        }
      }
    }
  }

  /// Opens a new generation and wakes whoever sleeps. Sequential consistency
  /// orders the store against a sleeper's count and last look at the gate.
  void publish(uint64_t flags) {
    uint64_t generation = gate.load(std::memory_order_relaxed) /
                              kGenerationStep * kGenerationStep +
                          kGenerationStep;
    gate.store(generation | flags);
    if (sleepers.load() > 0) {
      std::lock_guard<std::mutex> lock(mutex);
      wake.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads) : shared(new Shared) {
  if (threads <= 0) {
    threads = static_cast<int>(std::thread::hardware_concurrency());
  }
  threads = threads < 1 ? 1 : (threads > 1024 ? 1024 : threads);
  shared->numThreads = threads;
  shared->scratch = static_cast<std::byte *>(
      ::operator new(kScratchBytes * threads, std::align_val_t(64)));
  shared->workers.reserve(threads - 1);
  for (int i = 1; i < threads; ++i) {
    shared->workers.emplace_back([s = shared, i] { s->loop(i); });
  }
  shared->prepare(0);
  for (int n = 0; (n = shared->ready.load()) != threads;) {
    shared->ready.wait(n);
  }
}

ThreadPool::~ThreadPool() {
  shared->stop.store(true);
  shared->publish(0);
  for (std::thread &worker : shared->workers) {
    worker.join();
  }
  ::operator delete(shared->scratch, std::align_val_t(64));
  delete shared;
}

int ThreadPool::numThreads() const { return shared->numThreads; }

void *ThreadPool::scratch(int thread) const {
  return shared->scratchOf(thread);
}

void ThreadPool::run(int64_t tasks, int64_t cost, TaskFn fn,
                     const void *context) {
  if (tasks <= 0) {
    return;
  }
  if (tasks == 1 || shared->numThreads == 1 ||
      cost < kMinimumSharedCost / tasks) {
    for (int64_t task = 0; task < tasks; ++task) {
      fn(context, task, 0);
    }
    return;
  }
  Shared &s = *shared;
  s.fn = fn;
  s.context = context;
  s.tasks = tasks;
  s.next.store(0, std::memory_order_relaxed);
  s.done.store(0, std::memory_order_relaxed);
  s.publish(kOpen);
  s.work(0);
  uint64_t joined = s.gate.fetch_and(~kOpen) & kJoinedMask;
  for (int i = 0; s.done.load(std::memory_order_acquire) != joined; ++i) {
    if (i < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

} // namespace llmc::kernels
