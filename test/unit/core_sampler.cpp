//===- core_sampler.cpp - Choosing tokens ---------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace llmc;

static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(CoreSampler, GreedyTakesTheLowestOfEquals) {
  EXPECT_EQ(argmax(std::vector<float>{1, 3, 2, 3}), 1);
  EXPECT_EQ(argmax(std::vector<float>{kNan, -5, -6}), 1);
  EXPECT_EQ(argmax(std::vector<float>{-INFINITY, -INFINITY}), 0);
  Sampler greedy({}, 4);
  EXPECT_EQ(greedy.choose(std::vector<float>{1, 3, 2, 3}), 1);
}

static std::vector<int> histogram(const SamplerOptions &options,
                                  const std::vector<float> &logits, int draws) {
  Sampler sampler(options, static_cast<int64_t>(logits.size()));
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    ++counts[static_cast<size_t>(sampler.choose(logits))];
  }
  return counts;
}

TEST(CoreSampler, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {0, 1, 2, kNan};
  const int draws = 20000;
  const std::vector<int> counts =
      histogram({.temperature = 0.5, .seed = 3}, logits, draws);
  const double sum = 1 + std::exp(2.0) + std::exp(4.0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(counts[i], draws * std::exp(2.0 * i) / sum, 300) << i;
  }
  EXPECT_EQ(counts[3], 0);
}

TEST(CoreSampler, TopKAndTopP) {
  const std::vector<float> logits = {1, 4, 4, 2, 3, 4};
  // Among equals the lowest indices stay.
  std::vector<int> counts =
      histogram({.temperature = 1, .topK = 2}, logits, 2000);
  EXPECT_EQ(counts[1] + counts[2], 2000);
  EXPECT_NEAR(counts[1], 1000, 150);
  EXPECT_EQ(histogram({.temperature = 1, .topK = 1}, logits, 50)[1], 50);
  EXPECT_EQ(histogram({.temperature = 1, .topK = 99}, logits, 50).size(), 6u);
  // p = 0.9 of [e^0, e^-1, e^-2]: the first two hold 0.91.
  counts = histogram({.temperature = 1, .topP = 0.9}, {3, 2, 1, -40}, 5000);
  EXPECT_EQ(counts[2] + counts[3], 0);
  EXPECT_GT(counts[1], 1000);
  counts = histogram({.temperature = 1, .topP = 0}, {3, 2, 1}, 100);
  EXPECT_EQ(counts[0], 100);
}

TEST(CoreSampler, SameSeedSameTokens) {
  std::vector<float> logits(100);
  for (int i = 0; i < 100; ++i) {
    logits[i] = static_cast<float>((i * 37) % 17) / 4;
  }
  Sampler a({.temperature = 1, .seed = 7}, 100);
  Sampler b({.temperature = 1, .seed = 7}, 100);
  Sampler c({.temperature = 1, .seed = 8}, 100);
  int same = 0;
  for (int i = 0; i < 200; ++i) {
    const int64_t token = a.choose(logits);
    EXPECT_EQ(token, b.choose(logits));
    same += token == c.choose(logits);
  }
  EXPECT_LT(same, 50);
}

TEST(CoreSampler, InfinitiesDoNotBreakIt) {
  EXPECT_EQ(histogram({.temperature = 1}, {0, INFINITY, 1}, 20)[1], 20);
  EXPECT_EQ(histogram({.temperature = 1}, {-INFINITY, -INFINITY, 1}, 20)[2],
            20);
  histogram({.temperature = 1}, {kNan, kNan}, 20);
  histogram({.temperature = 1e-30}, {1, 2, 3}, 20);
}
