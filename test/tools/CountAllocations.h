//===- CountAllocations.h - Every malloc, new, mmap and brk ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Included by one file of an executable: its malloc family and mmap then
// replace the C library's for every thread and library, and count. What the C
// library does past them (brk, the stacks of threads) shows in the top of the
// heap and in /proc/self/maps.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_TOOLS_COUNTALLOCATIONS_H
#define LLMC_TEST_TOOLS_COUNTALLOCATIONS_H

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LLMC_SANITIZED 1
#endif
#endif

static std::atomic<long> llmcAllocations{0};

#ifndef LLMC_SANITIZED
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

// operator new of libstdc++ ends here as well.
void *malloc(size_t bytes) {
  ++llmcAllocations;
  return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
  ++llmcAllocations;
  return __libc_calloc(count, bytes);
}
void *realloc(void *old, size_t bytes) {
  ++llmcAllocations;
  return __libc_realloc(old, bytes);
}
void *memalign(size_t alignment, size_t bytes) {
  ++llmcAllocations;
  return __libc_memalign(alignment, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
  ++llmcAllocations;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **out, size_t alignment, size_t bytes) {
  ++llmcAllocations;
  *out = __libc_memalign(alignment, bytes);
  return *out ? 0 : ENOMEM;
}
void *mmap(void *address, size_t bytes, int protection, int flags, int fd,
           off_t offset) noexcept {
  ++llmcAllocations;
  return reinterpret_cast<void *>(
      syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}
void *mmap64(void *address, size_t bytes, int protection, int flags, int fd,
             off_t offset) noexcept {
  return mmap(address, bytes, protection, flags, fd, offset);
}
}
#endif

namespace llmc::tools {

struct AllocationCount {
  long calls = 0;                // malloc and its family, mmap
  const void *heapTop = nullptr; // the break
  size_t mappings = 0;           // lines of /proc/self/maps

  static AllocationCount now() {
    AllocationCount count;
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    char chunk[4096];
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;) {
      for (ssize_t i = 0; i < n; ++i) {
        count.mappings += chunk[i] == '\n';
      }
    }
    close(fd);
    count.calls = llmcAllocations;
    count.heapTop = sbrk(0);
    return count;
  }
};

} // namespace llmc::tools

#endif // LLMC_TEST_TOOLS_COUNTALLOCATIONS_H
