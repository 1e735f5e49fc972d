//===- core_spill_plans.h - A plan whose state spills ----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Attention of one head over the embeddings of all tokens so far:
//
//   logits = W * sum over rows (attention(E[t], E[0..t]))
//
// The state is queries' keys and values at once. Spilled, its blocks below come
// through one slot per window; all restores are issued first.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_CORE_SPILL_PLANS_H
#define LLMC_TEST_UNIT_CORE_SPILL_PLANS_H

#include "core_plans.h"

#include <functional>

namespace llmc::test {

constexpr int64_t kSpillBlock = 64;
constexpr int64_t kSpillContext = 400; // 7 blocks, the last one not whole
constexpr int64_t kSpillChunk = 100;

struct SpillOptions {
  int64_t resident = 0;              // blocks; 0: all
  std::vector<int64_t> windows = {}; // blocks of each window below
  // Instead: attention sees `window` tokens and the first `sinks`, and of the
  // state there are sinkBlocks blocks and a ring (0: all blocks).
  int64_t window = 0;
  int64_t sinks = 0;
  int64_t sinkBlocks = 0;
  int64_t ringBlocks = 0;
};

inline void addSpillEntry(plan::Plan &plan, bool prefill,
                          const SpillOptions &options, Room &room) {
  using namespace plan;
  const std::string name = prefill ? "prefill" : "decode";
  EntryBuilder b(plan, name);
  const int64_t maxSeq = prefill ? kSpillChunk : 1;
  const uint32_t one = b.constant(1);
  const uint32_t width = b.constant(kWidth);
  const uint32_t carryWidth = b.constant(kWidth + 2);
  const uint32_t vocabulary = b.constant(kVocabulary);
  const uint32_t past = b.symbol("past", 0, kSpillContext - 1, true);
  const uint32_t seq = prefill ? b.symbol("seq", 1, kSpillChunk) : one;
  const uint32_t total = b.add(past, seq);
  b.entry().newTokens = seq;
  const bool spills = options.resident != 0;
  const uint64_t block = kSpillBlock * kWidth * 4;

  // Everything lives throughout: this plan is about its order.
  const auto buffer = [&](const std::string &what, BufferKind kind,
                          int64_t bytes) {
    const auto size = static_cast<uint64_t>(bytes);
    return b.buffer(name + "." + what, kind, room.take(size), size, 0, 0);
  };
  const uint32_t tokens = buffer("tokens", BufferKind::Input, 8 * maxSeq);
  const uint32_t x = buffer("x", BufferKind::Activation, maxSeq * kWidth * 4);
  const uint32_t y = buffer("y", BufferKind::Activation, maxSeq * kWidth * 4);
  const uint32_t carry =
      buffer("carry", BufferKind::Activation, maxSeq * (kWidth + 2) * 4);
  const uint32_t sum = buffer("sum", BufferKind::Activation, kWidth * 4);
  const uint32_t logits = buffer("logits", BufferKind::Output, kVocabulary * 4);
  const size_t own = plan.buffers.size() - 6;

  const auto move = [&](StepKind kind, Stream stream, uint32_t slot,
                        int64_t first, int64_t count) {
    Step step;
    step.kind = kind;
    step.stream = stream;
    step.name = "cache";
    step.state = 0;
    step.firstBlock = static_cast<uint64_t>(first);
    step.buffer = slot;
    step.bytes = static_cast<uint64_t>(count) * block;
    b.entry().steps.push_back(step);
  };
  std::vector<uint32_t> slots;
  int64_t next = options.resident;
  for (size_t i = 0; i < options.windows.size(); ++i) {
    slots.push_back(buffer("slot" + std::to_string(i), BufferKind::Staging,
                           options.windows[i] * static_cast<int64_t>(block)));
    move(StepKind::Restore, Stream::Copy, slots[i], next, options.windows[i]);
    b.sync(StepKind::Signal, Stream::Copy, static_cast<uint32_t>(i));
    next += options.windows[i];
  }
  Step &embed = b.launch("embed", KernelId::Gather);
  embed.operands = {operand(0, Access::Read, DType::F32, {vocabulary, width}),
                    operand(tokens, Access::Read, DType::I64, {one, seq}),
                    operand(x, Access::Write, DType::F32, {one, seq, width})};
  embed.ints = {0};

  const auto append = [&](uint32_t where, int64_t first, int64_t count) {
    Step &step = b.launch("append", KernelId::KvAppend);
    step.operands = {
        operand(x, Access::Read, DType::F32, {one, one, seq, width}),
        operand(where, Access::ReadWrite, DType::F32,
                {one, one, b.constant(count), width})};
    step.params = {past};
    step.ints = {kSpillBlock, 2};
    if (spills) {
      step.ints.push_back(first * kSpillBlock);
    } else if (options.ringBlocks) {
      step.ints.insert(step.ints.end(), {0, options.sinkBlocks});
    }
  };
  const auto attend = [&](uint32_t where, int64_t first, int64_t count,
                          bool isFirst, bool isLast) {
    Step &step = b.launch("attention", KernelId::Attention);
    const std::vector<uint32_t> dims = {one, one, b.constant(count), width};
    step.operands = {
        operand(x, Access::Read, DType::F32, {one, one, seq, width}),
        operand(where, Access::Read, DType::F32, dims),
        operand(where, Access::Read, DType::F32, dims)};
    step.params = {total};
    step.ints = {0, 1, 1, options.window, 0, 0, kSpillBlock};
    if (options.window) {
      step.ints.insert(step.ints.end(),
                       {0, 0, 0, options.sinks, options.sinkBlocks});
    }
    step.floats = {0.125, 0};
    if (spills) {
      step.ints.insert(step.ints.end(),
                       {0, 0, 0, first * kSpillBlock, isFirst, isLast});
      step.operands.push_back(operand(carry,
                                      isFirst  ? Access::Write
                                      : isLast ? Access::Read
                                               : Access::ReadWrite,
                                      DType::F32, {one, one, seq, carryWidth}));
    }
    if (!spills || isLast) {
      step.operands.push_back(
          operand(y, Access::Write, DType::F32, {one, one, seq, width}));
    }
  };
  if (!spills) {
    const int64_t places = options.sinkBlocks + options.ringBlocks;
    const int64_t held =
        options.ringBlocks ? places * kSpillBlock : kSpillContext;
    append(1, 0, held);
    attend(1, 0, held, true, true);
  } else {
    append(1, 0, options.resident * kSpillBlock);
    attend(1, 0, options.resident * kSpillBlock, true, false);
    next = options.resident;
    for (size_t i = 0; i < slots.size(); ++i) {
      const int64_t count = options.windows[i] * kSpillBlock;
      b.sync(StepKind::Wait, Stream::Compute, static_cast<uint32_t>(i));
      append(slots[i], next, count);
      attend(slots[i], next, count, false, i + 1 == slots.size());
      move(StepKind::Spill, Stream::Compute, slots[i], next,
           options.windows[i]);
      next += options.windows[i];
    }
  }
  Step &reduce = b.launch("sum", KernelId::Reduce);
  reduce.operands = {
      operand(y, Access::Read, DType::F32, {one, seq, width}),
      operand(sum, Access::Write, DType::F32, {one, one, width})};
  reduce.ints = {static_cast<int64_t>(ReduceKind::Sum), 2};
  Step &last = b.launch("output", KernelId::Linear);
  last.operands = {
      operand(sum, Access::Read, DType::F32, {one, one, width}),
      operand(2, Access::Read, DType::F32, {vocabulary, width},
              Packing::Panel64),
      operand(logits, Access::Write, DType::F32, {one, one, vocabulary})};
  last.ints = {0, static_cast<int64_t>(Activation::None)};
  for (size_t i = own; i < plan.buffers.size(); ++i) {
    plan.buffers[i].end = static_cast<uint32_t>(b.entry().steps.size());
  }

  Port in;
  in.name = "input_ids";
  in.role = PortRole::Tokens;
  in.dtype = DType::I64;
  in.buffer = tokens;
  in.dims = {one, seq};
  Port out;
  out.name = "logits";
  out.role = PortRole::Logits;
  out.buffer = logits;
  out.dims = {one, one, vocabulary};
  Port state;
  state.name = "present.0";
  state.role = PortRole::State;
  state.state = 0;
  state.buffer = 1;
  state.dims = {one, one, total, width};
  b.entry().inputs = {in};
  b.entry().outputs = {out, state};
}

/// Segments 0 embedding, 1 output, of no file.
inline std::vector<plan::Segment> spillSegments() {
  std::vector<plan::Segment> segments(2);
  segments[0].name = "embedding";
  segments[0].size = kVocabulary * kWidth * 4;
  segments[1].name = "output";
  segments[1].offset = 8192;
  segments[1].size = 128 * kWidth * 4;
  return segments;
}

/// The plan without its weights file: segments 0 embedding, 1 output.
inline plan::Plan spillPlan(const SpillOptions &options,
                            const std::vector<plan::Segment> &segments) {
  using namespace plan;
  Plan plan;
  plan.producer = "hand";
  plan.modelName = "spill";
  plan.arch = "x86-64";
  plan.context = kSpillContext;
  plan.vocabulary = kVocabulary;
  plan.segments = segments;
  Room room;
  const auto global = [&](const std::string &what, BufferKind kind,
                          uint64_t bytes, uint32_t segment) {
    Buffer b;
    b.name = what;
    b.kind = kind;
    b.offset = room.take(bytes);
    b.size = bytes;
    b.segment = segment;
    plan.buffers.push_back(b);
  };
  const uint64_t block = kSpillBlock * kWidth * 4;
  const int64_t blocks = (kSpillContext + kSpillBlock - 1) / kSpillBlock;
  State state;
  state.name = "past.0";
  state.outputName = "present.0";
  state.outer = {1, 1};
  state.inner = {kWidth};
  state.capacity = kSpillContext;
  state.blockTokens = kSpillBlock;
  state.buffer = 1;
  // With the block that is being filled.
  const int64_t resident = options.resident ? options.resident + 1
                           : options.ringBlocks
                               ? options.sinkBlocks + options.ringBlocks
                               : blocks;
  if (options.ringBlocks) {
    state.sinkBlocks = options.sinkBlocks;
    state.ringBlocks = options.ringBlocks;
  }
  global("embedding", BufferKind::Weight, segments[0].size, 0);
  global("past.0", BufferKind::State, static_cast<uint64_t>(resident) * block,
         kNone);
  global("output", BufferKind::Weight, segments[1].size, 1);
  plan.totals.residentWeightBytes = segments[0].size + segments[1].size;
  plan.totals.stateBytes = plan.buffers[1].size;
  if (options.resident) {
    Buffer below;
    below.name = "past.0.below";
    below.kind = BufferKind::State;
    below.tier = Tier::Disk;
    below.offset = 4096;
    below.size = static_cast<uint64_t>(blocks - options.resident) * block;
    state.spill = 3;
    state.residentBlocks = options.resident;
    plan.buffers.push_back(below);
    plan.totals.diskBytes = below.offset + below.size;
  }
  plan.states = {state};
  addSpillEntry(plan, true, options, room);
  addSpillEntry(plan, false, options, room);
  fillTotals(plan, room.next);
  return plan;
}

/// Writes NAME.plan and NAME.weights into `folder`; returns the plan's path.
inline std::string
writeSpillModel(const TemporaryFolder &folder, const SpillOptions &options,
                const std::string &name,
                const std::function<void(plan::Plan &)> &change = nullptr) {
  using namespace plan;
  std::vector<float> e(kVocabulary * kWidth);
  for (int64_t t = 0; t < kVocabulary; ++t) {
    for (int64_t k = 0; k < kWidth; ++k) {
      e[t * kWidth + k] = embedding(t, k) / 4;
    }
  }
  const std::vector<std::vector<float>> contents = {
      e, panels(kVocabulary, kWidth, output)};
  const WrittenWeights weights = writeWeights(
      folder / (name + ".weights"), {"embedding", "output"}, contents);
  Plan plan = spillPlan(options, weights.segments);
  plan.weightsFile = name + ".weights";
  plan.weightsId = weights.id;
  plan.totals.weightsBytes = weights.bytes;
  if (change) {
    change(plan);
  }
  const std::string path = folder / (name + ".plan");
  Result<void> written = writePlan(plan, path);
  EXPECT_TRUE(bool(written)) << (written ? "" : written.error().message);
  return path;
}

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_CORE_SPILL_PLANS_H
