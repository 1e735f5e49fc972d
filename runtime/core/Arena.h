//===- Arena.h - One tier's memory, allocated once -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An anonymous mapping, aligned to 2 MiB and advised to use huge pages: reads
// from disk into huge pages run about three times faster than into small ones.
// Every page is touched at creation, so that a step never faults and a lack of
// memory shows at load.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_ARENA_H
#define LLMC_RUNTIME_CORE_ARENA_H

#include "runtime/support/Result.h"

#include <cstdint>

namespace llmc {

class Arena {
public:
  Arena() = default;
  ~Arena();
  Arena(Arena &&other) noexcept;
  Arena &operator=(Arena &&other) noexcept;
  Arena(const Arena &) = delete;
  Arena &operator=(const Arena &) = delete;

  /// Maps `bytes` zeroed bytes (0: an empty arena). `tier` is for messages.
  static Result<Arena> create(uint64_t bytes, const char *tier);

  uint8_t *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  uint8_t *base = nullptr;
  uint64_t bytes = 0;
  uint64_t mapped = 0;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_ARENA_H
