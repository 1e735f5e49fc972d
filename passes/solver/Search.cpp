//===- Search.cpp - Exact search for a packing -----------------*- C++ -*-===//

#include "passes/solver/Search.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace llmc::solver {

namespace {

/// A promising run may open so many times more nodes.
constexpr uint64_t kPromising = 16;

uint64_t saturatedTimes(uint64_t value, uint64_t factor) {
  return value > UINT64_MAX / factor ? UINT64_MAX : value * factor;
}

Units alignUp(Units value, Units alignment) {
  return alignment == 1 ? value
                        : (value + alignment - 1) / alignment * alignment;
}

uint64_t mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93ULL;
  value ^= value >> 32;
  return value;
}

} // namespace

Search::Search(const Component &component)
    : component(component), offset(component.size.size(), 0),
      failures(component.sections, 0),
      failedStates(std::bit_ceil(std::clamp<size_t>(component.size.size() * 256,
                                                    1 << 10, 1 << 18)),
                   0) {}

Verdict Search::run(Units newCapacity, const Strategy &newStrategy,
                    const Limits &newLimits) {
  size_t count = component.size.size();
  if (newCapacity != capacity) {
    std::fill(failedStates.begin(), failedStates.end(), 0);
  }
  capacity = newCapacity;
  strategy = &newStrategy;
  limits = &newLimits;
  runNodes = 0;
  nodeLimit = limits->nodes;
  deepest = 0;
  aborted = false;

  floor.assign(count, 0);
  bound.assign(count, 0);
  placed.assign(count, 0);
  remaining.assign(component.sections, 0);
  lowest.assign(component.sections, 0);
  leastEnd.assign(component.sections, 0);
  secondEnd.assign(component.sections, 0);
  leastOwner.assign(component.sections, kNobody);
  changes.clear();
  placements.clear();
  pool.clear();
  for (uint32_t i = 0; i < count; ++i) {
    if (component.fixed[i] >= 0) {
      floor[i] = bound[i] = component.fixed[i];
    }
    for (const SectionRange &range : component.ranges[i]) {
      for (uint32_t s = range.begin; s < range.end; ++s) {
        remaining[s] += component.size[i];
      }
    }
    pool.push_back(i); // members are in order of their first section
  }
  bool found = solve({0, count});
  return found ? Verdict::Found
               : (aborted ? Verdict::Unknown : Verdict::Impossible);
}

//===----------------------------------------------------------------------===//
// State
//===----------------------------------------------------------------------===//

bool Search::raise(uint32_t buffer, Units value) {
  value = alignUp(value, component.alignment[buffer]);
  if (value <= bound[buffer]) {
    return true;
  }
  if (component.fixed[buffer] >= 0) {
    return false;
  }
  changes.push_back({buffer, floor[buffer], bound[buffer]});
  bound[buffer] = value;
  return true;
}

/// Its twins cannot lie there either.
bool Search::refute(uint32_t buffer) {
  if (!raise(buffer, floor[buffer] + 1)) {
    return false;
  }
  for (uint32_t other : component.neighbours[buffer]) {
    if (component.twinOf[other] == component.twinOf[buffer] && !placed[other] &&
        !raise(other, floor[other] + 1)) {
      return false;
    }
  }
  return true;
}

/// On its floor. False if a fixed buffer is in the way.
bool Search::place(uint32_t buffer) {
  offset[buffer] = floor[buffer];
  placed[buffer] = 1;
  placements.push_back(buffer);
  deepest = std::max(deepest, placements.size());
  Units size = component.size[buffer];
  Units top = floor[buffer] + size;
  for (const SectionRange &range : component.ranges[buffer]) {
    for (uint32_t s = range.begin; s < range.end; ++s) {
      remaining[s] -= size;
    }
  }
  for (uint32_t other : component.neighbours[buffer]) {
    if (placed[other] || floor[other] >= top) {
      continue;
    }
    if (component.fixed[other] >= 0) {
      return false;
    }
    changes.push_back({other, floor[other], bound[other]});
    floor[other] = alignUp(top, component.alignment[other]);
    bound[other] = std::max(bound[other], floor[other]);
  }
  return true;
}

void Search::undo(Mark mark) {
  while (changes.size() > mark.changes) {
    const Change &change = changes.back();
    floor[change.buffer] = change.floor;
    bound[change.buffer] = change.bound;
    changes.pop_back();
  }
  while (placements.size() > mark.placements) {
    uint32_t buffer = placements.back();
    placements.pop_back();
    placed[buffer] = 0;
    for (const SectionRange &range : component.ranges[buffer]) {
      for (uint32_t s = range.begin; s < range.end; ++s) {
        remaining[s] += component.size[buffer];
      }
    }
  }
}

bool Search::fail(uint32_t section) {
  ++failures[section];
  return false;
}

//===----------------------------------------------------------------------===//
// The tree
//===----------------------------------------------------------------------===//

/// What the rest of the search depends on: who is unplaced, floors, bounds.
uint64_t Search::stateHash(Members members) const {
  uint64_t hash = 1;
  for (size_t i = members.begin; i < members.end; ++i) {
    uint32_t buffer = pool[i];
    uint64_t key = mix(uint64_t(floor[buffer]) + 0x9e3779b97f4a7c15ULL);
    key = mix(key ^ (uint64_t(bound[buffer]) << 1));
    hash += mix(key + (uint64_t(buffer) + 1) * 0xda942042e4dd58b5ULL);
  }
  return hash;
}

bool Search::solve(Members members) {
  if (members.begin == members.end) {
    return true;
  }
  ++totalNodes;
  if (++runNodes > nodeLimit) {
    // A run that once placed nearly all is worth more than a new one.
    bool promising = deepest * 10 >= component.size.size() * 9;
    nodeLimit = promising && nodeLimit == limits->nodes
                    ? saturatedTimes(nodeLimit, kPromising)
                    : 0;
  }
  if (nodeLimit == 0 ||
      (runNodes % 64 == 0 && limits->stop && limits->stop())) {
    aborted = true;
    return false;
  }
  Mark start = mark();
  uint64_t hash = 0;
  uint64_t *entry = nullptr;
  while (propagate(members)) {
    if (!entry) {
      // Two states with one hash of 64 bits are not expected in a lifetime.
      hash = stateHash(members);
      entry = &failedStates[hash & (failedStates.size() - 1)];
      if (*entry == hash) {
        undo(start);
        return false;
      }
    }
    uint32_t candidate = chooseCandidate(choosePivot(members));
    if (candidate == kNobody) {
      break;
    }
    Mark before = mark();
    if (place(candidate) && solveParts(members, candidate)) {
      return true;
    }
    undo(before);
    if (aborted) {
      return false;
    }
    if (!refute(candidate)) {
      break;
    }
  }
  undo(start);
  if (entry) {
    *entry = hash;
  }
  return false;
}

/// Solves the sub-problems that the members without one fall into, smallest
/// first: they fail soonest.
bool Search::solveParts(Members members, uint32_t without) {
  size_t base = pool.size();
  size_t cuts = 0;
  uint32_t reach = 0;
  for (size_t i = members.begin; i < members.end; ++i) {
    uint32_t buffer = pool[i];
    if (buffer == without) {
      continue;
    }
    const std::vector<SectionRange> &ranges = component.ranges[buffer];
    cuts += pool.size() > base && ranges.front().begin >= reach;
    reach = std::max(reach, ranges.back().end);
    pool.push_back(buffer);
  }
  bool good = true;
  if (cuts == 0) {
    good = solve({base, pool.size()});
  } else {
    std::vector<Members> parts;
    reach = 0;
    for (size_t i = base; i < pool.size(); ++i) {
      const std::vector<SectionRange> &ranges = component.ranges[pool[i]];
      if (ranges.front().begin >= reach) {
        parts.push_back({i, i});
      }
      parts.back().end = i + 1;
      reach = std::max(reach, ranges.back().end);
    }
    std::sort(parts.begin(), parts.end(),
              [](const Members &a, const Members &b) {
                return std::pair(a.end - a.begin, a.begin) <
                       std::pair(b.end - b.begin, b.begin);
              });
    for (const Members &part : parts) {
      if (!solve(part)) {
        good = false;
        break;
      }
    }
  }
  pool.resize(base);
  return good;
}

} // namespace llmc::solver
