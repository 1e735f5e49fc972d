//===- PlacementChoice.cpp - Which weights stay under a budget -*- C++ -*-===//

#include "passes/memory/PlacementChoice.h"

#include "passes/memory/Layout.h"

#include <algorithm>
#include <functional>

namespace llmc::memory {

/// How much faster the device reads a weight than the link delivers it. Only
/// the ratio matters here: it weighs overlap against resident bytes.
static constexpr uint64_t kMemoryToLink = 10;

static Choice allResident(const PlacementModel &model) {
  return {std::vector<bool>(model.weights.size(), true), 0};
}

static Choice allStreamed(const PlacementModel &model, uint32_t depth) {
  return {std::vector<bool>(model.weights.size(), false), depth};
}

MinimumPlan findMinimum(const PlacementModel &model, uint64_t reserve) {
  MinimumPlan minimum;
  minimum.choice = allStreamed(model, 0);
  minimum.evaluation = model.evaluate(minimum.choice);
  Choice resident = allResident(model);
  Evaluation evaluation = model.evaluate(resident);
  if (evaluation.arena <= minimum.evaluation.arena) {
    minimum.choice = resident;
    minimum.evaluation = evaluation;
  }
  uint64_t bytes = minimum.evaluation.arena + reserve;
  minimum.bytes = (bytes + kPage - 1) / kPage * kPage;
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
    std::vector<uint64_t> loads(model.weights.size(), 0);
    StreamSchedule plan = model.schedule(*entry, allStreamed(model, 0));
    for (const StreamGroup &group : plan.groups) {
      for (const StreamRange &range : group.ranges) {
        ++loads[range.weight];
      }
    }
    for (const StreamGroup &group : plan.groups) {
      for (const StreamRange &range : group.ranges) {
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
    uint64_t size = model.weights[candidate.weight].size;
    candidate.value = candidate.value * 4 * (size + kCopyOverhead) / size;
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

/// Predicted time of one run of the main entry, in bytes over the link.
uint64_t cost(const PlacementModel &model, const Choice &choice,
              const Evaluation &evaluation) {
  const EntryInfo *entry = model.mainEntry();
  if (!entry) {
    return 0;
  }
  uint64_t streamed =
      evaluation.streamed[static_cast<size_t>(entry - model.entries.data())];
  uint64_t compute = entry->readBytes / kMemoryToLink;
  return choice.depth == 0 ? streamed + compute : std::max(streamed, compute);
}

struct Evaluated {
  Choice choice;
  Evaluation evaluation;
};

/// Streams as little as found for this depth; nullopt if not even everything
/// streamed fits.
std::optional<Evaluated> fill(const PlacementModel &model, uint32_t depth,
                              uint64_t capacity) {
  Choice none = allStreamed(model, depth);
  Evaluated best{none, model.evaluate(none)};
  if (best.evaluation.arena > capacity) {
    return std::nullopt;
  }
  uint64_t bestCost = cost(model, best.choice, best.evaluation);
  uint64_t largest = 0;
  for (const WeightInfo &weight : model.weights) {
    largest = std::max(largest, padded(weight.size));
  }
  // What stays needs no slot, so the region shrinks as the resident set grows:
  // look for the balance from both sides, the upper guess being that the
  // largest slots disappear.
  uint64_t room = capacity - best.evaluation.arena;
  for (uint64_t guess : {room, room + largest * (depth + 1)}) {
    constexpr int kTries = 6;
    for (int i = 0; i < kTries; ++i) {
      Choice choice{chooseResident(model, guess), depth};
      Evaluation found = model.evaluate(choice);
      if (found.arena > capacity) {
        uint64_t excess = found.arena - capacity;
        if (excess >= guess) {
          break;
        }
        guess -= excess;
        continue;
      }
      uint64_t foundCost = cost(model, choice, found);
      if (foundCost < bestCost) {
        best = {choice, found};
        bestCost = foundCost;
      }
      uint64_t slack = capacity - found.arena;
      if (slack < plan::kBufferAlignment) {
        break;
      }
      guess += slack;
    }
  }
  return best;
}

} // namespace

Choice choosePlanned(const PlacementModel &model, const MinimumPlan &minimum,
                     uint64_t capacity) {
  Choice resident = allResident(model);
  if (model.evaluate(resident).arena <= capacity) {
    return resident;
  }
  Choice best = minimum.choice;
  uint64_t bestCost = cost(model, best, minimum.evaluation);
  for (uint32_t depth : {2u, 1u, 0u}) {
    std::optional<Evaluated> found = fill(model, depth, capacity);
    if (!found) {
      continue;
    }
    uint64_t foundCost = cost(model, found->choice, found->evaluation);
    if (foundCost < bestCost) {
      best = found->choice;
      bestCost = foundCost;
    }
  }
  return best;
}

Choice chooseNaive(const PlacementModel &model, const MinimumPlan &minimum,
                   uint64_t capacity) {
  Choice resident = allResident(model);
  if (model.evaluate(resident).arena <= capacity) {
    return resident;
  }
  // The longest prefix, by bisection: what stays only adds to the arena.
  std::vector<Candidate> order = candidates(model);
  auto prefix = [&](size_t count) {
    Choice choice = allStreamed(model, 0);
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
    if (model.evaluate(next).arena <= capacity) {
      best = std::move(next);
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return best;
}

} // namespace llmc::memory
