//===- LinkProbe.cpp ------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/LinkProbe.h"

#include "runtime/core/Profiler.h"

#include <algorithm>
#include <atomic>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace llmc;

static constexpr uint64_t kPiece = uint64_t(4) << 20;
static constexpr uint64_t kHuge = uint64_t(2) << 20;
static constexpr double kSecondsPerWay = 0.1;

/// Reads pieces of [first, last) round and round until the time is up; bytes
/// per second, or 0 if a read failed.
static double readRate(int fd, uint64_t first, uint64_t last, int depth,
                       bool huge) {
  const uint64_t room = kPiece * static_cast<uint64_t>(depth) + kHuge;
  void *raw = mmap(nullptr, room, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) {
    return 0;
  }
  auto *base = reinterpret_cast<uint8_t *>(
      (reinterpret_cast<uintptr_t>(raw) + kHuge - 1) / kHuge * kHuge);
  madvise(raw, room, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  for (uint64_t at = 0; at < kPiece * static_cast<uint64_t>(depth);
       at += 4096) {
    base[at] = 1;
  }
  std::atomic<uint64_t> next{first};
  std::atomic<uint64_t> total{0};
  std::atomic<bool> failed{false};
  const uint64_t begin = nowNanoseconds();
  const auto deadline = begin + static_cast<uint64_t>(kSecondsPerWay * 1e9);
  const auto work = [&](uint8_t *buffer) {
    while (nowNanoseconds() < deadline && !failed) {
      const uint64_t at =
          first + (next.fetch_add(kPiece) - first) % (last - first);
      const ssize_t got = pread(fd, buffer, std::min(kPiece, last - at),
                                static_cast<off_t>(at));
      if (got <= 0) {
        failed = true;
        return;
      }
      total += static_cast<uint64_t>(got);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < depth; ++i) {
    others.emplace_back(work, base + static_cast<uint64_t>(i) * kPiece);
  }
  work(base);
  for (std::thread &other : others) {
    other.join();
  }
  const double seconds = static_cast<double>(nowNanoseconds() - begin) / 1e9;
  munmap(raw, room);
  return failed ? 0 : static_cast<double>(total.load()) / seconds;
}

double tool::probeLink(const WeightsSource &source, uint64_t bytes) {
  struct stat info{};
  if (fstat(source.fd, &info) != 0) {
    return 0;
  }
  const uint64_t first = (source.base + 4095) / 4096 * 4096;
  uint64_t last = static_cast<uint64_t>(info.st_size);
  if (bytes) {
    last = std::min(last, source.base + bytes);
  }
  // Whole pieces, so that direct reads stay aligned at the end.
  if (first < last && last - first > kPiece) {
    last = first + (last - first) / kPiece * kPiece;
  }
  if (first >= last) {
    return 0;
  }
  double best = 0;
  const int direct = open(source.path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  for (int fd : {source.fd, direct}) {
    for (int depth : {1, 2, 4}) {
      for (bool huge : {false, true}) {
        if (fd >= 0) {
          best = std::max(best, readRate(fd, first, last, depth, huge));
        }
      }
    }
  }
  if (direct >= 0) {
    close(direct);
  }
  return best;
}
