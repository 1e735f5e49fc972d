//===- Search.cpp - Exact search for a packing -----------------*- C++ -*-===//

#include "passes/solver/Search.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace llmc::solver {

namespace {

constexpr Units kNone = std::numeric_limits<Units>::max();
constexpr uint32_t kNobody = UINT32_MAX;
/// A promising run may open so many times more nodes.
constexpr uint64_t kPromising = 16;

uint64_t saturatedTimes(uint64_t value, uint64_t factor) {
  return value > UINT64_MAX / factor ? UINT64_MAX : value * factor;
}

Units alignUp(Units value, Units alignment) {
  return alignment == 1 ? value
                        : (value + alignment - 1) / alignment * alignment;
}

bool overlap(const std::vector<SectionRange> &a,
             const std::vector<SectionRange> &b) {
  for (const SectionRange &x : a) {
    for (const SectionRange &y : b) {
      if (x.begin < y.end && y.begin < x.end) {
        return true;
      }
    }
  }
  return false;
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
// Inference
//===----------------------------------------------------------------------===//

/// Enters bound + size of an unplaced buffer into its sections.
void Search::noteEnd(uint32_t buffer, Units end) {
  for (const SectionRange &range : component.ranges[buffer]) {
    for (uint32_t s = range.begin; s < range.end; ++s) {
      if (end < leastEnd[s]) {
        secondEnd[s] = leastEnd[s];
        leastEnd[s] = end;
        leastOwner[s] = buffer;
      } else if (end < secondEnd[s]) {
        secondEnd[s] = end;
      }
    }
  }
}

/// Raises bounds until nothing changes. False if some section cannot hold
/// what must still be placed there.
bool Search::propagate(Members members) {
  uint32_t firstSection = component.ranges[pool[members.begin]].front().begin;
  uint32_t endSection = 0;
  for (size_t i = members.begin; i < members.end; ++i) {
    endSection = std::max(endSection, component.ranges[pool[i]].back().end);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t s = firstSection; s < endSection; ++s) {
      leastEnd[s] = secondEnd[s] = lowest[s] = kNone;
    }
    delayed.clear();
    for (size_t i = members.begin; i < members.end; ++i) {
      uint32_t buffer = pool[i];
      Units least = bound[buffer];
      for (const SectionRange &range : component.ranges[buffer]) {
        totalEffort += range.end - range.begin;
        for (uint32_t s = range.begin; s < range.end; ++s) {
          lowest[s] = std::min(lowest[s], least);
        }
      }
      if (least > floor[buffer]) {
        delayed.push_back(buffer);
      } else {
        noteEnd(buffer, least + component.size[buffer]);
      }
    }
    for (uint32_t s = firstSection; s < endSection; ++s) {
      if (lowest[s] != kNone && lowest[s] + remaining[s] > capacity) {
        return fail(s);
      }
    }
    if (!settleDelayed() || !applyNotFirst(members, changed)) {
      return false;
    }
  }
  return true;
}

/// A delayed buffer rests on an unplaced one. Taking them in order of their
/// ends (as Dijkstra's algorithm does) leaves no two that rest on each other.
bool Search::settleDelayed() {
  support.clear();
  for (uint32_t buffer : delayed) {
    Units least = kNone;
    for (const SectionRange &range : component.ranges[buffer]) {
      totalEffort += range.end - range.begin;
      for (uint32_t s = range.begin; s < range.end; ++s) {
        least = std::min(least, leastEnd[s]);
      }
    }
    support.push_back(least);
  }
  while (!delayed.empty()) {
    size_t best = 0;
    Units bestEnd = kNone;
    for (size_t i = 0; i < delayed.size(); ++i) {
      if (support[i] == kNone) {
        continue;
      }
      uint32_t buffer = delayed[i];
      Units end = alignUp(std::max(bound[buffer], support[i]),
                          component.alignment[buffer]) +
                  component.size[buffer];
      if (end < bestEnd) {
        bestEnd = end;
        best = i;
      }
    }
    totalEffort += delayed.size();
    uint32_t buffer = delayed[best];
    if (bestEnd == kNone || bestEnd > capacity ||
        !raise(buffer, bestEnd - component.size[buffer])) {
      return fail(component.ranges[buffer].front().begin);
    }
    noteEnd(buffer, bestEnd);
    delayed[best] = delayed.back();
    delayed.pop_back();
    support[best] = support.back();
    support.pop_back();
    for (size_t i = 0; i < delayed.size(); ++i) {
      if (bestEnd < support[i] &&
          overlap(component.ranges[buffer], component.ranges[delayed[i]])) {
        support[i] = bestEnd;
      }
    }
  }
  return true;
}

/// What cannot be first in a section lies above another buffer there.
bool Search::applyNotFirst(Members members, bool &changed) {
  for (size_t i = members.begin; i < members.end; ++i) {
    uint32_t buffer = pool[i];
    Units least = bound[buffer];
    Units raised = least;
    uint32_t where = 0;
    for (const SectionRange &range : component.ranges[buffer]) {
      for (uint32_t s = range.begin; s < range.end; ++s) {
        if (least + remaining[s] <= capacity) {
          continue;
        }
        Units support = leastOwner[s] == buffer ? secondEnd[s] : leastEnd[s];
        if (support == kNone) {
          return fail(s);
        }
        if (support > raised) {
          raised = support;
          where = s;
        }
      }
    }
    if (raised > least) {
      if (raised + component.size[buffer] > capacity ||
          !raise(buffer, raised)) {
        return fail(where);
      }
      changed = true;
    }
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

/// One with the least bound + size of all serves. So does one for which no
/// neighbour of a possible candidate ends earlier: that depends on a few
/// sections only, and there may be many such.
uint32_t Search::choosePivot(Members members) const {
  uint32_t pivot = kNobody;
  Units pivotEnd = kNone;
  size_t pivotCount = 0;
  uint64_t pivotFailures = 0;
  for (size_t i = members.begin; i < members.end; ++i) {
    uint32_t buffer = pool[i];
    Units end = bound[buffer] + component.size[buffer];
    if (strategy->pivot == Strategy::Pivot::Lowest) {
      if (end < pivotEnd) {
        pivot = buffer;
        pivotEnd = end;
      }
      continue;
    }
    auto nothingEndsBefore = [&](uint32_t candidate) {
      for (const SectionRange &range : component.ranges[candidate]) {
        for (uint32_t s = range.begin; s < range.end; ++s) {
          if (leastEnd[s] < end) {
            return false;
          }
        }
      }
      return true;
    };
    if (!nothingEndsBefore(buffer)) {
      continue;
    }
    size_t count = bound[buffer] == floor[buffer];
    bool good = true;
    for (uint32_t other : component.neighbours[buffer]) {
      if (!placed[other] && bound[other] < end) {
        if (!nothingEndsBefore(other)) {
          good = false;
          break;
        }
        count += bound[other] == floor[other];
      }
    }
    if (!good) {
      continue;
    }
    uint64_t failed = 0;
    if (strategy->pivot == Strategy::Pivot::Failing) {
      for (const SectionRange &range : component.ranges[buffer]) {
        for (uint32_t s = range.begin; s < range.end; ++s) {
          failed = std::max(failed, failures[s]);
        }
      }
    }
    bool better = pivot == kNobody;
    if (!better && strategy->pivot == Strategy::Pivot::Fewest) {
      better = count < pivotCount || (count == pivotCount && end < pivotEnd);
    } else if (!better) {
      // A forced move costs nothing.
      bool forced = count <= 1;
      bool pivotForced = pivotCount <= 1;
      better = forced != pivotForced     ? forced
               : failed != pivotFailures ? failed > pivotFailures
                                         : end < pivotEnd;
    }
    if (better) {
      pivot = buffer;
      pivotEnd = end;
      pivotCount = count;
      pivotFailures = failed;
    }
  }
  return pivot;
}

/// The bytes of its sections that would be lost below it, at least.
Units Search::wasteBelow(uint32_t buffer) const {
  Units waste = 0;
  for (const SectionRange &range : component.ranges[buffer]) {
    for (uint32_t s = range.begin; s < range.end; ++s) {
      waste += floor[buffer] - lowest[s];
    }
  }
  return waste;
}

uint32_t Search::chooseCandidate(uint32_t pivot) const {
  Units end = bound[pivot] + component.size[pivot];
  uint32_t best = kNobody;
  Units bestKey = 0;
  auto consider = [&](uint32_t buffer) {
    if (placed[buffer] || bound[buffer] >= end ||
        bound[buffer] != floor[buffer]) {
      return;
    }
    Units key = 0;
    if (strategy->candidate == Strategy::Candidate::Lowest) {
      key = floor[buffer];
    } else if (strategy->candidate == Strategy::Candidate::Tightest) {
      key = wasteBelow(buffer);
    }
    if (best == kNobody || key < bestKey ||
        (key == bestKey &&
         strategy->priority[buffer] < strategy->priority[best])) {
      best = buffer;
      bestKey = key;
    }
  };
  consider(pivot);
  for (uint32_t other : component.neighbours[pivot]) {
    consider(other);
  }
  return best;
}

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

//===----------------------------------------------------------------------===//
// The tree
//===----------------------------------------------------------------------===//

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
