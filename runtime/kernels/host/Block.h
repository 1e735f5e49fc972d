//===- Block.h - Runs of elements in their arithmetic class ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Pointwise and Cast compute in four classes. A register holds a block of
// elements of one class: float, double, int64_t or uint8_t (0 or 1).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_BLOCK_H
#define LLMC_RUNTIME_KERNELS_HOST_BLOCK_H

#include "runtime/kernels/host/Simd.h"

namespace llmc::kernels::LLMC_ISA_NS {

/// Values as in KernelId.h.
enum class Class : uint8_t { F32 = 0, F64 = 1, I64 = 2, Bool = 3 };

LLMC_INLINE Class classOf(DType type) {
  if (isFloat32Like(type)) {
    return Class::F32;
  }
  return type == DType::F64    ? Class::F64
         : type == DType::Bool ? Class::Bool
                               : Class::I64;
}

/// Toward zero; what does not fit becomes the smallest integer, as on x86.
template <class T> LLMC_INLINE int64_t truncate(T value) {
  return value >= T(-9223372036854775808.0) && value < T(9223372036854775808.0)
             ? static_cast<int64_t>(value)
             : INT64_MIN;
}

/// A value of class type From as class type To.
template <class To, class From> LLMC_INLINE To convertValue(From value) {
  if constexpr (std::is_same_v<To, uint8_t>) {
    return value != From(0) ? 1 : 0;
  } else if constexpr (std::is_same_v<To, int64_t> &&
                       std::is_floating_point_v<From>) {
    return truncate(value);
  } else {
    return static_cast<To>(value);
  }
}

/// Calls body(T{}) with the class's type.
template <class Body>
LLMC_INLINE void dispatchClass(Class cls, const Body &body) {
  switch (cls) {
  case Class::F32:
    body(float{});
    break;
  case Class::F64:
    body(double{});
    break;
  case Class::I64:
    body(int64_t{});
    break;
  case Class::Bool:
    body(uint8_t{});
    break;
  }
}

/// out[i] = in[i * stride] for i < n, in the class of the type.
LLMC_INLINE void loadRun(DType type, const void *base, int64_t offset,
                         int64_t stride, int64_t n, void *out) {
  if (isFloat32Like(type)) {
    float *to = static_cast<float *>(out);
    if (stride == 1) {
      toFloats(type, base, offset, to, n);
      return;
    }
    dispatchFloat(type, [&](auto tag) {
      auto *from = static_cast<const decltype(tag) *>(base) + offset;
      if (stride == 0) {
        float value = *from;
        for (int64_t i = 0; i < n; ++i) {
          to[i] = value;
        }
        return;
      }
      for (int64_t i = 0; i < n; ++i) {
        to[i] = from[i * stride];
      }
    });
    return;
  }
  if (type == DType::Bool) {
    auto *from = static_cast<const uint8_t *>(base) + offset;
    auto *to = static_cast<uint8_t *>(out);
    for (int64_t i = 0; i < n; ++i) {
      to[i] = from[i * stride] != 0;
    }
    return;
  }
  if (type == DType::I4 || type == DType::U4) {
    auto *to = static_cast<int64_t *>(out);
    for (int64_t i = 0; i < n; ++i) {
      to[i] = loadInt(type, base, offset + i * stride);
    }
    return;
  }
  dispatchNumeric(type, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T> || std::is_same_v<T, double>) {
      auto *from = static_cast<const T *>(base) + offset;
      auto *to = static_cast<Compute<T> *>(out);
      for (int64_t i = 0; i < n; ++i) {
        to[i] = static_cast<Compute<T>>(from[i * stride]);
      }
    }
  });
}

/// Stores n elements of class `cls` as `type`; integers wrap.
LLMC_INLINE bool storeRun(Class cls, const void *in, DType type, void *base,
                          int64_t offset, int64_t n) {
  if (cls == Class::F32 && isFloat32Like(type)) {
    fromFloats(type, static_cast<const float *>(in), base, offset, n);
    return true;
  }
  bool known = false;
  dispatchClass(cls, [&](auto classTag) {
    using C = decltype(classTag);
    auto *from = static_cast<const C *>(in);
    if (type == DType::Bool) {
      auto *to = static_cast<uint8_t *>(base) + offset;
      for (int64_t i = 0; i < n; ++i) {
        to[i] = convertValue<uint8_t>(from[i]);
      }
      known = true;
      return;
    }
    known = dispatchNumeric(type, [&](auto tag) {
      using T = decltype(tag);
      auto *to = static_cast<T *>(base) + offset;
      for (int64_t i = 0; i < n; ++i) {
        to[i] = static_cast<T>(convertValue<Compute<T>>(from[i]));
      }
    });
  });
  return known;
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_BLOCK_H
