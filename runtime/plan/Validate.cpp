//===- Validate.cpp - Every index of a plan leads somewhere ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Validate.h"

#include <algorithm>
#include <cmath>

namespace llmc::plan {

/// Names come from models and go into messages and file names.
static constexpr size_t kMaxName = 1 << 16;

std::string describeStep(const Entry &entry, size_t index) {
  const Step &step = entry.steps[index];
  std::string kind;
  switch (step.kind) {
  case StepKind::Launch:
    kind = name(step.kernel);
    break;
  case StepKind::Copy:
    kind = "copy";
    break;
  case StepKind::Signal:
    kind = "signal";
    break;
  case StepKind::Wait:
    kind = "wait";
    break;
  case StepKind::Restore:
    kind = "restore";
    break;
  case StepKind::Spill:
    kind = "spill";
    break;
  case StepKind::SwapOut:
    kind = "swap out";
    break;
  case StepKind::SwapIn:
    kind = "swap in";
    break;
  }
  return "entry '" + entry.name + "', step " + std::to_string(index) + " (" +
         kind + (step.name.empty() ? "" : ", " + step.name) + ")";
}

namespace {

class Validator {
public:
  explicit Validator(const Plan &plan) : plan(plan) {}
  Result<void> run();

private:
  Error bad(std::string where, std::string what) const {
    return {ErrorCode::PlanMalformed,
            "damaged plan: " + std::move(where) + ": " + std::move(what)};
  }
  static std::string outOf(uint64_t value, uint64_t count, const char *noun) {
    return std::string(noun) + " " + std::to_string(value) + " of " +
           std::to_string(count);
  }
  /// Whether [offset, offset + size) does not wrap, with room for rounding up.
  static bool fits(uint64_t offset, uint64_t size) {
    uint64_t end;
    return !__builtin_add_overflow(offset, size, &end) &&
           end <= uint64_t(INT64_MAX) - kSegmentAlignment;
  }

  Result<void> checkModel() const;
  Result<void> checkSegments() const;
  Result<void> checkBuffers() const;
  Result<void> checkStates() const;
  Result<void> checkCarried() const;
  Result<void> checkEntry(const Entry &entry) const;
  Result<void> checkPort(const Entry &entry, const Port &port) const;
  Result<void> checkOperands(const Entry &entry, const std::string &where,
                             const Step &step) const;
  Result<void> checkRows(const Entry &entry, const std::string &where,
                         const Step &step) const;
  Result<void> checkStep(const Entry &entry, size_t index) const;
  Result<void> checkExprs(const Entry &entry, const std::string &where,
                          const std::vector<uint32_t> &indices) const;

  const Plan &plan;
};

} // namespace

Result<void> Validator::checkModel() const {
  if (plan.context < 0 || plan.batch < 0 || plan.vocabulary < 0) {
    return bad("model", "negative context, batch or vocabulary");
  }
  for (const std::string *text :
       {&plan.producer, &plan.modelName, &plan.target, &plan.arch,
        &plan.options, &plan.weightsFile}) {
    if (text->size() > kMaxName || text->find('\0') != std::string::npos) {
      return bad("model", "a name is too long or contains a zero byte");
    }
  }
  return {};
}

Result<void> Validator::checkSegments() const {
  for (const Segment &segment : plan.segments) {
    std::string where = "segment '" + segment.name + "'";
    if (segment.name.size() > kMaxName) {
      return bad("segments", "a name is too long");
    }
    if (!fits(segment.offset, segment.size)) {
      return bad(where, "offset " + std::to_string(segment.offset) +
                            " + size " + std::to_string(segment.size) +
                            " is out of range");
    }
  }
  return {};
}

Result<void> Validator::checkBuffers() const {
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.name.size() > kMaxName) {
      return bad("buffers", "a name is too long");
    }
    std::string where = "buffer '" + buffer.name + "'";
    if (buffer.kind > BufferKind::Workspace || buffer.tier > Tier::Disk) {
      return bad(where, "unknown kind " + std::to_string(int(buffer.kind)) +
                            " or tier " + std::to_string(int(buffer.tier)));
    }
    if (!fits(buffer.offset, buffer.size)) {
      return bad(where, "offset " + std::to_string(buffer.offset) + " + size " +
                            std::to_string(buffer.size) + " is out of range");
    }
    if (buffer.segment != kNone && buffer.segment >= plan.segments.size()) {
      return bad(where, outOf(buffer.segment, plan.segments.size(), "segment"));
    }
    bool lasting = buffer.kind <= BufferKind::Constant;
    if (lasting != (buffer.entry == kNone)) {
      return bad(where, lasting ? "a lasting buffer belongs to an entry"
                                : "belongs to no entry");
    }
    if (lasting) {
      continue;
    }
    if (buffer.entry >= plan.entries.size()) {
      return bad(where, outOf(buffer.entry, plan.entries.size(), "entry"));
    }
    size_t steps = plan.entries[buffer.entry].steps.size();
    if (buffer.start > buffer.end || buffer.end > std::max<size_t>(steps, 1)) {
      return bad(where, "lifetime [" + std::to_string(buffer.start) + ", " +
                            std::to_string(buffer.end) + ") in an entry of " +
                            std::to_string(steps) + " steps");
    }
  }
  for (const Plan::ConstantData &constant : plan.constants) {
    if (constant.buffer >= plan.buffers.size()) {
      return bad("constants",
                 outOf(constant.buffer, plan.buffers.size(), "buffer"));
    }
  }
  return {};
}

Result<void> Validator::checkStates() const {
  for (const State &state : plan.states) {
    if (state.name.size() > kMaxName || state.outputName.size() > kMaxName) {
      return bad("states", "a name is too long");
    }
    std::string where = "state '" + state.name + "'";
    if (int(state.dtype) >= kNumDTypes) {
      return bad(where, "unknown dtype " + std::to_string(int(state.dtype)));
    }
    if (state.buffer >= plan.buffers.size()) {
      return bad(where, outOf(state.buffer, plan.buffers.size(), "buffer"));
    }
    if (state.spill != kNone && state.spill >= plan.buffers.size()) {
      return bad(where, outOf(state.spill, plan.buffers.size(), "buffer"));
    }
    if (state.capacity < 0 || state.blockTokens < 1) {
      return bad(where, "capacity " + std::to_string(state.capacity) +
                            ", tokens per block " +
                            std::to_string(state.blockTokens));
    }
    if (state.sinkBlocks < 0 || state.ringBlocks < 0 ||
        state.sinkBlocks > state.capacity ||
        state.ringBlocks > state.capacity ||
        (state.ringBlocks == 0 && state.sinkBlocks != 0)) {
      return bad(where, "a ring of " + std::to_string(state.ringBlocks) +
                            " blocks behind " +
                            std::to_string(state.sinkBlocks));
    }
    if (state.outer.size() + state.inner.size() + 1 > kMaxOperandRank) {
      return bad(where, "its rank is above " + std::to_string(kMaxOperandRank));
    }
    for (const std::vector<int64_t> *dims : {&state.outer, &state.inner}) {
      for (int64_t dim : *dims) {
        if (dim < 0) {
          return bad(where, "dimension " + std::to_string(dim));
        }
      }
    }
  }
  return {};
}

Result<void> Validator::checkCarried() const {
  for (const CarriedSlot &slot : plan.carried) {
    if (slot.segment >= plan.segments.size()) {
      return bad("carried slots",
                 outOf(slot.segment, plan.segments.size(), "segment"));
    }
    if (!fits(slot.sourceOffset, slot.bytes) ||
        !fits(slot.offset, slot.bytes)) {
      return bad("carried slots", "a byte range is out of range");
    }
  }
  for (const Entry &entry : plan.entries) {
    if (entry.carried.size() != plan.carried.size()) {
      return bad("entry '" + entry.name + "'",
                 std::to_string(entry.carried.size()) + " carried slots of " +
                     std::to_string(plan.carried.size()));
    }
    for (const CarriedUse &use : entry.carried) {
      for (uint32_t buffer : {use.first, use.last}) {
        if (buffer >= plan.buffers.size()) {
          return bad("entry '" + entry.name + "', carried slots",
                     outOf(buffer, plan.buffers.size(), "buffer"));
        }
      }
    }
  }
  return {};
}

Result<void> Validator::checkExprs(const Entry &entry, const std::string &where,
                                   const std::vector<uint32_t> &indices) const {
  for (uint32_t index : indices) {
    if (index >= entry.exprs.size()) {
      return bad(where, outOf(index, entry.exprs.size(), "expression"));
    }
  }
  return {};
}

Result<void> Validator::checkPort(const Entry &entry, const Port &port) const {
  if (port.name.size() > kMaxName) {
    return bad("entry '" + entry.name + "'", "a port's name is too long");
  }
  std::string where = "entry '" + entry.name + "', port '" + port.name + "'";
  if (port.role > PortRole::State || int(port.dtype) >= kNumDTypes) {
    return bad(where, "unknown role " + std::to_string(int(port.role)) +
                          " or dtype " + std::to_string(int(port.dtype)));
  }
  if (port.dims.size() > kMaxOperandRank) {
    return bad(where, "rank " + std::to_string(port.dims.size()) +
                          " is above " + std::to_string(kMaxOperandRank));
  }
  if (port.role == PortRole::State) {
    if (port.state >= plan.states.size()) {
      return bad(where, outOf(port.state, plan.states.size(), "state"));
    }
  } else if (port.buffer >= plan.buffers.size()) {
    return bad(where, outOf(port.buffer, plan.buffers.size(), "buffer"));
  }
  if (port.buffer != kNone && port.buffer >= plan.buffers.size()) {
    return bad(where, outOf(port.buffer, plan.buffers.size(), "buffer"));
  }
  return checkExprs(entry, where, port.dims);
}

Result<void> Validator::checkOperands(const Entry &entry,
                                      const std::string &where,
                                      const Step &step) const {
  for (const Operand &operand : step.operands) {
    if (operand.buffer >= plan.buffers.size()) {
      return bad(where, outOf(operand.buffer, plan.buffers.size(), "buffer"));
    }
    if (operand.access > Access::ReadWrite ||
        int(operand.dtype) >= kNumDTypes ||
        operand.packing > Packing::Panel64) {
      return bad(where, "unknown access, dtype or packing of an operand");
    }
    if (operand.dims.size() > kMaxOperandRank) {
      return bad(where, "an operand of rank " +
                            std::to_string(operand.dims.size()) + ", at most " +
                            std::to_string(kMaxOperandRank));
    }
    if (Result<void> good = checkExprs(entry, where, operand.dims); !good) {
      return good;
    }
  }
  return {};
}

/// What only a copy that gathers rows has.
Result<void> Validator::checkRows(const Entry &entry, const std::string &where,
                                  const Step &step) const {
  size_t ints = step.gathersRows() ? 2 : 0;
  if (step.operands.size() > 1 || step.ints.size() != ints ||
      !step.params.empty() || !step.floats.empty()) {
    return bad(where, "a copy has " + std::to_string(step.operands.size()) +
                          " operands and " + std::to_string(step.ints.size()) +
                          " ints");
  }
  if (!step.gathersRows()) {
    return {};
  }
  int64_t rows = step.ints[0], rowBytes = step.ints[1];
  uint64_t size;
  if (rows <= 0 || rowBytes <= 0 ||
      __builtin_mul_overflow(uint64_t(rows), uint64_t(rowBytes), &size) ||
      !fits(step.sourceOffset, size)) {
    return bad(where, std::to_string(rows) + " rows of " +
                          std::to_string(rowBytes) + " bytes");
  }
  return checkOperands(entry, where, step);
}

Result<void> Validator::checkStep(const Entry &entry, size_t index) const {
  const Step &step = entry.steps[index];
  if (step.name.size() > kMaxName) {
    return bad("entry '" + entry.name + "'", "a step's name is too long");
  }
  std::string where = describeStep(entry, index);
  if (step.kind > StepKind::SwapIn || step.stream > Stream::Copy) {
    return bad(where, "unknown kind " + std::to_string(int(step.kind)) +
                          " or stream " + std::to_string(int(step.stream)));
  }
  switch (step.kind) {
  case StepKind::Launch:
    if (static_cast<unsigned>(step.kernel) >= kNumKernels) {
      return bad(where, outOf(static_cast<unsigned>(step.kernel), kNumKernels,
                              "kernel"));
    }
    if (Result<void> good = checkOperands(entry, where, step); !good) {
      return good;
    }
    return checkExprs(entry, where, step.params);
  case StepKind::Copy:
    if (step.segment >= plan.segments.size()) {
      return bad(where, outOf(step.segment, plan.segments.size(), "segment"));
    }
    if (step.buffer >= plan.buffers.size()) {
      return bad(where, outOf(step.buffer, plan.buffers.size(), "buffer"));
    }
    if (!fits(step.sourceOffset, step.bytes) ||
        !fits(step.targetOffset, step.bytes)) {
      return bad(where, "its byte ranges are out of range");
    }
    return checkRows(entry, where, step);
  case StepKind::Restore:
  case StepKind::Spill:
    if (step.state >= plan.states.size()) {
      return bad(where, outOf(step.state, plan.states.size(), "state"));
    }
    if (step.buffer >= plan.buffers.size()) {
      return bad(where, outOf(step.buffer, plan.buffers.size(), "buffer"));
    }
    return {};
  case StepKind::SwapOut:
  case StepKind::SwapIn:
    for (uint32_t buffer : {step.buffer, step.below}) {
      if (buffer >= plan.buffers.size()) {
        return bad(where, outOf(buffer, plan.buffers.size(), "buffer"));
      }
    }
    if (!fits(step.targetOffset, step.bytes)) {
      return bad(where, "its byte range is out of range");
    }
    return {};
  case StepKind::Signal:
  case StepKind::Wait:
    if (step.event >= entry.numEvents) {
      return bad(where, outOf(step.event, entry.numEvents, "event"));
    }
    return {};
  }
  return {};
}

Result<void> Validator::checkEntry(const Entry &entry) const {
  if (entry.name.size() > kMaxName || entry.boundBy.size() > kMaxName) {
    return bad("entries", "a name is too long");
  }
  std::string where = "entry '" + entry.name + "'";
  // The executor keeps one flag per event and each needs its signal step.
  if (entry.numEvents > entry.steps.size()) {
    return bad(where, std::to_string(entry.numEvents) + " events, but only " +
                          std::to_string(entry.steps.size()) + " steps");
  }
  for (const Symbol &symbol : entry.symbols) {
    if (symbol.name.size() > kMaxName) {
      return bad(where, "a symbol's name is too long");
    }
    if (symbol.lower > symbol.upper) {
      return bad(where, "symbol '" + symbol.name + "' has bounds " +
                            std::to_string(symbol.lower) + " .. " +
                            std::to_string(symbol.upper));
    }
  }
  for (size_t i = 0; i < entry.exprs.size(); ++i) {
    const ExprNode &node = entry.exprs[i];
    bool leaf = node.op == ExprOp::Constant;
    uint64_t limit = node.op == ExprOp::Symbol ? entry.symbols.size() : i;
    if (node.op > ExprOp::Max || (!leaf && node.a >= limit) ||
        (node.op > ExprOp::Symbol && node.b >= limit)) {
      return bad(where, "expression " + std::to_string(i) +
                            " has an unknown operation or refers to " +
                            std::to_string(node.a) + ", " +
                            std::to_string(node.b));
    }
  }
  if (entry.newTokens != kNone && entry.newTokens >= entry.exprs.size()) {
    return bad(where, outOf(entry.newTokens, entry.exprs.size(), "expression"));
  }
  if (!std::isfinite(entry.predictedSeconds)) {
    return bad(where, "its predicted time is not a number");
  }
  for (const std::vector<Port> *ports : {&entry.inputs, &entry.outputs}) {
    for (const Port &port : *ports) {
      if (Result<void> good = checkPort(entry, port); !good) {
        return good;
      }
    }
  }
  for (const DerivedInput &input : entry.derived) {
    if (input.name.size() > kMaxName || input.kind > DerivedKind::Empty) {
      return bad(where, "a derived input of unknown kind or too long a name");
    }
  }
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    if (Result<void> good = checkStep(entry, i); !good) {
      return good;
    }
  }
  return {};
}

Result<void> Validator::run() {
  for (Result<void> result : {checkModel(), checkSegments(), checkBuffers(),
                              checkStates(), checkCarried()}) {
    if (!result) {
      return result;
    }
  }
  for (const Entry &entry : plan.entries) {
    if (Result<void> good = checkEntry(entry); !good) {
      return good;
    }
  }
  return validateCode(plan.code);
}

Result<void> validate(const Plan &plan) { return Validator(plan).run(); }

} // namespace llmc::plan
