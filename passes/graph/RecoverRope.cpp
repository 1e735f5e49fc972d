//===- RecoverRope.cpp - Rotary embeddings ---------------------*- C++ -*-===//
//
// Spellings of y = x cos + rotate(x) sin over the last dimension:
//   rotate-half   x * cos + concat(-x[h:], x[:h]) * sin, tables D wide with
//                 equal halves (which is proved from how they are computed)
//   two halves    concat(x1 * cos - x2 * sin, x2 * cos + x1 * sin), x1 and x2
//                 the halves
//   interleaved   the same with x1 and x2 the even and odd features, stacked
//                 in a new last dimension
// and a head of which only the leading features rotate. The tables stay ops of
// their own: CSE shares them between layers.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_RECOVERROPEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// The two halves of the last dimension hold the same numbers.
bool hasEqualHalves(Value value, int depth = 0) {
  Operation *op = value.getDefiningOp();
  Dims dims = getDims(value);
  if (!op || depth > 16 || dims.empty()) {
    return false;
  }
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    return concat.getInputs().size() == 2 &&
           concat.getInputs()[0] == concat.getInputs()[1] &&
           static_cast<int64_t>(concat.getAxis()) == rankOf(value) - 1;
  }
  if (isa<UnaryOp, CastOp>(op)) {
    return hasEqualHalves(op->getOperand(0), depth + 1);
  }
  if (isa<BinaryOp, SelectOp>(op)) {
    // What repeats along the last dimension changes nothing.
    return llvm::all_of(op->getOperands(), [&](Value operand) {
      Dims part = getDims(operand);
      return part.empty() || part.back() == DimExpr(1) ||
             hasEqualHalves(operand, depth + 1);
    });
  }
  if (isa<ReshapeOp, BroadcastOp>(op)) {
    Dims from = getDims(op->getOperand(0));
    return !from.empty() && from.back() == dims.back() &&
           dims.back() != DimExpr(1) &&
           hasEqualHalves(op->getOperand(0), depth + 1);
  }
  if (auto slice = dyn_cast<SliceOp>(op)) {
    return getDims(slice.getX()).back() == dims.back() &&
           slice.getSteps().back() == 1 &&
           hasEqualHalves(slice.getX(), depth + 1);
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    return transpose.getPerm().back() == rankOf(value) - 1 &&
           hasEqualHalves(transpose.getX(), depth + 1);
  }
  return false;
}

/// The same part of the same tensor.
bool samePart(const Part &a, const Part &b) {
  return a.base == b.base && a.starts == b.starts && a.dims == b.dims;
}

/// `part` is `count` features of `whole` from feature `start`.
bool isFeatures(Value part, Value whole, DimExpr start, DimExpr count) {
  Part a = partOf(part), b = partOf(whole);
  if (b.starts.empty()) {
    return false;
  }
  b.starts.back() = b.starts.back() + start;
  b.dims.back() = count;
  return samePart(a, b);
}

/// How cos and sin, which broadcast against x, become tables of rope.
struct Tables {
  StringRef layout;
  Value cos, sin;
};

/// Dims [S, W] or [B, S, W] for a table that broadcasts to x in this layout.
std::optional<Dims> tableDims(const Dims &table, const Dims &x,
                              StringRef layout, DimExpr width) {
  if (table.size() > 4 || table.empty()) {
    return std::nullopt;
  }
  Dims full(4 - table.size(), DimExpr(1));
  full.insert(full.end(), table.begin(), table.end());
  size_t heads = layout == "bhsd" ? 1 : 2, tokens = 3 - heads;
  if (full[heads] != DimExpr(1) || full[tokens] != x[tokens] ||
      full[3] != width) {
    return std::nullopt;
  }
  if (full[0] == DimExpr(1)) {
    return Dims{full[tokens], width};
  }
  if (full[0] != x[0]) {
    return std::nullopt;
  }
  return Dims{full[0], full[tokens], width};
}

std::optional<Tables> makeTables(PatternRewriter &rewriter, Location loc,
                                 Value x, Value cos, Value sin, DimExpr width) {
  Dims dims = getDims(x);
  for (StringRef layout : {StringRef("bhsd"), StringRef("bshd")}) {
    auto cosDims = tableDims(getDims(cos), dims, layout, width);
    auto sinDims = tableDims(getDims(sin), dims, layout, width);
    if (cosDims && sinDims) {
      return Tables{layout, reshapeTo(rewriter, loc, cos, *cosDims),
                    reshapeTo(rewriter, loc, sin, *sinDims)};
    }
  }
  return std::nullopt;
}

LogicalResult replaceByRope(PatternRewriter &rewriter, Operation *op, Value x,
                            Value cos, Value sin, int64_t tableWidth,
                            int64_t rotary, bool interleaved) {
  if (rankOf(x) != 4 || getDims(x) != getDims(op->getResult(0)) ||
      elementOf(x) != elementOf(op->getResult(0))) {
    return failure();
  }
  auto tables = makeTables(rewriter, op->getLoc(), x, cos, sin, tableWidth);
  if (!tables) {
    return failure();
  }
  auto rope = createOp<RopeOp>(
      rewriter, op->getLoc(), getDims(x), elementOf(x), x, tables->cos,
      tables->sin, rewriter.getStringAttr(tables->layout),
      rewriter.getBoolAttr(interleaved), rewriter.getI64IntegerAttr(rotary));
  keepName(op, rope);
  rewriter.replaceOp(op, rope);
  return success();
}

/// concat(-x[h:], x[:h]): the x, which may itself be a slice of `hint`'s base.
bool isRotatedHalf(Value value, Value x, int64_t width) {
  auto concat = skipFloatCasts(value).getDefiningOp<ConcatOp>();
  if (!concat || concat.getInputs().size() != 2 ||
      static_cast<int64_t>(concat.getAxis()) != rankOf(x) - 1) {
    return false;
  }
  Value upper;
  if (UnaryOp negated = unaryOf(concat.getInputs()[0], "neg")) {
    upper = negated.getX();
  } else if (auto product = scalarOperation(concat.getInputs()[0], "mul");
             product && product->scalar == -1) {
    upper = product->x;
  }
  int64_t half = width / 2;
  return upper && isFeatures(upper, x, half, half) &&
         isFeatures(concat.getInputs()[1], x, 0, half);
}

/// Both orders of the operands of a binary op.
SmallVector<std::pair<Value, Value>, 2> bothOrders(BinaryOp op) {
  return {{op.getLhs(), op.getRhs()}, {op.getRhs(), op.getLhs()}};
}

struct MatchRotateHalf : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() != "add" || rankOf(op.getResult()) != 4) {
      return failure();
    }
    std::optional<int64_t> width = dimFromEnd(op.getResult(), 1).asConstant();
    if (!width || *width < 2 || *width % 2 != 0) {
      return failure();
    }
    for (auto [first, second] : bothOrders(op)) {
      BinaryOp straight = binaryOf(first, "mul");
      BinaryOp rotated = binaryOf(second, "mul");
      if (!straight || !rotated) {
        continue;
      }
      for (auto [x, cos] : bothOrders(straight)) {
        for (auto [turned, sin] : bothOrders(rotated)) {
          if (getDims(x) != getDims(op.getResult()) ||
              !isRotatedHalf(turned, x, *width) || !hasEqualHalves(cos) ||
              !hasEqualHalves(sin)) {
            continue;
          }
          if (succeeded(replaceByRope(rewriter, op, x, cos, sin, *width, *width,
                                      /*interleaved=*/false))) {
            return success();
          }
        }
      }
    }
    return failure();
  }
};

/// x1 * cos - x2 * sin and x2 * cos + x1 * sin.
struct Rotation {
  Value x1, x2, cos, sin;
};

std::optional<Rotation> matchRotation(Value low, Value high) {
  BinaryOp difference = binaryOf(low, "sub"), sum = binaryOf(high, "add");
  if (!difference || !sum) {
    return std::nullopt;
  }
  BinaryOp a = binaryOf(difference.getLhs(), "mul");
  BinaryOp b = binaryOf(difference.getRhs(), "mul");
  if (!a || !b) {
    return std::nullopt;
  }
  for (auto [x1, cos] : bothOrders(a)) {
    for (auto [x2, sin] : bothOrders(b)) {
      for (auto [p, q] : bothOrders(sum)) {
        BinaryOp c = binaryOf(p, "mul"), d = binaryOf(q, "mul");
        auto isProduct = [](BinaryOp op, Value left, Value right) {
          return op && ((op.getLhs() == left && op.getRhs() == right) ||
                        (op.getLhs() == right && op.getRhs() == left));
        };
        if (isProduct(c, x2, cos) && isProduct(d, x1, sin)) {
          return Rotation{x1, x2, cos, sin};
        }
      }
    }
  }
  return std::nullopt;
}

/// The tensor of which `x1` and `x2` are the halves or the even and odd
/// features; made when both are slices that together are all of a part.
struct Whole {
  Value x;
  bool interleaved;
};

std::optional<Whole> wholeOf(PatternRewriter &rewriter, Value x1, Value x2,
                             const Dims &dims) {
  int64_t half = getDims(x1).back().asConstant().value_or(0);
  Part a = partOf(x1), b = partOf(x2);
  if (half > 0 && a.base == b.base && a.dims == b.dims &&
      x1.getDefiningOp<SliceOp>()) {
    Dims starts = b.starts;
    starts.back() = starts.back() - DimExpr(half);
    if (starts == a.starts && a.dims.size() == dims.size()) {
      if (getDims(a.base) == dims) {
        return Whole{a.base, false};
      }
      SmallVector<Attribute> attrs;
      for (DimExpr start : a.starts) {
        attrs.push_back(exprToAttr(rewriter.getContext(), start));
      }
      return Whole{createOp<SliceOp>(rewriter, x1.getLoc(), dims, elementOf(x1),
                                     a.base, rewriter.getArrayAttr(attrs),
                                     SmallVector<int64_t>(dims.size(), 1)),
                   false};
    }
  }
  // Steps of 2 in the last dimension.
  auto even = x1.getDefiningOp<SliceOp>(), odd = x2.getDefiningOp<SliceOp>();
  if (even && odd && even.getX() == odd.getX() &&
      getDims(even.getX()) == dims) {
    size_t last = dims.size() - 1;
    bool strided = true;
    for (size_t i = 0; i <= last; ++i) {
      DimExpr evenStart = exprAttr(cast<StringAttr>(even.getStarts()[i]));
      DimExpr oddStart = exprAttr(cast<StringAttr>(odd.getStarts()[i]));
      strided &= evenStart == DimExpr(0) &&
                 oddStart == DimExpr(i == last ? 1 : 0) &&
                 even.getSteps()[i] == (i == last ? 2 : 1) &&
                 odd.getSteps()[i] == even.getSteps()[i];
    }
    if (strided) {
      return Whole{even.getX(), true};
    }
  }
  // reshape(x, [.., h, 2])[.., 0 or 1].
  auto left = x1.getDefiningOp<ReshapeOp>(),
       right = x2.getDefiningOp<ReshapeOp>();
  if (left && right) {
    Part evens = partOf(left.getX()), odds = partOf(right.getX());
    auto pairs = evens.base.getDefiningOp<ReshapeOp>();
    Dims wanted(dims);
    wanted.back() = half;
    wanted.push_back(2);
    if (pairs && evens.base == odds.base && getDims(pairs.getX()) == dims &&
        getDims(evens.base) == wanted && evens.dims.back() == DimExpr(1) &&
        evens.dims == odds.dims) {
      Dims starts(wanted.size(), DimExpr(0));
      bool fits = evens.starts == starts;
      starts.back() = 1;
      if (fits && odds.starts == starts) {
        return Whole{pairs.getX(), true};
      }
    }
  }
  return std::nullopt;
}

/// concat(low, high) along the features.
struct MatchTwoHalves : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ConcatOp op,
                                PatternRewriter &rewriter) const override {
    // A third part are features that do not rotate (nested concatenations
    // are flat here).
    size_t parts = op.getInputs().size();
    Dims dims = getDims(op.getResult());
    if (parts < 2 || parts > 3 || dims.size() != 4 || op.getAxis() != 3) {
      return failure();
    }
    auto rotation = matchRotation(op.getInputs()[0], op.getInputs()[1]);
    if (!rotation) {
      return failure();
    }
    if (parts == 3) {
      Dims rotated = dims;
      rotated[3] = getDim(op.getInputs()[0], 3) + getDim(op.getInputs()[1], 3);
      auto inner = createOp<ConcatOp>(
          rewriter, op.getLoc(), rotated, elementOf(op.getResult()),
          rewriter.getI64IntegerAttr(3), op.getInputs().take_front(2));
      rewriter.modifyOpInPlace(op, [&] {
        op.getInputsMutable().assign({inner.getResult(), op.getInputs()[2]});
      });
      return success();
    }
    auto whole = wholeOf(rewriter, rotation->x1, rotation->x2, dims);
    std::optional<int64_t> width = dims.back().asConstant();
    if (!whole || whole->interleaved || !width) {
      return failure();
    }
    return replaceByRope(rewriter, op, whole->x, rotation->cos, rotation->sin,
                         *width / 2, *width, false);
  }
};

/// reshape(concat(low[.., None], high[.., None], -1)): interleaved.
struct MatchInterleaved : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto concat = op.getX().getDefiningOp<ConcatOp>();
    Dims dims = getDims(op.getResult());
    if (!concat || concat.getInputs().size() != 2 || dims.size() != 4 ||
        concat.getAxis() != 4 || rankOf(concat.getResult()) != 5) {
      return failure();
    }
    std::optional<int64_t> width = dims.back().asConstant();
    Dims half = dims;
    half.back() = width.value_or(0) / 2;
    SmallVector<Value> parts;
    for (Value input : concat.getInputs()) {
      auto unsqueeze = input.getDefiningOp<ReshapeOp>();
      if (!unsqueeze || getDims(unsqueeze.getX()) != half) {
        return failure();
      }
      parts.push_back(unsqueeze.getX());
    }
    auto rotation = matchRotation(parts[0], parts[1]);
    if (!rotation) {
      return failure();
    }
    auto whole = wholeOf(rewriter, rotation->x1, rotation->x2, dims);
    if (!whole || !whole->interleaved) {
      return failure();
    }
    return replaceByRope(rewriter, op, whole->x, rotation->cos, rotation->sin,
                         *width / 2, *width, true);
  }
};

/// concat(rope(x[:r]), x[r:]) -> rope of x with rotary_dim r.
struct MatchPartialRotation : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ConcatOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getInputs().size() != 2 || rankOf(op.getResult()) != 4 ||
        op.getAxis() != 3) {
      return failure();
    }
    auto rope = op.getInputs()[0].getDefiningOp<RopeOp>();
    if (!rope || !rope->hasOneUse()) {
      return failure();
    }
    Part rotated = partOf(rope.getX()), passed = partOf(op.getInputs()[1]);
    DimExpr width = rotated.dims.back();
    Part expected = rotated;
    expected.starts.back() = expected.starts.back() + width;
    expected.dims.back() = passed.dims.back();
    if (!samePart(expected, passed) ||
        getDims(rotated.base) != getDims(op.getResult()) ||
        rotated.starts != Dims(4, DimExpr(0)) ||
        width != DimExpr(static_cast<int64_t>(rope.getRotaryDim()))) {
      return failure();
    }
    auto whole =
        createOp<RopeOp>(rewriter, op.getLoc(), getDims(op.getResult()),
                         elementOf(op.getResult()), rotated.base, rope.getCos(),
                         rope.getSin(), rope.getLayoutAttr(),
                         rope.getInterleavedAttr(), rope.getRotaryDimAttr());
    keepName(rope, whole);
    rewriter.replaceOp(op, whole);
    return success();
  }
};

struct RecoverRope : llmc::impl::RecoverRopePassBase<RecoverRope> {
  using RecoverRopePassBase::RecoverRopePassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MatchRotateHalf, MatchTwoHalves, MatchInterleaved,
                 MatchPartialRotation>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};
} // namespace
