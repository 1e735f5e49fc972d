//===- PlacementChoice.cpp - Which weights stay under a budget -*- C++ -*-===//

#include "passes/memory/PlacementChoice.h"

#include "passes/memory/Layout.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

namespace llmc::memory {

static Choice allResident(const PlacementModel &model) {
  return model.uniform(std::vector<bool>(model.weights.size(), true), {});
}

static Choice allStreamed(const PlacementModel &model, Prefetch prefetch) {
  return model.uniform(std::vector<bool>(model.weights.size(), false),
                       prefetch);
}

static uint64_t arenaOf(const PlacementModel &model, const Choice &choice) {
  return model.evaluate(choice, model.stream(choice));
}

MinimumPlan findMinimum(const PlacementModel &model, uint64_t reserve) {
  MinimumPlan minimum;
  minimum.choice = allStreamed(model, {});
  uint64_t arena = arenaOf(model, minimum.choice);
  Choice resident = allResident(model);
  uint64_t residentArena = arenaOf(model, resident);
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
  if (!model.entries.empty()) {
    // Bytes, and what the copies cost beside them.
    std::vector<uint64_t> loads(model.weights.size(), 0);
    Streaming streaming = model.stream(allStreamed(model, {UINT64_MAX, 0}));
    const StreamSchedule &plan = streaming.schedules[model.mainEntry()];
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        if (!range.isRestore) {
          loads[range.weight] += range.bytes + kCopyOverhead;
        }
      }
    }
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        if (!range.isRestore && !seen[range.weight]) {
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
std::vector<bool> chooseResident(const PlacementModel &model,
                                 const std::vector<Candidate> &all,
                                 uint64_t bytes) {
  std::vector<bool> resident(model.weights.size(), false);
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

/// A choice and what the model says of it.
struct Weighed {
  Choice choice;
  uint64_t arena = 0; // estimated bytes
  double main = 0;    // predicted seconds of one run of the main entry
  /// How slow it is: the logarithm of a mean of the entries' seconds, in which
  /// the main one counts most; and a little for every byte that streams in it,
  /// since what streams least suffers least where the link is slower.
  double score = 0;
};

/// Of the entries beside the main one, all together.
constexpr double kWeightOfOthers = 0.25;
constexpr double kRiskOfStreaming = 0.03;

Weighed weigh(const PlacementModel &model, Choice choice) {
  Weighed out;
  Streaming streaming = model.stream(choice);
  out.arena = model.estimate(choice, streaming);
  for (size_t i = 0; i < model.entries.size(); ++i) {
    const StreamSchedule &plan = streaming.schedules[i];
    double seconds = model.seconds(model.entries[i], plan);
    double score = std::log(std::max(seconds, 1e-12));
    if (i != model.mainEntry()) {
      out.score += score * kWeightOfOthers /
                   static_cast<double>(model.entries.size() - 1);
      continue;
    }
    uint64_t streamed = 0, total = 1;
    for (const StreamGroup *group : plan.all()) {
      for (const StreamRange &range : group->ranges) {
        streamed += range.bytes;
      }
    }
    for (const WeightInfo &weight : model.weights) {
      total += weight.size;
    }
    out.main = seconds;
    out.score += score + kRiskOfStreaming * static_cast<double>(streamed) /
                             static_cast<double>(total);
  }
  out.choice = std::move(choice);
  return out;
}

/// Bytes of a piece, largest first; 0: a unit.
constexpr uint64_t kTiles[] = {32 << 20,  8 << 20,  4 << 20, 2 << 20,
                               512 << 10, 64 << 10, 0};

/// The largest group that remains where everything is cut into units, apart
/// from what streams as a whole.
uint64_t smallestPiece(const PlacementModel &model) {
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
/// wait for a core.
uint64_t lateBytes(const PlacementModel &model) {
  constexpr double kLateSeconds = 4e-3;
  return static_cast<uint64_t>(model.costs.machine().link * kLateSeconds);
}

/// Weighs prefetches and resident sets against each other.
class Chooser {
public:
  Chooser(const PlacementModel &model, uint64_t capacity)
      : model(model), capacity(capacity), order(candidates(model)),
        unit(smallestPiece(model)) {
    for (const WeightInfo &weight : model.weights) {
      total += weight.size;
      largest = std::max(largest, padded(weight.size));
    }
    // No more than a small part of the arena.
    constexpr uint64_t kPart = 32;
    steady = std::min(lateBytes(model), capacity / kPart);
  }

  /// The most promising choices, best first, of those that seem to fit.
  std::vector<Weighed> choices() const;

  /// Keeps as much as seems to fit into `bytes` (see PlacementModel::estimate)
  /// with these prefetches; nullopt if not even everything streamed does.
  std::optional<Weighed> fill(const std::vector<Prefetch> &prefetches,
                              uint64_t bytes) const;

private:
  std::vector<uint64_t> windows(uint64_t tile) const {
    uint64_t piece = std::max(tile, unit);
    std::vector<uint64_t> list = {8 * piece, 4 * piece, 2 * piece, 2 * largest,
                                  0};
    if (model.restoreGroup != 0) {
      list.push_back(8 * model.restoreGroup);
      list.push_back(4 * model.restoreGroup);
    }
    return list;
  }
  /// Whether it rides out a late thread, in several pieces (reads in flight
  /// complete together).
  bool isSteady(Prefetch prefetch) const {
    return prefetch.window >= steady &&
           prefetch.window >= 4 * std::max(prefetch.tile, unit);
  }
  /// The score, and more where a prefetch is not steady.
  double rank(const Weighed &found) const;
  /// Other prefetches for one entry, or for all; adds to `list`.
  void vary(std::vector<Prefetch> prefetches, std::optional<size_t> entry,
            std::vector<Weighed> &list) const;
  void wrapWell(Weighed &found, uint64_t bytes) const;

  const PlacementModel &model;
  const uint64_t capacity;
  const std::vector<Candidate> order;
  const uint64_t unit;
  uint64_t total = 0;
  uint64_t largest = 0;
  uint64_t steady = 0;
};

/// Whether the prefetch had better wrap around. That gains what the link would
/// idle at the end of a run; it loses where the last slots become free so late
/// that the end of the run has to wait for them.
void Chooser::wrapWell(Weighed &found, uint64_t bytes) const {
  Choice choice = found.choice;
  choice.wraps =
      !choice.prefetches.empty() && choice.prefetches[model.mainEntry()].window;
  if (choice.wraps) {
    Weighed wrapped = weigh(model, std::move(choice));
    if (wrapped.main < found.main && wrapped.arena <= bytes) {
      found = std::move(wrapped);
    }
  }
}

std::optional<Weighed> Chooser::fill(const std::vector<Prefetch> &prefetches,
                                     uint64_t bytes) const {
  auto keeping = [&](uint64_t room) {
    return weigh(model,
                 {chooseResident(model, order, room), prefetches, false});
  };
  Weighed best = keeping(0);
  if (best.arena > bytes) {
    return std::nullopt;
  }
  uint64_t staging = largest;
  for (Prefetch prefetch : prefetches) {
    staging = std::max(staging, prefetch.window);
  }
  // What stays needs no slot, so the region shrinks as the resident set grows:
  // look for the balance from both sides, the upper guess being that the
  // largest slots disappear.
  uint64_t room = bytes - best.arena;
  for (uint64_t guess : {room, room + staging}) {
    constexpr int kTries = 6;
    for (int i = 0; i < kTries; ++i) {
      Weighed found = keeping(guess);
      uint64_t needed = found.arena;
      if (needed > bytes) {
        uint64_t excess = needed - bytes;
        if (excess >= guess) {
          break;
        }
        guess -= excess;
        continue;
      }
      if (found.score < best.score) {
        best = std::move(found);
      }
      uint64_t slack = bytes - needed;
      if (slack < plan::kBufferAlignment) {
        break;
      }
      guess += slack;
    }
  }
  wrapWell(best, bytes);
  return best;
}

double Chooser::rank(const Weighed &found) const {
  constexpr double kRiskOfUnsteady = 0.03;
  double rank = found.score;
  for (size_t i = 0; i < model.entries.size(); ++i) {
    if (!isSteady(found.choice.prefetches[i])) {
      rank += kRiskOfUnsteady *
              (i == model.mainEntry()
                   ? 1.0
                   : kWeightOfOthers / double(model.entries.size() - 1));
    }
  }
  return rank;
}

void Chooser::vary(std::vector<Prefetch> prefetches,
                   std::optional<size_t> entry,
                   std::vector<Weighed> &list) const {
  double best = INFINITY;
  for (uint64_t tile : kTiles) {
    // Small tiles need little room and keep the link busy evenly, but each
    // costs two launches and two events. Of a small model a tile is a small
    // part.
    if (tile > total / 4) {
      continue;
    }
    double before = best;
    for (uint64_t window : windows(tile)) {
      for (size_t i = 0; i < prefetches.size(); ++i) {
        if (!entry || i == *entry) {
          prefetches[i] = {tile, window};
        }
      }
      if (std::optional<Weighed> found = fill(prefetches, capacity)) {
        best = std::min(best, found->score);
        list.push_back(*std::move(found));
      }
    }
    // Finer ones take longer to plan; most of the time they gain nothing.
    constexpr double kWorthwhile = 0.01;
    if (before != INFINITY && best > before - kWorthwhile &&
        8 * std::max(tile, unit) <= steady) {
      break;
    }
  }
}

std::vector<Weighed> Chooser::choices() const {
  std::vector<Weighed> list;
  // Larger pieces come first among equals.
  auto key = [&](const Weighed &found) {
    uint64_t tiles = 0, windows = 0;
    for (Prefetch prefetch : found.choice.prefetches) {
      tiles += prefetch.tile;
      windows += prefetch.window;
    }
    return std::tuple(rank(found), UINT64_MAX - tiles, UINT64_MAX - windows);
  };
  auto sort = [&] {
    std::sort(
        list.begin(), list.end(),
        [&](const Weighed &a, const Weighed &b) { return key(a) < key(b); });
  };
  vary(std::vector<Prefetch>(model.entries.size()), std::nullopt, list);
  for (size_t i = 0; i < model.entries.size() && model.entries.size() > 1;
       ++i) {
    sort();
    if (!list.empty()) {
      vary(list.front().choice.prefetches, i, list);
    }
  }
  sort();
  return list;
}

} // namespace

/// How far ahead the restores are issued where all weights stay: what the model
/// likes best of what fits, and of what it does not tell apart, the least that
/// rides out a late thread and holds two attentions of four groups: the slots
/// of one become free all at once, when the reads for it have run dry.
static Choice chooseRestores(const PlacementModel &model, Choice resident,
                             uint64_t capacity) {
  constexpr double kTold = 0.01;
  uint64_t late = lateBytes(model);
  std::optional<Weighed> best;
  bool bestIsSteady = false;
  for (uint64_t groups : {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32}) {
    Prefetch prefetch{0, groups * model.restoreGroup};
    Choice choice = model.uniform(resident.resident, prefetch);
    if (groups != 0 && arenaOf(model, choice) > capacity) {
      break;
    }
    Weighed found = weigh(model, std::move(choice));
    bool isSteady = groups >= 8 && prefetch.window >= late;
    if (!best || found.score < best->score - kTold ||
        (isSteady && !bestIsSteady && found.score < best->score + kTold)) {
      best = std::move(found);
      bestIsSteady = isSteady;
    }
  }
  return best->choice;
}

Choice choosePlanned(const PlacementModel &model, const MinimumPlan &minimum,
                     uint64_t capacity) {
  Choice resident = allResident(model);
  if (arenaOf(model, resident) <= capacity) {
    return model.restoreGroup == 0
               ? resident
               : chooseRestores(model, std::move(resident), capacity);
  }
  Chooser chooser(model, capacity);
  for (const Weighed &promising : chooser.choices()) {
    // Now the real packing, which may need a little more than estimated.
    uint64_t aim = capacity;
    std::optional<Weighed> found = promising;
    constexpr int kTries = 4;
    for (int i = 0; i < kTries && found; ++i) {
      uint64_t arena = arenaOf(model, found->choice);
      if (arena <= capacity) {
        Weighed naive = weigh(model, chooseNaive(model, minimum, capacity));
        return naive.score < found->score ? naive.choice : found->choice;
      }
      uint64_t excess = arena - capacity;
      if (excess >= aim) {
        break;
      }
      aim -= excess;
      found = chooser.fill(promising.choice.prefetches, aim);
    }
  }
  return minimum.choice;
}

Choice chooseNaive(const PlacementModel &model, const MinimumPlan &minimum,
                   uint64_t capacity) {
  Choice resident = allResident(model);
  if (arenaOf(model, resident) <= capacity) {
    return resident;
  }
  // The longest prefix, by bisection (what stays only adds to the arena) with
  // estimates; the real packing may need a little more.
  std::vector<Candidate> order = candidates(model);
  auto prefix = [&](size_t count) {
    Choice choice = allStreamed(model, {UINT64_MAX, 0});
    for (size_t i = 0; i < count; ++i) {
      choice.resident[order[i].weight] = true;
    }
    return choice;
  };
  size_t low = 0; // so many prefixes seem to fit, the empty one counted
  size_t high = order.size() + 1;
  while (low < high) {
    size_t middle = (low + high) / 2;
    Choice next = prefix(middle);
    if (model.estimate(next, model.stream(next)) <= capacity) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (; low > 0; --low) {
    Choice next = prefix(low - 1);
    if (arenaOf(model, next) <= capacity) {
      return next;
    }
  }
  return minimum.choice;
}

} // namespace llmc::memory
