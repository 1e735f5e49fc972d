//===- Explain.h - What stays, what streams, what bounds a run -*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The placement in words, from the plan alone, so that `llmc compile` and
// `llmc inspect` say the same.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_EXPLAIN_H
#define LLMC_RUNTIME_PLAN_EXPLAIN_H

#include "runtime/plan/Plan.h"

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace llmc::plan {

/// Weights with at least two dimensions larger than 1 are matrices (a
/// convolution's filters too), the others vectors.
struct KeptWeights {
  uint64_t bytes = 0; // of those that stay
  uint32_t matrices = 0;
  uint32_t allMatrices = 0;
  uint32_t vectors = 0;
  uint32_t allVectors = 0;
};
KeptWeights keptWeights(const Plan &plan);

/// Bytes of the largest staging buffer of an entry.
uint64_t largestSlot(const Plan &plan, size_t entry);

/// Bytes of states that lie below and come back in one run when the state is
/// full.
uint64_t restoredBytes(const Entry &entry);

/// Tokens that one run of the entry processes at most, all sequences of the
/// batch together; 0 if it processes none. The plan must be valid.
double tokensPerRun(const Plan &plan, const Entry &entry);

/// Where the predicted time of an entry goes. The streams run beside each
/// other: launches take compute + memory + overhead, copies take link, and the
/// launches wait `stall` for copies. Known to the compiler, not kept in the
/// plan.
struct Prediction {
  double computeSeconds = 0;  // launches that arithmetic bounds
  double memorySeconds = 0;   // launches that memory bounds
  double overheadSeconds = 0; // launches too small to be bound by either
  double linkSeconds = 0;     // copies
  double stallSeconds = 0;
  /// With so many bytes more of budget the entry would take moreSeconds. 0:
  /// there is nothing to gain, all weights stay.
  uint64_t moreBytes = 0;
  double moreSeconds = 0;
  /// What launches read and write of activations (each access counted; not
  /// weights, constants and states), and their number.
  double activationBytes = 0;
  uint64_t launches = 0;
};

/// What stays, what streams, what bounds the entries and, with the predictions
/// of the entries (one each, or none), the parts of their time and what a
/// larger budget would give: at most seven lines, for the first two entries.
/// The plan must be valid.
std::string explainText(const Plan &plan,
                        const std::vector<Prediction> &predictions = {});

/// The predictions of the entries, one object each, units in the names.
nlohmann::ordered_json
predictionsJson(const Plan &plan, const std::vector<Prediction> &predictions);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_EXPLAIN_H
