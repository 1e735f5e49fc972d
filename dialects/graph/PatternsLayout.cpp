//===- PatternsLayout.cpp - Canonical layout ops ------------- -*- C++ -*-===//
//
// Chains of reshapes, transposes, broadcasts, slices and concatenations are
// one op each; what only rearranges a splat is a splat.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/ConstantFold.h"
#include "dialects/graph/PatternHelpers.h"

#include "llvm/ADT/Sequence.h"

using namespace mlir;

namespace llmc::graph {

using namespace patterns;

namespace {

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

/// Leading dims merged for a transpose of the others, and split again, as
/// PyTorch's exporter swaps the last two of four:
///   reshape(transpose(reshape(x, [b * h, t, d]), [0, 2, 1]), [b, h, d, t])
///   -> transpose(x, [0, 1, 3, 2])
struct TransposeBehindMergedDims : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto transpose = op.getX().getDefiningOp<TransposeOp>();
    auto merge =
        transpose ? transpose.getX().getDefiningOp<ReshapeOp>() : ReshapeOp();
    if (!merge || transpose.getPerm()[0] != 0) {
      return failure();
    }
    Dims from = getDims(merge.getX()), merged = getDims(merge.getResult());
    if (from.size() < merged.size()) {
      return failure();
    }
    size_t lead = from.size() - merged.size() + 1;
    Dims expected(from.begin(), from.begin() + lead);
    SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, lead));
    for (int64_t dim : transpose.getPerm().drop_front()) {
      if (from[lead + dim - 1] != merged[dim]) {
        return failure();
      }
      perm.push_back(lead + dim - 1);
      expected.push_back(merged[dim]);
    }
    if (expected != getDims(op.getResult())) {
      return failure();
    }
    replaceWith<TransposeOp>(rewriter, op, merge.getX(), perm);
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

} // namespace

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &set,
                                            MLIRContext *context) {
  set.add<MergeReshapes, TransposeBehindMergedDims, RearrangedSplat<ReshapeOp>>(
      context);
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
