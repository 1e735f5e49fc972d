//===- plan_file_test.cpp - Writing and reading plans ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/PlanFormat.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/PlanWriter.h"
#include "runtime/plan/Target.h"
#include "runtime/plan/Validate.h"

#include "gtest/gtest.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>
#include <sys/resource.h>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

TEST(PlanFile, KernelNamesAreUniqueAndKnown) {
  std::set<std::string_view> names;
  for (unsigned i = 0; i < kNumKernels; ++i) {
    EXPECT_NE(name(KernelId(i)), "unknown") << i;
    EXPECT_TRUE(names.insert(name(KernelId(i))).second) << name(KernelId(i));
  }
  EXPECT_EQ(name(KernelId(kNumKernels)), "unknown");
}

TEST(PlanFile, RoundTripKeepsEveryField) {
  Plan plan = samplePlan();
  std::vector<uint8_t> bytes = encodePlan(plan);
  Result<Plan> read = decodePlan(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->producer, plan.producer);
  EXPECT_EQ(read->modelName, plan.modelName);
  EXPECT_EQ(read->target, plan.target);
  EXPECT_EQ(read->arch, plan.arch);
  EXPECT_EQ(read->options, plan.options);
  EXPECT_EQ(read->weightsFile, plan.weightsFile);
  EXPECT_EQ(read->weightsId, plan.weightsId);
  EXPECT_EQ(read->context, 8);
  EXPECT_EQ(read->vocabulary, 10);
  EXPECT_EQ(read->bosToken, 1);
  EXPECT_EQ(read->eosTokens, plan.eosTokens);
  EXPECT_EQ(read->tokenizer, plan.tokenizer);
  ASSERT_EQ(read->segments.size(), 2u);
  EXPECT_EQ(read->segments[1].name, "w");
  EXPECT_EQ(read->segments[1].hash, plan.segments[1].hash);
  ASSERT_EQ(read->buffers.size(), plan.buffers.size());
  EXPECT_EQ(read->buffers[3].name, "slot");
  EXPECT_EQ(read->buffers[3].kind, BufferKind::Staging);
  EXPECT_EQ(read->buffers[3].start, 2u);
  EXPECT_EQ(read->buffers[3].end, 6u);
  ASSERT_EQ(read->states.size(), 1u);
  EXPECT_EQ(read->states[0].outputName, "present.0");
  EXPECT_EQ(read->states[0].inner, plan.states[0].inner);
  ASSERT_EQ(read->constants.size(), 1u);
  EXPECT_EQ(read->constants[0].bytes, plan.constants[0].bytes);
  ASSERT_EQ(read->entries.size(), 1u);
  const Entry &entry = read->entries[0];
  ASSERT_EQ(entry.steps.size(), 7u);
  EXPECT_EQ(entry.steps[1].params, plan.entries[0].steps[1].params);
  EXPECT_EQ(entry.steps[2].bytes, 1024u);
  EXPECT_EQ(entry.steps[5].operands[1].packing, Packing::Panel64);
  EXPECT_EQ(entry.steps[6].ints, plan.entries[0].steps[6].ints);
  EXPECT_EQ(entry.steps[6].floats, plan.entries[0].steps[6].floats);
  EXPECT_EQ(entry.boundBy, "link");
  EXPECT_TRUE(entry.symbols[1].isPast);
  EXPECT_EQ(entry.derived[0].kind, DerivedKind::Ones);
  // What was not compared above is in the bytes all the same.
  EXPECT_EQ(encodePlan(*read), bytes);
}

TEST(PlanFile, EqualPlansHaveEqualBytes) {
  EXPECT_EQ(encodePlan(samplePlan()), encodePlan(samplePlan()));
  Plan other = samplePlan();
  other.entries[0].steps[6].floats[0] = 0.25;
  EXPECT_NE(encodePlan(samplePlan()), encodePlan(other));
}

TEST(PlanFile, EmptyPlanRoundTrips) {
  Plan plan;
  plan.arch = "x86-64-v3";
  std::vector<uint8_t> bytes = encodePlan(plan);
  Result<Plan> read = decodePlan(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(encodePlan(*read), bytes);
}

TEST(PlanFile, MisalignedBytesDecode) {
  std::vector<uint8_t> bytes = encodePlan(samplePlan());
  std::vector<uint8_t> shifted(1);
  shifted.insert(shifted.end(), bytes.begin(), bytes.end());
  EXPECT_TRUE(decodePlan(std::span(shifted).subspan(1)));
}

TEST(PlanFile, EveryTruncationIsAnError) {
  std::vector<uint8_t> bytes = encodePlan(samplePlan());
  for (size_t size = 0; size < bytes.size(); ++size) {
    Result<Plan> read = decodePlan(std::span(bytes).first(size));
    ASSERT_FALSE(read) << size;
    ErrorCode expected =
        size < 8 ? ErrorCode::PlanMalformed : ErrorCode::PlanTruncated;
    ASSERT_EQ(read.error().code, expected) << size << read.error().message;
  }
  bytes.push_back(0);
  EXPECT_FALSE(decodePlan(bytes)) << "one byte too many";
}

TEST(PlanFile, EveryBitFlipIsAnError) {
  const std::vector<uint8_t> bytes = encodePlan(samplePlan());
  std::mt19937_64 random(7);
  std::vector<uint8_t> damaged = bytes;
  auto flip = [&](size_t bit) {
    damaged[bit / 8] ^= uint8_t(1) << (bit % 8);
    Result<Plan> read = decodePlan(damaged);
    ASSERT_FALSE(read) << "bit " << bit;
    ASSERT_EQ(read.error().message.find('\n'), std::string::npos);
    damaged[bit / 8] = bytes[bit / 8];
  };
  for (int i = 0; i < 2000; ++i) {
    flip(random() % (bytes.size() * 8));
  }
  for (size_t bit = 0; bit < 256 * 8; ++bit) {
    flip(bit);
  }
  EXPECT_TRUE(decodePlan(damaged));
}

TEST(PlanFile, ResealedDamageNeverCrashes) {
  const std::vector<uint8_t> bytes = encodePlan(samplePlan());
  std::mt19937_64 random(11);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> damaged = bytes;
    int changes = 1 + random() % 4;
    for (int c = 0; c < changes; ++c) {
      size_t at = kPageBytes + random() % (damaged.size() - kPageBytes);
      damaged[at] = (random() & 1) ? uint8_t(random()) : 0xFF;
    }
    if (random() % 8 == 0) {
      damaged.resize(kPageBytes + random() % (damaged.size() - kPageBytes));
    }
    if (random() % 4 == 0) { // sections of page 0
      damaged[40 + random() % 64] = uint8_t(random());
    }
    resealPlan(damaged);
    Result<Plan> read = decodePlan(damaged);
    if (read) {
      ++accepted;
      // What passes must be well-formed, so that it can be walked.
      ASSERT_TRUE(validate(*read));
    } else {
      ASSERT_FALSE(read.error().message.empty());
    }
  }
  // Names and figures may change unseen; structure may not.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 19000);
}

TEST(PlanFile, SaysWhatIsWrong) {
  auto expectError = [](std::vector<uint8_t> bytes, ErrorCode code,
                        const char *text) {
    Result<Plan> read = decodePlan(bytes);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, code) << read.error().message;
    EXPECT_NE(read.error().message.find(text), std::string::npos)
        << read.error().message;
  };
  const std::vector<uint8_t> good = encodePlan(samplePlan());
  std::vector<uint8_t> bytes = good;
  bytes[0] = 'X';
  expectError(bytes, ErrorCode::PlanMalformed, "not a plan file");
  expectError({}, ErrorCode::PlanMalformed, "not a plan file");
  bytes = good;
  bytes[8] = 99;
  resealPlan(bytes);
  expectError(bytes, ErrorCode::PlanVersion,
              "format version 99, this program reads version 3");
  bytes = good;
  bytes.back() ^= 1;
  expectError(bytes, ErrorCode::PlanChecksum, "checksum mismatch");
  bytes = good;
  bytes[200] = 1;
  expectError(bytes, ErrorCode::PlanChecksum, "page 0");
  Plan plan = samplePlan();
  plan.target = "abacus";
  expectError(encodePlan(plan), ErrorCode::PlanTarget,
              "made for target 'abacus'");
  plan = samplePlan();
  plan.entries[0].steps[0].operands[0].buffer = 77;
  expectError(encodePlan(plan), ErrorCode::PlanMalformed,
              "step 0 (gather, /embed): buffer 77 of 7");
  plan = samplePlan();
  plan.entries[0].exprs[2] = {ExprOp::Add, 2, 1, 0};
  expectError(encodePlan(plan), ErrorCode::PlanMalformed, "expression 2");
  plan = samplePlan();
  plan.buffers[5].end = 9;
  expectError(encodePlan(plan), ErrorCode::PlanMalformed,
              "buffer 'x': lifetime [0, 9) in an entry of 7 steps");
  plan = samplePlan();
  plan.buffers[5].offset = UINT64_MAX - 3;
  expectError(encodePlan(plan), ErrorCode::PlanMalformed, "out of range");
  plan = samplePlan();
  plan.entries[0].steps[0].kernel = KernelId(1000);
  expectError(encodePlan(plan), ErrorCode::PlanMalformed, "kernel 1000 of 36");
}

TEST(PlanFile, FilesRoundTripAndErrorsNameThem) {
  std::string path = temporaryPath("sample.plan");
  Plan plan = samplePlan();
  Result<void> written = writePlan(plan, path);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(readBytes(path), encodePlan(plan));
  Result<Plan> read = readPlan(path);
  ASSERT_TRUE(read) << read.error().message;

  std::vector<uint8_t> bytes = encodePlan(plan);
  bytes.resize(bytes.size() - 1);
  writeBytes(path, bytes);
  read = readPlan(path);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::PlanTruncated);
  EXPECT_NE(read.error().message.find(path + ": truncated"), std::string::npos)
      << read.error().message;

  writeBytes(path, {'o', 'n', 'n', 'x'});
  read = readPlan(path);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message,
            path + ": not a plan file: it does not begin with LLMCPLAN");
  read = readPlan(path + ".missing");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::FileNotFound);
  std::string folder = std::filesystem::path(path).parent_path();
  read = readPlan(folder);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("is a folder"), std::string::npos);
}

/// The number of files in the folder of `path`.
static int filesBeside(const std::string &path) {
  auto folder = std::filesystem::directory_iterator(
      std::filesystem::path(path).parent_path());
  return static_cast<int>(std::distance(begin(folder), end(folder)));
}

TEST(PlanFile, FailedWriteLeavesTheOldFile) {
  std::string path = temporaryPath("sample.plan");
  ASSERT_TRUE(writePlan(samplePlan(), path));
  std::vector<uint8_t> before = readBytes(path);
  Plan changed = samplePlan();
  changed.options = "other";

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit limited = old;
  limited.rlim_cur = 4100;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  Result<void> written = writePlan(changed, path);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);

  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::NoSpace);
  EXPECT_NE(written.error().message.find(path + ": cannot write at byte 4100"),
            std::string::npos)
      << written.error().message;
  EXPECT_EQ(readBytes(path), before);
  EXPECT_EQ(filesBeside(path), 1) << "the temporary file stayed";
}

TEST(PlanFile, RefusesToWriteWhereItCannot) {
  Result<void> written = writePlan(samplePlan(), "/dev/full");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("not a regular file"),
            std::string::npos)
      << written.error().message;
  written = writePlan(samplePlan(), "/nowhere/at/all.plan");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("No such file"), std::string::npos);
  Plan bad = samplePlan();
  bad.entries[0].steps[0].params = {1000};
  std::string path = temporaryPath("bad.plan");
  written = writePlan(bad, path);
  ASSERT_FALSE(written);
  EXPECT_EQ(filesBeside(path), 0);
}

TEST(PlanTarget, ComparesLevels) {
  EXPECT_EQ(archLevel("x86-64-v3"), 3);
  EXPECT_EQ(archLevel("x86-64"), 1);
  EXPECT_EQ(archLevel("z80"), 0);
  Plan plan = samplePlan();
  EXPECT_TRUE(checkTarget(plan, {3, false}));
  EXPECT_TRUE(checkTarget(plan, {4, false}));
  Result<void> refused = checkTarget(plan, {2, false});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::PlanTarget);
  EXPECT_NE(refused.error().message.find(
                "needs a CPU of level x86-64-v3, this machine is x86-64-v2"),
            std::string::npos)
      << refused.error().message;
  plan.arch = "armv9";
  EXPECT_FALSE(checkTarget(plan, {4, false}));
  plan = samplePlan();
  plan.target = "cuda";
  EXPECT_FALSE(checkTarget(plan, {4, false}));
  EXPECT_TRUE(checkTarget(plan, {4, true}));
}
