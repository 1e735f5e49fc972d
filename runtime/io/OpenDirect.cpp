//===- OpenDirect.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/io/OpenDirect.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace llmc::io {

int reopen(int fd, const std::string &path, int flags) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  int again = open(self.c_str(), flags | O_CLOEXEC);
  if (again >= 0 || errno != ENOENT || path.empty()) {
    return again;
  }
  again = open(path.c_str(), flags | O_CLOEXEC);
  struct stat a{};
  struct stat b{};
  if (again >= 0 && (fstat(fd, &a) != 0 || fstat(again, &b) != 0 ||
                     a.st_dev != b.st_dev || a.st_ino != b.st_ino)) {
    close(again);
    errno = ESTALE;
    return -1;
  }
  return again;
}

/// struct statx with STATX_DIOALIGN, which Linux 6.1 brought and the C
/// library's header may lack.
struct StatxAlignment {
  uint32_t mask;
  uint8_t between[0x94];
  uint32_t memory;
  uint32_t offset;
  uint8_t rest[256 - 0xa0];
};
static_assert(sizeof(StatxAlignment) == 256);
static constexpr unsigned kStatxDioAlign = 0x2000;

DirectFile openDirect(int fd) {
  DirectFile file;
  file.fd = reopen(fd, "", O_RDONLY | O_DIRECT);
  if (file.fd < 0) {
    file.error = errno;
    return file;
  }
  StatxAlignment info{};
  if (syscall(SYS_statx, file.fd, "", AT_EMPTY_PATH, kStatxDioAlign, &info) ==
          0 &&
      (info.mask & kStatxDioAlign) && info.offset != 0 && info.memory != 0 &&
      info.offset <= 4096 && 4096 % info.offset == 0 && info.memory <= 4096) {
    // At least the 64 that plans give; at least a sector, as old drivers want.
    file.offsetAlignment = info.offset < 512 ? 512 : info.offset;
    file.memoryAlignment = info.memory < 64 ? 64 : info.memory;
  }
  return file;
}

} // namespace llmc::io
