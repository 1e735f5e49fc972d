//===- Hash.h - A fast 128-bit checksum ------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Whole weight files go through this, so it must run at memory speed. It is
// the accumulation loop of XXH3 (Yann Collet, xxHash): eight 64-bit lanes take
// one 64-byte stripe at a time with a 32x32->64 multiply each, which compilers
// turn into vector code; every 16 stripes the lanes are scrambled. Secret and
// finish are our own, so the values are not those of xxHash.
//
// It finds damage and tells contents apart; it is not cryptographic. A change
// within one aligned 8-byte word always changes the lanes (each word is added
// to one lane as it is, and scrambling is a bijection).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_SUPPORT_HASH_H
#define LLMC_RUNTIME_SUPPORT_HASH_H

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace llmc {

static_assert(std::endian::native == std::endian::little,
              "llmc's files are little-endian and read as they are");

/// 128 bits; converts to and from the pair of words that the plan stores.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;

  Hash128() = default;
  Hash128(uint64_t low, uint64_t high) : low(low), high(high) {}
  Hash128(const std::array<uint64_t, 2> &words)
      : low(words[0]), high(words[1]) {}
  operator std::array<uint64_t, 2>() const { return {low, high}; }
  bool operator==(const Hash128 &) const = default;

  /// 32 hexadecimal digits, most significant first.
  std::string text() const {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out(32, '0');
    for (int i = 0; i < 16; ++i) {
      out[15 - i] = digits[(high >> (4 * i)) & 15];
      out[31 - i] = digits[(low >> (4 * i)) & 15];
    }
    return out;
  }
};

namespace detail {
/// Fixed random words from splitmix64.
template <size_t N> constexpr std::array<uint64_t, N> makeSecret() {
  std::array<uint64_t, N> words{};
  uint64_t state = 0x6C6C6D63; // "llmc"
  for (uint64_t &word : words) {
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    word = z ^ (z >> 31);
  }
  return words;
}
} // namespace detail

/// Streaming form; the result depends on the bytes only, not on how they were
/// cut into update() calls. One object hashes one content.
class Hasher {
public:
  Hasher() {
    for (int i = 0; i < kLanes; ++i) {
      lanes[i] = kSecret[kSecretWords - 1 - i];
    }
  }

  void update(const void *data, size_t size) {
    const auto *bytes = static_cast<const uint8_t *>(data);
    total += size;
    if (pending != 0) {
      size_t take = size < kStripe - pending ? size : kStripe - pending;
      if (take != 0) {
        std::memcpy(buffer + pending, bytes, take);
      }
      pending += take;
      bytes += take;
      size -= take;
      if (pending < kStripe) {
        return;
      }
      consume(buffer, 1);
      pending = 0;
    }
    size_t stripes = size / kStripe;
    consume(bytes, stripes);
    bytes += stripes * kStripe;
    size -= stripes * kStripe;
    if (size != 0) {
      std::memcpy(buffer, bytes, size);
      pending = size;
    }
  }
  void update(std::span<const uint8_t> bytes) {
    update(bytes.data(), bytes.size());
  }
  void update(std::string_view text) { update(text.data(), text.size()); }
  /// Numbers are hashed as eight little-endian bytes.
  void update(uint64_t value) { update(&value, sizeof(value)); }

  Hash128 finish() const {
    Hasher copy = *this;
    if (pending != 0) {
      std::memset(copy.buffer + pending, 0, kStripe - pending);
      copy.consume(copy.buffer, 1);
    }
    // The length tells a padded last stripe from zeros in the content.
    uint64_t low = total * kPrime1;
    uint64_t high = ~total * kPrime2;
    for (int i = 0; i < kLanes; i += 2) {
      low += foldMul(copy.lanes[i] ^ kSecret[i],
                     copy.lanes[i + 1] ^ kSecret[i + 1]);
      high += foldMul(copy.lanes[i] ^ kSecret[i + 9],
                      std::rotl(copy.lanes[i + 1], 32) ^ kSecret[i + 10]);
    }
    return {avalanche(low), avalanche(high ^ std::rotl(low, 17))};
  }

private:
  static constexpr int kLanes = 8;
  static constexpr size_t kStripe = 64;
  static constexpr int kStripesPerBlock = 16;
  static constexpr int kSecretWords = kStripesPerBlock + 2 * kLanes;
  static constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
  static constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
  static constexpr uint64_t kPrime32 = 0x9E3779B1;

  static constexpr auto kSecret = detail::makeSecret<kSecretWords>();

  static uint64_t foldMul(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^
           static_cast<uint64_t>(product >> 64);
  }
  static uint64_t avalanche(uint64_t h) {
    h ^= h >> 37;
    h *= 0x165667919E3779F9;
    return h ^ (h >> 32);
  }

  void consume(const uint8_t *bytes, size_t stripes) {
    uint64_t acc[kLanes];
    std::memcpy(acc, lanes, sizeof(acc));
    for (size_t s = 0; s < stripes; ++s) {
      uint64_t words[kLanes];
      std::memcpy(words, bytes + s * kStripe, kStripe);
      for (int i = 0; i < kLanes; ++i) {
        uint64_t keyed = words[i] ^ kSecret[stripe + i];
        acc[i] += words[i ^ 1] + (keyed & 0xFFFFFFFF) * (keyed >> 32);
      }
      if (++stripe == kStripesPerBlock) {
        stripe = 0;
        for (int i = 0; i < kLanes; ++i) {
          acc[i] ^= acc[i] >> 47;
          acc[i] ^= kSecret[kStripesPerBlock + i];
          acc[i] *= kPrime32;
        }
      }
    }
    std::memcpy(lanes, acc, sizeof(acc));
  }

  uint64_t lanes[kLanes];
  uint8_t buffer[kStripe];
  size_t pending = 0;
  uint64_t total = 0;
  int stripe = 0;
};

/// One-shot form.
inline Hash128 hash128(const void *data, size_t size) {
  Hasher hasher;
  hasher.update(data, size);
  return hasher.finish();
}
inline Hash128 hash128(std::span<const uint8_t> bytes) {
  return hash128(bytes.data(), bytes.size());
}
inline Hash128 hash128(std::string_view text) {
  return hash128(text.data(), text.size());
}

} // namespace llmc

#endif // LLMC_RUNTIME_SUPPORT_HASH_H
