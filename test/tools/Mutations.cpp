//===- Mutations.cpp - Ways to damage a plan ------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/tools/Mutations.h"

#include <algorithm>

using namespace llmc::plan;

namespace llmc::mutation {

namespace {

std::string number(uint64_t n) { return std::to_string(n); }

/// An index at random of those that `good` likes; kNone if there is none.
template <class List, class Good>
uint32_t pick(Draft &d, const List &list, const Good &good) {
  std::vector<uint32_t> found;
  for (uint32_t i = 0; i < list.size(); ++i) {
    if (good(list[i])) {
      found.push_back(i);
    }
  }
  return found.empty() ? kNone : found[d.below(found.size())];
}

uint32_t pickEntry(Draft &d) {
  return pick(d, d.plan.entries,
              [](const Entry &e) { return !e.steps.empty(); });
}

/// A buffer of any kind; remembers whom it concerns.
Buffer *pickBuffer(Draft &d, const std::function<bool(const Buffer &)> &good) {
  uint32_t i = pick(d, d.plan.buffers, good);
  if (i == kNone) {
    return nullptr;
  }
  Buffer &buffer = d.plan.buffers[i];
  if (buffer.entry != kNone) {
    d.entries = {buffer.entry};
  }
  d.what = "buffer " + buffer.name;
  return &buffer;
}

Step *pickStep(Draft &d, const std::function<bool(const Step &)> &good) {
  std::vector<std::pair<uint32_t, uint32_t>> found;
  for (uint32_t e = 0; e < d.plan.entries.size(); ++e) {
    for (uint32_t s = 0; s < d.plan.entries[e].steps.size(); ++s) {
      if (good(d.plan.entries[e].steps[s])) {
        found.push_back({e, s});
      }
    }
  }
  if (found.empty()) {
    return nullptr;
  }
  auto [e, s] = found[d.below(found.size())];
  d.entries = {e};
  Step &step = d.plan.entries[e].steps[s];
  d.what = "entry " + d.plan.entries[e].name + " step " + number(s) + " '" +
           step.name + "'";
  return &step;
}

bool isLaunch(const Step &step) {
  return step.kind == StepKind::Launch && !step.operands.empty();
}

/// Multiples of the alignment, near and far, rarely something odd.
int64_t shift(Draft &d) {
  int64_t by = d.below(16) == 0 ? int64_t(1 + d.below(63))
               : d.coin()       ? 64 * int64_t(1 + d.below(8))
                                : 64 * int64_t(1 + d.below(4096));
  return d.coin() ? by : -by;
}

bool move(uint64_t &value, int64_t by) {
  if (by < 0 && value < uint64_t(-by)) {
    return false;
  }
  value += uint64_t(by);
  return true;
}

/// In place of a step: a signal that nobody waits for.
void forget(Draft &d, Step &step) {
  Entry &entry = d.plan.entries[d.entries[0]];
  Stream stream = step.stream;
  step = Step();
  step.kind = StepKind::Signal;
  step.stream = stream;
  step.event = entry.numEvents++;
}

bool moveStep(Draft &d, bool later,
              const std::function<bool(const Step &)> &good) {
  Step *step = pickStep(d, good);
  if (step == nullptr) {
    return false;
  }
  std::vector<Step> &steps = d.plan.entries[d.entries[0]].steps;
  auto from = step - steps.data();
  auto room = later ? ptrdiff_t(steps.size()) - 1 - from : from;
  if (room == 0) {
    return false;
  }
  auto by =
      1 + ptrdiff_t(d.below(d.coin() ? std::min<uint64_t>(uint64_t(room), 6)
                                     : uint64_t(room)));
  d.what += " to " + std::to_string(later ? from + by : from - by);
  auto at = steps.begin() + from;
  if (later) {
    std::rotate(at, at + 1, at + by + 1);
  } else {
    std::rotate(at - by, at, at + 1);
  }
  return true;
}

bool isKind(const Buffer &b, BufferKind kind) { return b.kind == kind; }

bool changeLifetime(Draft &d, bool start, bool longer) {
  Buffer *b = pickBuffer(
      d, [&](const Buffer &x) { return x.entry != kNone && x.start < x.end; });
  if (b == nullptr) {
    return false;
  }
  auto steps = uint32_t(d.plan.entries[b->entry].steps.size());
  uint32_t room = !longer ? b->end - b->start
                  : start ? b->start
                          : steps - b->end;
  if (room == 0) {
    return false;
  }
  uint32_t by = 1 + uint32_t(d.below(d.coin() ? 1 : room));
  uint32_t &side = start ? b->start : b->end;
  side = start == longer ? side - by : side + by;
  d.what += " [" + number(b->start) + ", " + number(b->end) + ")";
  return true;
}

bool swapPlaces(Draft &d, const std::function<bool(const Buffer &)> &good,
                bool otherEntry) {
  uint32_t i = pick(d, d.plan.buffers, good);
  if (i == kNone) {
    return false;
  }
  Buffer &a = d.plan.buffers[i];
  uint32_t j = pick(d, d.plan.buffers, [&](const Buffer &x) {
    return &x != &a && good(x) && x.offset != a.offset &&
           (x.entry != a.entry) == otherEntry;
  });
  if (j == kNone) {
    return false;
  }
  Buffer &b = d.plan.buffers[j];
  std::swap(a.offset, b.offset);
  d.what = "buffers " + a.name + " and " + b.name;
  return true;
}

/// An expression of the entry, or a new constant near the old value.
uint32_t otherExpr(Draft &d, Entry &entry, uint32_t old) {
  if (d.coin() && !entry.exprs.empty()) {
    return uint32_t(d.below(entry.exprs.size()));
  }
  const ExprNode &node = entry.exprs[old];
  int64_t value = node.op == ExprOp::Constant ? node.value : 4;
  switch (d.below(4)) {
  case 0:
    ++value;
    break;
  case 1:
    value = std::max<int64_t>(0, value - 1);
    break;
  case 2:
    value *= 2;
    break;
  default:
    value = int64_t(d.below(64));
  }
  entry.exprs.push_back({ExprOp::Constant, 0, 0, value});
  return uint32_t(entry.exprs.size() - 1);
}

bool changeTotals(Draft &d) {
  Totals &t = d.plan.totals;
  uint64_t *all[] = {
      &t.deviceBytes,         &t.arenaBytes,    &t.residentWeightBytes,
      &t.stateBytes,          &t.stagingBytes,  &t.workspaceBytes,
      &t.activationPeakBytes, &t.constantBytes, &t.reserveBytes};
  uint64_t which = d.below(std::size(all));
  d.what = "total " + number(which);
  return move(*all[which], shift(d));
}

/// Arena and device bytes shrink together: what is left is no longer enough.
bool shrinkArena(Draft &d) {
  Totals &t = d.plan.totals;
  uint64_t by = 64 * (1 + d.below(64));
  if (t.activationPeakBytes < by || t.arenaBytes < by) {
    return false;
  }
  t.arenaBytes -= by;
  t.deviceBytes -= by;
  t.activationPeakBytes -= by;
  d.what = "arena smaller by " + number(by);
  return true;
}

bool changeInts(Draft &d) {
  Step *step = pickStep(d, [](const Step &s) {
    return isLaunch(s) && !s.ints.empty() && s.kernel != KernelId::Pointwise;
  });
  if (step == nullptr) {
    return false;
  }
  size_t i = d.below(step->ints.size());
  int64_t &value = step->ints[i];
  int64_t old = value;
  value = d.coin() ? value ^ 1 : d.coin() ? value * 2 + 1 : value - 1;
  d.what += " int " + number(i) + " " + std::to_string(old) + " -> " +
            std::to_string(value);
  return true;
}

bool changeState(Draft &d) {
  if (d.plan.states.empty()) {
    return false;
  }
  State &state = d.plan.states[d.below(d.plan.states.size())];
  if (state.spill != kNone && d.coin()) {
    state.residentBlocks += d.coin() ? 1 : -1;
    d.what = "state " + state.name + " resident";
    return true;
  }
  if (state.ringBlocks != 0 && d.coin()) {
    (d.coin() ? state.ringBlocks : state.sinkBlocks) += d.coin() ? 1 : -1;
    d.what = "state " + state.name + " ring";
    return true;
  }
  int64_t &value = d.coin() ? state.capacity : state.blockTokens;
  value = d.coin() ? value * 2 : std::max<int64_t>(1, value / 2);
  d.what = "state " + state.name;
  return true;
}

std::vector<Mutation> makeMutations() {
  std::vector<Mutation> all;
  auto add = [&](const char *name, const char *harmless, bool mayHarm,
                 std::function<bool(Draft &)> apply) {
    all.push_back({name, harmless, mayHarm, std::move(apply)});
  };
  auto anyBuffer = [](const Buffer &b) { return b.size > 0; };
  auto slot = [](const Buffer &b) { return isKind(b, BufferKind::Staging); };
  auto passing = [](const Buffer &b) {
    return b.entry != kNone && b.size > 0 && b.start < b.end;
  };
  auto copy = [](const Step &s) { return s.kind == StepKind::Copy; };

  add("offset shifted", "moved into bytes that are free meanwhile", true,
      [=](Draft &d) {
        Buffer *b = pickBuffer(d, anyBuffer);
        return b != nullptr && move(b->offset, shift(d));
      });
  add("size grown", "room that nobody uses meanwhile", true, [=](Draft &d) {
    Buffer *b = pickBuffer(d, anyBuffer);
    return b != nullptr && move(b->size, std::abs(shift(d)));
  });
  add("size shrunk", "no run needs the bytes", true, [=](Draft &d) {
    Buffer *b = pickBuffer(d, anyBuffer);
    if (b == nullptr) {
      return false;
    }
    b->size -= 1 + d.below(d.coin() ? b->size : std::min<uint64_t>(b->size, 8));
    return true;
  });
  add("wait dropped", "the order follows from other events", true,
      [](Draft &d) {
        Step *s =
            pickStep(d, [](const Step &x) { return x.kind == StepKind::Wait; });
        if (s == nullptr) {
          return false;
        }
        forget(d, *s);
        return true;
      });
  add("signal dropped", "nobody waits for it", true, [](Draft &d) {
    Step *s =
        pickStep(d, [](const Step &x) { return x.kind == StepKind::Signal; });
    if (s == nullptr) {
      return false;
    }
    forget(d, *s);
    return true;
  });
  add("event exchanged", "the order follows from other events", true,
      [](Draft &d) {
        Step *s = pickStep(d, [](const Step &x) {
          return x.kind == StepKind::Wait || x.kind == StepKind::Signal;
        });
        if (s == nullptr) {
          return false;
        }
        s->event = uint32_t(d.below(d.plan.entries[d.entries[0]].numEvents));
        return true;
      });
  add("copy moved earlier", "its slot was free by then", true,
      [=](Draft &d) { return moveStep(d, false, copy); });
  add("copy moved later", "still complete before its first reader", true,
      [=](Draft &d) { return moveStep(d, true, copy); });
  add("copy dropped", "nobody reads its slot", true, [=](Draft &d) {
    Step *s = pickStep(d, copy);
    if (s == nullptr) {
      return false;
    }
    forget(d, *s);
    return true;
  });
  add("copy range changed", "the bytes left out are padding", true,
      [=](Draft &d) {
        Step *s = pickStep(d, copy);
        if (s == nullptr) {
          return false;
        }
        uint64_t *all[] = {&s->bytes, &s->targetOffset, &s->sourceOffset};
        uint64_t which = d.below(3);
        d.what += " field " + number(which);
        int64_t by = d.coin() ? shift(d) : int64_t(d.below(9)) - 4;
        return by != 0 && move(*all[which], by);
      });
  add("rows changed", "fewer rows, or the same bytes", true, [](Draft &d) {
    Step *s = pickStep(d, [](const Step &x) { return x.gathersRows(); });
    if (s == nullptr) {
      return false;
    }
    size_t i = d.below(2);
    d.what += i == 0 ? " rows" : " row bytes";
    s->ints[i] += d.coin() ? 1 : d.coin() ? -1 : s->ints[i];
    return true;
  });
  add("indices changed", "other indices that are written", true, [](Draft &d) {
    Step *s = pickStep(d, [](const Step &x) { return x.gathersRows(); });
    if (s == nullptr) {
      return false;
    }
    Operand &indices = s->operands[0];
    Entry &entry = d.plan.entries[d.entries[0]];
    if (d.below(3) == 0) {
      indices.buffer = uint32_t(d.below(d.plan.buffers.size()));
    } else if (d.coin() && !indices.dims.empty()) {
      uint32_t &dim = indices.dims[d.below(indices.dims.size())];
      dim = otherExpr(d, entry, dim);
    } else {
      indices.offset += indices.offset != 0 && d.coin() ? -4 : 4;
    }
    return true;
  });
  auto isSwap = [](const Step &s) {
    return s.kind == StepKind::SwapOut || s.kind == StepKind::SwapIn;
  };
  add("swap moved", "others are not between", true,
      [=](Draft &d) { return moveStep(d, d.coin(), isSwap); });
  add("swap dropped", "nobody reads what comes back", true, [=](Draft &d) {
    Step *s = pickStep(d, isSwap);
    if (s == nullptr) {
      return false;
    }
    forget(d, *s);
    return true;
  });
  add("swap changed", "the bytes left out are padding", true, [=](Draft &d) {
    Step *s = pickStep(d, isSwap);
    if (s == nullptr) {
      return false;
    }
    size_t which = d.below(5);
    d.what += " field " + number(which);
    if (which == 0) {
      s->buffer = uint32_t(d.below(d.plan.buffers.size()));
    } else if (which == 1) {
      s->below = uint32_t(d.below(d.plan.buffers.size()));
    } else if (which == 2) {
      s->kind =
          s->kind == StepKind::SwapOut ? StepKind::SwapIn : StepKind::SwapOut;
    } else {
      return move(which == 3 ? s->bytes : s->targetOffset, shift(d));
    }
    return true;
  });
  add("copy into another slot", "the slot is free and nobody misses it", true,
      [=](Draft &d) {
        Step *s = pickStep(d, copy);
        if (s == nullptr) {
          return false;
        }
        s->buffer = pick(d, d.plan.buffers, slot);
        return true;
      });
  auto restore = [](const Step &s) { return s.kind == StepKind::Restore; };
  auto spill = [](const Step &s) { return s.kind == StepKind::Spill; };
  auto moves = [=](const Step &s) { return restore(s) || spill(s); };
  add("restore moved", "still before its first reader, its slot free", true,
      [=](Draft &d) { return moveStep(d, d.coin(), restore); });
  add("spill moved", "still behind its append, its slot not used again", true,
      [=](Draft &d) { return moveStep(d, d.coin(), spill); });
  add("restore or spill dropped", "no block of it moves", true, [=](Draft &d) {
    Step *s = pickStep(d, moves);
    if (s == nullptr) {
      return false;
    }
    forget(d, *s);
    return true;
  });
  add("restore or spill changed", "no block of it moves", true, [=](Draft &d) {
    Step *s = pickStep(d, moves);
    if (s == nullptr) {
      return false;
    }
    const State &state = d.plan.states[s->state];
    switch (d.below(6)) {
    case 0:
      s->firstBlock += d.coin() ? 1 : -1;
      d.what += " first block";
      return true;
    case 1: {
      uint64_t blocks = 1 + d.below(3);
      uint64_t bytes = d.plan.buffers[state.buffer].size /
                       uint64_t(std::max<int64_t>(state.residentBlocks, 0) + 1);
      d.what += " bytes";
      return move(s->bytes, (d.coin() ? 1 : -1) * int64_t(blocks * bytes));
    }
    case 2:
      d.what += " bytes";
      return move(s->bytes, shift(d));
    case 3:
      s->state = uint32_t(d.below(d.plan.states.size()));
      d.what += " state";
      return true;
    case 4:
      s->stream = s->stream == Stream::Copy ? Stream::Compute : Stream::Copy;
      d.what += " stream";
      return true;
    default:
      s->buffer = pick(d, d.plan.buffers, slot);
      d.what += " slot";
      return true;
    }
  });
  add("lifetime starts later", "touched before it, in bytes that are free then",
      true, [](Draft &d) { return changeLifetime(d, true, false); });
  add("lifetime ends earlier", "touched after it, in bytes that are free then",
      true, [](Draft &d) { return changeLifetime(d, false, false); });
  add("lifetime longer", "longer than needed", false,
      [](Draft &d) { return changeLifetime(d, d.coin(), true); });
  add("slots swapped", "each fits where the other was", true,
      [=](Draft &d) { return swapPlaces(d, slot, false); });
  add("buffers swapped", "each fits where the other was", true,
      [=](Draft &d) { return swapPlaces(d, passing, false); });
  add("buffers of two entries swapped", "each fits where the other was", true,
      [=](Draft &d) {
        return d.plan.entries.size() > 1 && swapPlaces(d, passing, true);
      });
  add("buffer given to another entry", "no step touches it", true,
      [=](Draft &d) {
        Buffer *b = pickBuffer(d, passing);
        if (b == nullptr || d.plan.entries.size() < 2) {
          return false;
        }
        b->entry = (b->entry + 1) % uint32_t(d.plan.entries.size());
        auto steps = uint32_t(d.plan.entries[b->entry].steps.size());
        b->end = std::min(b->end, steps);
        b->start = std::min(b->start, b->end);
        d.entries.clear();
        return true;
      });
  add("operands exchanged", "both are written: other data, as safe", true,
      [](Draft &d) {
        Step *s = pickStep(d, [](const Step &x) {
          return isLaunch(x) && x.operands.size() > 1;
        });
        if (s == nullptr) {
          return false;
        }
        size_t i = d.below(s->operands.size());
        size_t j =
            (i + 1 + d.below(s->operands.size() - 1)) % s->operands.size();
        if (d.coin()) {
          std::swap(s->operands[i].buffer, s->operands[j].buffer);
        } else {
          std::swap(s->operands[i], s->operands[j]);
        }
        d.what += " operands " + number(i) + " and " + number(j);
        return true;
      });
  add("operand of another step", "it is written: other data, as safe", true,
      [](Draft &d) {
        Step *s = pickStep(d, isLaunch);
        if (s == nullptr) {
          return false;
        }
        std::vector<Step> &steps = d.plan.entries[d.entries[0]].steps;
        const Step &other = steps[pick(d, steps, isLaunch)];
        Operand &a = s->operands[d.below(s->operands.size())];
        a.buffer = other.operands[d.below(other.operands.size())].buffer;
        return true;
      });
  add("operand of another entry", "what is written there is never read", true,
      [](Draft &d) {
        Step *s = pickStep(d, isLaunch);
        uint32_t b = pick(d, d.plan.buffers, [&](const Buffer &x) {
          return x.entry != kNone && x.entry != d.entries[0];
        });
        if (s == nullptr || b == kNone) {
          return false;
        }
        s->operands[d.below(s->operands.size())].buffer = b;
        return true;
      });
  add("operand offset shifted", "other bytes that are written, as safe", true,
      [](Draft &d) {
        Step *s = pickStep(d, isLaunch);
        if (s == nullptr) {
          return false;
        }
        size_t i = d.below(s->operands.size());
        d.what += " operand " + number(i);
        int64_t by = 4 * int64_t(1 + d.below(64));
        return move(s->operands[i].offset,
                    s->operands[i].offset > 0 && d.coin() ? -by : by);
      });
  add("dims replaced", "the view is written as a whole, and read so", true,
      [](Draft &d) {
        Step *s = pickStep(d, [](const Step &x) {
          return isLaunch(x) &&
                 std::any_of(x.operands.begin(), x.operands.end(),
                             [](const Operand &o) { return !o.dims.empty(); });
        });
        if (s == nullptr) {
          return false;
        }
        size_t i = pick(d, s->operands,
                        [](const Operand &o) { return !o.dims.empty(); });
        std::vector<uint32_t> &dims = s->operands[i].dims;
        uint32_t &dim = dims[d.below(dims.size())];
        dim = otherExpr(d, d.plan.entries[d.entries[0]], dim);
        d.what += " operand " + number(i);
        return true;
      });
  add("parameter replaced", "touches bytes that are written, as safe", true,
      [](Draft &d) {
        Step *s = pickStep(
            d, [](const Step &x) { return isLaunch(x) && !x.params.empty(); });
        if (s == nullptr) {
          return false;
        }
        size_t i = d.below(s->params.size());
        s->params[i] = otherExpr(d, d.plan.entries[d.entries[0]], s->params[i]);
        d.what += " parameter " + number(i);
        return true;
      });
  add("kernel integer changed", "does not change which bytes are touched", true,
      changeInts);
  add("steps reordered", "independent of each other", true, [](Draft &d) {
    return moveStep(d, d.coin(), [](const Step &) { return true; });
  });
  add("step dropped", "nobody reads its result", true, [](Draft &d) {
    Step *s = pickStep(d, isLaunch);
    if (s == nullptr) {
      return false;
    }
    forget(d, *s);
    return true;
  });
  add("budget lowered", "still enough", true, [](Draft &d) {
    Totals &t = d.plan.totals;
    t.budgetBytes = t.deviceBytes + 64 * d.below(2) - 1 - d.below(4096);
    return true;
  });
  add("totals changed", "a part of the sum, no memory", true, changeTotals);
  add("arena shrunk", "its end was not in use", true, shrinkArena);
  add("port redirected", "a buffer that may be filled or read so", true,
      [](Draft &d) {
        uint32_t e = pickEntry(d);
        if (e == kNone) {
          return false;
        }
        d.entries = {e};
        Entry &entry = d.plan.entries[e];
        std::vector<Port> &ports =
            d.coin() || entry.outputs.empty() ? entry.inputs : entry.outputs;
        uint32_t i = pick(
            d, ports, [](const Port &p) { return p.role != PortRole::State; });
        if (i == kNone) {
          return false;
        }
        ports[i].buffer = uint32_t(d.below(d.plan.buffers.size()));
        d.what = "port " + ports[i].name;
        return true;
      });
  add("port's dims replaced", "the buffer holds and the steps need as much",
      true, [](Draft &d) {
        uint32_t e = pickEntry(d);
        if (e == kNone) {
          return false;
        }
        d.entries = {e};
        Entry &entry = d.plan.entries[e];
        std::vector<Port> &ports =
            d.coin() || entry.outputs.empty() ? entry.inputs : entry.outputs;
        uint32_t i = pick(d, ports, [](const Port &p) {
          return p.role != PortRole::State && !p.dims.empty();
        });
        if (i == kNone) {
          return false;
        }
        uint32_t &dim = ports[i].dims[d.below(ports[i].dims.size())];
        dim = otherExpr(d, entry, dim);
        d.what = "port " + ports[i].name;
        return true;
      });
  add("segment exchanged", "another of the same size", true, [](Draft &d) {
    Buffer *b = pickBuffer(d, [](const Buffer &x) {
      return isKind(x, BufferKind::Weight) && x.segment != kNone;
    });
    if (b == nullptr) {
      return false;
    }
    b->segment = uint32_t(d.below(d.plan.segments.size()));
    return true;
  });
  add("state changed", "the layout fits its buffer all the same", true,
      changeState);
  add("new tokens replaced", "the state holds as many", true, [](Draft &d) {
    uint32_t e = pick(d, d.plan.entries,
                      [](const Entry &x) { return x.newTokens != kNone; });
    if (e == kNone) {
      return false;
    }
    d.entries = {e};
    Entry &entry = d.plan.entries[e];
    entry.newTokens = otherExpr(d, entry, entry.newTokens);
    return true;
  });
  add("carried slot changed", "the slots of equal bytes exchanged", true,
      [](Draft &d) {
        if (d.plan.carried.empty()) {
          return false;
        }
        uint64_t which = d.below(d.plan.carried.size());
        CarriedSlot &slot = d.plan.carried[which];
        d.what = "carried slot " + number(which);
        if (d.below(4) == 0) {
          slot.segment = uint32_t(d.below(d.plan.segments.size()));
          return true;
        }
        uint64_t *all[] = {&slot.sourceOffset, &slot.bytes, &slot.offset};
        return move(*all[d.below(3)], shift(d));
      });
  add("carried buffer exchanged", "the same buffer", true, [=](Draft &d) {
    uint32_t e = pick(d, d.plan.entries,
                      [](const Entry &x) { return !x.carried.empty(); });
    if (e == kNone) {
      return false;
    }
    d.entries = {e};
    CarriedUse &use =
        d.plan.entries[e].carried[d.below(d.plan.entries[e].carried.size())];
    uint32_t &side = d.coin() ? use.first : use.last;
    uint32_t old = side;
    side = d.coin() ? (d.coin() ? use.first : use.last)
                    : pick(d, d.plan.buffers, slot);
    d.what = "entry " + d.plan.entries[e].name;
    return side != old && side != kNone;
  });
  return all;
}

} // namespace

const std::vector<Mutation> &allMutations() {
  static const std::vector<Mutation> all = makeMutations();
  return all;
}

} // namespace llmc::mutation
