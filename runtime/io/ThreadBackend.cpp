//===- ThreadBackend.cpp - Reads by threads that call pread ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Each thread has a box of its own: the caller posts a request into it, the
// thread the result. Whoever has nothing to do sleeps on a futex.
//
//===----------------------------------------------------------------------===//

#include "runtime/io/ReadBackend.h"

#include "runtime/support/Stack.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace llmc::io {
namespace {

class ThreadBackend final : public ReadBackend {
public:
  ThreadBackend(const Descriptors &files, uint32_t depth, bool dropBehind)
      : files(files), dropBehind(dropBehind), boxes(depth) {
    for (Box &box : boxes) {
      box.thread = std::thread([this, &box] { work(box); });
    }
    // Their first touches are part of the load.
    for (uint32_t ready = 0; ready != depth;) {
      finished.wait(ready, std::memory_order_acquire);
      ready = finished.load(std::memory_order_acquire);
    }
  }

  ~ThreadBackend() override {
    for (Box &box : boxes) {
      // A read in flight is finished first.
      uint32_t state = box.state.load(std::memory_order_acquire);
      while (state == kPosted) {
        box.state.wait(state, std::memory_order_acquire);
        state = box.state.load(std::memory_order_acquire);
      }
      box.state.store(kQuit, std::memory_order_release);
      box.state.notify_all();
      box.thread.join();
    }
  }

  uint32_t capacity() const override {
    return static_cast<uint32_t>(boxes.size());
  }

  void begin(const ReadRequest &request) override {
    for (Box &box : boxes) {
      if (box.state.load(std::memory_order_relaxed) == kIdle) {
        box.request = request;
        box.state.store(kPosted, std::memory_order_release);
        box.state.notify_all();
        ++inFlight;
        return;
      }
    }
  }

  bool next(ReadResult &result, bool wait) override {
    while (inFlight != 0) {
      const uint32_t seen = finished.load(std::memory_order_acquire);
      for (Box &box : boxes) {
        if (box.state.load(std::memory_order_acquire) == kDone) {
          result = {box.request.tag, box.got};
          box.state.store(kIdle, std::memory_order_relaxed);
          --inFlight;
          return true;
        }
      }
      if (!wait) {
        return false;
      }
      finished.wait(seen, std::memory_order_acquire);
    }
    return false;
  }

private:
  enum State : uint32_t { kIdle, kPosted, kDone, kQuit };
  struct alignas(64) Box {
    std::atomic<uint32_t> state{kIdle};
    ReadRequest request;
    int64_t got = 0;
    std::thread thread;
  };

  void work(Box &box) {
    touchStack();
    finished.fetch_add(1, std::memory_order_release);
    finished.notify_all();
    for (;;) {
      const uint32_t state = box.state.load(std::memory_order_acquire);
      if (state == kQuit) {
        return;
      }
      if (state != kPosted) {
        box.state.wait(state, std::memory_order_acquire);
        continue;
      }
      const ReadRequest &request = box.request;
      const ssize_t got =
          pread(request.direct ? files.direct : files.buffered, request.target,
                request.bytes, static_cast<off_t>(request.offset));
      box.got = got < 0 ? -errno : got;
      if (dropBehind && !request.direct && got > 0) {
        posix_fadvise(files.buffered, static_cast<off_t>(request.offset), got,
                      POSIX_FADV_DONTNEED);
      }
      box.state.store(kDone, std::memory_order_release);
      box.state.notify_all(); // the destructor may wait for it
      finished.fetch_add(1, std::memory_order_release);
      finished.notify_all();
    }
  }

  Descriptors files;
  bool dropBehind;
  uint32_t inFlight = 0;
  std::atomic<uint32_t> finished{0};
  std::vector<Box> boxes;
};

} // namespace

std::unique_ptr<ReadBackend>
createThreadBackend(const Descriptors &files, uint32_t depth, bool dropBehind) {
  return std::make_unique<ThreadBackend>(files, depth, dropBehind);
}

} // namespace llmc::io
