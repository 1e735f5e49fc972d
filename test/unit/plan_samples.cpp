//===- plan_samples.cpp - Plans for the tests of runtime/plan -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/PlanFormat.h"

#include "gtest/gtest.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace llmc::plan::test {

static Buffer lasting(const char *name, BufferKind kind, uint64_t offset,
                      uint64_t size, uint32_t segment = kNone) {
  Buffer buffer;
  buffer.name = name;
  buffer.kind = kind;
  buffer.offset = offset;
  buffer.size = size;
  buffer.segment = segment;
  return buffer;
}

static Buffer passing(const char *name, BufferKind kind, uint64_t offset,
                      uint64_t size, uint32_t start, uint32_t end) {
  Buffer buffer = lasting(name, kind, offset, size);
  buffer.entry = 0;
  buffer.start = start;
  buffer.end = end;
  return buffer;
}

Plan samplePlan() {
  Plan plan;
  plan.producer = "llmc test";
  plan.modelName = "sample";
  plan.target = "cpu";
  plan.arch = "x86-64-v3";
  plan.options = "--vram 4K";
  plan.weightsFile = "sample.weights";
  plan.weightsId = {0x1111, 0x2222};
  plan.context = 8;
  plan.vocabulary = 10;
  plan.bosToken = 1;
  plan.eosTokens = {2, 3};
  plan.segments = {{"table", 4096, 160, {1, 2}}, {"w", 8192, 1024, {3, 4}}};
  plan.buffers = {
      lasting("table", BufferKind::Weight, 0, 160, 0),
      lasting("cache", BufferKind::State, 192, 128),
      lasting("half", BufferKind::Constant, 320, 8),
      passing("slot", BufferKind::Staging, 384, 1024, 2, 6),
      passing("ids", BufferKind::Input, 1408, 24, 0, 1),
      passing("x", BufferKind::Activation, 1472, 48, 0, 6),
      passing("y", BufferKind::Output, 1536, 72, 5, 7),
  };
  plan.states = {{"past.0", "present.0", DType::F32, {1}, {4}, 8, 4, 1}};
  plan.constants = {{2, {0, 0, 0, 63, 0, 0, 0, 0}}};
  plan.tokenizer = std::string("tokens\0and more", 15);

  Entry entry;
  entry.name = "main";
  entry.symbols = {{"seq", 1, 3, false}, {"past", 0, 5, true}};
  // 0: 1, 1: seq, 2: 4, 3: 6, 4: 10, 5: past, 6: 8, 7: past + seq
  entry.exprs = {{ExprOp::Constant, 0, 0, 1},  {ExprOp::Symbol, 0, 0, 0},
                 {ExprOp::Constant, 0, 0, 4},  {ExprOp::Constant, 0, 0, 6},
                 {ExprOp::Constant, 0, 0, 10}, {ExprOp::Symbol, 1, 0, 0},
                 {ExprOp::Constant, 0, 0, 8},  {ExprOp::Add, 5, 1, 0}};
  entry.newTokens = 1;
  entry.numEvents = 1;
  entry.inputs = {{"ids", PortRole::Tokens, DType::I64, 4, {0, 1}, kNone}};
  entry.outputs = {
      {"logits", PortRole::Logits, DType::F32, 6, {0, 1, 3}, kNone},
      {"present.0", PortRole::State, DType::F32, kNone, {0, 7, 2}, 0}};
  entry.derived = {{"attention_mask", DerivedKind::Ones}};
  entry.peakLiveBytes = 1464;
  entry.streamedBytes = 1024;
  entry.predictedSeconds = 0.25;
  entry.boundBy = "link";

  Operand table{0, Access::Read, DType::F32, Packing::Raw, 0, {4, 2}};
  Operand ids{4, Access::Read, DType::I64, Packing::Raw, 0, {0, 1}};
  Operand x{5, Access::Read, DType::F32, Packing::Raw, 0, {0, 1, 2}};
  Operand cache{1, Access::ReadWrite, DType::F32, Packing::Raw, 0, {0, 6, 2}};
  Operand w{3, Access::Read, DType::F32, Packing::Panel64, 0, {3, 2}};
  Operand y{6, Access::Read, DType::F32, Packing::Raw, 0, {0, 1, 3}};
  Operand xOut = x;
  xOut.access = Access::Write;
  Operand yOut = y;
  yOut.access = Access::Write;

  Step gather;
  gather.name = "/embed";
  gather.kernel = KernelId::Gather;
  gather.operands = {table, ids, xOut};
  gather.ints = {0};
  Step append;
  append.name = "/concat";
  append.kernel = KernelId::KvAppend;
  append.operands = {x, cache};
  append.params = {5};
  append.ints = {4, 1};
  Step copy;
  copy.kind = StepKind::Copy;
  copy.stream = Stream::Copy;
  copy.name = "w";
  copy.segment = 1;
  copy.buffer = 3;
  copy.bytes = 1024;
  Step signal;
  signal.kind = StepKind::Signal;
  signal.stream = Stream::Copy;
  signal.event = 0;
  Step wait;
  wait.kind = StepKind::Wait;
  wait.event = 0;
  Step linear;
  linear.name = "/lm_head";
  linear.kernel = KernelId::Linear;
  linear.operands = {x, w, yOut};
  linear.ints = {0, 0};
  Step relu;
  relu.name = "/relu";
  relu.kernel = KernelId::Pointwise;
  relu.operands = {y, yOut};
  relu.ints = {1, 1, int64_t(PointwiseOp::Relu), 0, 0, 0, 0};
  relu.floats = {0.5};
  entry.steps = {gather, append, copy, signal, wait, linear, relu};
  plan.entries = {entry};

  Totals &t = plan.totals;
  t.budgetBytes = 4096;
  t.residentWeightBytes = 192; // parts are rounded up to the alignment
  t.stateBytes = 128;
  t.constantBytes = 64;
  t.stagingBytes = 1024;
  t.activationPeakBytes = 256;
  t.arenaBytes = 1664;
  t.reserveBytes = 1000;
  t.deviceBytes = 2664;
  t.lowerBoundBytes = 144;
  t.minimumBytes = 2664;
  t.weightsBytes = 1184;
  return plan;
}

Plan rowsPlan() {
  Plan plan = samplePlan();
  Entry &entry = plan.entries[0];
  for (Buffer &buffer : plan.buffers) {
    if (buffer.entry == 0 && buffer.name != "ids") {
      buffer.start += 6;
      buffer.end += 6;
    }
  }
  plan.buffers[0] = passing("rows", BufferKind::Staging, 0, 48, 3, 7);
  auto ids32 = static_cast<uint32_t>(plan.buffers.size());
  plan.buffers.push_back(
      passing("ids32", BufferKind::Activation, 384, 12, 0, 7));
  auto numbers = static_cast<uint32_t>(plan.buffers.size());
  plan.buffers.push_back(lasting("numbers", BufferKind::Constant, 1664, 24));
  Plan::ConstantData data{numbers, std::vector<uint8_t>(24)};
  data.bytes[8] = 1;
  data.bytes[16] = 2;
  plan.constants.push_back(data);
  auto three = static_cast<uint32_t>(entry.exprs.size());
  entry.exprs.push_back({ExprOp::Constant, 0, 0, 3});

  Operand ids{4, Access::Read, DType::I64, Packing::Raw, 0, {0, 1}};
  Operand narrow{ids32, Access::Read, DType::I32, Packing::Raw, 0, {0, 1}};
  Step cast;
  cast.name = "/cast";
  cast.kernel = KernelId::Cast;
  cast.operands = {ids, narrow};
  cast.operands[1].access = Access::Write;
  Step copy;
  copy.kind = StepKind::Copy;
  copy.stream = Stream::Copy;
  copy.name = "table";
  copy.segment = 0;
  copy.buffer = 0;
  copy.bytes = 48;
  copy.operands = {narrow};
  copy.ints = {10, 16};
  auto event = [](StepKind kind, Stream stream, uint32_t number) {
    Step step;
    step.kind = kind;
    step.stream = stream;
    step.event = number;
    return step;
  };
  Step &gather = entry.steps[0];
  gather.operands[0].dims[0] = three;
  gather.operands[1].buffer = numbers;
  std::vector<Step> first = {cast,
                             event(StepKind::Signal, Stream::Compute, 1),
                             event(StepKind::Wait, Stream::Copy, 1),
                             copy,
                             event(StepKind::Signal, Stream::Copy, 2),
                             event(StepKind::Wait, Stream::Compute, 2)};
  entry.steps.insert(entry.steps.begin(), first.begin(), first.end());
  entry.numEvents = 3;
  entry.streamedBytes += 48;
  Totals &t = plan.totals;
  t.stagingBytes += t.residentWeightBytes;
  t.residentWeightBytes = 0;
  t.constantBytes += 64;
  t.arenaBytes += 64;
  t.deviceBytes += 64;
  t.minimumBytes += 64;
  return plan;
}

Plan twoEntries() {
  Plan plan = samplePlan();
  Entry again = plan.entries[0];
  again.name = "again";
  size_t count = plan.buffers.size();
  std::vector<uint32_t> twin(count);
  for (uint32_t i = 0; i < count; ++i) {
    twin[i] = i;
    if (plan.buffers[i].entry == 0) {
      Buffer copy = plan.buffers[i];
      copy.name += "2";
      copy.entry = 1;
      twin[i] = static_cast<uint32_t>(plan.buffers.size());
      plan.buffers.push_back(copy);
    }
  }
  for (Step &step : again.steps) {
    for (Operand &operand : step.operands) {
      operand.buffer = twin[operand.buffer];
    }
    if (step.kind == StepKind::Copy) {
      step.buffer = twin[step.buffer];
    }
  }
  again.inputs[0].buffer = twin[again.inputs[0].buffer];
  again.outputs[0].buffer = twin[again.outputs[0].buffer];
  plan.entries.push_back(again);
  return plan;
}

Plan carriedSlot() {
  Plan plan = twoEntries();
  auto named = [&](const std::string &name) -> Buffer & {
    return plan.buffers[bufferNamed(plan, name)];
  };
  auto isLaunch = [](const Step &step) {
    return step.kind == StepKind::Launch;
  };
  Step refill = plan.entries[0].steps[2];
  plan.carried = {{refill.segment, 0, refill.bytes, named("slot").offset}};
  Buffer last = named("slot");
  last.name = "slot.last";
  last.start = 5;
  last.end = 7;
  refill.buffer = static_cast<uint32_t>(plan.buffers.size());
  plan.buffers.push_back(last);
  for (Entry &entry : plan.entries) {
    std::vector<Step> launches;
    std::copy_if(entry.steps.begin(), entry.steps.end(),
                 std::back_inserter(launches), isLaunch);
    entry.steps = launches;
  }
  Step signal;
  signal.kind = StepKind::Signal;
  signal.event = 0;
  Step wait = signal;
  wait.kind = StepKind::Wait;
  wait.stream = Stream::Copy;
  std::vector<Step> &steps = plan.entries[0].steps;
  steps.insert(steps.begin() + 3, {signal, wait, refill});
  plan.entries[1].numEvents = 0;
  plan.entries[1].streamedBytes = 0;
  const auto live = [&](const char *name, uint32_t start, uint32_t end) {
    named(name).start = start;
    named(name).end = end;
  };
  live("slot", 0, 3);
  live("x", 0, 3);
  live("y", 2, 7);
  live("slot2", 0, 4);
  live("x2", 0, 3);
  live("y2", 2, 4);
  plan.entries[0].carried = {{bufferNamed(plan, "slot"), refill.buffer}};
  plan.entries[1].carried = {
      {bufferNamed(plan, "slot2"), bufferNamed(plan, "slot2")}};
  return plan;
}

uint32_t bufferNamed(const Plan &plan, const std::string &name) {
  for (uint32_t i = 0; i < plan.buffers.size(); ++i) {
    if (plan.buffers[i].name == name) {
      return i;
    }
  }
  ADD_FAILURE() << "no buffer " << name;
  return 0;
}

namespace {
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "llmc-plan-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};
} // namespace

std::string temporaryPath(const std::string &name) {
  static TemporaryFolder folder;
  static int count = 0;
  std::filesystem::path inside = folder.path / std::to_string(count++);
  std::filesystem::create_directory(inside);
  return (inside / name).string();
}

std::vector<uint8_t> readBytes(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char *>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

void resealPlan(std::vector<uint8_t> &bytes) {
  ASSERT_GE(bytes.size(), kPageBytes);
  PlanPage page;
  std::memcpy(&page, bytes.data(), sizeof(page));
  page.fileBytes = bytes.size();
  Hash128 body = hash128(bytes.data() + kPageBytes, bytes.size() - kPageBytes);
  page.bodyHash[0] = body.low;
  page.bodyHash[1] = body.high;
  Hash128 head = hashOfPage(&page);
  page.pageHash[0] = head.low;
  page.pageHash[1] = head.high;
  std::memcpy(bytes.data(), &page, sizeof(page));
}

} // namespace llmc::plan::test
