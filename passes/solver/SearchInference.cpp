//===- SearchInference.cpp - What the search infers and picks --*- C++ -*-===//

#include "passes/solver/Search.h"

#include <algorithm>
#include <limits>

namespace llmc::solver {

namespace {

constexpr Units kNone = std::numeric_limits<Units>::max();

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

} // namespace

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

} // namespace llmc::solver
