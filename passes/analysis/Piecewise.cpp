//===- Piecewise.cpp - Values under linear conditions ----------*- C++ -*-===//

#include "passes/analysis/Piecewise.h"

#include <cmath>

namespace llmc::graph {

std::optional<DimExpr> MaskValue::asExpr() const {
  if (isExpr) {
    return expr;
  }
  if (std::fabs(number) < 1e15 && number == std::trunc(number)) {
    return DimExpr(static_cast<int64_t>(number));
  }
  return std::nullopt;
}

bool Prover::lowerBoundIsNatural(DimExpr expr) const {
  Interval interval = expr.bounds(bounds);
  return interval.hasLower() && interval.lower >= 0;
}

bool Prover::implies(const Path &path, DimExpr goal) const {
  // goal - (a sum of up to three things that are >= 0) >= 0. Sums are needed
  // where a symbol must cancel before intervals say anything.
  Path known = path;
  known.insert(known.end(), facts.begin(), facts.end());
  if (lowerBoundIsNatural(goal)) {
    return true;
  }
  for (size_t i = 0; i < known.size(); ++i) {
    DimExpr one = goal - known[i];
    if (lowerBoundIsNatural(one)) {
      return true;
    }
    for (size_t j = i; j < known.size(); ++j) {
      DimExpr two = one - known[j];
      if (lowerBoundIsNatural(two)) {
        return true;
      }
      for (size_t k = j; k < known.size(); ++k) {
        if (lowerBoundIsNatural(two - known[k])) {
          return true;
        }
      }
    }
  }
  return false;
}

std::optional<Piecewise>
combine(const Prover &prover, const Piecewise &a, const Piecewise &b,
        std::function<std::optional<Piecewise>(const MaskValue &,
                                               const MaskValue &)>
            combine) {
  Piecewise result;
  for (const Piece &x : a) {
    for (const Piece &y : b) {
      Path both = x.path;
      for (DimExpr condition : y.path) {
        bool known = false;
        for (DimExpr other : both) {
          known |= other == condition;
        }
        if (!known) {
          both.push_back(condition);
        }
      }
      if (prover.contradicts(both)) {
        continue;
      }
      std::optional<Piecewise> pieces = combine(x.value, y.value);
      if (!pieces) {
        return std::nullopt;
      }
      for (Piece &piece : *pieces) {
        Path path = both;
        path.insert(path.end(), piece.path.begin(), piece.path.end());
        if (!piece.path.empty() && prover.contradicts(path)) {
          continue;
        }
        result.push_back({std::move(path), piece.value});
        if (result.size() > kMaxPieces) {
          return std::nullopt;
        }
      }
    }
  }
  return result;
}

} // namespace llmc::graph
