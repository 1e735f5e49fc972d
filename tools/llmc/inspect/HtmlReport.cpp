//===- HtmlReport.cpp - A plan as one page to look at ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc/inspect/HtmlReport.h"

#include "runtime/plan/Report.h"
#include "tools/llmc/inspect/PageFiles.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

namespace llmc::tools {

using Json = nlohmann::ordered_json;

namespace {

/// Numbers for words that come again and again.
class Words {
public:
  size_t operator()(std::string_view word) {
    auto [at, added] = index.try_emplace(std::string(word), list.size());
    if (added) {
      list.push_back(word);
    }
    return at->second;
  }
  Json take() { return std::move(list); }

private:
  std::map<std::string, size_t> index;
  Json list = Json::array();
};

std::string_view operation(const plan::Step &step) {
  switch (step.kind) {
  case plan::StepKind::Launch:
    return plan::name(step.kernel);
  case plan::StepKind::Copy:
    return "copy";
  case plan::StepKind::Signal:
    return "signal";
  case plan::StepKind::Wait:
    return "wait";
  case plan::StepKind::Restore:
    return "restore";
  case plan::StepKind::Spill:
    return "spill";
  case plan::StepKind::SwapOut:
    return "swap out";
  case plan::StepKind::SwapIn:
    return "swap in";
  }
  return "";
}

} // namespace

static Json stepsJson(const plan::Entry &entry, Words &operations) {
  Json names = Json::array(), what = Json::array(), operands = Json::array();
  Json first = Json::array({0});
  auto operand = [&](uint32_t buffer, plan::Access access) {
    operands.push_back(uint64_t(buffer) * 4 + static_cast<unsigned>(access));
  };
  for (const plan::Step &step : entry.steps) {
    names.push_back(step.name);
    what.push_back(operations(operation(step)));
    if (step.kind == plan::StepKind::Launch) {
      for (const plan::Operand &used : step.operands) {
        operand(used.buffer, used.access);
      }
    } else if (step.kind == plan::StepKind::Copy ||
               step.kind == plan::StepKind::Restore ||
               step.kind == plan::StepKind::SwapIn) {
      operand(step.buffer, plan::Access::Write);
    } else if (step.kind == plan::StepKind::Spill ||
               step.kind == plan::StepKind::SwapOut) {
      operand(step.buffer, plan::Access::Read);
    }
    first.push_back(operands.size());
  }
  return {{"name", std::move(names)},
          {"what", std::move(what)},
          {"first", std::move(first)},
          {"operands", std::move(operands)}};
}

/// One array per field: half the bytes of one object per buffer.
static Json buffersJson(const plan::Plan &plan) {
  constexpr const char *fields[] = {"name",   "kind", "tier",  "entry",
                                    "offset", "size", "start", "end"};
  Json columns = Json::object();
  for (const char *field : fields) {
    columns[field] = Json::array();
  }
  for (const plan::Buffer &buffer : plan.buffers) {
    bool lasting = buffer.entry >= plan.entries.size();
    columns["name"].push_back(buffer.name);
    columns["kind"].push_back(static_cast<unsigned>(buffer.kind));
    columns["tier"].push_back(static_cast<unsigned>(buffer.tier));
    columns["entry"].push_back(lasting ? -1 : int64_t(buffer.entry));
    columns["offset"].push_back(buffer.offset);
    columns["size"].push_back(buffer.size);
    columns["start"].push_back(lasting ? 0 : buffer.start);
    columns["end"].push_back(lasting ? 0 : buffer.end);
  }
  return columns;
}

std::string htmlReportData(const plan::Plan &plan) {
  Json data;
  Json summary = plan::reportJson(plan);
  summary.erase("buffers");
  Json entries = std::move(summary["entries"]);
  summary.erase("entries");
  data["summary"] = std::move(summary);
  data["about"] = {{"producer", plan.producer},
                   {"options", plan.options},
                   {"batch", plan.batch}};

  data["kinds"] = Json::array();
  for (unsigned kind = 0;
       kind <= static_cast<unsigned>(plan::BufferKind::Workspace); ++kind) {
    data["kinds"].push_back(plan::name(static_cast<plan::BufferKind>(kind)));
  }
  data["tiers"] = Json::array();
  for (plan::Tier tier :
       {plan::Tier::Device, plan::Tier::Host, plan::Tier::Disk}) {
    data["tiers"].push_back(plan::name(tier));
  }
  Words operations;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    entries[i]["steps"] = stepsJson(plan.entries[i], operations);
  }
  data["operations"] = operations.take();
  data["entries"] = std::move(entries);
  data["buffers"] = buffersJson(plan);

  std::string text = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Only inside strings can there be a '<', so the escape is valid JSON.
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    c == '<' ? out += "\\u003c" : out += c;
  }
  return out;
}

std::string htmlReport(const plan::Plan &plan) {
  return fillPage(kPageFiles,
                  {{"title", escapeHtml(plan.modelName + " – memory plan")},
                   {"data", htmlReportData(plan)}});
}

} // namespace llmc::tools
