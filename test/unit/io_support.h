//===- io_support.h - Files and backends for transfer tests ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_IO_SUPPORT_H
#define LLMC_TEST_UNIT_IO_SUPPORT_H

#include "runtime/io/TransferEngine.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace llmc::test {

/// Byte `i` of every test file.
inline uint8_t contentAt(uint64_t i) {
  return static_cast<uint8_t>((i * 2654435761u) >> 13);
}

/// A file of `bytes` bytes that goes with the test.
class ContentFile {
public:
  explicit ContentFile(uint64_t bytes, const char *folder = "/tmp") {
    name = std::string(folder) + "/llmc-io-XXXXXX";
    source.fd = mkstemp(name.data());
    source.path = name;
    std::vector<uint8_t> content(bytes);
    for (uint64_t i = 0; i < bytes; ++i) {
      content[i] = contentAt(i);
    }
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t put = pwrite(source.fd, content.data() + done, bytes - done,
                                 static_cast<off_t>(done));
      if (put <= 0) {
        std::abort();
      }
      done += static_cast<uint64_t>(put);
    }
    fsync(source.fd);
  }
  ~ContentFile() {
    close(source.fd);
    unlink(name.c_str());
  }

  WeightsSource source;

private:
  std::string name;
};

/// Changes what a backend reports, or what it is asked for.
class FaultyBackend : public io::ReadBackend {
public:
  /// Called with the number of the read and its request; may shorten the
  /// request. Returns an errno to report instead of reading, or 0.
  using Fault = std::function<int(uint64_t number, io::ReadRequest &request)>;

  FaultyBackend(std::unique_ptr<io::ReadBackend> inner, Fault fault)
      : inner(std::move(inner)), fault(std::move(fault)) {}

  uint32_t capacity() const override { return inner->capacity(); }

  void begin(const io::ReadRequest &request) override {
    io::ReadRequest changed = request;
    if (const int error = fault(number++, changed)) {
      refused.push_back({request.tag, -error});
      return;
    }
    inner->begin(changed);
  }

  bool next(io::ReadResult &result, bool wait) override {
    if (!refused.empty()) {
      result = refused.back();
      refused.pop_back();
      return true;
    }
    return inner->next(result, wait);
  }

private:
  std::unique_ptr<io::ReadBackend> inner;
  Fault fault;
  uint64_t number = 0;
  std::vector<io::ReadResult> refused;
};

/// For IoOptions::wrap.
inline auto withFaults(FaultyBackend::Fault fault) {
  return [fault](std::unique_ptr<io::ReadBackend> inner)
             -> std::unique_ptr<io::ReadBackend> {
    return std::make_unique<FaultyBackend>(std::move(inner), fault);
  };
}

/// For withFaults, where reads need no alignment: at random a read is
/// interrupted, short or late. `count`: how many were.
inline FaultyBackend::Fault
disturbance(unsigned seed, std::shared_ptr<std::atomic<int>> count = nullptr) {
  auto random = std::make_shared<std::mt19937>(seed);
  return [random, count](uint64_t, io::ReadRequest &request) {
    const uint32_t kind = (*random)() % 4;
    if (count && kind != 3) {
      ++*count;
    }
    if (kind == 0) {
      return EINTR;
    }
    if (kind == 1) {
      request.bytes = 1 + (*random)() % request.bytes;
    } else if (kind == 2) {
      std::this_thread::sleep_for(std::chrono::microseconds((*random)() % 300));
    }
    return 0;
  };
}

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_IO_SUPPORT_H
