//===- Bounds.h - Proved bounds of an entry's expressions ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Two ways to bound an integer expression over an entry's symbols:
//   interval   from the symbols' own bounds, for every expression
//   linear     for sums of symbols, also with the one relation between symbols
//              that the executor enforces: past + newTokens <= capacity of
//              every state
// Both fail closed: an overflow is an error, what is not linear is unknown.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_BOUNDS_H
#define LLMC_RUNTIME_PLAN_BOUNDS_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace llmc::plan {

/// Closed: lower and upper are both attainable bounds, not strict ones.
struct Interval {
  int64_t lower = 0;
  int64_t upper = 0;
};

/// constant + sum of factor * symbol.
struct Linear {
  int64_t constant = 0;
  std::map<uint32_t, int64_t> factors; // no zeros
  bool operator==(const Linear &) const = default;
};
std::optional<Linear> add(const Linear &a, const Linear &b);
/// Known only if one of them is constant.
std::optional<Linear> multiply(const Linear &a, const Linear &b);

/// The bounds of all expressions of one entry.
class EntryBounds {
public:
  /// PlanUnsafe if an expression may overflow or divide by zero. The plan
  /// must have passed validate().
  static Result<EntryBounds> compute(const Plan &plan, const Entry &entry);

  const Interval &operator[](uint32_t expr) const { return intervals[expr]; }
  const std::optional<Linear> &linear(uint32_t expr) const {
    return linears[expr];
  }

  /// Whether two expressions have the same value in every run: equal linear
  /// forms, or the same operation on equal operands. May be false for equal
  /// ones that are written differently.
  bool same(uint32_t a, uint32_t b) const { return classes[a] == classes[b]; }
  /// The first of the expressions that same() knows to be equal to `expr`.
  uint32_t first(uint32_t expr) const { return classes[expr]; }

  /// Bounds of a linear form; nullopt on overflow.
  std::optional<int64_t> upper(const Linear &form) const;
  std::optional<int64_t> lower(const Linear &form) const;

  /// The capacity that past + newTokens is known not to exceed.
  std::optional<int64_t> capacity() const { return limit; }

private:
  void classify(const Entry &entry);

  std::vector<Interval> intervals;
  std::vector<std::optional<Linear>> linears;
  std::vector<uint32_t> classes; // the first expression of the same value
  std::vector<Interval> symbols;
  // The relation `total <= limit` holds in every run.
  std::optional<Linear> total;
  std::optional<int64_t> limit;
};

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_BOUNDS_H
