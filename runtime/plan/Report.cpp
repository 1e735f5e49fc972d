//===- Report.cpp - A plan as people and scripts read it ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Report.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/Explain.h"
#include "runtime/plan/Peak.h"
#include "runtime/plan/PlanFormat.h"
#include "runtime/plan/TextTable.h"
#include "runtime/support/Hash.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <tuple>
#include <vector>

namespace llmc::plan {

std::string_view name(BufferKind kind) {
  constexpr std::string_view names[] = {"weight",  "state",    "constant",
                                        "input",   "output",   "activation",
                                        "staging", "workspace"};
  auto index = static_cast<size_t>(kind);
  return index < std::size(names) ? names[index] : "unknown";
}

std::string_view name(Tier tier) {
  constexpr std::string_view names[] = {"device", "host", "disk"};
  auto index = static_cast<size_t>(tier);
  return index < std::size(names) ? names[index] : "unknown";
}

/// Buffers that belong to no entry live as long as any entry runs.
static uint32_t lastStep(const Plan &plan) {
  size_t most = 0;
  for (const Entry &entry : plan.entries) {
    most = std::max(most, entry.steps.size());
  }
  return static_cast<uint32_t>(most);
}

static uint64_t countLaunches(const Entry &entry) {
  return static_cast<uint64_t>(std::count_if(
      entry.steps.begin(), entry.steps.end(),
      [](const Step &step) { return step.kind == StepKind::Launch; }));
}

nlohmann::ordered_json reportJson(const Plan &plan) {
  using Json = nlohmann::ordered_json;
  const Totals &t = plan.totals;
  Json json;
  json["format_version"] = kPlanFormatVersion;
  json["target"] = plan.target;
  json["budget_bytes"] =
      t.budgetBytes == UINT64_MAX ? Json(nullptr) : Json(t.budgetBytes);
  json["device_bytes"] = t.deviceBytes;
  json["arena_bytes"] = t.arenaBytes;
  json["resident_weight_bytes"] = t.residentWeightBytes;
  json["state_bytes"] = t.stateBytes;
  json["staging_bytes"] = t.stagingBytes;
  json["workspace_bytes"] = t.workspaceBytes;
  json["activation_peak_bytes"] = t.activationPeakBytes;
  json["constant_bytes"] = t.constantBytes;
  json["reserve_bytes"] = t.reserveBytes;
  json["lower_bound_bytes"] = t.lowerBoundBytes;
  json["minimum_bytes"] = t.minimumBytes;
  json["host_bytes"] = t.hostBytes;
  json["disk_bytes"] = t.diskBytes;
  json["weights_bytes"] = t.weightsBytes;
  json["arch"] = plan.arch;
  json["model"] = plan.modelName;
  json["context"] = plan.context;
  json["weights_file"] = plan.weightsFile;
  Json variants = Json::array();
  for (const CodeVariant &variant : plan.code.variants) {
    variants.push_back(
        {{"arch", variant.arch}, {"bytes", variant.bytes.size()}});
  }
  json["generated"] = {{"functions", plan.code.functions.size()},
                       {"variants", std::move(variants)}};

  Json entries = Json::array();
  for (const Entry &entry : plan.entries) {
    entries.push_back({{"name", entry.name},
                       {"steps", entry.steps.size()},
                       {"kernels", countLaunches(entry)},
                       {"peak_live_bytes", entry.peakLiveBytes},
                       {"streamed_bytes", entry.streamedBytes},
                       {"spilled_bytes", restoredBytes(entry)},
                       {"predicted_seconds", entry.predictedSeconds},
                       {"bound_by", entry.boundBy}});
    double tokens = tokensPerRun(plan, entry);
    entries.back().update(
        {{"largest_slot_bytes", largestSlot(plan, entries.size() - 1)},
         {"predicted_tokens_per_second",
          tokens > 0 && entry.predictedSeconds > 0
              ? Json(tokens / entry.predictedSeconds)
              : Json(nullptr)}});
  }
  json["entries"] = std::move(entries);

  KeptWeights kept = keptWeights(plan);
  json["stays"] = {{"bytes", kept.bytes},
                   {"matrices", kept.matrices},
                   {"matrices_total", kept.allMatrices},
                   {"vectors", kept.vectors},
                   {"vectors_total", kept.allVectors}};

  uint32_t last = lastStep(plan);
  Json buffers = Json::array();
  for (const Buffer &buffer : plan.buffers) {
    bool lasting = buffer.entry >= plan.entries.size();
    buffers.push_back(
        {{"name", buffer.name},
         {"entry",
          lasting ? Json(nullptr) : Json(plan.entries[buffer.entry].name)},
         {"kind", name(buffer.kind)},
         {"tier", name(buffer.tier)},
         {"offset", buffer.offset},
         {"size", buffer.size},
         {"start", lasting ? 0 : buffer.start},
         {"end", lasting ? last : buffer.end}});
  }
  json["buffers"] = std::move(buffers);
  return json;
}

std::string reportJsonText(const Plan &plan,
                           const std::vector<Prediction> &predictions) {
  nlohmann::ordered_json json = reportJson(plan);
  if (!predictions.empty()) {
    json["predictions"] = predictionsJson(plan, predictions);
  }
  return json.dump(2, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::string seconds(double value) {
  char text[48];
  if (value < 1e-3) {
    std::snprintf(text, sizeof(text), "%.1f us", value * 1e6);
  } else if (value < 1) {
    std::snprintf(text, sizeof(text), "%.2f ms", value * 1e3);
  } else {
    std::snprintf(text, sizeof(text), "%.2f s", value);
  }
  return text;
}

static std::string headerText(const Plan &plan) {
  std::string out = "plan of " + printable(plan.modelName) + " for " +
                    printable(plan.target) + " (" + printable(plan.arch) +
                    "), format " + number(kPlanFormatVersion);
  if (!plan.producer.empty()) {
    out += ", by " + printable(plan.producer);
  }
  out += "\n";
  if (!plan.options.empty()) {
    out += "options: " + printable(plan.options) + "\n";
  }
  if (plan.context > 0) {
    out += "context: " + std::to_string(plan.context) +
           " tokens, batch: " + std::to_string(plan.batch) + "\n";
  }
  if (!plan.weightsFile.empty()) {
    out += "weights: " + printable(plan.weightsFile) + ", " +
           formatBytes(plan.totals.weightsBytes) + " in " +
           number(plan.segments.size()) + " segments, id " +
           Hash128(plan.weightsId).text() + "\n";
  }
  if (!plan.code.empty()) {
    out += "generated: " + number(plan.code.functions.size()) + " functions";
    for (const CodeVariant &variant : plan.code.variants) {
      out += ", " + formatBytes(variant.bytes.size()) + " for " +
             printable(variant.arch);
    }
    out += "\n";
  }
  return out;
}

static std::string partsText(const Totals &t) {
  TextTable table({"device memory", "bytes", ""}, {false, true, true});
  auto part = [&](const char *label, uint64_t bytes, bool always = false) {
    if (bytes != 0 || always) {
      table.add({label, number(bytes), formatBytes(bytes)});
    }
  };
  part("resident weights", t.residentWeightBytes, true);
  part("state", t.stateBytes);
  part("constants", t.constantBytes);
  part("staging slots", t.stagingBytes);
  part("workspace", t.workspaceBytes);
  part("activations", t.activationPeakBytes, true);
  part("reserve", t.reserveBytes);
  part("= device_bytes", t.deviceBytes, true);
  if (t.budgetBytes == UINT64_MAX) {
    table.add({"  budget", "unbounded", ""});
  } else {
    part("  budget", t.budgetBytes, true);
  }
  part("  minimum for this model", t.minimumBytes);
  part("  lower bound of activations", t.lowerBoundBytes);
  part("  host memory", t.hostBytes);
  part("  disk (spilled)", t.diskBytes);
  return table.text();
}

static std::string entriesText(const Plan &plan) {
  TextTable table({"entry", "steps", "kernels", "peak live", "streamed",
                   "predicted", "bound by"},
                  {false, true, true, true, true, true, false});
  for (const Entry &entry : plan.entries) {
    table.add({printable(entry.name), number(entry.steps.size()),
               number(countLaunches(entry)), formatBytes(entry.peakLiveBytes),
               formatBytes(entry.streamedBytes),
               seconds(entry.predictedSeconds), printable(entry.boundBy)});
  }
  return table.text();
}

/// Buffers of one entry (kNone: the lasting ones) by tier and address.
static std::string buffersText(const Plan &plan, uint32_t entry) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < plan.buffers.size(); ++i) {
    if (plan.buffers[i].entry == entry) {
      order.push_back(i);
    }
  }
  if (order.empty()) {
    return "";
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Buffer &x = plan.buffers[a];
    const Buffer &y = plan.buffers[b];
    return std::tie(x.tier, x.offset, x.start, a) <
           std::tie(y.tier, y.offset, y.start, b);
  });
  TextTable table({"offset", "size", "", "live", "tier", "kind", "name"},
                  {true, true, true, false, false, false, false});
  for (uint32_t i : order) {
    const Buffer &buffer = plan.buffers[i];
    std::string live = entry == kNone ? "always"
                                      : "[" + number(buffer.start) + ", " +
                                            number(buffer.end) + ")";
    table.add({number(buffer.offset), number(buffer.size),
               formatBytes(buffer.size), live, std::string(name(buffer.tier)),
               std::string(name(buffer.kind)), printable(buffer.name)});
  }
  std::string title = entry == kNone ? "buffers of all entries"
                                     : "buffers of entry " +
                                           printable(plan.entries[entry].name);
  return "\n" + title + "\n" + table.text();
}

std::string reportText(const Plan &plan) {
  std::string out = headerText(plan);
  out += "\n" + partsText(plan.totals);
  if (!plan.entries.empty()) {
    out += "\n" + entriesText(plan);
    out += "\nwhat stays, what streams, what bounds it\n" + explainText(plan);
    out += peakText(plan);
  }
  out += buffersText(plan, kNone);
  for (uint32_t entry = 0; entry < plan.entries.size(); ++entry) {
    out += buffersText(plan, entry);
  }
  return out;
}

std::string reportCsv(const Plan &plan) {
  auto quoted = [](const std::string &text) {
    std::string out = "\"";
    for (char c : printable(text)) {
      out += c == '"' ? std::string("\"\"") : std::string(1, c);
    }
    return out + "\"";
  };
  uint32_t last = lastStep(plan);
  std::string out = "name,entry,kind,tier,offset,size,start,end\n";
  for (const Buffer &buffer : plan.buffers) {
    bool lasting = buffer.entry >= plan.entries.size();
    out += quoted(buffer.name) + "," +
           (lasting ? "" : quoted(plan.entries[buffer.entry].name)) + "," +
           std::string(name(buffer.kind)) + "," +
           std::string(name(buffer.tier)) + "," + number(buffer.offset) + "," +
           number(buffer.size) + "," + number(lasting ? 0 : buffer.start) +
           "," + number(lasting ? last : buffer.end) + "\n";
  }
  return out;
}

} // namespace llmc::plan
