//===- Sampler.cpp --------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Sampler.h"

#include <algorithm>
#include <cmath>

using namespace llmc;

int64_t llmc::argmax(std::span<const float> row) {
  int64_t best = 0;
  for (size_t i = 1; i < row.size(); ++i) {
    const float seen = row[static_cast<size_t>(best)];
    if (row[i] > seen || (std::isnan(seen) && !std::isnan(row[i]))) {
      best = static_cast<int64_t>(i);
    }
  }
  return best;
}

Sampler::Sampler(const SamplerOptions &options, int64_t vocabulary)
    : options(options), state(options.seed) {
  if (options.temperature > 0) {
    candidates.reserve(static_cast<size_t>(vocabulary));
    weights.resize(static_cast<size_t>(vocabulary));
  }
}

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, 2014).
double Sampler::uniform() {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

int64_t Sampler::choose(std::span<const float> logits) {
  if (!(options.temperature > 0)) {
    return argmax(logits);
  }
  candidates.clear();
  for (size_t i = 0; i < logits.size() && i < weights.size(); ++i) {
    if (!std::isnan(logits[i])) {
      candidates.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
  const auto before = [](const Candidate &a, const Candidate &b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  size_t keep = candidates.size();
  if (options.topK > 0 && static_cast<size_t>(options.topK) < keep) {
    keep = static_cast<size_t>(options.topK);
    std::nth_element(candidates.begin(),
                     candidates.begin() + static_cast<ptrdiff_t>(keep),
                     candidates.end(), before);
  }
  const double uniformDraw = uniform();
  if (keep == 0) {
    return argmax(logits);
  }
  // Sorted always, so that the draw does not depend on how top-k partitions.
  std::sort(candidates.begin(),
            candidates.begin() + static_cast<ptrdiff_t>(keep), before);
  const double top = candidates[0].logit;
  double sum = 0;
  for (size_t i = 0; i < keep; ++i) {
    weights[i] =
        candidates[i].logit == candidates[0].logit
            ? 1.0
            : std::exp((candidates[i].logit - top) / options.temperature);
    sum += weights[i];
  }
  if (options.topP < 1) {
    const double wanted = std::max(options.topP, 0.0) * sum;
    double held = 0;
    size_t i = 0;
    while (i < keep) {
      held += weights[i++];
      if (held >= wanted) {
        break;
      }
    }
    keep = std::max<size_t>(i, 1);
    sum = held;
  }
  double left = uniformDraw * sum;
  for (size_t i = 0; i < keep; ++i) {
    left -= weights[i];
    if (left < 0) {
      return candidates[i].token;
    }
  }
  return candidates[keep - 1].token;
}
