//===- plan_hash_test.cpp - The 128-bit checksum --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/support/Hash.h"

#include "gtest/gtest.h"

#include <bit>
#include <chrono>
#include <random>
#include <set>
#include <vector>

using namespace llmc;

static std::vector<uint8_t> randomBytes(size_t size) {
  std::mt19937_64 random(size);
  std::vector<uint8_t> bytes(size);
  for (uint8_t &byte : bytes) {
    byte = uint8_t(random());
  }
  return bytes;
}

TEST(Hash, DoesNotDependOnThePieces) {
  std::vector<uint8_t> bytes = randomBytes(5000);
  std::mt19937_64 random(1);
  for (size_t size : {0, 1, 63, 64, 65, 1023, 1024, 1025, 4096, 5000}) {
    Hash128 whole = hash128(bytes.data(), size);
    for (int round = 0; round < 20; ++round) {
      Hasher hasher;
      size_t at = 0;
      while (at < size) {
        size_t take = std::min<size_t>(random() % 200, size - at);
        hasher.update(bytes.data() + at, take);
        at += take;
      }
      EXPECT_EQ(hasher.finish(), whole) << size;
    }
  }
}

TEST(Hash, IsFixedForever) {
  // Files on disk hold these values: a change needs new format versions.
  EXPECT_EQ(hash128(std::string_view("")).text(),
            "50babff47036ece78300fc93588cb7b3");
  EXPECT_EQ(hash128(std::string_view("llmc")).text(),
            "27f016a7080aa3089246a466c5209d8d");
  std::vector<uint8_t> bytes(100000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = uint8_t(i * 31);
  }
  EXPECT_EQ(hash128(bytes).text(), "39a9aa7ce43de27c1cbffdf7e67dc633");
}

TEST(Hash, EveryBitFlipChangesManyBits) {
  std::vector<uint8_t> bytes = randomBytes(3000);
  Hash128 before = hash128(bytes);
  double flipped = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= uint8_t(1) << (bit % 8);
    Hash128 after = hash128(bytes);
    bytes[bit / 8] ^= uint8_t(1) << (bit % 8);
    int changed = std::popcount(before.low ^ after.low) +
                  std::popcount(before.high ^ after.high);
    ASSERT_GT(changed, 20) << bit;
    flipped += changed;
  }
  EXPECT_NEAR(flipped / double(bytes.size() * 8), 64, 1);
}

TEST(Hash, TellsLengthsAndZerosApart) {
  std::vector<uint8_t> zeros(3000);
  std::set<std::string> seen;
  for (size_t size = 0; size <= zeros.size(); ++size) {
    EXPECT_TRUE(seen.insert(hash128(zeros.data(), size).text()).second) << size;
  }
}

TEST(Hash, IsFast) {
  std::vector<uint8_t> bytes(64 << 20, 1);
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    auto begin = std::chrono::steady_clock::now();
    Hash128 hash = hash128(bytes);
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - begin;
    EXPECT_NE(hash.low, 0u);
    best = std::max(best, double(bytes.size()) / time.count() / 1e9);
  }
  RecordProperty("gigabytes_per_second", std::to_string(best));
  std::printf("%.1f GB/s\n", best);
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) &&                       \
    !__has_feature(address_sanitizer)
  EXPECT_GT(best, 1.0) << "on a machine under load; 3 and more when quiet";
#endif
}
