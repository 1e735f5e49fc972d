//===- Strategies.cpp - Orders in which the search tries -------*- C++ -*-===//

#include "passes/solver/Strategies.h"

#include <algorithm>
#include <numeric>

namespace llmc::solver {

namespace {

/// SplitMix64: the same everywhere, unlike the library's distributions.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  /// In [0, 1).
  double next() {
    uint64_t z = state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return double(z >> 11) * 0x1.0p-53;
  }

private:
  uint64_t state;
};

/// 1 1 2 1 1 2 4 ..., from index 1.
uint64_t luby(uint64_t index) {
  for (uint64_t power = 1;; power *= 2) {
    if (index == 2 * power - 1) {
      return power;
    }
    if (index < 2 * power - 1) {
      return luby(index - (power - 1));
    }
  }
}

} // namespace

const std::vector<Recipe> &recipes() {
  using Pivot = Strategy::Pivot;
  using Candidate = Strategy::Candidate;
  static const std::vector<Recipe> list = {
      {Pivot::Fewest, Candidate::Lowest, "TWA"},
      {Pivot::Fewest, Candidate::Lowest, "TAW"},
      {Pivot::Failing, Candidate::Lowest, "TWA"},
      {Pivot::Fewest, Candidate::Priority, "TAW"},
      {Pivot::Fewest, Candidate::Priority, "TWA"},
      {Pivot::Fewest, Candidate::Priority, "AWT"},
      {Pivot::Fewest, Candidate::Tightest, "TWA"},
      {Pivot::Fewest, Candidate::Lowest, "WAT"},
      {Pivot::Failing, Candidate::Tightest, "TAW"},
  };
  return list;
}

Strategies::Strategies(const Component &component) : component(component) {
  std::vector<Units> load(component.sections, 0);
  auto forSections = [&](uint32_t buffer, auto visit) {
    for (const SectionRange &range : component.ranges[buffer]) {
      for (uint32_t s = range.begin; s < range.end; ++s) {
        visit(s);
      }
    }
  };
  size_t count = component.size.size();
  for (uint32_t i = 0; i < count; ++i) {
    forSections(i, [&](uint32_t s) { load[s] += component.size[i]; });
  }
  fullest.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    forSections(
        i, [&](uint32_t s) { fullest[i] = std::max(fullest[i], load[s]); });
  }
}

double Strategies::measure(char name, uint32_t buffer) const {
  switch (name) {
  case 'T':
    return double(fullest[buffer]);
  case 'W':
    return double(component.length[buffer]);
  case 'A':
    return double(component.length[buffer]) * double(component.size[buffer]);
  default:
    return double(component.size[buffer]);
  }
}

Strategy Strategies::make(const Recipe &recipe, uint64_t round) const {
  size_t count = component.size.size();
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    for (char name : recipe.measures) {
      double measureA = measure(name, a);
      double measureB = measure(name, b);
      if (measureA != measureB) {
        return measureA > measureB;
      }
    }
    return a < b;
  });
  if (round > 0) {
    Random random(round * 64 + uint64_t(&recipe - recipes().data()));
    double amplitude = double(count) * (round % 2 == 1 ? 0.05 : 0.2);
    std::vector<std::pair<double, uint32_t>> ranked(count);
    for (size_t i = 0; i < count; ++i) {
      ranked[i] = {double(i) + amplitude * random.next(), order[i]};
    }
    std::sort(ranked.begin(), ranked.end());
    for (size_t i = 0; i < count; ++i) {
      order[i] = ranked[i].second;
    }
  }
  Strategy strategy;
  strategy.pivot = recipe.pivot;
  strategy.candidate = recipe.candidate;
  strategy.priority.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    strategy.priority[order[i]] = i;
  }
  return strategy;
}

uint64_t Strategies::reach(uint64_t round) const {
  return luby(round + 1) * (component.size.size() + 500);
}

} // namespace llmc::solver
