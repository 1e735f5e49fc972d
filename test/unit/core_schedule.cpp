//===- core_schedule.cpp - Binding an entry's symbols ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Schedule.h"

#include "gtest/gtest.h"

using namespace llmc;
using namespace llmc::plan;

TEST(Schedule, PastAndNewTokensShareTheCapacity) {
  Plan plan;
  plan.states.resize(2);
  plan.states[0].capacity = 100;
  plan.states[1].capacity = 8;
  Entry entry;
  entry.name = "prefill";
  entry.symbols = {{"past", 0, 8, true}, {"seq", 1, 8, false}};
  entry.exprs = {{ExprOp::Symbol, 1, 0, 0}};
  entry.newTokens = 0;
  plan.entries = {entry};
  Result<Schedule> schedule = Schedule::build(plan, 0, {}, nullptr);
  ASSERT_TRUE(schedule) << schedule.error().message;
  schedule->symbols() = {4, 4};
  EXPECT_TRUE(schedule->bind());
  schedule->symbols() = {8, 1};
  Result<void> bound = schedule->bind();
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::ContextExceeded);
  EXPECT_EQ(bound.error().message,
            "entry 'prefill': 1 tokens after 8 exceed the state's capacity of "
            "8");
  schedule->symbols() = {9, 1};
  bound = schedule->bind();
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::InputMismatch);
}
