//===- SweepReport.cpp - A sweep as text and JSON -------------------------===//

#include "tools/llmc/sweep/SweepReport.h"

#include "runtime/plan/TextTable.h"
#include "runtime/support/Size.h"

#include <nlohmann/json.hpp>

#include <cstdio>

namespace llmc::tools {

using compiler::SweepReport;

namespace {

std::string format(const char *pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

std::string speedText(const SweepReport::Entry &entry) {
  return entry.tokens > 0 ? format("%.2f", entry.tokensPerSecond())
                          : format("%.2f", 1 / entry.seconds);
}

std::string contextText(int64_t tokens) {
  return tokens > 0 ? std::to_string(tokens) : "-";
}

} // namespace

std::string sweepText(const SweepReport &report) {
  const SweepReport::Row *fitting = nullptr;
  for (const SweepReport::Row &row : report.rows) {
    fitting = row.fits ? &row : fitting;
  }
  std::string out =
      report.model + "\n  weights " + formatSize(report.weightsBytes) +
      ", smallest budget " + formatSize(report.minimumBytes) +
      ", nothing streams from " + formatSize(report.residentBytes);
  if (report.context > 0) {
    out += ", at " + std::to_string(report.context) + " tokens of context";
  }
  out += "\n  predicted for " +
         (report.hardware.empty() ? "the reference CPU" : report.hardware) +
         "; budgets spaced " + (report.geometric ? "geometrically" : "evenly") +
         "\n";
  std::vector<std::string> header = {"budget"};
  std::vector<bool> right = {true};
  size_t entries = fitting ? fitting->entries.size() : 0;
  auto column = [&](const std::string &name, bool isRight = true) {
    header.push_back(name);
    right.push_back(isRight);
  };
  for (size_t i = 0; i < entries; ++i) {
    const SweepReport::Entry &entry = fitting->entries[i];
    column(entry.name + (entry.tokens > 0 ? " tokens/s" : " runs/s"));
    column("bound by", false);
    column(entry.tokens > 0 ? "streamed/token" : "streamed/run");
  }
  if (report.contextLimit > 0) {
    column("largest context");
    column("nothing streams to");
  }
  column("", false);
  plan::TextTable table(header, right);
  for (const SweepReport::Row &row : report.rows) {
    std::vector<std::string> cells = {formatSize(row.budgetBytes)};
    for (size_t i = 0; i < entries; ++i) {
      if (!row.fits) {
        cells.insert(cells.end(), {"-", "", "-"});
        continue;
      }
      const SweepReport::Entry &entry = row.entries[i];
      double streamed = entry.tokens > 0 ? entry.streamedBytesPerToken()
                                         : double(entry.streamedBytes);
      cells.push_back(speedText(entry));
      cells.push_back(entry.boundBy);
      cells.push_back(formatSize(uint64_t(streamed)));
    }
    if (report.contextLimit > 0) {
      cells.push_back(contextText(row.largestContext));
      cells.push_back(contextText(row.largestResidentContext));
    }
    cells.push_back(row.mark == "minimum"    ? "smallest budget"
                    : row.mark == "resident" ? "nothing streams"
                    : !row.fits              ? "too small"
                                             : "");
    table.add(cells);
  }
  return out + table.text();
}

std::string sweepJson(const SweepReport &report) {
  using Json = nlohmann::ordered_json;
  Json out;
  out["model"] = report.model;
  out["hardware"] =
      report.hardware.empty() ? Json(nullptr) : Json(report.hardware);
  out["options"] = report.options;
  out["context_tokens"] = report.context;
  out["context_limit_tokens"] = report.contextLimit;
  out["batch"] = report.batch;
  out["weights_bytes"] = report.weightsBytes;
  out["minimum_bytes"] = report.minimumBytes;
  out["resident_bytes"] = report.residentBytes;
  out["spacing"] = report.geometric ? "geometric" : "linear";
  out["contexts_scheduled"] = report.contextsScheduled;
  out["budgets"] = Json::array();
  for (const SweepReport::Row &row : report.rows) {
    auto ifFits = [&](uint64_t bytes) {
      return row.fits ? Json(bytes) : Json(nullptr);
    };
    Json entries = Json::array();
    for (const SweepReport::Entry &entry : row.entries) {
      auto perToken = [&](double value) {
        return entry.tokens > 0 ? Json(value) : Json(nullptr);
      };
      entries.push_back(
          {{"name", entry.name},
           {"tokens_per_run", entry.tokens},
           {"predicted_seconds", entry.seconds},
           {"predicted_tokens_per_second", perToken(entry.tokensPerSecond())},
           {"bound_by", entry.boundBy},
           {"streamed_bytes", entry.streamedBytes},
           {"streamed_bytes_per_token",
            perToken(entry.streamedBytesPerToken())},
           {"compute_seconds", entry.parts.computeSeconds},
           {"memory_seconds", entry.parts.memorySeconds},
           {"overhead_seconds", entry.parts.overheadSeconds},
           {"link_seconds", entry.parts.linkSeconds},
           {"stall_seconds", entry.parts.stallSeconds}});
    }
    out["budgets"].push_back(
        {{"budget_bytes", row.budgetBytes},
         {"mark", row.mark},
         {"fits", row.fits},
         {"device_bytes", ifFits(row.deviceBytes)},
         {"resident_weight_bytes", ifFits(row.residentWeightBytes)},
         {"largest_context_tokens", row.largestContext},
         {"largest_resident_context_tokens", row.largestResidentContext},
         {"entries", std::move(entries)}});
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace llmc::tools
