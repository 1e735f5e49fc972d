//===- ReadBackend.h - Ways to read a file asynchronously ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The transfer engine cuts copies into requests and gives them to a backend,
// which keeps several in flight. A backend reports what the kernel said, short
// reads and errors included; the engine decides what to do about it. Tests put
// their own backend in between (IoOptions::wrap).
//
// A backend is used by one thread at a time, and after its creation neither
// allocates nor takes a lock.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_IO_READBACKEND_H
#define LLMC_RUNTIME_IO_READBACKEND_H

#include <cstdint>
#include <memory>
#include <span>

namespace llmc::io {

/// A file, opened twice: reads through the page cache and past it.
struct Descriptors {
  int buffered = -1;
  int direct = -1; // -1: not to be had
};

struct ReadRequest {
  uint64_t offset = 0; // in the descriptor's file, bytes
  uint8_t *target = nullptr;
  uint32_t bytes = 0;
  uint32_t tag = 0;    // given back with the result
  bool direct = false; // which descriptor
};

struct ReadResult {
  uint32_t tag = 0;
  int64_t got = 0; // bytes (0: end of the file), or -errno
};

class ReadBackend {
public:
  virtual ~ReadBackend() = default;

  /// How many reads may be in flight.
  virtual uint32_t capacity() const = 0;

  /// Begins a read; fewer than capacity() are in flight. Every read that was
  /// begun is reported once by next(), failed ones too.
  virtual void begin(const ReadRequest &request) = 0;

  /// Takes a finished read. Returns false if there is none: with `wait`, only
  /// if none is in flight.
  virtual bool next(ReadResult &result, bool wait) = 0;
};

/// Reads in begin(), one at a time.
std::unique_ptr<ReadBackend> createInlineBackend(const Descriptors &files);

/// `depth` threads that call pread. With `dropBehind` what a buffered read
/// leaves in the page cache is given back after it.
std::unique_ptr<ReadBackend>
createThreadBackend(const Descriptors &files, uint32_t depth, bool dropBehind);

/// io_uring with `depth` reads in flight; nullptr, with errno in `error`, if
/// this build or this kernel has none or forbids it. Requests into `registered`
/// (may be empty) use it as a registered buffer.
std::unique_ptr<ReadBackend> createUringBackend(const Descriptors &files,
                                                uint32_t depth,
                                                std::span<uint8_t> registered,
                                                int &error);

/// Whether this build knows io_uring (liburing was there).
bool hasUring();

} // namespace llmc::io

#endif // LLMC_RUNTIME_IO_READBACKEND_H
