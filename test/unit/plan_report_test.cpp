//===- plan_report_test.cpp - Reports of a plan ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

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
                           "predicted_seconds": 0.25, "bound_by": "link"})"));
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
