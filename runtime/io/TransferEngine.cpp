//===- TransferEngine.cpp -------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/io/TransferEngine.h"
#include "runtime/io/OpenDirect.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llmc::io {

static constexpr uint64_t kHugePage = uint64_t(2) << 20;

Error describe(const WeightsSource &source, const ReadFailure &failure) {
  if (failure.error == 0) {
    return {ErrorCode::WeightsTruncated, source.path +
                                             ": the file ends before byte " +
                                             std::to_string(failure.offset)};
  }
  return {ErrorCode::TransferFailed, source.path + ": cannot read at byte " +
                                         std::to_string(failure.offset) + ": " +
                                         std::strerror(failure.error) +
                                         " (errno " +
                                         std::to_string(failure.error) + ")"};
}

static constexpr std::string_view kNames[] = {"auto", "uring", "direct",
                                              "buffered", "cached"};

std::string_view name(Method method) {
  return kNames[static_cast<size_t>(method)];
}

std::optional<Method> methodNamed(std::string_view text) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == text) {
      return static_cast<Method>(i);
    }
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<TransferEngine>>
TransferEngine::create(const WeightsSource &source, const IoOptions &options) {
  std::unique_ptr<TransferEngine> engine(new TransferEngine());
  if (Result<void> opened = engine->open(source, options); !opened) {
    return opened.error();
  }
  return engine;
}

TransferEngine::~TransferEngine() {
  backend.reset(); // ends what is in flight
  if (files.direct >= 0) {
    close(files.direct);
  }
  if (ownsBuffered) {
    close(files.buffered);
  }
  if (bounce) {
    munmap(bounce, bounceMapped);
  }
}

/// Whether the backend can read past the page cache from this file: 0, or
/// errno.
static int tryDirect(ReadBackend &backend, uint64_t offset) {
  alignas(4096) uint8_t page[4096];
  backend.begin({offset, page, sizeof(page), 0, true});
  ReadResult result;
  if (!backend.next(result, true)) {
    return EIO;
  }
  return result.got > 0    ? 0
         : result.got == 0 ? EIO
                           : static_cast<int>(-result.got);
}

Result<void> TransferEngine::open(const WeightsSource &source,
                                  const IoOptions &options) {
  base = source.base;
  depth = std::clamp<uint32_t>(options.depth, 1, 64);
  requestBytes = std::clamp<uint32_t>(options.requestBytes, 4096, 64u << 20);
  requestBytes = (requestBytes + 4095) / 4096 * 4096;
  struct stat info{};
  if (fstat(source.fd, &info) != 0) {
    return {ErrorCode::TransferFailed,
            source.path + ": cannot be looked at: " + std::strerror(errno)};
  }
  // Own descriptors: advice about reading ahead goes with them.
  files.buffered = reopen(source.fd, source.path, O_RDONLY);
  ownsBuffered = files.buffered >= 0;
  if (!ownsBuffered) {
    files.buffered = source.fd;
  }
  Result<std::unique_ptr<ReadBackend>> made =
      choose(options, static_cast<uint64_t>(info.st_size));
  if (!made) {
    return {made.error().code, source.path + ": " + made.error().message};
  }
  backend = std::move(*made);
  if (options.wrap) {
    backend = options.wrap(std::move(backend));
  }
  if (chosen != Method::Uring && chosen != Method::Direct &&
      files.direct >= 0) {
    close(files.direct);
    files.direct = -1;
  }
  if (ownsBuffered) {
    // Beside direct reads only small pieces come this way.
    posix_fadvise(files.buffered, 0, 0,
                  files.direct >= 0 ? POSIX_FADV_RANDOM
                                    : POSIX_FADV_SEQUENTIAL);
  }
  depth = std::min(depth, backend->capacity());
  slots.resize(depth);
  return {};
}

Result<std::unique_ptr<ReadBackend>>
TransferEngine::choose(const IoOptions &options, uint64_t fileBytes) {
  const bool any = options.method == Method::Auto;
  const auto refuse = [&](const char *what, int error) {
    return Error{ErrorCode::Unsupported,
                 "--io " + std::string(name(options.method)) + ": " + what +
                     ": " + std::strerror(error) + " (errno " +
                     std::to_string(error) + ")"};
  };
  const bool wantsDirect = (any && fileBytes > kCachedFile) ||
                           options.method == Method::Uring ||
                           options.method == Method::Direct;
  if (wantsDirect) {
    const DirectFile direct = openDirect(files.buffered);
    files.direct = direct.fd;
    offsetAlignment = direct.offsetAlignment;
    memoryAlignment = direct.memoryAlignment;
    if (files.direct < 0 && !any) {
      return refuse("the file cannot be opened with O_DIRECT", direct.error);
    }
  }
  const uint64_t firstPage = base / 4096 * 4096;
  if (files.direct >= 0 && (any || options.method == Method::Uring)) {
    int error = 0;
    std::unique_ptr<ReadBackend> uring =
        createUringBackend(files, depth, {}, error);
    if (uring) {
      error = tryDirect(*uring, firstPage);
    }
    if (error == 0) {
      chosen = Method::Uring;
      return uring;
    }
    if (!any) {
      return refuse("io_uring cannot read the file directly", error);
    }
  }
  if (files.direct >= 0 && (any || options.method == Method::Direct)) {
    std::unique_ptr<ReadBackend> threads =
        createThreadBackend(files, std::min(depth, kMaxThreads), false);
    const int error = tryDirect(*threads, firstPage);
    if (error == 0) {
      chosen = Method::Direct;
      return threads;
    }
    if (!any) {
      return refuse("pread cannot read the file directly", error);
    }
  }
  if (options.method == Method::Cached || (any && fileBytes <= kCachedFile)) {
    chosen = Method::Cached;
    return createInlineBackend(files);
  }
  chosen = Method::Buffered;
  return createThreadBackend(files, std::min(depth, kMaxThreads), true);
}

bool TransferEngine::misaligned(uint64_t offset, const uint8_t *target,
                                uint64_t bytes) const {
  if (files.direct < 0 || bytes < kSmallTransfer) {
    return false;
  }
  const uint64_t head =
      (offsetAlignment - (base + offset) % offsetAlignment) % offsetAlignment;
  return (reinterpret_cast<uintptr_t>(target) + head) % memoryAlignment != 0;
}

Result<void> TransferEngine::allow(uint64_t offset, const uint8_t *target,
                                   uint64_t bytes) {
  if (bounce || !misaligned(offset, target, bytes)) {
    return {};
  }
  // In huge pages, as the arena: see Arena.h.
  bounceMapped = (depth * kBounceBytes + kHugePage - 1) / kHugePage * kHugePage;
  void *raw = mmap(nullptr, bounceMapped, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) {
    bounceMapped = 0;
    return {ErrorCode::OutOfMemory,
            std::string("no memory for buffers of direct reads: ") +
                std::strerror(errno)};
  }
  bounce = static_cast<uint8_t *>(raw);
  madvise(bounce, bounceMapped, MADV_HUGEPAGE);
  for (uint64_t at = 0; at < bounceMapped; at += 4096) {
    static_cast<volatile uint8_t *>(bounce)[at] = 0;
  }
  return {};
}

uint64_t TransferEngine::bounceBytes() const { return bounceMapped; }

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

bool TransferEngine::conflicts(const uint8_t *target, uint64_t bytes) const {
  for (uint64_t i = retired; i < begun; ++i) {
    const Transfer &t = transfers[i % kTransfers];
    if (target < t.target + t.bytes && t.target < target + bytes) {
      return true;
    }
  }
  return false;
}

uint64_t TransferEngine::begin(uint64_t offset, uint8_t *target,
                               uint64_t bytes) {
  transfers[begun % kTransfers] = {base + offset, target, bytes, 0, 0};
  return begun++;
}

/// Cuts the next request off the transfers and gives it to the backend.
bool TransferEngine::issueOne() {
  while (issuing < begun && transfers[issuing % kTransfers].issued ==
                                transfers[issuing % kTransfers].bytes) {
    ++issuing;
  }
  if (issuing == begun || inFlight == depth || failed.failed) {
    return false;
  }
  Transfer &t = transfers[issuing % kTransfers];
  uint32_t index = 0;
  while (slots[index].busy) {
    ++index;
  }
  Slot &slot = slots[index];
  const uint64_t left = t.bytes - t.issued;
  slot.transfer = issuing;
  slot.offset = t.offset + t.issued;
  slot.target = t.target + t.issued;
  slot.busy = true;
  slot.direct = false;
  slot.bounced = false;
  uint64_t bytes = std::min<uint64_t>(left, requestBytes);
  if (files.direct >= 0 && t.bytes >= kSmallTransfer) {
    const uint64_t beyond = slot.offset % offsetAlignment;
    if (beyond != 0) {
      bytes = std::min(left, offsetAlignment - beyond);
    } else if (left >= offsetAlignment) {
      slot.bounced =
          reinterpret_cast<uintptr_t>(slot.target) % memoryAlignment != 0;
      slot.direct = !slot.bounced || bounce;
      slot.bounced = slot.bounced && bounce;
      if (slot.bounced) {
        bytes = std::min(bytes, kBounceBytes);
      }
      if (slot.direct) {
        bytes -= bytes % offsetAlignment;
      }
    }
  }
  slot.bytes = static_cast<uint32_t>(bytes);
  t.issued += bytes;
  ++inFlight;
  submit(index);
  return true;
}

void TransferEngine::submit(uint32_t index) {
  const Slot &slot = slots[index];
  backend->begin({slot.offset,
                  slot.bounced ? bounce + index * kBounceBytes : slot.target,
                  slot.bytes, index, slot.direct});
}

void TransferEngine::take(const ReadResult &result) {
  Slot &slot = slots[result.tag];
  const auto fail = [&](int error) {
    if (!failed.failed) {
      failed = {true, slot.offset, error};
    }
    slot.busy = false;
    --inFlight;
  };
  if (result.got < 0) {
    const auto error = static_cast<int>(-result.got);
    if (failed.failed) {
      fail(error);
    } else if (error == EINTR || error == EAGAIN) {
      submit(result.tag);
    } else if (slot.direct && (error == EINVAL || error == EOPNOTSUPP)) {
      // This range will not be read directly, whatever was promised.
      slot.direct = slot.bounced = false;
      submit(result.tag);
    } else {
      fail(error);
    }
    return;
  }
  if (result.got == 0) {
    fail(0);
    return;
  }
  const uint32_t got = static_cast<uint32_t>(
      std::min<uint64_t>(static_cast<uint64_t>(result.got), slot.bytes));
  if (slot.bounced) {
    std::memcpy(slot.target, bounce + result.tag * kBounceBytes, got);
  }
  transfers[slot.transfer % kTransfers].done += got;
  if (got < slot.bytes && !failed.failed) {
    // A short read: the rest, which may not be aligned any more.
    slot.offset += got;
    slot.target += got;
    slot.bytes -= got;
    if (slot.offset % offsetAlignment != 0 ||
        slot.bytes % offsetAlignment != 0 ||
        (!slot.bounced &&
         reinterpret_cast<uintptr_t>(slot.target) % memoryAlignment != 0)) {
      slot.direct = slot.bounced = false;
    }
    submit(result.tag);
    return;
  }
  slot.busy = false;
  --inFlight;
}

void TransferEngine::pump(bool wait) {
  const auto takeAll = [&](bool block) {
    bool any = false;
    for (ReadResult result; inFlight != 0 && backend->next(result, block);) {
      take(result);
      block = false;
      any = true;
    }
    return any;
  };
  bool arrived = takeAll(false);
  while (issueOne()) {
    arrived |= takeAll(false);
    // A backend that reads at once comes back after each read: who waits for
    // this transfer must not wait for what lies behind it.
    if (depth == 1) {
      break;
    }
  }
  if (wait && !arrived && takeAll(true)) {
    // The link must not run dry while the caller handles what arrived.
    while (depth > 1 && issueOne()) {
    }
  }
  while (retired < begun) {
    const Transfer &t = transfers[retired % kTransfers];
    if (t.done != t.bytes) {
      break;
    }
    ++retired;
  }
}

void TransferEngine::drain() {
  // Nothing new is issued once it failed, and nothing tried again.
  failed.failed = true;
  for (ReadResult result; inFlight != 0 && backend->next(result, true);) {
    take(result);
  }
  issuing = retired = begun;
  failed = {};
}

ReadFailure TransferEngine::read(uint64_t offset, uint8_t *target,
                                 uint64_t bytes) {
  begin(offset, target, bytes);
  while (!idle() && !failed.failed) {
    pump(true);
  }
  const ReadFailure result = failed;
  if (result.failed) {
    drain();
  }
  return result;
}

} // namespace llmc::io
