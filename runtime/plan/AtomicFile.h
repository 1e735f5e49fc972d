//===- AtomicFile.h - Whole files in, whole files out ----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Output goes to a temporary file beside the target and takes its name only
// when complete; a failed write leaves what was there before. Free space is
// compared with what is needed before the first byte.
//
// A process limit on file size (RLIMIT_FSIZE) raises SIGXFSZ, which ends the
// program by default; programs that want the error instead ignore the signal.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_ATOMICFILE_H
#define LLMC_RUNTIME_PLAN_ATOMICFILE_H

#include "runtime/support/Result.h"

#include <cstdint>
#include <span>
#include <string>

namespace llmc::plan {

/// A file that appears under its name when commit() succeeds, or not at all.
/// Moved-from and committed objects hold nothing.
class AtomicFile {
public:
  /// Checks that `bytes` are free in the folder of `path` and creates the
  /// temporary file there.
  static Result<AtomicFile> create(const std::string &path, uint64_t bytes);

  AtomicFile(AtomicFile &&other) noexcept;
  AtomicFile &operator=(AtomicFile &&other) noexcept;
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;
  ~AtomicFile(); // removes the temporary file unless committed

  /// Writes all bytes at `offset`.
  Result<void> write(uint64_t offset, std::span<const uint8_t> bytes);
  /// Flushes to the device and renames onto the target.
  Result<void> commit();

  const std::string &path() const { return target; }

private:
  AtomicFile() = default;
  void discard();
  Error failure(const char *what, int error) const;

  std::string target;
  std::string temporary;
  int fd = -1;
};

/// A file opened for reading, by pread only. Closed by the destructor.
class InputFile {
public:
  static Result<InputFile> open(const std::string &path);
  /// Bytes [base, base + bytes) of a file, as if they were a file of their
  /// own: for a plan inside an executable.
  static Result<InputFile> openRange(const std::string &path, uint64_t base,
                                     uint64_t bytes);

  InputFile(InputFile &&other) noexcept;
  InputFile &operator=(InputFile &&other) noexcept;
  InputFile(const InputFile &) = delete;
  InputFile &operator=(const InputFile &) = delete;
  ~InputFile();

  /// Reads exactly `bytes` bytes at `offset`; an early end is an error that
  /// names the offset. Thread-safe.
  Result<void> read(uint64_t offset, uint64_t bytes, void *target) const;

  const std::string &path() const { return name; }
  uint64_t size() const { return length; } // when opened
  int descriptor() const { return fd; }
  /// Where offset 0 lies in the descriptor's file.
  uint64_t base() const { return start; }

private:
  InputFile() = default;

  std::string name;
  uint64_t start = 0;
  uint64_t length = 0;
  int fd = -1;
};

/// "1.50 GiB", "12 bytes": for messages.
std::string formatBytes(uint64_t bytes);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_ATOMICFILE_H
