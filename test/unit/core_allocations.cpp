//===- core_allocations.cpp - Nothing is allocated after load -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// This executable's own malloc and mmap count the calls of every thread and
// library; sbrk and /proc/self/maps show what the C library does by itself.
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/core/Sampler.h"
#include "runtime/core/Session.h"

#include <atomic>
#include <cerrno>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LLMC_SANITIZED 1
#endif
#endif

static std::atomic<long> allocations{0};

#ifndef LLMC_SANITIZED
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

// operator new of libstdc++ ends here as well.
void *malloc(size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes) {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void *memalign(size_t alignment, size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **out, size_t alignment, size_t bytes) {
  ++allocations;
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : ENOMEM;
}
void *mmap(void *address, size_t bytes, int protection, int flags, int fd,
           off_t offset) noexcept {
  ++allocations;
  return reinterpret_cast<void *>(
      syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}
void *mmap64(void *address, size_t bytes, int protection, int flags, int fd,
             off_t offset) noexcept {
  return mmap(address, bytes, protection, flags, fd, offset);
}
}
#endif

using namespace llmc;
using namespace llmc::test;

static size_t linesOfMaps() {
  std::FILE *file = std::fopen("/proc/self/maps", "r");
  size_t lines = 0;
  for (int c; (c = std::fgetc(file)) != EOF;) {
    lines += c == '\n';
  }
  std::fclose(file);
  return lines;
}

TEST(CoreAllocations, TheCounterCounts) {
#ifdef LLMC_SANITIZED
  GTEST_SKIP() << "the sanitizer owns malloc";
#else
  const long before = allocations;
  delete new volatile int(3);
  std::free(std::malloc(10));
  void *page =
      mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page, 4096);
  EXPECT_GE(allocations - before, 2);
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

    // Opening the maps file allocates; the second look is like the first.
    linesOfMaps();
    const size_t maps = linesOfMaps();
    const void *top = sbrk(0);
    const long before = allocations;
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
    const long after = allocations;
    EXPECT_EQ(after - before, 0);
    EXPECT_EQ(sbrk(0), top);
    EXPECT_EQ(linesOfMaps(), maps);
    EXPECT_TRUE(good);
    EXPECT_GE(steps, 64);
  }
#endif
}
