//===- Run.cpp - Session: one entry, any inputs ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Float.h"
#include "runtime/core/Session.h"
#include "runtime/plan/CheckKernels.h"

#include <algorithm>
#include <cstring>

using namespace llmc;
using namespace llmc::plan;

static std::string shapeText(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(dims[i]);
  }
  return text + "]";
}

static uint64_t elementCount(std::span<const int64_t> dims) {
  uint64_t count = 1;
  for (int64_t d : dims) {
    count *= static_cast<uint64_t>(d);
  }
  return count;
}

/// What a caller may pass, for messages.
static std::string inputList(const Entry &entry) {
  std::string text;
  for (const Port &port : entry.inputs) {
    text += (text.empty() ? "'" : ", '") + port.name + "'";
  }
  for (const DerivedInput &derived : entry.derived) {
    text += (text.empty() ? "'" : ", '") + derived.name + "' (optional)";
  }
  return text.empty() ? "nothing" : text;
}

static Error mismatch(const std::string &input, const std::string &what) {
  return {ErrorCode::InputMismatch, "input '" + input + "': " + what};
}

const Entry &Session::defaultEntry() const {
  for (const char *name : {"main", "prefill", "decode"}) {
    for (const Entry &entry : thePlan.entries) {
      if (entry.name == name) {
        return entry;
      }
    }
  }
  return thePlan.entries.front();
}

Result<std::vector<NamedTensor>>
Session::run(const std::string &entryName, std::span<const TensorView> inputs) {
  uint32_t index = kNone;
  std::string known;
  for (uint32_t i = 0; i < thePlan.entries.size(); ++i) {
    if (thePlan.entries[i].name == entryName) {
      index = i;
    }
    known += (i ? ", '" : "'") + thePlan.entries[i].name + "'";
  }
  if (index == kNone) {
    return {ErrorCode::InvalidArgument,
            "the plan has no entry '" + entryName + "'; it has " + known};
  }
  const Entry &entry = thePlan.entries[index];
  reset();
  if (Result<void> bound = bindInputs(index, inputs); !bound) {
    return bound.error();
  }
  // Inputs are live when step 0 begins; a run that poisons does so before it.
  for (const Port &port : entry.inputs) {
    const auto given = std::find_if(
        inputs.begin(), inputs.end(),
        [&](const TensorView &input) { return input.name == port.name; });
    if (Result<void> wrote = writeInput(index, port, *given); !wrote) {
      return wrote.error();
    }
  }
  if (Result<void> ran = executor->run(index); !ran) {
    return ran.error();
  }

  std::vector<NamedTensor> outputs;
  for (const Port &port : entry.outputs) {
    if (port.role == PortRole::State) {
      const int64_t tokens =
          entry.newTokens == kNone
              ? 0
              : executor->schedule(index).value(entry.newTokens);
      Result<NamedTensor> state = gatherState(index, port, tokens);
      if (!state) {
        return state.error();
      }
      outputs.push_back(std::move(*state));
      continue;
    }
    NamedTensor out;
    out.name = port.name;
    out.dtype = port.dtype;
    for (uint32_t dim : port.dims) {
      out.dims.push_back(executor->schedule(index).value(dim));
    }
    const uint64_t bytes =
        (elementCount(out.dims) * bitWidth(port.dtype) + 7) / 8;
    const uint8_t *data = bufferAddress(thePlan, port.buffer, memory);
    if (!data || bytes > thePlan.buffers[port.buffer].size) {
      return {ErrorCode::PlanUnsafe,
              "output '" + port.name + "' lies outside its buffer"};
    }
    out.data.assign(data, data + bytes);
    outputs.push_back(std::move(out));
  }
  reset();
  return outputs;
}

Result<void> Session::bindInputs(uint32_t index,
                                 std::span<const TensorView> inputs) {
  const Entry &entry = thePlan.entries[index];
  Schedule &schedule = executor->schedule(index);
  std::vector<int64_t> &symbols = schedule.symbols();
  std::vector<std::string> boundBy(symbols.size());

  for (size_t i = 0; i < inputs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (inputs[i].name == inputs[j].name) {
        return mismatch(inputs[i].name, "given twice");
      }
    }
    const auto isPort = [&](const Port &port) {
      return port.name == inputs[i].name;
    };
    const auto isDerived = [&](const DerivedInput &derived) {
      return derived.name == inputs[i].name;
    };
    if (std::none_of(entry.inputs.begin(), entry.inputs.end(), isPort) &&
        std::none_of(entry.derived.begin(), entry.derived.end(), isDerived)) {
      return mismatch(inputs[i].name, "unknown; entry '" + entry.name +
                                          "' takes " + inputList(entry));
    }
  }

  for (const Port &port : entry.inputs) {
    const auto given = std::find_if(
        inputs.begin(), inputs.end(),
        [&](const TensorView &input) { return input.name == port.name; });
    if (given == inputs.end()) {
      return mismatch(port.name, "missing; entry '" + entry.name + "' takes " +
                                     inputList(entry));
    }
    if (given->dims.size() != port.dims.size()) {
      return mismatch(port.name,
                      "has rank " + std::to_string(given->dims.size()) + " " +
                          shapeText(given->dims) + ", the plan expects rank " +
                          std::to_string(port.dims.size()));
    }
    for (size_t d = 0; d < port.dims.size(); ++d) {
      const uint32_t symbol = symbolOf(entry, port.dims[d]);
      if (symbol == kNone || entry.symbols[symbol].isPast) {
        continue;
      }
      const Symbol &s = entry.symbols[symbol];
      const std::string dim = "dimension " + std::to_string(d);
      if (boundBy[symbol].empty()) {
        if (given->dims[d] < s.lower || given->dims[d] > s.upper) {
          return mismatch(
              port.name,
              dim + " ('" + s.name + "') is " + std::to_string(given->dims[d]) +
                  " in " + shapeText(given->dims) + ", the plan was made for " +
                  std::to_string(s.lower) + " to " + std::to_string(s.upper));
        }
        symbols[symbol] = given->dims[d];
        boundBy[symbol] = port.name;
      } else if (symbols[symbol] != given->dims[d]) {
        return mismatch(port.name, dim + " ('" + s.name + "') is " +
                                       std::to_string(given->dims[d]) +
                                       ", but it is " +
                                       std::to_string(symbols[symbol]) +
                                       " in input '" + boundBy[symbol] + "'");
      }
    }
  }
  for (size_t i = 0; i < symbols.size(); ++i) {
    const Symbol &symbol = entry.symbols[i];
    if (symbol.isPast) {
      symbols[i] = 0;
    } else if (boundBy[i].empty()) {
      if (symbol.lower != symbol.upper) {
        return {ErrorCode::InputMismatch,
                "entry '" + entry.name + "': no input gives the dimension '" +
                    symbol.name + "'"};
      }
      symbols[i] = symbol.lower;
    }
  }
  if (Result<void> bound = schedule.bind(); !bound) {
    return bound;
  }
  const int64_t tokens =
      entry.newTokens == kNone ? 0 : schedule.value(entry.newTokens);
  for (const State &state : thePlan.states) {
    if (tokens > state.capacity) {
      return {ErrorCode::ContextExceeded,
              "the inputs have " + std::to_string(tokens) +
                  " tokens, the state '" + state.name + "' holds " +
                  std::to_string(state.capacity)};
    }
  }
  for (const TensorView &input : inputs) {
    for (const DerivedInput &derived : entry.derived) {
      if (derived.name == input.name) {
        if (Result<void> same = checkDerived(index, derived, input); !same) {
          return same;
        }
      }
    }
  }
  return {};
}

Result<void> Session::writeInput(uint32_t index, const Port &port,
                                 const TensorView &input) {
  const Schedule &schedule = executor->schedule(index);
  std::vector<int64_t> wanted;
  for (uint32_t dim : port.dims) {
    wanted.push_back(schedule.value(dim));
  }
  if (wanted != input.dims) {
    return mismatch(port.name, "has shape " + shapeText(input.dims) +
                                   ", the plan expects " + shapeText(wanted));
  }
  const uint64_t count = elementCount(wanted);
  const uint64_t bytes = (count * bitWidth(port.dtype) + 7) / 8;
  uint8_t *target = bufferAddress(thePlan, port.buffer, memory);
  if (!target || bytes > thePlan.buffers[port.buffer].size) {
    return {ErrorCode::PlanUnsafe,
            "input '" + port.name + "' lies outside its buffer"};
  }
  if (port.dtype == input.dtype) {
    // An empty tensor may have no address, which memcpy must not see.
    if (bytes > 0) {
      std::memcpy(target, input.data, bytes);
    }
  } else if (isInteger(port.dtype) && isInteger(input.dtype)) {
    if (!convertIntegers(input.data, input.dtype, target, port.dtype, count)) {
      return mismatch(port.name, "holds a value that " +
                                     std::string(name(port.dtype)) +
                                     ", which the plan expects, cannot hold");
    }
  } else {
    return mismatch(port.name, "is " + std::string(name(input.dtype)) +
                                   ", the plan expects " +
                                   std::string(name(port.dtype)));
  }
  if (port.role == PortRole::Tokens && thePlan.vocabulary > 0) {
    for (uint64_t i = 0; i < count; ++i) {
      const double token = elementAsDouble(target, port.dtype, i);
      if (token < 0 || token >= static_cast<double>(thePlan.vocabulary)) {
        return {ErrorCode::TokenOutOfRange,
                "input '" + port.name + "': token " +
                    std::to_string(static_cast<int64_t>(token)) +
                    " at element " + std::to_string(i) +
                    " is outside the vocabulary of " +
                    std::to_string(thePlan.vocabulary)};
      }
    }
  }
  return {};
}

Result<void> Session::checkDerived(uint32_t index, const DerivedInput &derived,
                                   const TensorView &input) const {
  const Entry &entry = thePlan.entries[index];
  const uint64_t count = elementCount(input.dims);
  if (derived.kind == DerivedKind::Empty) {
    if (count != 0) {
      return mismatch(derived.name, "has shape " + shapeText(input.dims) +
                                        ", but an entry starts from the empty "
                                        "state: leave it out or make it empty");
    }
    return {};
  }
  if (!isInteger(input.dtype) && !isFloat(input.dtype) &&
      input.dtype != DType::Bool) {
    return mismatch(derived.name,
                    "is " + std::string(name(input.dtype)) +
                        ", which cannot hold a mask or positions");
  }
  const int64_t length = input.dims.empty() ? 1 : input.dims.back();
  if (entry.newTokens != kNone && !input.dims.empty()) {
    const int64_t tokens = executor->schedule(index).value(entry.newTokens);
    if (length != tokens) {
      return mismatch(derived.name, "has shape " + shapeText(input.dims) +
                                        ", but there are " +
                                        std::to_string(tokens) + " tokens");
    }
  }
  for (uint64_t i = 0; i < count; ++i) {
    const double found = elementAsDouble(input.data, input.dtype, i);
    const double wanted =
        derived.kind == DerivedKind::Ones
            ? 1.0
            : static_cast<double>(i % static_cast<uint64_t>(length));
    if (found != wanted) {
      return mismatch(derived.name,
                      "element " + std::to_string(i) + " is " +
                          std::to_string(found) + ", but the plan derives " +
                          std::to_string(wanted) +
                          (derived.kind == DerivedKind::Ones
                               ? " (a mask of ones); padding needs a plan that "
                                 "keeps the mask as an input"
                               : " (positions 0, 1, ...)"));
    }
  }
  return {};
}

Result<std::vector<NamedTensor>> Session::states() const {
  std::vector<NamedTensor> result;
  if (lastEntry == kNone) {
    return result;
  }
  for (const Port &port : thePlan.entries[lastEntry].outputs) {
    if (port.role != PortRole::State) {
      continue;
    }
    Result<NamedTensor> state = gatherState(lastEntry, port, pastTokens);
    if (!state) {
      return state.error();
    }
    result.push_back(std::move(*state));
  }
  return result;
}

// A block holds [outer.., blockTokens, inner..]; the dense result is
// [outer.., tokens, inner..].
Result<NamedTensor> Session::gatherState(uint32_t index, const Port &port,
                                         int64_t tokens) const {
  const Schedule &schedule = executor->schedule(index);
  if (port.state >= thePlan.states.size()) {
    return {ErrorCode::PlanUnsafe,
            "output '" + port.name + "' is of a state that does not exist"};
  }
  const State &state = thePlan.states[port.state];
  const size_t outerRank = state.outer.size();
  NamedTensor out;
  out.name = port.name;
  out.dtype = state.dtype;
  out.dims = state.outer;
  out.dims.push_back(tokens);
  out.dims.insert(out.dims.end(), state.inner.begin(), state.inner.end());
  // A batch below the plan's uses the leading part of the outer dimensions.
  if (port.dims.size() == out.dims.size()) {
    for (size_t d = 0; d < outerRank; ++d) {
      out.dims[d] = std::min(out.dims[d], schedule.value(port.dims[d]));
    }
  }
  const uint64_t innerBytes =
      elementCount(state.inner) * bitWidth(state.dtype) / 8;
  const uint64_t outerCount = elementCount(state.outer);
  const auto blockTokens = static_cast<uint64_t>(state.blockTokens);
  const uint8_t *base = bufferAddress(thePlan, state.buffer, memory);
  if (state.ringBlocks != 0 && tokens > tokensOf(state)) {
    return {ErrorCode::Unsupported,
            "the state '" + state.name + "' has " + std::to_string(tokens) +
                " tokens, of which it keeps a window only; compile without "
                "--kv-window to see all of it"};
  }
  if (!base || tokens > state.capacity || blockTokens == 0) {
    return {ErrorCode::PlanUnsafe,
            "the state '" + state.name + "' does not fit its buffer"};
  }
  const uint64_t outCount =
      elementCount(std::span<const int64_t>(out.dims).first(outerRank));
  out.data.resize(outCount * static_cast<uint64_t>(tokens) * innerBytes);
  // Resident blocks as they lie there; of a spilled state the others follow.
  std::vector<uint8_t> whole;
  const uint64_t blocks =
      (static_cast<uint64_t>(tokens) + blockTokens - 1) / blockTokens;
  if (state.spill != kNone &&
      blocks > static_cast<uint64_t>(state.residentBlocks)) {
    const auto resident = static_cast<uint64_t>(state.residentBlocks);
    const uint64_t bytes = outerCount * blockTokens * innerBytes;
    whole.resize(blocks * bytes);
    std::memcpy(whole.data(), base, resident * bytes);
    for (uint64_t block = resident; block < blocks; ++block) {
      if (Result<void> read =
              spill->read(port.state, block, whole.data() + block * bytes);
          !read) {
        return read.error();
      }
    }
    base = whole.data();
  }
  for (uint64_t o = 0; o < outCount; ++o) {
    uint64_t rest = o;
    uint64_t stateOuter = 0;
    uint64_t stride = 1;
    for (size_t d = outerRank; d-- > 0;) {
      const auto extent = static_cast<uint64_t>(out.dims[d]);
      stateOuter += rest % extent * stride;
      rest /= extent;
      stride *= static_cast<uint64_t>(state.outer[d]);
    }
    for (uint64_t t = 0; t < static_cast<uint64_t>(tokens); ++t) {
      const uint64_t from =
          ((t / blockTokens * outerCount + stateOuter) * blockTokens +
           t % blockTokens) *
          innerBytes;
      std::memcpy(out.data.data() +
                      (o * static_cast<uint64_t>(tokens) + t) * innerBytes,
                  base + from, innerBytes);
    }
  }
  return out;
}
