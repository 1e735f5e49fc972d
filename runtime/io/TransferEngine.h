//===- TransferEngine.h - From the weights file into memory ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Glossary.
//   transfer  a range of the file that goes to one place in memory
//   request   a piece of a transfer, the unit that a backend reads
//   direct    past the page cache (O_DIRECT): file offset, size and address
//   must
//             be aligned. What is not (a head, a tail, anything small) is read
//             through the page cache; where only the address is not, the
//             request goes through a bounce buffer.
//
// Transfers are begun in order and complete in order, but several requests, of
// several transfers, are in flight. Short and interrupted reads go on where
// they stopped. A failed one stops the engine until drain().
//
// Used by one thread at a time. After the last allow() nothing is allocated
// and no lock is taken.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_IO_TRANSFERENGINE_H
#define LLMC_RUNTIME_IO_TRANSFERENGINE_H

#include "runtime/io/ReadBackend.h"
#include "runtime/io/WeightsSource.h"
#include "runtime/support/Result.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace llmc::io {

/// How to read. Auto takes the first of Uring, Direct and Buffered that the
/// file, the kernel and the sandbox allow, but Cached for a file that is not
/// larger than kCachedFile.
enum class Method : uint8_t {
  Auto,
  Uring,    // io_uring, O_DIRECT
  Direct,   // threads with pread, O_DIRECT
  Buffered, // threads with pread; the page cache is given back at once
  Cached,   // pread in the walking thread; the page cache is left alone
};

/// Where Auto trusts the page cache: what it takes there, nobody misses.
constexpr uint64_t kCachedFile = uint64_t(32) << 20;
/// Transfers below this go through the page cache: they cost their latency,
/// not their bytes, and are few in any model that is worth streaming.
constexpr uint64_t kSmallTransfer = uint64_t(64) << 10;

/// "auto", "uring", "direct", "buffered", "cached".
std::string_view name(Method method);
std::optional<Method> methodNamed(std::string_view text);

struct IoOptions {
  Method method = Method::Auto;
  uint32_t depth = 16;              // requests in flight, 1 to 64
  uint32_t requestBytes = 2u << 20; // largest request, rounded up to 4 KiB
  /// For tests: stands between the engine and its backend.
  std::function<std::unique_ptr<ReadBackend>(std::unique_ptr<ReadBackend>)>
      wrap;
};

/// A read that failed: where in the file, and errno (0: the file ends there).
struct ReadFailure {
  bool failed = false;
  uint64_t offset = 0;
  int error = 0;
};

/// The message for a failed read.
Error describe(const WeightsSource &source, const ReadFailure &failure);

class TransferEngine {
public:
  /// Opens the file of `source` once more. Errors: Unsupported if the method
  /// that was asked for cannot be had, with the reason.
  static Result<std::unique_ptr<TransferEngine>>
  create(const WeightsSource &source, const IoOptions &options);
  ~TransferEngine();
  TransferEngine(const TransferEngine &) = delete;
  TransferEngine &operator=(const TransferEngine &) = delete;

  /// What reads: never Auto.
  Method method() const { return chosen; }

  /// To be called at load for every transfer that will be made: takes the
  /// memory it needs beside its target (bounce buffers: at most depth times
  /// kBounceBytes, once).
  Result<void> allow(uint64_t offset, const uint8_t *target, uint64_t bytes);

  /// Bytes of memory that allow() took.
  uint64_t bounceBytes() const;

  /// Whether begin() has to wait for pump().
  bool full() const { return begun - retired == kTransfers; }
  /// Whether a transfer into [target, target + bytes) would race one that is
  /// not complete: it must wait for pump().
  bool conflicts(const uint8_t *target, uint64_t bytes) const;
  /// Appends a transfer: `bytes` bytes from `offset` of the weights file.
  /// Returns its number; numbers count up from 0. Not while full().
  uint64_t begin(uint64_t offset, uint8_t *target, uint64_t bytes);

  /// Transfers below this number are complete.
  uint64_t completed() const { return retired; }
  bool idle() const { return retired == begun; }

  /// Issues what can be issued and takes what has arrived; with `wait`, waits
  /// until something has, unless nothing is in flight.
  void pump(bool wait);

  /// Set by a read that failed; nothing more completes until drain().
  const ReadFailure &failure() const { return failed; }

  /// Gives up all transfers: when this returns, no read is in flight. The
  /// engine is as new.
  void drain();

  /// All of it, now. Only while idle().
  ReadFailure read(uint64_t offset, uint8_t *target, uint64_t bytes);

  static constexpr uint64_t kBounceBytes = uint64_t(512) << 10;

private:
  static constexpr uint32_t kTransfers = 64;

  struct Transfer {
    uint64_t offset = 0; // in the descriptor's file
    uint8_t *target = nullptr;
    uint64_t bytes = 0;
    uint64_t issued = 0;
    uint64_t done = 0;
  };
  /// One request in flight.
  struct Slot {
    uint64_t transfer = 0;
    uint64_t offset = 0;
    uint8_t *target = nullptr; // where the bytes belong
    uint32_t bytes = 0;
    bool direct = false;
    bool bounced = false;
    bool busy = false;
  };

  TransferEngine() = default;
  Result<void> open(const WeightsSource &source, const IoOptions &options);
  Result<std::unique_ptr<ReadBackend>> choose(const IoOptions &options,
                                              uint64_t fileBytes);
  bool misaligned(uint64_t offset, const uint8_t *target, uint64_t bytes) const;
  bool issueOne();
  void submit(uint32_t slot);
  void take(const ReadResult &result);

  Descriptors files;
  bool ownsBuffered = false;
  uint64_t base = 0;
  Method chosen = Method::Cached;
  uint64_t offsetAlignment = 4096; // of direct reads
  uint64_t memoryAlignment = 4096;
  uint32_t depth = 1;
  uint32_t requestBytes = 0;
  std::unique_ptr<ReadBackend> backend;

  std::array<Transfer, kTransfers> transfers; // by number modulo kTransfers
  uint64_t begun = 0;
  uint64_t issuing = 0; // the first that is not issued whole
  uint64_t retired = 0;
  std::vector<Slot> slots;
  uint32_t inFlight = 0;
  uint8_t *bounce = nullptr; // a piece of kBounceBytes per slot
  uint64_t bounceMapped = 0;
  ReadFailure failed;
};

} // namespace llmc::io

#endif // LLMC_RUNTIME_IO_TRANSFERENGINE_H
