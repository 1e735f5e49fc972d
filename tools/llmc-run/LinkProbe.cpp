//===- LinkProbe.cpp ------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/LinkProbe.h"

#include "runtime/io/DiskRate.h"
#include "runtime/io/OpenDirect.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;

double tool::probeLink(const WeightsSource &source, uint64_t bytes,
                       io::Method method) {
  struct stat info{};
  if (fstat(source.fd, &info) != 0) {
    return 0;
  }
  constexpr double kGlance = 0.05, kSustained = 1.5; // seconds
  io::FileRange range;
  range.first = (source.base + 4095) / 4096 * 4096;
  range.last = static_cast<uint64_t>(info.st_size);
  if (bytes) {
    range.last = std::min(range.last, source.base + bytes);
  }
  range.last = std::max(range.first, range.last / 4096 * 4096);
  range.files.buffered = io::reopen(source.fd, source.path, O_RDONLY);
  range.files.direct = io::openDirect(source.fd).fd;
  double best = io::measureDisk(range, kGlance, kSustained).bytesPerSecond;
  if (method == io::Method::Cached) {
    best = std::max(best, io::measureCached(range, kGlance));
  }
  for (int fd : {range.files.buffered, range.files.direct}) {
    if (fd >= 0) {
      close(fd);
    }
  }
  return best;
}
