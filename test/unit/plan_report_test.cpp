//===- plan_report_test.cpp - Reports of a plan ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "plan_samples.h"

#include "runtime/plan/Report.h"

#include "gtest/gtest.h"

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
