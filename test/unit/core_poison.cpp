//===- core_poison.cpp - Poison mode shows a wrong lifetime ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/core/Executor.h"
#include "runtime/core/FirstUse.h"
#include "runtime/core/Session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::test;

namespace {

constexpr int64_t kFloats = 16;
constexpr uint64_t kBytes = kFloats * 4;

/// a = in + in (rows summed); b = in + in; out = a + b. Buffer `a` is said to
/// live until `aliveUntil`; it is read at step 2.
Plan sums(uint32_t aliveUntil) {
  Plan plan;
  EntryBuilder b(plan, "main");
  const uint32_t one = b.constant(1);
  const uint32_t two = b.constant(2);
  const uint32_t width = b.constant(kFloats);
  // `a` and `b` lie side by side: the two rows of the last sum.
  const uint32_t in = b.buffer("in", BufferKind::Input, 0, 2 * kBytes, 0, 2);
  const uint32_t a =
      b.buffer("a", BufferKind::Activation, 2 * kBytes, kBytes, 0, aliveUntil);
  const uint32_t other =
      b.buffer("b", BufferKind::Activation, 3 * kBytes, kBytes, 1, 3);
  const uint32_t out =
      b.buffer("out", BufferKind::Output, 4 * kBytes, kBytes, 2, 3);
  for (auto [name, from, to] :
       {std::tuple{"a", in, a}, {"b", in, other}, {"out", a, out}}) {
    Step &step = b.launch(name, KernelId::Reduce);
    step.operands = {operand(from, Access::Read, DType::F32, {one, two, width}),
                     operand(to, Access::Write, DType::F32, {one, one, width})};
    step.ints = {static_cast<int64_t>(ReduceKind::Sum), 2};
  }
  return plan;
}

/// Whether the output is the sum it should be. The plan is not checked first:
/// with the wrong lifetime it would be refused.
bool givesTheSum(const Plan &plan, bool poison) {
  std::vector<float> arena(5 * kFloats);
  std::fill_n(arena.begin(), 2 * kFloats, 1.0F);
  TierMemory memory;
  memory.base = {reinterpret_cast<uint8_t *>(arena.data()), nullptr, nullptr};
  memory.size = {arena.size() * 4, 0, 0};
  kernels::ThreadPool pool(1);
  WeightsSource source;
  FirstUse firstUse(plan, false);
  auto executor = Executor::create(plan, memory, source, {}, firstUse, &pool,
                                   nullptr, poison);
  EXPECT_TRUE(bool(executor)) << (executor ? "" : executor.error().message);
  if (!executor) {
    return false;
  }
  Result<void> bound = (*executor)->schedule(0).bind();
  EXPECT_TRUE(bool(bound)) << (bound ? "" : bound.error().message);
  Result<void> ran = (*executor)->run(0);
  EXPECT_TRUE(bool(ran)) << (ran ? "" : ran.error().message);
  return std::all_of(arena.begin() + 4 * kFloats, arena.end(),
                     [](float value) { return value == 4.0F; });
}

} // namespace

TEST(CorePoison, RightLifetimesGiveTheSameNumbers) {
  EXPECT_TRUE(givesTheSum(sums(3), false));
  EXPECT_TRUE(givesTheSum(sums(3), true));
}

TEST(CorePoison, AWrongLifetimeShowsOnlyWhenPoisoned) {
  EXPECT_TRUE(givesTheSum(sums(2), false));
  EXPECT_FALSE(givesTheSum(sums(2), true));
}

TEST(CorePoison, ThePatternIsASignallingNaN) {
  float values[4] = {};
  fillPoison(reinterpret_cast<uint8_t *>(values), sizeof(values));
  for (float value : values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    EXPECT_EQ(bits & 0x7fc00000U, 0x7f800000U) << "quiet, or no NaN";
    EXPECT_TRUE(std::isnan(value));
  }
}
