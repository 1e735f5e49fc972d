//===- kernels_pool.cpp - Tests of the thread pool ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace llmc::kernels;

TEST(ThreadPool, RunsEachTaskOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.numThreads(), threads);
    for (int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(tasks);
      pool.parallelFor(tasks, [&](int64_t task, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, threads);
        hits[task].fetch_add(1);
      });
      for (int64_t i = 0; i < tasks; ++i) {
        ASSERT_EQ(hits[i].load(), 1) << i;
      }
    }
  }
}

TEST(ThreadPool, ManyShortJobs) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  for (int job = 0; job < 20000; ++job) {
    pool.parallelFor(5, [&](int64_t task, int) {
      sum.fetch_add(task + job, std::memory_order_relaxed);
    });
  }
  EXPECT_EQ(sum.load(), int64_t{20000} * 10 + 5 * (int64_t{19999} * 20000 / 2));
}

TEST(ThreadPool, WorkersWakeAfterSleeping) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // Task 0 waits for task 1: both threads have to take part.
    std::atomic<int> arrived{0};
    pool.parallelFor(2, [&](int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) {
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(arrived.load(), 2);
  }
}

TEST(ThreadPool, SmallWorkStaysOnTheCaller) {
  ThreadPool pool(4);
  std::thread::id caller = std::this_thread::get_id();
  pool.parallelFor(
      8,
      [&](int64_t, int thread) {
        EXPECT_EQ(thread, 0);
        EXPECT_EQ(std::this_thread::get_id(), caller);
      },
      /*cost=*/10);
}

TEST(ThreadPool, ScratchIsPerThreadAndAligned) {
  ThreadPool pool(3);
  for (int i = 0; i < 3; ++i) {
    auto address = reinterpret_cast<uintptr_t>(pool.scratch(i));
    EXPECT_EQ(address % 64, 0u);
    std::memset(pool.scratch(i), i, ThreadPool::kScratchBytes);
  }
  for (int i = 0; i < 3; ++i) {
    auto *bytes = static_cast<uint8_t *>(pool.scratch(i));
    EXPECT_EQ(bytes[0], i);
    EXPECT_EQ(bytes[ThreadPool::kScratchBytes - 1], i);
  }
}

TEST(Lookup, HasEveryKernel) {
  for (unsigned i = 0; i < llmc::plan::kNumKernels; ++i) {
    EXPECT_NE(lookupHostKernel(static_cast<llmc::plan::KernelId>(i)), nullptr)
        << i;
  }
  EXPECT_EQ(lookupHostKernel(static_cast<llmc::plan::KernelId>(9999)), nullptr);
}

TEST(Lookup, ChoosesAnInstructionSet) {
  std::string before = hostIsa();
  EXPECT_TRUE(setHostIsa("v2"));
  EXPECT_STREQ(hostIsa(), "x86-64-v2");
  EXPECT_FALSE(setHostIsa("v9"));
  EXPECT_STREQ(hostIsa(), "x86-64-v2");
  EXPECT_TRUE(setHostIsa(before.c_str()));
  EXPECT_EQ(hostIsa(), before);
}

TEST(Lookup, RefusesALaunchWithoutPool) {
  Launch empty;
  EXPECT_NE(lookupHostKernel(llmc::plan::KernelId::Linear)(empty), nullptr);
}
