//===- GraphCanonicalize.cpp - Canonicalization patterns -------*- C++ -*-===//
//
// The canonical forms that the recovery passes rely on:
//   - constants stand on the right of commutative ops;
//   - `pow x, 2` and `mul x, x` are `square`; `div 1, x` is `reciprocal`;
//     division by a constant power of two is a multiplication;
//   - element-wise ops read what they broadcast directly: no graph.broadcast
//     or graph.fill in between where the other operands give the dimensions;
//   - chains of reshapes, transposes, broadcasts, slices and concatenations
//     are one op each; what only rearranges a splat is a splat.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/ConstantFold.h"
#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/IR/PatternMatch.h"

#include <cmath>

using namespace mlir;

namespace llmc::graph {
namespace {

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

Type elementOf(Value value) { return typeOf(value).getElementType(); }

/// The one value of a splat constant or fill, as a rank-0 attribute.
DenseElementsAttr splatOf(Value value) {
  DenseElementsAttr dense;
  if (auto constant = value.getDefiningOp<ConstantOp>()) {
    dense = dyn_cast<DenseElementsAttr>(constant.getValue());
  } else if (auto fill = value.getDefiningOp<FillOp>()) {
    dense = dyn_cast<DenseElementsAttr>(fill.getValue());
  }
  if (!dense || !dense.isSplat()) {
    return {};
  }
  return dense.resizeSplat(RankedTensorType::get({}, dense.getElementType()));
}

/// Keeps `graph.name` on what replaces an op.
template <typename OpT, typename... Args>
OpT replaceWith(PatternRewriter &rewriter, Operation *op, Args &&...args) {
  Value result = op->getResult(0);
  OpT created = createOp<OpT>(rewriter, op->getLoc(), getDims(result),
                              elementOf(result), std::forward<Args>(args)...);
  if (Attribute name = op->getAttr(kNameAttr)) {
    created->setAttr(kNameAttr, name);
  }
  rewriter.replaceOp(op, created.getOperation());
  return created;
}

/// op(.., broadcast(x), ..) -> op(.., x, ..) where the result keeps its dims.
template <typename OpT> struct ReadThroughBroadcast : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpT op,
                                PatternRewriter &rewriter) const override {
    Dims wanted = getDims(op.getResult());
    for (OpOperand &operand : op->getOpOperands()) {
      Value source;
      DenseElementsAttr splat;
      if (auto broadcast =
              operand.get().template getDefiningOp<BroadcastOp>()) {
        source = broadcast.getX();
      } else if (typeOf(operand.get()).getRank() > 0) {
        splat = splatOf(operand.get());
      }
      if (!source && !splat) {
        continue;
      }
      std::optional<Dims> dims = source ? getDims(source) : Dims();
      for (OpOperand &other : op->getOpOperands()) {
        if (&other != &operand && dims) {
          dims = broadcastDims(*dims, getDims(other.get()));
        }
      }
      if (!dims || *dims != wanted) {
        continue;
      }
      if (splat) {
        source =
            ConstantOp::create(rewriter, op.getLoc(), splat.getType(), splat);
      }
      rewriter.modifyOpInPlace(op, [&] { operand.set(source); });
      return success();
    }
    return failure();
  }
};

struct SimplifyBinary : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    StringRef kind = op.getKind();
    auto isLeaf = [](Value value) {
      return isa_and_nonnull<ConstantOp, FillOp>(value.getDefiningOp());
    };
    bool commutes =
        llvm::is_contained(ArrayRef<StringRef>{"add", "mul", "min", "max",
                                               "and", "or", "xor", "eq", "ne"},
                           kind);
    if (commutes && isLeaf(op.getLhs()) && !isLeaf(op.getRhs())) {
      Value lhs = op.getLhs(), rhs = op.getRhs();
      rewriter.modifyOpInPlace(op, [&] {
        op.getLhsMutable().assign(rhs);
        op.getRhsMutable().assign(lhs);
      });
      return success();
    }
    bool isFloat = isa<FloatType>(elementOf(op.getResult()));
    bool sameAsLhs = getDims(op.getLhs()) == getDims(op.getResult());
    if (kind == "mul" && op.getLhs() == op.getRhs() && isFloat) {
      replaceWith<UnaryOp>(rewriter, op, "square", op.getLhs());
      return success();
    }
    if (DenseElementsAttr splat = splatOf(op.getRhs()); splat && isFloat) {
      std::optional<Elements> value = readElements(splat);
      if (!value) {
        return failure();
      }
      double scalar = value->floats[0];
      if (kind == "pow" && sameAsLhs) {
        StringRef unary = scalar == 2      ? "square"
                          : scalar == 0.5  ? "sqrt"
                          : scalar == -1   ? "reciprocal"
                          : scalar == -0.5 ? "rsqrt"
                                           : "";
        if (!unary.empty()) {
          replaceWith<UnaryOp>(rewriter, op, unary, op.getLhs());
          return success();
        }
      }
      int exponent = 0;
      bool exact = std::fabs(std::frexp(scalar, &exponent)) == 0.5 &&
                   std::abs(exponent) < 14;
      if (kind == "div" && exact) { // the quotient is the same bit for bit
        Elements inverse = *value;
        inverse.floats[0] = 1.0 / scalar;
        auto attr =
            makeElements(cast<RankedTensorType>(splat.getType()), inverse);
        Value factor =
            ConstantOp::create(rewriter, op.getLoc(), attr.getType(), attr);
        replaceWith<BinaryOp>(rewriter, op, "mul", op.getLhs(), factor);
        return success();
      }
    }
    if (DenseElementsAttr splat = splatOf(op.getLhs()); splat && isFloat) {
      std::optional<Elements> value = readElements(splat);
      bool sameAsRhs = getDims(op.getRhs()) == getDims(op.getResult());
      if (kind == "div" && value && value->floats[0] == 1 && sameAsRhs) {
        replaceWith<UnaryOp>(rewriter, op, "reciprocal", op.getRhs());
        return success();
      }
    }
    return failure();
  }
};

/// not(lt) -> ge and so on for integers.
struct SimplifyUnary : OpRewritePattern<UnaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(UnaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() == "not") {
      auto compare = op.getX().getDefiningOp<BinaryOp>();
      if (!compare || isa<FloatType>(elementOf(compare.getLhs()))) {
        return failure(); // with NaN the negation is not a comparison
      }
      StringRef kind = compare.getKind();
      StringRef negated = kind == "lt"   ? "ge"
                          : kind == "ge" ? "lt"
                          : kind == "gt" ? "le"
                          : kind == "le" ? "gt"
                          : kind == "eq" ? "ne"
                          : kind == "ne" ? "eq"
                                         : "";
      if (negated.empty()) {
        return failure();
      }
      replaceWith<BinaryOp>(rewriter, op, negated, compare.getLhs(),
                            compare.getRhs());
      return success();
    }
    return failure();
  }
};

struct MergeReshapes : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<ReshapeOp>();
    if (!inner) {
      return failure();
    }
    replaceWith<ReshapeOp>(rewriter, op, inner.getX());
    return success();
  }
};

struct MergeTransposes : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<TransposeOp>();
    if (!inner) {
      return onlyMovesUnits(op, rewriter);
    }
    SmallVector<int64_t> perm;
    for (int64_t dim : op.getPerm()) {
      perm.push_back(inner.getPerm()[dim]);
    }
    replaceWith<TransposeOp>(rewriter, op, inner.getX(), perm);
    return success();
  }

  /// The other dimensions stay in order: so do the elements.
  static LogicalResult onlyMovesUnits(TransposeOp op,
                                      PatternRewriter &rewriter) {
    Dims dims = getDims(op.getX());
    int64_t previous = -1;
    for (int64_t dim : op.getPerm()) {
      if (dims[dim] == DimExpr(1)) {
        continue;
      }
      if (dim < previous) {
        return failure();
      }
      previous = dim;
    }
    replaceWith<ReshapeOp>(rewriter, op, op.getX());
    return success();
  }
};

struct MergeBroadcasts : OpRewritePattern<BroadcastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BroadcastOp op,
                                PatternRewriter &rewriter) const override {
    if (auto inner = op.getX().getDefiningOp<BroadcastOp>()) {
      replaceWith<BroadcastOp>(rewriter, op, inner.getX());
      return success();
    }
    // Only leading or inner ones are added: the elements stay in order.
    Dims from = getDims(op.getX()), to = getDims(op.getResult());
    llvm::erase(from, DimExpr(1));
    llvm::erase(to, DimExpr(1));
    if (from != to) {
      return failure();
    }
    replaceWith<ReshapeOp>(rewriter, op, op.getX());
    return success();
  }
};

/// Casts that widen and come back to where they started.
struct MergeCasts : OpRewritePattern<CastOp> {
  using OpRewritePattern::OpRewritePattern;

  /// Every value of `from` is exactly one of `to`.
  static bool widens(Type from, Type to) {
    if (from == to) {
      return true;
    }
    if (auto wide = dyn_cast<FloatType>(to)) {
      if (auto narrow = dyn_cast<FloatType>(from)) {
        return wide.getWidth() > narrow.getWidth();
      }
      return from.isInteger(1);
    }
    auto narrow = dyn_cast<IntegerType>(from);
    auto wide = dyn_cast<IntegerType>(to);
    return narrow && wide && wide.getWidth() > narrow.getWidth() &&
           (narrow.isUnsigned() || narrow.getWidth() == 1 ||
            !wide.isUnsigned());
  }

  LogicalResult matchAndRewrite(CastOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<CastOp>();
    if (!inner || !widens(elementOf(inner.getX()), elementOf(op.getX()))) {
      return failure();
    }
    if (elementOf(inner.getX()) == elementOf(op.getResult())) {
      rewriter.replaceOp(op, inner.getX());
    } else {
      replaceWith<CastOp>(rewriter, op, inner.getX());
    }
    return success();
  }
};

struct MergeSlices : OpRewritePattern<SliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SliceOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getX().getDefiningOp<SliceOp>();
    if (!inner) {
      return sliceOfConcat(op, rewriter);
    }
    SmallVector<Attribute> starts;
    SmallVector<int64_t> steps;
    for (size_t i = 0; i < op.getSteps().size(); ++i) {
      DimExpr outer = exprAttr(cast<StringAttr>(op.getStarts()[i]));
      DimExpr base = exprAttr(cast<StringAttr>(inner.getStarts()[i]));
      int64_t innerStep = inner.getSteps()[i];
      starts.push_back(
          exprToAttr(op.getContext(), base + outer * DimExpr(innerStep)));
      steps.push_back(op.getSteps()[i] * innerStep);
    }
    replaceWith<SliceOp>(rewriter, op, inner.getX(),
                         rewriter.getArrayAttr(starts), steps);
    return success();
  }

  /// slice(concat(a, b)) that is exactly one of the parts.
  static LogicalResult sliceOfConcat(SliceOp op, PatternRewriter &rewriter) {
    auto concat = op.getX().getDefiningOp<ConcatOp>();
    if (!concat) {
      return failure();
    }
    size_t axis = concat.getAxis();
    for (size_t i = 0; i < op.getSteps().size(); ++i) {
      bool from0 = exprAttr(cast<StringAttr>(op.getStarts()[i])) == DimExpr(0);
      if (op.getSteps()[i] != 1 || (i != axis && !from0)) {
        return failure();
      }
    }
    DimExpr start = exprAttr(cast<StringAttr>(op.getStarts()[axis]));
    DimExpr offset = 0;
    for (Value input : concat.getInputs()) {
      if (start == offset && getDims(input) == getDims(op.getResult())) {
        rewriter.replaceOp(op, input);
        return success();
      }
      offset = offset + getDim(input, axis);
    }
    return failure();
  }
};

struct FlattenConcat : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ConcatOp op,
                                PatternRewriter &rewriter) const override {
    SmallVector<Value> inputs;
    bool changed = false;
    for (Value input : op.getInputs()) {
      auto inner = input.getDefiningOp<ConcatOp>();
      if (inner && inner.getAxis() == op.getAxis() && inner->hasOneUse()) {
        llvm::append_range(inputs, inner.getInputs());
        changed = true;
      } else if (getDim(input, op.getAxis()) == DimExpr(0)) {
        changed = true;
      } else {
        inputs.push_back(input);
      }
    }
    if (!changed || inputs.empty()) {
      return failure();
    }
    replaceWith<ConcatOp>(rewriter, op,
                          rewriter.getI64IntegerAttr(op.getAxis()),
                          ValueRange(inputs));
    return success();
  }
};

/// data[i] for a constant scalar i is a slice.
struct GatherOfScalar : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GatherOp op,
                                PatternRewriter &rewriter) const override {
    DenseElementsAttr splat = splatOf(op.getIndices());
    RankedTensorType indices = typeOf(op.getIndices());
    bool single = indices.hasStaticShape() && indices.getNumElements() == 1;
    // Rows of a weight are read by gather itself.
    if (!splat || !single || op.getData().getDefiningOp<LoadWeightOp>()) {
      return failure();
    }
    std::optional<Elements> value = readElements(splat);
    Dims dims = getDims(op.getData());
    int64_t axis = op.getAxis(), at = value->integers[0];
    DimExpr start = at < 0 ? dims[axis] + DimExpr(at) : DimExpr(at);
    SmallVector<Attribute> starts(dims.size(), rewriter.getStringAttr("0"));
    starts[axis] = exprToAttr(op.getContext(), start);
    dims[axis] = 1;
    auto slice = createOp<SliceOp>(
        rewriter, op.getLoc(), dims, elementOf(op.getData()), op.getData(),
        rewriter.getArrayAttr(starts), SmallVector<int64_t>(dims.size(), 1));
    replaceWith<ReshapeOp>(rewriter, op, slice.getResult());
    return success();
  }
};

/// Anything that only rearranges or picks elements of a splat is a splat.
template <typename OpT> struct RearrangedSplat : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpT op,
                                PatternRewriter &rewriter) const override {
    DenseElementsAttr splat;
    Operation *generic = op.getOperation();
    if (isa<ConcatOp>(generic)) {
      for (Value operand : op->getOperands()) {
        DenseElementsAttr other = splatOf(operand);
        if (!other || (splat && splat != other)) {
          return failure();
        }
        splat = other;
      }
    } else {
      splat = splatOf(op->getOperand(0));
    }
    if (!splat) {
      return failure();
    }
    replaceWith<FillOp>(rewriter, generic, splat);
    return success();
  }
};

/// Element-wise ops on splats of run-time shape.
template <typename OpT> struct ElementwiseOnSplats : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;

  LogicalResult matchAndRewrite(OpT op,
                                PatternRewriter &rewriter) const override {
    SmallVector<Attribute> splats;
    for (Value operand : op->getOperands()) {
      splats.push_back(splatOf(operand));
      if (!splats.back()) {
        return failure();
      }
    }
    auto scalar = RankedTensorType::get({}, elementOf(op.getResult()));
    Attribute folded = fold(op, splats, scalar);
    if (!folded) {
      return failure();
    }
    replaceWith<FillOp>(rewriter, op, cast<ElementsAttr>(folded));
    return success();
  }

  static Attribute fold(UnaryOp op, ArrayRef<Attribute> in,
                        RankedTensorType type) {
    return foldUnary(op.getKind(), in[0], type);
  }
  static Attribute fold(BinaryOp op, ArrayRef<Attribute> in,
                        RankedTensorType type) {
    return foldBinary(op.getKind(), in[0], in[1], type);
  }
  static Attribute fold(SelectOp, ArrayRef<Attribute> in,
                        RankedTensorType type) {
    return foldSelect(in[0], in[1], in[2], type);
  }
  static Attribute fold(CastOp, ArrayRef<Attribute> in, RankedTensorType type) {
    return foldCast(in[0], type);
  }
};

/// select(not c, x, y) -> select(c, y, x); a constant condition chooses.
struct SimplifySelect : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    if (auto inverse = op.getCond().getDefiningOp<UnaryOp>();
        inverse && inverse.getKind() == "not") {
      replaceWith<SelectOp>(rewriter, op, inverse.getX(), op.getY(), op.getX());
      return success();
    }
    DenseElementsAttr splat = splatOf(op.getCond());
    if (!splat) {
      return failure();
    }
    Value choice = splat.getSplatValue<bool>() ? op.getX() : op.getY();
    replaceWith<BroadcastOp>(rewriter, op, choice);
    return success();
  }
};

} // namespace

void UnaryOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                          MLIRContext *context) {
  set.add<SimplifyUnary, ElementwiseOnSplats<UnaryOp>>(context);
}
void BinaryOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                           MLIRContext *context) {
  set.add<SimplifyBinary, ReadThroughBroadcast<BinaryOp>,
          ElementwiseOnSplats<BinaryOp>>(context);
}
void SelectOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                           MLIRContext *context) {
  set.add<SimplifySelect, ReadThroughBroadcast<SelectOp>,
          ElementwiseOnSplats<SelectOp>>(context);
}
void CastOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                         MLIRContext *context) {
  set.add<MergeCasts, ElementwiseOnSplats<CastOp>>(context);
}
void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                            MLIRContext *context) {
  set.add<MergeReshapes, RearrangedSplat<ReshapeOp>>(context);
}
void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                              MLIRContext *context) {
  set.add<MergeTransposes, RearrangedSplat<TransposeOp>>(context);
}
void BroadcastOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                              MLIRContext *context) {
  set.add<MergeBroadcasts, RearrangedSplat<BroadcastOp>>(context);
}
void SliceOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                          MLIRContext *context) {
  set.add<MergeSlices, RearrangedSplat<SliceOp>>(context);
}
void ConcatOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                           MLIRContext *context) {
  set.add<FlattenConcat, RearrangedSplat<ConcatOp>>(context);
}
void GatherOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                           MLIRContext *context) {
  set.add<GatherOfScalar, RearrangedSplat<GatherOp>>(context);
}
void GatherNDOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                             MLIRContext *context) {
  set.add<RearrangedSplat<GatherNDOp>>(context);
}

} // namespace llmc::graph
