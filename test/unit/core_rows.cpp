//===- core_rows.cpp - Copies that gather rows of a table -----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"
#include "io_support.h"

#include "runtime/core/Session.h"

using namespace llmc;
using namespace llmc::test;
using plan::DType;

namespace {

constexpr int64_t kRows = 300;
constexpr int64_t kDepth = 40;
constexpr int64_t kMost = 100; // more rows than transfers in flight

float rowValue(int64_t row, int64_t k) {
  return static_cast<float>(row * kDepth + k);
}

/// out [n, kDepth] = table[ids [n]]: the table stays in its file.
std::string writeLookup(const TemporaryFolder &folder, DType ids) {
  using namespace plan;
  std::vector<float> table(kRows * kDepth);
  for (int64_t i = 0; i < kRows * kDepth; ++i) {
    table[i] = rowValue(i / kDepth, i % kDepth);
  }
  const uint64_t bytes = table.size() * 4;
  std::vector<WantedSegment> wanted = {
      {"table", hash128(table.data(), bytes), bytes}};
  auto writer = WeightsWriter::create(folder / "lookup.weights", wanted);
  EXPECT_TRUE(bool(writer));
  EXPECT_TRUE(bool(writer->append(
      {reinterpret_cast<const uint8_t *>(table.data()), bytes})));
  Result<Hash128> id = writer->finish();
  EXPECT_TRUE(bool(id));

  Plan plan;
  plan.producer = "hand";
  plan.modelName = "lookup";
  plan.arch = "x86-64";
  plan.weightsFile = "lookup.weights";
  plan.weightsId = *id;
  const StoredSegment &stored = writer->segments()[0];
  plan.segments = {{stored.name, stored.offset, stored.size, stored.checksum}};
  Room room;
  Buffer numbers;
  numbers.name = "numbers";
  numbers.kind = BufferKind::Constant;
  numbers.offset = room.take(kMost * 8);
  numbers.size = kMost * 8;
  plan.buffers.push_back(numbers);
  Plan::ConstantData data{0, std::vector<uint8_t>(kMost * 8)};
  for (int64_t i = 0; i < kMost; ++i) {
    std::memcpy(data.bytes.data() + i * 8, &i, 8);
  }
  plan.constants.push_back(data);

  EntryBuilder b(plan, "main");
  const uint32_t n = b.symbol("n", 0, kMost);
  const uint32_t most = b.constant(kMost);
  const uint32_t depth = b.constant(kDepth);
  const uint64_t slotBytes = kMost * kDepth * 4;
  const uint64_t idBytes = kMost * bitWidth(ids) / 8;
  const uint32_t in =
      b.buffer("ids", BufferKind::Input, room.take(idBytes), idBytes, 0, 6);
  const uint32_t slot = b.buffer("slot", BufferKind::Staging,
                                 room.take(slotBytes), slotBytes, 2, 6);
  const uint32_t out = b.buffer("out", BufferKind::Output, room.take(slotBytes),
                                slotBytes, 5, 6);
  b.sync(StepKind::Signal, Stream::Compute, 0);
  b.sync(StepKind::Wait, Stream::Copy, 0);
  b.copy(0, slot, slotBytes, Stream::Copy);
  b.entry().steps.back().name = "table";
  b.entry().steps.back().operands = {operand(in, Access::Read, ids, {n})};
  b.entry().steps.back().ints = {kRows, kDepth * 4};
  b.sync(StepKind::Signal, Stream::Copy, 1);
  b.sync(StepKind::Wait, Stream::Compute, 1);
  Step &gather = b.launch("embed", KernelId::Gather);
  gather.operands = {operand(slot, Access::Read, DType::F32, {most, depth}),
                     operand(0, Access::Read, DType::I64, {n}),
                     operand(out, Access::Write, DType::F32, {n, depth})};
  gather.ints = {0};
  const auto port = [](const char *name, DType dtype, uint32_t buffer,
                       std::vector<uint32_t> dims) {
    Port p;
    p.name = name;
    p.dtype = dtype;
    p.buffer = buffer;
    p.dims = std::move(dims);
    return p;
  };
  b.entry().inputs = {port("ids", ids, in, {n})};
  b.entry().outputs = {port("out", DType::F32, out, {n, depth})};
  fillTotals(plan, room.next);
  plan.totals.constantBytes = (kMost * 8 + 63) / 64 * 64;
  plan.totals.activationPeakBytes -= plan.totals.constantBytes;
  plan.totals.weightsBytes = *weightsFileBytes(wanted);
  const std::string path = folder / "lookup.plan";
  Result<void> written = writePlan(plan, path);
  EXPECT_TRUE(bool(written)) << (written ? "" : written.error().message);
  return path;
}

template <class Id>
Result<std::vector<NamedTensor>> lookUp(Session &session,
                                        const std::vector<Id> &ids) {
  TensorView view{"ids",
                  sizeof(Id) == 4 ? DType::I32 : DType::I64,
                  {static_cast<int64_t>(ids.size())},
                  reinterpret_cast<const uint8_t *>(ids.data())};
  return session.run("main", std::vector{view});
}

template <class Id>
void expectRows(Session &session, const std::vector<Id> &ids) {
  auto outputs = lookUp(session, ids);
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  const NamedTensor &out = (*outputs)[0];
  ASSERT_EQ(out.data.size(), ids.size() * kDepth * 4);
  for (size_t i = 0; i < ids.size(); ++i) {
    const int64_t row = ids[i] < 0 ? ids[i] + kRows : ids[i];
    for (int64_t k = 0; k < kDepth; ++k) {
      float found;
      std::memcpy(&found, out.data.data() + (i * kDepth + k) * 4, 4);
      ASSERT_EQ(found, rowValue(row, k)) << "index " << i;
    }
  }
}

std::unique_ptr<Session> openLookup(const std::string &path,
                                    const SessionOptions &options = {}) {
  auto session = Session::load(path, options);
  EXPECT_TRUE(bool(session)) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

} // namespace

TEST(CoreRows, WhatTheIndicesName) {
  for (io::Method method :
       {io::Method::Cached, io::Method::Buffered, io::Method::Auto}) {
    for (bool poison : {false, true}) {
      TemporaryFolder folder;
      SessionOptions options;
      options.threads = 2;
      options.poison = poison;
      options.io.method = method;
      auto session = openLookup(writeLookup(folder, DType::I64), options);
      ASSERT_TRUE(session);
      expectRows<int64_t>(*session, {7});
      expectRows<int64_t>(*session, {0, kRows - 1, 5, 5, 5, 0});
      expectRows<int64_t>(*session, {-1, -kRows, -3, 2}); // from the end
      expectRows<int64_t>(*session, {});
      std::vector<int64_t> many, neighbours;
      for (int64_t i = 0; i < kMost; ++i) {
        many.push_back(i * 37 % kRows);
        neighbours.push_back(100 + i);
      }
      expectRows(*session, many);
      expectRows(*session, neighbours);
      expectRows<int64_t>(*session, {1, 2, 3, 1, 2, 3});
    }
  }
}

TEST(CoreRows, NarrowIndices) {
  TemporaryFolder folder;
  auto session = openLookup(writeLookup(folder, DType::I32));
  ASSERT_TRUE(session);
  expectRows<int32_t>(*session, {3, -1, 299, 3});
}

TEST(CoreRows, AnIndexWithoutARowIsTheErrorOfGather) {
  for (bool poison : {false, true}) {
    TemporaryFolder folder;
    SessionOptions options;
    options.poison = poison;
    auto session = openLookup(writeLookup(folder, DType::I64), options);
    ASSERT_TRUE(session);
    for (int64_t bad : {kRows, -kRows - 1, INT64_MAX, INT64_MIN}) {
      auto outputs = lookUp<int64_t>(*session, {1, 2, bad, 3});
      ASSERT_FALSE(outputs) << bad;
      EXPECT_EQ(outputs.error().code, ErrorCode::KernelFailed);
      EXPECT_EQ(outputs.error().message,
                "entry 'main' step 2 'table' (gather): index out of range");
      expectRows<int64_t>(*session, {1, 2, 3}); // still sound
    }
  }
}

TEST(CoreRows, TheNthReadFails) {
  TemporaryFolder folder;
  const std::string path = writeLookup(folder, DType::I64);
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    for (uint64_t n = 0; n < 4; ++n) {
      auto reads = std::make_shared<std::atomic<uint64_t>>(0);
      auto failing = std::make_shared<std::atomic<bool>>(false);
      SessionOptions options;
      options.io.method = method;
      options.io.wrap = withFaults([=](uint64_t, io::ReadRequest &) {
        return *failing && (*reads)++ == n ? EIO : 0;
      });
      auto session = openLookup(path, options);
      ASSERT_TRUE(session);
      *failing = true;
      auto outputs = lookUp<int64_t>(*session, {10, 20, 30});
      ASSERT_EQ(bool(outputs), n >= 3) << n;
      if (!outputs) {
        EXPECT_EQ(outputs.error().code, ErrorCode::TransferFailed);
      }
      *failing = false;
      expectRows<int64_t>(*session, {10, 20, 30});
    }
  }
}

// A row says nothing about the checksum of the table: it is compared at load.
TEST(CoreRows, ADamagedTableIsRefusedAtLoad) {
  TemporaryFolder folder;
  const std::string path = writeLookup(folder, DType::I64);
  FILE *file = fopen((folder / "lookup.weights").c_str(), "r+b");
  ASSERT_TRUE(file);
  fseek(file, 4096 + 1000, SEEK_SET);
  fputc(0x55, file);
  fclose(file);
  auto session = Session::load(path, {});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::WeightsChecksum);
  SessionOptions options;
  options.checksum = false;
  auto unchecked = openLookup(path, options);
  ASSERT_TRUE(unchecked);
  expectRows<int64_t>(*unchecked, {100});
}
