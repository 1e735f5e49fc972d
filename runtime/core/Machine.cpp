//===- Machine.cpp --------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Machine.h"

#include "runtime/plan/FreeMemory.h"
#include "runtime/support/ProcFile.h"

#include <algorithm>
#include <cstdio>
#include <link.h>
#include <sched.h>
#include <string_view>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

using namespace llmc;

uint64_t llmc::availableMemory() { return freeMemory().bytes; }

uint64_t llmc::peakResidentBytes() {
  const uint64_t kib = fieldOf(readSmallFile("/proc/self/status"), "VmHWM:");
  return kib == UINT64_MAX ? 0 : kib * 1024;
}

int llmc::defaultThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return 1;
}

// One call per page: what the linker has made read-only since must not end it.
static void touchSegment(uintptr_t begin, uintptr_t end, bool writable) {
  constexpr uintptr_t kPage = 4096;
  begin = begin / kPage * kPage;
  if (!writable) {
    madvise(reinterpret_cast<void *>(begin), end - begin, MADV_POPULATE_READ);
    return;
  }
  for (uintptr_t page = begin; page < end; page += kPage) {
    madvise(reinterpret_cast<void *>(page), kPage, MADV_POPULATE_WRITE);
  }
}

void llmc::touchProgram() {
  dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *) {
        constexpr uint64_t kLargest = uint64_t(16) << 20;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto &segment = info->dlpi_phdr[i];
          if (segment.p_type == PT_LOAD && segment.p_memsz <= kLargest) {
            const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
            touchSegment(begin, begin + segment.p_memsz,
                         (segment.p_flags & PF_W) != 0);
          }
        }
        return 0;
      },
      nullptr);
}

std::string llmc::formatBytes(uint64_t bytes) {
  char text[64];
  if (bytes < 1024) {
    std::snprintf(text, sizeof(text), "%llu bytes",
                  static_cast<unsigned long long>(bytes));
    return text;
  }
  constexpr const char *units[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  std::snprintf(text, sizeof(text), "%.1f %s", value, units[unit]);
  return text;
}
