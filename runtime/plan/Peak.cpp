//===- Peak.cpp - When a tier is fullest, and with what -------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Peak.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/Report.h"
#include "runtime/plan/TextTable.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace llmc::plan {

static size_t countSteps(const Entry &entry) {
  return std::max<size_t>(entry.steps.size(), 1);
}

static bool livesAt(const Buffer &buffer, uint32_t entry, uint32_t step) {
  return buffer.entry == kNone ||
         (buffer.entry == entry && buffer.start <= step && step < buffer.end);
}

std::vector<uint64_t> liveBytes(const Plan &plan, uint32_t entry, Tier tier) {
  std::vector<uint64_t> live(countSteps(plan.entries[entry]) + 1);
  uint64_t lasting = 0;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.tier != tier) {
      continue;
    }
    if (buffer.entry == kNone) {
      lasting += buffer.size;
    } else if (buffer.entry == entry && buffer.start < buffer.end) {
      live[buffer.start] += buffer.size; // changes first; sums wrap and return
      live[buffer.end] -= buffer.size;
    }
  }
  uint64_t bytes = lasting;
  for (uint64_t &step : live) {
    bytes += step;
    step = bytes;
  }
  live.pop_back();
  return live;
}

Peak findPeak(const Plan &plan, uint32_t entry, Tier tier) {
  std::vector<uint64_t> live = liveBytes(plan, entry, tier);
  auto most = std::max_element(live.begin(), live.end());
  Peak peak;
  peak.step = static_cast<uint32_t>(most - live.begin());
  peak.bytes = *most;
  for (uint32_t i = 0; i < plan.buffers.size(); ++i) {
    if (plan.buffers[i].tier == tier &&
        livesAt(plan.buffers[i], entry, peak.step)) {
      peak.buffers.push_back(i);
    }
  }
  std::sort(
      peak.buffers.begin(), peak.buffers.end(), [&](uint32_t a, uint32_t b) {
        const Buffer &x = plan.buffers[a];
        const Buffer &y = plan.buffers[b];
        return std::tie(y.size, x.offset, a) < std::tie(x.size, y.offset, b);
      });
  return peak;
}

uint64_t liveLowerBound(const Plan &plan, Tier tier) {
  uint64_t most = 0;
  for (uint32_t entry = 0; entry < plan.entries.size(); ++entry) {
    for (uint64_t bytes : liveBytes(plan, entry, tier)) {
      most = std::max(most, bytes);
    }
  }
  return most;
}

static std::string percent(uint64_t part, uint64_t whole) {
  if (whole == 0) {
    return "-";
  }
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f %%",
                100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

std::string peakText(const Plan &plan) {
  const Totals &totals = plan.totals;
  uint64_t bound = liveLowerBound(plan);
  std::string out;
  for (uint32_t entry = 0; entry < plan.entries.size(); ++entry) {
    Peak peak = findPeak(plan, entry);
    const Entry &where = plan.entries[entry];
    out += "\npeak of " + (where.steps.empty()
                               ? "entry '" + printable(where.name) + "'"
                               : printable(describeStep(where, peak.step)));
    out += " of " + number(where.steps.size()) + "\n";

    TextTable table({"bytes", "", "share", "kind", "name"},
                    {true, true, true, false, false});
    auto row = [&](uint64_t bytes, std::string_view kind, std::string name) {
      table.add({number(bytes), formatBytes(bytes), percent(bytes, peak.bytes),
                 std::string(kind), std::move(name)});
    };
    for (uint32_t i : peak.buffers) {
      const Buffer &buffer = plan.buffers[i];
      row(buffer.size, name(buffer.kind), printable(buffer.name));
    }
    row(peak.bytes, "= live", number(peak.buffers.size()) + " buffers");
    row(bound, "lower bound", "the most that lives at once in any entry");
    row(totals.arenaBytes, "arena", "device memory as it is laid out");
    if (totals.budgetBytes == UINT64_MAX) {
      table.add({"unbounded", "", "", "budget", ""});
    } else {
      row(totals.budgetBytes, "budget", "");
    }
    out += table.text();
  }
  return out;
}

} // namespace llmc::plan
