//===- Explain.cpp - What stays, what streams, what bounds a run ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Explain.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/Bounds.h"
#include "runtime/plan/TextTable.h"
#include "runtime/support/Size.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

namespace llmc::plan {

/// Which segments some launch reads as a matrix, resident or in a slot.
static std::vector<bool> findMatrices(const Plan &plan) {
  std::vector<bool> matrix(plan.segments.size(), false);
  for (const Entry &entry : plan.entries) {
    std::vector<uint32_t> segmentOf(plan.buffers.size(), kNone);
    for (size_t i = 0; i < plan.buffers.size(); ++i) {
      segmentOf[i] = plan.buffers[i].segment;
    }
    for (size_t i = 0; i < entry.carried.size(); ++i) {
      for (uint32_t buffer : {entry.carried[i].first, entry.carried[i].last}) {
        if (buffer < segmentOf.size() && i < plan.carried.size()) {
          segmentOf[buffer] = plan.carried[i].segment;
        }
      }
    }
    for (const Step &step : entry.steps) {
      if (step.kind == StepKind::Copy && step.buffer < segmentOf.size()) {
        segmentOf[step.buffer] = step.segment;
      }
      for (const Operand &operand : step.operands) {
        uint32_t segment = operand.buffer < segmentOf.size()
                               ? segmentOf[operand.buffer]
                               : kNone;
        if (segment >= matrix.size()) {
          continue;
        }
        auto isWide = [&](uint32_t dim) {
          const ExprNode &node = entry.exprs[dim];
          return node.op != ExprOp::Constant || node.value > 1;
        };
        matrix[segment] =
            matrix[segment] || operand.packing == Packing::Panel64 ||
            std::count_if(operand.dims.begin(), operand.dims.end(), isWide) > 1;
      }
    }
  }
  return matrix;
}

KeptWeights keptWeights(const Plan &plan) {
  KeptWeights out;
  std::vector<bool> matrix = findMatrices(plan);
  std::vector<bool> stays(plan.segments.size(), false);
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.kind == BufferKind::Weight && buffer.tier == Tier::Device &&
        buffer.segment < stays.size()) {
      stays[buffer.segment] = true;
      out.bytes += buffer.size;
    }
  }
  for (size_t i = 0; i < stays.size(); ++i) {
    ++(matrix[i] ? out.allMatrices : out.allVectors);
    if (stays[i]) {
      ++(matrix[i] ? out.matrices : out.vectors);
    }
  }
  return out;
}

uint64_t largestSlot(const Plan &plan, size_t entry) {
  uint64_t bytes = 0;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.kind == BufferKind::Staging && buffer.entry == entry) {
      bytes = std::max(bytes, buffer.size);
    }
  }
  return bytes;
}

uint64_t restoredBytes(const Entry &entry) {
  uint64_t bytes = 0;
  for (const Step &step : entry.steps) {
    bytes += step.kind == StepKind::Restore ? step.bytes : 0;
  }
  return bytes;
}

double tokensPerRun(const Plan &plan, const Entry &entry) {
  if (entry.newTokens == kNone) {
    return 0;
  }
  auto bounds = EntryBounds::compute(plan, entry);
  int64_t tokens = bounds ? (*bounds)[entry.newTokens].upper : 0;
  return tokens > 0 ? static_cast<double>(tokens) *
                          static_cast<double>(std::max<int64_t>(plan.batch, 1))
                    : 0;
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static constexpr size_t kShown = 2; // entries

static std::string format(const char *pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

static std::string line(const std::string &label, const std::string &text) {
  char padded[24];
  std::snprintf(padded, sizeof(padded), "  %-9.16s ", label.c_str());
  return padded + text + "\n";
}

/// "all 45 norms and biases" or "61 of 155 matrices".
static std::string share(uint32_t some, uint32_t all, const char *what) {
  return (some == all ? "all " : number(some) + " of ") + number(all) + " " +
         what;
}

static std::string staysText(const Plan &plan) {
  KeptWeights kept = keptWeights(plan);
  std::string text = formatSize(kept.bytes) + ": ";
  if (kept.allMatrices != 0) {
    text += share(kept.matrices, kept.allMatrices, "matrices");
  }
  if (kept.allVectors != 0) {
    text += (kept.allMatrices != 0 ? ", " : "") +
            share(kept.vectors, kept.allVectors, "norms, biases and vectors");
  }
  if (kept.allMatrices + kept.allVectors == 0) {
    text += "there are no weights";
  }
  return text;
}

static std::string streamsText(const Plan &plan) {
  std::string text;
  for (size_t i = 0; i < std::min(kShown, plan.entries.size()); ++i) {
    const Entry &entry = plan.entries[i];
    text += (i == 0 ? "" : ", ") + formatSize(entry.streamedBytes) +
            " per run of " + printable(entry.name) + " (largest slot " +
            formatSize(largestSlot(plan, i)) + ")";
  }
  return text;
}

/// Empty if no state spills.
static std::string spillsText(const Plan &plan) {
  int64_t kept = 0, tokens = 0;
  for (const State &state : plan.states) {
    if (state.spill != kNone) {
      kept = state.residentBlocks * state.blockTokens;
      tokens = state.capacity;
    }
  }
  std::string text;
  for (size_t i = 0; tokens > 0 && i < std::min(kShown, plan.entries.size());
       ++i) {
    const Entry &entry = plan.entries[i];
    text += (text.empty()
                 ? std::to_string(kept) + " of " + std::to_string(tokens) +
                       " tokens of the KV cache stay, the others come back: "
                       "when it is full, "
                 : ", ") +
            formatSize(restoredBytes(entry)) + " per run of " +
            printable(entry.name);
  }
  return text;
}

/// What leaves for a while; empty if nothing does.
static std::string swapsText(const Plan &plan) {
  std::string text;
  for (const Entry &entry : plan.entries) {
    uint64_t out = 0, back = 0;
    uint32_t count = 0;
    for (const Step &step : entry.steps) {
      out += step.kind == StepKind::SwapOut ? step.bytes : 0;
      back += step.kind == StepKind::SwapIn ? step.bytes : 0;
      count += step.kind == StepKind::SwapIn;
    }
    if (count != 0) {
      text += (text.empty() ? "" : ", ") + number(count) +
              (count == 1 ? " activation" : " activations") + " per run of " +
              printable(entry.name) + " (" + formatSize(out) + " out, " +
              formatSize(back) + " back)";
    }
  }
  return text;
}

/// All in the unit of the largest.
static std::string boundText(const Entry &entry, const Prediction *p) {
  double launches =
      p ? p->computeSeconds + p->memorySeconds + p->overheadSeconds : 0;
  double largest =
      std::max({entry.predictedSeconds, launches, p ? p->linkSeconds : 0.0});
  double scale = largest < 1e-3 ? 1e6 : largest < 1 ? 1e3 : 1;
  const char *unit = largest < 1e-3 ? " us" : largest < 1 ? " ms" : " s";
  auto in = [&](double seconds) { return format("%.4g", seconds * scale); };
  std::string text = in(entry.predictedSeconds) + unit + " per run, bound by " +
                     printable(entry.boundBy);
  if (p) {
    text += ": launches " + in(launches) + " (compute " +
            in(p->computeSeconds) + ", memory " + in(p->memorySeconds) +
            ", overhead " + in(p->overheadSeconds) + ")";
    if (p->linkSeconds > 0) {
      text += ", link " + in(p->linkSeconds) + ", launches wait " +
              in(p->stallSeconds);
    }
  }
  return text;
}

static std::string moreText(const Plan &plan,
                            const std::vector<Prediction> &predictions) {
  std::string text;
  for (size_t i = 0; i < std::min(kShown, plan.entries.size()); ++i) {
    const Entry &entry = plan.entries[i];
    double seconds = predictions[i].moreSeconds;
    if (seconds <= 0) {
      continue;
    }
    double tokens = tokensPerRun(plan, entry);
    text += (text.empty() ? "" : ", ") + printable(entry.name) + " " +
            (tokens > 0 ? format("%.1f tokens/s", tokens / seconds)
                        : format("%.3g seconds", seconds)) +
            format(" (%+.1f %%)", 100 * (entry.predictedSeconds / seconds - 1));
  }
  return text;
}

std::string explainText(const Plan &plan,
                        const std::vector<Prediction> &predictions) {
  bool known = predictions.size() == plan.entries.size();
  bool streams = false;
  uint64_t more = 0;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    streams |= plan.entries[i].streamedBytes > 0;
    more = std::max(more, known ? predictions[i].moreBytes : 0);
  }
  std::string out =
      line("stays", staysText(plan) + (streams ? "" : "; nothing streams"));
  if (streams) {
    out += line("streams", streamsText(plan));
  }
  if (std::string spills = spillsText(plan); !spills.empty()) {
    out += line("spills", spills);
  }
  if (std::string swaps = swapsText(plan); !swaps.empty()) {
    out += line("leaves", swaps);
  }
  for (size_t i = 0; i < std::min(kShown, plan.entries.size()); ++i) {
    const Entry &entry = plan.entries[i];
    if (entry.predictedSeconds > 0) {
      out += line(printable(entry.name),
                  boundText(entry, known ? &predictions[i] : nullptr));
    }
  }
  if (more > 0) {
    out += line("+" + formatSize(more), moreText(plan, predictions));
  }
  return out;
}

nlohmann::ordered_json
predictionsJson(const Plan &plan, const std::vector<Prediction> &predictions) {
  using Json = nlohmann::ordered_json;
  Json out = Json::array();
  for (size_t i = 0; i < predictions.size(); ++i) {
    const Prediction &p = predictions[i];
    double tokens = tokensPerRun(plan, plan.entries[i]);
    bool more = p.moreBytes > 0 && p.moreSeconds > 0;
    out.push_back(
        {{"entry", plan.entries[i].name},
         {"compute_seconds", p.computeSeconds},
         {"memory_seconds", p.memorySeconds},
         {"overhead_seconds", p.overheadSeconds},
         {"link_seconds", p.linkSeconds},
         {"stall_seconds", p.stallSeconds},
         {"activation_bytes_moved", static_cast<uint64_t>(p.activationBytes)},
         {"launches", p.launches},
         {"more_budget_bytes", p.moreBytes},
         {"more_budget_seconds", more ? Json(p.moreSeconds) : Json(nullptr)},
         {"more_budget_tokens_per_second",
          more && tokens > 0 ? Json(tokens / p.moreSeconds) : Json(nullptr)}});
  }
  return out;
}

} // namespace llmc::plan
