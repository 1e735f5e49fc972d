//===- MaskEvaluator.cpp - Elements of a tensor, symbolically --*- C++ -*-===//

#include "passes/analysis/MaskEvaluator.h"

#include "dialects/graph/ConstantFold.h"

#include <cmath>

using namespace mlir;

namespace llmc::graph {

Piecewise truthOf(DimExpr e) {
  return {{{e}, MaskValue::of(1.0)}, {{DimExpr(-1) - e}, MaskValue::of(0.0)}};
}

std::optional<Piecewise> MaskEvaluator::evaluate(Value value,
                                                 const Dims &index) {
  Operation *op = value.getDefiningOp();
  if (!op || ++depth > 2000 || index.size() != getDims(value).size()) {
    return std::nullopt;
  }
  if (auto fill = dyn_cast<FillOp>(op)) {
    std::optional<Elements> elements = readElements(fill.getValue());
    if (!elements) {
      return std::nullopt;
    }
    return single(elements->isFloat
                      ? elements->floats[0]
                      : static_cast<double>(elements->integers[0]));
  }
  if (auto iota = dyn_cast<IotaOp>(op)) {
    return single(
        MaskValue::of(exprAttr(iota.getStart()) +
                      exprAttr(iota.getStep()) * index[iota.getAxis()]));
  }
  if (auto dims = dyn_cast<DimValueOp>(op)) {
    auto at =
        index.empty() ? std::optional<int64_t>(0) : index.back().asConstant();
    if (index.size() > 1 || !at ||
        *at >= static_cast<int64_t>(dims.getExprs().size())) {
      return std::nullopt;
    }
    Attribute expr = dims.getExprs()[*at];
    return single(
        MaskValue::of(isa<StringAttr>(expr)
                          ? exprAttr(mlir::cast<StringAttr>(expr))
                          : DimExpr(mlir::cast<IntegerAttr>(expr).getInt())));
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    Dims inner(index.size(), DimExpr(0));
    for (size_t i = 0; i < index.size(); ++i) {
      inner[transpose.getPerm()[i]] = index[i];
    }
    return evaluate(transpose.getX(), inner);
  }
  if (isa<BroadcastOp>(op)) {
    return operand(op, 0, index);
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    Dims inner;
    for (size_t i = 0; i < index.size(); ++i) {
      inner.push_back(exprAttr(mlir::cast<StringAttr>(slice.getStarts()[i])) +
                      DimExpr(slice.getSteps()[i]) * index[i]);
    }
    return evaluate(slice.getX(), inner);
  }
  if (auto typed = dyn_cast<ConstantOp>(op)) {
    return constant(typed, index);
  }
  if (auto typed = dyn_cast<BinaryOp>(op)) {
    return binary(typed, index);
  }
  if (auto typed = dyn_cast<SelectOp>(op)) {
    return select(typed, index);
  }
  if (auto typed = dyn_cast<UnaryOp>(op)) {
    return unary(typed, index);
  }
  if (auto typed = dyn_cast<CastOp>(op)) {
    return cast(typed, index);
  }
  if (auto typed = dyn_cast<ReshapeOp>(op)) {
    return reshape(typed, index);
  }
  if (auto typed = dyn_cast<ConcatOp>(op)) {
    return concat(typed, index);
  }
  if (auto typed = dyn_cast<GatherOp>(op)) {
    return gather(typed, index);
  }
  if (auto typed = dyn_cast<GatherNDOp>(op)) {
    return gatherND(typed, index);
  }
  if (auto typed = dyn_cast<ScatterNDOp>(op)) {
    return scatterND(typed, index);
  }
  return std::nullopt;
}

/// A splat, an element at a known place, an arithmetic sequence along one
/// axis, or a lower triangle over the last two.
std::optional<Piecewise> MaskEvaluator::constant(ConstantOp op,
                                                 const Dims &index) {
  std::optional<Elements> elements = readElements(op.getValue());
  if (!elements) {
    return std::nullopt;
  }
  auto at = [&](int64_t i) {
    return elements->isFloat ? elements->floats[i]
                             : static_cast<double>(elements->integers[i]);
  };
  if (elements->isSplat) {
    return single(at(0));
  }
  ArrayRef<int64_t> shape =
      mlir::cast<RankedTensorType>(op.getType()).getShape();
  SmallVector<size_t> varying;
  int64_t position = 0;
  bool known = true;
  for (size_t i = 0; i < shape.size(); ++i) {
    std::optional<int64_t> constant = index[i].asConstant();
    known &= constant.has_value();
    position = position * shape[i] + constant.value_or(0);
    if (shape[i] != 1) {
      varying.push_back(i);
    }
  }
  if (known) {
    return position >= 0 && position < static_cast<int64_t>(elements->size())
               ? std::optional(single(at(position)))
               : std::nullopt;
  }
  int64_t count = elements->size();
  if (varying.size() == 1) {
    double step = at(1) - at(0);
    for (int64_t i = 2; i < count; ++i) {
      if (at(i) - at(i - 1) != step) {
        return std::nullopt;
      }
    }
    auto start = MaskValue::of(at(0)).asExpr();
    auto stride = MaskValue::of(step).asExpr();
    if (!start || !stride) {
      return std::nullopt;
    }
    return single(MaskValue::of(*start + *stride * index[varying[0]]));
  }
  if (varying.size() == 2) { // ones where the column is seen, else zeros
    int64_t columns = shape[varying[1]], rows = shape[varying[0]];
    int64_t diagonal = -1; // the last true column of row 0
    while (diagonal + 1 < columns && at(diagonal + 1) != 0) {
      ++diagonal;
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        if (at(r * columns + c) != (c <= r + diagonal ? 1 : 0)) {
          return std::nullopt;
        }
      }
    }
    return truthOf(index[varying[0]] + DimExpr(diagonal) - index[varying[1]]);
  }
  return std::nullopt;
}

std::optional<Piecewise> MaskEvaluator::binary(BinaryOp op, const Dims &index) {
  Result a = operand(op, 0, index);
  Result b = a ? operand(op, 1, index) : std::nullopt;
  if (!a || !b) {
    return std::nullopt;
  }
  StringRef kind = op.getKind();
  bool isFloat = isa<FloatType>(
      mlir::cast<RankedTensorType>(op.getLhs().getType()).getElementType());
  return combine(
      prover, *a, *b, [&](const MaskValue &x, const MaskValue &y) -> Result {
        if (!x.isExpr && !y.isExpr) {
          auto type = RankedTensorType::get(
              {}, isFloat ? (Type)Float64Type::get(op.getContext())
                          : (Type)IntegerType::get(op.getContext(), 64));
          Elements left, right;
          left.isFloat = right.isFloat = isFloat;
          left.floats = {x.number};
          right.floats = {y.number};
          left.integers = {static_cast<int64_t>(isFloat ? 0 : x.number)};
          right.integers = {static_cast<int64_t>(isFloat ? 0 : y.number)};
          if (isFloat) {
            left.integers.clear();
            right.integers.clear();
          } else {
            left.floats.clear();
            right.floats.clear();
          }
          bool compares = llvm::is_contained(
              ArrayRef<StringRef>{"eq", "ne", "lt", "le", "gt", "ge"}, kind);
          auto resultType = compares
                                ? RankedTensorType::get(
                                      {}, IntegerType::get(op.getContext(), 1))
                                : type;
          Attribute folded = foldBinary(kind, makeElements(type, left),
                                        makeElements(type, right), resultType);
          std::optional<Elements> value =
              folded ? readElements(folded) : std::nullopt;
          if (!value) {
            return std::nullopt;
          }
          return single(value->isFloat
                            ? value->floats[0]
                            : static_cast<double>(value->integers[0]));
        }
        auto p = x.asExpr(), q = y.asExpr();
        if (!p || !q) {
          return std::nullopt;
        }
        if (kind == "add") {
          return single(MaskValue::of(*p + *q));
        }
        if (kind == "sub") {
          return single(MaskValue::of(*p - *q));
        }
        if (kind == "mul") {
          return single(MaskValue::of(*p * *q));
        }
        if (kind == "min") {
          return single(MaskValue::of(DimExpr::min(*p, *q)));
        }
        if (kind == "max") {
          return single(MaskValue::of(DimExpr::max(*p, *q)));
        }
        if (kind == "ge") {
          return truthOf(*p - *q);
        }
        if (kind == "gt") {
          return truthOf(*p - *q - DimExpr(1));
        }
        if (kind == "le") {
          return truthOf(*q - *p);
        }
        if (kind == "lt") {
          return truthOf(*q - *p - DimExpr(1));
        }
        return std::nullopt;
      });
}

std::optional<Piecewise> MaskEvaluator::select(SelectOp op, const Dims &index) {
  Result cond = operand(op, 0, index);
  if (!cond) {
    return std::nullopt;
  }
  Piecewise result;
  for (const Piece &choice : *cond) {
    if (choice.value.isExpr) {
      return std::nullopt;
    }
    Result branch = operand(op, choice.value.number != 0 ? 1 : 2, index);
    if (!branch) {
      return std::nullopt;
    }
    Result pieces = combine(prover, {choice}, *branch,
                            [](const MaskValue &, const MaskValue &value) {
                              return Result(single(value));
                            });
    if (!pieces) {
      return std::nullopt;
    }
    result.insert(result.end(), pieces->begin(), pieces->end());
  }
  return result.size() <= kMaxPieces ? Result(result) : std::nullopt;
}

std::optional<Piecewise> MaskEvaluator::unary(UnaryOp op, const Dims &index) {
  Result x = operand(op, 0, index);
  if (!x) {
    return std::nullopt;
  }
  for (Piece &piece : *x) {
    MaskValue &value = piece.value;
    if (op.getKind() == "not" && !value.isExpr) {
      value = MaskValue::of(value.number == 0 ? 1.0 : 0.0);
    } else if (op.getKind() == "neg") {
      value = value.isExpr ? MaskValue::of(DimExpr(0) - value.expr)
                           : MaskValue::of(-value.number);
    } else if (op.getKind() == "is_nan" || op.getKind() == "is_inf") {
      bool truth = !value.isExpr &&
                   (op.getKind() == "is_nan" ? std::isnan(value.number)
                                             : std::isinf(value.number));
      value = MaskValue::of(truth ? 1.0 : 0.0);
    } else {
      return std::nullopt;
    }
  }
  return x;
}

std::optional<Piecewise> MaskEvaluator::cast(CastOp op, const Dims &index) {
  Result x = operand(op, 0, index);
  Type to = mlir::cast<RankedTensorType>(op.getType()).getElementType();
  if (!x) {
    return std::nullopt;
  }
  for (Piece &piece : *x) {
    if (to.isInteger(1)) {
      if (piece.value.isExpr) {
        return std::nullopt; // != 0 of an expression is no linear condition
      }
      piece.value = MaskValue::of(piece.value.number != 0 ? 1.0 : 0.0);
    } else if (!isa<FloatType>(to) && !piece.value.isExpr) {
      piece.value = MaskValue::of(std::trunc(piece.value.number));
    }
  }
  return x;
}

std::optional<Piecewise> MaskEvaluator::reshape(ReshapeOp op,
                                                const Dims &index) {
  Dims from = getDims(op.getX()), to = getDims(op.getResult());
  // Dimensions of 1 come and go; the others stay.
  Dims inner, kept;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] != DimExpr(1)) {
      kept.push_back(index[i]);
    }
  }
  size_t next = 0;
  bool fits = true;
  Dims keptDims;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] != DimExpr(1)) {
      keptDims.push_back(to[i]);
    }
  }
  for (DimExpr dim : from) {
    if (dim == DimExpr(1)) {
      inner.push_back(0);
    } else if (next < kept.size() && keptDims[next] == dim) {
      inner.push_back(kept[next++]);
    } else {
      fits = false;
      break;
    }
  }
  if (fits && next == kept.size()) {
    return evaluate(op.getX(), inner);
  }
  if (from.size() == 1) {
    DimExpr linear = 0;
    for (size_t i = 0; i < to.size(); ++i) {
      linear = linear * to[i] + index[i];
    }
    return evaluate(op.getX(), {linear});
  }
  return std::nullopt;
}

std::optional<Piecewise> MaskEvaluator::concat(ConcatOp op, const Dims &index) {
  size_t axis = op.getAxis();
  DimExpr offset = 0;
  Piecewise result;
  for (Value input : op.getInputs()) {
    DimExpr extent = getDim(input, axis);
    Dims inner = index;
    inner[axis] = index[axis] - offset;
    // offset <= index < offset + extent
    Piece here{{inner[axis], extent - DimExpr(1) - inner[axis]},
               MaskValue::of(1.0)};
    offset = offset + extent;
    if (prover.contradicts(here.path)) {
      continue;
    }
    Result part = evaluate(input, inner);
    Result pieces = part ? combine(prover, {here}, *part,
                                   [](const MaskValue &, const MaskValue &v) {
                                     return Result(single(v));
                                   })
                         : std::nullopt;
    if (!pieces) {
      return std::nullopt;
    }
    result.insert(result.end(), pieces->begin(), pieces->end());
  }
  return result.size() <= kMaxPieces ? Result(result) : std::nullopt;
}

std::optional<Piecewise> MaskEvaluator::gather(GatherOp op, const Dims &index) {
  size_t axis = op.getAxis(), count = getDims(op.getIndices()).size();
  Result positions =
      evaluate(op.getIndices(),
               Dims(index.begin() + axis, index.begin() + axis + count));
  if (!positions || positions->size() != 1) {
    return std::nullopt;
  }
  auto at = positions->front().value.asExpr();
  if (!at || !prover.implies({}, *at)) { // negative indices wrap
    return std::nullopt;
  }
  Dims inner(index.begin(), index.begin() + axis);
  inner.push_back(*at);
  inner.insert(inner.end(), index.begin() + axis + count, index.end());
  return evaluate(op.getData(), inner);
}

std::optional<Dims> MaskEvaluator::indexVector(Value indices,
                                               const Dims &outer) {
  std::optional<int64_t> depth = getDims(indices).back().asConstant();
  if (!depth) {
    return std::nullopt;
  }
  Dims components;
  for (int64_t i = 0; i < *depth; ++i) {
    Dims at = outer;
    at.push_back(i);
    Result component = evaluate(indices, at);
    if (!component || component->size() != 1) {
      return std::nullopt;
    }
    auto expr = component->front().value.asExpr();
    if (!expr) {
      return std::nullopt;
    }
    components.push_back(*expr);
  }
  return components;
}

std::optional<Piecewise> MaskEvaluator::gatherND(GatherNDOp op,
                                                 const Dims &index) {
  size_t outer = getDims(op.getIndices()).size() - 1;
  if (op.getBatchDims() != 0) {
    return std::nullopt;
  }
  auto inner =
      indexVector(op.getIndices(), Dims(index.begin(), index.begin() + outer));
  if (!inner || !llvm::all_of(*inner, [&](DimExpr expr) {
        return prover.implies({}, expr); // negative indices wrap
      })) {
    return std::nullopt;
  }
  inner->insert(inner->end(), index.begin() + outer, index.end());
  return evaluate(op.getData(), *inner);
}

/// Exporters write `mask[:, :, :, :n] = ...` as a scatter over the whole grid:
/// where the indices are the identity, every element is the update.
std::optional<Piecewise> MaskEvaluator::scatterND(ScatterNDOp op,
                                                  const Dims &index) {
  Dims data = getDims(op.getData()), grid = getDims(op.getIndices());
  std::optional<int64_t> depth = grid.back().asConstant();
  grid.pop_back();
  if (op.getKind() != "none" || !depth ||
      *depth != static_cast<int64_t>(grid.size()) ||
      grid.size() > data.size() ||
      !std::equal(grid.begin(), grid.end(), data.begin())) {
    return std::nullopt;
  }
  Dims outer(index.begin(), index.begin() + grid.size());
  auto target = indexVector(op.getIndices(), outer);
  if (!target || *target != outer) {
    return std::nullopt;
  }
  return evaluate(op.getUpdates(), index);
}

} // namespace llmc::graph
