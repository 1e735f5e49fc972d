//===- core_first_use.cpp - Checksums of segments that come in parts ------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/FirstUse.h"

#include <gtest/gtest.h>

#include <numeric>

using namespace llmc;
using namespace llmc::plan;

namespace {

struct Part {
  uint64_t offset;
  uint64_t bytes;
};

struct FirstUseTest : testing::Test {
  FirstUseTest() : content(1000) {
    std::iota(content.begin(), content.end(), uint8_t(3));
    plan.segments.push_back({"weight", 4096, content.size(), hash128(content)});
  }

  static Schedule copies(const std::vector<Part> &parts) {
    Schedule schedule;
    for (const Part &part : parts) {
      Action action;
      action.kind = StepKind::Copy;
      action.segment = 0;
      action.sourceOffset = part.offset;
      action.bytes = part.bytes;
      schedule.actions.push_back(action);
    }
    return schedule;
  }

  bool arrive(FirstUse &use, const Part &part) {
    return use.arrived(0, part.offset, content.data() + part.offset,
                       part.bytes);
  }

  Plan plan;
  std::vector<uint8_t> content;
};

} // namespace

TEST_F(FirstUseTest, PartsInOrderAreSummedUp) {
  FirstUse use(plan, true);
  use.expect(copies({{0, 300}, {300, 500}, {800, 200}}));
  use.expect(copies({{0, 1000}, {0, 1000}})); // another entry, twice over
  EXPECT_TRUE(use.deferred(0));
  EXPECT_TRUE(arrive(use, {0, 300}));
  EXPECT_TRUE(arrive(use, {300, 500}));
  EXPECT_TRUE(use.pending(0));
  // That run was aborted: the next one begins anew.
  EXPECT_TRUE(arrive(use, {0, 300}));
  EXPECT_TRUE(arrive(use, {300, 500}));
  EXPECT_TRUE(arrive(use, {800, 200}));
  EXPECT_FALSE(use.pending(0));
}

TEST_F(FirstUseTest, OneWrongByteInAnyPart) {
  for (size_t at : {0, 299, 300, 799, 800, 999}) {
    FirstUse use(plan, true);
    use.expect(copies({{0, 300}, {300, 500}, {800, 200}}));
    content[at] ^= 4;
    EXPECT_TRUE(arrive(use, {0, 300}));
    EXPECT_TRUE(arrive(use, {300, 500}));
    EXPECT_FALSE(arrive(use, {800, 200}));
    EXPECT_TRUE(use.pending(0));
    const Error error = use.mismatch({.fd = -1, .base = 0, .path = "w"}, 0);
    EXPECT_EQ(error.code, ErrorCode::WeightsChecksum);
    EXPECT_EQ(error.message.find("w: checksum mismatch in segment 'weight'"),
              0u)
        << error.message;
    content[at] ^= 4;
    EXPECT_TRUE(arrive(use, {0, 1000}));
    EXPECT_FALSE(use.pending(0));
  }
}

TEST_F(FirstUseTest, OtherOrdersAreTheLoaders) {
  const std::vector<std::vector<Part>> orders = {
      {{300, 700}, {0, 300}},          // backwards
      {{0, 300}, {400, 600}},          // a gap
      {{0, 300}},                      // not to the end
      {{0, 600}, {500, 500}},          // overlapping
      {{0, 1000}, {0, 300}},           // then a part
      {{0, 300}, {0, 300}, {300, 700}} // a part twice
  };
  for (const auto &parts : orders) {
    FirstUse use(plan, true);
    use.expect(copies(parts));
    EXPECT_FALSE(use.deferred(0));
    use.trust(0);
    EXPECT_FALSE(use.pending(0));
  }
  FirstUse both(plan, true);
  both.expect(copies({{0, 1000}}));
  both.expect(copies({{0, 300}})); // one entry is enough
  EXPECT_FALSE(both.deferred(0));
  FirstUse none(plan, true);
  EXPECT_FALSE(none.deferred(0)); // nobody streams it
  FirstUse off(plan, false);
  EXPECT_FALSE(off.pending(0));
}
