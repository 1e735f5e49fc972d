//===- DiskRate.h - How fast a file can be read ----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The plain ways to read a file, each for a moment: through the page cache
// (cold: what is cached is dropped first), past it by threads and by io_uring,
// into small and huge pages, into registered buffers, at several depths.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_IO_DISKRATE_H
#define LLMC_RUNTIME_IO_DISKRATE_H

#include "runtime/io/ReadBackend.h"
#include "runtime/plan/HardwareProfile.h"

#include <optional>
#include <vector>

namespace llmc::io {

/// Bytes [first, last) of a file, multiples of 4 KiB.
struct FileRange {
  Descriptors files;
  uint64_t first = 0;
  uint64_t last = 0;
};

struct DiskRates {
  std::vector<plan::DiskWay> ways;
  /// Of the best way, measured anew after it was chosen: what came out first
  /// of many was lucky besides. 0 if every read fails.
  double bytesPerSecond = 0;
};

/// Every way that this machine allows, with at most 32 MiB of buffers: about
/// `glance` seconds each, those that come out first a third of `sustained`, the
/// engine's own and the best one `sustained`. Ways that fail are left out.
DiskRates measureDisk(const FileRange &range, double glance, double sustained);

/// Bytes per second of reading the range through the page cache when it is
/// there already, by one thread and by two; the best. 0 if that fails.
double measureCached(const FileRange &range, double seconds);

/// Seconds of one read of 4 KiB past the page cache: the median of `reads` at
/// places spread over the range. Nothing if the file cannot be read so.
std::optional<double> measureLatency(const FileRange &range, int reads);

} // namespace llmc::io

#endif // LLMC_RUNTIME_IO_DISKRATE_H
