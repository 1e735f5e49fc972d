//===- BudgetReport.cpp - Why a budget cannot be met -----------*- C++ -*-===//

#include "passes/memory/BudgetReport.h"

#include "passes/memory/Layout.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;

namespace llmc::memory {

using planir::BufferOp;
using planir::Kind;

namespace {

struct Holder {
  std::string name;
  uint64_t bytes = 0;
};

/// The step of the minimum plan at which most bytes are live, and what holds
/// them.
struct Peak {
  std::string entry;
  std::string step;
  uint64_t bytes = 0;
  std::vector<Holder> holders; // largest first
};

std::string stepName(planir::EntryOp entry, uint32_t index) {
  uint32_t i = 0;
  for (Operation &step : entry.getBody().front()) {
    if (i++ == index) {
      auto launch = dyn_cast<planir::LaunchOp>(step);
      return launch ? launch.getName().str() : "";
    }
  }
  return "";
}

Peak findPeak(const PlacementModel &model, const Choice &choice,
              ModuleOp module) {
  Peak peak;
  Streaming streaming = model.stream(choice);
  for (auto [entry, plan] :
       llvm::zip_equal(model.entries, streaming.schedules)) {
    std::vector<solver::Buffer> buffers = model.region(entry, plan);
    for (uint32_t piece = 0; piece < plan.pieces.size(); ++piece) {
      uint32_t step = plan.pieces[piece].step;
      uint32_t at = plan.newIndex[piece];
      uint64_t live = 0;
      for (const solver::Buffer &buffer : buffers) {
        live += buffer.start <= at && at < buffer.end ? buffer.size : 0;
      }
      if (live <= peak.bytes) {
        continue;
      }
      planir::EntryOp op = entry.op;
      peak = {op.getSymName().str(), stepName(op, step), live, {}};
      for (size_t i = 0; i < buffers.size(); ++i) {
        if (buffers[i].start > at || at >= buffers[i].end) {
          continue;
        }
        BufferOp holder;
        if (i < entry.activations.size()) {
          holder = entry.activations[i].op;
        } else {
          size_t rest = i - entry.activations.size();
          for (const auto *groups : {&plan.groups, &plan.gathers}) {
            for (const StreamGroup &group : *groups) {
              for (const StreamRange &range : group.ranges) {
                // The slots of restores are among the activations.
                if (!range.isRestore && !holder && rest-- == 0) {
                  holder = model.weights[range.weight].op;
                }
              }
            }
          }
          assert(holder && "the minimum plan carries nothing");
        }
        peak.holders.push_back({holder.getSymName().str(), buffers[i].size});
      }
    }
  }
  // What is always there belongs to the answer as well.
  uint64_t state = 0;
  for (auto buffer : module.getOps<BufferOp>()) {
    if (buffer.getKind() == Kind::State &&
        buffer.getTier() == planir::Tier::Device) {
      state += padded(buffer.getSize());
    }
  }
  uint64_t always = model.fixedBytes - state +
                    padded(model.gatheredRows(choice) * sizeof(int64_t));
  for (size_t i = 0; i < model.weights.size(); ++i) {
    always += choice.resident[i] ? padded(model.weights[i].size) : 0;
  }
  if (state) {
    peak.holders.push_back({"state (KV cache)", state});
  }
  if (always) {
    peak.holders.push_back({"weights and constants that stay", always});
  }
  peak.bytes += state + always;
  std::sort(peak.holders.begin(), peak.holders.end(),
            [](const Holder &a, const Holder &b) {
              return std::pair(b.bytes, a.name) < std::pair(a.bytes, b.name);
            });
  return peak;
}

/// What would make the minimum smaller, the largest part first.
std::vector<std::string> advise(const PlacementModel &model, const Peak &peak,
                                ModuleOp module) {
  uint64_t state = 0;
  uint64_t weights = 0;
  uint64_t activations = 0;
  for (const Holder &holder : peak.holders) {
    StringRef name = holder.name;
    if (name == "state (KV cache)") {
      state += holder.bytes;
    } else if (name.starts_with("weight.")) {
      weights += holder.bytes;
    } else if (name.starts_with(peak.entry + ".")) {
      activations += holder.bytes;
    }
  }
  std::vector<std::pair<uint64_t, std::string>> advice;
  if (state) {
    advice.push_back({state, "a smaller --ctx shrinks the KV cache, " +
                                 std::to_string(state) + " bytes"});
  }
  if (activations) {
    bool prefill = peak.entry == "prefill";
    advice.push_back(
        {activations, std::string(prefill ? "a smaller --prefill-chunk"
                                          : "smaller bounds (--dim, --batch)") +
                          " shrinks the activations of " + peak.entry + ", " +
                          std::to_string(activations) + " bytes"});
  }
  if (weights) {
    advice.push_back({weights, "--quantize int8 shrinks the largest weight "
                               "streamed at the peak, " +
                                   std::to_string(weights) + " bytes"});
  }
  std::sort(advice.begin(), advice.end(),
            [](const auto &a, const auto &b) { return a.first > b.first; });
  std::vector<std::string> lines;
  for (auto &[bytes, line] : advice) {
    lines.push_back(line);
  }
  return lines;
}

} // namespace

void reportInfeasible(ModuleOp module, const PlacementModel &model,
                      const MinimumPlan &minimum, uint64_t budget) {
  Peak peak = findPeak(model, minimum.choice, module);
  std::vector<std::string> advice = advise(model, peak, module);
  Builder b(module.getContext());
  constexpr size_t kListed = 8;
  SmallVector<Attribute> tensors;
  std::string largest;
  for (const Holder &holder : peak.holders) {
    if (tensors.size() == kListed) {
      break;
    }
    tensors.push_back(b.getDictionaryAttr(
        {b.getNamedAttr("name", b.getStringAttr(holder.name)),
         b.getNamedAttr("bytes", b.getI64IntegerAttr(
                                     static_cast<int64_t>(holder.bytes)))}));
    if (tensors.size() <= 3) {
      largest += (largest.empty() ? "" : ", ") + holder.name + " (" +
                 std::to_string(holder.bytes) + " bytes)";
    }
  }
  SmallVector<Attribute> lines;
  for (const std::string &line : advice) {
    lines.push_back(b.getStringAttr(line));
  }
  std::string step = peak.entry + ": " + peak.step;
  module->setAttr(kInfeasibleAttr,
                  b.getDictionaryAttr(
                      {b.getNamedAttr("minimum_bytes",
                                      b.getI64IntegerAttr(
                                          static_cast<int64_t>(minimum.bytes))),
                       b.getNamedAttr("peak_step", b.getStringAttr(step)),
                       b.getNamedAttr("peak_tensors", b.getArrayAttr(tensors)),
                       b.getNamedAttr("advice", b.getArrayAttr(lines))}));
  mlir::emitError(module.getLoc())
      << "the budget of " << budget << " bytes cannot be met: at least "
      << minimum.bytes << " bytes are needed, at step '" << step << "' for "
      << largest << (advice.empty() ? "" : "; ")
      << (advice.empty() ? "" : advice.front());
}

} // namespace llmc::memory
