//===- Arena.cpp ----------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Arena.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

using namespace llmc;

static constexpr uint64_t kHugePage = uint64_t(2) << 20;
static constexpr uint64_t kPage = 4096;

Arena::~Arena() {
  if (base) {
    munmap(base, mapped);
  }
}

Arena::Arena(Arena &&other) noexcept
    : base(std::exchange(other.base, nullptr)),
      bytes(std::exchange(other.bytes, 0)),
      mapped(std::exchange(other.mapped, 0)) {}

Arena &Arena::operator=(Arena &&other) noexcept {
  std::swap(base, other.base);
  std::swap(bytes, other.bytes);
  std::swap(mapped, other.mapped);
  return *this;
}

Result<Arena> Arena::create(uint64_t bytes, const char *tier) {
  Arena arena;
  if (bytes == 0) {
    return arena;
  }
  if (bytes > UINT64_MAX / 2) {
    return {ErrorCode::OutOfMemory, std::string("cannot map ") +
                                        std::to_string(bytes) +
                                        " bytes for the " + tier + " arena"};
  }
  const uint64_t wanted = (bytes + kPage - 1) / kPage * kPage;
  const uint64_t reach = wanted + kHugePage;
  void *raw = mmap(nullptr, reach, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return {ErrorCode::OutOfMemory,
            std::string("cannot map ") + std::to_string(bytes) +
                " bytes for the " + tier + " arena: " + std::strerror(errno)};
  }
  // Give back what lies before the aligned start and behind the end.
  const auto start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned != start) {
    munmap(raw, aligned - start);
  }
  if (const uint64_t tail = start + reach - (aligned + wanted)) {
    munmap(reinterpret_cast<void *>(aligned + wanted), tail);
  }
  arena.base = reinterpret_cast<uint8_t *>(aligned);
  arena.bytes = bytes;
  arena.mapped = wanted;
  madvise(arena.base, wanted, MADV_HUGEPAGE);
  if (madvise(arena.base, wanted, MADV_POPULATE_WRITE) != 0) {
    if (errno == ENOMEM || errno == EFAULT) {
      return {ErrorCode::OutOfMemory, std::string("no memory for the ") + tier +
                                          " arena of " + std::to_string(bytes) +
                                          " bytes"};
    }
    // A kernel before 5.14: touch the pages one by one.
    for (uint64_t at = 0; at < wanted; at += kPage) {
      reinterpret_cast<volatile uint8_t *>(arena.base)[at] = 0;
    }
  }
  return arena;
}
