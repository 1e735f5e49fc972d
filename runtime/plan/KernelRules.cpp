//===- KernelRules.cpp - Conditions that rules are made of ----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelRules.h"

#include "runtime/plan/CheckKernels.h"

#include <algorithm>

namespace llmc::plan {

bool mayWriteOver(KernelId kernel, size_t operand) {
  switch (kernel) {
  case KernelId::Pointwise:
  case KernelId::Generated:
    return true;
  case KernelId::Softmax:
  case KernelId::LayerNorm:
  case KernelId::RmsNorm:
  case KernelId::Rope:
  case KernelId::Attention:
  case KernelId::CumSum:
  case KernelId::Cast:
  case KernelId::ScatterND:
  case KernelId::ScatterElements:
    return operand == 0;
  case KernelId::LinearAdd: // the residual
    return operand == 2;
  default:
    return false;
  }
}

bool LaunchRules::fail(std::string text) {
  if (problem.empty()) {
    problem = std::move(text);
  }
  return false;
}

bool LaunchRules::operands(size_t inputs, size_t outputs) {
  if (step.operands.size() != inputs + outputs) {
    return fail(std::to_string(step.operands.size()) + " operands, expected " +
                std::to_string(inputs + outputs));
  }
  firstOutput = inputs;
  return true;
}

int64_t LaunchRules::product(size_t operand, size_t from, size_t to) const {
  int64_t result = 1;
  for (size_t i = from; i < to; ++i) {
    if (upper(operand, i) < 0 ||
        __builtin_mul_overflow(result, upper(operand, i), &result)) {
      return -1;
    }
  }
  return result;
}

std::string LaunchRules::shape(size_t operand) const {
  std::string text = "operand " + std::to_string(operand) + " [";
  for (size_t i = 0; i < rank(operand); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(upper(operand, i));
  }
  return text + "]";
}

bool LaunchRules::sameDims(size_t a, size_t aFrom, size_t b, size_t bFrom,
                           size_t count) {
  if (aFrom + count > rank(a) || bFrom + count > rank(b)) {
    return fail(shape(a) + " and " + shape(b) + " differ in rank");
  }
  for (size_t i = 0; i < count; ++i) {
    if (upper(a, aFrom + i) != upper(b, bFrom + i)) {
      return fail(shape(a) + " and " + shape(b) + " do not fit together");
    }
  }
  return true;
}

bool LaunchRules::sameShape(size_t a, size_t b) {
  return (rank(a) == rank(b) ||
          fail(shape(a) + " and " + shape(b) + " differ in rank")) &&
         sameDims(a, 0, b, 0, rank(a));
}

bool LaunchRules::broadcasts(size_t from, size_t to) {
  if (rank(from) > rank(to)) {
    return fail(shape(from) + " has a larger rank than " + shape(to));
  }
  size_t missing = rank(to) - rank(from);
  for (size_t i = 0; i < rank(from); ++i) {
    if (upper(from, i) != 1 && upper(from, i) != upper(to, missing + i)) {
      return fail(shape(from) + " does not broadcast to " + shape(to));
    }
  }
  return true;
}

bool LaunchRules::hasElements(size_t operand, int64_t count) {
  return (count >= 0 && elements(operand) == count) ||
         fail(shape(operand) + " must have " + std::to_string(count) +
              " elements");
}

bool LaunchRules::isRank(size_t operand, size_t wanted) {
  return rank(operand) == wanted ||
         fail(shape(operand) + " must have rank " + std::to_string(wanted));
}

bool LaunchRules::minRank(size_t operand, size_t least) {
  return rank(operand) >= least || fail(shape(operand) + " must have rank " +
                                        std::to_string(least) + " or more");
}

bool LaunchRules::oneOf(size_t operand, std::initializer_list<DType> types) {
  DType found = step.operands[operand].dtype;
  if (std::find(types.begin(), types.end(), found) != types.end()) {
    return true;
  }
  std::string expected;
  for (DType type : types) {
    expected += (expected.empty() ? "" : ", ") + std::string(name(type));
  }
  return fail("operand " + std::to_string(operand) + " is " +
              std::string(name(found)) + ", expected " + expected);
}

bool LaunchRules::isFloat(size_t operand) {
  return oneOf(operand, {DType::F32, DType::F16, DType::BF16, DType::F64});
}

bool LaunchRules::isIndex(size_t operand) {
  return oneOf(operand, {DType::I64, DType::I32});
}

bool LaunchRules::sameType(size_t a, size_t b) {
  return step.operands[a].dtype == step.operands[b].dtype ||
         fail("operand " + std::to_string(a) + " is " +
              std::string(name(step.operands[a].dtype)) + ", operand " +
              std::to_string(b) + " is " +
              std::string(name(step.operands[b].dtype)));
}

bool LaunchRules::ints(size_t count) {
  return step.ints.size() == count ||
         fail(std::to_string(step.ints.size()) + " ints, expected " +
              std::to_string(count));
}

bool LaunchRules::floats(size_t count) {
  return step.floats.size() == count ||
         fail(std::to_string(step.floats.size()) + " floats, expected " +
              std::to_string(count));
}

bool LaunchRules::params(size_t count) {
  return step.params.size() == count ||
         fail(std::to_string(step.params.size()) + " params, expected " +
              std::to_string(count));
}

bool LaunchRules::flag(size_t index) {
  return step.ints[index] == 0 || step.ints[index] == 1 ||
         fail("int " + std::to_string(index) + " is " +
              std::to_string(step.ints[index]) + ", expected 0 or 1");
}

bool LaunchRules::axisInt(size_t index, size_t rank) {
  return (step.ints[index] >= 0 &&
          step.ints[index] < static_cast<int64_t>(rank)) ||
         fail("axis " + std::to_string(step.ints[index]) +
              " of an operand of rank " + std::to_string(rank));
}

bool LaunchRules::activationInt(size_t index) {
  return (step.ints[index] >= 0 &&
          step.ints[index] <= static_cast<int64_t>(Activation::Tanh)) ||
         fail("unknown activation " + std::to_string(step.ints[index]));
}

bool LaunchRules::scatterInt(size_t index) {
  return (step.ints[index] >= 0 &&
          step.ints[index] <= static_cast<int64_t>(ScatterKind::Max)) ||
         fail("unknown kind of scatter " + std::to_string(step.ints[index]));
}

const State *LaunchRules::stateOf(size_t operand, int64_t blockTokens,
                                  int64_t sinkBlocks) {
  const Operand &view = step.operands[operand];
  auto it = std::find_if(
      plan.states.begin(), plan.states.end(),
      [&](const State &state) { return state.buffer == view.buffer; });
  std::string what = "operand " + std::to_string(operand);
  if (it == plan.states.end()) {
    fail(what + " is not a state");
    return nullptr;
  }
  std::vector<int64_t> dims = it->outer;
  dims.push_back(tokensOf(*it));
  dims.insert(dims.end(), it->inner.begin(), it->inner.end());
  bool same = dims.size() == rank(operand);
  for (size_t i = 0; same && i < dims.size(); ++i) {
    Interval found = dim(operand, i);
    same = found.lower == dims[i] && found.upper == dims[i];
  }
  if (!same || view.offset != 0 || view.dtype != it->dtype) {
    fail(shape(operand) + " " + std::string(name(view.dtype)) +
         " is not the whole of state '" + it->name + "'");
    return nullptr;
  }
  if (it->spill != kNone) {
    fail(what + ": state '" + it->name + "' is not all there");
    return nullptr;
  }
  // A launch that knows a ring takes all blocks behind sinkBlocks for it, which
  // changes nothing where they all have places of their own.
  if (it->ringBlocks != 0 ? sinkBlocks != it->sinkBlocks
                          : sinkBlocks >= int64_t(blocksOf(*it))) {
    fail(what + ": the ring of state '" + it->name + "' starts at block " +
         std::to_string(it->sinkBlocks) + ", the launch says " +
         std::to_string(sinkBlocks));
    return nullptr;
  }
  if (blockTokens != it->blockTokens) {
    fail("blocks of " + std::to_string(blockTokens) + " tokens, state '" +
         it->name + "' has blocks of " + std::to_string(it->blockTokens));
    return nullptr;
  }
  return &*it;
}

bool LaunchRules::windowOf(size_t operand, size_t outer, int64_t blockTokens,
                           int64_t firstToken) {
  const Operand &view = step.operands[operand];
  BufferKind kind = plan.buffers[view.buffer].kind;
  std::string what = "operand " + std::to_string(operand);
  Interval tokens = dim(operand, outer);
  if (!require(kind == BufferKind::State || kind == BufferKind::Staging,
               "a window that is neither a state nor a slot") ||
      !require(view.offset == 0 && view.packing == Packing::Raw,
               "a window does not start its buffer") ||
      !require(blockTokens > 0 && firstToken >= 0 &&
                   firstToken % blockTokens == 0 &&
                   tokens.lower == tokens.upper && tokens.upper > 0 &&
                   tokens.upper % blockTokens == 0,
               "a window is not made of whole blocks") ||
      !require(step.kernel != KernelId::Attention || blockTokens % 64 == 0,
               "attention in parts needs blocks of a multiple of 64 tokens")) {
    return false;
  }
  if (kind == BufferKind::Staging) {
    return true;
  }
  auto it = std::find_if(
      plan.states.begin(), plan.states.end(),
      [&](const State &state) { return state.buffer == view.buffer; });
  if (it == plan.states.end() || it->spill == kNone) {
    return fail(what + " is not the resident part of a state");
  }
  std::vector<int64_t> dims = it->outer;
  dims.push_back(it->residentBlocks * it->blockTokens);
  dims.insert(dims.end(), it->inner.begin(), it->inner.end());
  bool same = dims.size() == rank(operand) && it->outer.size() == outer &&
              view.dtype == it->dtype && blockTokens == it->blockTokens &&
              firstToken == 0;
  for (size_t i = 0; same && i < dims.size(); ++i) {
    Interval found = dim(operand, i);
    same = found.lower == dims[i] && found.upper == dims[i];
  }
  return same || fail(shape(operand) + " " + std::string(name(view.dtype)) +
                      " is not the resident part of state '" + it->name + "'");
}

bool LaunchRules::withinCapacity(uint32_t first, uint32_t second,
                                 int64_t capacity) {
  Interval a = first == kNone ? Interval{} : bounds[first];
  Interval b = bounds[second];
  if (a.lower < 0 || b.lower < 0) {
    return fail("a token position may be negative");
  }
  int64_t end;
  if (!__builtin_add_overflow(a.upper, b.upper, &end) && end <= capacity) {
    return true;
  }
  // The executor keeps past + newTokens within the capacity.
  std::optional<Linear> form = bounds.linear(second);
  if (first != kNone) {
    const std::optional<Linear> &start = bounds.linear(first);
    form = start && form ? add(*start, *form) : std::nullopt;
  }
  std::optional<int64_t> tight = form ? bounds.upper(*form) : std::nullopt;
  if (tight && *tight <= capacity) {
    return true;
  }
  return fail("tokens may go beyond the state's capacity of " +
              std::to_string(capacity) + ": position up to " +
              std::to_string(a.upper) + ", tokens up to " +
              std::to_string(b.upper));
}

bool LaunchRules::check() {
  switch (step.kernel) {
  case KernelId::Pointwise:
    return pointwise();
  case KernelId::Linear:
    return linear();
  case KernelId::LinearQuant:
    return linearQuant();
  case KernelId::MatMul:
    return matMul(false);
  case KernelId::MatMulInteger:
    return matMul(true);
  case KernelId::DynamicQuantizeLinear:
    return dynamicQuantize();
  case KernelId::DequantizeLinear:
    return quantizeLinear(true);
  case KernelId::QuantizeLinear:
    return quantizeLinear(false);
  case KernelId::Reduce:
    return reduce();
  case KernelId::ArgReduce:
    return argReduce();
  case KernelId::Softmax:
    return softmaxLike(2);
  case KernelId::CumSum:
    return softmaxLike(3);
  case KernelId::LayerNorm:
    return norm(true);
  case KernelId::RmsNorm:
    return norm(false);
  case KernelId::Rope:
    return rope();
  case KernelId::Attention:
    return attention();
  case KernelId::KvAppend:
    return kvAppend();
  case KernelId::KvRead:
    return kvRead();
  case KernelId::StridedCopy:
    return stridedCopy();
  case KernelId::Fill:
    return fill();
  case KernelId::Iota:
    return iota();
  case KernelId::Gather:
    return gather();
  case KernelId::GatherQuant:
    return gatherQuant();
  case KernelId::GatherElements:
    return gatherElements();
  case KernelId::GatherND:
    return gatherND();
  case KernelId::ScatterND:
    return scatterND();
  case KernelId::ScatterElements:
    return scatterElements();
  case KernelId::TopK:
    return topK();
  case KernelId::Conv:
    return conv();
  case KernelId::Cast:
    return cast();
  case KernelId::Pool:
    return pool();
  case KernelId::Lrn:
    return lrn();
  case KernelId::Generated:
    return generated();
  case KernelId::LinearAdd:
    return linearAdd();
  case KernelId::LinearGated:
    return linearGated();
  case KernelId::LinearSplit:
    return linearSplit();
  }
  return fail("unknown kernel"); // fails closed on a new one
}

} // namespace llmc::plan
