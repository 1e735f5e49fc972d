//===- PlacementChoice.cpp - Which weights stay under a budget -*- C++ -*-===//

#include "passes/memory/PlacementChoice.h"

#include "passes/memory/Layout.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

namespace llmc::memory {

static Choice allResident(const PlacementModel &model) {
  return {std::vector<bool>(model.weights.size(), true), 0, 0, false};
}

static Choice allStreamed(const PlacementModel &model, uint64_t tile,
                          uint64_t window) {
  return {std::vector<bool>(model.weights.size(), false), tile, window, false};
}

MinimumPlan findMinimum(const PlacementModel &model, uint64_t reserve) {
  MinimumPlan minimum;
  minimum.choice = allStreamed(model, 0, 0);
  uint64_t arena = model.evaluate(minimum.choice);
  Choice resident = allResident(model);
  uint64_t residentArena = model.evaluate(resident);
  if (residentArena <= arena) {
    minimum.choice = resident;
    arena = residentArena;
  }
  uint64_t bytes = arena + reserve;
  // In pages, but never more than everything resident takes.
  minimum.bytes =
      std::min((bytes + kPage - 1) / kPage * kPage, residentArena + reserve);
  return minimum;
}

namespace {

/// A weight in the order of its first use in the main entry.
struct Candidate {
  uint32_t weight = 0;
  /// What keeping it saves per byte, in quarters of a load per run of the main
  /// entry: how often it is streamed, and that each copy costs as much as
  /// kCopyOverhead more bytes.
  uint64_t value = 0;
};

constexpr uint64_t kCopyOverhead = 16 * 1024;

std::vector<Candidate> candidates(const PlacementModel &model) {
  std::vector<Candidate> out;
  std::vector<bool> seen(model.weights.size(), false);
  const EntryInfo *entry = model.mainEntry();
  if (entry) {
    // Bytes, and what the copies cost beside them.
    std::vector<uint64_t> loads(model.weights.size(), 0);
    StreamSchedule plan =
        model.schedule(*entry, allStreamed(model, UINT64_MAX, 0));
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        loads[range.weight] += range.bytes + kCopyOverhead;
      }
    }
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        if (!seen[range.weight]) {
          seen[range.weight] = true;
          out.push_back({range.weight, loads[range.weight]});
        }
      }
    }
  }
  for (uint32_t i = 0; i < model.weights.size(); ++i) {
    if (!seen[i]) {
      out.push_back({i, 0}); // only other entries read it
    }
  }
  for (Candidate &candidate : out) {
    const WeightInfo &weight = model.weights[candidate.weight];
    candidate.value = candidate.value * 4 / weight.size;
    // Keeping what needs a slot of its own size costs little.
    candidate.value += weight.isWhole && candidate.value ? 4 : 0;
  }
  return out;
}

/// Keeps as much as fits into `bytes`: what saves most per byte first, and
/// among equals spread evenly over the schedule, so that the link is busy all
/// the time instead of at the end.
std::vector<bool> chooseResident(const PlacementModel &model, uint64_t bytes) {
  std::vector<bool> resident(model.weights.size(), false);
  std::vector<Candidate> all = candidates(model);
  std::vector<uint64_t> classes;
  for (const Candidate &candidate : all) {
    classes.push_back(candidate.value);
  }
  std::sort(classes.begin(), classes.end(), std::greater<>());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  for (uint64_t value : classes) {
    unsigned __int128 total = 0;
    for (const Candidate &candidate : all) {
      if (candidate.value == value) {
        total += padded(model.weights[candidate.weight].size);
      }
    }
    uint64_t share = bytes;
    unsigned __int128 seen = 0;
    uint64_t kept = 0;
    for (const Candidate &candidate : all) {
      if (candidate.value != value) {
        continue;
      }
      uint64_t size = padded(model.weights[candidate.weight].size);
      seen += size;
      unsigned __int128 due =
          std::min<unsigned __int128>(share, total ? share * seen / total : 0);
      if (kept + size <= due) {
        resident[candidate.weight] = true;
        kept += size;
      }
    }
    bytes -= kept;
    // What the even spread left over.
    for (const Candidate &candidate : all) {
      uint64_t size = padded(model.weights[candidate.weight].size);
      if (candidate.value == value && !resident[candidate.weight] &&
          size <= bytes) {
        resident[candidate.weight] = true;
        bytes -= size;
      }
    }
  }
  return resident;
}

/// Predicted seconds of one run of the main entry.
double cost(const PlacementModel &model, const Choice &choice) {
  const EntryInfo *entry = model.mainEntry();
  return entry ? model.seconds(*entry, model.schedule(*entry, choice)) : 0;
}

/// Keeps as much as seems to fit (see PlacementModel::estimate) with this tile
/// and window; nullopt if not even everything streamed does.
std::optional<Choice> fill(const PlacementModel &model, uint64_t tile,
                           uint64_t window, uint64_t capacity) {
  Choice best = allStreamed(model, tile, window);
  uint64_t arena = model.estimate(best);
  if (arena > capacity) {
    return std::nullopt;
  }
  double bestCost = cost(model, best);
  uint64_t staging = window;
  for (const WeightInfo &weight : model.weights) {
    staging = std::max(staging, padded(weight.size));
  }
  // What stays needs no slot, so the region shrinks as the resident set grows:
  // look for the balance from both sides, the upper guess being that the
  // largest slots disappear.
  uint64_t room = capacity - arena;
  for (uint64_t guess : {room, room + staging}) {
    constexpr int kTries = 6;
    for (int i = 0; i < kTries; ++i) {
      Choice choice{chooseResident(model, guess), tile, window, false};
      uint64_t needed = model.estimate(choice);
      if (needed > capacity) {
        uint64_t excess = needed - capacity;
        if (excess >= guess) {
          break;
        }
        guess -= excess;
        continue;
      }
      double foundCost = cost(model, choice);
      if (foundCost < bestCost) {
        best = choice;
        bestCost = foundCost;
      }
      uint64_t slack = capacity - needed;
      if (slack < plan::kBufferAlignment) {
        break;
      }
      guess += slack;
    }
  }
  return best;
}

} // namespace

/// Bytes of a piece, largest first; 0: a unit.
static constexpr uint64_t kTiles[] = {32 << 20,  8 << 20,  4 << 20, 2 << 20,
                                      512 << 10, 64 << 10, 0};
/// The largest group that remains where everything is cut into units, apart
/// from what streams as a whole.
static uint64_t smallestPiece(const PlacementModel &model) {
  uint64_t bytes = 0;
  for (const EntryInfo &entry : model.entries) {
    for (const StepInfo &step : entry.stepInfos) {
      uint64_t sum = 0;
      for (const WeightUse &use : step.uses) {
        sum += padded(use.unitBytes);
      }
      bytes = std::max(bytes, sum);
    }
  }
  return bytes;
}

/// What the link moves while a thread that should begin the next copy has to
/// wait for a core, but no more than a small part of the arena.
static uint64_t steadyWindow(const PlacementModel &model, uint64_t capacity) {
  constexpr double kLateSeconds = 4e-3;
  constexpr uint64_t kPart = 32;
  double bytes = model.costs.machine().link * kLateSeconds;
  return std::min(static_cast<uint64_t>(bytes), capacity / kPart);
}

/// Predictions that differ by less say nothing.
static constexpr double kAsGood = 1.03;

static uint64_t streamedBytes(const PlacementModel &model,
                              const Choice &choice) {
  uint64_t bytes = 0;
  if (const EntryInfo *entry = model.mainEntry()) {
    StreamSchedule plan = model.schedule(*entry, choice);
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        bytes += range.bytes;
      }
    }
  }
  return bytes;
}

static Choice betterOf(const PlacementModel &model, const Choice &planned,
                       const Choice &naive) {
  double ours = cost(model, planned), theirs = cost(model, naive);
  if (std::max(ours, theirs) <= std::min(ours, theirs) * kAsGood) {
    return streamedBytes(model, naive) < streamedBytes(model, planned)
               ? naive
               : planned;
  }
  return theirs < ours ? naive : planned;
}

/// Whether the prefetch had better wrap around. That gains what the link would
/// idle at the end of a run; it loses where the last slots become free so late
/// that the end of the run has to wait for them.
static bool wrapsWell(const PlacementModel &model, Choice choice,
                      uint64_t capacity) {
  double without = cost(model, choice);
  choice.wraps = choice.window != 0;
  return choice.wraps && cost(model, choice) < without &&
         model.estimate(choice) <= capacity;
}

Choice choosePlanned(const PlacementModel &model, const MinimumPlan &minimum,
                     uint64_t capacity) {
  Choice resident = allResident(model);
  if (model.evaluate(resident) <= capacity) {
    return resident;
  }
  // Small tiles need little room and keep the link busy evenly, but each costs
  // two launches and two events. Of a small model a tile is a small part.
  uint64_t total = 0;
  uint64_t largest = 0;
  for (const WeightInfo &weight : model.weights) {
    total += weight.size;
    largest = std::max(largest, padded(weight.size));
  }
  struct Setting {
    uint64_t tile = 0;
    uint64_t window = 0;
    Choice choice;
    double cost = 0;
    uint64_t streamed = 0;
  };
  uint64_t unit = smallestPiece(model);
  uint64_t steady = steadyWindow(model, capacity);
  std::vector<Setting> settings;
  double best = INFINITY;
  for (uint64_t tile : kTiles) {
    if (tile > total / 4) {
      continue;
    }
    double before = best;
    uint64_t piece = std::max(tile, unit);
    for (uint64_t window :
         {8 * piece, 4 * piece, 2 * piece, 2 * largest, uint64_t{0}}) {
      if (std::optional<Choice> found = fill(model, tile, window, capacity)) {
        found->wraps = wrapsWell(model, *found, capacity);
        settings.push_back({tile, window, *found, cost(model, *found),
                            streamedBytes(model, *found)});
        best = std::min(best, settings.back().cost);
      }
    }
    // Finer ones take longer to plan; most of the time they gain nothing.
    constexpr double kWorthwhile = 0.99;
    if (before != INFINITY && best > before * kWorthwhile &&
        8 * piece <= steady) {
      break;
    }
  }
  // Among those that are as good as the best as far as a prediction can tell,
  // one whose window rides out a late thread, in several pieces (reads in
  // flight complete together), and of these the one that streams least: it
  // suffers least where the link is slower.
  auto key = [&](const Setting &s) {
    bool isSteady =
        s.window >= steady && s.window >= 4 * std::max(s.tile, unit);
    return std::tuple(s.cost > best * kAsGood ? s.cost : best, !isSteady,
                      s.streamed, s.cost, UINT64_MAX - s.tile,
                      UINT64_MAX - s.window);
  };
  std::sort(
      settings.begin(), settings.end(),
      [&](const Setting &a, const Setting &b) { return key(a) < key(b); });
  // Now the real packing, which may need a little more than estimated.
  for (Setting &setting : settings) {
    uint64_t aim = capacity;
    constexpr int kTries = 4;
    for (int i = 0; i < kTries; ++i) {
      uint64_t arena = model.evaluate(setting.choice);
      if (arena <= capacity) {
        return betterOf(model, setting.choice,
                        chooseNaive(model, minimum, capacity));
      }
      uint64_t excess = arena - capacity;
      if (excess >= aim) {
        break;
      }
      aim -= excess;
      std::optional<Choice> less =
          fill(model, setting.tile, setting.window, aim);
      if (!less) {
        break;
      }
      setting.choice = *less;
      setting.choice.wraps = wrapsWell(model, *less, aim);
    }
  }
  return minimum.choice;
}

Choice chooseNaive(const PlacementModel &model, const MinimumPlan &minimum,
                   uint64_t capacity) {
  Choice resident = allResident(model);
  if (model.evaluate(resident) <= capacity) {
    return resident;
  }
  // The longest prefix, by bisection: what stays only adds to the arena.
  std::vector<Candidate> order = candidates(model);
  auto prefix = [&](size_t count) {
    Choice choice = allStreamed(model, UINT64_MAX, 0);
    for (size_t i = 0; i < count; ++i) {
      choice.resident[order[i].weight] = true;
    }
    return choice;
  };
  Choice best = minimum.choice;
  size_t low = 0;
  size_t high = order.size();
  while (low < high) {
    size_t middle = (low + high) / 2;
    Choice next = prefix(middle);
    if (model.evaluate(next) <= capacity) {
      best = std::move(next);
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return best;
}

} // namespace llmc::memory
