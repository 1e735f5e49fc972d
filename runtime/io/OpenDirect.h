//===- OpenDirect.h - A file once more, past the page cache ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_IO_OPENDIRECT_H
#define LLMC_RUNTIME_IO_OPENDIRECT_H

#include <cstdint>
#include <string>

namespace llmc::io {

/// More threads than this do not read faster.
constexpr uint32_t kMaxThreads = 8;

/// Opens the very file that `fd` is, even if it was renamed or deleted, with
/// other flags. Falls back to `path` (may be empty) where /proc is missing, if
/// it still names that file. -1, with errno, if it cannot be opened.
int reopen(int fd, const std::string &path, int flags);

struct DirectFile {
  int fd = -1;
  int error = 0; // errno if fd is -1
  // What direct reads of it must keep to, bytes.
  uint64_t offsetAlignment = 4096;
  uint64_t memoryAlignment = 4096;
};

/// Opens the file that `fd` is for direct reads.
DirectFile openDirect(int fd);

} // namespace llmc::io

#endif // LLMC_RUNTIME_IO_OPENDIRECT_H
