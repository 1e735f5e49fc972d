//===- Size.h - Sizes as people write them ---------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// `12G` is 12 * 2^30 bytes, `12GB` is 12 * 10^9, `1.5M` and plain `4096` work.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_SUPPORT_SIZE_H
#define LLMC_RUNTIME_SUPPORT_SIZE_H

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace llmc {

/// Bytes, or nullopt when `text` is not a size or does not fit 63 bits.
/// Fractions of a byte are dropped.
inline std::optional<uint64_t> parseSize(std::string_view text) {
  uint64_t whole = 0;
  size_t i = 0;
  constexpr uint64_t limit = INT64_MAX;
  auto digit = [&] {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  if (!digit()) {
    return std::nullopt;
  }
  for (; digit(); ++i) {
    whole = whole * 10 + uint64_t(text[i] - '0');
    if (whole > limit / 16) {
      return std::nullopt;
    }
  }
  uint64_t fraction = 0, scale = 1;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digit()) {
      return std::nullopt;
    }
    for (; digit(); ++i) {
      if (scale < 1000000) {
        fraction = fraction * 10 + uint64_t(text[i] - '0');
        scale *= 10;
      }
    }
  }
  std::string_view unit = text.substr(i);
  uint64_t factor = 1;
  if (!unit.empty()) {
    constexpr std::string_view prefixes = "KMGT";
    size_t power = prefixes.find(char(unit[0] & ~0x20));
    bool isByte = unit == "B";
    if (power == std::string_view::npos && !isByte) {
      return std::nullopt;
    }
    std::string_view rest = unit.substr(1);
    uint64_t base = 1024;
    if (rest == "B" || rest == "b") {
      base = 1000;
    } else if (!rest.empty() && rest != "iB") {
      return std::nullopt;
    }
    for (size_t p = 0; !isByte && p <= power; ++p) {
      factor *= base;
    }
  }
  if (factor == 1 && scale != 1) {
    return std::nullopt;
  }
  unsigned __int128 bytes =
      static_cast<unsigned __int128>(whole) * factor +
      static_cast<unsigned __int128>(fraction) * factor / scale;
  if (bytes > limit) {
    return std::nullopt;
  }
  return uint64_t(bytes);
}

/// `11.9 MiB`, `640 B`.
inline std::string formatSize(uint64_t bytes) {
  constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = double(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value,
                units[unit]);
  return text;
}

} // namespace llmc

#endif // LLMC_RUNTIME_SUPPORT_SIZE_H
