//===- runtool_cli.cpp - llmc-run as a program ----------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/plan/EmbeddedPlan.h"
#include "runtime/plan/HardwareProfile.h"
#include "tools/llmc-run/Npy.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include <sys/wait.h>

using namespace llmc;
using namespace llmc::test;
using nlohmann::json;

namespace {
struct Outcome {
  int status = -1;
  std::string out;
  std::string error;
};
} // namespace

static std::string slurp(const std::string &path) {
  std::string text;
  std::FILE *file = std::fopen(path.c_str(), "rb");
  for (int c; file && (c = std::fgetc(file)) != EOF;) {
    text += static_cast<char>(c);
  }
  if (file) {
    std::fclose(file);
  }
  return text;
}

static Outcome program(const TemporaryFolder &folder, const std::string &path,
                       const std::string &arguments) {
  const std::string command = path + " " + arguments + " >" + (folder / "out") +
                              " 2>" + (folder / "err") + " </dev/null";
  Outcome outcome;
  const int status = std::system(command.c_str());
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.out = slurp(folder / "out");
  outcome.error = slurp(folder / "err");
  return outcome;
}

static Outcome llmcRun(const TemporaryFolder &folder,
                       const std::string &arguments) {
  return program(folder, LLMC_RUN_PATH, arguments);
}

static std::vector<std::vector<float>> rowsOf(const std::string &path) {
  Result<npy::Array> array = npy::read(path);
  EXPECT_TRUE(bool(array)) << (array ? "" : array.error().message);
  std::vector<std::vector<float>> rows(array->dims[0],
                                       std::vector<float>(array->dims[1]));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(rows[i].data(), array->data.data() + i * kVocabulary * 4,
                kVocabulary * 4);
  }
  return rows;
}

static int64_t best(const std::vector<float> &row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

TEST(RuntoolCli, GenerateGreedily) {
  TemporaryFolder folder;
  const std::string plan =
      writeModel(folder, {.placement = Placement::Streamed});
  const Outcome outcome =
      llmcRun(folder, "generate " + plan + " --tokens 3,4,5 -n 6 --json " +
                          "--threads 2 --logits-out " + (folder / "l.npy"));
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.error, "");
  const json answer = json::parse(outcome.out);
  std::vector<int64_t> fed = {3, 4, 5};
  std::vector<int64_t> chosen;
  const auto rows = rowsOf(folder / "l.npy");
  ASSERT_EQ(rows.size(), 6u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(rows[i], expectedLogits(fed));
    chosen.push_back(best(rows[i]));
    fed.push_back(chosen.back());
  }
  EXPECT_EQ(answer["tokens"], chosen);
  EXPECT_EQ(answer["prompt_tokens"], (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(answer["text"], "");
  EXPECT_EQ(answer["stop_reason"], "length");
  EXPECT_GE(answer["prefill_seconds"], 0.0);
  EXPECT_GE(answer["decode_seconds"], 0.0);

  // The same as a stream: without a tokenizer the ids.
  const Outcome shown =
      llmcRun(folder, "generate --tokens 3,4,5 " + plan + " -n 3");
  EXPECT_EQ(shown.out, std::to_string(chosen[0]) + "," +
                           std::to_string(chosen[1]) + "," +
                           std::to_string(chosen[2]) + "\n");
}

TEST(RuntoolCli, ForcedTokens) {
  TemporaryFolder folder;
  const std::string plan = writeModel(folder);
  Outcome outcome =
      llmcRun(folder, "generate " + plan + " --tokens 1 --force 2,3,4 " +
                          "--json --logits-out " + (folder / "l.npy"));
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["tokens"], (std::vector<int64_t>{2, 3, 4}));
  const auto rows = rowsOf(folder / "l.npy");
  ASSERT_EQ(rows.size(), 4u);
  std::vector<int64_t> fed = {1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(rows[i], expectedLogits(fed)) << i;
    EXPECT_EQ(answer["chosen_tokens"][i], best(rows[i]));
    fed.push_back(i + 2);
  }
  // -n bounds the steps, as it does without --force.
  outcome =
      llmcRun(folder, "generate " + plan + " --tokens 1 --force 2,3,4 " +
                          "-n 3 --json --logits-out " + (folder / "l.npy"));
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(rowsOf(folder / "l.npy").size(), 3u);
  EXPECT_EQ(json::parse(outcome.out)["tokens"],
            (std::vector<int64_t>{2, 3, 4}));
}

TEST(RuntoolCli, TheContextIsABound) {
  TemporaryFolder folder;
  const std::string plan = writeModel(folder);
  Outcome outcome =
      llmcRun(folder, "generate " + plan + " --tokens 1,2 -n 100 --json");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["stop_reason"], "context");
  // 20 more fit, and the last row chooses one that is not fed.
  EXPECT_EQ(answer["tokens"].size(), size_t(kContext - 2 + 1));
  std::string many = "1";
  for (int i = 0; i < kContext; ++i) {
    many += ",1";
  }
  outcome = llmcRun(folder, "generate " + plan + " --tokens " + many);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.error, "llmc: error: the prompt has 23 tokens, the plan's "
                           "context holds 22\n");
  EXPECT_EQ(outcome.out, "");
  outcome = llmcRun(folder, "generate " + plan + " --tokens 1 --force " + many);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.error.find("--force feeds 23 tokens"), std::string::npos)
      << outcome.error;
}

TEST(RuntoolCli, SampledTokensRepeatWithTheSeed) {
  TemporaryFolder folder;
  const std::string plan = writeModel(folder);
  const std::string command =
      "generate " + plan + " --tokens 1,2 -n 12 --json --temperature 400 ";
  const auto tokens = [&](const std::string &options) {
    const Outcome outcome = llmcRun(folder, command + options);
    EXPECT_EQ(outcome.status, 0) << outcome.error;
    return json::parse(outcome.out)["tokens"];
  };
  EXPECT_EQ(tokens("--seed 5"), tokens("--seed 5"));
  EXPECT_NE(tokens("--seed 5"), tokens("--seed 6"));
  EXPECT_EQ(tokens("--top-k 1 --seed 5"), tokens("--top-p 0 --seed 6"));
}

TEST(RuntoolCli, RunWritesEveryOutput) {
  TemporaryFolder folder;
  const std::string plan =
      writeModel(folder, {.placement = Placement::Streamed});
  const int64_t ids[] = {3, 1, 4};
  const int64_t dims[] = {1, 3};
  ASSERT_TRUE(bool(npy::write(folder / "ids.npy", plan::DType::I64, dims, ids,
                              sizeof(ids))));
  for (const char *poison : {"", " --poison"}) {
    const std::string out = folder / ("out dir" + std::string(poison));
    const Outcome outcome = llmcRun(
        folder, "run " + plan + " --input input_ids=" + (folder / "ids.npy") +
                    " --output-dir '" + out + "' --json" + poison);
    ASSERT_EQ(outcome.status, 0) << outcome.error;
    const json answer = json::parse(outcome.out);
    EXPECT_EQ(answer["entry"], "prefill");
    EXPECT_EQ(answer["outputs"].size(), 2u);
    EXPECT_EQ(answer["outputs"][1]["shape"],
              (std::vector<int64_t>{1, 3, kWidth}));
    Result<npy::Array> logits = npy::read(out + "/logits.npy");
    ASSERT_TRUE(bool(logits));
    const std::vector<float> expected = expectedLogits({3, 1, 4});
    EXPECT_EQ(
        std::memcmp(logits->data.data(), expected.data(), logits->data.size()),
        0);
    EXPECT_TRUE(bool(npy::read(out + "/present.0.npy")));
  }
}

TEST(RuntoolCli, Errors) {
  TemporaryFolder folder;
  const std::string plan = writeModel(folder);
  const auto expectError = [&](const std::string &arguments, int status,
                               const std::string &part) {
    const Outcome outcome = llmcRun(folder, arguments);
    EXPECT_EQ(outcome.status, status) << arguments << outcome.error;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_EQ(outcome.error.find("llmc: error: "), 0u) << outcome.error;
    EXPECT_NE(outcome.error.find(part), std::string::npos) << outcome.error;
    EXPECT_EQ(outcome.error.find('\n'), outcome.error.size() - 1);
  };
  expectError("", 2, "subcommand");
  expectError("generate", 2, "PLAN");
  expectError("generate " + plan, 2, "--tokens");
  expectError("generate " + plan + " --tokens 1 --nosuch", 2, "--nosuch");
  expectError("generate " + plan + " --tokens 1,x", 2, "x");
  expectError("generate " + plan + " --tokens 1,70", 1, "token 70");
  expectError("generate " + plan + " --tokens 1 --force 70", 1, "token 70");
  expectError("generate " + plan + " --tokens=-1", 1, "token -1");
  expectError("generate " + plan + " --prompt hello", 1, "tokenizer");
  expectError("generate " + (folder / "none.plan") + " --tokens 1", 1,
              "none.plan");
  expectError("run " + plan + " --input nonsense", 2, "NAME=FILE.npy");
  expectError("run " + plan + " --input input_ids=" + (folder / "x.npy"), 1,
              "x.npy");
  expectError("run " + plan, 1, "input_ids");
  expectError("run " + plan + " --entry other", 1, "'other'");
  expectError("bench " + plan + " --prompt 22 --generate 1", 1, "context");
  for (const char *command : {"run", "generate", "bench", "verify"}) {
    const Outcome help = llmcRun(folder, std::string(command) + " --help");
    EXPECT_EQ(help.status, 0);
    EXPECT_NE(help.out.find("PLAN"), std::string::npos);
  }
}

TEST(RuntoolCli, VerifyFindsDamage) {
  TemporaryFolder folder;
  const std::string plan = writeModel(folder);
  Outcome outcome = llmcRun(folder, "verify " + plan + " --json");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(json::parse(outcome.out)["verified"], true);
  std::FILE *file = std::fopen((folder / "m.weights").c_str(), "r+b");
  std::fseek(file, 4096 + 77, SEEK_SET);
  std::fputc(0x5a, file);
  std::fclose(file);
  outcome = llmcRun(folder, "verify " + plan);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.error.find("m.weights"), std::string::npos);
  EXPECT_EQ(llmcRun(folder, "verify --no-checksum " + plan).status, 0);
}

TEST(RuntoolCli, BenchReportsItsFields) {
  TemporaryFolder folder;
  const std::string plan =
      writeModel(folder, {.placement = Placement::Streamed});
  const Outcome outcome = llmcRun(folder, "bench " + plan + " --json");
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  const json answer = json::parse(outcome.out);
  for (const char *field :
       {"prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds",
        "first_token_seconds", "device_high_water_bytes", "peak_rss_bytes",
        "link_bytes_per_second"}) {
    EXPECT_GT(answer.value(field, 0.0), 0.0) << field;
  }
  EXPECT_EQ(answer["streamed_bytes_per_token"],
            uint64_t(64 * kWidth + 128 * kWidth) * 4);
  EXPECT_EQ(answer["io_method"], "cached"); // a small file
}

TEST(RuntoolCli, EveryWayToReadGivesTheSame) {
  TemporaryFolder folder;
  const std::string plan =
      writeModel(folder, {.placement = Placement::Streamed});
  const std::string arguments = " --tokens 3,4,5 -n 6 --json";
  const Outcome usual = llmcRun(folder, "generate " + plan + arguments);
  ASSERT_EQ(usual.status, 0) << usual.error;
  for (const std::string method : {"uring", "direct", "buffered", "cached"}) {
    const Outcome bench =
        llmcRun(folder, "bench " + plan + " --prompt 3 --json --io " + method);
    if (bench.status != 0) { // what a sandbox may forbid
      EXPECT_TRUE(method == "uring" || method == "direct");
      EXPECT_NE(bench.error.find("--io " + method), std::string::npos)
          << bench.error;
      continue;
    }
    EXPECT_EQ(json::parse(bench.out)["io_method"], method);
    const Outcome outcome =
        llmcRun(folder, "generate " + plan + arguments + " --io " + method);
    ASSERT_EQ(outcome.status, 0) << outcome.error;
    EXPECT_EQ(json::parse(outcome.out)["tokens"],
              json::parse(usual.out)["tokens"]);
  }
}

TEST(RuntoolCli, ProbeWritesAProfileThatCanBeRead) {
  TemporaryFolder folder;
  const Outcome outcome =
      llmcRun(folder, "probe --quick --json --threads 2 --disk " +
                          (folder / ".") + " -o " + (folder / "hw.json"));
  ASSERT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.out, slurp(folder / "hw.json"));
  Result<plan::HardwareProfile> profile =
      plan::readHardwareProfile(folder / "hw.json");
  ASSERT_TRUE(bool(profile)) << profile.error().message;
  EXPECT_EQ(profile->source, "probe");
  ASSERT_TRUE(profile->host && profile->disk);
  EXPECT_EQ(profile->host->threads, 2u);
  for (const char *dtype : {"f32", "bf16", "f16", "int8"}) {
    const plan::ComputeRate &rate = profile->host->compute[dtype];
    ASSERT_TRUE(rate.oneRow && rate.manyRows) << dtype;
  }
  double best = 0;
  for (const plan::DiskWay &way : profile->disk->ways) {
    best = std::max(best, way.bytesPerSecond);
  }
  // Of the best way, but measured once more: alike, not equal.
  EXPECT_GT(profile->disk->bytesPerSecond, best / 4);
  EXPECT_LT(profile->disk->bytesPerSecond, best * 4);
  // The scratch file is gone.
  size_t files = 0;
  for (const auto &item : std::filesystem::directory_iterator(folder / ".")) {
    (void)item;
    ++files;
  }
  EXPECT_EQ(files, 3u); // out, err, hw.json
  // A file that is there is read instead, unless it is too small.
  const std::string large = folder / "large";
  std::ofstream(large) << "x";
  std::filesystem::resize_file(large, uint64_t(64) << 20);
  const Outcome read = llmcRun(folder, "probe --quick --disk " + large);
  EXPECT_EQ(read.status, 0) << read.error;
  EXPECT_NE(read.out.find("large"), std::string::npos) << read.out;
  std::filesystem::resize_file(large, uint64_t(1) << 20);
  const Outcome small = llmcRun(folder, "probe --quick --disk " + large);
  EXPECT_EQ(small.status, 1) << small.error;
  EXPECT_NE(small.error.find("too little"), std::string::npos) << small.error;
  const Outcome nowhere = llmcRun(folder, "probe --quick --disk /nonexistent");
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_NE(nowhere.error.find("/nonexistent"), std::string::npos);
}

TEST(RuntoolCli, AnExecutableWithAPlanGenerates) {
  TemporaryFolder folder;
  const std::string plan =
      writeModel(folder, {.placement = Placement::Streamed});
  std::string all = slurp(LLMC_RUN_PATH);
  const std::string planBytes = slurp(plan);
  const std::string weights = slurp(folder / "m.weights");
  EmbeddedPlan where;
  all.resize(where.planOffset = EmbeddedPlan::align(all.size()));
  all += planBytes;
  where.planSize = planBytes.size();
  all.resize(where.weightsOffset = EmbeddedPlan::align(all.size()));
  all += weights;
  where.weightsSize = weights.size();
  const auto trailer = where.encode();
  all.append(trailer.begin(), trailer.end());
  const std::string exe = folder / "model";
  std::FILE *file = std::fopen(exe.c_str(), "wb");
  std::fwrite(all.data(), 1, all.size(), file);
  std::fclose(file);
  std::filesystem::permissions(exe, std::filesystem::perms::owner_all);
  const Outcome expected =
      llmcRun(folder, "generate " + plan + " --tokens 1,2,3 -n 5");
  ASSERT_EQ(expected.status, 0) << expected.error;
  std::filesystem::remove(folder / "m.weights");
  std::filesystem::remove(plan);

  Outcome outcome = program(folder, exe, "--tokens 1,2,3 -n 5");
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_EQ(outcome.out, expected.out);
  outcome = program(folder, exe, "generate --tokens 1,2,3 -n 5");
  EXPECT_EQ(outcome.out, expected.out) << outcome.error;
  EXPECT_EQ(program(folder, exe, "verify").status, 0);
  EXPECT_EQ(program(folder, exe, "bench --json").status, 0);
}
