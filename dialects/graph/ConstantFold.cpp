//===- ConstantFold.cpp - Arithmetic on small constants --------*- C++ -*-===//

#include "dialects/graph/ConstantFold.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

using namespace mlir;

namespace llmc::graph {

std::optional<Elements> readElements(Attribute attr) {
  auto dense = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!dense) {
    return std::nullopt;
  }
  Elements elements;
  elements.isSplat = dense.isSplat();
  int64_t count = elements.isSplat ? 1 : dense.getNumElements();
  if (count > 16384) {
    return std::nullopt;
  }
  Type type = dense.getElementType();
  if (isa<FloatType>(type)) {
    elements.isFloat = true;
    auto values = dense.getValues<APFloat>();
    for (int64_t i = 0; i < count; ++i) {
      APFloat value = *(values.begin() + i);
      bool losesInfo = false;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                    &losesInfo);
      elements.floats.push_back(value.convertToDouble());
    }
    return elements;
  }
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer || integer.getWidth() > 64) {
    return std::nullopt;
  }
  bool zeroExtend = integer.isUnsigned() || integer.getWidth() == 1;
  auto values = dense.getValues<APInt>();
  for (int64_t i = 0; i < count; ++i) {
    APInt value = *(values.begin() + i);
    elements.integers.push_back(zeroExtend
                                    ? static_cast<int64_t>(value.getZExtValue())
                                    : value.getSExtValue());
  }
  return elements;
}

DenseElementsAttr makeElements(RankedTensorType type,
                               const Elements &elements) {
  int64_t count = type.getNumElements();
  if (elements.size() != 1 && static_cast<int64_t>(elements.size()) != count) {
    return {};
  }
  if (elements.size() > static_cast<size_t>(kMaxFoldedElements)) {
    return {};
  }
  if (auto floatType = dyn_cast<FloatType>(type.getElementType())) {
    SmallVector<APFloat> values;
    for (double element : elements.floats) {
      APFloat value(element);
      bool losesInfo = false;
      value.convert(floatType.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                    &losesInfo);
      values.push_back(value);
    }
    return elements.isFloat ? DenseElementsAttr::get(type, values)
                            : DenseElementsAttr();
  }
  auto integer = dyn_cast<IntegerType>(type.getElementType());
  if (!integer || elements.isFloat) {
    return {};
  }
  SmallVector<APInt> values;
  for (int64_t element : elements.integers) {
    values.push_back(APInt(integer.getWidth(), static_cast<uint64_t>(element),
                           /*isSigned=*/true, /*implicitTrunc=*/true));
  }
  return DenseElementsAttr::get(type, values);
}

static std::optional<double> evaluate(StringRef kind, double x) {
  using Function = double (*)(double);
  auto function =
      llvm::StringSwitch<Function>(kind)
          .Case("neg", [](double v) { return -v; })
          .Case("abs", [](double v) { return std::fabs(v); })
          .Case("exp", [](double v) { return std::exp(v); })
          .Case("log", [](double v) { return std::log(v); })
          .Case("sqrt", [](double v) { return std::sqrt(v); })
          .Case("rsqrt", [](double v) { return 1.0 / std::sqrt(v); })
          .Case("reciprocal", [](double v) { return 1.0 / v; })
          .Case("sin", [](double v) { return std::sin(v); })
          .Case("cos", [](double v) { return std::cos(v); })
          .Case("tan", [](double v) { return std::tan(v); })
          .Case("tanh", [](double v) { return std::tanh(v); })
          .Case("erf", [](double v) { return std::erf(v); })
          .Case("floor", [](double v) { return std::floor(v); })
          .Case("ceil", [](double v) { return std::ceil(v); })
          .Case("round", [](double v) { return std::nearbyint(v); })
          .Case("square", [](double v) { return v * v; })
          .Default(nullptr);
  return function ? std::optional<double>(function(x)) : std::nullopt;
}

static std::optional<int64_t> evaluate(StringRef kind, int64_t x) {
  if (kind == "not") {
    return x == 0;
  }
  if (kind == "neg") {
    return -x;
  }
  if (kind == "abs") {
    return std::abs(x);
  }
  if (kind == "square") {
    return x * x;
  }
  return std::nullopt;
}

Attribute foldUnary(StringRef kind, Attribute x, RankedTensorType result) {
  std::optional<Elements> in = readElements(x);
  if (!in || !result.hasStaticShape()) {
    return {};
  }
  Elements out;
  out.isFloat = isa<FloatType>(result.getElementType());
  for (size_t i = 0; i < in->size(); ++i) {
    if (in->isFloat && out.isFloat) {
      std::optional<double> value = evaluate(kind, in->floats[i]);
      if (!value) {
        return {};
      }
      out.floats.push_back(*value);
    } else if (in->isFloat) {
      if (kind != "is_nan" && kind != "is_inf") {
        return {};
      }
      out.integers.push_back(kind == "is_nan" ? std::isnan(in->floats[i])
                                              : std::isinf(in->floats[i]));
    } else {
      std::optional<int64_t> value = evaluate(kind, in->integers[i]);
      if (!value || out.isFloat) {
        return {};
      }
      out.integers.push_back(*value);
    }
  }
  return makeElements(result, out);
}

template <typename T>
static std::optional<bool> compare(StringRef kind, T a, T b) {
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
  return std::nullopt;
}

static std::optional<double> evaluate(StringRef kind, double a, double b) {
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
    return a / b;
  }
  if (kind == "pow") {
    return std::pow(a, b);
  }
  if (kind == "min") {
    return std::isnan(a) || std::isnan(b) ? NAN : std::fmin(a, b);
  }
  if (kind == "max") {
    return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b);
  }
  return std::nullopt;
}

static std::optional<int64_t> evaluate(StringRef kind, int64_t a, int64_t b) {
  auto wrap = [](uint64_t value) { return static_cast<int64_t>(value); };
  uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  if (kind == "add") {
    return wrap(ua + ub);
  }
  if (kind == "sub") {
    return wrap(ua - ub);
  }
  if (kind == "mul") {
    return wrap(ua * ub);
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
  if (b == 0 || b == -1) {
    return std::nullopt; // division: leave the hard cases to run time
  }
  if (kind == "div") {
    return a / b;
  }
  if (kind == "fmod") {
    return a % b;
  }
  if (kind == "mod") {
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  return std::nullopt;
}

/// Calls `body` with the multi-dimensional index of every element in order.
static void forEachIndex(ArrayRef<int64_t> shape,
                         llvm::function_ref<void(ArrayRef<int64_t>)> body) {
  SmallVector<int64_t> index(shape.size(), 0);
  int64_t count = 1;
  for (int64_t extent : shape) {
    count *= extent;
  }
  for (int64_t n = 0; n < count; ++n) {
    body(index);
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) {
        break;
      }
      index[d] = 0;
    }
  }
}

/// The linear position in an operand that broadcasts to the result.
static int64_t broadcastPosition(ArrayRef<int64_t> operand,
                                 ArrayRef<int64_t> index) {
  int64_t position = 0;
  size_t skip = index.size() - operand.size();
  for (size_t d = 0; d < operand.size(); ++d) {
    position = position * operand[d] + (operand[d] == 1 ? 0 : index[skip + d]);
  }
  return position;
}

/// For each element of the result (once if all are splats): `body` gets the
/// positions in the operands; false stops.
static bool forEachBroadcast(ArrayRef<Attribute> attrs,
                             ArrayRef<const Elements *> operands,
                             RankedTensorType result,
                             llvm::function_ref<bool(ArrayRef<size_t>)> body) {
  SmallVector<size_t> positions(operands.size(), 0);
  bool allSplat = true;
  for (const Elements *operand : operands) {
    allSplat &= operand->isSplat;
  }
  if (allSplat) {
    return body(positions);
  }
  if (result.getNumElements() > kMaxFoldedElements) {
    return false;
  }
  bool going = true;
  forEachIndex(result.getShape(), [&](ArrayRef<int64_t> index) {
    for (auto [i, attr] : llvm::enumerate(attrs)) {
      positions[i] =
          operands[i]->isSplat
              ? 0
              : broadcastPosition(
                    cast<ShapedType>(cast<DenseElementsAttr>(attr).getType())
                        .getShape(),
                    index);
    }
    going = going && body(positions);
  });
  return going;
}

Attribute foldBinary(StringRef kind, Attribute lhs, Attribute rhs,
                     RankedTensorType result) {
  std::optional<Elements> a = readElements(lhs), b = readElements(rhs);
  if (!a || !b || !result.hasStaticShape() || a->isFloat != b->isFloat) {
    return {};
  }
  Elements out;
  out.isFloat = isa<FloatType>(result.getElementType());
  bool done = forEachBroadcast(
      {lhs, rhs}, {&*a, &*b}, result, [&](ArrayRef<size_t> at) {
        if (a->isFloat && out.isFloat) {
          auto value = evaluate(kind, a->floats[at[0]], b->floats[at[1]]);
          out.floats.push_back(value.value_or(0));
          return value.has_value();
        }
        std::optional<int64_t> value;
        if (auto truth =
                a->isFloat
                    ? compare(kind, a->floats[at[0]], b->floats[at[1]])
                    : compare(kind, a->integers[at[0]], b->integers[at[1]])) {
          value = *truth;
        } else if (!a->isFloat && !out.isFloat) {
          value = evaluate(kind, a->integers[at[0]], b->integers[at[1]]);
        }
        out.integers.push_back(value.value_or(0));
        return value.has_value();
      });
  return done ? makeElements(result, out) : Attribute();
}

Attribute foldSelect(Attribute cond, Attribute x, Attribute y,
                     RankedTensorType result) {
  std::optional<Elements> c = readElements(cond), a = readElements(x),
                          b = readElements(y);
  if (!c || !a || !b || !result.hasStaticShape()) {
    return {};
  }
  Elements out;
  out.isFloat = a->isFloat;
  bool done = forEachBroadcast(
      {cond, x, y}, {&*c, &*a, &*b}, result, [&](ArrayRef<size_t> at) {
        const Elements &from = c->integers[at[0]] ? *a : *b;
        size_t position = c->integers[at[0]] ? at[1] : at[2];
        if (out.isFloat) {
          out.floats.push_back(from.floats[position]);
        } else {
          out.integers.push_back(from.integers[position]);
        }
        return true;
      });
  return done ? makeElements(result, out) : Attribute();
}

Attribute foldCast(Attribute x, RankedTensorType result) {
  std::optional<Elements> in = readElements(x);
  if (!in || !result.hasStaticShape()) {
    return {};
  }
  Elements out;
  out.isFloat = isa<FloatType>(result.getElementType());
  bool toBool = result.getElementType().isInteger(1);
  for (size_t i = 0; i < in->size(); ++i) {
    if (out.isFloat) {
      out.floats.push_back(in->isFloat ? in->floats[i]
                                       : static_cast<double>(in->integers[i]));
    } else if (toBool) {
      out.integers.push_back(in->isFloat ? in->floats[i] != 0
                                         : in->integers[i] != 0);
    } else if (in->isFloat) {
      double value = std::trunc(in->floats[i]);
      if (!(std::fabs(value) < 9.0e18)) {
        return {}; // NaN and what does not fit: as the machine has it
      }
      out.integers.push_back(static_cast<int64_t>(value));
    } else {
      out.integers.push_back(in->integers[i]);
    }
  }
  return makeElements(result, out);
}

Attribute foldRearrange(Attribute x, RankedTensorType result,
                        std::function<int64_t(ArrayRef<int64_t>)> source) {
  std::optional<Elements> in = readElements(x);
  if (!in || !result.hasStaticShape()) {
    return {};
  }
  if (in->isSplat) {
    return makeElements(result, *in);
  }
  if (result.getNumElements() > kMaxFoldedElements) {
    return {};
  }
  Elements out;
  out.isFloat = in->isFloat;
  bool inside = true;
  forEachIndex(result.getShape(), [&](ArrayRef<int64_t> index) {
    int64_t position = source(index);
    if (position < 0 || position >= static_cast<int64_t>(in->size())) {
      inside = false;
      return;
    }
    if (out.isFloat) {
      out.floats.push_back(in->floats[position]);
    } else {
      out.integers.push_back(in->integers[position]);
    }
  });
  return inside ? makeElements(result, out) : Attribute();
}

} // namespace llmc::graph
