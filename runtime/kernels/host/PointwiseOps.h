//===- PointwiseOps.h - What each element-wise op does to a block ---------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Loops over n elements of one class, for the interpreter in Pointwise.cpp
// alone; compiled once per instruction set with it. A function gives false
// for an op that its class does not have.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_POINTWISEOPS_H
#define LLMC_RUNTIME_KERNELS_HOST_POINTWISEOPS_H

#include "runtime/kernels/host/Block.h"
#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Math.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

using plan::PointwiseOp;

bool isUnary(PointwiseOp op) {
  auto value = static_cast<int>(op);
  return op == PointwiseOp::Cast || (value >= 10 && value <= 36);
}
bool isCompare(PointwiseOp op) {
  auto value = static_cast<int>(op);
  return value >= 70 && value <= 75;
}
bool isBinary(PointwiseOp op) {
  auto value = static_cast<int>(op);
  return (value >= 50 && value <= 61) || isCompare(op);
}
int numOperands(PointwiseOp op) {
  return op == PointwiseOp::Const    ? 0
         : isUnary(op)               ? 1
         : isBinary(op)              ? 2
         : op == PointwiseOp::Select ? 3
                                     : -1;
}

template <class T, class R, class Fn>
LLMC_INLINE void map1(const void *a, void *out, int64_t n, const Fn &fn) {
  auto *x = static_cast<const T *>(a);
  auto *__restrict to = static_cast<R *>(out);
  for (int64_t i = 0; i < n; ++i) {
    to[i] = fn(x[i]);
  }
}
template <class T, class R, class Fn>
LLMC_INLINE void map2(const void *a, const void *b, void *out, int64_t n,
                      const Fn &fn) {
  auto *x = static_cast<const T *>(a);
  auto *y = static_cast<const T *>(b);
  auto *__restrict to = static_cast<R *>(out);
  for (int64_t i = 0; i < n; ++i) {
    to[i] = fn(x[i], y[i]);
  }
}

template <class T>
bool unaryFloat(PointwiseOp op, const void *a, void *out, int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    auto *x = static_cast<const float *>(a);
    auto *to = static_cast<float *>(out);
    switch (op) {
    case PointwiseOp::Exp:
      vmap(x, to, n, [](VF v) { return vexp(v); });
      return true;
    case PointwiseOp::Sigmoid:
      vmap(x, to, n, [](VF v) { return vsigmoid(v); });
      return true;
    case PointwiseOp::Silu:
      vmap(x, to, n, [](VF v) { return vsilu(v); });
      return true;
    case PointwiseOp::QuickGelu:
      vmap(x, to, n, [](VF v) { return vquickGelu(v); });
      return true;
    case PointwiseOp::Tanh:
      vmap(x, to, n, [](VF v) { return vtanh(v); });
      return true;
    case PointwiseOp::Erf:
      vmap(x, to, n, [](VF v) { return verf(v); });
      return true;
    case PointwiseOp::GeluErf:
      vmap(x, to, n, [](VF v) { return vgeluErf(v); });
      return true;
    case PointwiseOp::GeluTanh:
      vmap(x, to, n, [](VF v) { return vgeluTanh(v); });
      return true;
    default:
      break;
    }
  }
  constexpr bool kSingle = std::is_same_v<T, float>;
  auto each = [&](auto fn) { map1<T, T>(a, out, n, fn); };
#define LLMC_LIBM(name) (kSingle ? T(name##f(float(x))) : T(name(double(x))))
  switch (op) {
  case PointwiseOp::Neg:
    each([](T x) { return -x; });
    return true;
  case PointwiseOp::Abs:
    each([](T x) { return x < 0 ? -x : (x == 0 ? T(0) : x); });
    return true;
  case PointwiseOp::Exp:
    each([](T x) { return LLMC_LIBM(exp); });
    return true;
  case PointwiseOp::Log:
    each([](T x) { return LLMC_LIBM(log); });
    return true;
  case PointwiseOp::Sqrt:
    each([](T x) { return LLMC_LIBM(sqrt); });
    return true;
  case PointwiseOp::Rsqrt:
    each([](T x) { return T(1) / LLMC_LIBM(sqrt); });
    return true;
  case PointwiseOp::Reciprocal:
    each([](T x) { return T(1) / x; });
    return true;
  case PointwiseOp::Sin:
    each([](T x) { return LLMC_LIBM(sin); });
    return true;
  case PointwiseOp::Cos:
    each([](T x) { return LLMC_LIBM(cos); });
    return true;
  case PointwiseOp::Tan:
    each([](T x) { return LLMC_LIBM(tan); });
    return true;
  case PointwiseOp::Tanh:
    each([](T x) { return LLMC_LIBM(tanh); });
    return true;
  case PointwiseOp::Erf:
    each([](T x) { return LLMC_LIBM(erf); });
    return true;
  case PointwiseOp::Sigmoid:
    each([](T x) { return T(1 / (1 + exp(-double(x)))); });
    return true;
  case PointwiseOp::Silu:
    each([](T x) { return T(x / (1 + exp(-double(x)))); });
    return true;
  case PointwiseOp::QuickGelu:
    each([](T x) { return T(x / (1 + exp(-1.702 * double(x)))); });
    return true;
  case PointwiseOp::Relu:
    each([](T x) { return x < 0 ? T(0) : x; });
    return true;
  case PointwiseOp::GeluErf:
    each([](T x) { return T(geluErf(double(x))); });
    return true;
  case PointwiseOp::GeluTanh:
    each([](T x) { return T(geluTanh(double(x))); });
    return true;
  case PointwiseOp::Floor:
    each([](T x) { return LLMC_LIBM(floor); });
    return true;
  case PointwiseOp::Ceil:
    each([](T x) { return LLMC_LIBM(ceil); });
    return true;
  case PointwiseOp::Round:
    each([](T x) { return LLMC_LIBM(rint); });
    return true;
  case PointwiseOp::Sign:
    each([](T x) { return x > 0 ? T(1) : (x < 0 ? T(-1) : x); });
    return true;
  case PointwiseOp::Softplus:
    // log(1 + e^x) without overflow.
    each([](T t) {
      T x = -(t < 0 ? -t : t);
      T tail = kSingle ? T(log1pf(expf(float(x)))) : T(log1p(exp(double(x))));
      return (t > 0 ? t : (t == t ? T(0) : t)) + tail;
    });
    return true;
  case PointwiseOp::Square:
    each([](T x) { return x * x; });
    return true;
  default:
    return false;
  }
}

LLMC_INLINE int64_t wrap(uint64_t value) { return static_cast<int64_t>(value); }
LLMC_INLINE uint64_t raw(int64_t value) { return static_cast<uint64_t>(value); }

bool unaryInt(PointwiseOp op, const void *a, void *out, int64_t n) {
  auto each = [&](auto fn) { map1<int64_t, int64_t>(a, out, n, fn); };
  switch (op) {
  case PointwiseOp::Neg:
    each([](int64_t x) { return wrap(-raw(x)); });
    return true;
  case PointwiseOp::Abs:
    each([](int64_t x) { return x < 0 ? wrap(-raw(x)) : x; });
    return true;
  case PointwiseOp::Relu:
    each([](int64_t x) { return x < 0 ? int64_t{0} : x; });
    return true;
  case PointwiseOp::Sign:
    each([](int64_t x) { return int64_t{x > 0} - int64_t{x < 0}; });
    return true;
  case PointwiseOp::Square:
    each([](int64_t x) { return wrap(raw(x) * raw(x)); });
    return true;
  case PointwiseOp::Not: // bitwise
    each([](int64_t x) { return ~x; });
    return true;
  case PointwiseOp::Floor:
  case PointwiseOp::Ceil:
  case PointwiseOp::Round:
    each([](int64_t x) { return x; });
    return true;
  default:
    return false;
  }
}

template <class T>
bool binaryFloat(PointwiseOp op, const void *a, const void *b, bool bUniform,
                 void *out, int64_t n) {
  constexpr bool kSingle = std::is_same_v<T, float>;
  auto each = [&](auto fn) { map2<T, T>(a, b, out, n, fn); };
  switch (op) {
  case PointwiseOp::Add:
    each([](T x, T y) { return x + y; });
    return true;
  case PointwiseOp::Sub:
    each([](T x, T y) { return x - y; });
    return true;
  case PointwiseOp::Mul:
    each([](T x, T y) { return x * y; });
    return true;
  case PointwiseOp::Div:
    each([](T x, T y) { return x / y; });
    return true;
  case PointwiseOp::Min: // NaN in either stays
    each([](T x, T y) { return x < y || x != x ? x : y; });
    return true;
  case PointwiseOp::Max:
    each([](T x, T y) { return x > y || x != x ? x : y; });
    return true;
  case PointwiseOp::Pow: {
    T power = *static_cast<const T *>(b);
    if (bUniform && power == T(2)) {
      each([](T x, T) { return x * x; });
    } else if (bUniform && power == T(3)) {
      each([](T x, T) { return x * x * x; });
    } else {
      each([](T x, T y) {
        return kSingle ? T(powf(float(x), float(y)))
                       : T(pow(double(x), double(y)));
      });
    }
    return true;
  }
  case PointwiseOp::FMod:
    each([](T x, T y) {
      return kSingle ? T(fmodf(float(x), float(y)))
                     : T(fmod(double(x), double(y)));
    });
    return true;
  case PointwiseOp::Mod:
    each([](T x, T y) {
      T r = kSingle ? T(fmodf(float(x), float(y)))
                    : T(fmod(double(x), double(y)));
      return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    });
    return true;
  default:
    return false;
  }
}

/// Division by zero gives zero rather than a signal.
LLMC_INLINE int64_t divide(int64_t x, int64_t y) {
  return y == 0 ? 0 : (y == -1 ? wrap(-raw(x)) : x / y);
}
LLMC_INLINE int64_t remainder(int64_t x, int64_t y) {
  return y == 0 || y == -1 ? 0 : x % y;
}
LLMC_INLINE int64_t power(int64_t x, int64_t y) {
  if (y < 0) {
    return x == 1 ? 1 : (x == -1 ? (y % 2 ? -1 : 1) : 0);
  }
  uint64_t result = 1;
  for (uint64_t base = raw(x); y > 0; y >>= 1, base *= base) {
    if (y & 1) {
      result *= base;
    }
  }
  return wrap(result);
}

bool binaryInt(PointwiseOp op, const void *a, const void *b, void *out,
               int64_t n) {
  auto each = [&](auto fn) { map2<int64_t, int64_t>(a, b, out, n, fn); };
  switch (op) {
  case PointwiseOp::Add:
    each([](int64_t x, int64_t y) { return wrap(raw(x) + raw(y)); });
    return true;
  case PointwiseOp::Sub:
    each([](int64_t x, int64_t y) { return wrap(raw(x) - raw(y)); });
    return true;
  case PointwiseOp::Mul:
    each([](int64_t x, int64_t y) { return wrap(raw(x) * raw(y)); });
    return true;
  case PointwiseOp::Div:
    each([](int64_t x, int64_t y) { return divide(x, y); });
    return true;
  case PointwiseOp::Min:
    each([](int64_t x, int64_t y) { return x < y ? x : y; });
    return true;
  case PointwiseOp::Max:
    each([](int64_t x, int64_t y) { return x > y ? x : y; });
    return true;
  case PointwiseOp::Pow:
    each([](int64_t x, int64_t y) { return power(x, y); });
    return true;
  case PointwiseOp::FMod:
    each([](int64_t x, int64_t y) { return remainder(x, y); });
    return true;
  case PointwiseOp::Mod:
    each([](int64_t x, int64_t y) {
      int64_t r = remainder(x, y);
      return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    });
    return true;
  case PointwiseOp::And:
    each([](int64_t x, int64_t y) { return x & y; });
    return true;
  case PointwiseOp::Or:
    each([](int64_t x, int64_t y) { return x | y; });
    return true;
  case PointwiseOp::Xor:
    each([](int64_t x, int64_t y) { return x ^ y; });
    return true;
  default:
    return false;
  }
}

bool binaryBool(PointwiseOp op, const void *a, const void *b, void *out,
                int64_t n) {
  auto each = [&](auto fn) { map2<uint8_t, uint8_t>(a, b, out, n, fn); };
  switch (op) {
  case PointwiseOp::And:
  case PointwiseOp::Mul:
  case PointwiseOp::Min:
    each([](uint8_t x, uint8_t y) { return uint8_t(x & y); });
    return true;
  case PointwiseOp::Or:
  case PointwiseOp::Add:
  case PointwiseOp::Max:
    each([](uint8_t x, uint8_t y) { return uint8_t(x | y); });
    return true;
  case PointwiseOp::Xor:
    each([](uint8_t x, uint8_t y) { return uint8_t(x ^ y); });
    return true;
  default:
    return false;
  }
}

template <class T>
bool compare(PointwiseOp op, const void *a, const void *b, void *out,
             int64_t n) {
  auto each = [&](auto fn) { map2<T, uint8_t>(a, b, out, n, fn); };
  switch (op) {
  case PointwiseOp::Eq:
    each([](T x, T y) { return uint8_t(x == y); });
    return true;
  case PointwiseOp::Ne:
    each([](T x, T y) { return uint8_t(x != y); });
    return true;
  case PointwiseOp::Lt:
    each([](T x, T y) { return uint8_t(x < y); });
    return true;
  case PointwiseOp::Le:
    each([](T x, T y) { return uint8_t(x <= y); });
    return true;
  case PointwiseOp::Gt:
    each([](T x, T y) { return uint8_t(x > y); });
    return true;
  case PointwiseOp::Ge:
    each([](T x, T y) { return uint8_t(x >= y); });
    return true;
  default:
    return false;
  }
}

void convertBlock(Class from, const void *in, Class to, void *out, int64_t n) {
  dispatchClass(from, [&](auto fromTag) {
    dispatchClass(to, [&](auto toTag) {
      using F = decltype(fromTag);
      using T = decltype(toTag);
      map1<F, T>(in, out, n, [](F x) { return convertValue<T>(x); });
    });
  });
}

/// The class that operands of a comparison meet in.
Class common(Class a, Class b) {
  if (a == b) {
    return a;
  }
  if (a == Class::F64 || b == Class::F64) {
    return Class::F64;
  }
  return a == Class::F32 || b == Class::F32 ? Class::F32 : Class::I64;
}

} // namespace

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_POINTWISEOPS_H
