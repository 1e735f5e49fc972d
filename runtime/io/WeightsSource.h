//===- WeightsSource.h - An open weights file ------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_IO_WEIGHTSSOURCE_H
#define LLMC_RUNTIME_IO_WEIGHTSSOURCE_H

#include <cstdint>
#include <string>

namespace llmc {

/// An open weights file; offsets of segments count from `base`.
struct WeightsSource {
  int fd = -1;
  uint64_t base = 0;
  std::string path;
};

} // namespace llmc

#endif // LLMC_RUNTIME_IO_WEIGHTSSOURCE_H
