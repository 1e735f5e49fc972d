//===- core_session.cpp - Loading, prefill, decode ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/core/Session.h"
#include "runtime/plan/EmbeddedPlan.h"

#include <fcntl.h>
#include <unistd.h>

using namespace llmc;
using namespace llmc::test;

static std::vector<int64_t> someTokens(int64_t count) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back((i * i * 5 + 3 * i + 1) % kVocabulary);
  }
  return tokens;
}

static std::unique_ptr<Session> open(const std::string &path,
                                     SessionOptions options = {}) {
  options.threads = options.threads ? options.threads : 2;
  auto session = Session::load(path, options);
  EXPECT_TRUE(bool(session)) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

static std::vector<float> copyOf(const Result<std::span<const float>> &row) {
  EXPECT_TRUE(bool(row)) << (row ? "" : row.error().message);
  return row ? std::vector<float>(row->begin(), row->end())
             : std::vector<float>();
}

TEST(CoreSession, PromptOfEveryLengthThenDecode) {
  TemporaryFolder folder;
  for (Placement placement : {Placement::Resident, Placement::Streamed}) {
    auto session = open(writeModel(folder, {.placement = placement}));
    ASSERT_TRUE(session);
    const std::vector<int64_t> tokens = someTokens(kContext);
    for (int64_t prompt = 1; prompt <= kContext; ++prompt) {
      session->reset();
      std::vector<int64_t> fed(tokens.begin(), tokens.begin() + prompt);
      EXPECT_EQ(copyOf(session->prefill(fed)), expectedLogits(fed)) << prompt;
      while (static_cast<int64_t>(fed.size()) < kContext) {
        fed.push_back(tokens[fed.size()]);
        ASSERT_EQ(copyOf(session->decode(fed.back())), expectedLogits(fed));
      }
      EXPECT_EQ(session->past(), kContext);
    }
  }
}

TEST(CoreSession, PromptInSeveralCalls) {
  TemporaryFolder folder;
  auto session = open(writeModel(folder));
  ASSERT_TRUE(session);
  const std::vector<int64_t> tokens = someTokens(kContext);
  // After 19 tokens a piece of the prompt starts beyond prefill's bound (14):
  // the rest goes token by token.
  for (auto [first, second] : {std::pair<size_t, size_t>{3, 9}, {19, 3}}) {
    session->reset();
    std::vector<int64_t> fed(tokens.begin(), tokens.begin() + first + second);
    copyOf(session->prefill(std::span(fed).first(first)));
    EXPECT_EQ(copyOf(session->prefill(std::span(fed).subspan(first))),
              expectedLogits(fed));
  }
}

TEST(CoreSession, OneEntryAlone) {
  TemporaryFolder folder;
  const std::vector<int64_t> tokens = someTokens(13);
  auto decodeOnly = open(writeModel(folder, {.prefill = false}, "d"));
  ASSERT_TRUE(decodeOnly);
  EXPECT_EQ(copyOf(decodeOnly->prefill(tokens)), expectedLogits(tokens));
  auto prefillOnly = open(writeModel(folder, {.decode = false}, "p"));
  ASSERT_TRUE(prefillOnly);
  EXPECT_EQ(copyOf(prefillOnly->prefill(tokens)), expectedLogits(tokens));
}

TEST(CoreSession, NarrowTokens) {
  TemporaryFolder folder;
  auto session = open(writeModel(folder, {.tokens = plan::DType::I32}));
  ASSERT_TRUE(session);
  const std::vector<int64_t> tokens = someTokens(11);
  EXPECT_EQ(copyOf(session->prefill(tokens)), expectedLogits(tokens));
}

TEST(CoreSession, PoisonedMemoryChangesNothing) {
  TemporaryFolder folder;
  for (Placement placement : {Placement::Resident, Placement::Streamed}) {
    SessionOptions options;
    options.poison = true;
    auto session = open(writeModel(folder, {.placement = placement}), options);
    ASSERT_TRUE(session);
    std::vector<int64_t> tokens = someTokens(17);
    EXPECT_EQ(copyOf(session->prefill(tokens)), expectedLogits(tokens));
    tokens.push_back(5);
    EXPECT_EQ(copyOf(session->decode(5)), expectedLogits(tokens));
  }
}

TEST(CoreSession, BadTokensAndFullContext) {
  TemporaryFolder folder;
  auto session = open(writeModel(folder));
  ASSERT_TRUE(session);
  const std::vector<int64_t> bad = {1, 2, kVocabulary};
  auto row = session->prefill(bad);
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::TokenOutOfRange);
  EXPECT_EQ(row.error().message,
            "token 70 at position 2 is outside the vocabulary of 70");
  EXPECT_FALSE(session->decode(-1));
  EXPECT_FALSE(session->prefill({}));
  const std::vector<int64_t> tokens = someTokens(kContext + 1);
  row = session->prefill(tokens);
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::ContextExceeded);
  EXPECT_EQ(row.error().message,
            "the prompt has 23 tokens, the plan's context holds 22");
  EXPECT_EQ(session->past(), 0);

  copyOf(session->prefill(std::span(tokens).first(kContext)));
  row = session->decode(1);
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::ContextExceeded);
  session->reset();
  EXPECT_EQ(copyOf(session->prefill({tokens.data(), 5})),
            expectedLogits(someTokens(5)));
}

TEST(CoreSession, FailedCopyLeavesTheSessionSound) {
  TemporaryFolder folder;
  const std::string path =
      writeModel(folder, {.placement = Placement::Streamed});
  auto session = open(path);
  ASSERT_TRUE(session);
  std::vector<int64_t> tokens = someTokens(9);
  copyOf(session->prefill(tokens));

  const std::string weights = folder / "m.weights";
  const auto size = std::filesystem::file_size(weights);
  std::vector<char> bytes(size);
  std::FILE *file = std::fopen(weights.c_str(), "rb");
  ASSERT_EQ(std::fread(bytes.data(), 1, size, file), size);
  std::fclose(file);
  for (int round = 0; round < 3; ++round) {
    std::filesystem::resize_file(weights, 4096 * 2);
    auto row = session->decode(7);
    ASSERT_FALSE(row);
    EXPECT_EQ(row.error().code, ErrorCode::WeightsTruncated);
    EXPECT_NE(row.error().message.find("m.weights"), std::string::npos);
    EXPECT_NE(row.error().message.find("byte"), std::string::npos);
    EXPECT_EQ(session->past(), static_cast<int64_t>(tokens.size()));
    // The same file, whole again: the session goes on where it was.
    file = std::fopen(weights.c_str(), "r+b");
    ASSERT_EQ(std::fwrite(bytes.data(), 1, size, file), size);
    std::fclose(file);
    tokens.push_back(7);
    EXPECT_EQ(copyOf(session->decode(7)), expectedLogits(tokens));
  }
}

static void flipByte(const std::string &path, long offset) {
  std::FILE *file = std::fopen(path.c_str(), "r+b");
  std::fseek(file, offset, SEEK_SET);
  const int byte = std::fgetc(file);
  std::fseek(file, offset, SEEK_SET);
  std::fputc(byte ^ 0x10, file);
  std::fclose(file);
}

TEST(CoreSession, DamagedWeightsShowAtFirstUse) {
  for (Placement placement : {Placement::Resident, Placement::Streamed}) {
    TemporaryFolder folder;
    const std::string path = writeModel(folder, {.placement = placement});
    auto whole = open(path);
    ASSERT_TRUE(whole);
    const std::vector<int64_t> tokens = someTokens(9);
    // In the square matrix, which is streamed or resident.
    const auto offset = static_cast<long>(whole->plan().segments[1].offset);
    const auto damaged = [](const Error &error) {
      EXPECT_EQ(error.code, ErrorCode::WeightsChecksum);
      EXPECT_NE(error.message.find("'square'"), std::string::npos);
      EXPECT_NE(error.message.find("m.weights"), std::string::npos);
    };
    flipByte(folder / "m.weights", offset + 100);
    auto session = Session::load(path, {});
    if (placement == Placement::Resident) {
      ASSERT_FALSE(session);
      damaged(session.error());
    } else {
      ASSERT_TRUE(bool(session));
      for (int round = 0; round < 2; ++round) {
        const auto row = (*session)->prefill(tokens);
        ASSERT_FALSE(row);
        damaged(row.error());
      }
      flipByte(folder / "m.weights", offset + 100);
      EXPECT_EQ(copyOf((*session)->prefill(tokens)), expectedLogits(tokens));
      // Compared once: what is damaged later is the memory's or the disk's
      // word against that.
      flipByte(folder / "m.weights", offset + 100);
      EXPECT_TRUE(bool((*session)->prefill(tokens)));
    }
    SessionOptions trusting;
    trusting.checksum = false;
    auto blind = open(path, trusting);
    EXPECT_TRUE(bool(blind->prefill(tokens)));
  }
}

TEST(CoreSession, WeightsElsewhereOrMissing) {
  TemporaryFolder folder;
  const std::string path = writeModel(folder);
  std::filesystem::rename(folder / "m.weights", folder / "moved");
  auto session = Session::load(path, {});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ErrorCode::FileNotFound);
  EXPECT_NE(session.error().message.find("m.weights"), std::string::npos);
  SessionOptions options;
  options.weightsPath = folder / "moved";
  EXPECT_TRUE(open(path, options));
}

TEST(CoreSession, PlanAndWeightsInsideAnotherFile) {
  TemporaryFolder folder;
  const std::string path =
      writeModel(folder, {.placement = Placement::Streamed});
  const auto read = [](const std::string &name) {
    std::string bytes(std::filesystem::file_size(name), '\0');
    std::FILE *file = std::fopen(name.c_str(), "rb");
    EXPECT_EQ(std::fread(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
    return bytes;
  };
  const std::string plan = read(path);
  const std::string weights = read(folder / "m.weights");
  std::string all(5000, 'x'); // the program
  EmbeddedPlan where;
  all.resize(EmbeddedPlan::align(all.size()));
  where.planOffset = all.size();
  where.planSize = plan.size();
  all += plan;
  all.resize(EmbeddedPlan::align(all.size()));
  where.weightsOffset = all.size();
  where.weightsSize = weights.size();
  all += weights;
  const auto trailer = where.encode();
  all.append(trailer.begin(), trailer.end());
  const std::string exe = folder / "exe";
  std::FILE *file = std::fopen(exe.c_str(), "wb");
  std::fwrite(all.data(), 1, all.size(), file);
  std::fclose(file);
  std::filesystem::remove(folder / "m.weights");

  EXPECT_FALSE(readEmbeddedPlan(path.c_str()));
  const auto found = readEmbeddedPlan(exe.c_str());
  ASSERT_TRUE(found);
  SessionOptions options;
  options.planOffset = found->planOffset;
  options.planSize = found->planSize;
  options.weightsOffset = found->weightsOffset;
  options.weightsSize = found->weightsSize;
  auto session = open(exe, options);
  ASSERT_TRUE(session);
  const std::vector<int64_t> tokens = someTokens(15);
  EXPECT_EQ(copyOf(session->prefill(tokens)), expectedLogits(tokens));
}

TEST(CoreEmbeddedPlan, TrailerOutsideTheFileIsNone) {
  const EmbeddedPlan where{4096, 100, 8192, 1000};
  const auto bytes = where.encode();
  const uint64_t size = 8192 + 1000 + EmbeddedPlan::kTrailerBytes;
  ASSERT_TRUE(EmbeddedPlan::decode(bytes.data(), size));
  EXPECT_EQ(EmbeddedPlan::decode(bytes.data(), size)->weightsOffset, 8192u);
  EXPECT_FALSE(EmbeddedPlan::decode(bytes.data(), size - 1));
  auto other = bytes;
  other[39] = '2';
  EXPECT_FALSE(EmbeddedPlan::decode(other.data(), size));
}

TEST(CoreSession, ProfileCountsEveryStep) {
  TemporaryFolder folder;
  SessionOptions options;
  options.profile = true;
  options.traceEvents = 1000;
  auto session =
      open(writeModel(folder, {.placement = Placement::Streamed}), options);
  ASSERT_TRUE(session);
  copyOf(session->prefill(someTokens(16)));
  copyOf(session->decode(1));
  const std::string table = session->profiler()->table();
  EXPECT_NE(table.find("linear"), std::string::npos) << table;
  EXPECT_NE(table.find("copy"), std::string::npos) << table;
  const std::string trace = folder / "trace.json";
  ASSERT_TRUE(bool(session->profiler()->writeTrace(trace)));
  EXPECT_GT(std::filesystem::file_size(trace), 1000u);
}
