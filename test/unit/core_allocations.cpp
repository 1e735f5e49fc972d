//===- core_allocations.cpp - Nothing is allocated after load -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// On a plan written by hand; test/e2e/no_alloc.py does the same with models.
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "test/tools/CountAllocations.h"

#include "runtime/core/Sampler.h"
#include "runtime/core/Session.h"

using namespace llmc;
using namespace llmc::test;
using llmc::tools::AllocationCount;

TEST(CoreAllocations, TheCounterCounts) {
#ifdef LLMC_SANITIZED
  GTEST_SKIP() << "the sanitizer owns malloc";
#else
  const long before = AllocationCount::now().calls;
  delete new volatile int(3);
  std::free(std::malloc(10));
  void *page =
      mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page, 4096);
  EXPECT_GE(AllocationCount::now().calls - before, 2);
#endif
}

TEST(CoreAllocations, NoneInPrefillAndDecode) {
#ifdef LLMC_SANITIZED
  GTEST_SKIP() << "the sanitizer owns malloc";
#else
  TemporaryFolder folder;
  for (Placement placement : {Placement::Resident, Placement::Streamed}) {
    SessionOptions options;
    options.threads = 3;
    auto loaded =
        Session::load(writeModel(folder, {.placement = placement}), options);
    ASSERT_TRUE(bool(loaded)) << loaded.error().message;
    Session &session = **loaded;
    Sampler greedy({}, session.vocabulary());
    Sampler sampled({.temperature = 0.8, .topK = 20, .topP = 0.9, .seed = 1},
                    session.vocabulary());
    const std::vector<int64_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

    const AllocationCount before = AllocationCount::now();
    int steps = 0;
    bool good = true;
    while (steps < 64) {
      session.reset();
      auto row = session.prefill(prompt);
      good = good && row;
      while (row && session.past() < session.context()) {
        const int64_t token =
            steps % 2 ? greedy.choose(*row) : sampled.choose(*row);
        row = session.decode(token);
        good = good && row;
        ++steps;
      }
    }
    const AllocationCount after = AllocationCount::now();
    EXPECT_EQ(after.calls - before.calls, 0);
    EXPECT_EQ(after.heapTop, before.heapTop);
    EXPECT_EQ(after.mappings, before.mappings);
    EXPECT_TRUE(good);
    EXPECT_GE(steps, 64);
  }
#endif
}
