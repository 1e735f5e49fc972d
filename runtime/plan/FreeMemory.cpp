//===- FreeMemory.cpp - How much memory can be had now --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/FreeMemory.h"

#include "runtime/support/ProcFile.h"
#include "runtime/support/Size.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace llmc;

namespace {

/// The names of one version of memory cgroups.
struct Version {
  const char *mount;
  const char *limit;
  const char *usage;
  const char *cached[2]; // in memory.stat
};
constexpr Version kVersion1 = {"/sys/fs/cgroup/memory",
                               "memory.limit_in_bytes",
                               "memory.usage_in_bytes",
                               {"total_inactive_file ", "total_active_file "}};
constexpr Version kVersion2 = {"/sys/fs/cgroup",
                               "memory.max",
                               "memory.current",
                               {"inactive_file ", "active_file "}};

/// What one group still grants; UINT64_MAX if it has no limit or is not there.
uint64_t roomOf(const std::string &folder, const Version &version) {
  const std::string limitText = readSmallFile(folder + "/" + version.limit);
  const std::string usageText = readSmallFile(folder + "/" + version.usage);
  if (limitText.empty() || usageText.empty() || limitText[0] == 'm') {
    return UINT64_MAX; // "max"
  }
  const uint64_t limit = std::strtoull(limitText.c_str(), nullptr, 10);
  uint64_t usage = std::strtoull(usageText.c_str(), nullptr, 10);
  if (limit >= uint64_t(1) << 60) {
    return UINT64_MAX; // v1's way to say "no limit"
  }
  const std::string stat = readSmallFile(folder + "/memory.stat");
  for (const char *key : version.cached) {
    const uint64_t cache = fieldOf(stat, key);
    usage -= cache == UINT64_MAX ? 0 : std::min(cache, usage);
  }
  return limit > usage ? limit - usage : 0;
}

uint64_t kilobytes(const std::string &meminfo, const char *key) {
  const uint64_t value = fieldOf(meminfo, key);
  return value > UINT64_MAX / 1024 ? UINT64_MAX : value * 1024;
}

} // namespace

FreeMemory llmc::freeMemory(const std::string &root) {
  FreeMemory out;
  const std::string meminfo = readSmallFile(root + "/proc/meminfo");
  out.bytes = kilobytes(meminfo, "MemAvailable:");
  const uint64_t swap = kilobytes(meminfo, "SwapFree:");
  out.withSwap = swap == UINT64_MAX || out.bytes > UINT64_MAX - swap
                     ? out.bytes
                     : out.bytes + swap;
  // "12:cpu,memory:/path" (v1) or "0::/path" (v2). Inside a container the path
  // may not be visible; then the root of the mount is the container's own
  // group.
  const std::string groups = readSmallFile(root + "/proc/self/cgroup");
  size_t at = 0;
  while (at < groups.size()) {
    size_t end = groups.find('\n', at);
    end = end == std::string::npos ? groups.size() : end;
    const std::string line = groups.substr(at, end - at);
    at = end + 1;
    const size_t first = line.find(':');
    const size_t second =
        first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string kinds =
        "," + line.substr(first + 1, second - first - 1) + ",";
    const Version *version = kinds == ",," ? &kVersion2
                             : kinds.find(",memory,") != std::string::npos
                                 ? &kVersion1
                                 : nullptr;
    if (version == nullptr) {
      continue;
    }
    // The group itself and all around it, up to the root of the mount.
    std::string path = line.substr(second + 1);
    for (;;) {
      while (!path.empty() && path.back() == '/') {
        path.pop_back();
      }
      const uint64_t room = roomOf(root + version->mount + path, *version);
      out.bytes = std::min(out.bytes, room);
      out.withSwap = std::min(out.withSwap, room);
      if (path.empty()) {
        break;
      }
      path.resize(std::min(path.size(), path.rfind('/')));
    }
  }
  return out;
}

Result<std::string> llmc::checkRoom(const std::string &path, uint64_t needed,
                                    uint64_t minimum, const FreeMemory &found) {
  if (needed <= found.bytes) {
    return std::string();
  }
  auto both = [](uint64_t bytes) {
    return formatSize(bytes) + " (" + std::to_string(bytes) + " bytes)";
  };
  const std::string words =
      path + ": needs " + both(needed) + ", " + both(found.bytes) + " are free";
  const uint64_t budget = automaticBudget(found.bytes);
  const std::string advice =
      budget >= minimum
          ? "; compile the model again with --vram " + std::to_string(budget) +
                " (or --vram auto)"
          : "; no plan of this model needs less than " + both(minimum) +
                ", unless with a smaller --ctx or --quantize int8";
  if (needed <= found.withSwap) {
    return words + ", the rest is swap and slow" + advice;
  }
  return Error{ErrorCode::OutOfMemory, words + advice};
}

uint64_t llmc::automaticBudget(uint64_t freeBytes) {
  constexpr uint64_t kLeast = uint64_t(512) << 20;
  return freeBytes - std::min(freeBytes / 2, std::max(kLeast, freeBytes / 10));
}
