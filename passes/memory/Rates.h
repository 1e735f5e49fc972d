//===- Rates.h - What a machine does per second ----------------*- C++ -*-===//
//
// The machine as the cost model sees it, and the time of one launch on it:
//
//     launch + max(operations / rate, bytes / bandwidth)
//
// on one thread if that is short, else on all of them plus the hand-over.
// The defaults are those of the reference CPU (two Zen 5 cores) with this
// project's kernels, measured by `llmc bench --profile` and test/bench/
// prediction.py; a hardware profile replaces what it speaks of.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_RATES_H
#define LLMC_PASSES_MEMORY_RATES_H

#include "passes/memory/Work.h"

#include <cstdint>

namespace llmc::memory {

/// Operations (multiplications and additions) per second of all threads, with
/// the operands in cache. Between the two every weight has a fixed cost (its
/// load and conversion) and a cost per row that uses it.
struct ProductRate {
  double oneRow = 0;
  double manyRows = 0;

  /// Seconds of `operations` on `rows` rows.
  double seconds(double operations, double rows) const;
};

struct Rates {
  ProductRate f32{75e9, 220e9};
  ProductRate f16{75e9, 200e9};
  ProductRate bf16{75e9, 200e9};
  ProductRate int8{16e9, 145e9};
  ProductRate int4{13e9, 145e9};
  ProductRate attention{150e9, 280e9};
  ProductRate convolution{40e9, 40e9};
  /// Softmax of one score, all threads.
  double scoreSeconds = 2.0e-9;
  /// Simple operations per second, all threads (Work.h).
  double elementwise = 12e9;

  /// Bytes per second of all threads. `scattered`: of a state that attention
  /// reads, a head's tokens of a block at a time.
  double memory = 48e9;
  double scattered = 12e9;
  /// What the caches hold comes faster: the shared one of `cacheBytes`, and
  /// those of the cores, `coreCacheBytes` in all.
  double cache = 150e9;
  uint64_t cacheBytes = uint64_t(32) << 20;
  uint64_t coreCacheBytes = uint64_t(2) << 20;

  unsigned threads = 2;
  double launchSeconds = 0.05e-6;
  /// Work of fewer seconds stays on one thread, with its share of the rates.
  double shareFromSeconds = 12e-6;
  double handOverSeconds = 2e-6;

  /// The link: bytes per second, and the time before the first byte.
  double link = 4e9;
  double linkSeconds = 60e-6;
  /// What a copy costs the link beside its bytes, however many are in flight.
  double copySeconds = 2e-6;
  /// What the transfer engine reads through the page cache (runtime/io):
  /// weights files that are not larger, and small copies.
  uint64_t cachedFileBytes = uint64_t(32) << 20;
  uint64_t smallCopyBytes = uint64_t(64) << 10;
  double cachedLink = 14e9;
  double cachedLinkSeconds = 2.5e-6; // with the hand-over between threads
  /// The speed of compute while a copy runs: copies take memory bandwidth, and
  /// on the CPU some of the threads' time.
  double computeWhileCopying = 0.9;

  const ProductRate &product(plan::DType element) const;
};

/// What most of the time of a launch goes to.
enum class Bound : uint8_t { Overhead, Compute, Memory };

struct LaunchTime {
  double seconds = 0;
  Bound bound = Bound::Overhead;
};

/// `workingSet`: the bytes that a run of the entry touches in all. What does
/// not fit the cache has left it before the next run comes.
LaunchTime timeOf(const Work &work, double workingSet, const Rates &rates);

/// One copy over the link. Several reads are in flight, so only a copy that
/// finds the link idle pays the latency.
struct CopyTime {
  double seconds = 0;
  double latency = 0;
};
CopyTime copyTime(uint64_t bytes, uint64_t fileBytes, const Rates &rates);

/// Seconds of one copy alone, from a weights file of `fileBytes`.
double copySeconds(uint64_t bytes, uint64_t fileBytes, const Rates &rates);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_RATES_H
