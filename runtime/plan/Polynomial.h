//===- Polynomial.h - Sizes that are known only at run time ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Private to the checker. The bytes of a tensor are the product of its
// dimensions, each of which may be a sum of symbols: a polynomial. Two views
// of one tensor before and after a reshape have the same polynomial, whatever
// their dimensions.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_POLYNOMIAL_H
#define LLMC_RUNTIME_PLAN_POLYNOMIAL_H

#include "runtime/plan/Bounds.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace llmc::plan {

/// A sum of integer multiples of products of atoms. An atom is a symbol, or an
/// expression that is no polynomial itself (a division, a minimum).
class Polynomial {
public:
  /// Atoms in ascending order, repeated for powers.
  using Product = std::vector<uint32_t>;

  Polynomial() = default;
  explicit Polynomial(int64_t constant) {
    if (constant != 0) {
      terms[{}] = constant;
    }
  }
  static Polynomial atom(uint32_t atom) {
    Polynomial p;
    p.terms[{atom}] = 1;
    return p;
  }

  bool operator==(const Polynomial &) const = default;
  bool isConstant() const {
    return terms.empty() || (terms.size() == 1 && terms.begin()->first.empty());
  }
  /// The term without atoms.
  int64_t constant() const {
    auto it = terms.find({});
    return it == terms.end() ? 0 : it->second;
  }
  const std::map<Product, int64_t> &all() const { return terms; }

  /// nullopt: a factor overflows or there are too many terms to follow.
  static std::optional<Polynomial> add(const Polynomial &a, const Polynomial &b,
                                       int64_t times = 1);
  static std::optional<Polynomial> multiply(const Polynomial &a,
                                            const Polynomial &b);

private:
  bool addTerm(const Product &product, int64_t factor);

  std::map<Product, int64_t> terms; // no zeros
};

/// The polynomials of all expressions of an entry.
class EntryPolynomials {
public:
  EntryPolynomials(const Entry &entry, const EntryBounds &bounds);

  const Polynomial &operator[](uint32_t expr) const { return values[expr]; }

  /// A lower bound over all runs; nullopt if it overflows.
  std::optional<int64_t> lower(const Polynomial &p) const;
  std::optional<int64_t> upper(const Polynomial &p) const;
  /// Whether a <= b in every run, as far as bounds can tell, and that
  /// min(x, y) is neither above x nor y, and ceil(x / c) * c below x + c.
  bool atMost(const Polynomial &a, const Polynomial &b) const;

  /// `3*seq*64`, for messages.
  std::string text(const Polynomial &p) const;

private:
  bool atLeastZero(const Polynomial &p, int depth) const;

  const Entry &entry;
  const EntryBounds &bounds;
  std::vector<Polynomial> values;
  /// Atoms below the number of symbols are symbols; the others are
  /// expressions, counted from there.
  uint32_t numSymbols;
};

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_POLYNOMIAL_H
