//===- plan_report_test.cpp - Reports of a plan ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/Explain.h"
#include "runtime/plan/Peak.h"
#include "runtime/plan/Report.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

using namespace llmc::plan;
using namespace llmc::plan::test;

TEST(Report, JsonHasTheContractsFields) {
  nlohmann::json json = nlohmann::json::parse(reportJsonText(samplePlan()));
  for (const char *field :
       {"format_version", "target", "budget_bytes", "device_bytes",
        "arena_bytes", "resident_weight_bytes", "state_bytes", "staging_bytes",
        "workspace_bytes", "activation_peak_bytes", "reserve_bytes",
        "lower_bound_bytes", "minimum_bytes", "host_bytes", "disk_bytes",
        "weights_bytes", "entries", "buffers"}) {
    EXPECT_TRUE(json.contains(field)) << field;
  }
  EXPECT_EQ(json["device_bytes"], 2664);
  EXPECT_EQ(json["budget_bytes"], 4096);
  nlohmann::json entry = json["entries"][0];
  EXPECT_EQ(entry, nlohmann::json::parse(
                       R"({"name": "main", "steps": 7, "kernels": 4,
                           "peak_live_bytes": 1464, "streamed_bytes": 1024,
                           "spilled_bytes": 0,
                           "predicted_seconds": 0.25, "bound_by": "link",
                           "largest_slot_bytes": 1024,
                           "predicted_tokens_per_second": 12.0})"));
  EXPECT_EQ(json["stays"],
            nlohmann::json::parse(
                R"({"bytes": 160, "matrices": 1, "matrices_total": 2,
                    "vectors": 0, "vectors_total": 0})"));
  EXPECT_EQ(json["buffers"][0],
            nlohmann::json::parse(
                R"({"name": "table", "entry": null, "kind": "weight",
                    "tier": "device", "offset": 0, "size": 160,
                    "start": 0, "end": 7})"));
  EXPECT_EQ(json["buffers"][5],
            nlohmann::json::parse(
                R"({"name": "x", "entry": "main", "kind": "activation",
                    "tier": "device", "offset": 1472, "size": 48,
                    "start": 0, "end": 6})"));
}

// By hand: table [10, 4] stays, w (panels) is copied; 3 tokens in 0.25 s now
// and in 0.125 s with 4 KiB more.
TEST(Report, ExplainsThePlacement) {
  const std::vector<Prediction> parts = {
      {0.125, 0.0625, 0.03125, 0.25, 0.03125, 4096, 0.125, 640, 2}};
  EXPECT_EQ(
      explainText(samplePlan(), parts),
      "  stays     160 B: 1 of 2 matrices\n"
      "  streams   1.0 KiB per run of main (largest slot 1.0 KiB)\n"
      "  main      250 ms per run, bound by link: launches 218.8 (compute "
      "125, memory 62.5, overhead 31.25), link 250, launches wait 31.25\n"
      "  +4.0 KiB  main 24.0 tokens/s (+100.0 %)\n");
  nlohmann::json json =
      nlohmann::json::parse(reportJsonText(samplePlan(), parts));
  EXPECT_EQ(json["predictions"],
            nlohmann::json::parse(
                R"([{"entry": "main", "compute_seconds": 0.125,
                     "memory_seconds": 0.0625, "overhead_seconds": 0.03125,
                     "link_seconds": 0.25, "stall_seconds": 0.03125,
                     "activation_bytes_moved": 640, "launches": 2,
                     "more_budget_bytes": 4096, "more_budget_seconds": 0.125,
                     "more_budget_tokens_per_second": 24.0}])"));
}

TEST(Report, ExplainsWhatThePlanKnows) {
  EXPECT_EQ(explainText(samplePlan()),
            "  stays     160 B: 1 of 2 matrices\n"
            "  streams   1.0 KiB per run of main (largest slot 1.0 KiB)\n"
            "  main      250 ms per run, bound by link\n");
  EXPECT_NE(reportText(samplePlan()).find(explainText(samplePlan())),
            std::string::npos);
}

TEST(Report, ExplainsThatNothingStreams) {
  Plan plan = samplePlan();
  Entry &entry = plan.entries[0];
  plan.buffers[3].kind = BufferKind::Weight;
  plan.buffers[3].entry = kNone;
  plan.buffers[3].segment = 1;
  std::erase_if(entry.steps,
                [](const Step &step) { return step.kind == StepKind::Copy; });
  entry.streamedBytes = 0;
  EXPECT_EQ(
      explainText(plan, {{0.125, 0.0625, 0.03125, 0, 0, 0, 0}}),
      "  stays     1.2 KiB: all 2 matrices; nothing streams\n"
      "  main      250 ms per run, bound by link: launches 218.8 (compute "
      "125, memory 62.5, overhead 31.25)\n");
}

// A slot that is carried from run to run is filled by no copy before its use.
TEST(Report, ACarriedSlotHoldsAMatrixToo) {
  Plan plan = samplePlan();
  Entry &entry = plan.entries[0];
  std::erase_if(entry.steps,
                [](const Step &step) { return step.kind == StepKind::Copy; });
  plan.carried = {{1, 0, 1024, 384}};
  entry.carried = {{3, 3}};
  EXPECT_EQ(keptWeights(plan).allMatrices, 2u);
}

TEST(Report, UnboundedAndOddNames) {
  Plan plan = samplePlan();
  plan.totals.budgetBytes = UINT64_MAX;
  plan.buffers[0].name = "bad \xFF utf8 \x1b[31m";
  nlohmann::json json = nlohmann::json::parse(reportJsonText(plan));
  EXPECT_TRUE(json["budget_bytes"].is_null());
  std::string text = reportText(plan);
  EXPECT_NE(text.find("unbounded"), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(Report, TextShowsTierOffsetSizeAndLifetime) {
  std::string text = reportText(samplePlan());
  EXPECT_NE(text.find("= device_bytes"), std::string::npos) << text;
  EXPECT_NE(text.find("  1472    48  48 bytes  [0, 6)  device  activation  x"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("always  device  state     cache"), std::string::npos)
      << text;
}

TEST(Report, CsvQuotesNames) {
  Plan plan = samplePlan();
  plan.buffers[5].name = "a\"b,c";
  EXPECT_NE(reportCsv(plan).find(
                "\"a\"\"b,c\",\"main\",activation,device,1472,48,0,6\n"),
            std::string::npos)
      << reportCsv(plan);
}

// By hand: table 160, cache 128 and half 8 always (296), slot 1024 in [2, 6),
// ids 24 in [0, 1), x 48 in [0, 6), y 72 in [5, 7).
TEST(Peak, LiveBytesPerStep) {
  Plan plan = samplePlan();
  EXPECT_EQ(liveBytes(plan, 0),
            (std::vector<uint64_t>{368, 344, 1368, 1368, 1368, 1440, 368}));
  EXPECT_EQ(liveBytes(plan, 0, Tier::Host), std::vector<uint64_t>(7));
  Peak peak = findPeak(plan, 0);
  EXPECT_EQ(peak.step, 5u);
  EXPECT_EQ(peak.bytes, 1440u);
  EXPECT_EQ(peak.buffers, (std::vector<uint32_t>{3, 0, 1, 6, 5, 2}));
  EXPECT_EQ(liveLowerBound(plan), 1440u);
}

TEST(Peak, IsTheLargestOfTheEntriesAndTheFirstOfEquals) {
  Plan plan = samplePlan();
  plan.entries.push_back(plan.entries[0]);
  plan.entries[1].name = "decode";
  plan.buffers.push_back(plan.buffers[5]);
  plan.buffers.back().entry = 1;
  plan.buffers.back().size = 4096;
  plan.buffers.back().start = 2;
  plan.buffers.back().end = 4;
  EXPECT_EQ(findPeak(plan, 1).step, 2u);
  EXPECT_EQ(liveLowerBound(plan), 296u + 4096u);
  EXPECT_EQ(findPeak(plan, 0).bytes, 1440u) << "entries do not add up";
}

TEST(Peak, NothingLivesInAnEmptyEntry) {
  Plan plan;
  plan.entries.emplace_back();
  EXPECT_EQ(liveBytes(plan, 0), std::vector<uint64_t>(1));
  EXPECT_NE(peakText(plan).find("0 buffers"), std::string::npos);
}

TEST(Peak, TextNamesTheStepAndWhatLives) {
  Plan plan = samplePlan();
  std::string text = peakText(plan);
  EXPECT_NE(text.find("peak of entry 'main', step 5 (linear, /lm_head) of 7\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("   1024   1.00 KiB   71.11 %  staging      slot\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("   1440   1.41 KiB  100.00 %  = live       6 buffers"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("budget"), std::string::npos);
  plan.totals.budgetBytes = UINT64_MAX;
  plan.buffers[3].name = "odd\x1b[31m";
  EXPECT_NE(peakText(plan).find("unbounded"), std::string::npos);
  EXPECT_EQ(peakText(plan).find('\x1b'), std::string::npos);
}

TEST(Report, CsvHoldsEveryBuffer) {
  Plan plan = samplePlan();
  std::string csv = reportCsv(plan);
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "name,entry,kind,tier,offset,size,start,end");
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')),
            plan.buffers.size() + 1);
  EXPECT_NE(csv.find("\"table\",,weight,device,0,160,0,7\n"),
            std::string::npos);
}
