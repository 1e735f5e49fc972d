//===- Polynomial.cpp - Sizes that are known only at run time -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Polynomial.h"

#include <algorithm>

namespace llmc::plan {

// More than any shape has: a plan that says otherwise is refused, not followed.
constexpr size_t kMaxTerms = 64;
constexpr size_t kMaxDegree = 12;

bool Polynomial::addTerm(const Product &product, int64_t factor) {
  if (factor == 0) {
    return true;
  }
  auto [it, isNew] = terms.try_emplace(product, 0);
  if (__builtin_add_overflow(it->second, factor, &it->second)) {
    return false;
  }
  if (it->second == 0) {
    terms.erase(it);
  }
  return terms.size() <= kMaxTerms;
}

std::optional<Polynomial> Polynomial::add(const Polynomial &a,
                                          const Polynomial &b, int64_t times) {
  Polynomial sum = a;
  for (const auto &[product, factor] : b.terms) {
    int64_t scaled;
    if (__builtin_mul_overflow(factor, times, &scaled) ||
        !sum.addTerm(product, scaled)) {
      return std::nullopt;
    }
  }
  return sum;
}

std::optional<Polynomial> Polynomial::multiply(const Polynomial &a,
                                               const Polynomial &b) {
  Polynomial result;
  for (const auto &[left, leftFactor] : a.terms) {
    for (const auto &[right, rightFactor] : b.terms) {
      Product product(left.size() + right.size());
      std::merge(left.begin(), left.end(), right.begin(), right.end(),
                 product.begin());
      int64_t factor;
      if (product.size() > kMaxDegree ||
          __builtin_mul_overflow(leftFactor, rightFactor, &factor) ||
          !result.addTerm(product, factor)) {
        return std::nullopt;
      }
    }
  }
  return result;
}

EntryPolynomials::EntryPolynomials(const Entry &entry,
                                   const EntryBounds &bounds)
    : entry(entry), bounds(bounds),
      numSymbols(static_cast<uint32_t>(entry.symbols.size())) {
  values.reserve(entry.exprs.size());
  for (uint32_t i = 0; i < entry.exprs.size(); ++i) {
    const ExprNode &node = entry.exprs[i];
    if (bounds[i].lower == bounds[i].upper) {
      values.emplace_back(bounds[i].lower);
      continue;
    }
    std::optional<Polynomial> value;
    if (node.op == ExprOp::Symbol) {
      value = Polynomial::atom(node.a);
    } else if (node.op == ExprOp::Add) {
      value = Polynomial::add(values[node.a], values[node.b]);
    } else if (node.op == ExprOp::Mul) {
      value = Polynomial::multiply(values[node.a], values[node.b]);
    }
    values.push_back(value ? std::move(*value)
                           : Polynomial::atom(numSymbols + bounds.first(i)));
  }
}

std::optional<int64_t> EntryPolynomials::lower(const Polynomial &p) const {
  __extension__ using Wide = __int128;
  // What is linear knows how symbols are related; the rest goes term by term.
  Linear linear{p.constant(), {}};
  Wide rest = 0;
  for (const auto &[product, factor] : p.all()) {
    if (product.size() == 1 && product[0] < numSymbols) {
      linear.factors[product[0]] = factor;
      continue;
    }
    if (product.empty()) {
      continue;
    }
    Wide low = 1, high = 1;
    for (uint32_t atom : product) {
      Interval range;
      if (atom < numSymbols) {
        range = {entry.symbols[atom].lower, entry.symbols[atom].upper};
      } else {
        range = bounds[atom - numSymbols];
      }
      if (range.lower < 0) {
        return std::nullopt;
      }
      low *= range.lower;
      high *= range.upper;
      if (high > INT64_MAX) {
        return std::nullopt;
      }
    }
    rest += factor > 0 ? low * factor : high * factor;
    if (rest > INT64_MAX || rest < INT64_MIN) {
      return std::nullopt;
    }
  }
  std::optional<int64_t> sum = bounds.lower(linear);
  if (!sum || __builtin_add_overflow(*sum, static_cast<int64_t>(rest), &*sum)) {
    return std::nullopt;
  }
  return sum;
}

std::optional<int64_t> EntryPolynomials::upper(const Polynomial &p) const {
  std::optional<Polynomial> negated = Polynomial::add(Polynomial(), p, -1);
  std::optional<int64_t> bound = negated ? lower(*negated) : std::nullopt;
  int64_t result;
  if (!bound || __builtin_sub_overflow(int64_t(0), *bound, &result)) {
    return std::nullopt;
  }
  return result;
}

bool EntryPolynomials::atLeastZero(const Polynomial &p, int depth) const {
  std::optional<int64_t> least = lower(p);
  if (least && *least >= 0) {
    return true;
  }
  // Replace one atom by something that makes the sum no larger.
  for (const auto &[product, factor] : p.all()) {
    for (uint32_t atom : product) {
      if (atom < numSymbols || depth == 0) {
        continue;
      }
      const ExprNode &node = entry.exprs[atom - numSymbols];
      // All other factors of the product must not be negative.
      bool positive =
          std::all_of(product.begin(), product.end(), [&](uint32_t other) {
            return (other < numSymbols ? entry.symbols[other].lower
                                       : bounds[other - numSymbols].lower) >= 0;
          });
      Polynomial rest(1);
      bool skipped = false;
      for (uint32_t other : product) {
        if (other == atom && !skipped) {
          skipped = true;
          continue;
        }
        std::optional<Polynomial> more =
            Polynomial::multiply(rest, Polynomial::atom(other));
        positive = positive && more.has_value();
        rest = more ? std::move(*more) : rest;
      }
      if (!positive) {
        continue;
      }
      // p + factor * (by - scale * atom) * rest, with scale dividing factor.
      auto tryBound = [&](const std::optional<Polynomial> &by, int64_t scale) {
        std::optional<Polynomial> other =
            by ? Polynomial::multiply(*by, rest) : std::nullopt;
        std::optional<Polynomial> own =
            Polynomial::multiply(rest, Polynomial::atom(atom));
        std::optional<Polynomial> sum =
            own ? Polynomial::add(p, *own, -factor) : std::nullopt;
        sum = sum && other ? Polynomial::add(*sum, *other, factor / scale)
                           : std::nullopt;
        return sum && atLeastZero(*sum, depth - 1);
      };
      bool isUpper = node.op == ExprOp::Min && factor < 0;
      bool isLower = node.op == ExprOp::Max && factor > 0;
      if ((isUpper || isLower) &&
          (tryBound(values[node.a], 1) || tryBound(values[node.b], 1))) {
        return true;
      }
      if ((node.op == ExprOp::CeilDiv || node.op == ExprOp::FloorDiv) &&
          values[node.b].isConstant()) {
        int64_t by = values[node.b].constant();
        if (by <= 0 || factor % by != 0) {
          continue;
        }
        // x <= ceil(x / c) * c <= x + c - 1; floor likewise below.
        bool up = node.op == ExprOp::CeilDiv;
        int64_t slack = factor < 0 ? (up ? by - 1 : 0) : (up ? 0 : 1 - by);
        if (tryBound(Polynomial::add(values[node.a], Polynomial(slack)), by)) {
          return true;
        }
      }
    }
  }
  return false;
}

bool EntryPolynomials::atMost(const Polynomial &a, const Polynomial &b) const {
  std::optional<Polynomial> room = Polynomial::add(b, a, -1);
  return room && atLeastZero(*room, 3);
}

std::string EntryPolynomials::text(const Polynomial &p) const {
  std::string out;
  for (const auto &[product, factor] : p.all()) {
    out += (out.empty() ? "" : factor < 0 ? " - " : " + ");
    int64_t shown = !out.empty() && factor < 0 ? -factor : factor;
    bool isOne = shown == 1 && !product.empty();
    out += isOne ? "" : std::to_string(shown);
    for (size_t i = 0; i < product.size(); ++i) {
      out += i > 0 || !isOne ? "*" : "";
      out += product[i] < numSymbols
                 ? entry.symbols[product[i]].name
                 : "expression " + std::to_string(product[i] - numSymbols);
    }
  }
  return out.empty() ? "0" : out;
}

} // namespace llmc::plan
