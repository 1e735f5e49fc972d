//===- DimExprNodes.h - What a DimExpr points to ---------------*- C++ -*-===//
//
// Shared by the files that implement DimExpr; nobody else includes it.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_DIMEXPRNODES_H
#define LLMC_DIALECTS_GRAPH_DIMEXPRNODES_H

#include "dialects/graph/DimExpr.h"

namespace llmc::graph::detail {

/// A symbol, or floordiv / ceildiv / mod / min / max of two polynomials.
struct Atom {
  bool isSymbol;
  DimOp op;
  std::string text; // canonical spelling, the interning key
  DimExpr a, b;
};

/// coefficient * product of factors (sorted by spelling, repeats allowed).
struct Term {
  int64_t coefficient;
  std::vector<const Atom *> factors;
};

/// A polynomial: terms sorted by spelling of their factors, the constant last.
struct DimNode {
  std::vector<Term> terms;
  std::string text;

  static DimExpr wrap(const DimNode *node) {
    return DimExpr(DimExpr::Interned{}, node);
  }
  static const DimNode &get(DimExpr e) { return *e.node; }
};

/// The operation on numbers; nullopt for a division by zero or an overflow.
std::optional<int64_t> apply(DimOp op, int64_t a, int64_t b);

} // namespace llmc::graph::detail

#endif // LLMC_DIALECTS_GRAPH_DIMEXPRNODES_H
