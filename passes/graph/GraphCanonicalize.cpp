//===- GraphCanonicalize.cpp - Products with weights -----------*- C++ -*-===//
//
// Brings every product with a weight to graph.linear or graph.quant_linear:
// the forms for which weights are packed, streamed and never converted.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_GRAPHCANONICALIZEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

constexpr int64_t kPerTensor = -1000;
/// Smaller constants are kept as they are.
constexpr int64_t kSmallestSplatWeight = 1025;

/// A matrix behind an optional transpose.
struct Stored {
  Value value;
  bool transposed = false;
};

Stored storedMatrix(Value value, bool transposed) {
  while (auto transpose = value.getDefiningOp<TransposeOp>()) {
    if (rankOf(value) != 2) {
      break;
    }
    transposed = !transposed;
    value = transpose.getX();
  }
  return {value, transposed};
}

/// A weight of the model; one that is the same value everywhere is a constant.
bool isWeight(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  return value.getDefiningOp<LoadWeightOp>() ||
         (constant && constant.getValue().isSplat() &&
          typeOf(value).getNumElements() >= kSmallestSplatWeight);
}

/// x @ W with x of any rank; the weight may be stored in a narrower float
/// type: the kernel converts on load.
struct MatMulToLinear : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getTransA() || op.getAlpha().convertToDouble() != 1.0 ||
        rankOf(op.getB()) != 2) {
      return failure();
    }
    Stored stored = storedMatrix(skipWideningCasts(op.getB()), op.getTransB());
    stored = storedMatrix(skipWideningCasts(stored.value), stored.transposed);
    if (!isWeight(stored.value) || !isa<FloatType>(elementOf(stored.value)) ||
        elementOf(stored.value).isF64()) {
      return failure();
    }
    auto linear =
        createOp<LinearOp>(rewriter, op.getLoc(), getDims(op.getResult()),
                           elementOf(op.getResult()), op.getA(), stored.value,
                           Value(), Value(), stored.transposed ? "nk" : "kn");
    keepName(op, linear);
    rewriter.replaceOp(op, linear);
    return success();
  }
};

/// How the codes of a dequantized matrix [rows, columns] are scaled.
struct Packed {
  DequantizeOp op;
  bool transposed = false; // rows are outputs
  int64_t bits = 0, n = 0, k = 0, blockSize = 0;
};

std::optional<Packed> packedMatrix(Value value, bool transposed) {
  Stored stored = storedMatrix(skipWideningCasts(value), transposed);
  stored = storedMatrix(skipWideningCasts(stored.value), stored.transposed);
  auto op = stored.value.getDefiningOp<DequantizeOp>();
  if (!op || rankOf(op.getX()) != 2 || !typeOf(op.getX()).hasStaticShape()) {
    return std::nullopt;
  }
  auto isLeaf = [](Value part) {
    return !part ||
           isa_and_nonnull<LoadWeightOp, ConstantOp>(part.getDefiningOp());
  };
  unsigned bits = elementOf(op.getX()).getIntOrFloatBitWidth();
  if (!isLeaf(op.getX()) || !isLeaf(op.getScale()) ||
      !isLeaf(op.getZeroPoint()) || (bits != 4 && bits != 8)) {
    return std::nullopt;
  }
  Packed packed{op, stored.transposed, bits};
  int64_t kAxis = stored.transposed ? 1 : 0;
  packed.k = typeOf(op.getX()).getDimSize(kAxis);
  packed.n = typeOf(op.getX()).getDimSize(1 - kAxis);
  int64_t axis = op.getAxis();
  axis = axis < 0 && axis != kPerTensor ? axis + 2 : axis;
  if (op.getBlockSize() > 0) {
    packed.blockSize = op.getBlockSize();
    return axis == kAxis ? std::optional(packed) : std::nullopt;
  }
  packed.blockSize = packed.k;
  bool perOutput = axis == kPerTensor || axis == 1 - kAxis ||
                   typeOf(op.getScale()).getNumElements() == 1;
  return perOutput ? std::optional(packed) : std::nullopt;
}

struct MatMulToQuantLinear : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getTransA() || op.getAlpha().convertToDouble() != 1.0 ||
        rankOf(op.getB()) != 2) {
      return failure();
    }
    std::optional<Packed> packed = packedMatrix(op.getB(), op.getTransB());
    if (!packed) {
      return failure();
    }
    DequantizeOp source = packed->op;
    auto linear = createOp<QuantLinearOp>(
        rewriter, op.getLoc(), getDims(op.getResult()),
        elementOf(op.getResult()), op.getA(), source.getX(), source.getScale(),
        source.getZeroPoint(), Value(), Value(), packed->n, packed->k,
        packed->bits, packed->blockSize,
        packed->transposed ? "qdq_nk" : "qdq_kn");
    keepName(op, linear);
    rewriter.replaceOp(op, linear);
    return success();
  }
};

/// Rows of a dequantized table.
struct GatherToQuantGather : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GatherOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getAxis() != 0 || rankOf(op.getData()) != 2) {
      return failure();
    }
    // Row r of the table is the r-th output: "transposed" in the sense above.
    std::optional<Packed> packed =
        packedMatrix(op.getData(), /*transposed=*/true);
    if (!packed) {
      return failure();
    }
    DequantizeOp source = packed->op;
    auto gather = createOp<QuantGatherOp>(
        rewriter, op.getLoc(), getDims(op.getResult()),
        elementOf(op.getResult()), source.getX(), source.getScale(),
        source.getZeroPoint(), op.getIndices(), packed->n, packed->k,
        packed->bits, packed->blockSize,
        packed->transposed ? "qdq_nk" : "qdq_kn");
    keepName(op, gather);
    rewriter.replaceOp(op, gather);
    return success();
  }
};

/// Rows of a transposed float weight: the packed form has them as they are.
struct GatherFromTransposed : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GatherOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getAxis() != 0 || rankOf(op.getData()) != 2 ||
        op.getWeightLayout() != "nk") {
      return failure();
    }
    Stored stored = storedMatrix(op.getData(), /*transposed=*/false);
    Type type = elementOf(op.getData());
    if (!stored.transposed || !stored.value.getDefiningOp<LoadWeightOp>() ||
        !(type.isF32() || type.isF16() || type.isBF16())) {
      return failure();
    }
    rewriter.modifyOpInPlace(op, [&] {
      op.getDataMutable().assign(stored.value);
      op.setWeightLayout("kn");
    });
    return success();
  }
};

/// Keys that are cached transposed: concat(transpose(past), new) ->
/// transpose(concat(past, transpose(new))), so that the cache is one that
/// grows. Only where the past is an argument (or a part of one).
struct ConcatOfTransposedPast : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  static bool isArgument(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (!isa<SliceOp, ReshapeOp>(op)) {
        return false;
      }
      value = op->getOperand(0);
    }
    return true;
  }

  LogicalResult matchAndRewrite(ConcatOp op,
                                PatternRewriter &rewriter) const override {
    auto past = op.getInputs()[0].getDefiningOp<TransposeOp>();
    if (!past || !isArgument(past.getX())) {
      return failure();
    }
    SmallVector<int64_t> perm(past.getPerm()), inverse(perm.size());
    for (auto [to, from] : llvm::enumerate(perm)) {
      inverse[from] = to;
    }
    SmallVector<Value> inputs{past.getX()};
    for (Value input : op.getInputs().drop_front()) {
      inputs.push_back(transposeBy(rewriter, op.getLoc(), input, inverse));
    }
    Dims dims = getDims(op.getResult()), inner;
    for (int64_t dim : inverse) {
      inner.push_back(dims[dim]);
    }
    auto concat = createOp<ConcatOp>(
        rewriter, op.getLoc(), inner, elementOf(op.getResult()),
        rewriter.getI64IntegerAttr(perm[op.getAxis()]), inputs);
    keepName(op, concat);
    auto transpose = createOp<TransposeOp>(
        rewriter, op.getLoc(), dims, elementOf(op.getResult()), concat, perm);
    rewriter.replaceOp(op, transpose);
    return success();
  }
};

struct GraphCanonicalize
    : llmc::impl::GraphCanonicalizePassBase<GraphCanonicalize> {
  using GraphCanonicalizePassBase::GraphCanonicalizePassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    for (Dialect *dialect : getContext().getLoadedDialects()) {
      dialect->getCanonicalizationPatterns(patterns);
    }
    for (RegisteredOperationName op : getContext().getRegisteredOperations()) {
      op.getCanonicalizationPatterns(patterns, &getContext());
    }
    patterns.add<MatMulToLinear, MatMulToQuantLinear, GatherToQuantGather,
                 GatherFromTransposed, ConcatOfTransposedPast>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};
} // namespace
