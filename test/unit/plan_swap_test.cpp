//===- plan_swap_test.cpp - Activations that leave and come back ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_swap_plans.h"

#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/PlanWriter.h"

#include "gtest/gtest.h"

#include <functional>

using namespace llmc;
using namespace llmc::plan;
using llmc::test::kSwapOut;

namespace {

Plan swapped() {
  Plan plan = llmc::test::spillPlan({}, llmc::test::spillSegments());
  llmc::test::swapActivation(plan);
  return plan;
}

/// Of prefill, whose rows are not known.
std::vector<Step> &stepsOf(Plan &plan) { return plan.entries[0].steps; }
Step &outOf(Plan &plan) { return stepsOf(plan)[kSwapOut]; }
Step &inOf(Plan &plan) { return stepsOf(plan)[kSwapOut + 3]; }

void expectRefused(const std::function<void(Plan &)> &change,
                   const std::string &words) {
  Plan plan = swapped();
  change(plan);
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result) << "expected: " << words;
  EXPECT_NE(result.error().message.find(words), std::string::npos)
      << "found:    " << result.error().message << "\nexpected: " << words;
}

void drop(Plan &plan, size_t step) {
  Step &gone = stepsOf(plan)[step];
  gone = Step();
  gone.kind = StepKind::Signal;
  gone.event = plan.entries[0].numEvents++;
}

} // namespace

TEST(Swap, IsProvedAndSurvivesTheFile) {
  Plan plan = swapped();
  Result<Certificate> result = check(plan);
  ASSERT_TRUE(result) << result.error().message;
  Result<Plan> again = decodePlan(encodePlan(plan));
  ASSERT_TRUE(again) << again.error().message;
  for (size_t step : {kSwapOut, kSwapOut + 3}) {
    const Step &have = stepsOf(*again)[step], &want = stepsOf(plan)[step];
    EXPECT_EQ(have.kind, want.kind);
    EXPECT_EQ(have.stream, want.stream);
    EXPECT_EQ(have.buffer, want.buffer);
    EXPECT_EQ(have.below, want.below);
    EXPECT_EQ(have.segment, kNone);
    EXPECT_EQ(have.bytes, want.bytes);
  }
  EXPECT_TRUE(check(*again));
}

TEST(Swap, PlacesMustExistAndFit) {
  expectRefused([](Plan &p) { outOf(p).below = 1000; }, "buffer 1000");
  expectRefused([](Plan &p) { outOf(p).buffer = 1000; }, "buffer 1000");
  expectRefused([](Plan &p) { outOf(p).below = outOf(p).buffer; },
                "is no place for");
  expectRefused([](Plan &p) { p.buffers[outOf(p).below].size -= 64; },
                "is no place for");
  expectRefused([](Plan &p) { outOf(p).targetOffset = 64; },
                "cannot be swapped");
  expectRefused([](Plan &p) { outOf(p).bytes += UINT64_C(1) << 63; },
                "its byte range is out of range");
  expectRefused([](Plan &p) { outOf(p).targetOffset = UINT64_MAX - 8; },
                "its byte range is out of range");
  expectRefused([](Plan &p) { outOf(p).buffer = 1; }, "cannot be swapped");
  expectRefused([](Plan &p) { inOf(p).buffer = 1; }, "cannot be swapped");
  expectRefused(
      [](Plan &p) { p.buffers[inOf(p).buffer].kind = BufferKind::Activation; },
      "cannot be swapped");
  expectRefused([](Plan &p) { p.totals.diskBytes -= 8192; },
                "bytes of the disk tier");
  expectRefused([](Plan &p) { p.buffers[outOf(p).below].tier = Tier::Host; },
                "does not lie in the 0 bytes of the host tier");
}

TEST(Swap, WhatComesBackIsWhatLeft) {
  expectRefused([](Plan &p) { drop(p, kSwapOut); },
                "where nothing was written");
  expectRefused([](Plan &p) { inOf(p).bytes -= 64; }, "where others are");
  expectRefused(
      [](Plan &p) {
        outOf(p).bytes -= 64;
        inOf(p).bytes -= 64;
        inOf(p).targetOffset = 64;
      },
      "where others are");
  // Less than the sum reads.
  expectRefused(
      [](Plan &p) {
        outOf(p).bytes -= 64;
        inOf(p).bytes -= 64;
      },
      "was never written");
  // Nothing has written what leaves.
  expectRefused(
      [](Plan &p) {
        Step out = outOf(p);
        stepsOf(p).erase(stepsOf(p).begin() + kSwapOut);
        stepsOf(p).insert(stepsOf(p).begin(), out);
      },
      "was never written");
  // A second write to the same place.
  expectRefused([](Plan &p) { stepsOf(p)[kSwapOut + 1] = outOf(p); },
                "is swapped out a second time");
  // The slot was in use.
  expectRefused(
      [](Plan &p) {
        stepsOf(p)[2].operands.back().buffer = inOf(p).buffer;
        outOf(p).buffer = inOf(p).buffer;
      },
      "was used before, it must be new");
}

TEST(Swap, NothingOverwritesItInBetween) {
  // Something else that lives in the file meanwhile.
  expectRefused(
      [](Plan &p) {
        Buffer other = p.buffers[outOf(p).below];
        other.name = "other";
        other.offset += 64;
        p.totals.diskBytes += 4096;
        p.buffers.push_back(other);
      },
      "of the disk tier are live at once and overlap");
  expectRefused(
      [](Plan &p) { p.buffers[outOf(p).below].end = uint32_t(kSwapOut + 2); },
      "which is live in");
  expectRefused(
      [](Plan &p) {
        for (Step &step : stepsOf(p)) {
          for (Operand &operand : step.operands) {
            operand.buffer = operand.buffer == inOf(p).buffer ? inOf(p).below
                                                              : operand.buffer;
          }
        }
      },
      "does not lie on the device");
}

TEST(Swap, StreamsAreOrdered) {
  auto elsewhere = [](Plan &p, size_t step) {
    stepsOf(p)[step].event = p.entries[0].numEvents - 1;
  };
  // Read before it is written: only the disk tier knows.
  expectRefused([](Plan &p) { drop(p, kSwapOut + 2); }, "of the disk (buffer");
  // Used before it is there.
  expectRefused([](Plan &p) { drop(p, kSwapOut + 5); },
                "of the device (buffer");
  expectRefused([&](Plan &p) { elsewhere(p, kSwapOut + 2); },
                "which no earlier step signals");
  expectRefused([](Plan &p) { outOf(p).stream = Stream::Copy; },
                "is not on the compute stream");
}
