//===- EmitterElementwise.cpp - Element-wise ops and their evaluation -----===//

#include "compiler/import/EmitterTemplates.h"

#include <cmath>

namespace llmc::import {

static bool isComparison(const std::string &kind) {
  return kind == "eq" || kind == "ne" || kind == "lt" || kind == "le" ||
         kind == "gt" || kind == "ge";
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

static std::optional<double> applyUnary(const std::string &kind, double x) {
  static const std::map<std::string, double (*)(double)> functions = {
      {"neg", [](double x) { return -x; }},
      {"abs", [](double x) { return std::abs(x); }},
      {"exp", [](double x) { return std::exp(x); }},
      {"log", [](double x) { return std::log(x); }},
      {"sqrt", [](double x) { return std::sqrt(x); }},
      {"rsqrt", [](double x) { return 1 / std::sqrt(x); }},
      {"reciprocal", [](double x) { return 1 / x; }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
      {"tan", [](double x) { return std::tan(x); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"erf", [](double x) { return std::erf(x); }},
      {"sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"relu", [](double x) { return x > 0 ? x : 0; }},
      {"floor", [](double x) { return std::floor(x); }},
      {"ceil", [](double x) { return std::ceil(x); }},
      {"round", [](double x) { return std::nearbyint(x); }},
      {"sign", [](double x) { return x > 0   ? 1.0
                                     : x < 0 ? -1.0
                                             : 0.0; }},
      {"not", [](double x) { return x == 0 ? 1.0 : 0.0; }},
      {"is_nan", [](double x) { return std::isnan(x) ? 1.0 : 0.0; }},
      {"is_inf", [](double x) { return std::isinf(x) ? 1.0 : 0.0; }},
      {"square", [](double x) { return x * x; }},
      {"softplus", [](double x) { return std::log1p(std::exp(x)); }},
  };
  auto it = functions.find(kind);
  return it == functions.end() ? std::nullopt : std::optional(it->second(x));
}

static std::optional<double> applyFloat(const std::string &kind, double a,
                                        double b) {
  static const std::map<std::string, double (*)(double, double)> functions = {
      {"add", [](double a, double b) { return a + b; }},
      {"sub", [](double a, double b) { return a - b; }},
      {"mul", [](double a, double b) { return a * b; }},
      {"div", [](double a, double b) { return a / b; }},
      {"pow", [](double a, double b) { return std::pow(a, b); }},
      {"min", [](double a, double b) { return b < a || b != b ? b : a; }},
      {"max", [](double a, double b) { return b > a || b != b ? b : a; }},
      {"fmod", [](double a, double b) { return std::fmod(a, b); }},
      {"mod", [](double a, double b) { return a - b * std::floor(a / b); }},
      {"eq", [](double a, double b) { return a == b ? 1.0 : 0.0; }},
      {"ne", [](double a, double b) { return a != b ? 1.0 : 0.0; }},
      {"lt", [](double a, double b) { return a < b ? 1.0 : 0.0; }},
      {"le", [](double a, double b) { return a <= b ? 1.0 : 0.0; }},
      {"gt", [](double a, double b) { return a > b ? 1.0 : 0.0; }},
      {"ge", [](double a, double b) { return a >= b ? 1.0 : 0.0; }},
  };
  auto it = functions.find(kind);
  return it == functions.end() ? std::nullopt : std::optional(it->second(a, b));
}

/// Wraps on overflow; nullopt for a division by zero.
static std::optional<int64_t> applyInt(const std::string &kind, int64_t a,
                                       int64_t b) {
  auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  if (kind == "add") {
    return static_cast<int64_t>(ua + ub);
  }
  if (kind == "sub") {
    return static_cast<int64_t>(ua - ub);
  }
  if (kind == "mul") {
    return static_cast<int64_t>(ua * ub);
  }
  if (kind == "div" || kind == "mod" || kind == "fmod") {
    if (b == 0 || (a == INT64_MIN && b == -1)) {
      return std::nullopt;
    }
    if (kind == "div") {
      return a / b;
    }
    int64_t rest = a % b;
    return kind == "mod" && rest != 0 && (rest < 0) != (b < 0) ? rest + b
                                                               : rest;
  }
  if (kind == "min") {
    return std::min(a, b);
  }
  if (kind == "max") {
    return std::max(a, b);
  }
  if (kind == "and") {
    return a & b;
  }
  if (kind == "or") {
    return a | b;
  }
  if (kind == "xor") {
    return a ^ b;
  }
  if (kind == "eq") {
    return a == b;
  }
  if (kind == "ne") {
    return a != b;
  }
  if (kind == "lt") {
    return a < b;
  }
  if (kind == "le") {
    return a <= b;
  }
  if (kind == "gt") {
    return a > b;
  }
  if (kind == "ge") {
    return a >= b;
  }
  if (kind == "pow" && b >= 0) {
    uint64_t result = 1;
    for (int64_t i = 0; i < b && i < 64; ++i) {
      result *= ua;
    }
    return b < 64 ? std::optional(static_cast<int64_t>(result)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<bool> Emitter::decide(const std::string &kind, DimExpr a,
                                    DimExpr b) const {
  auto negate = [](std::optional<bool> x) {
    return x ? std::optional(!*x) : x;
  };
  if (kind == "eq") {
    return equal(a, b);
  }
  if (kind == "ne") {
    return negate(equal(a, b));
  }
  if (kind == "lt") {
    return less(a, b);
  }
  if (kind == "le") {
    return lessEqual(a, b);
  }
  if (kind == "gt") {
    return less(b, a);
  }
  if (kind == "ge") {
    return lessEqual(b, a);
  }
  return std::nullopt;
}

/// One element of a shape computation; nullopt if it has no closed form.
static std::optional<DimExpr> applyExpr(const Emitter &e,
                                        const std::string &kind, DimExpr a,
                                        DimExpr b, bool floating) {
  if (kind == "add") {
    return a + b;
  }
  if (kind == "sub") {
    return a - b;
  }
  if (kind == "mul") {
    return a * b;
  }
  if (kind == "div") {
    if (std::optional<DimExpr> q = a.dividedBy(b)) {
      return q;
    }
    // ONNX truncates; floordiv agrees where nothing is negative.
    bool nonNegative =
        e.lessEqual(0, a).value_or(false) && e.less(0, b).value_or(false);
    return !floating && nonNegative ? std::optional(DimExpr::floorDiv(a, b))
                                    : std::nullopt;
  }
  if (kind == "mod" && !floating && e.less(0, b).value_or(false)) {
    return DimExpr::mod(a, b);
  }
  if (kind == "min" || kind == "max") {
    if (e.lessEqual(a, b).value_or(false)) {
      return kind == "min" ? a : b;
    }
    if (e.lessEqual(b, a).value_or(false)) {
      return kind == "min" ? b : a;
    }
    return kind == "min" ? DimExpr::min(a, b) : DimExpr::max(a, b);
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Unary
//===----------------------------------------------------------------------===//

Val Emitter::evaluateUnary(const std::string &kind, const Val &x) {
  DataType type =
      kind == "is_nan" || kind == "is_inf" ? DataType::Bool : x->type;
  if (x->constant && (x->constant->splat || isSmall(x))) {
    int64_t count = x->constant->splat ? 1 : *x->count();
    std::vector<double> values;
    for (int64_t i = 0; i < count; ++i) {
      std::optional<double> y =
          applyUnary(kind, readFloat(x->type, x->constant->data, i));
      if (!y) {
        return nullptr;
      }
      values.push_back(*y);
    }
    if (x->constant->splat) {
      return splat(type, x->dims, values[0]);
    }
    return floats(type, *x->staticDims(), values);
  }
  bool keeps = kind == "floor" || kind == "ceil" || kind == "round";
  if ((x->exprs || x->affine) && keeps) {
    return x;
  }
  if (kind == "neg" && x->exprs) {
    std::vector<DimExpr> out;
    for (const DimExpr &e : *x->exprs) {
      out.push_back(DimExpr(0) - e);
    }
    return exprs(type, *x->staticDims(), out);
  }
  if (kind == "neg" && x->affine) {
    return ramp(type, x->dims,
                {DimExpr(0) - x->affine->start, DimExpr(0) - x->affine->step,
                 x->affine->axis});
  }
  return nullptr;
}

Val Emitter::unary(const std::string &kind, Val x) {
  if (!x) {
    return nullptr;
  }
  if (Val known = evaluateUnary(kind, x)) {
    return known;
  }
  DataType type =
      kind == "is_nan" || kind == "is_inf" ? DataType::Bool : x->type;
  return emit<graph::UnaryOp>(type, x->dims, kind, materialize(x));
}

//===----------------------------------------------------------------------===//
// Binary
//===----------------------------------------------------------------------===//

std::optional<std::pair<DimExpr, DimExpr>>
Emitter::extremes(const Val &v) const {
  if (std::optional<Affine> affine = affineOf(v)) {
    if (affine->step == DimExpr(0)) {
      return std::pair(affine->start, affine->start);
    }
    DimExpr last =
        affine->start + affine->step * (v->dims[affine->axis] - DimExpr(1));
    if (lessEqual(0, affine->step).value_or(false)) {
      return std::pair(affine->start, last);
    }
    if (lessEqual(affine->step, 0).value_or(false)) {
      return std::pair(last, affine->start);
    }
  }
  return std::nullopt;
}

Val Emitter::evaluateAffine(const std::string &kind, const Val &a, const Val &b,
                            DataType type, const Dims &dims) {
  std::optional<Affine> x = affineOf(a), y = affineOf(b);
  if (!x || !y) {
    return nullptr;
  }
  x->axis += static_cast<int64_t>(dims.size() - a->dims.size());
  y->axis += static_cast<int64_t>(dims.size() - b->dims.size());
  bool uniformX = x->step == DimExpr(0), uniformY = y->step == DimExpr(0);
  int64_t axis = uniformX ? y->axis : x->axis;
  bool aligned = uniformX || uniformY || x->axis == y->axis;

  if (isComparison(kind)) {
    if (uniformX && uniformY) {
      if (std::optional<bool> known = decide(kind, x->start, y->start)) {
        return splat(type, dims, *known);
      }
      return nullptr;
    }
    auto ex = extremes(a), ey = extremes(b);
    if (!ex || !ey) {
      return nullptr;
    }
    // True everywhere, or false everywhere.
    if (kind == "lt" || kind == "le") {
      if (decide(kind, ex->second, ey->first).value_or(false)) {
        return splat(type, dims, 1);
      }
      if (!decide(kind, ex->first, ey->second).value_or(true)) {
        return splat(type, dims, 0);
      }
    } else if (kind == "gt" || kind == "ge") {
      if (decide(kind, ex->first, ey->second).value_or(false)) {
        return splat(type, dims, 1);
      }
      if (!decide(kind, ex->second, ey->first).value_or(true)) {
        return splat(type, dims, 0);
      }
    } else {
      bool apart = less(ex->second, ey->first).value_or(false) ||
                   less(ey->second, ex->first).value_or(false);
      if (apart) {
        return splat(type, dims, kind == "ne");
      }
    }
    return nullptr;
  }
  if (kind == "add" && aligned) {
    return ramp(type, dims, {x->start + y->start, x->step + y->step, axis});
  }
  if (kind == "sub" && aligned) {
    return ramp(type, dims, {x->start - y->start, x->step - y->step, axis});
  }
  if (kind == "mul" && (uniformX || uniformY)) {
    DimExpr factor = uniformX ? x->start : y->start;
    const Affine &other = uniformX ? *y : *x;
    return ramp(type, dims, {other.start * factor, other.step * factor, axis});
  }
  if (uniformX && uniformY) {
    if (std::optional<DimExpr> e =
            applyExpr(*this, kind, x->start, y->start, isFloat(type))) {
      return ramp(type, dims, {*e, 0, 0});
    }
  }
  return nullptr;
}

Val Emitter::evaluateBinary(const std::string &kind, const Val &a, const Val &b,
                            DataType type, const Dims &dims) {
  bool constants = a->constant && b->constant;
  bool comparison = isComparison(kind);
  // One number with one number.
  if (constants && a->constant->splat && b->constant->splat) {
    if (isFloat(a->type)) {
      std::optional<double> r =
          applyFloat(kind, readFloat(a->type, a->constant->data, 0),
                     readFloat(b->type, b->constant->data, 0));
      return r ? splat(type, dims, *r) : nullptr;
    }
    std::optional<int64_t> r =
        applyInt(kind, readInt(a->type, a->constant->data, 0),
                 readInt(b->type, b->constant->data, 0));
    return r ? ramp(type, dims, {*r, 0, 0}) : nullptr;
  }
  if (type == DataType::Bool && (kind == "and" || kind == "or")) {
    for (auto [x, y] : {std::pair(a, b), std::pair(b, a)}) {
      std::optional<double> known = uniformNumber(x);
      if (known && (*known != 0) == (kind == "and")) {
        return broadcast(y, dims);
      }
      if (known) {
        return splat(type, dims, *known);
      }
    }
  }
  // Neutral elements, so that masks which prove to be all visible vanish.
  if (isFloat(type) && !comparison) {
    for (auto [x, y] : {std::pair(a, b), std::pair(b, a)}) {
      bool right = x == b;
      std::optional<double> known = uniformNumber(x);
      bool neutral =
          known &&
          ((kind == "add" && *known == 0) || (kind == "mul" && *known == 1) ||
           (right && kind == "sub" && *known == 0) ||
           (right && (kind == "div" || kind == "pow") && *known == 1));
      if (neutral && y->dims == dims) {
        return y;
      }
    }
  }
  std::optional<int64_t> count = graph::numElements(dims).asConstant();
  bool small =
      count && *count <= (isFloat(type) ? kMaxEvaluated / 4 : kMaxEvaluated);
  if (constants && small && isSmall(a) && isSmall(b)) {
    std::vector<int64_t> shapeA = *a->staticDims(), shapeB = *b->staticDims();
    std::vector<int64_t> stridesA = stridesOf(shapeA),
                         stridesB = stridesOf(shapeB);
    std::vector<int64_t> target;
    for (const DimExpr &dim : dims) {
      target.push_back(*dim.asConstant());
    }
    std::vector<double> numbers;
    std::vector<int64_t> integers;
    bool known = true, floating = isFloat(a->type);
    forEachIndex(target, [&](const std::vector<int64_t> &index) {
      int64_t i =
          a->constant->splat ? 0 : broadcastOffset(index, shapeA, stridesA);
      int64_t j =
          b->constant->splat ? 0 : broadcastOffset(index, shapeB, stridesB);
      if (floating) {
        std::optional<double> r =
            applyFloat(kind, readFloat(a->type, a->constant->data, i),
                       readFloat(b->type, b->constant->data, j));
        known &= r.has_value();
        numbers.push_back(r.value_or(0));
      } else {
        std::optional<int64_t> r =
            applyInt(kind, readInt(a->type, a->constant->data, i),
                     readInt(b->type, b->constant->data, j));
        known &= r.has_value();
        integers.push_back(r.value_or(0));
      }
    });
    if (known) {
      return floating ? floats(type, target, numbers)
                      : ints(type, target, integers);
    }
    return nullptr;
  }
  if (Val ramped = evaluateAffine(kind, a, b, type, dims)) {
    return ramped;
  }
  if (!small) {
    return nullptr;
  }
  std::optional<std::vector<DimExpr>> x = exprsOf(a), y = exprsOf(b);
  if (!x || !y) {
    return nullptr;
  }
  std::vector<int64_t> shapeA = *a->staticDims(), shapeB = *b->staticDims();
  std::vector<int64_t> stridesA = stridesOf(shapeA),
                       stridesB = stridesOf(shapeB);
  std::vector<int64_t> target;
  for (const DimExpr &dim : dims) {
    target.push_back(*dim.asConstant());
  }
  std::vector<DimExpr> out;
  bool known = true;
  forEachIndex(target, [&](const std::vector<int64_t> &index) {
    DimExpr p = (*x)[broadcastOffset(index, shapeA, stridesA)];
    DimExpr q = (*y)[broadcastOffset(index, shapeB, stridesB)];
    if (comparison) {
      std::optional<bool> r = decide(kind, p, q);
      known &= r.has_value();
      out.push_back(r.value_or(false));
    } else {
      std::optional<DimExpr> r = applyExpr(*this, kind, p, q, isFloat(a->type));
      known &= r.has_value();
      out.push_back(r.value_or(0));
    }
  });
  return known ? exprs(type, target, out) : nullptr;
}

Val Emitter::binary(const std::string &kind, Val a, Val b) {
  if (!a || !b) {
    return nullptr;
  }
  std::optional<Dims> dims = broadcastDims(a->dims, b->dims);
  if (!dims) {
    return fail("cannot broadcast " + toString(a->dims) + " with " +
                toString(b->dims));
  }
  DataType type = isComparison(kind) ? DataType::Bool : a->type;
  if (Val known = evaluateBinary(kind, a, b, type, *dims)) {
    return known;
  }
  if (a->type != b->type && kind != "pow") {
    return fail("operands are " + name(a->type) + " and " + name(b->type));
  }
  if (a->type != b->type) {
    b = cast(b, a->type);
  }
  mlir::Value x = materialize(a), y = materialize(b);
  if (!x || !y) {
    return nullptr;
  }
  return emit<graph::BinaryOp>(type, *dims, kind, x, y);
}

//===----------------------------------------------------------------------===//
// Select and cast
//===----------------------------------------------------------------------===//

Val Emitter::select(Val condition, Val x, Val y) {
  if (!condition || !x || !y) {
    return nullptr;
  }
  std::optional<Dims> dims = broadcastDims(x->dims, y->dims);
  if (dims) {
    dims = broadcastDims(*dims, condition->dims);
  }
  if (!dims) {
    return fail("cannot broadcast " + toString(condition->dims) + ", " +
                toString(x->dims) + " and " + toString(y->dims));
  }
  if (std::optional<double> known = uniformNumber(condition)) {
    return broadcast(*known != 0 ? x : y, *dims);
  }
  std::optional<std::vector<int64_t>> choice = intsOf(condition);
  std::optional<int64_t> count = graph::numElements(*dims).asConstant();
  if (choice && count && *count <= kMaxEvaluated / 4) {
    std::vector<int64_t> target;
    for (const DimExpr &dim : *dims) {
      target.push_back(*dim.asConstant());
    }
    std::vector<int64_t> shapes[3];
    const Val *sources[3] = {&condition, &x, &y};
    for (int i = 0; i < 3; ++i) {
      shapes[i] = *(*sources[i])->staticDims();
    }
    auto offset = [&](int which, const std::vector<int64_t> &index) {
      return broadcastOffset(index, shapes[which], stridesOf(shapes[which]));
    };
    std::optional<std::vector<double>> fx = floatsOf(x), fy = floatsOf(y);
    if (isFloat(x->type) && fx && fy) {
      std::vector<double> out;
      forEachIndex(target, [&](const std::vector<int64_t> &index) {
        bool first = (*choice)[offset(0, index)] != 0;
        out.push_back(first ? (*fx)[offset(1, index)]
                            : (*fy)[offset(2, index)]);
      });
      return floats(x->type, target, out);
    }
    std::optional<std::vector<DimExpr>> ex = exprsOf(x), ey = exprsOf(y);
    if (ex && ey) {
      std::vector<DimExpr> out;
      forEachIndex(target, [&](const std::vector<int64_t> &index) {
        bool first = (*choice)[offset(0, index)] != 0;
        out.push_back(first ? (*ex)[offset(1, index)]
                            : (*ey)[offset(2, index)]);
      });
      return exprs(x->type, target, out);
    }
  }
  if (x->type != y->type) {
    return fail("operands are " + name(x->type) + " and " + name(y->type));
  }
  return emit<graph::SelectOp>(x->type, *dims, materialize(condition),
                               materialize(x), materialize(y));
}

Val Emitter::cast(Val x, DataType type) {
  if (!x || x->type == type) {
    return x;
  }
  if (x->constant && (x->constant->splat || isSmall(x))) {
    int64_t count = x->constant->splat ? 1 : *x->count();
    std::vector<int64_t> integers;
    std::vector<double> numbers;
    bool viaInt = !isFloat(x->type) && !isFloat(type);
    for (int64_t i = 0; i < count; ++i) {
      integers.push_back(viaInt ? readInt(x->type, x->constant->data, i) : 0);
      numbers.push_back(viaInt ? 0 : readFloat(x->type, x->constant->data, i));
    }
    if (x->constant->splat) {
      return viaInt ? ramp(type, x->dims, {integers[0], 0, 0})
                    : splat(type, x->dims, numbers[0]);
    }
    std::vector<int64_t> dims = *x->staticDims();
    return viaInt ? ints(type, dims, integers) : floats(type, dims, numbers);
  }
  if (type == DataType::Bool && (x->exprs || x->affine)) {
    if (Val known =
            evaluateBinary("ne", x, scalar(x->type, 0), type, x->dims)) {
      return known;
    }
  } else if (x->exprs) {
    return exprs(type, *x->staticDims(), *x->exprs);
  } else if (x->affine) {
    return ramp(type, x->dims, *x->affine);
  }
  if (x->triangle && type == DataType::Bool) {
    auto v = std::make_shared<Value>(*x);
    v->type = type;
    v->value = nullptr;
    return v;
  }
  return emit<graph::CastOp>(type, x->dims, materialize(x));
}

} // namespace llmc::import
