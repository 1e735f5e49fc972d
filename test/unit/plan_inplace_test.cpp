//===- plan_inplace_test.cpp - The checker on results over operands -------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_one_launch.h"

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

namespace {

/// The result becomes operand `over`, `shift` bytes further on.
OneLaunch on(OneLaunch one, size_t over, uint64_t shift = 0) {
  Step &step = one.plan.entries[0].steps[0];
  Operand &out = step.operands.back();
  out.buffer = step.operands[over].buffer;
  out.offset = shift;
  Buffer &buffer = one.plan.buffers[out.buffer];
  buffer.size += shift;
  // To the end of the arena, where there is room for the shift.
  buffer.offset = one.plan.totals.arenaBytes;
  one.plan.totals.arenaBytes += 1024;
  one.plan.totals.deviceBytes += 1024;
  one.plan.totals.activationPeakBytes += 1024;
  return one;
}

OneLaunch sum(std::vector<int64_t> b) {
  return OneLaunch(KernelId::Pointwise)
      .operand(F32, {6, 8})
      .operand(F32, std::move(b))
      .out(F32, {1, 6, 8})
      .ints({2, 1, int64_t(PointwiseOp::Add), 0, 0, 1, 0});
}

} // namespace

TEST(InPlace, Pointwise) {
  EXPECT_RULE(on(sum({6, 8}), 0), on(sum({6, 8}), 0, 4));
  EXPECT_RULE(on(sum({6, 8}), 1), on(sum({1, 8}), 1));
  EXPECT_RULE(on(sum({1, 8}), 0), on(sum({1, 8}), 0, 64));
  // x + x, both of them the result; then one of them shifted.
  auto twice = [](uint64_t shift) {
    OneLaunch one = on(sum({6, 8}), 0, 0);
    Operand &b = one.plan.entries[0].steps[0].operands[1];
    one.plan.buffers[0].size += shift;
    b.buffer = 0;
    b.offset = shift;
    return one;
  };
  EXPECT_RULE(twice(0), twice(4));
}

TEST(InPlace, PointwiseNeedsTheSameDimensionsInEveryRun) {
  // [n] + [m] -> [m]: both at most 8, but n may be 1 when m is not.
  auto make = [](uint32_t over) {
    OneLaunch one(KernelId::Pointwise);
    one.operand(F32, {8}).operand(F32, {8}).out(F32, {8});
    one.ints({2, 1, int64_t(PointwiseOp::Add), 0, 0, 1, 0});
    Entry &entry = one.plan.entries[0];
    entry.symbols = {{"n", 1, 8, false}, {"m", 1, 8, false}};
    for (uint32_t i = 0; i < 2; ++i) {
      entry.exprs.push_back({ExprOp::Symbol, i, 0, 0});
      entry.inputs[i].dims = {static_cast<uint32_t>(entry.exprs.size() - 1)};
      entry.steps[0].operands[i].dims = entry.inputs[i].dims;
    }
    // m, written as (m + 1) - 1.
    uint32_t m = entry.inputs[1].dims[0];
    uint32_t more = expr(one.plan, ExprOp::Add, m, constant(one.plan, 1));
    uint32_t again = expr(one.plan, ExprOp::Add, more, constant(one.plan, -1));
    one.plan.entries[0].steps[0].operands[2].dims = {again};
    one.plan.entries[0].steps[0].operands[2].buffer = over;
    return one;
  };
  EXPECT_RULE(make(1), make(0));
}

TEST(InPlace, RowsAndColumns) {
  auto softmax = [](DType to) {
    return OneLaunch(KernelId::Softmax)
        .operand(F16, {4, 6})
        .out(to, {4, 6})
        .ints({1, 0});
  };
  EXPECT_RULE(on(softmax(F16), 0), on(softmax(F32), 0));
  auto norm = [] {
    return OneLaunch(KernelId::RmsNorm)
        .operand(F32, {1, 8})
        .operand(F32, {1, 8})
        .out(F32, {1, 8})
        .ints({1, 1})
        .floats({1e-5});
  };
  EXPECT_RULE(on(norm(), 0), on(norm(), 1));
  auto layerNorm = [] {
    return OneLaunch(KernelId::LayerNorm)
        .operand(F32, {1, 8})
        .operand(F32, {1, 8})
        .operand(F32, {1, 8})
        .out(F32, {1, 8})
        .ints({1, 1, 1})
        .floats({1e-5});
  };
  EXPECT_RULE(on(layerNorm(), 0), on(layerNorm(), 2));
  auto cumSum = OneLaunch(KernelId::CumSum)
                    .operand(F32, {4, 6})
                    .out(F32, {4, 6})
                    .ints({1, 0, 0});
  auto reduce = OneLaunch(KernelId::Reduce)
                    .operand(F32, {4, 6})
                    .out(F32, {4, 6})
                    .ints({0, 0});
  EXPECT_RULE(on(cumSum, 0), on(reduce, 0));
}

TEST(InPlace, Cast) {
  auto cast = [](DType to) {
    return OneLaunch(KernelId::Cast).operand(F32, {9}).out(to, {9});
  };
  EXPECT_RULE(on(cast(I32), 0), on(cast(F16), 0));
}

TEST(InPlace, RopeAndAttention) {
  auto rope = OneLaunch(KernelId::Rope)
                  .operand(F32, {1, 1, 3, 6})
                  .operand(F32, {3, 6})
                  .operand(F32, {3, 6})
                  .out(F32, {1, 1, 3, 6})
                  .ints({0, 0, 6});
  EXPECT_RULE(on(rope, 0), on(rope, 1));
  auto attention = OneLaunch(KernelId::Attention)
                       .operand(F32, {1, 4, 3, 8})
                       .operand(F32, {1, 4, 3, 8})
                       .operand(F32, {1, 4, 3, 8})
                       .out(F32, {1, 4, 3, 8})
                       .params({3})
                       .ints({0, 0, 1, 0, 0, 0, 0})
                       .floats({0.5, 0});
  EXPECT_RULE(on(attention, 0), on(attention, 1));
  EXPECT_FALSE(on(attention, 2).safe());
  // The result is wider than q: it is not q.
  auto wider = OneLaunch(KernelId::Attention)
                   .operand(F32, {1, 4, 3, 8})
                   .operand(F32, {1, 4, 3, 8})
                   .operand(F32, {1, 4, 3, 16})
                   .out(F32, {1, 4, 3, 16})
                   .params({3})
                   .ints({0, 0, 1, 0, 0, 0, 0})
                   .floats({0.5, 0});
  EXPECT_TRUE(wider.safe()) << wider.message;
  OneLaunch over = on(wider, 0);
  over.plan.buffers[0].size *= 2;
  EXPECT_FALSE(over.safe());
}

TEST(InPlace, Scatter) {
  auto scatter = OneLaunch(KernelId::ScatterND)
                     .operand(F32, {4, 6})
                     .operand(I64, {4, 1})
                     .operand(F32, {4, 6})
                     .out(F32, {4, 6})
                     .ints({1});
  EXPECT_RULE(on(scatter, 0), on(scatter, 2));
  auto elements = OneLaunch(KernelId::ScatterElements)
                      .operand(I64, {4, 6})
                      .operand(I64, {4, 6})
                      .operand(I64, {4, 6})
                      .out(I64, {4, 6})
                      .ints({1, 0});
  EXPECT_RULE(on(elements, 0), on(elements, 1));
}
