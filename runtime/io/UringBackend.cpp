//===- UringBackend.cpp - Reads through io_uring --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/io/ReadBackend.h"

#include <cerrno>

#ifdef LLMC_HAVE_LIBURING
#include <liburing.h>
#include <sched.h>
#include <sys/uio.h>
#endif

namespace llmc::io {

#ifdef LLMC_HAVE_LIBURING
namespace {

class UringBackend final : public ReadBackend {
public:
  UringBackend(const Descriptors &files, uint32_t depth)
      : files(files), depth(depth) {}

  ~UringBackend() override {
    if (open) {
      // The kernel may still write into buffers of reads in flight.
      ReadResult ignored;
      while (next(ignored, true)) {
      }
      io_uring_queue_exit(&ring);
    }
  }

  /// 0, or errno.
  int create(std::span<uint8_t> wanted) {
    // No IORING_SETUP_SINGLE_ISSUER: whoever walks the copy stream submits.
    if (const int code = io_uring_queue_init(depth, &ring, 0); code < 0) {
      return -code;
    }
    open = true;
    if (!wanted.empty()) {
      const iovec range{wanted.data(), wanted.size()};
      if (const int code = io_uring_register_buffers(&ring, &range, 1);
          code < 0) {
        return -code;
      }
      registered = wanted;
    }
    return 0;
  }

  uint32_t capacity() const override { return depth; }

  void begin(const ReadRequest &request) override {
    io_uring_sqe *entry = stuck ? nullptr : io_uring_get_sqe(&ring);
    if (!entry) {
      refused = {request.tag, -(stuck ? stuck : EBUSY)};
      hasRefused = true;
      return;
    }
    const int fd = request.direct ? files.direct : files.buffered;
    if (request.target >= registered.data() &&
        request.target + request.bytes <=
            registered.data() + registered.size()) {
      io_uring_prep_read_fixed(entry, fd, request.target, request.bytes,
                               request.offset, 0);
    } else {
      io_uring_prep_read(entry, fd, request.target, request.bytes,
                         request.offset);
    }
    io_uring_sqe_set_data64(entry, request.tag);
    for (;;) {
      const int code = io_uring_submit(&ring);
      if (code > 0) {
        ++inFlight;
        return;
      }
      if (code == -EINTR || code == -EAGAIN || code == -EBUSY) {
        sched_yield(); // the kernel is short of requests; some will finish
        continue;
      }
      // The entry stays in the ring unseen, so nothing may be submitted again.
      stuck = code < 0 ? -code : EIO;
      refused = {request.tag, -stuck};
      hasRefused = true;
      return;
    }
  }

  bool next(ReadResult &result, bool wait) override {
    if (hasRefused) {
      result = refused;
      hasRefused = false;
      return true;
    }
    if (inFlight == 0) {
      return false;
    }
    io_uring_cqe *done = nullptr;
    for (;;) {
      const int code = io_uring_peek_cqe(&ring, &done);
      if (code == 0 && done) {
        break;
      }
      if (!wait) {
        return false;
      }
      // Interrupted or not: look again.
      io_uring_wait_cqe(&ring, &done);
    }
    result = {static_cast<uint32_t>(io_uring_cqe_get_data64(done)), done->res};
    io_uring_cqe_seen(&ring, done);
    --inFlight;
    return true;
  }

private:
  Descriptors files;
  uint32_t depth;
  io_uring ring{};
  bool open = false;
  std::span<uint8_t> registered;
  uint32_t inFlight = 0;
  int stuck = 0; // errno of a submission that failed for good
  ReadResult refused;
  bool hasRefused = false;
};

} // namespace

std::unique_ptr<ReadBackend> createUringBackend(const Descriptors &files,
                                                uint32_t depth,
                                                std::span<uint8_t> registered,
                                                int &error) {
  auto backend = std::make_unique<UringBackend>(files, depth);
  error = backend->create(registered);
  return error == 0 ? std::move(backend) : nullptr;
}

bool hasUring() { return true; }

#else // LLMC_HAVE_LIBURING

std::unique_ptr<ReadBackend> createUringBackend(const Descriptors &, uint32_t,
                                                std::span<uint8_t>,
                                                int &error) {
  error = ENOSYS;
  return nullptr;
}

bool hasUring() { return false; }

#endif // LLMC_HAVE_LIBURING

} // namespace llmc::io
