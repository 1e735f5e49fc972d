//===- FuseProducts.cpp - What a product does beside its sums --*- C++ -*-===//
//
// Bias, activation and residual go into the product that makes their operand;
// the two products of a gate become one, and so do products of one input.
// Products that are joined have one packed weight, which all entries share: so
// weights are joined only if every entry uses them together.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_FUSEPRODUCTSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// linear x + b -> linear with bias.
template <typename LinearT> struct FuseBias : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() != "add") {
      return failure();
    }
    for (auto [left, right] :
         {std::pair<Value, Value>{op.getLhs(), op.getRhs()},
          {op.getRhs(), op.getLhs()}}) {
      auto linear = left.getDefiningOp<LinearT>();
      bool leaf =
          isa_and_nonnull<LoadWeightOp, ConstantOp>(right.getDefiningOp());
      if (!linear || linear.getBias() || linear.getActivation() != "none" ||
          !linear->hasOneUse() || !leaf || rankOf(right) != 1 ||
          getDims(left) != getDims(op.getResult()) ||
          getDim(right, 0) != getDims(left).back()) {
        continue;
      }
      rewriter.setInsertionPoint(op);
      auto *fused = rewriter.clone(*linear.getOperation());
      auto typed = cast<LinearT>(fused);
      rewriter.modifyOpInPlace(typed,
                               [&] { typed.getBiasMutable().assign(right); });
      rewriter.replaceOp(op, typed.getResult());
      rewriter.eraseOp(linear);
      return success();
    }
    return failure();
  }
};

/// act(linear x) -> linear with activation.
template <typename LinearT> struct FuseActivation : OpRewritePattern<UnaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(UnaryOp op,
                                PatternRewriter &rewriter) const override {
    static constexpr StringLiteral kinds[] = {
        "relu",       "silu",    "gelu_erf", "gelu_tanh",
        "quick_gelu", "sigmoid", "tanh"};
    auto linear = op.getX().getDefiningOp<LinearT>();
    if (!linear || !linear->hasOneUse() || linear.getActivation() != "none" ||
        !llvm::is_contained(kinds, op.getKind())) {
      return failure();
    }
    rewriter.modifyOpInPlace(linear,
                             [&] { linear.setActivation(op.getKind()); });
    rewriter.replaceOp(op, linear.getResult());
    return success();
  }
};

/// A product with a weight of the model that nothing was added to yet and that
/// only one op reads.
LinearOp plainProduct(Value value) {
  auto linear = value.getDefiningOp<LinearOp>();
  bool plain = linear && linear->hasOneUse() && !linear.getResidual() &&
               linear.getWeight().getDefiningOp<LoadWeightOp>();
  return plain ? linear : LinearOp();
}

StringAttr weightName(Value value) {
  return value.getDefiningOp<LoadWeightOp>().getWeightAttr().getAttr();
}

/// Weights of one packed weight have one element type.
bool sameElement(Value a, Value b) { return elementOf(a) == elementOf(b); }

struct FuseProducts : llmc::impl::FuseProductsPassBase<FuseProducts> {
  using FuseProductsPassBase::FuseProductsPassBase;

  /// Uses of each weight in the whole module.
  llvm::DenseMap<StringAttr, unsigned> countUses() {
    llvm::DenseMap<StringAttr, unsigned> uses;
    getOperation().walk([&](LoadWeightOp load) {
      uses[load.getWeightAttr().getAttr()] += static_cast<unsigned>(
          std::distance(load->use_begin(), load->use_end()));
    });
    return uses;
  }

  void refuse(Operation *op, const Twine &why) {
    if (explain) {
      op->emitRemark() << "not joined: " << why;
    }
  }

  template <typename Visit> void forEachOp(const Visit &visit) {
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      if (entry.empty()) {
        continue;
      }
      for (Operation &op :
           llvm::make_early_inc_range(entry.getBody().front())) {
        visit(&op);
      }
    }
  }

  /// linear x + r -> linear with residual, where the product is the later one.
  void fuseResiduals(IRRewriter &rewriter) {
    forEachOp([&](Operation *op) {
      auto add = dyn_cast<BinaryOp>(op);
      if (!add || add.getKind() != "add") {
        return;
      }
      LinearOp chosen;
      Value residual;
      for (auto [left, right] :
           {std::pair<Value, Value>{add.getLhs(), add.getRhs()},
            {add.getRhs(), add.getLhs()}}) {
        auto linear = left.getDefiningOp<LinearOp>();
        if (!linear || linear.getResidual() || !linear->hasOneUse() ||
            right.getType() != left.getType() ||
            right.getType() != add.getType() ||
            getDims(right) != getDims(left) || left == right ||
            isa_and_nonnull<LoadWeightOp, ConstantOp, FillOp>(
                right.getDefiningOp()) ||
            (chosen && linear->isBeforeInBlock(chosen))) {
          continue;
        }
        chosen = linear;
        residual = right;
      }
      if (!chosen) {
        return;
      }
      rewriter.setInsertionPoint(add);
      auto fused = cast<LinearOp>(rewriter.clone(*chosen.getOperation()));
      fused.getResidualMutable().assign(residual);
      rewriter.replaceOp(add, fused.getResult());
      rewriter.eraseOp(chosen);
    });
  }

  /// act(x G^T) * (x U^T) -> gated_linear.
  void fuseGates(IRRewriter &rewriter) {
    struct Gate {
      BinaryOp op;
      LinearOp gate, up;
    };
    std::vector<Gate> gates;
    using Key = std::pair<StringAttr, StringAttr>;
    llvm::DenseMap<Key, unsigned> found;
    forEachOp([&](Operation *op) {
      auto mul = dyn_cast<BinaryOp>(op);
      if (!mul || mul.getKind() != "mul") {
        return;
      }
      for (auto [left, right] :
           {std::pair<Value, Value>{mul.getLhs(), mul.getRhs()},
            {mul.getRhs(), mul.getLhs()}}) {
        LinearOp gate = plainProduct(left), up = plainProduct(right);
        if (!gate || !up || gate == up || gate.getX() != up.getX() ||
            gate.getActivation() == "none" || up.getActivation() != "none" ||
            gate.getBias() || up.getBias() || getDims(left) != getDims(right) ||
            getDims(left) != getDims(mul.getResult()) ||
            !sameElement(gate.getWeight(), up.getWeight()) ||
            weightName(gate.getWeight()) == weightName(up.getWeight())) {
          continue;
        }
        gates.push_back({mul, gate, up});
        ++found[{weightName(gate.getWeight()), weightName(up.getWeight())}];
        return;
      }
    });
    llvm::DenseMap<StringAttr, unsigned> uses = countUses();
    for (Gate &g : gates) {
      Key key{weightName(g.gate.getWeight()), weightName(g.up.getWeight())};
      if (uses[key.first] != found[key] || uses[key.second] != found[key]) {
        refuse(g.op, "a weight of the gate is used elsewhere too");
        continue;
      }
      rewriter.setInsertionPoint(g.op);
      auto fused = createOp<GatedLinearOp>(
          rewriter, g.op.getLoc(), getDims(g.op.getResult()),
          elementOf(g.op.getResult()), g.gate.getX(), g.gate.getWeight(),
          g.up.getWeight(), g.gate.getWeightLayout(), g.up.getWeightLayout(),
          g.gate.getActivation());
      keepName(g.op, fused);
      rewriter.replaceOp(g.op, fused.getResult());
      rewriter.eraseOp(g.gate);
      rewriter.eraseOp(g.up);
    }
  }

  /// That a launch takes (LinearSplit).
  static constexpr size_t kMostParts = 8;

  /// Products of one x -> split_linear.
  void joinProducts(IRRewriter &rewriter) {
    // Those of one input that one op could compute, in program order.
    std::vector<SmallVector<LinearOp>> families;
    using Key = std::tuple<Value, Attribute, int, Type>;
    llvm::DenseMap<Key, size_t> familyOf;
    llvm::DenseMap<StringAttr, unsigned> uses = countUses(), seen;
    llvm::DenseMap<StringAttr, SmallVector<size_t>> places;
    forEachOp([&](Operation *op) {
      auto linear = dyn_cast<LinearOp>(op);
      if (!linear || linear.getResidual() ||
          !linear.getWeight().getDefiningOp<LoadWeightOp>()) {
        return;
      }
      int64_t n = typeOf(linear.getResult()).getShape().back();
      bool hasBias = linear.getBias() != nullptr;
      // A joined bias has its parts where the panels are.
      if (hasBias &&
          (!linear.getBias().getDefiningOp<LoadWeightOp>() || n % 64 != 0 ||
           uses[weightName(linear.getBias())] !=
               uses[weightName(linear.getWeight())])) {
        return;
      }
      Key key{linear.getX(), linear.getActivationAttr(), hasBias,
              hasBias ? elementOf(linear.getBias())
                      : elementOf(linear.getWeight())};
      auto [it, isNew] = familyOf.try_emplace(key, families.size());
      if (isNew) {
        families.emplace_back();
      }
      families[it->second].push_back(linear);
      StringAttr name = weightName(linear.getWeight());
      ++seen[name];
      places[name].push_back(it->second);
    });
    for (const SmallVector<LinearOp> &family : families) {
      if (family.size() < 2) {
        continue;
      }
      // Those of its weights that stand together everywhere.
      std::vector<SmallVector<LinearOp>> groups;
      for (LinearOp linear : family) {
        StringAttr name = weightName(linear.getWeight());
        if (seen[name] != uses[name]) {
          refuse(linear, "its weight is used elsewhere too");
          continue;
        }
        auto fits = [&](const SmallVector<LinearOp> &group) {
          LinearOp first = group.front();
          StringAttr other = weightName(first.getWeight());
          return group.size() < kMostParts && other != name &&
                 places[other] == places[name] &&
                 sameElement(first.getWeight(), linear.getWeight());
        };
        auto group = llvm::find_if(groups, fits);
        if (group == groups.end()) {
          groups.push_back({linear});
        } else {
          group->push_back(linear);
        }
      }
      for (SmallVector<LinearOp> &group : groups) {
        join(rewriter, group);
      }
    }
  }

  /// All results live from the first product on: worth it while they are few.
  static constexpr int64_t kLargestGrowth = 4;

  void join(IRRewriter &rewriter, SmallVectorImpl<LinearOp> &group) {
    LinearOp first = group.front(); // in program order
    if (group.size() < 2) {
      return;
    }
    // By name, so that all entries have the parts in one order.
    llvm::sort(group, [](LinearOp a, LinearOp b) {
      return weightName(a.getWeight()).getValue() <
             weightName(b.getWeight()).getValue();
    });
    int64_t outputs = 0;
    for (LinearOp linear : group) {
      outputs += typeOf(linear.getResult()).getShape().back();
    }
    if (outputs > kLargestGrowth * typeOf(first.getX()).getShape().back()) {
      refuse(first, "the results are more than four times as large as the "
                    "input");
      return;
    }
    SmallVector<Value> weights, biases;
    SmallVector<Attribute> layouts;
    SmallVector<Type> types;
    for (LinearOp linear : group) {
      for (Value leaf : {Value(linear.getWeight()), Value(linear.getBias())}) {
        Operation *front = &first->getBlock()->front();
        if (leaf && leaf.getDefiningOp() != front) {
          // It may stand between this product and the first one.
          rewriter.moveOpBefore(leaf.getDefiningOp(), front);
        }
      }
      weights.push_back(linear.getWeight());
      if (linear.getBias()) {
        biases.push_back(linear.getBias());
      }
      layouts.push_back(linear.getWeightLayoutAttr());
      types.push_back(linear.getResult().getType());
    }
    rewriter.setInsertionPoint(first);
    auto joined = SplitLinearOp::create(
        rewriter, first.getLoc(), types, first.getX(), weights, biases,
        rewriter.getArrayAttr(layouts), first.getActivationAttr());
    keepName(first, joined);
    for (auto [i, linear] : llvm::enumerate(group)) {
      setDims(joined, static_cast<unsigned>(i), getDims(linear.getResult()));
    }
    for (auto [i, linear] : llvm::enumerate(group)) {
      rewriter.replaceOp(linear, joined.getResult(static_cast<unsigned>(i)));
    }
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FuseBias<LinearOp>, FuseBias<QuantLinearOp>,
                 FuseActivation<LinearOp>, FuseActivation<QuantLinearOp>>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      return signalPassFailure();
    }
    IRRewriter rewriter(&getContext());
    fuseGates(rewriter);
    fuseResiduals(rewriter);
    joinProducts(rewriter);
    eraseDeadOps(getOperation());
  }
};
} // namespace
