//===- ProcFile.h - Files that the kernel makes up -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_SUPPORT_PROCFILE_H
#define LLMC_RUNTIME_SUPPORT_PROCFILE_H

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace llmc {

/// The whole of a file that the kernel makes up; empty if it cannot be read.
inline std::string readSmallFile(const std::string &path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return text;
  }
  char chunk[4096];
  for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;) {
    text.append(chunk, static_cast<size_t>(n));
  }
  close(fd);
  return text;
}

/// The number behind `key` in a "key value" list; UINT64_MAX if absent.
inline uint64_t fieldOf(const std::string &text, const char *key) {
  size_t at = 0;
  const size_t length = std::strlen(key);
  while (at < text.size()) {
    if (text.compare(at, length, key) == 0) {
      return std::strtoull(text.c_str() + at + length, nullptr, 10);
    }
    at = text.find('\n', at);
    if (at == std::string::npos) {
      break;
    }
    ++at;
  }
  return UINT64_MAX;
}

} // namespace llmc

#endif // LLMC_RUNTIME_SUPPORT_PROCFILE_H
