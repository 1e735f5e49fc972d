//===- RecoverAttention.cpp - Attention from its products ------*- C++ -*-===//

#include "dialects/graph/CacheSlices.h"
#include "passes/Passes.h"
#include "passes/analysis/MaskAnalysis.h"
#include "passes/graph/Matchers.h"

#include "mlir/IR/PatternMatch.h"

#include <map>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_RECOVERATTENTIONPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// What a mask writes where a key is not seen is at most this.
constexpr double kMasked = -1e4;

/// scores = softcap(scale * q k^T) with masks, taken apart.
struct Scores {
  MatMulOp product;
  double scale = 1;
  double softcap = 0;
  SmallVector<Value> masks;    // additive, or i1: true where a key is seen
  SmallVector<Value> inverted; // i1: true where a key is not seen
};

/// The chain of ops from softmax down to the product is element-wise.
bool reachesProduct(Value value, int depth = 0) {
  value = skipFloatCasts(value);
  Operation *op = value.getDefiningOp();
  if (!op || depth > 12) {
    return false;
  }
  if (isa<MatMulOp>(op)) {
    return rankOf(value) == 4;
  }
  if (isa<BinaryOp, SelectOp>(op)) {
    return llvm::any_of(op->getOperands(), [&](Value operand) {
      return reachesProduct(operand, depth + 1);
    });
  }
  return isa<UnaryOp>(op) && reachesProduct(op->getOperand(0), depth + 1);
}

std::optional<Scores> takeScoresApart(Value value) {
  Scores scores;
  Dims dims = getDims(value);
  double outer = 1; // factors since the last mask or cap
  while (true) {
    value = skipFloatCasts(value);
    if (getDims(value) != dims) {
      return std::nullopt; // a mask broadcasts the scores
    }
    if (auto product = value.getDefiningOp<MatMulOp>()) {
      scores.product = product;
      scores.scale = outer * product.getAlpha().convertToDouble();
      return scores;
    }
    if (auto scaled = scalarOperation(value, "mul")) {
      outer *= scaled->scalar;
      value = scaled->x;
      continue;
    }
    if (UnaryOp tanh = unaryOf(value, "tanh")) {
      // cap * tanh(x / cap): the inner factor is checked below by dividing.
      if (scores.softcap != 0 || outer <= 0) {
        return std::nullopt;
      }
      scores.softcap = outer;
      auto inner = scalarOperation(skipFloatCasts(tanh.getX()), "mul");
      if (!inner) {
        return std::nullopt;
      }
      outer = inner->scalar * scores.softcap;
      value = inner->x;
      continue;
    }
    // Below this a mask would be scaled, or capped.
    if (outer != 1 || scores.softcap != 0) {
      return std::nullopt;
    }
    if (auto select = value.getDefiningOp<SelectOp>()) {
      std::optional<double> x = scalarOf(select.getX());
      std::optional<double> y = scalarOf(select.getY());
      if (y && *y <= kMasked) {
        scores.masks.push_back(select.getCond());
        value = select.getX();
      } else if (x && *x <= kMasked) {
        scores.inverted.push_back(select.getCond());
        value = select.getY();
      } else {
        return std::nullopt;
      }
      continue;
    }
    BinaryOp sum = binaryOf(value, "add");
    if (!sum) {
      return std::nullopt;
    }
    bool left = reachesProduct(sum.getLhs());
    if (left == reachesProduct(sum.getRhs())) {
      return std::nullopt;
    }
    scores.masks.push_back(left ? sum.getRhs() : sum.getLhs());
    value = left ? sum.getLhs() : sum.getRhs();
  }
}

/// softmax behind casts and behind select(is_nan(p), 0, p).
SoftmaxOp softmaxBehind(Value value) {
  value = skipFloatCasts(value);
  if (auto guard = value.getDefiningOp<SelectOp>()) {
    UnaryOp isNan = unaryOf(guard.getCond(), "is_nan");
    if (!isNan || isNan.getX() != guard.getY() ||
        scalarOf(guard.getX()) != 0.0) {
      return {};
    }
    value = skipFloatCasts(guard.getY());
  }
  return value.getDefiningOp<SoftmaxOp>();
}

/// [B, H, T, D] made of [B, Hkv, T, D] by repeating each head: the latter.
Value unrepeated(Value value) {
  value = skipFloatCasts(value);
  Dims dims = getDims(value);
  if (auto broadcast = value.getDefiningOp<BroadcastOp>()) {
    Dims from = getDims(broadcast.getX());
    bool oneHead = from.size() == 4 && from[0] == dims[0] &&
                   from[1] == DimExpr(1) && from[2] == dims[2] &&
                   from[3] == dims[3];
    return oneHead ? skipFloatCasts(broadcast.getX()) : value;
  }
  auto merged = value.getDefiningOp<ReshapeOp>();
  auto broadcast =
      merged ? merged.getX().getDefiningOp<BroadcastOp>() : BroadcastOp();
  if (!broadcast) {
    return value;
  }
  Dims wide = getDims(broadcast.getResult());
  Dims narrow = getDims(broadcast.getX());
  bool repeats = wide.size() == 5 && narrow.size() == 5 &&
                 narrow[2] == DimExpr(1) && dims[0] == wide[0] &&
                 dims[1] == wide[1] * wide[2] && dims[2] == wide[3] &&
                 dims[3] == wide[4];
  for (size_t i : {0, 1, 3, 4}) {
    repeats = repeats && wide[i] == narrow[i];
  }
  if (!repeats) {
    return value;
  }
  auto split = broadcast.getX().getDefiningOp<ReshapeOp>();
  Dims heads{narrow[0], narrow[1], narrow[3], narrow[4]};
  if (!split || getDims(split.getX()) != heads) {
    return value;
  }
  return skipFloatCasts(split.getX());
}

/// Factors on q and k go into the scale.
Value withoutScale(Value value, double &scale) {
  value = skipFloatCasts(value);
  while (auto scaled = scalarOperation(value, "mul")) {
    if (getDims(scaled->x) != getDims(value)) {
      break;
    }
    scale *= scaled->scalar;
    value = skipFloatCasts(scaled->x);
  }
  return value;
}

class AttentionRecovery {
public:
  explicit AttentionRecovery(ModuleOp module) : rewriter(module) {}

  void visit(MatMulOp op);
  void simplify(AttentionOp op);
  void moveToTokenMajor(AttentionOp op);

private:
  std::optional<MaskKind> maskKind(ArrayRef<Value> masks, DimExpr queries,
                                   DimExpr keys, const SymbolBounds &bounds,
                                   bool causal = false);
  Value biasOf(ArrayRef<Value> masks, Location loc);

  IRRewriter rewriter;
  /// Layers share their masks.
  std::map<std::vector<const void *>, std::optional<MaskKind>> kinds;
};

std::optional<MaskKind> AttentionRecovery::maskKind(ArrayRef<Value> masks,
                                                    DimExpr queries,
                                                    DimExpr keys,
                                                    const SymbolBounds &bounds,
                                                    bool causal) {
  std::vector<const void *> key{queries.identity(), keys.identity(),
                                causal ? this : nullptr};
  for (Value mask : masks) {
    key.push_back(mask.getAsOpaquePointer());
  }
  auto [it, inserted] = kinds.try_emplace(key);
  if (inserted) {
    it->second = analyzeMasks(masks, queries, keys, bounds, causal);
  }
  return it->second;
}

/// The sum of the masks as numbers to add.
Value AttentionRecovery::biasOf(ArrayRef<Value> masks, Location loc) {
  Value bias;
  for (Value mask : masks) {
    if (elementOf(mask).isInteger(1)) {
      auto scalar = RankedTensorType::get({}, rewriter.getF32Type());
      auto number = [&](float value) -> Value {
        auto attr = DenseElementsAttr::get(scalar, value);
        return ConstantOp::create(rewriter, loc, scalar, attr);
      };
      mask = createOp<SelectOp>(rewriter, loc, getDims(mask),
                                rewriter.getF32Type(), mask, number(0.0f),
                                number(-3.4028234663852886e38f));
    } else if (!elementOf(mask).isF32()) {
      mask = createOp<CastOp>(rewriter, loc, getDims(mask),
                              rewriter.getF32Type(), mask);
    }
    if (!bias) {
      bias = mask;
      continue;
    }
    std::optional<Dims> dims = broadcastDims(getDims(bias), getDims(mask));
    if (!dims) {
      return {};
    }
    bias = createOp<BinaryOp>(rewriter, loc, *dims, rewriter.getF32Type(),
                              rewriter.getStringAttr("add"), bias, mask);
  }
  return bias;
}

void AttentionRecovery::visit(MatMulOp op) {
  SoftmaxOp softmax = softmaxBehind(op.getA());
  if (!softmax || op.getTransA() || op.getTransB() || softmax.getLog() ||
      op.getAlpha().convertToDouble() != 1.0 || rankOf(op.getA()) != 4 ||
      rankOf(op.getB()) != 4 || softmax.getAxis() != 3) {
    return;
  }
  std::optional<Scores> scores = takeScoresApart(softmax.getX());
  if (!scores || scores->product.getTransA() ||
      rankOf(scores->product.getA()) != 4 ||
      rankOf(scores->product.getB()) != 4) {
    return;
  }
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();

  // The factors on q and k, inside the cap: the kernel scales, then caps.
  double scale = scores->scale;
  Value q = withoutScale(scores->product.getA(), scale);
  Value k = withoutScale(scores->product.getB(), scale);
  if (scores->product.getTransB()) {
    k = unrepeated(k);
  } else if (auto transpose = k.getDefiningOp<TransposeOp>();
             transpose &&
             transpose.getPerm() == ArrayRef<int64_t>{0, 1, 3, 2}) {
    k = unrepeated(withoutScale(transpose.getX(), scale));
  } else {
    k = transposeBy(rewriter, loc, k, {0, 1, 3, 2});
  }
  Value v = unrepeated(op.getB());

  Dims qDims = getDims(q), kDims = getDims(k), vDims = getDims(v);
  Dims all = getDims(softmax.getX());
  auto heads = qDims[1].asConstant(), shared = kDims[1].asConstant();
  bool fits =
      qDims[0] == kDims[0] && kDims[0] == vDims[0] && kDims[1] == vDims[1] &&
      kDims[2] == vDims[2] && heads && shared && *shared > 0 &&
      *heads % *shared == 0 && qDims[3] == kDims[3] &&
      all == Dims{qDims[0], qDims[1], qDims[2], kDims[2]} &&
      getDims(op.getResult()) == Dims{qDims[0], qDims[1], qDims[2], vDims[3]};
  if (!fits) {
    return;
  }

  // Masks: all together if that can be proved, else each for itself, and what
  // is left stays as numbers.
  SymbolBounds bounds = boundsAt(op);
  SmallVector<Value> masks = scores->masks;
  for (Value mask : scores->inverted) {
    masks.push_back(createOp<UnaryOp>(rewriter, loc, getDims(mask),
                                      elementOf(mask),
                                      rewriter.getStringAttr("not"), mask));
  }
  MaskKind kind;
  SmallVector<Value> kept;
  if (!masks.empty()) {
    if (auto proved = maskKind(masks, qDims[2], kDims[2], bounds)) {
      kind = *proved;
    } else {
      for (Value mask : masks) {
        auto alone = maskKind({mask}, qDims[2], kDims[2], bounds);
        if (alone && alone->window == 0) {
          kind.causal |= alone->causal;
        } else {
          kept.push_back(mask);
        }
      }
    }
  }
  Value bias = biasOf(kept, loc);
  if (!kept.empty() && !bias) {
    return;
  }

  auto attention = createOp<AttentionOp>(
      rewriter, loc, getDims(op.getResult()), elementOf(op.getResult()), q, k,
      v, bias, Value(), rewriter.getStringAttr("bhsd"),
      exprToAttr(op.getContext(), kDims[2]), rewriter.getBoolAttr(kind.causal),
      rewriter.getI64IntegerAttr(kind.window), rewriter.getF64FloatAttr(scale),
      rewriter.getF64FloatAttr(scores->softcap));
  keepName(op, attention);
  rewriter.replaceOp(op, attention);
}

/// Attention as the model has it (an operator): heads that are repeated for it
/// are read unrepeated, and a bias that is a known mask goes.
void AttentionRecovery::simplify(AttentionOp op) {
  if (isa<CacheType>(op.getK().getType())) {
    return;
  }
  rewriter.setInsertionPoint(op);
  Value k = unrepeated(op.getK()), v = unrepeated(op.getV());
  if (getDim(k, 1) == getDim(v, 1) && k != op.getK()) {
    op.getKMutable().assign(k);
    op.getVMutable().assign(v);
  }
  if (!op.getBias() || op.getWindow() != 0) {
    return;
  }
  DimExpr queries = getDim(op.getQ(), op.getQLayout() == "bhsd" ? 2 : 1);
  auto kind = maskKind({op.getBias()}, queries, getDim(op.getK(), 2),
                       boundsAt(op), op.getCausal());
  if (kind) {
    op.getBiasMutable().clear();
    op.setCausal(kind->causal);
    op.setWindow(kind->window);
  }
}

/// transpose(attention(rope(transpose x))) -> attention(rope x), both "bshd":
/// the layout that the projections write and read.
void AttentionRecovery::moveToTokenMajor(AttentionOp op) {
  constexpr int64_t swap[] = {0, 2, 1, 3};
  auto isSwap = [&](Operation *candidate) {
    auto transpose = dyn_cast_or_null<TransposeOp>(candidate);
    return transpose && transpose.getPerm() == ArrayRef<int64_t>(swap);
  };
  if (op.getQLayout() != "bhsd" || !op->hasOneUse() ||
      !isSwap(*op->user_begin())) {
    return;
  }
  Operation *after = *op->user_begin();
  Value q = op.getQ();
  auto rope = q.getDefiningOp<RopeOp>();
  Value turned = rope ? rope.getX() : q;
  if (!isSwap(turned.getDefiningOp()) ||
      (rope && (!rope->hasOneUse() || rope.getLayout() != "bhsd"))) {
    return;
  }
  rewriter.setInsertionPoint(op);
  Value source = turned.getDefiningOp()->getOperand(0);
  if (rope) {
    auto moved = createOp<RopeOp>(
        rewriter, rope.getLoc(), getDims(source), elementOf(rope.getResult()),
        source, rope.getCos(), rope.getSin(), rewriter.getStringAttr("bshd"),
        rope.getInterleavedAttr(), rope.getRotaryDimAttr());
    keepName(rope, moved);
    source = moved;
  }
  auto attention = createOp<AttentionOp>(
      rewriter, op.getLoc(), getDims(after->getResult(0)),
      elementOf(op.getResult()), source, op.getK(), op.getV(), op.getBias(),
      op.getSinks(), rewriter.getStringAttr("bshd"), op.getTotalAttr(),
      op.getCausalAttr(), op.getWindowAttr(), op.getScaleAttr(),
      op.getSoftcapAttr());
  if (auto slices = getCacheSlices(op)) {
    setCacheSlices(attention, *slices);
  }
  keepName(op, attention);
  rewriter.replaceOp(after, attention);
}

struct RecoverAttention
    : llmc::impl::RecoverAttentionPassBase<RecoverAttention> {
  using RecoverAttentionPassBase::RecoverAttentionPassBase;

  void runOnOperation() override {
    AttentionRecovery recovery(getOperation());
    SmallVector<MatMulOp> products;
    getOperation().walk([&](MatMulOp op) { products.push_back(op); });
    for (MatMulOp op : products) {
      recovery.visit(op);
    }
    eraseDeadOps(getOperation());
    getOperation().walk([&](AttentionOp op) { recovery.simplify(op); });
    SmallVector<AttentionOp> attentions;
    getOperation().walk([&](AttentionOp op) { attentions.push_back(op); });
    for (AttentionOp op : attentions) {
      recovery.moveToTokenMajor(op);
    }
    eraseDeadOps(getOperation());
  }
};
} // namespace
