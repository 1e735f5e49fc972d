//===- RecoverActivations.cpp - gelu, silu and their like ------*- C++ -*-===//
//
// The argument of erf, tanh or sigmoid is read as a polynomial in x, and the
// product around it as a constant times factors: every way to write
// 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))) looks the same then.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <array>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_RECOVERACTIVATIONSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// Coefficients of 1, x, x^2, x^3.
using Polynomial = std::array<double, 4>;

std::optional<Polynomial> multiply(const Polynomial &a, const Polynomial &b) {
  Polynomial product = {};
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      double term = a[i] * b[j];
      if (term == 0) {
        continue;
      }
      if (i + j > 3) {
        return std::nullopt;
      }
      product[i + j] += term;
    }
  }
  return product;
}

/// `value` as a polynomial in `x`.
std::optional<Polynomial> polynomialIn(Value x, Value value, int depth = 0) {
  if (sameButForCasts(x, value)) {
    return Polynomial{0, 1, 0, 0};
  }
  if (std::optional<double> scalar = scalarOf(value)) {
    return Polynomial{*scalar, 0, 0, 0};
  }
  if (depth > 10) {
    return std::nullopt;
  }
  value = skipFloatCasts(value);
  if (UnaryOp square = unaryOf(value, "square")) {
    auto inner = polynomialIn(x, square.getX(), depth + 1);
    return inner ? multiply(*inner, *inner) : std::nullopt;
  }
  auto op = value.getDefiningOp<BinaryOp>();
  if (!op) {
    return std::nullopt;
  }
  auto a = polynomialIn(x, op.getLhs(), depth + 1);
  if (op.getKind() == "pow") {
    std::optional<double> exponent = scalarOf(op.getRhs());
    if (!a || !exponent || (*exponent != 2 && *exponent != 3)) {
      return std::nullopt;
    }
    auto square = multiply(*a, *a);
    return *exponent == 2 || !square ? square : multiply(*square, *a);
  }
  auto b = polynomialIn(x, op.getRhs(), depth + 1);
  if (!a || !b) {
    return std::nullopt;
  }
  if (op.getKind() == "mul") {
    return multiply(*a, *b);
  }
  if (op.getKind() == "div" && (*b)[0] != 0 && (*b)[1] == 0 && (*b)[2] == 0 &&
      (*b)[3] == 0) {
    return multiply(*a, {1.0 / (*b)[0], 0, 0, 0});
  }
  if (op.getKind() == "add" || op.getKind() == "sub") {
    double sign = op.getKind() == "add" ? 1 : -1;
    for (size_t i = 0; i < 4; ++i) {
      (*a)[i] += sign * (*b)[i];
    }
    return a;
  }
  return std::nullopt;
}

bool isNear(const Polynomial &a, const Polynomial &b) {
  for (size_t i = 0; i < 4; ++i) {
    if (!nearly(a[i], b[i])) {
      return false;
    }
  }
  return true;
}

/// A product, taken apart: constant * factors.
struct Product {
  double constant = 1;
  SmallVector<Value> factors;
};

void takeApart(Value value, Product &product, bool isRoot) {
  if (std::optional<double> scalar = scalarOf(value)) {
    product.constant *= *scalar;
    return;
  }
  auto op = value.getDefiningOp<BinaryOp>();
  bool inside = isRoot || (op && op->hasOneUse());
  if (op && inside && op.getKind() == "mul") {
    takeApart(op.getLhs(), product, false);
    takeApart(op.getRhs(), product, false);
    return;
  }
  if (op && inside && op.getKind() == "div") {
    if (std::optional<double> scalar = scalarOf(op.getRhs())) {
      product.constant /= *scalar;
      takeApart(op.getLhs(), product, false);
      return;
    }
  }
  product.factors.push_back(value);
}

/// The kind of activation that constant * x * other is, or "".
StringRef activationOf(double constant, Value x, Value other) {
  if (UnaryOp sigmoid = unaryOf(skipFloatCasts(other), "sigmoid")) {
    auto inner = polynomialIn(x, sigmoid.getX());
    if (inner && constant == 1) {
      if (isNear(*inner, {0, 1, 0, 0})) {
        return "silu";
      }
      if (isNear(*inner, {0, 1.702, 0, 0})) {
        return "quick_gelu";
      }
    }
    return "";
  }
  std::optional<ScalarOperation> sum = scalarOperation(other, "add");
  if (!sum || sum->scalar != 1 || constant != 0.5) {
    return "";
  }
  if (UnaryOp erf = unaryOf(skipFloatCasts(sum->x), "erf")) {
    auto inner = polynomialIn(x, erf.getX());
    return inner && isNear(*inner, {0, 0.70710678, 0, 0}) ? "gelu_erf" : "";
  }
  if (UnaryOp tanh = unaryOf(skipFloatCasts(sum->x), "tanh")) {
    constexpr double root = 0.79788456;
    auto inner = polynomialIn(x, tanh.getX());
    return inner && isNear(*inner, {0, root, 0, root * 0.044715}) ? "gelu_tanh"
                                                                  : "";
  }
  return "";
}

struct MatchActivation : OpRewritePattern<BinaryOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(BinaryOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKind() != "mul") {
      return failure();
    }
    Product product;
    takeApart(op.getResult(), product, true);
    if (product.factors.size() != 2) {
      return failure();
    }
    for (int swap = 0; swap < 2; ++swap) {
      Value x = product.factors[swap], other = product.factors[1 - swap];
      StringRef kind = activationOf(product.constant, x, other);
      if (kind.empty() || getDims(x) != getDims(op.getResult()) ||
          elementOf(x) != elementOf(op.getResult())) {
        continue;
      }
      auto activation = createOp<UnaryOp>(
          rewriter, op.getLoc(), getDims(op.getResult()),
          elementOf(op.getResult()), rewriter.getStringAttr(kind), x);
      keepName(op, activation);
      rewriter.replaceOp(op, activation);
      return success();
    }
    return failure();
  }
};

struct RecoverActivations
    : llmc::impl::RecoverActivationsPassBase<RecoverActivations> {
  using RecoverActivationsPassBase::RecoverActivationsPassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MatchActivation>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns)))) {
      signalPassFailure();
    }
  }
};
} // namespace
