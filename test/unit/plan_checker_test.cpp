//===- plan_checker_test.cpp - The proof and what breaks it ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Each negative test changes one thing in a plan that is proved otherwise, and
// expects the words that name it.
//
//===----------------------------------------------------------------------===//

#include "plan_one_launch.h"
#include "plan_samples.h"

#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/PlanWriter.h"

#include "gtest/gtest.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

namespace {

void expectUnsafe(const std::function<void(Plan &)> &change,
                  const std::string &words,
                  ErrorCode code = ErrorCode::PlanUnsafe,
                  Plan plan = samplePlan()) {
  change(plan);
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result) << "expected: " << words;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(words), std::string::npos)
      << "found:    " << result.error().message << "\nexpected: " << words;
}

void expectSafe(const Plan &plan) {
  Result<Certificate> result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
}

Buffer &buffer(Plan &plan, const char *name) {
  return plan.buffers[bufferNamed(plan, name)];
}
Step &step(Plan &plan, size_t index) { return plan.entries[0].steps[index]; }

} // namespace

TEST(Checker, SampleIsSafe) {
  Result<Certificate> result = check(samplePlan());
  ASSERT_TRUE(result) << result.error().message;
  ASSERT_EQ(result->entries.size(), 1u);
  const Certificate::EntryFigures &e = result->entries[0];
  EXPECT_EQ(e.launches, 4u);
  EXPECT_EQ(e.copies, 1u);
  EXPECT_EQ(e.streamedBytes, 1024u);
  EXPECT_EQ(e.operands, 10u);
  // Steps 5: table 160, cache 128, half 8, slot 1024, x 48, y 72.
  EXPECT_EQ(e.peakLiveBytes, 1440u);
  EXPECT_EQ(e.peakStep, 5u);
  EXPECT_EQ(e.highWaterBytes, 1608u);
  nlohmann::json json = nlohmann::json::parse(result->json());
  EXPECT_EQ(json["device_bytes"], 2664);
  EXPECT_EQ(json["entries"][0]["high_water_bytes"], 1608);
  EXPECT_NE(result->text().find("entry main: 7 steps, 4 launches, 1 copies"),
            std::string::npos)
      << result->text();
}

TEST(Checker, EmptyPlanIsSafe) { expectSafe(Plan()); }

TEST(Checker, MalformedPlanIsRefusedFirst) {
  expectUnsafe([](Plan &p) { step(p, 0).operands[0].buffer = 99; },
               "buffer 99 of 7", ErrorCode::PlanMalformed);
}

//===----------------------------------------------------------------------===//
// Budget
//===----------------------------------------------------------------------===//

TEST(Checker, Budget) {
  expectUnsafe([](Plan &p) { p.totals.budgetBytes = 2663; },
               "device_bytes 2664 exceeds the budget of 2663");
  expectUnsafe([](Plan &p) { p.totals.deviceBytes -= 8; },
               "device_bytes 2656 is not the sum of its parts");
  expectUnsafe([](Plan &p) { p.totals.workspaceBytes += 8; },
               "workspace 8 + activations 256 + reserve 1000 = 2672");
  expectUnsafe([](Plan &p) { p.totals.stateBytes = UINT64_MAX; }, "overflow");
  expectUnsafe([](Plan &p) { p.totals.arenaBytes -= 64; },
               "buffer 'y' at [1536, 1608) does not lie in the 1600 bytes");
  expectUnsafe(
      [](Plan &p) {
        p.totals.residentWeightBytes -= 64;
        p.totals.activationPeakBytes += 64;
      },
      "resident weights take 160 bytes, the plan says 128");
  expectUnsafe(
      [](Plan &p) {
        p.totals.arenaBytes += 64;
        p.totals.activationPeakBytes += 64;
      },
      "is not the sum");
  expectUnsafe([](Plan &p) { p.entries[0].streamedBytes = 5; },
               "copies move 1024 bytes, the plan says 5");
}

//===----------------------------------------------------------------------===//
// Copies that gather rows
//===----------------------------------------------------------------------===//

static void expectUnsafeRows(const std::function<void(Plan &)> &change,
                             const std::string &words,
                             ErrorCode code = ErrorCode::PlanUnsafe) {
  expectUnsafe(change, words, code, rowsPlan());
}

TEST(Checker, RowsAreSafe) {
  Result<Certificate> result = check(rowsPlan());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->entries[0].copies, 2u);
  EXPECT_EQ(result->entries[0].streamedBytes, 1072u);
  Plan plan = rowsPlan();
  // Rows from the middle of a segment on.
  step(plan, 3).ints = {9, 16};
  step(plan, 3).sourceOffset = 16;
  expectSafe(plan);
}

TEST(Checker, RowsStayInTheSegmentAndTheSlot) {
  expectUnsafeRows([](Plan &p) { step(p, 3).ints[0] = 11; },
                   "copies bytes [0, 176) of segment 'table', which has 160");
  expectUnsafeRows([](Plan &p) { step(p, 3).sourceOffset = 1; },
                   "copies bytes [1, 161) of segment 'table'");
  expectUnsafeRows([](Plan &p) { step(p, 3).targetOffset = 4; },
                   "copies to bytes [4, 52) of buffer 'rows'");
  expectUnsafeRows([](Plan &p) { step(p, 3).ints = {9, 17}; },
                   "are up to 3, which is not what 48 bytes of rows of 17");
  expectUnsafeRows([](Plan &p) { step(p, 3).bytes = 32; },
                   "are up to 3, which is not what 32 bytes of rows of 16");
  expectUnsafeRows([](Plan &p) { p.entries[0].symbols[0].upper = 4; }, "");
  auto malformed = [](std::vector<int64_t> ints, const char *words) {
    expectUnsafeRows([&](Plan &p) { step(p, 3).ints = ints; }, words,
                     ErrorCode::PlanMalformed);
  };
  malformed({0, 16}, "0 rows of 16 bytes");
  malformed({10, 0}, "10 rows of 0 bytes");
  malformed({INT64_MAX, 16}, "rows of 16 bytes");
  malformed({10}, "a copy has 1 operands and 1 ints");
  expectUnsafeRows([](Plan &p) { step(p, 3).operands.clear(); },
                   "a copy has 0 operands and 2 ints",
                   ErrorCode::PlanMalformed);
  expectUnsafeRows([](Plan &p) { step(p, 3).operands[0].buffer = 99; },
                   "buffer 99", ErrorCode::PlanMalformed);
  expectUnsafeRows([](Plan &p) { step(p, 3).operands[0].dims[0] = 99; },
                   "expression 99", ErrorCode::PlanMalformed);
}

TEST(Checker, IndicesOfRows) {
  auto indices = [](auto change, const char *words) {
    expectUnsafeRows([&](Plan &p) { change(p, step(p, 3).operands[0]); },
                     words);
  };
  const char *notIndices = "are not a dense tensor of integers";
  indices([](Plan &, Operand &o) { o.dtype = DType::F32; }, notIndices);
  indices([](Plan &, Operand &o) { o.access = Access::ReadWrite; }, notIndices);
  indices([](Plan &, Operand &o) { o.packing = Packing::Panel64; }, notIndices);
  indices([](Plan &p, Operand &o) { o.buffer = bufferNamed(p, "cache"); },
          notIndices);
  indices([](Plan &, Operand &o) { o.offset = 2; }, notIndices);
  indices([](Plan &, Operand &o) { o.offset = 4; },
          "need 12 bytes from byte 4 on, the buffer has 12");
  indices([](Plan &, Operand &o) { o.dtype = DType::I64; },
          "need 24 bytes from byte 0 on");
  indices([](Plan &p, Operand &o) { o.buffer = bufferNamed(p, "rows"); },
          "are overwritten by the rows");
  // Written after the copy, or not waited for.
  expectUnsafeRows(
      [](Plan &p) {
        std::swap(step(p, 0), step(p, 4));
        buffer(p, "ids").end = 5;
      },
      "never written");
  expectUnsafeRows([](Plan &p) { step(p, 2) = step(p, 1); }, "a second time");
  expectUnsafeRows(
      [](Plan &p) {
        Step none = step(p, 1); // a signal in place of the wait
        none.event = 3;
        none.stream = Stream::Copy;
        step(p, 2) = none;
        p.entries[0].numEvents = 4;
      },
      "reads bytes [384, 396) of the device (buffer 'ids32') without waiting "
      "for step 0");
  expectUnsafeRows(
      [](Plan &p) {
        Step none = step(p, 4); // a signal in place of the wait
        none.event = 3;
        none.stream = Stream::Compute;
        step(p, 5) = none;
        p.entries[0].numEvents = 4;
      },
      "(buffer 'rows') without waiting for step 3");
  expectUnsafeRows([](Plan &p) { buffer(p, "ids32").end = 3; }, "ids32");
}

//===----------------------------------------------------------------------===//
// Overlap
//===----------------------------------------------------------------------===//

TEST(Checker, Overlap) {
  expectUnsafe([](Plan &p) { buffer(p, "x").offset = 1408; },
               "entry 'main', step 0: buffers 'ids' at [1408, 1432) and 'x' "
               "at [1408, 1456) of the device tier are live at once");
  expectUnsafe([](Plan &p) { buffer(p, "y").offset = 128; },
               "between entries: output 'y' at [128, 200) of entry 'main' lies "
               "over state 'cache' at [192, 320)");
  expectUnsafe([](Plan &p) { buffer(p, "cache").offset = 128; },
               "between entries: weight 'table' at [0, 160) and state 'cache'");
  // Half-open lifetimes: ids [0, 1) and y [5, 7) may share their bytes.
  Plan plan = samplePlan();
  buffer(plan, "y").offset = 1408;
  buffer(plan, "x").offset = 1536;
  expectSafe(plan);
  // The same bytes on another tier are other bytes.
  plan = samplePlan();
  Buffer host = buffer(plan, "x");
  host.name = "host";
  host.tier = Tier::Host;
  plan.buffers.push_back(host);
  plan.totals.hostBytes = 1 << 20;
  expectSafe(plan);
}

TEST(Checker, OverlapMatchesBruteForce) {
  // The sweep against every pair at every step.
  std::mt19937_64 random(5);
  int unsafe = 0;
  for (int round = 0; round < 3000; ++round) {
    Plan plan = samplePlan();
    std::vector<Buffer> &all = plan.buffers;
    for (int i = 0; i < 4; ++i) {
      Buffer extra = buffer(plan, "x");
      extra.name = "extra" + std::to_string(i);
      extra.offset = 1664 + 64 * (random() % 8);
      extra.size = 1 + random() % 200;
      extra.start = uint32_t(random() % 7);
      extra.end = extra.start + uint32_t(random() % (8 - extra.start));
      all.push_back(extra);
    }
    plan.totals.arenaBytes = 4096;
    plan.totals.deviceBytes = 5096;
    plan.totals.budgetBytes = UINT64_MAX;
    plan.totals.activationPeakBytes += 4096 - 1664;
    bool overlap = false;
    for (size_t i = 7; i < all.size(); ++i) {
      for (size_t j = 7; j < i; ++j) {
        bool time = std::max(all[i].start, all[j].start) <
                    std::min(all[i].end, all[j].end);
        bool bytes =
            std::max(all[i].offset, all[j].offset) <
            std::min(all[i].offset + all[i].size, all[j].offset + all[j].size);
        overlap |= time && bytes;
      }
    }
    unsafe += overlap;
    EXPECT_EQ(!check(plan), overlap) << round;
  }
  EXPECT_GT(unsafe, 300);
  EXPECT_LT(unsafe, 2700);
}

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

TEST(Checker, OperandsInTheirBuffers) {
  expectUnsafe([](Plan &p) { buffer(p, "x").size = 47; },
               "step 0 (gather, /embed): operand 2 (buffer 'x') needs bytes "
               "[0, 48), the buffer has 47");
  expectUnsafe([](Plan &p) { step(p, 5).operands[0].offset = 16; },
               "needs bytes [16, 64), the buffer has 48");
  expectUnsafe([](Plan &p) { step(p, 5).operands[0].offset = UINT64_MAX - 7; },
               "its size overflows");
  expectUnsafe([](Plan &p) { p.entries[0].symbols[0].upper = 4; },
               "input 'ids' (buffer 'ids') needs 32 bytes, the buffer has 24");
  // A panel of 64 outputs is read whole, also for 6 of them.
  expectUnsafe([](Plan &p) { buffer(p, "slot").size = 1000; },
               "copies to bytes [0, 1024) of buffer 'slot', which has 1000");
  expectUnsafe([](Plan &p) { buffer(p, "x").offset += 8; },
               "does not start at a multiple of 64");
  expectUnsafe([](Plan &p) { step(p, 5).operands[0].offset = 3; }, "needs");
  expectUnsafe(
      [](Plan &p) {
        buffer(p, "x").tier = Tier::Host;
        p.totals.hostBytes = 1 << 20;
      },
      "does not lie on the device");
}

TEST(Checker, ExpressionsFailClosed) {
  expectUnsafe(
      [](Plan &p) {
        uint32_t big = constant(p, INT64_MAX);
        expr(p, ExprOp::Add, big, big);
      },
      "expression 9 may overflow 64 bits");
  expectUnsafe(
      [](Plan &p) {
        uint32_t big = constant(p, INT64_MAX / 2);
        expr(p, ExprOp::Mul, big, 1);
      },
      "may overflow");
  expectUnsafe([](Plan &p) { expr(p, ExprOp::FloorDiv, 1, 5); },
               "divide by zero");
  expectUnsafe(
      [](Plan &p) {
        uint32_t minus = constant(p, -4);
        step(p, 0).operands[2].dims[1] = minus;
      },
      "dimensions may be negative");
  expectUnsafe(
      [](Plan &p) {
        uint32_t big = constant(p, int64_t(1) << 40);
        step(p, 6).operands[0].dims = {big, big};
      },
      "size overflows");
  expectUnsafe([](Plan &p) { p.entries[0].symbols[0].lower = -1; },
               "symbol 'seq' may be negative");
  expectUnsafe([](Plan &p) { p.entries[0].inputs[0].dims = {1, 3}; },
               "needs 144 bytes, the buffer has 24");
  expectUnsafe(
      [](Plan &p) { p.entries[0].inputs[0].dims = {0, constant(p, 3)}; },
      "symbol 'seq' is a dimension of no input");
}

TEST(Checker, StatePositions) {
  // past <= 5 and seq <= 3 fit a capacity of 8. With past <= 7 it is the
  // executor's rule past + newTokens <= capacity that makes it safe ...
  Plan plan = samplePlan();
  plan.entries[0].symbols[1].upper = 7;
  expectSafe(plan);
  // ... but not when the tokens appended are not those that it counts.
  expectUnsafe(
      [](Plan &p) {
        p.entries[0].symbols[1].upper = 7;
        p.entries[0].newTokens = 0;
      },
      "tokens may go beyond the state's capacity of 8: position up to 7, "
      "tokens up to 3");
  expectUnsafe(
      [](Plan &p) {
        p.entries[0].symbols[1].upper = 6;
        p.entries[0].newTokens = kNone;
      },
      "tokens may go beyond");
  expectUnsafe([](Plan &p) { step(p, 1).params[0] = constant(p, -1); },
               "position may be negative");
  expectUnsafe([](Plan &p) { step(p, 1).ints[0] = 8; },
               "blocks of 8 tokens, state 'past.0' has blocks of 4");
  expectUnsafe([](Plan &p) { p.states[0].capacity = 9; },
               "state 'past.0' of 192 bytes does not fit buffer 'cache'");
  expectUnsafe([](Plan &p) { step(p, 1).operands[1].dims[1] = 3; },
               "is not the whole of state 'past.0'");
  expectUnsafe([](Plan &p) { p.states[0].outer = {INT64_MAX}; }, "too many");
}

TEST(Checker, CopiesAndSegments) {
  expectUnsafe([](Plan &p) { step(p, 2).bytes = 1025; },
               "step 2 (copy, w): copies bytes [0, 1025) of segment 'w', "
               "which has 1024");
  expectUnsafe([](Plan &p) { step(p, 2).targetOffset = 64; },
               "to bytes [64, 1088) of buffer 'slot'");
  expectUnsafe([](Plan &p) { step(p, 2).buffer = bufferNamed(p, "table"); },
               "copies to bytes");
  expectUnsafe([](Plan &p) { buffer(p, "slot").kind = BufferKind::Workspace; },
               "kind workspace, which is not a staging slot");
  expectUnsafe([](Plan &p) { p.segments[1].offset = 8193; },
               "not a multiple of 4096");
  expectUnsafe([](Plan &p) { p.segments[1].offset = 4096; },
               "overlap in the weights file");
  expectUnsafe([](Plan &p) { p.segments[0].size = 161; },
               "segment 'table' of 161 bytes does not fit");
  expectUnsafe([](Plan &p) { buffer(p, "table").segment = kNone; },
               "filled by no segment");
  expectUnsafe([](Plan &p) { p.constants.clear(); }, "has no contents");
  expectUnsafe([](Plan &p) { p.constants[0].bytes.resize(9); },
               "9 bytes of constant data do not fit");
}

//===----------------------------------------------------------------------===//
// Lifetimes and order
//===----------------------------------------------------------------------===//

TEST(Checker, TouchesOnlyWhatLives) {
  expectUnsafe([](Plan &p) { buffer(p, "x").end = 5; },
               "step 5 (linear, /lm_head): touches buffer 'x', which is live "
               "in [0, 5)");
  expectUnsafe([](Plan &p) { buffer(p, "slot").start = 3; },
               "step 2 (copy, w): touches buffer 'slot'");
  expectUnsafe([](Plan &p) { buffer(p, "y").end = 6; },
               "output 'logits' (buffer 'y') is not live after the last step");
  expectUnsafe(
      [](Plan &p) {
        p.entries.push_back(p.entries[0]);
        p.entries[1].name = "other";
      },
      "entry 'other': input 'ids' (buffer 'ids') does not lie on the device "
      "or belongs to another entry");
  expectUnsafe(
      [](Plan &p) {
        p.entries.push_back(p.entries[0]);
        p.entries[1].name = "other";
        p.entries[1].inputs.clear();
        p.entries[1].outputs.clear();
        p.entries[1].symbols[0].lower = 3;
      },
      "entry 'other', step 0 (gather, /embed): touches buffer 'ids' of entry "
      "'main'");
}

TEST(Checker, ReadBeforeWrite) {
  expectUnsafe(
      [](Plan &p) {
        step(p, 0).kind = StepKind::Signal;
        step(p, 0).event = 1;
        p.entries[0].numEvents = 2;
      },
      "reads bytes [0, 48) of buffer 'x', but byte 0 was never written");
  expectUnsafe([](Plan &p) { p.segments[0].size = 100; },
               "reads bytes [0, 160) of buffer 'table', but byte 100 was never "
               "written");
  // Half of the slot is not enough.
  expectUnsafe(
      [](Plan &p) {
        step(p, 2).bytes = 512;
        p.entries[0].streamedBytes = 512;
      },
      "reads bytes [0, 1024) of buffer 'slot', but byte 512 was never written");
  expectUnsafe(
      [](Plan &p) {
        // Nobody writes y.
        p.entries[0].steps.pop_back();
        p.entries[0].steps.pop_back();
        buffer(p, "y").end = 5;
        buffer(p, "y").start = 4;
        buffer(p, "x").end = 5;
        buffer(p, "slot").end = 5;
      },
      "output 'logits' (buffer 'y') is never written");
}

TEST(Checker, Events) {
  expectUnsafe([](Plan &p) { std::swap(step(p, 3), step(p, 4)); },
               "step 3 (wait): waits for event 0, which no earlier step "
               "signals");
  expectUnsafe([](Plan &p) { step(p, 4) = step(p, 3); },
               "step 4 (signal): signals event 0 a second time");
  // The signal comes before the copy on its stream: the wait proves nothing.
  expectUnsafe(
      [](Plan &p) {
        std::swap(step(p, 2), step(p, 3));
        buffer(p, "slot").start = 3;
      },
      "reads bytes [384, 1408) of the device (buffer 'slot') without "
      "waiting for step 3, which writes them on the other stream");
  // Without any event.
  expectUnsafe(
      [](Plan &p) {
        step(p, 4).kind = StepKind::Launch;
        step(p, 4).kernel = KernelId::Fill;
        step(p, 4).operands = {step(p, 5).operands[2]};
        step(p, 4).floats = {0};
        buffer(p, "y").start = 4;
      },
      "without waiting for step 2");
  // On the compute stream the copy needs none.
  Plan plan = samplePlan();
  step(plan, 2).stream = Stream::Compute;
  expectSafe(plan);
}

/// The sample with its slot filled a second time for the same Linear:
/// 2 copy, 3 signal 0, 4 wait 0, 5 linear, 6 signal 1 (compute),
/// 7 wait 1 (copy), 8 copy, 9 signal 2 (copy), 10 wait 2, 11 linear.
static Plan reusedSlot() {
  Plan plan = samplePlan();
  Entry &entry = plan.entries[0];
  entry.steps.pop_back();
  Step copy = entry.steps[2], signal = entry.steps[3], wait = entry.steps[4],
       linear = entry.steps[5];
  auto add = [&](Step step, Stream stream, uint32_t event) {
    step.stream = stream;
    step.event = event;
    entry.steps.push_back(step);
  };
  add(signal, Stream::Compute, 1);
  add(wait, Stream::Copy, 1);
  add(copy, Stream::Copy, kNone);
  add(signal, Stream::Copy, 2);
  add(wait, Stream::Compute, 2);
  add(linear, Stream::Compute, kNone);
  entry.numEvents = 3;
  entry.streamedBytes = 2048;
  buffer(plan, "slot").end = 12;
  buffer(plan, "x").end = 12;
  buffer(plan, "y").end = 12;
  return plan;
}

TEST(Checker, SlotReuseWaitsForTheLastReader) {
  expectSafe(reusedSlot());
  Plan plan = reusedSlot();
  step(plan, 7).event = 0; // waits for its own stream's first copy
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find(
                "step 8 (copy, w): writes bytes [384, 1408) of the device "
                "(buffer 'slot') without waiting for step 5, which reads "
                "them"),
            std::string::npos)
      << result.error().message;
  plan = reusedSlot();
  step(plan, 10).event = 0; // the first copy, not the second
  result = check(plan);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find(
                "step 11 (linear, /lm_head): reads bytes [384, 1408) of the "
                "device (buffer 'slot') without waiting for step 8"),
            std::string::npos)
      << result.error().message;
}

TEST(Checker, RacesAcrossBuffersThatShareBytes) {
  // Two slots at the same address with lifetimes one after the other: safe by
  // the lifetimes, racy by the streams.
  Plan plan = reusedSlot();
  Buffer second = buffer(plan, "slot");
  second.name = "slot2";
  second.start = 8;
  buffer(plan, "slot").end = 6;
  plan.buffers.push_back(second);
  step(plan, 8).buffer = 7;
  step(plan, 11).operands[1].buffer = 7;
  expectSafe(plan);
  step(plan, 7).event = 0;
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("(buffer 'slot2') without waiting"),
            std::string::npos)
      << result.error().message;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

TEST(Checker, AccessMustFitTheKernel) {
  expectUnsafe([](Plan &p) { step(p, 5).operands[2].access = Access::Read; },
               "is a result, but marked as read");
  expectUnsafe([](Plan &p) { step(p, 5).operands[0].access = Access::Write; },
               "is an input, but marked as written");
  expectUnsafe(
      [](Plan &p) {
        buffer(p, "y").kind = BufferKind::Activation;
        step(p, 0).operands[2] = step(p, 0).operands[0];
        step(p, 0).operands[2].access = Access::Write;
        step(p, 0).operands[2].dims = {0, 1, 2};
      },
      "is a weight or constant and must not be written");
}

TEST(Checker, ResultsOverOperands) {
  // relu runs in place in the sample; a shifted or a linear result may not.
  expectUnsafe(
      [](Plan &p) {
        buffer(p, "y").size = 80;
        step(p, 6).operands[1].offset = 8;
      },
      "its result operand 1 (buffer 'y') overwrites operand 0 (buffer 'y') at "
      "bytes [8, 72)");
  expectUnsafe(
      [](Plan &p) {
        buffer(p, "x").size = 72;
        buffer(p, "x").offset = 1600;
        buffer(p, "y").offset = 1472;
        p.totals.arenaBytes += 64;
        p.totals.deviceBytes += 64;
        p.totals.activationPeakBytes += 64;
        buffer(p, "x").end = 7;
        step(p, 5).operands[2].buffer = bufferNamed(p, "x");
      },
      "step 5 (linear, /lm_head): its result");
}

TEST(Checker, LinearShapes) {
  expectUnsafe([](Plan &p) { step(p, 5).operands[1].dims[1] = 0; },
               "do not fit together");
  expectUnsafe([](Plan &p) { step(p, 5).operands[2].dims[1] = 0; },
               "rows of input and result differ");
  expectUnsafe([](Plan &p) { step(p, 5).operands[1].packing = Packing::Raw; },
               "not packed in panels");
  expectUnsafe([](Plan &p) { step(p, 5).ints = {1, 0}; },
               "3 operands, expected 4");
  expectUnsafe([](Plan &p) { step(p, 5).ints = {0, 99}; },
               "unknown activation 99");
  expectUnsafe([](Plan &p) { step(p, 5).operands[1].dtype = DType::I8; },
               "operand 1 is i8, expected f32, f16, bf16");
  expectUnsafe(
      [](Plan &p) { step(p, 6).operands[0].packing = Packing::Panel64; },
      "operand 0 (buffer 'y')");
}

TEST(Checker, PointwisePrograms) {
  expectUnsafe([](Plan &p) { step(p, 6).ints[4] = 1; },
               "instruction 0 reads register 1, which is not yet written");
  expectUnsafe([](Plan &p) { step(p, 6).ints[2] = 49; },
               "an unknown instruction");
  expectUnsafe([](Plan &p) { step(p, 6).ints.pop_back(); },
               "6 ints, expected 7");
  expectUnsafe([](Plan &p) { step(p, 6).ints[1] = INT64_MAX; }, "out of range");
  expectUnsafe(
      [](Plan &p) {
        step(p, 6).ints = {1, 1, int64_t(PointwiseOp::Const), 0, 1, 0, 0};
      },
      "reads float 1 of 1");
  expectUnsafe([](Plan &p) { step(p, 6).operands[0].dims = {0, 1, 2}; },
               "does not broadcast to");
}

TEST(KernelRules, LinearQuant) {
  auto make = [](int64_t codes, int64_t scales) {
    return OneLaunch(KernelId::LinearQuant)
        .operand(F32, {3, 40})
        .operand(U8, {8, codes})
        .operand(F16, {8, scales})
        .out(F32, {3, 8})
        .ints({8, 40, 4, 32, 0, 0, 0, 0, 8});
  };
  // Two blocks of 32 codes of 4 bits: 32 bytes a row.
  EXPECT_RULE(make(32, 2), make(20, 2));
  EXPECT_RULE(make(32, 2), make(32, 1));
}

TEST(KernelRules, MatMul) {
  auto make = [](std::vector<int64_t> a, std::vector<int64_t> b,
                 std::vector<int64_t> out, int64_t transB) {
    return OneLaunch(KernelId::MatMul)
        .operand(F32, std::move(a))
        .operand(F32, std::move(b))
        .out(F32, std::move(out))
        .ints({0, transB})
        .floats({1});
  };
  EXPECT_RULE(make({2, 3, 4}, {4, 5}, {2, 3, 5}, 0),
              make({2, 3, 4}, {5, 4}, {2, 3, 5}, 0));
  EXPECT_RULE(make({2, 3, 4}, {1, 5, 4}, {2, 3, 5}, 1),
              make({2, 3, 4}, {3, 5, 4}, {2, 3, 5}, 1));
  EXPECT_RULE(make({2, 3, 4}, {4, 5}, {2, 3, 5}, 0),
              make({2, 3, 4}, {4, 5}, {2, 3, 6}, 0));
}

TEST(KernelRules, Quantization) {
  auto dequantize = [](int64_t scales, int64_t axis) {
    return OneLaunch(KernelId::DequantizeLinear)
        .operand(DType::I4, {6, 5})
        .operand(F32, {scales})
        .out(F32, {6, 5})
        .ints({axis, 0, 0});
  };
  EXPECT_RULE(dequantize(5, 1), dequantize(5, 0));
  EXPECT_RULE(dequantize(1, -1000), dequantize(5, -1000));
  auto blocked = [](int64_t blocks) {
    return OneLaunch(KernelId::DequantizeLinear)
        .operand(U8, {10, 5})
        .operand(F32, {blocks, 5})
        .operand(U8, {blocks, 5})
        .out(F32, {10, 5})
        .ints({0, 4, 1});
  };
  EXPECT_RULE(blocked(3), blocked(2));
  auto dynamic = [](int64_t scale) {
    return OneLaunch(KernelId::DynamicQuantizeLinear)
        .operand(F32, {7})
        .out(U8, {7})
        .out(F32, {scale})
        .out(U8, {1});
  };
  EXPECT_RULE(dynamic(1), dynamic(2));
}

TEST(KernelRules, Attention) {
  auto make = [](int64_t kvHeads, int64_t tokens, std::vector<int64_t> bias) {
    return OneLaunch(KernelId::Attention)
        .operand(F32, {1, 4, 3, 8})
        .operand(F32, {1, kvHeads, 6, 8})
        .operand(F32, {1, kvHeads, 6, 8})
        .operand(F32, std::move(bias))
        .out(F32, {1, 4, 3, 8})
        .params({tokens})
        .ints({0, 0, 1, 0, 1, 0, 0})
        .floats({0.5, 0});
  };
  EXPECT_RULE(make(2, 6, {3, 6}), make(3, 6, {3, 6}));
  EXPECT_RULE(make(2, 6, {1, 1, 1, 6}), make(2, 7, {3, 6}));
  EXPECT_RULE(make(2, 6, {4, 1, 1}), make(2, 6, {3, 5}));
}

namespace {
/// Attention over slices of one state with `outer` (the number of slices
/// first), 8 tokens in blocks of 4 and 8 features, of which 6 tokens are there:
/// both operands are the whole state.
OneLaunch slicedAttention(const std::vector<int64_t> &slices,
                          std::vector<int64_t> outer = {3, 1, 2},
                          int64_t fromState = 1) {
  OneLaunch one(KernelId::Attention);
  std::vector<int64_t> dims = outer;
  dims.insert(dims.end(), {8, 8});
  one.operand(F32, {1, 4, 3, 8}).operand(F32, dims).out(F32, {1, 4, 3, 8});
  std::vector<int64_t> ints = {0, fromState, 1, 0, 0, 0, 4};
  ints.insert(ints.end(), slices.begin(), slices.end());
  one.params({6}).ints(ints).floats({0.5, 0});
  Plan &plan = one.plan;
  Buffer &buffer = plan.buffers[1];
  buffer.kind = BufferKind::State;
  buffer.entry = kNone;
  buffer.end = 0;
  plan.totals.stateBytes += buffer.size;
  plan.totals.activationPeakBytes -= buffer.size;
  plan.states = {{"past", "present", F32, std::move(outer), {8}, 8, 4, 1}};
  Entry &entry = plan.entries[0];
  entry.symbols = {{"past", 6, 6, true}};
  entry.inputs.pop_back();
  std::vector<Operand> &operands = entry.steps[0].operands;
  Operand state = operands[1];
  operands.insert(operands.begin() + 2, state);
  return one;
}

void expectRefused(const OneLaunch &one, const std::string &words) {
  EXPECT_FALSE(one.safe()) << "expected: " << words;
  EXPECT_NE(one.message.find(words), std::string::npos)
      << "found:    " << one.message << "\nexpected: " << words;
}
} // namespace

TEST(KernelRules, AttentionOverSlicesOfAState) {
  for (std::vector<int64_t> slices :
       {std::vector<int64_t>{3, 0, 2}, {3, 2, 1}, {3, 1, 1}}) {
    OneLaunch good = slicedAttention(slices);
    EXPECT_TRUE(good.safe()) << good.message;
  }
  for (std::vector<int64_t> slices :
       {std::vector<int64_t>{3, 0, 3}, {3, 3, 1}, {3, -1, 1}, {3, 1, -1}}) {
    expectRefused(slicedAttention(slices), "no such slice of k or v");
  }
  // Another number than the state has: the kernel would go by other strides.
  for (std::vector<int64_t> slices :
       {std::vector<int64_t>{2, 0, 1}, {4, 0, 1}, {4, 0, 3}, {0, 0, 0}}) {
    expectRefused(slicedAttention(slices), "another number of slices");
  }
  OneLaunch two = slicedAttention({2, 0, 1}, {2, 1, 2});
  EXPECT_TRUE(two.safe()) << two.message;
  expectRefused(slicedAttention({2, 0, 1}, {2, 2, 2}), "do not fit together");
  expectRefused(slicedAttention({2, 0, 1}, {2, 1, 3}), "not a multiple");
  // Without these numbers states are [B, Hkv, capacity, D].
  OneLaunch plain = slicedAttention({}, {1, 2});
  EXPECT_TRUE(plain.safe()) << plain.message;
  expectRefused(slicedAttention({}), "must have rank 4");
  expectRefused(slicedAttention({1, 0, 0}, {1, 2}), "must have rank 5");
  // All of them or none, and only of states.
  expectRefused(slicedAttention({3}), "8 ints");
  expectRefused(slicedAttention({3, 0}), "9 ints");
  expectRefused(slicedAttention({3, 0, 1, 0}), "11 ints");
  expectRefused(slicedAttention({3, 0, 1}, {3, 1, 2}, 0), "are no states");
  // The operands are whole states, with no more tokens than they can hold.
  OneLaunch part = slicedAttention({1, 0, 0});
  for (size_t i : {1, 2}) {
    part.plan.entries[0].steps[0].operands[i].dims[0] = constant(part.plan, 1);
  }
  expectRefused(part, "is not the whole of state");
  OneLaunch longer = slicedAttention({3, 0, 2});
  longer.plan.entries[0].steps[0].params = {constant(longer.plan, 9)};
  longer.plan.entries[0].symbols[0] = {"past", 9, 9, true};
  expectRefused(longer, "beyond the state's capacity of 8");
  OneLaunch mixed = slicedAttention({3, 0, 2});
  std::vector<uint32_t> &dims = mixed.plan.entries[0].steps[0].operands[2].dims;
  dims.erase(dims.begin());
  expectRefused(mixed, "must have rank 5");
  // A state whose tokens do not follow the heads.
  OneLaunch moved = slicedAttention({3, 0, 2});
  moved.plan.states[0].outer = {3, 1};
  moved.plan.states[0].inner = {8, 8};
  moved.plan.states[0].capacity = 2;
  moved.plan.states[0].blockTokens = 2;
  moved.plan.entries[0].steps[0].ints[6] = 2;
  expectRefused(moved, "does not follow the heads");
}

TEST(KernelRules, Rope) {
  auto make = [](std::vector<int64_t> cos, int64_t rotary, int64_t layout) {
    return OneLaunch(KernelId::Rope)
        .operand(F32, {1, 2, 3, 8})
        .operand(F32, cos)
        .operand(F32, cos)
        .out(F32, {1, 2, 3, 8})
        .ints({layout, 0, rotary});
  };
  EXPECT_RULE(make({3, 4}, 8, 0), make({3, 4}, 8, 1));
  EXPECT_RULE(make({1, 3, 8}, 8, 0), make({3, 3}, 8, 0));
  EXPECT_RULE(make({3, 4}, 4, 0), make({3, 6}, 12, 0));
}

TEST(KernelRules, StridedCopy) {
  // Transposes [2, 3] to [3, 2].
  auto transpose = [](int64_t offset, int64_t extent) {
    return OneLaunch(KernelId::StridedCopy)
        .operand(F32, {2, 3})
        .out(F32, {3, 2})
        .params({offset, 0, extent, 2, 1, 3, 2, 1})
        .ints({2});
  };
  EXPECT_RULE(transpose(0, 3), transpose(1, 3));
  EXPECT_RULE(transpose(1, 2), transpose(0, 4));
  // Backwards.
  auto reverse = [](int64_t offset) {
    return OneLaunch(KernelId::StridedCopy)
        .operand(F32, {6})
        .out(F32, {6})
        .params({offset, 0, 6, -1, 1})
        .ints({1});
  };
  EXPECT_RULE(reverse(5), reverse(4));
}

TEST(KernelRules, StridedCopyKnowsWhatCancels) {
  // The last of n elements, n in [1, 9]: offset n - 1, stride -1, extent n.
  auto make = [](int64_t shift) {
    OneLaunch one(KernelId::StridedCopy);
    one.operand(F32, {9}).out(F32, {9}).ints({1});
    Entry &entry = one.plan.entries[0];
    entry.symbols = {{"n", 1, 9, false}};
    entry.exprs.push_back({ExprOp::Symbol, 0, 0, 0});
    auto n = static_cast<uint32_t>(entry.exprs.size() - 1);
    uint32_t last = expr(one.plan, ExprOp::Add, n, constant(one.plan, shift));
    uint32_t zero = constant(one.plan, 0);
    uint32_t plus = constant(one.plan, 1);
    uint32_t minus = constant(one.plan, -1);
    entry.steps[0].params = {last, zero, n, minus, plus};
    entry.steps[0].operands[0].dims = {n};
    entry.steps[0].operands[1].dims = {n};
    entry.inputs[0].dims = {n};
    return one;
  };
  EXPECT_RULE(make(-1), make(0));
}

TEST(KernelRules, PartialCopiesFillTheirTarget) {
  // Concatenation of [2] and [3] into [5]; without the second, a read of all
  // five elements is a read of what was never written.
  auto make = [](bool both) {
    OneLaunch one(KernelId::StridedCopy);
    one.operand(F32, {2}).operand(F32, {3}).out(F32, {5}).out(F32, {5});
    Plan &plan = one.plan;
    Entry &entry = plan.entries[0];
    std::vector<Operand> views = entry.steps[0].operands;
    views[2].access = Access::ReadWrite;
    Step first = entry.steps[0];
    first.ints = {1};
    uint32_t zero = constant(plan, 0), unit = constant(plan, 1),
             two = constant(plan, 2), three = constant(plan, 3);
    Step second = first;
    first.operands = {views[0], views[2]};
    first.params = {zero, zero, two, unit, unit};
    second.operands = {views[1], views[2]};
    second.params = {zero, two, three, unit, unit};
    Step read;
    read.kernel = KernelId::Cast;
    views[2].access = Access::Read;
    read.operands = {views[2], views[3]};
    entry.steps = both ? std::vector{first, second, read}
                       : std::vector{first, read, read};
    for (Buffer &buffer : plan.buffers) {
      buffer.end = 3;
    }
    return one;
  };
  EXPECT_RULE(make(true), make(false));
}

TEST(KernelRules, GatherAndScatter) {
  auto gather = [](std::vector<int64_t> out, int64_t axis) {
    return OneLaunch(KernelId::Gather)
        .operand(F16, {4, 5, 6})
        .operand(I32, {2, 3})
        .out(F32, std::move(out))
        .ints({axis});
  };
  EXPECT_RULE(gather({4, 2, 3, 6}, 1), gather({2, 3, 5, 6}, 1));
  auto gatherND = [](std::vector<int64_t> out) {
    return OneLaunch(KernelId::GatherND)
        .operand(F32, {4, 5, 6})
        .operand(I64, {7, 2})
        .out(F32, std::move(out))
        .ints({0});
  };
  EXPECT_RULE(gatherND({7, 6}), gatherND({7, 5, 6}));
  auto scatterND = [](int64_t updates) {
    return OneLaunch(KernelId::ScatterND)
        .operand(F32, {4, 6})
        .operand(I64, {3, 1})
        .operand(F32, {updates, 6})
        .out(F32, {4, 6})
        .ints({1});
  };
  EXPECT_RULE(scatterND(3), scatterND(4));
  auto gatherQuant = [](int64_t codes) {
    return OneLaunch(KernelId::GatherQuant)
        .operand(U8, {10, codes})
        .operand(F32, {10, 1})
        .operand(I64, {2})
        .out(F32, {2, 32})
        .ints({10, 32, 4, 32, 0, 8});
  };
  EXPECT_RULE(gatherQuant(16), gatherQuant(15));
}

TEST(KernelRules, ReductionsNormsAndOthers) {
  auto reduce = [](int64_t mask) {
    return OneLaunch(KernelId::Reduce)
        .operand(F32, {2, 3, 4})
        .out(F32, {2, 1, 4})
        .ints({1, mask});
  };
  EXPECT_RULE(reduce(2), reduce(4));
  auto argReduce = [](int64_t axis) {
    return OneLaunch(KernelId::ArgReduce)
        .operand(F32, {2, 3})
        .out(I64, {2})
        .ints({axis, 0, 0});
  };
  EXPECT_RULE(argReduce(1), argReduce(0));
  auto softmax = [](int64_t axis) {
    return OneLaunch(KernelId::Softmax)
        .operand(F32, {2, 3})
        .out(F32, {2, 3})
        .ints({axis, 0});
  };
  EXPECT_RULE(softmax(1), softmax(2));
  auto norm = [](int64_t scale) {
    return OneLaunch(KernelId::RmsNorm)
        .operand(F32, {2, 3})
        .operand(F32, {scale})
        .out(F32, {2, 3})
        .ints({1, 1})
        .floats({1e-5});
  };
  EXPECT_RULE(norm(3), norm(2));
  auto layerNorm = [](int64_t bias) {
    return OneLaunch(KernelId::LayerNorm)
        .operand(F32, {2, 3})
        .operand(F32, {3})
        .operand(F32, {bias})
        .out(F32, {2, 3})
        .ints({1, 1, 1})
        .floats({1e-5});
  };
  EXPECT_RULE(layerNorm(3), layerNorm(4));
  auto topK = [](int64_t k) {
    return OneLaunch(KernelId::TopK)
        .operand(F32, {2, 9})
        .out(F32, {2, 4})
        .out(I64, {2, 4})
        .ints({1, 1, 1})
        .params({k});
  };
  EXPECT_RULE(topK(4), topK(5));
  auto conv = [](int64_t out) {
    return OneLaunch(KernelId::Conv)
        .operand(F32, {1, 4, 10})
        .operand(F32, {6, 2, 3})
        .out(F32, {1, 6, out})
        .ints({1, 2, 0, 2, 1, 1, 1});
  };
  EXPECT_RULE(conv(5), conv(6));
  // 10 wide, windows of 3 that span 5 at every 2nd: 1 + 10 + 1 - 5 = 7, rounded
  // down to 4 windows, or up to 5; a 6th would start at 10 of 11.
  auto pool = [](int64_t ceilMode, int64_t out) {
    return OneLaunch(KernelId::Pool)
        .operand(F32, {1, 4, 10})
        .out(F32, {1, 4, out})
        .ints({0, 1, ceilMode, 0, 3, 2, 2, 1, 1});
  };
  EXPECT_RULE(pool(0, 4), pool(0, 5));
  EXPECT_RULE(pool(1, 5), pool(1, 6));
  // A window that would start beyond the input is not added: 3 wide, windows
  // of 1 at every 2nd with one of padding behind: starts 0 and 2, never 4.
  auto strided = [](int64_t out) {
    return OneLaunch(KernelId::Pool)
        .operand(F32, {1, 1, 3})
        .out(F32, {1, 1, out})
        .ints({1, 1, 1, 1, 1, 2, 1, 0, 1});
  };
  EXPECT_RULE(strided(2), strided(3));
  auto poolType = [](DType type, int64_t kind) {
    return OneLaunch(KernelId::Pool)
        .operand(type, {1, 4, 3})
        .out(type, {1, 4, 3})
        .ints({kind, 1, 0, 0, 1, 1, 1, 0, 0});
  };
  EXPECT_RULE(poolType(I64, 0), poolType(I64, 1));
  EXPECT_RULE(poolType(F32, 1), poolType(F32, 2));
  auto lrn = [](int64_t size, int64_t channels) {
    return OneLaunch(KernelId::Lrn)
        .operand(F32, {1, 4, 3})
        .out(F32, {1, channels, 3})
        .ints({size})
        .floats({1e-4, 0.75, 1.0});
  };
  EXPECT_RULE(lrn(5, 4), lrn(0, 4));
  EXPECT_RULE(lrn(5, 4), lrn(5, 5));
  auto iota = [](DType type) {
    return OneLaunch(KernelId::Iota).out(type, {4}).params({0, 1}).ints({0});
  };
  EXPECT_RULE(iota(I64), iota(U8));
  auto fill = [](DType type) {
    return OneLaunch(KernelId::Fill).out(type, {4}).ints({0});
  };
  EXPECT_RULE(fill(I64), fill(F32));
}

//===----------------------------------------------------------------------===//
// Any plan at all
//===----------------------------------------------------------------------===//

TEST(Checker, DamagedPlansNeverCrash) {
  // Whatever the reader lets through, the checker survives; what the checker
  // lets through keeps its operands inside the arena.
  const std::vector<uint8_t> bytes = encodePlan(samplePlan());
  std::mt19937_64 random(23);
  int safe = 0, checked = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> damaged = bytes;
    int changes = 1 + int(random() % 3);
    for (int c = 0; c < changes; ++c) {
      size_t at = 4096 + random() % (damaged.size() - 4096);
      damaged[at] =
          (random() & 1) ? uint8_t(random()) : uint8_t(1 << random() % 8);
    }
    resealPlan(damaged);
    Result<Plan> plan = decodePlan(damaged);
    if (!plan) {
      continue;
    }
    ++checked;
    if (check(*plan)) {
      ++safe;
      for (const Buffer &b : plan->buffers) {
        ASSERT_LE(b.offset + b.size, plan->totals.arenaBytes);
      }
    }
  }
  EXPECT_GT(checked, 1000);
  EXPECT_GT(safe, 100) << "names and figures may change";
  EXPECT_LT(safe, checked);
}
