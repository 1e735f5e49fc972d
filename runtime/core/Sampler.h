//===- Sampler.h - Choosing the next token ---------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Greedy by default: the largest logit, the lowest index among equals. With a
// temperature: softmax over the k largest (top-k), cut after the smallest set
// that holds probability p (top-p). The same seed gives the same tokens on
// every machine. choose() never allocates.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_SAMPLER_H
#define LLMC_RUNTIME_CORE_SAMPLER_H

#include <cstdint>
#include <span>
#include <vector>

namespace llmc {

struct SamplerOptions {
  double temperature = 0; // 0: greedy
  int64_t topK = 0;       // 0: all
  double topP = 1;        // 1: all
  uint64_t seed = 0;
};

/// The index of the largest value; NaNs never win unless there is nothing
/// else.
int64_t argmax(std::span<const float> row);

class Sampler {
public:
  Sampler(const SamplerOptions &options, int64_t vocabulary);

  int64_t choose(std::span<const float> logits);

private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  double uniform(); // [0, 1)

  SamplerOptions options;
  uint64_t state;
  std::vector<Candidate> candidates;
  std::vector<double> weights;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_SAMPLER_H
