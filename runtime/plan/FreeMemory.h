//===- FreeMemory.h - How much memory can be had now -----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// `--vram auto` asks this when a plan is made, the runtime when it is loaded.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_FREEMEMORY_H
#define LLMC_RUNTIME_PLAN_FREEMEMORY_H

#include "runtime/support/Result.h"

#include <cstdint>
#include <string>

namespace llmc {

struct FreeMemory {
  /// Bytes that can be had without swapping: the least of /proc/meminfo's
  /// MemAvailable and of what the memory cgroup of this process and each group
  /// around it (v1 or v2) still grants, where clean file pages count as free.
  /// UINT64_MAX if unknown.
  uint64_t bytes = UINT64_MAX;
  /// The same, and what swap would take. A group's limit stays what it is.
  uint64_t withSwap = UINT64_MAX;
};

/// `root` is put before all paths, for tests.
FreeMemory freeMemory(const std::string &root = "");

/// Whether a plan that needs `needed` bytes can be loaded where `found` are
/// free; `minimum` is the smallest budget of its model. A warning if only
/// swapping makes room, empty if there is room. Error: OutOfMemory, with what
/// was found and needed and the budget to compile again for.
Result<std::string> checkRoom(const std::string &path, uint64_t needed,
                              uint64_t minimum, const FreeMemory &found);

/// What --vram auto takes of it: all but a tenth, at least 512 MiB but at most
/// half, which is left to the rest of the machine.
uint64_t automaticBudget(uint64_t freeBytes);

} // namespace llmc

#endif // LLMC_RUNTIME_PLAN_FREEMEMORY_H
