//===- MathFunctions.cpp - exp, tanh, erf and their like ------------------===//
//
// Reductions and polynomials in the manner of Cephes and of N. Juffa's public
// domain float functions. Both sides of a case are computed and one is
// selected: there are no branches but in sin and cos (TrigFunctions.cpp).
//
//===----------------------------------------------------------------------===//

#include "compiler/codegen/VectorBuilder.h"

#include <cmath>

namespace llmc::codegen {

using Value = mlir::Value;

/// Two factors, since 2^n alone may be out of range. The first product is
/// exact, the second one rounds, into the denormals too.
Value VectorBuilder::scale(Value x, Value n) {
  Value half = shiftRight(n, 1);
  Value rest = subInt(n, half);
  auto power = [&](Value e) {
    return fromBits(shiftLeft(addInt(e, i32(127)), 23));
  };
  return mul(mul(x, power(half)), power(rest));
}

/// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) and n. `x` lies in [-174, 89] or is
/// NaN, whose n is of no interest, but must be defined.
std::pair<Value, Value> VectorBuilder::expParts(Value x) {
  Value n = roundEven(mul(x, f32(1.44269504088896341)));
  Value r = fma(n, f32(-0.693145752), x); // exact: few bits
  r = fma(n, f32(-1.42860677e-6), r);
  Value p = polynomial(r, {1.9875691500E-4, 1.3981999507E-3, 8.3334519073E-3,
                           4.1665795894E-2, 1.6666665459E-1, 5.0000001201E-1});
  p = add(fma(p, mul(r, r), r), f32(1));
  Value nan = compare(Compare::Unordered, x, x);
  return {p, toInt(select(nan, f32(0), n))};
}

Value VectorBuilder::exp(Value x) {
  // NaN fails both comparisons and stays. Beyond these all is 0 or inf.
  Value t = select(compare(Compare::Gt, x, f32(89)), f32(89), x);
  t = select(compare(Compare::Lt, t, f32(-105)), f32(-105), t);
  auto [p, n] = expParts(t);
  return scale(p, n);
}

/// x = m 2^e with m in [2/3, 4/3).
Value VectorBuilder::log(Value x) {
  Value tiny = compare(Compare::Lt, x, f32(1.17549435e-38));
  Value normal = select(tiny, mul(x, f32(8388608)), x);
  Value exponent = shiftRight(subInt(bits(normal), i32(0x3f2aaaab)), 23);
  Value m = fromBits(subInt(bits(normal), shiftLeft(exponent, 23)));
  Value e = add(fromInt(exponent), select(tiny, f32(-23), f32(0)));
  Value f = sub(m, f32(1));
  Value s = mul(f, f);
  Value r =
      polynomial(s, {-0.130187988, -0.121483512, -0.166846126, -0.249996200});
  Value t = polynomial(s, {0.140889585, 0.139814854, 0.200120345});
  r = fma(t, f, r);
  r = fma(r, f, f32(0.333331972));
  r = fma(r, f, f32(-0.5));
  r = fma(r, s, f);
  r = fma(e, f32(0.693147182), r);
  Value zero = f32(0);
  r = select(compare(Compare::Lt, x, zero), f32(std::nan("")), r);
  r = select(compare(Compare::Eq, x, zero), f32(-INFINITY), r);
  r = select(compare(Compare::Eq, x, f32(INFINITY)), x, r);
  return select(compare(Compare::Unordered, x, x), x, r);
}

Value VectorBuilder::tanh(Value x) {
  Value t = abs(x);
  Value s = mul(x, x);
  Value p =
      polynomial(s, {-5.70498872745E-3, 2.06390887954E-2, -5.37397155531E-2,
                     1.33314422036E-1, -3.33332819422E-1});
  Value small = fma(mul(p, s), x, x);
  Value large = sub(f32(1), div(f32(2), add(exp(add(t, t)), f32(1))));
  Value result =
      select(compare(Compare::Lt, t, f32(0.625)), small, copySign(large, x));
  return select(compare(Compare::Unordered, x, x), x, result);
}

Value VectorBuilder::erf(Value x) {
  Value t = abs(x);
  Value s = mul(x, x);
  Value r = fma(f32(-1.72853470e-5), t, f32(3.83197126e-4));
  Value u = fma(f32(-3.88396438e-3), t, f32(2.42546219e-2));
  // Beyond 4 the polynomial is not needed: the result is 1.
  r = fma(r, s, u);
  r = fma(r, t, f32(-1.06777877e-1));
  r = fma(r, t, f32(-6.34846687e-1));
  r = fma(r, t, f32(-1.28717512e-1));
  r = fma(r, t, neg(t));
  r = select(compare(Compare::Gt, t, f32(4)), f32(-20), r);
  Value large = copySign(sub(f32(1), exp(r)), x);
  Value p = polynomial(s, {-5.96761703e-4, 4.99119423e-3, -2.67681349e-2,
                           1.12819925e-1, -3.76125336e-1, 1.28379166e-1});
  Value small = fma(p, x, x);
  Value result =
      select(compare(Compare::Gt, t, f32(0.927734375)), large, small);
  return select(compare(Compare::Unordered, x, x), x, result);
}

/// e = exp(-|h + l|) has all of its bits, which 1 + e would lose: left of zero
/// the result is f e / (1 + e), and the power of two in e comes last, since e
/// may be denormal where the result is not.
Value VectorBuilder::logistic(Value high, Value low, Value factor) {
  Value negative = compare(Compare::Lt, high, f32(0));
  Value t = neg(abs(high));
  t = select(compare(Compare::Lt, t, f32(-174)), f32(-174), t);
  auto [p, n] = expParts(t);
  if (low) {
    // exp(-|h + l|) = e (1 - sign(h) l); at infinity l is NaN.
    Value signedLow = select(negative, low, neg(low));
    Value small = compare(Compare::Gt, t, f32(-174));
    p = select(small, fma(p, signedLow, p), p);
  }
  Value below = add(f32(1), scale(p, n));
  Value f = f32(1);
  if (factor) {
    // Left of this all is -0, but for -inf, which is inf * 0.
    f = select(compare(Compare::Lt, factor, f32(-256)), f32(-256), factor);
  }
  Value q = div(select(negative, mul(f, p), f), below);
  q = select(negative, scale(q, n), q);
  return factor ? select(compare(Compare::Eq, factor, f32(-INFINITY)),
                         f32(std::nan("")), q)
                : q;
}

Value VectorBuilder::sigmoid(Value x) { return logistic(x, {}, {}); }

Value VectorBuilder::silu(Value x) { return logistic(x, {}, x); }

Value VectorBuilder::quickGelu(Value x) {
  constexpr double kFactor = 1.702;
  constexpr float kHigh = kFactor;
  Value high = mul(x, f32(kHigh));
  Value low = fma(x, f32(kHigh), neg(high));
  low = fma(x, f32(kFactor - double(kHigh)), low);
  return logistic(high, low, x);
}

/// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), 2 u = x (a + b x^2); errors of 2 u
/// would show in its exponential, so it has two parts.
Value VectorBuilder::geluTanh(Value x) {
  const double a = 2 * std::sqrt(2 / M_PI);
  const double c = a * 0.044715;
  const float aHigh = static_cast<float>(a), cHigh = static_cast<float>(c);
  // Beyond this the exponential is 0 or 1, and squares would overflow.
  Value t = select(compare(Compare::Gt, x, f32(30)), f32(30), x);
  t = select(compare(Compare::Lt, t, f32(-30)), f32(-30), t);
  Value s = mul(t, t);
  Value sLow = fma(t, t, neg(s));
  Value cs = mul(s, f32(cHigh));
  Value csLow = fma(s, f32(cHigh), neg(cs));
  csLow = fma(sLow, f32(cHigh), csLow);
  csLow = fma(s, f32(c - double(cHigh)), csLow);
  Value v = add(cs, f32(aHigh));
  // Knuth's sum: exact whichever is larger.
  Value back = sub(v, cs);
  Value vLow = add(sub(cs, sub(v, back)), sub(f32(aHigh), back));
  vLow = add(vLow, add(csLow, f32(a - double(aHigh))));
  Value high = mul(t, v);
  Value low = fma(t, v, neg(high));
  low = fma(t, vLow, low);
  return logistic(high, low, x);
}

/// x Phi(x), Phi(-t) = exp(-t^2 / 2) g(1 / (1 + t / sqrt 8)) with t^2 / 2 in
/// two parts; g is half of the scaled complementary error function.
Value VectorBuilder::geluErf(Value x) {
  Value t = abs(x);
  t = select(compare(Compare::Gt, t, f32(16)), f32(16), t);
  Value half = mul(t, f32(0.5));
  Value square = mul(half, t);
  Value squareLow = fma(half, t, neg(square));
  Value w = div(f32(1), fma(t, f32(0.35355339059327376), f32(1)));
  Value g = polynomial(w, {0.03239865218293842 / 2, -0.17162890148374205 / 2,
                           0.3325686609572774 / 2, -0.21899328478139352 / 2,
                           -0.08664944203613116 / 2, 0.07456794739096002 / 2,
                           0.03905751788366699 / 2, 0.18979546880405754 / 2,
                           0.24447910946745166 / 2, 0.28231842769529236 / 2,
                           0.28208584591177005 / 2});
  g = mul(g, w);
  g = fma(neg(squareLow), g, g);
  // The power of two comes last: it may be denormal where the result is not.
  auto [p, n] = expParts(neg(square));
  Value lower = scale(mul(mul(copySign(t, x), g), p), n);
  Value result = select(compare(Compare::Lt, x, f32(0)), lower, sub(x, lower));
  // -inf is inf * 0.
  result = select(compare(Compare::Eq, x, f32(-INFINITY)), f32(std::nan("")),
                  result);
  return select(compare(Compare::Unordered, x, x), x, result);
}

/// max(x, 0) + log(1 + e), e = exp(-|x|); what 1 + e rounds off is added.
Value VectorBuilder::softplus(Value x) {
  Value e = exp(neg(abs(x)));
  Value u = add(f32(1), e);
  Value lost = sub(e, sub(u, f32(1)));
  Value tail = add(log(u), div(lost, u));
  Value base = select(compare(Compare::Gt, x, f32(0)), x, f32(0));
  return select(compare(Compare::Unordered, x, x), x, add(base, tail));
}

} // namespace llmc::codegen
