//===- core_plans.h - Small plans written by hand --------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A "language model" small enough to check by hand. With an embedding E
// [vocabulary, width], a square matrix A [width, width] and an output matrix W
// [vocabulary, width] the logits after tokens t0 .. tn are
//
//   W (A (E[t0] + ... + E[tn]))
//
// The embeddings of all tokens are kept in a state, so a wrong past or a wrong
// block shows. All numbers are small integers: the sums are exact.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_CORE_PLANS_H
#define LLMC_TEST_UNIT_CORE_PLANS_H

#include "runtime/plan/Plan.h"
#include "runtime/plan/PlanWriter.h"
#include "runtime/plan/WeightsFile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace llmc::test {

constexpr int64_t kVocabulary = 70; // two panels, the second one padded
constexpr int64_t kWidth = 24;
constexpr int64_t kContext = 22; // not a multiple of the block
constexpr int64_t kBlock = 4;
constexpr int64_t kChunk = 8;

inline float embedding(int64_t token, int64_t k) {
  return static_cast<float>((token * 7 + k * 3) % 11 - 5);
}
inline float square(int64_t n, int64_t k) {
  return static_cast<float>((n * 5 + k * 2) % 7 - 3);
}
inline float output(int64_t n, int64_t k) {
  return static_cast<float>((n * 3 + k) % 9 - 4);
}

/// The logits after `tokens`, computed in the most obvious way.
inline std::vector<float> expectedLogits(const std::vector<int64_t> &tokens) {
  std::vector<float> sum(kWidth), hidden(kWidth), logits(kVocabulary);
  for (int64_t token : tokens) {
    for (int64_t k = 0; k < kWidth; ++k) {
      sum[k] += embedding(token, k);
    }
  }
  for (int64_t n = 0; n < kWidth; ++n) {
    for (int64_t k = 0; k < kWidth; ++k) {
      hidden[n] += square(n, k) * sum[k];
    }
  }
  for (int64_t n = 0; n < kVocabulary; ++n) {
    for (int64_t k = 0; k < kWidth; ++k) {
      logits[n] += output(n, k) * hidden[k];
    }
  }
  return logits;
}

/// A folder that goes with the test.
class TemporaryFolder {
public:
  TemporaryFolder() {
    char name[] = "/tmp/llmc-core-XXXXXX";
    folder = mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(folder); }
  std::string operator/(const std::string &name) const {
    return folder + "/" + name;
  }

private:
  std::string folder;
};

/// [ceil(N/64)][K][64], zero padded.
template <class Value>
std::vector<float> panels(int64_t rows, int64_t depth, const Value &value) {
  std::vector<float> out((rows + 63) / 64 * 64 * depth);
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t k = 0; k < depth; ++k) {
      out[(n / 64 * depth + k) * 64 + n % 64] = value(n, k);
    }
  }
  return out;
}

/// Adds expressions and buffers to one entry of a plan.
class EntryBuilder {
public:
  EntryBuilder(plan::Plan &plan, const std::string &name)
      : plan(plan), index(static_cast<uint32_t>(plan.entries.size())) {
    plan.entries.emplace_back();
    entry().name = name;
  }

  plan::Entry &entry() { return plan.entries[index]; }

  uint32_t constant(int64_t value) {
    return push({plan::ExprOp::Constant, 0, 0, value});
  }
  uint32_t symbol(const std::string &name, int64_t lower, int64_t upper,
                  bool isPast = false) {
    entry().symbols.push_back({name, lower, upper, isPast});
    return push({plan::ExprOp::Symbol,
                 static_cast<uint32_t>(entry().symbols.size() - 1), 0, 0});
  }
  uint32_t add(uint32_t a, uint32_t b) {
    return push({plan::ExprOp::Add, a, b, 0});
  }

  uint32_t buffer(const std::string &name, plan::BufferKind kind,
                  uint64_t offset, uint64_t size, uint32_t start,
                  uint32_t end) {
    plan::Buffer b;
    b.name = name;
    b.kind = kind;
    b.offset = offset;
    b.size = size;
    b.entry = index;
    b.start = start;
    b.end = end;
    plan.buffers.push_back(b);
    return static_cast<uint32_t>(plan.buffers.size() - 1);
  }

  plan::Step &launch(const std::string &name, plan::KernelId kernel) {
    plan::Step step;
    step.kind = plan::StepKind::Launch;
    step.name = name;
    step.kernel = kernel;
    entry().steps.push_back(step);
    return entry().steps.back();
  }
  void sync(plan::StepKind kind, plan::Stream stream, uint32_t event) {
    plan::Step step;
    step.kind = kind;
    step.stream = stream;
    step.name = "event" + std::to_string(event);
    step.event = event;
    entry().steps.push_back(step);
    entry().numEvents = std::max(entry().numEvents, event + 1);
  }
  void copy(uint32_t segment, uint32_t buffer, uint64_t bytes,
            plan::Stream stream) {
    plan::Step step;
    step.kind = plan::StepKind::Copy;
    step.stream = stream;
    step.name = "copy" + std::to_string(segment);
    step.segment = segment;
    step.buffer = buffer;
    step.bytes = bytes;
    entry().steps.push_back(step);
    entry().streamedBytes += bytes;
  }

private:
  uint32_t push(plan::ExprNode node) {
    entry().exprs.push_back(node);
    return static_cast<uint32_t>(entry().exprs.size() - 1);
  }

  plan::Plan &plan;
  uint32_t index;
};

inline plan::Operand operand(uint32_t buffer, plan::Access access,
                             plan::DType dtype, std::vector<uint32_t> dims,
                             plan::Packing packing = plan::Packing::Raw) {
  plan::Operand out;
  out.buffer = buffer;
  out.access = access;
  out.dtype = dtype;
  out.packing = packing;
  out.dims = std::move(dims);
  return out;
}

/// Carried: the square matrix is in the slot when an entry starts, the output
/// matrix replaces it, and the square matrix comes back for the next run.
enum class Placement { Resident, Streamed, Carried };

struct ModelOptions {
  Placement placement = Placement::Resident;
  bool prefill = true;
  bool decode = true;
  plan::DType tokens = plan::DType::I64;
};

/// Offsets of the arena, the same in every entry.
struct Room {
  uint64_t next = 0;
  uint64_t take(uint64_t bytes) {
    const uint64_t at = next;
    next += (bytes + 63) / 64 * 64;
    return at;
  }
};

/// Builds the model's entries into `plan`, which has its segments and its
/// global buffers: 0 embedding, 1 state, 2 square and 3 output if resident.
inline void addEntry(plan::Plan &plan, const std::string &name,
                     const ModelOptions &options, Room &room) {
  using namespace plan;
  EntryBuilder b(plan, name);
  const bool streamed = options.placement == Placement::Streamed;
  const bool carried = options.placement == Placement::Carried;
  const bool prefill = name != "decode";
  const uint32_t one = b.constant(1);
  const uint32_t width = b.constant(kWidth);
  const uint32_t vocabulary = b.constant(kVocabulary);
  const uint32_t capacity = b.constant(kContext);
  const uint32_t past =
      b.symbol("past", 0, kContext - (prefill ? kChunk : 1), true);
  const uint32_t seq = prefill ? b.symbol("seq", 1, kChunk) : one;
  const uint32_t total = b.add(past, seq);
  b.entry().newTokens = seq;
  const int64_t maxSeq = prefill ? kChunk : 1;

  // Steps 0, 1: copy the square matrix, say so. 2-5: embed, append, read, sum.
  // 6: wait, 7: multiply, 8: say that the slot is free. 9-11: copy the output
  // matrix into the same slot. 12: wait, 13: multiply. Without streaming the
  // launches follow each other. Carried: 0-4 are the launches up to the
  // product, 5-9 exchange the slot's matrix, 10 multiplies, 11-13 bring the
  // square matrix back.
  const uint32_t at[] = {
      streamed ? 2u : 0u, streamed ? 3u : 1u,
      streamed ? 4u : 2u, streamed ? 5u : 3u,
      streamed ? 7u : 4u, streamed ? 13u : carried ? 10u : 5u};
  const uint32_t end = carried ? 14 : at[5] + 1;
  const uint64_t squareBytes = plan.segments[1].size;
  const uint64_t outputBytes = plan.segments[2].size;
  const uint64_t slot = carried ? plan.carried[0].offset
                        : streamed
                            ? room.take(std::max(squareBytes, outputBytes))
                            : 0;

  const uint32_t tokens =
      b.buffer(name + ".tokens", BufferKind::Input,
               room.take(8 * static_cast<uint64_t>(maxSeq)),
               static_cast<uint64_t>(maxSeq) * bitWidth(options.tokens) / 8, 0,
               at[0] + 1);
  const uint64_t xBytes = static_cast<uint64_t>(maxSeq * kWidth) * 4;
  const uint32_t x = b.buffer(name + ".x", BufferKind::Activation,
                              room.take(xBytes), xBytes, at[0], at[1] + 1);
  const uint64_t allBytes = static_cast<uint64_t>(kContext * kWidth) * 4;
  const uint32_t all =
      b.buffer(name + ".all", BufferKind::Activation, room.take(allBytes),
               allBytes, at[2], at[3] + 1);
  const uint32_t sum =
      b.buffer(name + ".sum", BufferKind::Activation, room.take(kWidth * 4),
               kWidth * 4, at[3], at[4] + 1);
  const uint32_t hidden =
      b.buffer(name + ".hidden", BufferKind::Activation, room.take(kWidth * 4),
               kWidth * 4, at[4], at[5] + 1);
  const uint32_t logits =
      b.buffer(name + ".logits", BufferKind::Output, room.take(kVocabulary * 4),
               kVocabulary * 4, at[5], end);
  uint32_t squareBuffer = 2;
  uint32_t outputBuffer = 3;
  if (streamed) {
    squareBuffer = b.buffer(name + ".slot.square", BufferKind::Staging, slot,
                            squareBytes, 0, at[4] + 1);
    outputBuffer = b.buffer(name + ".slot.output", BufferKind::Staging, slot,
                            outputBytes, 10, at[5] + 1);
    b.copy(1, squareBuffer, squareBytes, Stream::Copy);
    b.sync(StepKind::Signal, Stream::Copy, 0);
  }
  uint32_t again = 0;
  if (carried) {
    squareBuffer = b.buffer(name + ".first", BufferKind::Staging, slot,
                            squareBytes, 0, at[4] + 1);
    outputBuffer = b.buffer(name + ".slot.output", BufferKind::Staging, slot,
                            outputBytes, 7, at[5] + 1);
    again = b.buffer(name + ".last", BufferKind::Staging, slot, squareBytes, 13,
                     14);
    b.entry().carried = {{squareBuffer, again}};
  }

  Step &embed = b.launch("embed", KernelId::Gather);
  embed.operands = {operand(0, Access::Read, DType::F32, {vocabulary, width}),
                    operand(tokens, Access::Read, options.tokens, {one, seq}),
                    operand(x, Access::Write, DType::F32, {one, seq, width})};
  embed.ints = {0};
  Step &append = b.launch("append", KernelId::KvAppend);
  append.operands = {
      operand(x, Access::Read, DType::F32, {one, seq, width}),
      operand(1, Access::ReadWrite, DType::F32, {one, capacity, width})};
  append.params = {past};
  append.ints = {kBlock, 1};
  Step &read = b.launch("read", KernelId::KvRead);
  read.operands = {
      operand(1, Access::Read, DType::F32, {one, capacity, width}),
      operand(all, Access::Write, DType::F32, {one, total, width})};
  read.params = {total};
  read.ints = {kBlock, 1};
  Step &reduce = b.launch("sum", KernelId::Reduce);
  reduce.operands = {
      operand(all, Access::Read, DType::F32, {one, total, width}),
      operand(sum, Access::Write, DType::F32, {one, one, width})};
  reduce.ints = {static_cast<int64_t>(ReduceKind::Sum), 2};
  if (streamed) {
    b.sync(StepKind::Wait, Stream::Compute, 0);
  }
  Step &first = b.launch("square", KernelId::Linear);
  first.operands = {
      operand(sum, Access::Read, DType::F32, {one, one, width}),
      operand(squareBuffer, Access::Read, DType::F32, {width, width},
              Packing::Panel64),
      operand(hidden, Access::Write, DType::F32, {one, one, width})};
  first.ints = {0, static_cast<int64_t>(Activation::None)};
  if (streamed) {
    b.sync(StepKind::Signal, Stream::Compute, 1);
    b.sync(StepKind::Wait, Stream::Copy, 1);
    b.copy(2, outputBuffer, outputBytes, Stream::Copy);
    b.sync(StepKind::Signal, Stream::Copy, 2);
    b.sync(StepKind::Wait, Stream::Compute, 2);
  }
  if (carried) {
    b.sync(StepKind::Signal, Stream::Compute, 0);
    b.sync(StepKind::Wait, Stream::Copy, 0);
    b.copy(2, outputBuffer, outputBytes, Stream::Copy);
    b.sync(StepKind::Signal, Stream::Copy, 1);
    b.sync(StepKind::Wait, Stream::Compute, 1);
  }
  Step &second = b.launch("output", KernelId::Linear);
  second.operands = {
      operand(hidden, Access::Read, DType::F32, {one, one, width}),
      operand(outputBuffer, Access::Read, DType::F32, {vocabulary, width},
              Packing::Panel64),
      operand(logits, Access::Write, DType::F32, {one, one, vocabulary})};
  second.ints = {0, static_cast<int64_t>(Activation::None)};
  if (carried) {
    b.sync(StepKind::Signal, Stream::Compute, 2);
    b.sync(StepKind::Wait, Stream::Copy, 2);
    b.copy(1, again, squareBytes, Stream::Copy);
  }

  Port in;
  in.name = "input_ids";
  in.role = PortRole::Tokens;
  in.dtype = options.tokens;
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
  state.dims = {one, total, width};
  b.entry().inputs = {in};
  b.entry().outputs = {out, state};
  b.entry().derived = {{"attention_mask", DerivedKind::Ones},
                       {"position_ids", DerivedKind::Positions},
                       {"past.0", DerivedKind::Empty}};
}

/// The arena, what of it is not weights or state, and the largest sum of live
/// bytes at one step, global buffers included.
inline void fillTotals(plan::Plan &plan, uint64_t arenaBytes) {
  plan.totals.arenaBytes = arenaBytes;
  plan.totals.deviceBytes = arenaBytes;
  plan.totals.activationPeakBytes =
      arenaBytes - plan.totals.residentWeightBytes - plan.totals.stateBytes;
  for (uint32_t e = 0; e < plan.entries.size(); ++e) {
    for (uint32_t s = 0; s < plan.entries[e].steps.size(); ++s) {
      uint64_t live = 0;
      for (const plan::Buffer &b : plan.buffers) {
        const bool now = b.entry == plan::kNone ||
                         (b.entry == e && b.start <= s && s < b.end);
        live += now ? b.size : 0;
      }
      plan.entries[e].peakLiveBytes =
          std::max(plan.entries[e].peakLiveBytes, live);
    }
  }
}

struct WrittenWeights {
  Hash128 id;
  std::vector<plan::Segment> segments;
  uint64_t bytes = 0; // of the file
};

/// One segment per content.
inline WrittenWeights
writeWeights(const std::string &path, const std::vector<std::string> &names,
             const std::vector<std::vector<float>> &contents) {
  std::vector<plan::WantedSegment> wanted;
  for (size_t i = 0; i < contents.size(); ++i) {
    wanted.push_back({names[i],
                      hash128(contents[i].data(), contents[i].size() * 4),
                      contents[i].size() * 4});
  }
  auto writer = plan::WeightsWriter::create(path, wanted);
  EXPECT_TRUE(bool(writer));
  for (const std::vector<float> &content : contents) {
    EXPECT_TRUE(
        bool(writer->append({reinterpret_cast<const uint8_t *>(content.data()),
                             content.size() * 4})));
  }
  Result<Hash128> id = writer->finish();
  EXPECT_TRUE(bool(id));
  WrittenWeights out{*id, {}, *plan::weightsFileBytes(wanted)};
  for (const plan::StoredSegment &stored : writer->segments()) {
    out.segments.push_back(
        {stored.name, stored.offset, stored.size, stored.checksum});
  }
  return out;
}

/// Writes NAME.plan and NAME.weights into `folder`; returns the plan's path.
inline std::string writeModel(const TemporaryFolder &folder,
                              const ModelOptions &options = {},
                              const std::string &name = "m") {
  using namespace plan;
  std::vector<float> e(kVocabulary * kWidth);
  for (int64_t t = 0; t < kVocabulary; ++t) {
    for (int64_t k = 0; k < kWidth; ++k) {
      e[t * kWidth + k] = embedding(t, k);
    }
  }
  const std::vector<std::vector<float>> contents = {
      e, panels(kWidth, kWidth, square), panels(kVocabulary, kWidth, output)};
  const WrittenWeights weights =
      writeWeights(folder / (name + ".weights"),
                   {"embedding", "square", "output"}, contents);

  Plan plan;
  plan.producer = "hand";
  plan.modelName = name;
  plan.arch = "x86-64";
  plan.weightsFile = name + ".weights";
  plan.weightsId = weights.id;
  plan.context = kContext;
  plan.vocabulary = kVocabulary;
  plan.segments = weights.segments;
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
  global("embedding", BufferKind::Weight, plan.segments[0].size, 0);
  const uint64_t stateBytes = static_cast<uint64_t>((kContext + kBlock - 1) /
                                                    kBlock * kBlock * kWidth) *
                              4;
  global("past.0", BufferKind::State, stateBytes, kNone);
  plan.totals.residentWeightBytes = plan.segments[0].size;
  plan.totals.stateBytes = stateBytes;
  if (options.placement == Placement::Resident) {
    global("square", BufferKind::Weight, plan.segments[1].size, 1);
    global("output", BufferKind::Weight, plan.segments[2].size, 2);
    plan.totals.residentWeightBytes +=
        plan.segments[1].size + plan.segments[2].size;
  }
  State state;
  state.name = "past.0";
  state.outputName = "present.0";
  state.outer = {1};
  state.inner = {kWidth};
  state.capacity = kContext;
  state.blockTokens = kBlock;
  state.buffer = 1;
  plan.states = {state};
  if (options.placement == Placement::Carried) {
    const uint64_t larger =
        std::max(plan.segments[1].size, plan.segments[2].size);
    plan.carried = {{1, 0, plan.segments[1].size, room.take(larger)}};
  }
  if (options.prefill) {
    addEntry(plan, "prefill", options, room);
  }
  if (options.decode) {
    addEntry(plan, "decode", options, room);
  }
  fillTotals(plan, room.next);
  plan.totals.weightsBytes = weights.bytes;
  const std::string path = folder / (name + ".plan");
  Result<void> written = writePlan(plan, path);
  EXPECT_TRUE(bool(written)) << (written ? "" : written.error().message);
  return path;
}

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_CORE_PLANS_H
