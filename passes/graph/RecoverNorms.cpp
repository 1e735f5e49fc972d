//===- RecoverNorms.cpp - RMSNorm and LayerNorm ----------------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_RECOVERNORMSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// The number of trailing dims if exactly those are averaged and kept.
std::optional<int64_t> trailingMean(ReduceOp op) {
  if (!op || op.getKind() != "mean" || !op.getKeepdims() ||
      op.getAxes().empty()) {
    return std::nullopt;
  }
  int64_t rank = rankOf(op.getX()), count = op.getAxes().size();
  for (int64_t i = 0; i < count; ++i) {
    if (op.getAxes()[i] != rank - count + i) {
      return std::nullopt;
    }
  }
  return count;
}

/// mean(x^2) + epsilon.
struct MeanSquare {
  Value x;
  int64_t trailing;
  double epsilon;
};

std::optional<MeanSquare> matchMeanSquare(Value value) {
  std::optional<ScalarOperation> sum =
      scalarOperation(skipFloatCasts(value), "add");
  if (!sum) {
    return std::nullopt;
  }
  auto mean = skipFloatCasts(sum->x).getDefiningOp<ReduceOp>();
  std::optional<int64_t> trailing = trailingMean(mean);
  if (!trailing) {
    return std::nullopt;
  }
  Value inner = skipFloatCasts(mean.getX());
  if (UnaryOp square = unaryOf(inner, "square")) {
    return MeanSquare{square.getX(), *trailing, sum->scalar};
  }
  BinaryOp product = binaryOf(inner, "mul");
  if (product && sameButForCasts(product.getLhs(), product.getRhs())) {
    return MeanSquare{product.getLhs(), *trailing, sum->scalar};
  }
  return std::nullopt;
}

/// What `value` is the inverse root of.
std::optional<MeanSquare> matchInverseRoot(Value value) {
  value = skipFloatCasts(value);
  if (UnaryOp rsqrt = unaryOf(value, "rsqrt")) {
    return matchMeanSquare(rsqrt.getX());
  }
  if (UnaryOp inverse = unaryOf(value, "reciprocal")) {
    if (UnaryOp root = unaryOf(skipFloatCasts(inverse.getX()), "sqrt")) {
      return matchMeanSquare(root.getX());
    }
  }
  return std::nullopt;
}

/// x * rsqrt(mean(x^2) + eps), x / sqrt(mean(x^2) + eps) -> rms_norm x.
struct MatchRmsNorm : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    std::optional<MeanSquare> match;
    Value x;
    if (op.getKind() == "mul") {
      for (auto [a, b] : {std::pair<Value, Value>{op.getLhs(), op.getRhs()},
                          {op.getRhs(), op.getLhs()}}) {
        std::optional<MeanSquare> candidate = matchInverseRoot(b);
        if (candidate && sameButForCasts(candidate->x, a)) {
          match = candidate;
          x = a;
          break;
        }
      }
    } else if (op.getKind() == "div") {
      if (UnaryOp root = unaryOf(skipFloatCasts(op.getRhs()), "sqrt")) {
        match = matchMeanSquare(root.getX());
        x = op.getLhs();
      }
    }
    if (!match || !sameButForCasts(match->x, x) ||
        getDims(x) != getDims(op.getResult())) {
      return failure();
    }
    auto norm =
        createOp<RmsNormOp>(rewriter, op.getLoc(), getDims(op.getResult()),
                            elementOf(op.getResult()), x, Value(),
                            rewriter.getI64IntegerAttr(match->trailing),
                            rewriter.getF64FloatAttr(match->epsilon));
    keepName(op, norm);
    rewriter.replaceOp(op, norm);
    return success();
  }
};

/// rms_norm(x - mean(x)) -> layer_norm x.
struct MatchLayerNorm : OpRewritePattern<RmsNormOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(RmsNormOp op,
                                PatternRewriter &rewriter) const override {
    BinaryOp centred = binaryOf(skipFloatCasts(op.getX()), "sub");
    if (!centred) {
      return failure();
    }
    auto mean = skipFloatCasts(centred.getRhs()).getDefiningOp<ReduceOp>();
    std::optional<int64_t> trailing = trailingMean(mean);
    if (!trailing || *trailing != static_cast<int64_t>(op.getTrailing()) ||
        !sameButForCasts(mean.getX(), centred.getLhs())) {
      return failure();
    }
    auto norm = createOp<LayerNormOp>(
        rewriter, op.getLoc(), getDims(op.getResult()),
        elementOf(op.getResult()), centred.getLhs(), op.getScale(), Value(),
        op.getTrailingAttr(), op.getEpsilonAttr());
    keepName(op, norm);
    rewriter.replaceOp(op, norm);
    return success();
  }
};

/// The factor (or summand) of the trailing dims: leading unit dims dropped,
/// null if it varies along others or does not cover the trailing ones.
Value asParameter(PatternRewriter &rewriter, Location loc, Value value,
                  const Dims &x, int64_t trailing) {
  Dims dims = getDims(value);
  Dims wanted(x.end() - trailing, x.end());
  while (static_cast<int64_t>(dims.size()) > trailing &&
         dims.front() == DimExpr(1)) {
    dims.erase(dims.begin());
  }
  if (dims != wanted || !isa<FloatType>(elementOf(value))) {
    return {};
  }
  return reshapeTo(rewriter, loc, value, wanted);
}

/// norm(x) * scale and layer_norm(x) * scale + bias, where nothing else reads
/// what stands between.
struct AttachParameters : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul" && op.getKind() != "add") {
      return failure();
    }
    for (auto [left, right] :
         {std::pair<Value, Value>{op.getLhs(), op.getRhs()},
          {op.getRhs(), op.getLhs()}}) {
      Value normed = skipFloatCasts(left);
      bool private_ = normed.hasOneUse() && left.hasOneUse();
      if (!private_ || getDims(left) != getDims(op.getResult())) {
        continue;
      }
      if (auto norm = normed.getDefiningOp<RmsNormOp>();
          norm && !norm.getScale() && op.getKind() == "mul") {
        Value scale = asParameter(rewriter, op.getLoc(), right,
                                  getDims(op.getResult()), norm.getTrailing());
        if (!scale) {
          continue;
        }
        auto scaled = createOp<RmsNormOp>(
            rewriter, op.getLoc(), getDims(op.getResult()),
            elementOf(op.getResult()), norm.getX(), skipWidening(scale),
            norm.getTrailingAttr(), norm.getEpsilonAttr());
        keepName(norm, scaled);
        rewriter.replaceOp(op, scaled);
        return success();
      }
      if (auto norm = normed.getDefiningOp<LayerNormOp>();
          norm && !norm.getBias() &&
          (op.getKind() == "add" || !norm.getScale())) {
        Value parameter =
            asParameter(rewriter, op.getLoc(), right, getDims(op.getResult()),
                        norm.getTrailing());
        if (!parameter) {
          continue;
        }
        parameter = skipWidening(parameter);
        bool isBias = op.getKind() == "add";
        auto full = createOp<LayerNormOp>(
            rewriter, op.getLoc(), getDims(op.getResult()),
            elementOf(op.getResult()), norm.getX(),
            isBias ? norm.getScale() : parameter, isBias ? parameter : Value(),
            norm.getTrailingAttr(), norm.getEpsilonAttr());
        keepName(norm, full);
        rewriter.replaceOp(op, full);
        return success();
      }
    }
    return failure();
  }

  /// The kernels convert parameters on load: read the stored ones.
  static Value skipWidening(Value value) {
    Value source = skipFloatCasts(value);
    return elementOf(source).getIntOrFloatBitWidth() <
                   elementOf(value).getIntOrFloatBitWidth()
               ? source
               : value;
  }
};

/// norm(cast x) reads x, cast(norm) is written as it is wanted.
template <typename NormT> struct AbsorbCasts : OpRewritePattern<NormT> {
  using OpRewritePattern<NormT>::OpRewritePattern;

  LogicalResult matchAndRewrite(NormT op,
                                PatternRewriter &rewriter) const override {
    auto before = op.getX().template getDefiningOp<CastOp>();
    if (before && isa<FloatType>(elementOf(before.getX())) &&
        elementOf(before.getX()).getIntOrFloatBitWidth() <
            elementOf(before.getResult()).getIntOrFloatBitWidth() &&
        !elementOf(before.getResult()).isF64()) {
      rewriter.modifyOpInPlace(op,
                               [&] { op.getXMutable().assign(before.getX()); });
      return success();
    }
    if (!op->hasOneUse()) {
      return failure();
    }
    auto after = dyn_cast<CastOp>(*op->user_begin());
    if (!after || !isa<FloatType>(elementOf(after.getResult())) ||
        elementOf(after.getResult()).isF64()) {
      return failure();
    }
    rewriter.modifyOpInPlace(op,
                             [&] { op.getResult().setType(after.getType()); });
    rewriter.replaceOp(after, op.getResult());
    return success();
  }
};

struct RecoverNorms : llmc::impl::RecoverNormsPassBase<RecoverNorms> {
  using RecoverNormsPassBase::RecoverNormsPassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MatchRmsNorm, MatchLayerNorm, AttachParameters,
                 AbsorbCasts<RmsNormOp>, AbsorbCasts<LayerNormOp>>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};
} // namespace
