//===- EmbeddedPlan.cpp ---------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/EmbeddedPlan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;

std::optional<EmbeddedPlan> llmc::readEmbeddedPlan(const char *path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return std::nullopt;
  }
  std::optional<EmbeddedPlan> found;
  struct stat info{};
  uint8_t trailer[EmbeddedPlan::kTrailerBytes];
  if (fstat(fd, &info) == 0 &&
      static_cast<uint64_t>(info.st_size) >= sizeof(trailer) &&
      pread(fd, trailer, sizeof(trailer),
            info.st_size - static_cast<off_t>(sizeof(trailer))) ==
          static_cast<ssize_t>(sizeof(trailer))) {
    found = EmbeddedPlan::decode(trailer, static_cast<uint64_t>(info.st_size));
  }
  close(fd);
  return found;
}
