//===- CheckTransitions.cpp - From one entry to the next ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckTransitions.h"

#include "runtime/plan/Bounds.h"
#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/Report.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <map>

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
    parts.resize(plan.states.size());
    for (size_t i = 0; i < plan.states.size(); ++i) {
      parts[i].restored = parts[i].spilled =
          uint64_t(plan.states[i].residentBlocks);
    }
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

  /// What a slot holds of a spilled state.
  struct Window {
    uint32_t state = kNone;
    uint64_t firstBlock = 0;
    uint64_t numBlocks = 0;
    bool appended = false; // to the tokens below past
  };
  /// How far a spilled state has got in this run.
  struct Parts {
    bool appended = false; // to the resident blocks
    uint64_t restored = 0; // blocks below this are resident or were restored
    uint64_t spilled = 0;  // the same for spilled
  };
  Result<void> move(size_t index, const Step &step);
  Result<void> window(size_t index, const Step &step, const Operand &operand);

  const Plan &plan;
  const Entry &entry;
  const EntryPolynomials &polynomials;
  Polynomial past;
  std::vector<Polynomial> filled;   // tokens [0, filled) of each state
  std::vector<Parts> parts;         // of each state
  std::map<uint32_t, Window> slots; // by buffer
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
  if (state.ringBlocks != 0) {
    std::optional<Polynomial> most =
        entry.newTokens == kNone
            ? std::nullopt
            : Polynomial::add(past, polynomials[entry.newTokens]);
    if (!end || !most || !polynomials.atMost(*end, *most)) {
      return unsafe(describeStep(entry, index) +
                    ": writes more tokens into the ring of state '" +
                    state.name + "' than the entry says that it adds");
    }
  }
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
  if (plan.states[which].ringBlocks != 0) {
    // The first row must not stand before past: its window would reach tokens
    // that are overwritten.
    const Operand &rows = step.operands[0];
    std::optional<Polynomial> first = Polynomial::add(
        past, polynomials[rows.dims[step.ints[0] == 0 ? 2 : 1]]);
    if (!first || !polynomials.atMost(*first, tokens)) {
      return unsafe(describeStep(entry, index) + ": rows before token " +
                    polynomials.text(past) + " read the ring of state '" +
                    plan.states[which].name + "'");
    }
  }
  return {};
}

Result<void> TokenCheck::move(size_t index, const Step &step) {
  const State &state = plan.states[step.state];
  Parts &part = parts[step.state];
  uint64_t numBlocks = step.bytes / *blockBytes(state);
  bool isSpill = step.kind == StepKind::Spill;
  uint64_t &next = isSpill ? part.spilled : part.restored;
  if (step.firstBlock != next) {
    return unsafe(describeStep(entry, index) + ": moves blocks from " +
                  std::to_string(step.firstBlock) + " on of state '" +
                  state.name + "', the next ones are from " +
                  std::to_string(next) + " on");
  }
  next += numBlocks;
  if (!isSpill) {
    slots[step.buffer] = {step.state, step.firstBlock, numBlocks, false};
    return {};
  }
  auto slot = slots.find(step.buffer);
  if (slot == slots.end() || slot->second.state != step.state ||
      slot->second.firstBlock != step.firstBlock ||
      slot->second.numBlocks != numBlocks || !slot->second.appended) {
    return unsafe(describeStep(entry, index) + ": spills buffer '" +
                  plan.buffers[step.buffer].name +
                  "', which does not hold these blocks of state '" +
                  state.name + "' with what was appended");
  }
  return {};
}

/// A launch on a window of a spilled state: in the arena or in a slot.
Result<void> TokenCheck::window(size_t index, const Step &step,
                                const Operand &operand) {
  bool isSlot = plan.buffers[operand.buffer].kind != BufferKind::State;
  auto slot = slots.find(operand.buffer);
  if (isSlot && slot == slots.end()) {
    return unsafe(describeStep(entry, index) + ": buffer '" +
                  plan.buffers[operand.buffer].name +
                  "' holds no blocks of a state");
  }
  size_t which = isSlot ? slot->second.state : stateOf(operand);
  const State &state = plan.states[which];
  if (isSlot) {
    // LaunchRules::windowOf() has done the same for the resident part.
    const Window &held = slot->second;
    std::vector<int64_t> dims = state.outer;
    dims.push_back(int64_t(held.numBlocks) * state.blockTokens);
    dims.insert(dims.end(), state.inner.begin(), state.inner.end());
    bool same = dims.size() == operand.dims.size() &&
                operand.dtype == state.dtype && operand.offset == 0;
    for (size_t i = 0; same && i < dims.size(); ++i) {
      same = polynomials[operand.dims[i]] == Polynomial(dims[i]);
    }
    int64_t blockTokens =
        step.kernel == KernelId::KvAppend ? step.ints[0] : step.ints[6];
    size_t outer = step.kernel == KernelId::KvAppend
                       ? static_cast<size_t>(step.ints[1])
                       : operand.dims.size() - 2;
    if (!same || blockTokens != state.blockTokens ||
        outer != state.outer.size() ||
        firstTokenOf(step) != int64_t(held.firstBlock) * state.blockTokens) {
      return unsafe(describeStep(entry, index) + ": takes buffer '" +
                    plan.buffers[operand.buffer].name +
                    "' for something else than blocks " +
                    std::to_string(held.firstBlock) + " to " +
                    std::to_string(held.firstBlock + held.numBlocks) +
                    " of state '" + state.name + "', which it holds");
    }
  }
  bool &appended = isSlot ? slot->second.appended : parts[which].appended;
  if (operand.access != Access::Read) {
    const Polynomial &added =
        polynomials[step.operands[0].dims[state.outer.size()]];
    if (entry.newTokens == kNone || polynomials[step.params[0]] != past ||
        added != polynomials[entry.newTokens]) {
      return unsafe(describeStep(entry, index) + ": appends " +
                    polynomials.text(added) + " tokens at " +
                    polynomials.text(polynomials[step.params[0]]) +
                    " to a part of state '" + state.name +
                    "': it must be what the entry adds, at past");
    }
    if (isSlot && parts[which].spilled > slot->second.firstBlock) {
      return unsafe(describeStep(entry, index) + ": appends to blocks of " +
                    "state '" + state.name + "' that were spilled before");
    }
    appended = true;
    return {};
  }
  std::optional<Polynomial> there =
      appended ? Polynomial::add(past, polynomials[entry.newTokens]) : past;
  const Polynomial &tokens = polynomials[step.params[0]];
  if (!there || !polynomials.atMost(tokens, *there)) {
    return unsafe(
        describeStep(entry, index) + ": reads " + polynomials.text(tokens) +
        " tokens of state '" + state.name + "', of which only " +
        (there ? polynomials.text(*there) : "some") + " are written by then");
  }
  return {};
}

Result<uint64_t> TokenCheck::run() {
  uint64_t appends = 0;
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    if (step.kind == StepKind::Restore || step.kind == StepKind::Spill) {
      if (Result<void> good = move(i, step); !good) {
        return good.error();
      }
    }
    if (step.kind == StepKind::Copy) {
      slots.erase(step.buffer);
    }
    if (step.kind != StepKind::Launch) {
      continue;
    }
    for (size_t n = 0; n < step.operands.size(); ++n) {
      const Operand &operand = step.operands[n];
      if (windowOperand(step, n)) {
        appends += operand.access != Access::Read;
        if (Result<void> good = window(i, step, operand); !good) {
          return good.error();
        }
        continue;
      }
      if (operand.access != Access::Read) {
        slots.erase(operand.buffer);
      }
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
    if (plan.states[i].spill != kNone) {
      if (!parts[i].appended || parts[i].spilled != blocksOf(plan.states[i])) {
        return unsafe("entry '" + entry.name + "': does not append to all of " +
                      "state '" + plan.states[i].name + "': " +
                      (parts[i].appended
                           ? "blocks from " + std::to_string(parts[i].spilled) +
                                 " on are not spilled"
                           : "its resident part is left out"));
      }
      continue;
    }
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

Result<void> checkRings(const Plan &plan) {
  if (std::none_of(plan.states.begin(), plan.states.end(),
                   [](const State &state) { return state.ringBlocks != 0; })) {
    return {};
  }
  int64_t most = 1; // tokens that an entry adds
  for (const Entry &entry : plan.entries) {
    Result<EntryBounds> bounds = EntryBounds::compute(plan, entry);
    if (!bounds) {
      return bounds.error();
    }
    if (entry.newTokens != kNone) {
      most = std::max(most, (*bounds)[entry.newTokens].upper);
    }
  }
  for (const Entry &entry : plan.entries) {
    for (size_t i = 0; i < entry.steps.size(); ++i) {
      const Step &step = entry.steps[i];
      if (step.kind != StepKind::Launch || step.kernel != KernelId::Attention) {
        continue;
      }
      for (size_t n : {size_t(1), size_t(2)}) {
        auto state = std::find_if(plan.states.begin(), plan.states.end(),
                                  [&](const State &s) {
                                    return s.buffer == step.operands[n].buffer;
                                  });
        if (state == plan.states.end() || state->ringBlocks == 0) {
          continue;
        }
        int64_t ring = state->ringBlocks * state->blockTokens;
        if (step.ints[3] < 1 || step.ints[3] > ring || most - 1 > ring ||
            step.ints[3] + (most - 1) > ring) {
          return unsafe(describeStep(entry, i) + ": a window of " +
                        std::to_string(step.ints[3]) + " tokens of state '" +
                        state->name + "', whose ring of " +
                        std::to_string(ring) + " must also hold the " +
                        std::to_string(most) +
                        " that an entry may add, but one");
        }
      }
    }
  }
  return {};
}

} // namespace llmc::plan
