//===- EmbeddedPlan.h - A plan appended to llmc-run ------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// `llmc compile --emit=exe` writes
//
//   llmc-run | padding | plan file | padding | weights file | trailer
//
// where plan and weights start at multiples of 4096 and the trailer is the
// last 40 bytes of the file, five little-endian 64-bit words:
//
//   plan offset, plan size, weights offset, weights size, "LLMCEXE1"
//
// Segment offsets of the plan count from the weights offset. Header only, so
// that the compiler can write it without linking the executor.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_EMBEDDEDPLAN_H
#define LLMC_RUNTIME_PLAN_EMBEDDEDPLAN_H

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

namespace llmc {

struct EmbeddedPlan {
  static constexpr uint64_t kTrailerBytes = 40;
  static constexpr uint64_t kAlignment = 4096;
  static constexpr char kMagic[9] = "LLMCEXE1";

  uint64_t planOffset = 0;
  uint64_t planSize = 0;
  uint64_t weightsOffset = 0;
  uint64_t weightsSize = 0;

  /// Where the next part may start, given that `end` bytes are written.
  static uint64_t align(uint64_t end) {
    return (end + kAlignment - 1) / kAlignment * kAlignment;
  }

  std::array<uint8_t, kTrailerBytes> encode() const {
    std::array<uint8_t, kTrailerBytes> out{};
    const uint64_t words[4] = {planOffset, planSize, weightsOffset,
                               weightsSize};
    for (int i = 0; i < 32; ++i) {
      out[i] = static_cast<uint8_t>(words[i / 8] >> (i % 8 * 8));
    }
    std::memcpy(out.data() + 32, kMagic, 8);
    return out;
  }

  /// The trailer of a file of `fileSize` bytes whose last 40 are `bytes`;
  /// nothing if there is none or it points outside the file.
  static std::optional<EmbeddedPlan> decode(const uint8_t *bytes,
                                            uint64_t fileSize) {
    if (fileSize < kTrailerBytes || std::memcmp(bytes + 32, kMagic, 8) != 0) {
      return std::nullopt;
    }
    uint64_t words[4] = {};
    for (int i = 0; i < 32; ++i) {
      words[i / 8] |= uint64_t(bytes[i]) << (i % 8 * 8);
    }
    const uint64_t room = fileSize - kTrailerBytes;
    if (words[0] > room || words[1] > room - words[0] || words[2] > room ||
        words[3] > room - words[2]) {
      return std::nullopt;
    }
    return EmbeddedPlan{words[0], words[1], words[2], words[3]};
  }
};

/// The trailer of /proc/self/exe (or `path`), if it has one.
std::optional<EmbeddedPlan> readEmbeddedPlan(const char *path);

} // namespace llmc

#endif // LLMC_RUNTIME_PLAN_EMBEDDEDPLAN_H
