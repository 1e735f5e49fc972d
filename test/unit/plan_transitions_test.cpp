//===- plan_transitions_test.cpp - From one entry to the next -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/Checker.h"

#include "gtest/gtest.h"

#include <functional>
#include <nlohmann/json.hpp>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

namespace {

void expectUnsafe(const std::function<void(Plan &)> &change,
                  const std::string &words) {
  Plan plan = twoEntries();
  change(plan);
  Result<Certificate> result = check(plan);
  ASSERT_FALSE(result) << "expected: " << words;
  EXPECT_EQ(result.error().code, ErrorCode::PlanUnsafe);
  EXPECT_NE(result.error().message.find(words), std::string::npos)
      << "found:    " << result.error().message << "\nexpected: " << words;
}

Buffer &buffer(Plan &plan, const char *name) {
  return plan.buffers[bufferNamed(plan, name)];
}

} // namespace

TEST(Transitions, AreCountedInTheCertificate) {
  Result<Certificate> result = check(twoEntries());
  ASSERT_TRUE(result) << result.error().message;
  // Two entries of 7 steps: 4 ordered pairs, and the first of a pair may be
  // complete or stopped after any of 0 .. 7 steps.
  EXPECT_EQ(result->transitions.pairs, 4u);
  EXPECT_EQ(result->transitions.cases, 32u);
  EXPECT_EQ(result->transitions.lastingBytes, 160u + 128u + 8u);
  EXPECT_EQ(result->transitions.highWaterBytes, 1608u);
  EXPECT_EQ(result->entries[1].appends, 1u);
  nlohmann::json json = nlohmann::json::parse(result->json());
  EXPECT_EQ(json["transitions"]["pairs"], 4);
  EXPECT_EQ(json["transitions"]["cases"], 32);
  EXPECT_EQ(json["transitions"]["lasting_bytes"], 296);
  EXPECT_EQ(json["transitions"]["high_water_bytes"], 1608);
  EXPECT_NE(result->text().find("transitions: 4 pairs of entries, 32 with"),
            std::string::npos)
      << result->text();
}

TEST(Transitions, HighWaterIsTheLargestOfTheEntries) {
  Plan plan = twoEntries();
  buffer(plan, "y2").offset = 1600;
  plan.totals.arenaBytes += 64;
  plan.totals.deviceBytes += 64;
  plan.totals.activationPeakBytes += 64;
  Result<Certificate> result = check(plan);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->entries[0].highWaterBytes, 1608u);
  EXPECT_EQ(result->transitions.highWaterBytes, 1672u);
}

TEST(Transitions, WhatLastsIsNotOverlapped) {
  // In the second entry only: the first would find its table destroyed.
  expectUnsafe([](Plan &p) { buffer(p, "y2").offset = 64; },
               "between entries: output 'y2' at [64, 136) of entry 'again' "
               "lies over weight 'table' at [0, 160)");
  expectUnsafe([](Plan &p) { buffer(p, "x2").offset = 256; },
               "lies over state 'cache'");
  expectUnsafe([](Plan &p) { buffer(p, "x2").offset = 320; },
               "lies over constant 'half'");
  expectUnsafe([](Plan &p) { buffer(p, "slot2").offset = 256; },
               "staging 'slot2' at [256, 1280) of entry 'again' lies over "
               "constant 'half'");
  expectUnsafe([](Plan &p) { buffer(p, "half").offset = 128; },
               "weight 'table' at [0, 160) and constant 'half' at [128, 136) "
               "of the device tier last and overlap");
}

TEST(Transitions, InputsAreWrittenEvenIfUnused) {
  // No step reads it, so it lives nowhere; but the caller fills it.
  auto addInput = [](Plan &p, uint64_t offset) {
    Buffer extra = buffer(p, "ids2");
    extra.name = "unused";
    extra.offset = offset;
    extra.start = extra.end = 0;
    p.buffers.push_back(extra);
    Port port = p.entries[1].inputs[0];
    port.name = "unused";
    port.buffer = static_cast<uint32_t>(p.buffers.size() - 1);
    p.entries[1].inputs.push_back(port);
  };
  Plan plan = twoEntries();
  addInput(plan, 1536); // y, later
  Result<Certificate> result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
  expectUnsafe([&](Plan &p) { addInput(p, 64); },
               "input 'unused' at [64, 88) of entry 'again' lies over weight");
  expectUnsafe([&](Plan &p) { addInput(p, 1408); },
               "buffers 'ids2' at [1408, 1432) and 'unused' at [1408, 1432)");
  expectUnsafe(
      [&](Plan &p) {
        addInput(p, 1536);
        p.entries[1].inputs[1].buffer = p.entries[1].inputs[0].buffer;
      },
      "input 'unused' overwrites another input in buffer 'ids2'");
}

TEST(Transitions, NothingOfAnotherEntryIsRead) {
  expectUnsafe(
      [](Plan &p) {
        p.entries[1].steps[1].operands[0].buffer = bufferNamed(p, "x");
      },
      "touches buffer 'x' of entry 'main'");
  // What the entry before left at the same address does not count as written.
  expectUnsafe(
      [](Plan &p) {
        std::swap(p.entries[1].steps[0], p.entries[1].steps[1]);
        buffer(p, "ids2").end = 2;
      },
      "entry 'again', step 0 (kv_append, /concat): reads bytes [0, 48) of "
      "buffer 'x2', but byte 0 was never written");
  expectUnsafe(
      [](Plan &p) {
        // The copy is gone, its slot still filled by the entry before.
        p.entries[1].steps[2].bytes = 0;
        p.entries[1].streamedBytes = 0;
      },
      "of buffer 'slot2', but byte 0 was never written");
}

TEST(Transitions, StateBeforePastIsNeverWritten) {
  // Appending at 0 instead of `past` would leave a stopped entry's tokens.
  expectUnsafe([](Plan &p) { p.entries[1].steps[1].params = {0}; },
               "writes tokens from 1 on into state 'past.0', but those before "
               "past must stay as they are");
  // One token too far leaves a hole, which the next entry would read.
  expectUnsafe(
      [](Plan &p) {
        p.entries[1].symbols[1].upper = 4;
        p.entries[1].exprs.push_back({ExprOp::Add, 5, 0, 0});
        p.entries[1].steps[1].params = {8};
      },
      "entry 'again': leaves state 'past.0' with past tokens, but says that "
      "seq are added to past");
  // The append is missing, or shorter than what the entry says.
  expectUnsafe(
      [](Plan &p) {
        p.entries[0].steps[1] = p.entries[0].steps[0];
        buffer(p, "ids").end = 2;
      },
      "entry 'main': leaves state 'past.0' with past tokens");
  expectUnsafe(
      [](Plan &p) {
        p.entries[0].steps[1].operands[0].dims[1] = 0;
        p.entries[0].symbols[0].lower = 2;
      },
      "entry 'main': leaves state 'past.0' with 1 + past tokens");
}

TEST(Transitions, TokensAreReadOnlyIfWritten) {
  // kv_read of past + seq tokens into y's place, before or after the append.
  auto addRead = [](Plan &p, size_t at, uint32_t tokens) {
    Entry &entry = p.entries[0];
    Buffer out = buffer(p, "x");
    out.name = "dense";
    out.offset = 2048;
    out.size = 128;
    out.start = 0;
    out.end = static_cast<uint32_t>(entry.steps.size());
    p.buffers.push_back(out);
    Step read;
    read.name = "/read";
    read.kernel = KernelId::KvRead;
    Operand state = entry.steps[1].operands[1];
    state.access = Access::Read;
    Operand dense = state;
    dense.access = Access::Write;
    dense.buffer = static_cast<uint32_t>(p.buffers.size() - 1);
    dense.dims[1] = tokens;
    read.operands = {state, dense};
    read.params = {tokens};
    read.ints = {4, 1};
    // Instead of the step that is no longer needed: 6, a relu in place.
    entry.steps[6] = read;
    std::rotate(entry.steps.begin() + static_cast<ptrdiff_t>(at),
                entry.steps.end() - 1, entry.steps.end());
    for (Buffer &b : p.buffers) {
      if (b.entry == 0) {
        b.start = 0;
        b.end = 7;
      }
    }
    p.totals.arenaBytes += 1024;
    p.totals.deviceBytes += 1024;
    p.totals.activationPeakBytes += 1024;
  };
  Plan plan = twoEntries();
  addRead(plan, 2, 7);
  Result<Certificate> result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
  plan = twoEntries();
  addRead(plan, 1, 5); // `past` tokens, before the append
  result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
  expectUnsafe([&](Plan &p) { addRead(p, 1, 7); },
               "step 1 (kv_read, /read): reads seq + past tokens of state "
               "'past.0', of which only past are written by then");
  expectUnsafe(
      [&](Plan &p) {
        addRead(p, 2, 6); // the whole capacity
      },
      "reads 8 tokens of state 'past.0', of which only seq + past are written");
  // A result of another length than what is read.
  expectUnsafe(
      [&](Plan &p) {
        addRead(p, 2, 7);
        p.entries[0].steps[2].params = {5};
      },
      "the result has another length than T");
}

TEST(Transitions, StatesAreNoDenseOperands) {
  // A second state; its first tokens, as if they were dense, into the first.
  auto addState = [](Plan &p, bool asInput) {
    Buffer second = buffer(p, "cache");
    second.name = "second";
    second.offset = p.totals.arenaBytes;
    p.buffers.push_back(second);
    p.totals.arenaBytes += 128;
    p.totals.deviceBytes += 128;
    p.totals.stateBytes += 128;
    State state = p.states[0];
    state.name = "past.1";
    state.buffer = static_cast<uint32_t>(p.buffers.size() - 1);
    p.states.push_back(state);
    for (Entry &entry : p.entries) {
      Step append = entry.steps[1];
      append.operands[1].buffer = state.buffer;
      entry.steps[6] = append; // instead of a relu in place
      for (Buffer &b : p.buffers) {
        if (b.entry != kNone && b.name[0] == 'x') {
          b.end = 7;
        }
      }
    }
    if (asInput) {
      p.entries[0].steps[6].operands[0].buffer = p.states[0].buffer;
    }
  };
  Plan plan = twoEntries();
  addState(plan, false);
  Result<Certificate> result = check(plan);
  EXPECT_TRUE(result) << result.error().message;
  expectUnsafe([&](Plan &p) { addState(p, true); },
               "step 6 (kv_append, /concat): operand 0 (buffer 'cache'): this "
               "kernel does not know the state's block layout there");
}
