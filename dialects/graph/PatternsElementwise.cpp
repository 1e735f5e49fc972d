//===- PatternsElementwise.cpp - Canonical element-wise ops --- -*- C++ -*-===//
//
// The forms that the recovery passes rely on:
//   - constants stand on the right of commutative ops;
//   - `pow x, 2` and `mul x, x` are `square`; `div 1, x` is `reciprocal`;
//     division by a constant power of two is a multiplication;
//   - element-wise ops read what they broadcast directly: no graph.broadcast
//     or graph.fill in between where the other operands give the dimensions.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/ConstantFold.h"
#include "dialects/graph/PatternHelpers.h"

#include <cmath>

using namespace mlir;

namespace llmc::graph {

using namespace patterns;

namespace {

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

} // namespace llmc::graph
