//===- DiskRate.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/io/DiskRate.h"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <span>
#include <sys/mman.h>
#include <unistd.h>

namespace llmc::io {
namespace {

constexpr uint64_t kHugePage = uint64_t(2) << 20;
constexpr uint64_t kBufferBytes = uint64_t(32) << 20;
constexpr uint64_t kMiB = uint64_t(1) << 20;

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// kBufferBytes bytes in pages of the wanted size, touched.
class Buffer {
public:
  explicit Buffer(bool huge) {
    raw = mmap(nullptr, kBufferBytes + kHugePage, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
      return;
    }
    const auto start = reinterpret_cast<uintptr_t>(raw);
    base = reinterpret_cast<uint8_t *>((start + kHugePage - 1) / kHugePage *
                                       kHugePage);
    madvise(base, kBufferBytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (uint64_t at = 0; at < kBufferBytes; at += 4096) {
      static_cast<volatile uint8_t *>(base)[at] = 0;
    }
  }
  ~Buffer() {
    if (raw != MAP_FAILED) {
      munmap(raw, kBufferBytes + kHugePage);
    }
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;

  uint8_t *base = nullptr;

private:
  void *raw = MAP_FAILED;
};

/// Reads the range from `at` on, which moves on, with as many requests in
/// flight as the backend takes, until the time is up; behind its end comes its
/// beginning, but all of it at most once if `once`. They go round the whole
/// buffer: one that stays in the cache would give more than any weights get. 0
/// if a read fails.
double rate(ReadBackend &backend, const FileRange &range, uint64_t &at,
            uint8_t *buffer, uint64_t requestBytes, bool direct, bool once,
            double seconds) {
  const auto depth = static_cast<uint32_t>(
      std::min<uint64_t>(backend.capacity(), kBufferBytes / requestBytes));
  uint64_t left = once ? range.last - range.first : UINT64_MAX;
  uint64_t place = 0;
  uint64_t total = 0;
  uint32_t inFlight = 0;
  bool failed = false;
  const double begin = now();
  const double end = begin + seconds;
  bool more = true;
  const auto issue = [&](uint32_t tag) {
    if (at >= range.last) {
      at = range.first;
    }
    more = more && left != 0 && !failed && now() < end;
    if (!more) {
      return;
    }
    const uint64_t bytes = std::min({requestBytes, range.last - at, left});
    left -= bytes;
    backend.begin(
        {at, buffer + place, static_cast<uint32_t>(bytes), tag, direct});
    at += bytes;
    place =
        (place + requestBytes) % (kBufferBytes / requestBytes * requestBytes);
    ++inFlight;
  };
  for (uint32_t tag = 0; tag < depth; ++tag) {
    issue(tag);
  }
  ReadResult result;
  while (inFlight != 0 && backend.next(result, true)) {
    --inFlight;
    failed = failed || result.got <= 0;
    total += result.got > 0 ? static_cast<uint64_t>(result.got) : 0;
    issue(result.tag);
  }
  return failed ? 0 : static_cast<double>(total) / (now() - begin);
}

void drop(const FileRange &range) {
  posix_fadvise(range.files.buffered, static_cast<off_t>(range.first),
                static_cast<off_t>(range.last - range.first),
                POSIX_FADV_DONTNEED);
}

} // namespace

/// The rate of one way, over `seconds`; 0 if it cannot be had.
static double measureWay(const FileRange &range, uint64_t &at,
                         const plan::DiskWay &way, Buffer &buffer,
                         double seconds) {
  const auto depth = static_cast<uint32_t>(way.depth);
  const bool buffered = way.method == "buffered";
  std::unique_ptr<ReadBackend> backend;
  if (buffered) {
    drop(range);
    backend = createThreadBackend(range.files, depth, true);
  } else if (way.method == "direct") {
    backend = createThreadBackend(range.files, depth, false);
  } else {
    int error = 0;
    backend = createUringBackend(range.files, depth,
                                 way.method == "uring-registered"
                                     ? std::span(buffer.base, kBufferBytes)
                                     : std::span<uint8_t>(),
                                 error);
  }
  return backend ? rate(*backend, range, at, buffer.base, way.requestBytes,
                        !buffered, buffered, seconds)
                 : 0;
}

static std::vector<plan::DiskWay> allWays(bool direct) {
  std::vector<plan::DiskWay> ways;
  for (uint32_t depth : {1u, 2u, 4u}) {
    ways.push_back({"buffered", true, depth, kMiB});
  }
  if (!direct) {
    return ways;
  }
  ways.push_back({"direct", false, 4, kMiB});
  ways.push_back({"uring", false, 4, kMiB});
  for (uint32_t depth : {1u, 2u, 4u, 8u}) {
    ways.push_back({"direct", true, depth, 2 * kMiB});
  }
  for (uint32_t depth : {1u, 4u, 8u, 16u}) {
    ways.push_back({"uring", true, depth, kMiB});
  }
  for (uint32_t depth : {4u, 8u, 16u}) {
    ways.push_back({"uring", true, depth, 2 * kMiB});
  }
  ways.push_back({"uring", true, 4, 4 * kMiB});
  ways.push_back({"uring-registered", true, 16, 2 * kMiB});
  ways.push_back({"uring-registered", true, 16, kMiB});
  return ways;
}

DiskRates measureDisk(const FileRange &range, double glance, double sustained) {
  if (range.first >= range.last) {
    return {};
  }
  std::vector<plan::DiskWay> ways = allWays(range.files.direct >= 0);
  // Each goes on where the one before it stopped: what was read just now may
  // lie in a cache of the disk.
  uint64_t at = range.first;
  const auto measure = [&](plan::DiskWay &way, double seconds) {
    // One buffer at a time: the memory may be as tight as the plan's budget.
    Buffer buffer(way.hugePages);
    way.bytesPerSecond =
        buffer.base ? measureWay(range, at, way, buffer, seconds) : 0;
  };
  for (plan::DiskWay &way : ways) {
    measure(way, glance);
  }
  std::erase_if(ways, [](const auto &way) { return way.bytesPerSecond <= 0; });
  // The best of many glances is a lucky one. The first is measured for longer
  // until the one that is first then has been.
  std::vector<bool> known(ways.size(), false);
  for (size_t i = 0; i < ways.size(); ++i) {
    if (plan::isStreamingWay(ways[i])) {
      known[i] = true;
      measure(ways[i], sustained);
    }
  }
  while (!ways.empty()) {
    const auto best = std::max_element(
        ways.begin(), ways.end(), [](const auto &a, const auto &b) {
          return a.bytesPerSecond < b.bytesPerSecond;
        });
    const auto index = static_cast<size_t>(best - ways.begin());
    if (known[index]) {
      plan::DiskWay again = *best;
      measure(again, sustained);
      return {std::move(ways), again.bytesPerSecond};
    }
    known[index] = true;
    measure(*best, sustained / 3);
  }
  return {};
}

double measureCached(const FileRange &range, double seconds) {
  Buffer buffer(true);
  if (!buffer.base || range.first >= range.last) {
    return 0;
  }
  double best = 0;
  const std::unique_ptr<ReadBackend> one = createInlineBackend(range.files);
  uint64_t at = range.first;
  rate(*one, range, at, buffer.base, kMiB, false, true, 60); // fills it
  best = rate(*one, range, at, buffer.base, kMiB, false, false, seconds);
  const std::unique_ptr<ReadBackend> two =
      createThreadBackend(range.files, 2, false);
  return std::max(
      best, rate(*two, range, at, buffer.base, kMiB, false, false, seconds));
}

std::optional<double> measureLatency(const FileRange &range, int reads) {
  const uint64_t pages = (range.last - range.first) / 4096;
  if (range.files.direct < 0 || range.first >= range.last || pages == 0) {
    return std::nullopt;
  }
  alignas(4096) static uint8_t page[4096];
  std::vector<double> times;
  uint64_t at = 0;
  for (int i = 0; i < reads; ++i) {
    at = (at + pages * 618 / 1000 + 1) % pages; // spread by the golden section
    const double begin = now();
    if (pread(range.files.direct, page, sizeof(page),
              static_cast<off_t>(range.first + at * 4096)) <= 0) {
      return std::nullopt;
    }
    times.push_back(now() - begin);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

} // namespace llmc::io
