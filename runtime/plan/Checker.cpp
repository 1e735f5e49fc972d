//===- Checker.cpp - The proof that a plan is safe to run -----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Checker.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/Bounds.h"
#include "runtime/plan/CheckCarried.h"
#include "runtime/plan/CheckCoverage.h"
#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/CheckMemory.h"
#include "runtime/plan/CheckStreams.h"
#include "runtime/plan/CheckSwaps.h"
#include "runtime/plan/CheckTransitions.h"
#include "runtime/plan/Report.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

/// The indices of a copy that gathers rows: a tensor that the copy reads.
static Result<TouchedRange> checkIndices(const Plan &plan, const Entry &entry,
                                         const EntryBounds &bounds,
                                         const EntryPolynomials &sizes,
                                         size_t index) {
  const Step &step = entry.steps[index];
  const Operand &operand = step.operands[0];
  const Buffer &buffer = plan.buffers[operand.buffer];
  std::string where = describeStep(entry, index) + ": its indices (buffer '" +
                      buffer.name + "')";
  if ((operand.dtype != DType::I64 && operand.dtype != DType::I32) ||
      operand.access != Access::Read || operand.packing != Packing::Raw ||
      operand.offset * 8 % bitWidth(operand.dtype) != 0 ||
      buffer.kind == BufferKind::State || buffer.tier != Tier::Device) {
    return unsafe(where + " are not a dense tensor of integers on the device "
                          "that is read");
  }
  std::optional<uint64_t> bytes =
      tensorBytes(bounds, operand.dtype, operand.dims);
  uint64_t end;
  if (!bytes || __builtin_add_overflow(operand.offset, *bytes, &end) ||
      end > buffer.size) {
    return unsafe(where + " need " + (bytes ? std::to_string(*bytes) : "many") +
                  " bytes from byte " + std::to_string(operand.offset) +
                  " on, the buffer has " + std::to_string(buffer.size));
  }
  uint64_t count = *bytes * 8 / bitWidth(operand.dtype);
  uint64_t written;
  if (__builtin_mul_overflow(count, uint64_t(step.ints[1]), &written) ||
      written != step.bytes) {
    return unsafe(where + " are up to " + std::to_string(count) +
                  ", which is not what " + std::to_string(step.bytes) +
                  " bytes of rows of " + std::to_string(step.ints[1]) +
                  " hold");
  }
  if (operand.buffer == step.buffer &&
      operand.offset < step.targetOffset + step.bytes &&
      step.targetOffset < end) {
    return unsafe(where + " are overwritten by the rows");
  }
  return TouchedRange{operand.buffer,
                      {operand.offset, end},
                      true,
                      false,
                      tensorSize(sizes, operand.dtype, operand.dims),
                      std::nullopt};
}

/// A copy stays in its segment and its slot.
static Result<TouchedRange> checkCopy(const Plan &plan, const Entry &entry,
                                      size_t index) {
  const Step &step = entry.steps[index];
  const Segment &segment = plan.segments[step.segment];
  const Buffer &buffer = plan.buffers[step.buffer];
  // validate(): no sum wraps, nor does the product.
  uint64_t read = step.gathersRows()
                      ? uint64_t(step.ints[0]) * uint64_t(step.ints[1])
                      : step.bytes;
  if (step.sourceOffset + read > segment.size) {
    return unsafe(describeStep(entry, index) + ": copies bytes [" +
                  std::to_string(step.sourceOffset) + ", " +
                  std::to_string(step.sourceOffset + read) + ") of segment '" +
                  segment.name + "', which has " +
                  std::to_string(segment.size));
  }
  if (step.targetOffset + step.bytes > buffer.size) {
    return unsafe(describeStep(entry, index) + ": copies to bytes [" +
                  std::to_string(step.targetOffset) + ", " +
                  std::to_string(step.targetOffset + step.bytes) +
                  ") of buffer '" + buffer.name + "', which has " +
                  std::to_string(buffer.size));
  }
  if (buffer.kind != BufferKind::Staging || buffer.tier == Tier::Disk) {
    return unsafe(describeStep(entry, index) + ": copies into buffer '" +
                  buffer.name + "' of kind " + std::string(name(buffer.kind)) +
                  ", which is not a staging slot");
  }
  ByteRange bytes{step.targetOffset, step.targetOffset + step.bytes};
  return TouchedRange{step.buffer,
                      bytes,
                      false,
                      true,
                      std::nullopt,
                      Writing{Polynomial(int64_t(bytes.begin)),
                              Polynomial(int64_t(bytes.end))}};
}

/// Blocks that move between a slot and the spill file exist and fit. Which of
/// them when is checkTokens' to say.
static Result<TouchedRange> checkBlocks(const Plan &plan, const Entry &entry,
                                        size_t index) {
  const Step &step = entry.steps[index];
  const State &state = plan.states[step.state];
  const Buffer &buffer = plan.buffers[step.buffer];
  std::string where = describeStep(entry, index);
  if (state.spill == kNone) {
    return unsafe(where + ": state '" + state.name + "' is not spilled");
  }
  std::optional<uint64_t> block = blockBytes(state);
  uint64_t total = blocksOf(state);
  if (!block || *block == 0 || step.bytes == 0 || step.bytes % *block != 0 ||
      step.firstBlock < uint64_t(state.residentBlocks) ||
      step.firstBlock >= total ||
      step.bytes / *block > total - step.firstBlock) {
    return unsafe(
        where + ": " + std::to_string(step.bytes) + " bytes from block " +
        std::to_string(step.firstBlock) + " on are not blocks that state '" +
        state.name + "' spills: it has " + std::to_string(total) + " of " +
        (block ? std::to_string(*block) : "too many") + " bytes, the first " +
        std::to_string(state.residentBlocks) + " resident");
  }
  if (buffer.kind != BufferKind::Staging || buffer.tier != Tier::Device ||
      step.targetOffset != 0 || step.bytes > buffer.size) {
    return unsafe(where + ": " + std::to_string(step.bytes) +
                  " bytes at byte " + std::to_string(step.targetOffset) +
                  " of buffer '" + buffer.name +
                  "', which is no slot of that size");
  }
  bool isSpill = step.kind == StepKind::Spill;
  if (isSpill && step.stream != Stream::Compute) {
    return unsafe(where + ": a spill that is not on the compute stream");
  }
  TouchedRange range{step.buffer, {0, step.bytes}, isSpill, !isSpill, {}, {}};
  range.holdsTokens = true;
  return range;
}

/// What a step touches is live at that step.
static Result<void> checkLive(const Plan &plan, uint32_t entryIndex,
                              size_t index,
                              const std::vector<TouchedRange> &ranges) {
  const Entry &entry = plan.entries[entryIndex];
  for (const TouchedRange &range : ranges) {
    const Buffer &buffer = plan.buffers[range.buffer];
    if (buffer.entry == kNone) {
      continue;
    }
    if (buffer.entry != entryIndex) {
      return unsafe(describeStep(entry, index) + ": touches buffer '" +
                    buffer.name + "' of entry '" +
                    plan.entries[buffer.entry].name + "'");
    }
    if (index < buffer.start || index >= buffer.end) {
      return unsafe(describeStep(entry, index) + ": touches buffer '" +
                    buffer.name + "', which is live in [" +
                    std::to_string(buffer.start) + ", " +
                    std::to_string(buffer.end) + ")");
    }
  }
  return {};
}

static Result<void> checkPorts(const Plan &plan, uint32_t entryIndex,
                               const EntryBounds &bounds) {
  const Entry &entry = plan.entries[entryIndex];
  auto check = [&](const Port &port, bool isInput) -> Result<void> {
    if (port.role == PortRole::State) {
      return isInput ? Result<void>(unsafe("entry '" + entry.name +
                                           "': input '" + port.name +
                                           "' has the role of a final state"))
                     : Result<void>();
    }
    const Buffer &buffer = plan.buffers[port.buffer];
    std::string where = "entry '" + entry.name +
                        "': " + (isInput ? "input '" : "output '") + port.name +
                        "' (buffer '" + buffer.name + "')";
    std::optional<uint64_t> bytes = tensorBytes(bounds, port.dtype, port.dims);
    if (!bytes || *bytes > buffer.size) {
      return unsafe(where + " needs " +
                    (bytes ? std::to_string(*bytes) : "too many") +
                    " bytes, the buffer has " + std::to_string(buffer.size));
    }
    if (buffer.tier != Tier::Device ||
        (buffer.entry != kNone && buffer.entry != entryIndex)) {
      return unsafe(where + " does not lie on the device or belongs to " +
                    "another entry");
    }
    if (isInput && (buffer.kind != BufferKind::Input || buffer.start != 0)) {
      return unsafe(where + " is not a buffer of kind input that lives from " +
                    "step 0");
    }
    bool lastsToTheEnd =
        buffer.entry == kNone || buffer.end >= entry.steps.size();
    if (!isInput && (!lastsToTheEnd || buffer.kind == BufferKind::State)) {
      return unsafe(where + " is not live after the last step, or is a state");
    }
    return {};
  };
  std::vector<bool> filled(plan.buffers.size());
  for (const Port &port : entry.inputs) {
    if (Result<void> good = check(port, true); !good) {
      return good;
    }
    if (filled[port.buffer]) {
      return unsafe("entry '" + entry.name + "': input '" + port.name +
                    "' overwrites another input in buffer '" +
                    plan.buffers[port.buffer].name + "'");
    }
    filled[port.buffer] = true;
  }
  for (const Port &port : entry.outputs) {
    if (Result<void> good = check(port, false); !good) {
      return good;
    }
  }
  return {};
}

/// Every symbol that is not fixed is bound by an input's dimension.
static Result<void> checkSymbols(const Entry &entry) {
  std::vector<bool> bound(entry.symbols.size());
  for (const Port &port : entry.inputs) {
    for (uint32_t dim : port.dims) {
      if (entry.exprs[dim].op == ExprOp::Symbol) {
        bound[entry.exprs[dim].a] = true;
      }
    }
  }
  for (const ExprNode &node : entry.exprs) {
    if (node.op != ExprOp::Symbol) {
      continue;
    }
    const Symbol &symbol = entry.symbols[node.a];
    if (symbol.lower < 0) {
      return unsafe("entry '" + entry.name + "': symbol '" + symbol.name +
                    "' may be negative: " + std::to_string(symbol.lower));
    }
    if (!symbol.isPast && symbol.lower != symbol.upper && !bound[node.a]) {
      return unsafe("entry '" + entry.name + "': symbol '" + symbol.name +
                    "' is a dimension of no input");
    }
  }
  return {};
}

static Result<Certificate::EntryFigures> checkEntry(const Plan &plan,
                                                    uint32_t entryIndex) {
  const Entry &entry = plan.entries[entryIndex];
  Result<EntryBounds> bounds = EntryBounds::compute(plan, entry);
  if (!bounds) {
    return bounds.error();
  }
  if (Result<void> good = checkSymbols(entry); !good) {
    return good.error();
  }
  if (Result<void> good = checkPorts(plan, entryIndex, *bounds); !good) {
    return good.error();
  }
  if (Result<void> good = checkOverlap(plan, entryIndex); !good) {
    return good.error();
  }
  if (Result<void> good = checkSwaps(plan, entryIndex); !good) {
    return good.error();
  }
  EntryPolynomials sizes(entry, *bounds);
  Certificate::EntryFigures figures;
  figures.name = entry.name;
  figures.steps = entry.steps.size();
  figures.events = entry.numEvents;
  StepRanges ranges(entry.steps.size());
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    if (entry.steps[i].kind == StepKind::Launch) {
      Result<std::vector<TouchedRange>> touched =
          checkLaunch(plan, entry, *bounds, sizes, i);
      if (!touched) {
        return touched.error();
      }
      ranges[i] = std::move(*touched);
      ++figures.launches;
      figures.operands += ranges[i].size();
    } else if (entry.steps[i].kind == StepKind::Copy) {
      Result<TouchedRange> touched = checkCopy(plan, entry, i);
      if (!touched) {
        return touched.error();
      }
      if (entry.steps[i].gathersRows()) {
        Result<TouchedRange> indices =
            checkIndices(plan, entry, *bounds, sizes, i);
        if (!indices) {
          return indices.error();
        }
        ranges[i].push_back(*indices);
      }
      ranges[i].push_back(*touched);
      ++figures.copies;
      if (__builtin_add_overflow(figures.streamedBytes, entry.steps[i].bytes,
                                 &figures.streamedBytes)) {
        return unsafe("entry '" + entry.name + "': streamed bytes overflow");
      }
    }
    if (entry.steps[i].kind == StepKind::Restore ||
        entry.steps[i].kind == StepKind::Spill) {
      Result<TouchedRange> touched = checkBlocks(plan, entry, i);
      if (!touched) {
        return touched.error();
      }
      ranges[i].push_back(*touched);
    }
    if (isSwap(entry.steps[i])) {
      ranges[i] = swapRanges(entry.steps[i]);
    }
    if (Result<void> good = checkLive(plan, entryIndex, i, ranges[i]); !good) {
      return good.error();
    }
  }
  if (Result<void> good = checkInitialized(plan, entryIndex, sizes, ranges);
      !good) {
    return good.error();
  }
  Result<uint64_t> appends = checkTokens(plan, entry, sizes);
  if (!appends) {
    return appends.error();
  }
  figures.appends = *appends;
  if (Result<void> good = checkCarried(plan, entryIndex); !good) {
    return good.error();
  }
  if (Result<void> good = checkStreams(plan, entry, ranges); !good) {
    return good.error();
  }
  if (figures.streamedBytes != entry.streamedBytes) {
    return unsafe("entry '" + entry.name + "': copies move " +
                  std::to_string(figures.streamedBytes) +
                  " bytes, the plan says " +
                  std::to_string(entry.streamedBytes));
  }
  HighWater water = highWater(plan, entryIndex);
  figures.peakLiveBytes = water.liveBytes;
  figures.peakStep = water.liveStep;
  figures.highWaterBytes = water.extentBytes;
  return figures;
}

Result<Certificate> check(const Plan &plan) {
  if (Result<void> good = validate(plan); !good) {
    return good.error();
  }
  for (auto part : {checkSegments, checkBuffers, checkTotals, checkLasting,
                    checkCarriedSlots}) {
    if (Result<void> good = part(plan); !good) {
      return good.error();
    }
  }
  Certificate certificate;
  certificate.buffers = plan.buffers.size();
  certificate.segments = plan.segments.size();
  certificate.arenaBytes = plan.totals.arenaBytes;
  certificate.deviceBytes = plan.totals.deviceBytes;
  certificate.budgetBytes = plan.totals.budgetBytes;
  Certificate::Transitions &transitions = certificate.transitions;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.entry == kNone && buffer.tier == Tier::Device) {
      transitions.lastingBytes += buffer.size;
      transitions.highWaterBytes =
          std::max(transitions.highWaterBytes, buffer.offset + buffer.size);
    }
  }
  for (uint32_t i = 0; i < plan.entries.size(); ++i) {
    Result<Certificate::EntryFigures> figures = checkEntry(plan, i);
    if (!figures) {
      return figures.error();
    }
    // An entry starts when all steps of the one before are done, so what is
    // live in a transition is live in one of the two.
    transitions.highWaterBytes =
        std::max(transitions.highWaterBytes, figures->highWaterBytes);
    transitions.pairs += plan.entries.size();
    transitions.cases += plan.entries.size() * (figures->steps + 1);
    certificate.entries.push_back(std::move(*figures));
  }
  if (Result<void> good = checkRings(plan); !good) {
    return good.error();
  }
  return certificate;
}

std::string Certificate::text() const {
  std::string out;
  auto amount = [](uint64_t bytes) {
    return std::to_string(bytes) +
           (bytes < 1024 ? " bytes" : " bytes (" + formatBytes(bytes) + ")");
  };
  for (const EntryFigures &e : entries) {
    out += "entry " + e.name + ": " + std::to_string(e.steps) + " steps, " +
           std::to_string(e.launches) + " launches, " +
           std::to_string(e.copies) + " copies of " + amount(e.streamedBytes) +
           ", " + std::to_string(e.operands) + " operands, " +
           std::to_string(e.appends) + " appends to state; high water " +
           amount(e.highWaterBytes) + ", most live " + amount(e.peakLiveBytes) +
           " at step " + std::to_string(e.peakStep) + "\n";
  }
  out += std::to_string(buffers) + " buffers: in bounds, no overlap, no read " +
         "before its write or copy\n";
  out +=
      "transitions: " + std::to_string(transitions.pairs) +
      " pairs of entries, " + std::to_string(transitions.cases) +
      " with every step that the first may stop after; the next reads only " +
      amount(transitions.lastingBytes) +
      " of weights, constants and state before past, its inputs and what " +
      "it wrote; high water " + amount(transitions.highWaterBytes) + "\n";
  out +=
      "device " + amount(deviceBytes) +
      (budgetBytes == UINT64_MAX ? ", no budget"
                                 : " of a budget of " + amount(budgetBytes)) +
      "; high water " + amount(transitions.highWaterBytes) +
      " in an arena of " + amount(arenaBytes) + "\n";
  return out;
}

std::string Certificate::json() const {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const EntryFigures &e : entries) {
    list.push_back({{"name", e.name},
                    {"steps", e.steps},
                    {"launches", e.launches},
                    {"copies", e.copies},
                    {"events", e.events},
                    {"operands", e.operands},
                    {"appends", e.appends},
                    {"streamed_bytes", e.streamedBytes},
                    {"peak_live_bytes", e.peakLiveBytes},
                    {"peak_step", e.peakStep},
                    {"high_water_bytes", e.highWaterBytes}});
  }
  Json json = {{"verified", true},
               {"device_bytes", deviceBytes},
               {"budget_bytes",
                budgetBytes == UINT64_MAX ? Json(nullptr) : Json(budgetBytes)},
               {"arena_bytes", arenaBytes},
               {"high_water_bytes", transitions.highWaterBytes},
               {"transitions",
                {{"pairs", transitions.pairs},
                 {"cases", transitions.cases},
                 {"lasting_bytes", transitions.lastingBytes},
                 {"high_water_bytes", transitions.highWaterBytes}}},
               {"buffers", buffers},
               {"segments", segments},
               {"entries", std::move(list)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace llmc::plan
