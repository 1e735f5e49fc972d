//===- InlineBackend.cpp - Reads in the caller's thread -------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/io/ReadBackend.h"

#include <cerrno>
#include <unistd.h>

namespace llmc::io {
namespace {

class InlineBackend final : public ReadBackend {
public:
  explicit InlineBackend(const Descriptors &files) : files(files) {}

  uint32_t capacity() const override { return 1; }

  void begin(const ReadRequest &request) override {
    const ssize_t got =
        pread(request.direct ? files.direct : files.buffered, request.target,
              request.bytes, static_cast<off_t>(request.offset));
    result = {request.tag, got < 0 ? -errno : got};
    finished = true;
  }

  bool next(ReadResult &out, bool) override {
    if (!finished) {
      return false;
    }
    out = result;
    finished = false;
    return true;
  }

private:
  Descriptors files;
  ReadResult result;
  bool finished = false;
};

} // namespace

std::unique_ptr<ReadBackend> createInlineBackend(const Descriptors &files) {
  return std::make_unique<InlineBackend>(files);
}

} // namespace llmc::io
