//===- Mutations.h - Ways to damage a plan ---------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_TOOLS_MUTATIONS_H
#define LLMC_TEST_TOOLS_MUTATIONS_H

#include "runtime/plan/Plan.h"

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace llmc::mutation {

/// The plan to damage, a source of chance, and what has been done to it.
struct Draft {
  plan::Plan plan;
  std::mt19937_64 &random;
  std::string what;
  /// Entries that may behave otherwise; empty: all.
  std::vector<uint32_t> entries;

  uint64_t below(uint64_t n) { return random() % n; }
  bool coin() { return (random() & 1) != 0; }
};

struct Mutation {
  const char *name;
  /// Why a plan may be no worse for it.
  const char *harmless;
  /// Whether some of them must do harm. A lifetime that is said to be longer
  /// never does.
  bool mayHarm;
  /// Applies one change; false: this plan has nothing of the kind.
  std::function<bool(Draft &)> apply;
};

const std::vector<Mutation> &allMutations();

} // namespace llmc::mutation

#endif // LLMC_TEST_TOOLS_MUTATIONS_H
