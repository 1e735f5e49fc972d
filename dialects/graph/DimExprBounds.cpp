//===- DimExprBounds.cpp - Interval arithmetic over dimensions ------------===//

#include "dialects/graph/DimExprNodes.h"

#include <algorithm>

namespace llmc::graph {

using detail::Atom;
using detail::DimNode;
using detail::Term;

namespace {

constexpr int64_t kInf = Interval::kUnbounded;

/// Bounds are kept in __int128 while computing so that overflow is seen.
int64_t saturate(__int128 value) {
  if (value >= kInf) {
    return kInf;
  }
  if (value <= -static_cast<__int128>(kInf)) {
    return -kInf;
  }
  return static_cast<int64_t>(value);
}

bool isInf(int64_t v) { return v == kInf || v == -kInf; }

int64_t addBound(int64_t a, int64_t b, int64_t whenInf) {
  return isInf(a) || isInf(b) ? whenInf
                              : saturate(static_cast<__int128>(a) + b);
}

int64_t mulBound(int64_t a, int64_t b) {
  if (a == 0 || b == 0) {
    return 0;
  }
  if (isInf(a) || isInf(b)) {
    return (a < 0) == (b < 0) ? kInf : -kInf;
  }
  return saturate(static_cast<__int128>(a) * b);
}

Interval add(Interval a, Interval b) {
  return {addBound(a.lower, b.lower, -kInf), addBound(a.upper, b.upper, kInf)};
}

Interval mul(Interval a, Interval b) {
  int64_t c[4] = {mulBound(a.lower, b.lower), mulBound(a.lower, b.upper),
                  mulBound(a.upper, b.lower), mulBound(a.upper, b.upper)};
  return {*std::min_element(c, c + 4), *std::max_element(c, c + 4)};
}

Interval divide(DimOp op, Interval a, Interval b) {
  // Only positive divisors occur in shapes; anything else fails closed.
  if (b.lower <= 0 || isInf(a.lower) || isInf(a.upper)) {
    return a.lower >= 0 && b.lower > 0 ? Interval{0, kInf} : Interval{};
  }
  int64_t high = isInf(b.upper) ? kInf - 1 : b.upper;
  int64_t c[4] = {
      *detail::apply(op, a.lower, b.lower), *detail::apply(op, a.lower, high),
      *detail::apply(op, a.upper, b.lower), *detail::apply(op, a.upper, high)};
  return {*std::min_element(c, c + 4), *std::max_element(c, c + 4)};
}

Interval boundsOf(const Atom &atom, const SymbolBounds &symbols) {
  if (atom.isSymbol) {
    auto it = symbols.find(atom.text);
    return it == symbols.end() ? Interval{} : it->second;
  }
  Interval a = atom.a.bounds(symbols), b = atom.b.bounds(symbols);
  switch (atom.op) {
  case DimOp::FloorDiv:
  case DimOp::CeilDiv:
    return divide(atom.op, a, b);
  case DimOp::Mod:
    if (b.lower <= 0) {
      return {};
    }
    return {0, b.hasUpper() ? b.upper - 1 : kInf};
  case DimOp::Min:
    return {std::min(a.lower, b.lower), std::min(a.upper, b.upper)};
  case DimOp::Max:
    return {std::max(a.lower, b.lower), std::max(a.upper, b.upper)};
  }
  return {};
}

} // namespace

Interval DimExpr::bounds(const SymbolBounds &symbols) const {
  Interval sum{0, 0};
  for (const Term &term : DimNode::get(*this).terms) {
    Interval product{term.coefficient, term.coefficient};
    for (const Atom *factor : term.factors) {
      product = mul(product, boundsOf(*factor, symbols));
    }
    sum = add(sum, product);
  }
  return sum;
}

} // namespace llmc::graph
