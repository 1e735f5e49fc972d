//===- Piecewise.h - Values under linear conditions ------------*- C++ -*-===//
//
// The values that MaskAnalysis computes with. A condition is an expression
// that must be >= 0; a path is a conjunction of conditions.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_ANALYSIS_PIECEWISE_H
#define LLMC_PASSES_ANALYSIS_PIECEWISE_H

#include "dialects/graph/DimExpr.h"

#include <functional>
#include <optional>
#include <vector>

namespace llmc::graph {

using Path = std::vector<DimExpr>;

/// An integer expression, or a number.
struct MaskValue {
  bool isExpr = false;
  DimExpr expr;
  double number = 0;

  static MaskValue of(DimExpr expr) {
    if (auto constant = expr.asConstant()) {
      return of(static_cast<double>(*constant));
    }
    return {true, expr, 0};
  }
  static MaskValue of(double number) { return {false, 0, number}; }
  /// As an expression, if it is one or a whole number.
  std::optional<DimExpr> asExpr() const;
};

struct Piece {
  Path path;
  MaskValue value;
};

/// Exactly one piece's path holds at every index.
using Piecewise = std::vector<Piece>;

/// Proves things from facts: indices lie in their ranges, symbols in their
/// bounds.
class Prover {
public:
  Prover(SymbolBounds bounds, Path facts)
      : bounds(std::move(bounds)), facts(std::move(facts)) {}

  /// path (and the facts) imply goal >= 0.
  bool implies(const Path &path, DimExpr goal) const;
  /// path cannot hold.
  bool contradicts(const Path &path) const { return implies(path, -1); }

private:
  bool lowerBoundIsNatural(DimExpr expr) const;

  SymbolBounds bounds;
  Path facts;
};

/// The largest number of pieces before the analysis gives up.
constexpr size_t kMaxPieces = 64;

/// Combines the pieces of a and b whose paths hold together; `combine` gives
/// the pieces of each pair (their paths are added to the pair's).
std::optional<Piecewise>
combine(const Prover &prover, const Piecewise &a, const Piecewise &b,
        std::function<std::optional<Piecewise>(const MaskValue &,
                                               const MaskValue &)>
            combine);

} // namespace llmc::graph

#endif // LLMC_PASSES_ANALYSIS_PIECEWISE_H
