//===- Infeasible.cpp - Why a capacity cannot be met -----------*- C++ -*-===//

#include "passes/solver/Infeasible.h"

#include <algorithm>
#include <numeric>

namespace llmc::solver {

namespace {

bool livesAt(const Buffer &buffer, Step step) {
  if (buffer.size == 0 || step < buffer.start || step >= buffer.end) {
    return false;
  }
  return std::none_of(
      buffer.gaps.begin(), buffer.gaps.end(),
      [&](const Gap &gap) { return gap.start <= step && step < gap.end; });
}

std::vector<size_t> liveAt(const Problem &problem, Step step) {
  std::vector<size_t> live;
  for (size_t i = 0; i < problem.buffers.size(); ++i) {
    if (livesAt(problem.buffers[i], step)) {
      live.push_back(i);
    }
  }
  return live;
}

/// All steps at which the live set may be largest: the starts.
std::vector<Step> startsOf(const Problem &problem) {
  std::vector<Step> starts;
  for (const Buffer &buffer : problem.buffers) {
    starts.push_back(buffer.start);
    for (const Gap &gap : buffer.gaps) {
      starts.push_back(gap.end);
    }
  }
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  return starts;
}

/// More bytes alive at one step than there are: drop the smallest buffers as
/// long as what is left is too much.
std::optional<InfeasibleSubset> byBytes(const Problem &problem) {
  uint64_t capacity = *problem.capacity;
  for (Step step : startsOf(problem)) {
    std::vector<size_t> live = liveAt(problem, step);
    uint64_t total = 0;
    for (size_t i : live) {
      total += problem.buffers[i].size;
    }
    if (total <= capacity) {
      continue;
    }
    std::sort(live.begin(), live.end(), [&](size_t a, size_t b) {
      return std::pair(problem.buffers[a].size, a) <
             std::pair(problem.buffers[b].size, b);
    });
    InfeasibleSubset subset;
    for (size_t i : live) {
      if (total - problem.buffers[i].size > capacity) {
        total -= problem.buffers[i].size;
      } else {
        subset.buffers.push_back(i);
      }
    }
    std::sort(subset.buffers.begin(), subset.buffers.end());
    subset.irreducible = true;
    subset.step = step;
    return subset;
  }
  return std::nullopt;
}

Problem restrict(const Problem &problem, const std::vector<size_t> &subset) {
  Problem result;
  result.capacity = problem.capacity;
  for (size_t i : subset) {
    result.buffers.push_back(problem.buffers[i]);
  }
  return result;
}

/// Whether pack() proves the subset impossible; `known` says if it fits.
bool isImpossible(const Problem &problem, const std::vector<size_t> &subset,
                  const PackOptions &options, bool &known) {
  PackResult result = pack(restrict(problem, subset), options);
  known = result.solution.has_value() || result.proved;
  return !result.solution && result.proved;
}

/// Deletion filter: what can be left out of an infeasible set is left out.
/// Halves first, so that most of a large problem goes in a few steps.
InfeasibleSubset bySearch(const Problem &problem, std::vector<size_t> kept,
                          const PackOptions &options) {
  InfeasibleSubset subset;
  subset.irreducible = true;
  for (size_t chunk = std::max<size_t>(1, kept.size() / 2);; chunk /= 2) {
    for (size_t i = 0; i < kept.size();) {
      size_t end = std::min(i + chunk, kept.size());
      std::vector<size_t> rest(kept.begin(), kept.begin() + ptrdiff_t(i));
      rest.insert(rest.end(), kept.begin() + ptrdiff_t(end), kept.end());
      bool known = false;
      if (isImpossible(problem, rest, options, known)) {
        kept = std::move(rest);
        continue;
      }
      if (chunk == 1 && !known) {
        subset.irreducible = false;
      }
      i = end;
    }
    if (chunk == 1) {
      break;
    }
  }
  subset.buffers = std::move(kept);
  for (Step step : startsOf(restrict(problem, subset.buffers))) {
    if (std::all_of(
            subset.buffers.begin(), subset.buffers.end(),
            [&](size_t i) { return livesAt(problem.buffers[i], step); })) {
      subset.step = step;
      break;
    }
  }
  return subset;
}

} // namespace

std::optional<InfeasibleSubset>
findInfeasibleSubset(const Problem &problem, const PackOptions &options) {
  if (!problem.capacity) {
    return std::nullopt;
  }
  if (std::optional<InfeasibleSubset> subset = byBytes(problem)) {
    // Padding or fixed offsets may make even fewer of them too many.
    bool bytesAlone = std::all_of(
        subset->buffers.begin(), subset->buffers.end(), [&](size_t i) {
          return problem.buffers[i].alignment == 1 && !problem.buffers[i].fixed;
        });
    return bytesAlone ? *subset : bySearch(problem, subset->buffers, options);
  }
  PackResult result = pack(problem, options);
  if (result.solution || !result.proved) {
    return std::nullopt;
  }
  std::vector<size_t> all(problem.buffers.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return bySearch(problem, std::move(all), options);
}

std::string describe(const Problem &problem, const InfeasibleSubset &subset,
                     const std::function<std::string(size_t)> &name,
                     const std::function<std::string(Step)> &stepName) {
  uint64_t total = 0;
  for (size_t i : subset.buffers) {
    total += problem.buffers[i].size;
  }
  std::string count = std::to_string(subset.buffers.size()) +
                      (subset.buffers.size() == 1 ? " buffer" : " buffers");
  std::string text = "the capacity of " +
                     std::to_string(problem.capacity.value_or(0)) +
                     " bytes cannot be met: ";
  if (subset.step && total > problem.capacity.value_or(0)) {
    text += "at step " + stepName(*subset.step) + ", " + count + " need " +
            std::to_string(total) + " bytes\n";
  } else {
    text += "no placement of these " + count + " keeps them apart";
    text += subset.irreducible ? ", while any one less would fit\n" : "\n";
  }
  std::vector<size_t> order = subset.buffers;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(problem.buffers[b].size, a) <
           std::pair(problem.buffers[a].size, b);
  });
  for (size_t i : order) {
    const Buffer &buffer = problem.buffers[i];
    std::string size = std::to_string(buffer.size);
    text += "  " + std::string(size.size() < 12 ? 12 - size.size() : 0, ' ') +
            size + "  " + name(i) + ", alive in steps " +
            stepName(buffer.start) + " to " + stepName(buffer.end);
    if (buffer.fixed) {
      text += ", fixed at " + std::to_string(*buffer.fixed);
    }
    text += "\n";
  }
  return text;
}

} // namespace llmc::solver
