//===- Schedule.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Schedule.h"

#include "runtime/plan/CheckKernels.h"

#include <algorithm>

using namespace llmc;
using namespace llmc::plan;

static int64_t floorDiv(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return (a % b != 0 && (a % b < 0) != (b < 0)) ? q - 1 : q;
}

// The checker has bounded every node, so nothing overflows; the unsigned
// detour only keeps a fault of the checker from being undefined behaviour.
static int64_t apply(ExprOp op, int64_t a, int64_t b) {
  switch (op) {
  case ExprOp::Add:
    return static_cast<int64_t>(uint64_t(a) + uint64_t(b));
  case ExprOp::Mul:
    return static_cast<int64_t>(uint64_t(a) * uint64_t(b));
  case ExprOp::FloorDiv:
    return b == 0 || b == -1 ? -a : floorDiv(a, b);
  case ExprOp::CeilDiv:
    return b == 0 || b == -1 ? -a : -floorDiv(-a, b);
  case ExprOp::Mod:
    return b == 0 || b == -1 ? 0 : a - b * floorDiv(a, b);
  case ExprOp::Min:
    return std::min(a, b);
  case ExprOp::Max:
    return std::max(a, b);
  case ExprOp::Constant:
  case ExprOp::Symbol:
    break;
  }
  return 0;
}

uint8_t *llmc::bufferAddress(const Plan &plan, uint32_t buffer,
                             const TierMemory &memory) {
  if (buffer >= plan.buffers.size()) {
    return nullptr;
  }
  const Buffer &b = plan.buffers[buffer];
  const auto tier = static_cast<size_t>(b.tier);
  if (tier >= memory.base.size() || b.offset > memory.size[tier] ||
      b.size > memory.size[tier] - b.offset) {
    return nullptr;
  }
  return memory.base[tier] + b.offset;
}

uint32_t llmc::symbolOf(const Entry &entry, uint32_t expr) {
  if (expr >= entry.exprs.size() || entry.exprs[expr].op != ExprOp::Symbol) {
    return kNone;
  }
  return entry.exprs[expr].a;
}

static Error malformed(const Entry &entry, size_t step, std::string what) {
  return {ErrorCode::PlanUnsafe, "entry '" + entry.name + "' step " +
                                     std::to_string(step) + " ('" +
                                     entry.steps[step].name + "'): " + what};
}

Result<Schedule> Schedule::build(const Plan &plan, uint32_t index,
                                 const TierMemory &memory,
                                 kernels::ThreadPool *pool,
                                 const GeneratedCode *code) {
  const Entry &entry = plan.entries[index];
  Schedule s;
  s.source = &entry;
  s.owner = &plan;
  s.symbolValues.resize(entry.symbols.size());
  s.values.resize(entry.exprs.size());
  for (uint32_t i = 0; i < entry.symbols.size(); ++i) {
    if (entry.symbols[i].isPast) {
      s.pastSymbol = i;
    }
  }
  for (const State &state : plan.states) {
    s.capacity = std::min(s.capacity, state.capacity);
  }

  size_t numTensors = 0;
  size_t numParams = 0;
  for (const Step &step : entry.steps) {
    numTensors += step.operands.size();
    numParams += step.params.size();
  }
  // Sized once: launches keep spans into these.
  s.tensors.resize(numTensors);
  s.params.resize(numParams);
  s.actions.reserve(entry.steps.size());

  size_t tensor = 0;
  size_t param = 0;
  const auto placeOperands = [&](size_t i) -> Result<void> {
    const Step &step = entry.steps[i];
    for (const Operand &operand : step.operands) {
      kernels::Tensor &t = s.tensors[tensor++];
      uint8_t *base = bufferAddress(plan, operand.buffer, memory);
      if (!base || operand.offset > plan.buffers[operand.buffer].size) {
        return malformed(entry, i, "an operand lies outside its arena");
      }
      if (operand.dims.size() > kernels::kMaxRank) {
        return malformed(entry, i,
                         "an operand of rank " +
                             std::to_string(operand.dims.size()) +
                             ", at most " + std::to_string(kernels::kMaxRank) +
                             " is supported");
      }
      t.data = base + operand.offset;
      t.dtype = operand.dtype;
      t.packing = operand.packing;
      t.rank = static_cast<int>(operand.dims.size());
      for (size_t d = 0; d < operand.dims.size(); ++d) {
        s.patches.push_back({&t.dims[d], operand.dims[d]});
      }
    }
    return {};
  };
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    Action action;
    action.kind = step.kind;
    action.stream = step.stream;
    action.step = static_cast<uint32_t>(i);
    switch (step.kind) {
    case StepKind::Launch: {
      if (step.stream != Stream::Compute) {
        return malformed(entry, i, "a launch on the copy stream");
      }
      action.kernel = kernels::lookupHostKernel(step.kernel);
      if (!action.kernel) {
        return malformed(entry, i,
                         "this build has no kernel '" +
                             std::string(name(step.kernel)) + "'");
      }
      kernels::Tensor *first = s.tensors.data() + tensor;
      if (Result<void> placed = placeOperands(i); !placed) {
        return placed.error();
      }
      int64_t *firstParam = s.params.data() + param;
      for (uint32_t expr : step.params) {
        s.patches.push_back({&s.params[param++], expr});
      }
      action.launch.operands = {first, step.operands.size()};
      action.launch.params = {firstParam, step.params.size()};
      action.launch.ints = step.ints;
      action.launch.floats = step.floats;
      action.launch.pool = pool;
      if (step.kernel == KernelId::Generated) {
        const auto index = step.ints.empty()
                               ? UINT64_MAX
                               : static_cast<uint64_t>(step.ints[0]);
        if (!code || !code->function(index) ||
            index >= plan.code.functions.size()) {
          return malformed(entry, i, "its generated code is not there");
        }
        action.launch.code = code->function(index);
        action.launch.function = &plan.code.functions[index];
      }
      break;
    }
    case StepKind::Copy: {
      uint8_t *base = bufferAddress(plan, step.buffer, memory);
      if (!base || step.segment >= plan.segments.size()) {
        return malformed(entry, i, "a copy outside its arena or segment");
      }
      const uint64_t room = plan.buffers[step.buffer].size;
      const Segment &segment = plan.segments[step.segment];
      if (step.targetOffset > room || step.bytes > room - step.targetOffset ||
          step.sourceOffset > segment.size ||
          (!step.gathersRows() &&
           step.bytes > segment.size - step.sourceOffset)) {
        return malformed(entry, i, "a copy beyond its buffer or segment");
      }
      action.target = base + step.targetOffset;
      action.fileOffset = segment.offset + step.sourceOffset;
      action.bytes = step.bytes;
      action.segment = step.segment;
      action.sourceOffset = step.sourceOffset;
      if (step.gathersRows()) {
        action.indices = s.tensors.data() + tensor;
        action.rows = step.ints[0];
        action.rowBytes = static_cast<uint64_t>(step.ints[1]);
        if (Result<void> placed = placeOperands(i); !placed) {
          return placed.error();
        }
      }
      break;
    }
    case StepKind::Restore:
    case StepKind::Spill: {
      uint8_t *base = bufferAddress(plan, step.buffer, memory);
      if (!base || step.state >= plan.states.size() ||
          step.bytes > plan.buffers[step.buffer].size ||
          (step.kind == StepKind::Spill && step.stream != Stream::Compute)) {
        return malformed(entry, i, "blocks outside their slot or state");
      }
      action.target = base;
      action.bytes = step.bytes;
      action.state = step.state;
      action.firstBlock = step.firstBlock;
      s.moves.push_back(action.step);
      break;
    }
    case StepKind::SwapOut:
    case StepKind::SwapIn: {
      uint8_t *base = bufferAddress(plan, step.buffer, memory);
      const bool isOut = step.kind == StepKind::SwapOut;
      if (!base || step.below >= plan.buffers.size() ||
          step.targetOffset > plan.buffers[step.buffer].size ||
          step.bytes > plan.buffers[step.buffer].size - step.targetOffset ||
          plan.buffers[step.below].tier != Tier::Disk ||
          step.bytes > plan.buffers[step.below].size ||
          (isOut && step.stream != Stream::Compute)) {
        return malformed(entry, i, "a swap outside its buffers");
      }
      action.target = base + step.targetOffset;
      action.bytes = step.bytes;
      action.fileOffset = plan.buffers[step.below].offset;
      break;
    }
    case StepKind::Signal:
    case StepKind::Wait:
      if (step.event >= entry.numEvents) {
        return malformed(entry, i, "an event that the entry does not have");
      }
      action.event = step.event;
      break;
    }
    (step.stream == Stream::Copy ? s.copyOrder : s.computeOrder)
        .push_back(action.step);
    s.actions.push_back(action);
  }

  for (const Patch &patch : s.patches) {
    if (patch.expr >= entry.exprs.size()) {
      return {ErrorCode::PlanUnsafe,
              "entry '" + entry.name + "': a dimension without expression"};
    }
  }
  for (size_t i = 0; i < entry.exprs.size(); ++i) {
    const ExprNode &node = entry.exprs[i];
    const bool good = node.op == ExprOp::Constant ||
                      (node.op == ExprOp::Symbol ? node.a < entry.symbols.size()
                                                 : node.a < i && node.b < i);
    if (!good) {
      return {ErrorCode::PlanUnsafe, "entry '" + entry.name + "': expression " +
                                         std::to_string(i) +
                                         " refers to what comes after it"};
    }
  }
  return s;
}

Result<void> Schedule::bind() {
  const Entry &entry = *source;
  for (size_t i = 0; i < symbolValues.size(); ++i) {
    const Symbol &symbol = entry.symbols[i];
    if (symbolValues[i] < symbol.lower || symbolValues[i] > symbol.upper) {
      return {ErrorCode::InputMismatch,
              "entry '" + entry.name + "': '" + symbol.name + "' is " +
                  std::to_string(symbolValues[i]) + ", the plan was made for " +
                  std::to_string(symbol.lower) + " to " +
                  std::to_string(symbol.upper)};
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const ExprNode &node = entry.exprs[i];
    switch (node.op) {
    case ExprOp::Constant:
      values[i] = node.value;
      break;
    case ExprOp::Symbol:
      values[i] = symbolValues[node.a];
      break;
    default:
      values[i] = apply(node.op, values[node.a], values[node.b]);
      break;
    }
  }
  // Within their own bounds the two may still be too many together.
  if (pastSymbol != kNone && entry.newTokens != kNone) {
    const int64_t past = symbolValues[pastSymbol];
    const int64_t added = values[entry.newTokens];
    if (added < 0 || past > capacity || added > capacity - past) {
      return {ErrorCode::ContextExceeded,
              "entry '" + entry.name + "': " + std::to_string(added) +
                  " tokens after " + std::to_string(past) +
                  " exceed the state's capacity of " +
                  std::to_string(capacity)};
    }
  }
  for (const Patch &patch : patches) {
    *patch.target = values[patch.expr];
  }
  if (!moves.empty()) {
    const auto past = static_cast<uint64_t>(
        pastSymbol == kNone ? 0 : symbolValues[pastSymbol]);
    const uint64_t total =
        past + static_cast<uint64_t>(
                   entry.newTokens == kNone ? 0 : values[entry.newTokens]);
    for (uint32_t index : moves) {
      Action &action = actions[index];
      const State &state = owner->states[action.state];
      const auto block = static_cast<uint64_t>(state.blockTokens);
      const uint64_t first = action.firstBlock;
      const uint64_t end = first + action.bytes / *blockBytes(state);
      const bool isSpill = action.kind == StepKind::Spill;
      const uint64_t from = isSpill ? past / block : 0;
      const uint64_t to = ((isSpill ? total : past) + block - 1) / block;
      action.moveBegin = std::clamp(from, first, end) - first;
      action.moveEnd = std::clamp(to, first, end) - first;
      action.tokens = total;
    }
  }
  return {};
}
