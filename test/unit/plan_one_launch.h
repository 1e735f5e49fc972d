//===- plan_one_launch.h - Plans of one launch -----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_PLAN_ONE_LAUNCH_H
#define LLMC_TEST_UNIT_PLAN_ONE_LAUNCH_H

#include "runtime/plan/Checker.h"

#include "gtest/gtest.h"

#include <string>
#include <utility>
#include <vector>

namespace llmc::plan::test {

/// A new expression of entry 0.
inline uint32_t constant(Plan &plan, int64_t value) {
  plan.entries[0].exprs.push_back({ExprOp::Constant, 0, 0, value});
  return static_cast<uint32_t>(plan.entries[0].exprs.size() - 1);
}
inline uint32_t expr(Plan &plan, ExprOp op, uint32_t a, uint32_t b) {
  plan.entries[0].exprs.push_back({op, a, b, 0});
  return static_cast<uint32_t>(plan.entries[0].exprs.size() - 1);
}

/// A plan of one launch whose operands are all activations of their own, for
/// the rules of single kernels. Inputs are of kind Input.
struct OneLaunch {
  Plan plan;
  OneLaunch(KernelId kernel) {
    Entry entry;
    entry.name = "main";
    Step step;
    step.kernel = kernel;
    entry.steps = {step};
    plan.entries = {entry};
  }
  OneLaunch &operand(DType dtype, std::vector<int64_t> dims,
                     Access access = Access::Read) {
    Operand operand;
    operand.buffer = static_cast<uint32_t>(plan.buffers.size());
    operand.dtype = dtype;
    operand.access = access;
    uint64_t bits = bitWidth(dtype);
    for (int64_t dim : dims) {
      operand.dims.push_back(constant(plan, dim));
      bits *= uint64_t(dim);
    }
    plan.entries[0].steps[0].operands.push_back(operand);
    Buffer buffer;
    buffer.name = "b" + std::to_string(operand.buffer);
    buffer.kind =
        access == Access::Read ? BufferKind::Input : BufferKind::Activation;
    buffer.offset = plan.totals.arenaBytes;
    buffer.size = (bits + 7) / 8;
    buffer.entry = 0;
    buffer.end = 1;
    if (access == Access::Read) {
      Port port;
      port.name = buffer.name;
      port.dtype = dtype;
      port.buffer = operand.buffer;
      port.dims = operand.dims;
      plan.entries[0].inputs.push_back(port);
    }
    plan.buffers.push_back(buffer);
    uint64_t room = (buffer.size + 63) / 64 * 64;
    plan.totals.arenaBytes += room;
    plan.totals.deviceBytes += room;
    plan.totals.activationPeakBytes += room;
    return *this;
  }
  OneLaunch &out(DType dtype, std::vector<int64_t> dims) {
    return operand(dtype, std::move(dims), Access::Write);
  }
  OneLaunch &ints(std::vector<int64_t> values) {
    plan.entries[0].steps[0].ints = std::move(values);
    return *this;
  }
  OneLaunch &floats(std::vector<double> values) {
    plan.entries[0].steps[0].floats = std::move(values);
    return *this;
  }
  OneLaunch &params(const std::vector<int64_t> &values) {
    for (int64_t value : values) {
      plan.entries[0].steps[0].params.push_back(constant(plan, value));
    }
    return *this;
  }
  bool safe() const {
    Result<Certificate> result = check(plan);
    message = result ? "" : result.error().message;
    return bool(result);
  }
  mutable std::string message;
};

constexpr DType F32 = DType::F32, U8 = DType::U8, I64 = DType::I64,
                I32 = DType::I32, F16 = DType::F16;

/// `good` passes; `bad`, which differs in one number, does not.
#define EXPECT_RULE(good, bad)                                                 \
  do {                                                                         \
    OneLaunch first = good;                                                    \
    EXPECT_TRUE(first.safe()) << first.message;                                \
    EXPECT_FALSE((bad).safe());                                                \
  } while (false)

} // namespace llmc::plan::test

#endif // LLMC_TEST_UNIT_PLAN_ONE_LAUNCH_H
