//===- plan_weights_test.cpp - The weights file ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/WeightsFile.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <random>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

namespace {

std::vector<WantedSegment> wanted() {
  return {{"embed", {1, 10}, 5000},
          {"empty", {2, 20}, 0},
          {"norm", {3, 30}, 7},
          {"page", {4, 40}, 4096}};
}

std::vector<uint8_t> contentOf(size_t segment, uint64_t size) {
  std::mt19937_64 random(segment);
  std::vector<uint8_t> bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&] { return uint8_t(random()); });
  return bytes;
}

Result<Hash128> writeSample(const std::string &path, size_t piece = 1000,
                            std::vector<WantedSegment> segments = wanted()) {
  std::vector<WantedSegment> list = segments;
  Result<WeightsWriter> writer =
      WeightsWriter::create(path, std::move(segments));
  if (!writer) {
    return writer.error();
  }
  for (size_t i = 0; i < list.size(); ++i) {
    std::vector<uint8_t> bytes = contentOf(i, list[i].size);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      size_t take = std::min(piece, bytes.size() - at);
      Result<void> added = writer->append(std::span(bytes).subspan(at, take));
      if (!added) {
        return added.error();
      }
    }
  }
  return writer->finish();
}

/// Page 0's checksum made to fit again. Table too, with `table`.
void reseal(std::vector<uint8_t> &bytes, bool table) {
  if (table) {
    uint64_t offset, size;
    std::memcpy(&offset, bytes.data() + 24, 8);
    std::memcpy(&size, bytes.data() + 32, 8);
    std::array<uint64_t, 2> words = hash128(bytes.data() + offset, size);
    std::memcpy(bytes.data() + 48, words.data(), 16);
  }
  std::array<uint64_t, 2> words = hash128(bytes.data(), 4080);
  std::memcpy(bytes.data() + 4080, words.data(), 16);
}

void expectOpenError(const std::string &path, ErrorCode code,
                     const std::string &text) {
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_FALSE(file) << text;
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_NE(file.error().message.find(text), std::string::npos)
      << file.error().message;
  EXPECT_EQ(file.error().message.rfind(path, 0), 0u) << file.error().message;
}

} // namespace

TEST(WeightsFile, RoundTrip) {
  std::string path = temporaryPath("m.weights");
  Result<Hash128> id = writeSample(path);
  ASSERT_TRUE(id) << id.error().message;
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->id(), *id);
  EXPECT_EQ(file->fileBytes(), *weightsFileBytes(wanted()));
  ASSERT_EQ(file->segments().size(), 4u);
  EXPECT_EQ(file->segments()[0].offset, 4096u);
  EXPECT_EQ(file->segments()[2].offset, 12288u);
  EXPECT_EQ(file->segments()[3].offset, 16384u);
  for (size_t i = 0; i < 4; ++i) {
    const StoredSegment &segment = file->segments()[i];
    EXPECT_EQ(segment.name, wanted()[i].name);
    EXPECT_EQ(segment.source, wanted()[i].source);
    EXPECT_EQ(segment.offset % 4096, 0u);
    std::vector<uint8_t> bytes(segment.size);
    ASSERT_TRUE(file->read(i, 0, segment.size, bytes.data()));
    EXPECT_EQ(bytes, contentOf(i, segment.size));
  }
  uint8_t three[3];
  ASSERT_TRUE(file->read(0, 4997, 3, three));
  EXPECT_TRUE(std::equal(three, three + 3, contentOf(0, 5000).end() - 3));
  EXPECT_FALSE(file->read(0, 4998, 3, three));
  EXPECT_FALSE(file->read(0, UINT64_MAX, 2, three));
  EXPECT_FALSE(file->read(4, 0, 0, three));
  EXPECT_TRUE(file->verifyAll());
}

TEST(WeightsFile, BytesDoNotDependOnThePieces) {
  std::string one = temporaryPath("m.weights");
  std::string two = temporaryPath("m.weights");
  ASSERT_TRUE(writeSample(one, 1));
  ASSERT_TRUE(writeSample(two, 1 << 20));
  EXPECT_EQ(readBytes(one), readBytes(two));
}

TEST(WeightsFile, WriterHoldsToTheSizes) {
  std::string path = temporaryPath("m.weights");
  Result<WeightsWriter> writer = WeightsWriter::create(path, wanted());
  ASSERT_TRUE(writer);
  std::vector<uint8_t> bytes(5001);
  EXPECT_FALSE(writer->append(bytes)) << "crosses the end of a segment";
  EXPECT_TRUE(writer->append(std::span(bytes).first(5000)));
  Result<Hash128> id = writer->finish();
  ASSERT_FALSE(id);
  EXPECT_NE(id.error().message.find("segment 'norm' has 0 of 7 bytes"),
            std::string::npos)
      << id.error().message;
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(WeightsWriter::create(path, {{"a", {}, 1}, {"a", {}, 1}}));
}

TEST(WeightsFile, AbandonedWriterLeavesNothing) {
  std::string path = temporaryPath("m.weights");
  {
    Result<WeightsWriter> writer = WeightsWriter::create(path, wanted());
    ASSERT_TRUE(writer);
    std::vector<uint8_t> bytes(10);
    ASSERT_TRUE(writer->append(bytes));
  }
  EXPECT_TRUE(
      std::filesystem::is_empty(std::filesystem::path(path).parent_path()));
}

TEST(WeightsFile, ProgressReachesTheTotal) {
  uint64_t last = 0, total = 0;
  Result<WeightsWriter> writer = WeightsWriter::create(
      temporaryPath("m.weights"), {{"a", {}, 10}, {"b", {}, 20}},
      [&](uint64_t done, uint64_t all) {
        EXPECT_GT(done, last);
        last = done;
        total = all;
      });
  ASSERT_TRUE(writer);
  std::vector<uint8_t> bytes(10);
  ASSERT_TRUE(writer->append(bytes));
  ASSERT_TRUE(writer->append(bytes));
  ASSERT_TRUE(writer->append(bytes));
  EXPECT_EQ(last, 30u);
  EXPECT_EQ(total, 30u);
}

TEST(WeightsFile, DamageIsFound) {
  std::string path = temporaryPath("m.weights");
  ASSERT_TRUE(writeSample(path));
  const std::vector<uint8_t> good = readBytes(path);

  std::vector<uint8_t> bytes = good;
  bytes[16384 + 100] ^= 4; // inside segment "page"
  writeBytes(path, bytes);
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_TRUE(file) << "the bytes of segments are read only by verify";
  EXPECT_TRUE(file->verify(0));
  Result<void> verified = file->verifyAll();
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::WeightsChecksum);
  EXPECT_NE(verified.error().message.find("segment 'page'"), std::string::npos);

  for (size_t size :
       {size_t(0), size_t(7), size_t(8), size_t(100), size_t(4095),
        size_t(4096), size_t(4097), size_t(12288), good.size() - 1}) {
    writeBytes(path, {good.begin(), good.begin() + long(size)});
    expectOpenError(path,
                    size < 8 ? ErrorCode::WeightsMalformed
                             : ErrorCode::WeightsTruncated,
                    size < 8 ? "not a weights file" : "truncated");
  }
  bytes = good;
  bytes.push_back(0);
  writeBytes(path, bytes);
  expectOpenError(path, ErrorCode::WeightsMalformed, "expected");
  bytes = good;
  bytes[8] = 2;
  writeBytes(path, bytes);
  expectOpenError(path, ErrorCode::WeightsVersion,
                  "weights format version 2, this program reads version 1");
  bytes = good;
  bytes[1000] = 2;
  writeBytes(path, bytes);
  expectOpenError(path, ErrorCode::WeightsChecksum, "page 0");
  bytes = good;
  bytes[good.size() - 2] ^= 8;
  writeBytes(path, bytes);
  expectOpenError(path, ErrorCode::WeightsChecksum, "table");
}

TEST(WeightsFile, ResealedDamageNeverCrashes) {
  std::string path = temporaryPath("m.weights");
  ASSERT_TRUE(writeSample(path));
  const std::vector<uint8_t> good = readBytes(path);
  uint64_t table;
  std::memcpy(&table, good.data() + 24, 8);
  std::mt19937_64 random(3);
  int opened = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<uint8_t> bytes = good;
    for (int c = 0; c < 3; ++c) {
      size_t at = random() % 3 == 0 ? 16 + random() % 32
                                    : table + random() % (good.size() - table);
      bytes[at] = (random() & 1) ? 0xFF : uint8_t(random());
    }
    uint64_t offset, size;
    std::memcpy(&offset, bytes.data() + 24, 8);
    std::memcpy(&size, bytes.data() + 32, 8);
    reseal(bytes, offset < bytes.size() && size <= bytes.size() - offset);
    writeBytes(path, bytes);
    Result<WeightsFile> file = WeightsFile::open(path);
    if (file) {
      ++opened;
      for (size_t s = 0; s < file->segments().size(); ++s) {
        (void)file->verify(s);
      }
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, 400);
}

TEST(WeightsFile, FileTruncatedWhileOpen) {
  std::string path = temporaryPath("m.weights");
  ASSERT_TRUE(writeSample(path));
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 16400);
  std::vector<uint8_t> bytes(4096);
  Result<void> read = file->read(3, 0, 4096, bytes.data());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::WeightsTruncated);
  EXPECT_NE(read.error().message.find("ends at byte 16400"), std::string::npos)
      << read.error().message;
}

TEST(WeightsFile, MatchesWhatIsWanted) {
  std::string path = temporaryPath("m.weights");
  ASSERT_TRUE(writeSample(path));
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_TRUE(file);
  std::vector<WantedSegment> want = wanted();
  std::swap(want[0], want[3]);
  want.pop_back();
  auto found = planSegmentsMatch(want, *file);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (std::vector<size_t>{3, 1, 2}));
  std::vector<WantedSegment> other = want;
  other[0].source.low ^= 1;
  EXPECT_FALSE(planSegmentsMatch(other, *file));
  other = want;
  other[0].size += 1;
  EXPECT_FALSE(planSegmentsMatch(other, *file));
  other = want;
  other[0].name = "missing";
  EXPECT_FALSE(planSegmentsMatch(other, *file));
}

TEST(WeightsFile, AnotherModelsWeightsAreRefused) {
  std::string path = temporaryPath("m.weights");
  Result<Hash128> id = writeSample(path);
  ASSERT_TRUE(id);
  Result<WeightsFile> file = WeightsFile::open(path);
  ASSERT_TRUE(file);
  Plan plan = samplePlan();
  plan.weightsId = *id;
  plan.segments.clear();
  for (const StoredSegment &segment : file->segments()) {
    plan.segments.push_back(
        {segment.name, segment.offset, segment.size, segment.checksum});
  }
  EXPECT_TRUE(checkWeights(plan, *file));
  auto expectMismatch = [&](const char *text) {
    Result<void> checked = checkWeights(plan, *file);
    ASSERT_FALSE(checked) << text;
    EXPECT_EQ(checked.error().code, ErrorCode::WeightsMismatch);
    EXPECT_NE(checked.error().message.find(text), std::string::npos)
        << checked.error().message;
    EXPECT_NE(checked.error().message.find("not the weights of this plan"),
              std::string::npos);
  };
  Segment before = plan.segments[2];
  plan.segments[2].hash[0] ^= 1;
  expectMismatch("segment 'norm' has other contents");
  plan.segments[2] = before;
  plan.segments[2].offset += 4096;
  expectMismatch("segment 'norm' lies at");
  plan.segments[2] = before;
  plan.segments[2].name = "else";
  expectMismatch("no segment 'else'");
}

TEST(WeightsFile, TooLittleSpaceIsSeenBeforeWriting) {
  std::string path = temporaryPath("m.weights");
  Result<WeightsWriter> writer =
      WeightsWriter::create(path, {{"huge", {}, uint64_t(1) << 60}});
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::NoSpace);
  EXPECT_NE(writer.error().message.find("needs 1024.00 PiB"), std::string::npos)
      << writer.error().message;
  EXPECT_NE(writer.error().message.find("are free"), std::string::npos);
  EXPECT_TRUE(
      std::filesystem::is_empty(std::filesystem::path(path).parent_path()));
  EXPECT_FALSE(WeightsWriter::create(
      path, {{"a", {}, INT64_MAX}, {"b", {}, INT64_MAX}}));
}

TEST(WeightsFile, DiskFullWhileWriting) {
  std::string path = temporaryPath("m.weights");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit limited = old;
  limited.rlim_cur = 6000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  Result<Hash128> id = writeSample(path);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, ErrorCode::NoSpace) << id.error().message;
  EXPECT_TRUE(
      std::filesystem::is_empty(std::filesystem::path(path).parent_path()));
}
