//===- core_carried.cpp - Slots that outlast a run ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/core/Session.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"

#include <functional>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::test;

namespace {

class CarriedSlots : public testing::Test {
protected:
  CarriedSlots() {
    Result<Plan> read =
        readPlan(writeModel(folder, {.placement = Placement::Carried}));
    EXPECT_TRUE(bool(read)) << (read ? "" : read.error().message);
    plan = *read;
  }

  Buffer &buffer(const std::string &name) {
    auto it = std::find_if(plan.buffers.begin(), plan.buffers.end(),
                           [&](const Buffer &b) { return b.name == name; });
    EXPECT_NE(it, plan.buffers.end()) << name;
    return *it;
  }
  uint32_t index(const std::string &name) {
    return static_cast<uint32_t>(&buffer(name) - plan.buffers.data());
  }

  void expectUnsafe(const std::string &words) {
    Result<Certificate> result = check(plan);
    ASSERT_FALSE(result) << "expected: " << words;
    EXPECT_EQ(result.error().code, ErrorCode::PlanUnsafe);
    EXPECT_NE(result.error().message.find(words), std::string::npos)
        << "found:    " << result.error().message << "\nexpected: " << words;
  }

  TemporaryFolder folder;
  Plan plan;
};

} // namespace

TEST_F(CarriedSlots, SurvivesWritingAndReading) {
  ASSERT_EQ(plan.carried.size(), 1u);
  EXPECT_EQ(plan.carried[0].segment, 1u);
  EXPECT_EQ(plan.carried[0].bytes, plan.segments[1].size);
  ASSERT_EQ(plan.entries.size(), 2u);
  for (const Entry &entry : plan.entries) {
    ASSERT_EQ(entry.carried.size(), 1u);
    EXPECT_EQ(plan.buffers[entry.carried[0].first].name, entry.name + ".first");
    EXPECT_EQ(plan.buffers[entry.carried[0].last].name, entry.name + ".last");
  }
  Result<Certificate> result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
}

TEST_F(CarriedSlots, GivesTheSameLogits) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < kContext; ++i) {
    tokens.push_back((i * 5 + 3) % kVocabulary);
  }
  for (bool poison : {false, true}) {
    SessionOptions options;
    options.poison = poison;
    auto session = Session::load(folder / "m.plan", options);
    ASSERT_TRUE(bool(session)) << session.error().message;
    auto row = (*session)->prefill(std::span(tokens).first(11));
    for (size_t i = 11; row && i < tokens.size(); ++i) {
      row = (*session)->decode(tokens[i]);
    }
    ASSERT_TRUE(bool(row)) << row.error().message;
    EXPECT_EQ(std::vector<float>(row->begin(), row->end()),
              expectedLogits(tokens));
  }
}

TEST_F(CarriedSlots, ADamagedSegmentIsFoundAtLoad) {
  Result<Plan> read = readPlan(folder / "m.plan");
  ASSERT_TRUE(bool(read));
  std::FILE *file = std::fopen((folder / "m.weights").c_str(), "r+b");
  ASSERT_TRUE(file);
  std::fseek(file, static_cast<long>(read->segments[1].offset + 8), SEEK_SET);
  std::fputc(77, file);
  std::fclose(file);
  auto session = Session::load(folder / "m.plan", {});
  ASSERT_FALSE(bool(session));
  EXPECT_EQ(session.error().code, ErrorCode::WeightsChecksum);
}

TEST_F(CarriedSlots, IsFilledWithJustItsBytes) {
  plan.carried[0].segment = 2;
  expectUnsafe("fills it with other bytes");
}

TEST_F(CarriedSlots, IsFilledAsAWhole) {
  plan.carried[0].sourceOffset = 64;
  plan.carried[0].bytes -= 64;
  expectUnsafe("was never written");
}

TEST_F(CarriedSlots, MustBeFilledAgain) {
  plan.entries[1].steps.pop_back();
  plan.entries[1].streamedBytes -= plan.segments[1].size;
  for (const char *name : {"decode.last", "decode.logits"}) {
    buffer(name).start = std::min(buffer(name).start, 12u);
    buffer(name).end = 13;
  }
  expectUnsafe("is not written by one copy");
}

TEST_F(CarriedSlots, IsThereFromTheFirstStepOn) {
  buffer("prefill.first").start = 1;
  expectUnsafe("does not live at step 0");
}

TEST_F(CarriedSlots, LastsToTheEnd) {
  // A signal more at the end, which the logits outlive.
  Entry &entry = plan.entries[1];
  Step step;
  step.kind = StepKind::Signal;
  step.event = entry.numEvents++;
  entry.steps.push_back(step);
  buffer("decode.logits").end = 15;
  expectUnsafe("does not live to the end");
}

TEST_F(CarriedSlots, HasItsOwnPlace) {
  buffer("decode.last").offset += 64;
  plan.totals.arenaBytes += 64;
  plan.totals.deviceBytes += 64;
  plan.totals.activationPeakBytes += 64;
  expectUnsafe("is not its place");
}

TEST_F(CarriedSlots, IsNotReadAfterItsPlaceIsTaken) {
  // The first product reads the slot of the last one.
  for (Operand &operand : plan.entries[1].steps[4].operands) {
    operand.buffer = operand.buffer == index("decode.first")
                         ? index("decode.last")
                         : operand.buffer;
  }
  expectUnsafe("'decode.last'");
}

TEST_F(CarriedSlots, LiesOverNothingThatLasts) {
  plan.carried[0].offset = buffer("past.0").offset;
  expectUnsafe("lies over buffer 'past.0'");
}

TEST_F(CarriedSlots, LiesOverNoInputThatNoStepUses) {
  Buffer unused;
  unused.name = "unused";
  unused.kind = BufferKind::Input;
  unused.offset = plan.carried[0].offset;
  unused.size = 64;
  unused.entry = 0;
  plan.buffers.push_back(unused);
  expectUnsafe("lies over buffer 'unused'");
}

TEST_F(CarriedSlots, DamagedIndicesAreRefused) {
  Plan good = plan;
  plan.carried[0].segment = 3;
  EXPECT_EQ(check(plan).error().code, ErrorCode::PlanMalformed);
  plan = good;
  plan.entries[0].carried[0].last = static_cast<uint32_t>(plan.buffers.size());
  EXPECT_EQ(check(plan).error().code, ErrorCode::PlanMalformed);
  plan = good;
  plan.entries[0].carried.clear();
  EXPECT_EQ(check(plan).error().code, ErrorCode::PlanMalformed);
  plan = good;
  plan.carried[0].bytes = UINT64_MAX - 4;
  EXPECT_EQ(check(plan).error().code, ErrorCode::PlanMalformed);
}
