//===- ThreadPool.h - Worker threads of the host kernels -------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Threads and their scratch memory are made once, in the constructor; nothing
// is allocated afterwards. One caller at a time; calls do not nest.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_THREADPOOL_H
#define LLMC_RUNTIME_KERNELS_THREADPOOL_H

#include <cstddef>
#include <cstdint>

namespace llmc::kernels {

class ThreadPool {
public:
  /// Scratch bytes of each thread, 64-byte aligned.
  static constexpr size_t kScratchBytes = 256 * 1024;

  /// `threads` counts the caller; 0 means one per hardware thread.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int numThreads() const;

  /// The scratch of `thread` (0 is the caller). Its contents do not outlive a
  /// task.
  void *scratch(int thread) const;

  /// Calls body(task, thread) once for each task in [0, tasks), on any thread
  /// and in any order, and returns when all are done. `cost` is roughly the
  /// nanoseconds of one task: work too small to share runs on the caller.
  template <class Body>
  void parallelFor(int64_t tasks, const Body &body, int64_t cost = 1 << 20) {
    run(
        tasks, cost,
        [](const void *context, int64_t task, int thread) {
          (*static_cast<const Body *>(context))(task, thread);
        },
        &body);
  }

private:
  using TaskFn = void (*)(const void *context, int64_t task, int thread);
  void run(int64_t tasks, int64_t cost, TaskFn fn, const void *context);

  struct Shared;
  Shared *shared;
};

} // namespace llmc::kernels

#endif // LLMC_RUNTIME_KERNELS_THREADPOOL_H
