//===- CheckTransitions.cpp - From one entry to the next ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckTransitions.h"

#include "runtime/plan/Report.h"
#include "runtime/plan/Validate.h"

#include <algorithm>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

static std::string place(const Buffer &buffer) {
  return std::string(name(buffer.kind)) + " '" + buffer.name + "' at [" +
         std::to_string(buffer.offset) + ", " +
         std::to_string(buffer.offset + buffer.size) + ")";
}

Result<void> checkLasting(const Plan &plan) {
  std::vector<const Buffer *> lasting[3];
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.entry == kNone && buffer.size > 0) {
      lasting[static_cast<size_t>(buffer.tier)].push_back(&buffer);
    }
  }
  for (auto &tier : lasting) {
    std::sort(tier.begin(), tier.end(), [](const Buffer *a, const Buffer *b) {
      return a->offset < b->offset;
    });
    for (size_t i = 1; i < tier.size(); ++i) {
      if (tier[i - 1]->offset + tier[i - 1]->size > tier[i]->offset) {
        return unsafe("between entries: " + place(*tier[i - 1]) + " and " +
                      place(*tier[i]) + " of the " +
                      std::string(name(tier[i]->tier)) +
                      " tier last and overlap");
      }
    }
  }
  for (const Buffer &buffer : plan.buffers) {
    // An input is written even if no step uses it.
    bool written =
        buffer.start < buffer.end || buffer.kind == BufferKind::Input;
    if (buffer.entry == kNone || buffer.size == 0 || !written) {
      continue;
    }
    const auto &tier = lasting[static_cast<size_t>(buffer.tier)];
    auto after = std::partition_point(
        tier.begin(), tier.end(), [&](const Buffer *other) {
          return other->offset < buffer.offset + buffer.size;
        });
    if (after != tier.begin() &&
        (*std::prev(after))->offset + (*std::prev(after))->size >
            buffer.offset) {
      return unsafe("between entries: " + place(buffer) + " of entry '" +
                    plan.entries[buffer.entry].name + "' lies over " +
                    place(**std::prev(after)) + " of the " +
                    std::string(name(buffer.tier)) +
                    " tier, which every entry may read");
    }
  }
  return {};
}

namespace {

/// How far the states are filled while an entry runs.
class TokenCheck {
public:
  TokenCheck(const Plan &plan, const Entry &entry,
             const EntryPolynomials &polynomials)
      : plan(plan), entry(entry), polynomials(polynomials) {
    for (uint32_t i = 0; i < entry.symbols.size(); ++i) {
      const Symbol &symbol = entry.symbols[i];
      if (symbol.isPast) {
        past = symbol.lower == symbol.upper ? Polynomial(symbol.lower)
                                            : Polynomial::atom(i);
      }
    }
    filled.assign(plan.states.size(), past);
  }

  Result<uint64_t> run();

private:
  size_t stateOf(const Operand &operand) const {
    auto it = std::find_if(
        plan.states.begin(), plan.states.end(),
        [&](const State &s) { return s.buffer == operand.buffer; });
    return static_cast<size_t>(it - plan.states.begin());
  }
  Result<void> append(size_t index, const Step &step);
  Result<void> read(size_t index, const Step &step, const Operand &operand);

  const Plan &plan;
  const Entry &entry;
  const EntryPolynomials &polynomials;
  Polynomial past;
  std::vector<Polynomial> filled; // tokens [0, filled) of each state
};

} // namespace

Result<void> TokenCheck::append(size_t index, const Step &step) {
  size_t which = stateOf(step.operands[1]);
  const State &state = plan.states[which];
  const Polynomial &position = polynomials[step.params[0]];
  if (!polynomials.atMost(past, position)) {
    return unsafe(describeStep(entry, index) + ": writes tokens from " +
                  polynomials.text(position) + " on into state '" + state.name +
                  "', but those before " + polynomials.text(past) +
                  " must stay as they are: the entry may be stopped");
  }
  std::optional<Polynomial> end = Polynomial::add(
      position, polynomials[step.operands[0].dims[state.outer.size()]]);
  if (end && polynomials.atMost(position, filled[which]) &&
      polynomials.atMost(filled[which], *end)) {
    filled[which] = std::move(*end);
  }
  return {};
}

Result<void> TokenCheck::read(size_t index, const Step &step,
                              const Operand &operand) {
  size_t which = stateOf(operand);
  const Polynomial &tokens = polynomials[step.params[0]];
  if (!polynomials.atMost(tokens, filled[which])) {
    return unsafe(describeStep(entry, index) + ": reads " +
                  polynomials.text(tokens) + " tokens of state '" +
                  plan.states[which].name + "', of which only " +
                  polynomials.text(filled[which]) + " are written by then");
  }
  return {};
}

Result<uint64_t> TokenCheck::run() {
  uint64_t appends = 0;
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    if (step.kind != StepKind::Launch) {
      continue;
    }
    for (const Operand &operand : step.operands) {
      if (plan.buffers[operand.buffer].kind != BufferKind::State) {
        continue;
      }
      bool isAppend = operand.access != Access::Read;
      appends += isAppend;
      Result<void> good = isAppend ? append(i, step) : read(i, step, operand);
      if (!good) {
        return good.error();
      }
    }
  }
  if (entry.newTokens == kNone) {
    return appends;
  }
  std::optional<Polynomial> end =
      Polynomial::add(past, polynomials[entry.newTokens]);
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (!end || !polynomials.atMost(*end, filled[i])) {
      return unsafe("entry '" + entry.name + "': leaves state '" +
                    plan.states[i].name + "' with " +
                    polynomials.text(filled[i]) + " tokens, but says that " +
                    polynomials.text(polynomials[entry.newTokens]) +
                    " are added to " + polynomials.text(past));
    }
  }
  return appends;
}

Result<uint64_t> checkTokens(const Plan &plan, const Entry &entry,
                             const EntryPolynomials &polynomials) {
  return TokenCheck(plan, entry, polynomials).run();
}

} // namespace llmc::plan
