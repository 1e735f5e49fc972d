//===- passes_in_place.cpp - Sharing buffers changes no value -------------===//
//
// Random schedules are executed symbolically, before and after the choice:
// every step must read the same values from wherever they lie now.
//
//===----------------------------------------------------------------------===//

#include "passes/memory/InPlaceChoice.h"
#include "passes/memory/OrderChoice.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

using namespace llmc;
using memory::chooseInPlace;
using memory::InPlaceChoice;
using memory::StepModel;
using memory::Touch;
using planir::Kind;

namespace {

constexpr uint64_t kCell = 64; // bytes that are written and read together

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15u + b + 0x7F4A7C15u;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9u;
  return x ^ x >> 32;
}

/// Steps that reduce, compute element by element, copy pieces, and read.
class Generator {
public:
  explicit Generator(uint64_t seed) : random(seed) {}

  StepModel model() {
    StepModel out;
    for (size_t i = 0, n = 1 + pick(2); i < n; ++i) {
      add(out, Kind::Input, 1 + pick(4));
    }
    add(out, Kind::Constant, 1 + pick(4));
    add(out, Kind::State, 1 + pick(3));
    uint32_t steps = 3 + pick(14);
    for (uint32_t i = 0; i < steps; ++i) {
      addStep(out, i);
    }
    // Some of what exists is the result.
    for (size_t i = 0; i < out.buffers.size(); ++i) {
      if (out.buffers[i].kind == Kind::Activation && complete[i] &&
          pick(5) == 0) {
        out.buffers[i].kind = Kind::Output;
      }
    }
    return out;
  }

private:
  uint32_t pick(uint32_t n) {
    return static_cast<uint32_t>(random() % std::max(n, 1u));
  }

  uint32_t add(StepModel &model, Kind kind, uint64_t cells) {
    model.buffers.push_back({{}, cells * kCell, kind});
    complete.push_back(kind != Kind::Activation);
    return static_cast<uint32_t>(model.buffers.size() - 1);
  }

  /// A complete buffer other than a state, or nothing.
  std::optional<uint32_t> source(const StepModel &model) {
    for (int i = 0; i < 20; ++i) {
      uint32_t buffer = pick(static_cast<uint32_t>(model.buffers.size()));
      // Recent values are read more often than old ones.
      buffer =
          std::max(buffer, pick(static_cast<uint32_t>(model.buffers.size())));
      if (complete[buffer] && model.buffers[buffer].kind != Kind::State) {
        return buffer;
      }
    }
    return std::nullopt;
  }

  uint64_t cells(const StepModel &model, uint32_t buffer) {
    return model.buffers[buffer].size / kCell;
  }

  static Touch whole(const StepModel &model, uint32_t step, uint32_t operand,
                     uint32_t buffer, bool writes) {
    return {step,    operand, buffer, 0, model.buffers[buffer].size,
            !writes, writes};
  }

  void addStep(StepModel &model, uint32_t number) {
    memory::Step step;
    auto push = [&](Touch touch) {
      touch.operand = static_cast<uint32_t>(step.touches.size());
      step.touches.push_back(touch);
    };
    std::optional<uint32_t> a = source(model);
    std::optional<uint32_t> b = source(model);
    switch (a && b ? pick(8) : 7) {
    case 0:
    case 1:
    case 2: { // element-wise, over any operand of the same size
      uint32_t result = add(model, Kind::Activation, cells(model, *a));
      push(whole(model, number, 0, *a, false));
      push(whole(model, number, 0, pick(4) == 0 ? *a : *b, false));
      push(whole(model, number, 0, result, true));
      for (uint32_t i : {0u, 1u}) {
        bool same = model.buffers[step.touches[i].buffer].size ==
                    model.buffers[result].size;
        step.takeovers.push_back({i, 2, same ? "" : "broadcast"});
      }
      complete[result] = true;
      break;
    }
    case 3: { // slice
      uint64_t have = cells(model, *a);
      uint64_t from = pick(static_cast<uint32_t>(have));
      uint64_t count = 1 + pick(static_cast<uint32_t>(have - from));
      uint32_t result = add(model, Kind::Activation, count);
      Touch in = whole(model, number, 0, *a, false);
      in.begin = from * kCell;
      in.end = (from + count) * kCell;
      push(in);
      push(whole(model, number, 0, result, true));
      step.copy = {in.begin, 0, {}};
      complete[result] = true;
      break;
    }
    case 4:
    case 5: { // one piece of a concatenation
      if (!open || pick(6) == 0) {
        open = add(model, Kind::Activation, 2 + pick(4));
        filled = 0;
      }
      uint64_t room = cells(model, *open) - filled;
      if (cells(model, *a) > room || *a == *open) {
        return addStep(model, number);
      }
      push(whole(model, number, 0, *a, false));
      Touch out = whole(model, number, 0, *open, true);
      out.begin = filled * kCell;
      out.end = out.begin + model.buffers[*a].size;
      push(out);
      step.copy = {0, out.begin, {}};
      filled += cells(model, *a);
      if (filled == cells(model, *open)) {
        complete[*open] = true;
        open.reset();
      }
      break;
    }
    case 6: { // updates the state, as kv_append does
      uint32_t state = 0;
      while (model.buffers[state].kind != Kind::State) {
        ++state;
      }
      push(whole(model, number, 0, *a, false));
      push(whole(model, number, 0, state, true));
      step.touches.back().reads = true;
      uint32_t result = add(model, Kind::Activation, 1 + pick(3));
      push(whole(model, number, 0, result, true));
      complete[result] = true;
      break;
    }
    default: { // something that may not write over what it reads
      uint32_t result = add(model, Kind::Activation, 1 + pick(4));
      for (std::optional<uint32_t> operand : {a, b}) {
        if (operand) {
          push(whole(model, number, 0, *operand, false));
        }
      }
      push(whole(model, number, 0, result, true));
      complete[result] = true;
      break;
    }
    }
    model.steps.push_back(std::move(step));
  }

  std::mt19937_64 random;
  std::vector<bool> complete; // per buffer: may be read as a whole
  std::optional<uint32_t> open;
  uint64_t filled = 0; // cells of `open`
};

/// What each step read, by the step's number in `names`, and the outputs.
std::map<uint64_t, uint64_t> execute(const StepModel &model,
                                     const InPlaceChoice *choice,
                                     const std::vector<uint32_t> &names) {
  std::vector<std::vector<uint64_t>> memory(model.buffers.size());
  auto place = [&](uint32_t buffer) {
    return choice ? choice->places[buffer] : InPlaceChoice::Place{buffer, 0};
  };
  for (uint32_t i = 0; i < memory.size(); ++i) {
    uint64_t size = choice ? choice->sizes[i] : model.buffers[i].size;
    memory[i].assign(size / kCell, 0);
    for (uint64_t c = 0; c < memory[i].size(); ++c) {
      memory[i][c] = mix(i, c);
    }
  }
  std::map<uint64_t, uint64_t> seen;
  for (uint32_t i = 0; i < model.steps.size(); ++i) {
    const memory::Step &step = model.steps[i];
    if (choice && choice->dropped[i]) {
      continue;
    }
    auto cell = [&](const Touch &touch, uint64_t c) -> uint64_t & {
      InPlaceChoice::Place at = place(touch.buffer);
      return memory[at.root].at((at.offset + touch.begin) / kCell + c);
    };
    if (step.copy) {
      const Touch &in = step.touches[0], &out = step.touches[1];
      std::vector<uint64_t> moved;
      for (uint64_t c = 0; c < (in.end - in.begin) / kCell; ++c) {
        moved.push_back(cell(in, c));
      }
      for (uint64_t c = 0; c < moved.size(); ++c) {
        cell(out, c) = moved[c];
      }
      continue;
    }
    uint64_t value = mix(names[i], 1);
    for (const Touch &touch : step.touches) {
      for (uint64_t c = 0; touch.reads && c < (touch.end - touch.begin) / kCell;
           ++c) {
        value = mix(value, cell(touch, c));
      }
    }
    seen[names[i]] = value;
    for (const Touch &touch : step.touches) {
      for (uint64_t c = 0;
           touch.writes && c < (touch.end - touch.begin) / kCell; ++c) {
        cell(touch, c) = mix(value, 1000 * touch.operand + c);
      }
    }
  }
  for (uint32_t i = 0; i < model.buffers.size(); ++i) {
    Kind kind = model.buffers[i].kind;
    if (kind == Kind::Output || kind == Kind::State || kind == Kind::Constant) {
      InPlaceChoice::Place at = place(i);
      uint64_t value = 0;
      for (uint64_t c = 0; c < model.buffers[i].size / kCell; ++c) {
        value = mix(value, memory[at.root].at(at.offset / kCell + c));
      }
      seen[1'000'000 + i] = value;
    }
  }
  return seen;
}

/// A kernel reads and writes the same bytes only where it may.
void expectKernelsObeyed(const StepModel &model, const InPlaceChoice &choice) {
  for (uint32_t i = 0; i < model.steps.size(); ++i) {
    const memory::Step &step = model.steps[i];
    for (const Touch &out : step.touches) {
      for (const Touch &in : step.touches) {
        if (choice.dropped[i] || !out.writes || &in == &out) {
          continue;
        }
        InPlaceChoice::Place a = choice.places[in.buffer];
        InPlaceChoice::Place b = choice.places[out.buffer];
        if (a.root != b.root || a.offset + in.begin >= b.offset + out.end ||
            b.offset + out.begin >= a.offset + in.end) {
          continue;
        }
        bool allowed = a.offset + in.begin == b.offset + out.begin &&
                       in.end - in.begin == out.end - out.begin;
        bool candidate = false;
        for (const auto &takeover : step.takeovers) {
          candidate |= takeover.operand == in.operand &&
                       takeover.result == out.operand &&
                       takeover.obstacle.empty();
        }
        EXPECT_TRUE(allowed && candidate) << "step " << i;
      }
    }
  }
}

std::vector<uint32_t> identity(const StepModel &model) {
  std::vector<uint32_t> names;
  for (uint32_t i = 0; i < model.steps.size(); ++i) {
    names.push_back(i);
  }
  return names;
}

TEST(InPlace, KeepsEveryValueOnRandomSchedules) {
  uint64_t takeovers = 0, copies = 0, refused = 0;
  for (uint64_t seed = 0; seed < 30'000; ++seed) {
    StepModel model = Generator(seed).model();
    InPlaceChoice choice = chooseInPlace(model);
    ASSERT_EQ(execute(model, nullptr, identity(model)),
              execute(model, &choice, identity(model)))
        << "seed " << seed;
    expectKernelsObeyed(model, choice);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    ASSERT_LE(choice.peakAfter, choice.peakBefore) << "seed " << seed;
    for (const memory::InPlaceDecision &decision : choice.decisions) {
      ASSERT_EQ(decision.taken, decision.reason.empty());
      (decision.taken
           ? decision.rewrite == memory::Rewrite::Copy ? copies : takeovers
           : refused)++;
    }
  }
  // The generator makes all of them often.
  EXPECT_GT(takeovers, 10'000u);
  EXPECT_GT(copies, 10'000u);
  EXPECT_GT(refused, 10'000u);
}

TEST(Order, KeepsEveryValueAndNeverRaisesThePeak) {
  uint64_t moved = 0;
  for (uint64_t seed = 0; seed < 4'000; ++seed) {
    StepModel model = Generator(seed).model();
    memory::OrderChoice order =
        memory::chooseOrder(model, 2'000, /*inPlace=*/true);
    ASSERT_LE(order.peak, order.modelPeak);
    StepModel ordered = model.reordered(order.order);
    InPlaceChoice choice = chooseInPlace(ordered);
    ASSERT_EQ(choice.peakAfter, order.peak) << "seed " << seed;
    ASSERT_EQ(execute(model, nullptr, identity(model)),
              execute(ordered, &choice, order.order))
        << "seed " << seed;
    ASSERT_EQ(order.moved, order.peak < order.modelPeak);
    moved += order.moved;
  }
  EXPECT_GT(moved, 100u);
}

} // namespace
