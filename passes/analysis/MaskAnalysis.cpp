//===- MaskAnalysis.cpp - Which keys an attention mask leaves --*- C++ -*-===//

#include "passes/analysis/MaskAnalysis.h"

#include "passes/analysis/MaskEvaluator.h"

using namespace mlir;

namespace llmc::graph {

/// What an additive mask holds where a key is not seen is at most this.
static constexpr double kMasked = -1e4;

std::optional<MaskKind> analyzeMasks(ArrayRef<Value> masks, DimExpr queries,
                                     DimExpr keys, const SymbolBounds &bounds,
                                     bool causal) {
  DimExpr i = DimExpr::symbol("$row"), j = DimExpr::symbol("$column");
  SymbolBounds all = bounds;
  auto rangeOf = [&](DimExpr extent) {
    Interval interval = extent.bounds(bounds);
    return Interval{0, interval.hasUpper() ? interval.upper - 1
                                           : Interval::kUnbounded};
  };
  all["$row"] = rangeOf(queries);
  all["$column"] = rangeOf(keys);
  DimExpr row = queries == DimExpr(1) ? DimExpr(0) : i;
  DimExpr column = keys == DimExpr(1) ? DimExpr(0) : j;
  Prover prover(all, {row, queries - DimExpr(1) - row, column,
                      keys - DimExpr(1) - column});
  MaskEvaluator evaluator(prover);

  // distance >= 0: the key is not after the query.
  DimExpr distance = row + keys - queries - column;
  // 1 where every mask lets the key be seen.
  Piecewise seen = causal ? truthOf(distance) : single(1.0);
  for (Value mask : masks) {
    Dims dims = getDims(mask), index;
    bool isBool =
        cast<RankedTensorType>(mask.getType()).getElementType().isInteger(1);
    for (size_t d = 0; d < dims.size(); ++d) {
      size_t back = dims.size() - d;
      DimExpr wanted = back == 1 ? column
                       : back == 2
                           ? row
                           : DimExpr::symbol("$outer" + std::to_string(back));
      index.push_back(dims[d] == DimExpr(1) ? DimExpr(0) : wanted);
    }
    std::optional<Piecewise> pieces = evaluator.evaluate(mask, index);
    if (!pieces) {
      return std::nullopt;
    }
    for (Piece &piece : *pieces) {
      if (piece.value.isExpr) {
        return std::nullopt;
      }
      double number = piece.value.number;
      if (isBool ? number == 1 : number == 0) {
        piece.value = MaskValue::of(1.0);
      } else if (isBool ? number == 0 : number <= kMasked) {
        piece.value = MaskValue::of(0.0);
      } else {
        return std::nullopt;
      }
    }
    std::optional<Piecewise> both = combine(
        prover, seen, *pieces, [](const MaskValue &a, const MaskValue &b) {
          return std::optional(single(a.number * b.number));
        });
    if (!both) {
      return std::nullopt;
    }
    seen = *both;
  }

  bool anyHidden = false;
  for (const Piece &piece : seen) {
    anyHidden |= piece.value.number == 0;
  }
  if (!anyHidden) {
    return MaskKind{};
  }
  auto holds = [&](int64_t window) {
    for (const Piece &piece : seen) {
      if (piece.value.number == 1) {
        if (!prover.implies(piece.path, distance) ||
            (window > 0 &&
             !prover.implies(piece.path, DimExpr(window - 1) - distance))) {
          return false;
        }
      } else {
        bool after = prover.implies(piece.path, DimExpr(-1) - distance);
        bool before = window > 0 &&
                      prover.implies(piece.path, distance - DimExpr(window));
        if (!after && !before) {
          return false;
        }
      }
    }
    return true;
  };
  if (holds(0)) {
    return MaskKind{true, 0};
  }
  // A window shows itself as a condition c - distance >= 0 with constant c.
  for (const Piece &piece : seen) {
    if (piece.value.number != 1) {
      continue;
    }
    for (DimExpr condition : piece.path) {
      std::optional<int64_t> size = (condition + distance).asConstant();
      if (size && *size >= 0 && holds(*size + 1)) {
        return MaskKind{true, *size + 1};
      }
    }
  }
  return std::nullopt;
}

} // namespace llmc::graph
