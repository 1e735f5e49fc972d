//===- CheckCoverage.h - What has been written -----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Nothing is read before it is written, byte by byte, at the sizes of every
// run: what was written at the bound of a dimension is not enough when the
// dimension may be smaller. A buffer's written bytes are ranges whose ends are
// polynomials of the symbols, and rows of equal length that are filled piece
// by piece (a concatenation along an inner dimension).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CHECKCOVERAGE_H
#define LLMC_RUNTIME_PLAN_CHECKCOVERAGE_H

#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/Plan.h"
#include "runtime/plan/Polynomial.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <map>
#include <vector>

namespace llmc::plan {

/// A set of bytes as disjoint ranges.
class ByteSet {
public:
  void add(ByteRange range);
  /// The end of the range that `byte` lies in; `byte` itself if in none.
  uint64_t endOf(uint64_t byte) const;
  ByteSet within(ByteRange bytes) const;

private:
  std::map<uint64_t, uint64_t> ranges;
};

/// The bytes of one buffer that are surely written.
class Coverage {
public:
  void add(ByteRange range) { sure.add(range); }
  void add(const Writing &writing, const EntryPolynomials &polynomials);
  /// What of this lies in [bytes.begin, bytes.end); where that is not known,
  /// nothing.
  Coverage within(ByteRange bytes, const EntryPolynomials &polynomials) const;

  /// Where bytes [begin, begin + size) stop being written; nullopt if all are.
  std::optional<Polynomial> missing(uint64_t begin, const Polynomial &size,
                                    const EntryPolynomials &polynomials) const;

private:
  struct Range {
    Polynomial begin, end;
    bool operator==(const Range &) const = default;
  };
  /// [base, base + period * count): in each period everything up to `reached`
  /// is written, and the ranges `apart` from that.
  struct Rows {
    uint64_t base;
    Polynomial period, count;
    Polynomial reached = {};
    std::vector<Range> apart = {};
  };
  void addRange(Range range, const EntryPolynomials &polynomials);
  void addRow(const Writing &writing, const EntryPolynomials &polynomials);

  ByteSet sure; // whatever the symbols are
  std::vector<Range> ranges;
  std::vector<Rows> rows;
};

/// The ranges that each step of an entry touches.
using StepRanges = std::vector<std::vector<TouchedRange>>;

/// Nothing is read that no earlier step (or the caller, for inputs, or the
/// load, for weights, constants and carried slots) has written; outputs are
/// written in the end. State is another matter: see CheckTransitions.h.
Result<void> checkInitialized(const Plan &plan, uint32_t entry,
                              const EntryPolynomials &polynomials,
                              const StepRanges &ranges);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CHECKCOVERAGE_H
