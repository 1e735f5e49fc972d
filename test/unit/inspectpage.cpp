//===- inspectpage.cpp - The page of llmc inspect --html ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What the page does in a browser is tested in test/e2e/inspect_html.py.
//
//===----------------------------------------------------------------------===//

#include "tools/llmc/inspect/HtmlReport.h"
#include "tools/llmc/inspect/PageFiles.h"

#include "gtest/gtest.h"

#include <nlohmann/json.hpp>

using namespace llmc::plan;
using namespace llmc::tools;
using nlohmann::json;

/// One weight for all, and an entry that copies into a slot and reads it.
static Plan smallPlan() {
  Plan plan;
  plan.modelName = "small";
  plan.options = "--vram 1K";
  Buffer weight;
  weight.name = "w";
  weight.kind = BufferKind::Weight;
  weight.size = 64;
  Buffer slot;
  slot.name = "slot";
  slot.kind = BufferKind::Staging;
  slot.offset = 64;
  slot.size = 128;
  slot.entry = 0;
  slot.start = 0;
  slot.end = 2;
  plan.buffers = {weight, slot};
  Step copy;
  copy.kind = StepKind::Copy;
  copy.name = "w2";
  copy.buffer = 1;
  Step launch;
  launch.name = "/linear";
  launch.kernel = KernelId::Linear;
  launch.operands.resize(2);
  launch.operands[0].buffer = 1;
  launch.operands[1].access = Access::ReadWrite;
  plan.entries.resize(1);
  plan.entries[0].name = "main";
  plan.entries[0].steps = {copy, launch};
  return plan;
}

TEST(HtmlReport, DataAreColumns) {
  json data = json::parse(htmlReportData(smallPlan()));
  EXPECT_EQ(data["buffers"], json::parse(R"({
      "name": ["w", "slot"], "kind": [0, 6], "tier": [0, 0], "entry": [-1, 0],
      "offset": [0, 64], "size": [64, 128], "start": [0, 0], "end": [0, 2]})"));
  json steps = data["entries"][0]["steps"];
  EXPECT_EQ(data["operations"], json::parse(R"(["copy", "linear"])"));
  EXPECT_EQ(steps, json::parse(R"({
      "name": ["w2", "/linear"], "what": [0, 1], "first": [0, 1, 3],
      "operands": [5, 4, 2]})"))
      << "buffer * 4 + access: slot written; slot read, w updated";
  EXPECT_EQ(data["kinds"].size(), 8u);
  EXPECT_EQ(data["tiers"], json::parse(R"(["device", "host", "disk"])"));
  EXPECT_FALSE(data["summary"].contains("buffers"));
  EXPECT_TRUE(data["summary"]["budget_bytes"].is_null());
}

TEST(HtmlReport, NamesAreNeverMarkup) {
  Plan plan = smallPlan();
  const std::string hostile = "</script><script>alert(1)</script><!-- {{data}}";
  plan.buffers[0].name = hostile;
  plan.entries[0].name = hostile;
  plan.entries[0].steps[0].name = "not \xFF utf8";
  plan.modelName = "<b>&amp;{{script}}";
  std::string data = htmlReportData(plan);
  EXPECT_EQ(data.find('<'), std::string::npos);
  EXPECT_EQ(json::parse(data)["buffers"]["name"][0], hostile);
  std::string page = htmlReport(plan);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_NE(page.find("<title>&lt;b>&amp;amp;{{script}} – memory plan</title>"),
            std::string::npos);
}

TEST(HtmlReport, PageIsCompleteAndSelfContained) {
  ASSERT_GE(kPageFiles.size(), 3u);
  std::string page = htmlReport(smallPlan());
  for (const EmbeddedFile &file : kPageFiles) {
    EXPECT_FALSE(file.text.empty()) << file.name;
    if (!file.name.ends_with(".html")) {
      EXPECT_NE(page.find(file.text), std::string::npos) << file.name;
    }
  }
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char *word : {"http://", "https://", "{{", "@import", " src="}) {
    EXPECT_EQ(page.find(word), std::string::npos) << word;
  }
  EXPECT_TRUE(page.ends_with("</html>\n"));
}

TEST(HtmlReport, AnEmptyPlanHasAPage) {
  json data = json::parse(htmlReportData(Plan()));
  EXPECT_TRUE(data["entries"].empty());
  EXPECT_FALSE(htmlReport(Plan()).empty());
}
