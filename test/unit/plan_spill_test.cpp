//===- plan_spill_test.cpp - States whose blocks lie below ----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_spill_plans.h"

#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/PlanWriter.h"

#include "gtest/gtest.h"

#include <functional>

using namespace llmc;
using namespace llmc::plan;

namespace {

/// Two blocks stay, five are below in windows of 2, 2 and 1. Steps of decode:
/// 0-5 restore and signal for each window, 6 embed, 7 append, 8 attention,
/// then for each window wait, append, attention, spill (9-12, 13-16, 17-20),
/// 21 sum, 22 output.
Plan spilled() {
  return llmc::test::spillPlan({2, {2, 2, 1}}, llmc::test::spillSegments());
}

std::vector<Step> &decodeSteps(Plan &plan) { return plan.entries[1].steps; }

void expectRefused(const std::function<void(Plan &)> &change,
                   const std::string &words, Plan plan = spilled()) {
  change(plan);
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result) << "expected: " << words;
  EXPECT_NE(result.error().message.find(words), std::string::npos)
      << "found:    " << result.error().message << "\nexpected: " << words;
}

} // namespace

TEST(Spill, IsProvedAndSurvivesTheFile) {
  Plan plan = spilled();
  Result<Certificate> result = check(plan);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->entries[1].appends, 4u);
  Result<Plan> again = decodePlan(encodePlan(plan));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->states[0].spill, plan.states[0].spill);
  EXPECT_EQ(again->states[0].residentBlocks, 2);
  const Step &restore = decodeSteps(*again)[2];
  EXPECT_EQ(restore.kind, StepKind::Restore);
  EXPECT_EQ(restore.state, 0u);
  EXPECT_EQ(restore.firstBlock, 4u);
  EXPECT_EQ(restore.segment, kNone);
  EXPECT_EQ(restore.bytes, decodeSteps(plan)[2].bytes);
  EXPECT_EQ(decodeSteps(*again)[20].kind, StepKind::Spill);
  EXPECT_EQ(decodeSteps(*again)[20].firstBlock, 6u);
  EXPECT_TRUE(check(*again));
}

TEST(Spill, BlocksMustExistAndFit) {
  expectRefused([](Plan &p) { decodeSteps(p)[0].firstBlock = 1; },
                "are not blocks that state 'past.0' spills");
  expectRefused([](Plan &p) { decodeSteps(p)[4].firstBlock = 7; },
                "are not blocks that state 'past.0' spills");
  expectRefused([](Plan &p) { decodeSteps(p)[4].bytes *= 2; },
                "are not blocks that state 'past.0' spills");
  expectRefused([](Plan &p) { decodeSteps(p)[0].bytes -= 4; },
                "are not blocks that state 'past.0' spills");
  expectRefused([](Plan &p) { decodeSteps(p)[0].bytes += UINT64_C(1) << 63; },
                "are not blocks that state 'past.0' spills");
  expectRefused([](Plan &p) { p.buffers[decodeSteps(p)[0].buffer].size -= 64; },
                "which is no slot of that size");
  expectRefused([](Plan &p) { decodeSteps(p)[0].targetOffset = 64; },
                "which is no slot of that size");
  expectRefused([](Plan &p) { decodeSteps(p)[0].buffer = 1; },
                "which is no slot of that size");
  expectRefused([](Plan &p) { decodeSteps(p)[0].state = 1; }, "state 1 of 1");
  expectRefused([](Plan &p) { decodeSteps(p)[0].buffer = 1000; },
                "buffer 1000");
}

TEST(Spill, StatesMustHaveTheirPlaces) {
  expectRefused([](Plan &p) { p.states[0].residentBlocks = 0; },
                "keeps 0 of them");
  expectRefused([](Plan &p) { p.states[0].residentBlocks = 7; },
                "state 'past.0' of 49152 bytes does not fit");
  // Room for the block that is being filled.
  expectRefused([](Plan &p) { p.buffers[1].size -= 64; },
                "state 'past.0' of 18432 bytes does not fit");
  expectRefused(
      [](Plan &p) { p.buffers[3].size -= 1; },
      "the spilled part of state 'past.0', 30720 bytes, does not fit");
  expectRefused([](Plan &p) { p.buffers[3].tier = Tier::Host; },
                "does not lie in the 0 bytes of the host tier");
  expectRefused([](Plan &p) { p.totals.diskBytes -= 64; },
                "bytes of the disk tier");
  expectRefused([](Plan &p) { p.states[0].spill = 1; },
                "the spilled part of state 'past.0'");
  expectRefused([](Plan &p) { p.states[0].spill = 99; }, "buffer 99");
  expectRefused([](Plan &p) { p.states[0].spill = kNone; },
                "state 'past.0' of 43008 bytes does not fit");
  expectRefused(
      [](Plan &p) {
        // Another state that claims the same room below.
        Buffer below = p.buffers[3], resident = p.buffers[1];
        resident.offset = p.totals.arenaBytes;
        p.totals.arenaBytes += resident.size;
        p.totals.deviceBytes += resident.size;
        p.totals.stateBytes += resident.size;
        State other = p.states[0];
        other.buffer = static_cast<uint32_t>(p.buffers.size());
        other.spill = other.buffer + 1;
        p.buffers.push_back(resident);
        p.buffers.push_back(below);
        p.states.push_back(other);
      },
      "of the disk tier last and overlap");
}

TEST(Spill, WhatIsAppendedGoesBelow) {
  auto drop = [](Plan &p, size_t step) {
    Step &gone = decodeSteps(p)[step];
    gone = Step();
    gone.kind = StepKind::Signal;
    gone.event = p.entries[1].numEvents++;
  };
  expectRefused([&](Plan &p) { drop(p, 20); },
                "blocks from 6 on are not spilled");
  expectRefused([&](Plan &p) { drop(p, 12); },
                "moves blocks from 4 on of state 'past.0', the next ones are "
                "from 2 on");
  expectRefused([&](Plan &p) { drop(p, 7); },
                "reads 1 + past tokens of state 'past.0', of which only past");
  expectRefused([&](Plan &p) { drop(p, 10); },
                "reads 1 + past tokens of state 'past.0', of which only past");
  expectRefused(
      [](Plan &p) {
        std::vector<Step> &steps = decodeSteps(p);
        std::swap(steps[10], steps[12]); // spilled before the append
      },
      "which does not hold these blocks of state 'past.0' with what was");
  expectRefused(
      [](Plan &p) {
        // Not at past.
        Entry &e = p.entries[1];
        e.steps[10].params[0] = e.steps[8].params[0];
      },
      "it must be what the entry adds, at past");
}

TEST(Spill, SlotsHoldWhatIsTakenForThem) {
  expectRefused(
      [](Plan &p) { decodeSteps(p)[10].ints[2] += llmc::test::kSpillBlock; },
      "for something else than blocks 2 to 4 of state 'past.0'");
  expectRefused(
      [](Plan &p) { decodeSteps(p)[11].ints[10] += llmc::test::kSpillBlock; },
      "for something else than blocks 2 to 4 of state 'past.0'");
  expectRefused([](Plan &p) { decodeSteps(p)[11].ints[10] += 1; },
                "a window is not made of whole blocks");
  expectRefused(
      [](Plan &p) {
        std::vector<Step> &steps = decodeSteps(p);
        steps[10].operands[1].buffer = steps[4].buffer; // another window's
      },
      "needs bytes");
  expectRefused(
      [](Plan &p) {
        std::vector<Step> &steps = decodeSteps(p);
        std::swap(steps[0], steps[2]);
      },
      "the next ones are from 2 on");
  expectRefused(
      [](Plan &p) {
        // The kernel of whole states.
        decodeSteps(p)[7].ints.pop_back();
      },
      "is not the whole of state 'past.0'");
}

TEST(Spill, StreamsAreOrdered) {
  expectRefused([](Plan &p) { decodeSteps(p)[13].event = 0; },
                "without waiting for step");
  expectRefused([](Plan &p) { decodeSteps(p)[12].stream = Stream::Copy; },
                "a spill that is not on the compute stream");
  // A slot's next use waits for its last reader.
  expectRefused(
      [](Plan &p) {
        for (Step &step : decodeSteps(p)) {
          for (Operand &operand : step.operands) {
            operand.buffer = operand.buffer == decodeSteps(p)[2].buffer
                                 ? decodeSteps(p)[0].buffer
                                 : operand.buffer;
          }
        }
        decodeSteps(p)[16].buffer = decodeSteps(p)[0].buffer;
        decodeSteps(p)[2].buffer = decodeSteps(p)[0].buffer;
      },
      "for something else than blocks 4 to 6");
}

namespace {

/// 70 tokens and the first 5; a ring of three blocks, which hold the window and
/// the 99 further tokens that prefill may add.
Plan ringed() {
  llmc::test::SpillOptions options;
  options.window = 70;
  options.sinks = 5;
  options.sinkBlocks = 1;
  options.ringBlocks = 3;
  return llmc::test::spillPlan(options, llmc::test::spillSegments());
}

void expectRingRefused(const std::function<void(Plan &)> &change,
                       const std::string &words) {
  expectRefused(change, words, ringed());
}

} // namespace

// Steps of an entry: embed, append, attention, sum, output.
TEST(Ring, IsProvedAndSurvivesTheFile) {
  Plan plan = ringed();
  Result<Certificate> result = check(plan);
  ASSERT_TRUE(result) << result.error().message;
  Result<Plan> again = decodePlan(encodePlan(plan));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->states[0].sinkBlocks, 1);
  EXPECT_EQ(again->states[0].ringBlocks, 3);
  EXPECT_EQ(again->buffers[1].size,
            uint64_t(4 * llmc::test::kSpillBlock * llmc::test::kWidth * 4));
  EXPECT_TRUE(check(*again));
}

TEST(Ring, HoldsWhatIsSeen) {
  // The window and what any entry adds, decode's attention too: a prefill that
  // was stopped has written over what it does not see itself.
  for (size_t entry : {0, 1}) {
    expectRingRefused(
        [&](Plan &p) { p.entries[entry].steps[2].ints[3] = 94; },
        "a window of 94 tokens of state 'past.0', whose ring of 192 must also "
        "hold the 100 that an entry may add, but one");
    Plan widest = ringed();
    widest.entries[entry].steps[2].ints[3] = 93;
    EXPECT_TRUE(check(widest));
  }
  expectRingRefused([](Plan &p) { p.entries[0].steps[2].ints[3] = 0; },
                    "there is no window");
  expectRingRefused([](Plan &p) { p.entries[0].steps[2].ints[3] = -5; }, "");
  expectRingRefused([](Plan &p) { p.entries[0].steps[2].ints[10] = 65; },
                    "its first tokens do not lie before the ring");
  expectRingRefused(
      [](Plan &p) {
        Step &step = p.entries[1].steps[2];
        step.params[0] = step.operands[0].dims[2]; // T: of one token
      },
      "rows before token past read the ring");
}

TEST(Ring, LaunchesMustKnowIt) {
  auto say = "the ring of state 'past.0' starts at block 1, the launch says ";
  expectRingRefused([](Plan &p) { p.entries[1].steps[2].ints.resize(7); },
                    std::string(say) + "-1");
  expectRingRefused([](Plan &p) { p.entries[1].steps[1].ints.resize(2); },
                    std::string(say) + "-1");
  expectRingRefused([](Plan &p) { p.entries[1].steps[1].ints[3] = 0; },
                    std::string(say) + "0");
  expectRingRefused([](Plan &p) { p.entries[1].steps[2].ints[11] = 2; },
                    std::string(say) + "2");
  expectRingRefused([](Plan &p) { p.entries[1].steps[1].ints[2] = 64; },
                    "a ring from the first token");
  expectRingRefused(
      [](Plan &p) {
        // Appends behind what the entry says that it adds.
        Entry &e = p.entries[0];
        e.steps[1].params[0] = e.steps[2].params[0];
      },
      "");
}

TEST(Ring, StatesMustHaveTheirPlaces) {
  expectRingRefused([](Plan &p) { p.states[0].ringBlocks = 4; },
                    "does not fit buffer");
  expectRingRefused([](Plan &p) { p.states[0].ringBlocks = 6; }, "");
  expectRingRefused([](Plan &p) { p.states[0].ringBlocks = -3; },
                    "a ring of -3 blocks behind 1");
  expectRingRefused([](Plan &p) { p.states[0].ringBlocks = INT64_MAX; },
                    "a ring of");
  expectRingRefused([](Plan &p) { p.states[0].ringBlocks = 0; },
                    "a ring of 0 blocks behind 1");
  expectRingRefused([](Plan &p) { p.states[0].sinkBlocks = 0; }, "");
  expectRingRefused([](Plan &p) { p.buffers[1].size -= 64; },
                    "does not fit buffer");
}

TEST(Spill, CarriesArePassedOn) {
  expectRefused(
      [](Plan &p) { decodeSteps(p)[8].operands[3].access = Access::ReadWrite; },
      "the first part writes the carry");
  expectRefused([](Plan &p) { decodeSteps(p)[11].ints[12] = 1; }, "expected");
  expectRefused([](Plan &p) { decodeSteps(p)[8].ints[12] = 1; },
                "a part that is the first and the last");
  expectRefused(
      [](Plan &p) {
        // Nothing starts it.
        Step &first = decodeSteps(p)[8];
        first.ints[11] = 0;
        first.operands[3].access = Access::ReadWrite;
      },
      "was never written");
}
