//===- Npy.h - NumPy's .npy files ------------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
// Read: versions 1 to 3, little-endian, C or Fortran order (turned to C), bool,
// integers, f16, f32, f64. Written: version 1, C order; bf16, which NumPy does
// not have, as u16 with the same bits; i4 and u4 are not written.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_NPY_H
#define LLMC_TOOLS_LLMC_RUN_NPY_H

#include "runtime/plan/DType.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace llmc::npy {

struct Array {
  plan::DType dtype = plan::DType::F32;
  std::vector<int64_t> dims;
  std::vector<uint8_t> data;
};

Result<Array> read(const std::string &path);

/// Writes to a temporary file beside `path`, then renames.
Result<void> write(const std::string &path, plan::DType dtype,
                   std::span<const int64_t> dims, const void *data,
                   size_t bytes);

/// Writes a float32 matrix one row at a time; the number of rows is filled in
/// by finish(). A file that is not finished does not appear.
class RowWriter {
public:
  RowWriter() = default;
  ~RowWriter();
  RowWriter(const RowWriter &) = delete;
  RowWriter &operator=(const RowWriter &) = delete;

  Result<void> open(const std::string &path, int64_t width);
  bool isOpen() const { return fd >= 0; }
  Result<void> append(std::span<const float> row);
  Result<void> finish();

private:
  std::string path;
  std::string temporary;
  int fd = -1;
  int64_t width = 0;
  int64_t rows = 0;
};

} // namespace llmc::npy

#endif // LLMC_TOOLS_LLMC_RUN_NPY_H
