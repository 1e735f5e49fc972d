//===- Support.h - Shared by the host kernels ------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Element types, conversions and small views. Some files are compiled once per
// instruction set, so everything inline lives in a namespace named after the
// instruction set: the linker must never replace a baseline copy by one that
// needs AVX-512.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_SUPPORT_H
#define LLMC_RUNTIME_KERNELS_HOST_SUPPORT_H

#include "runtime/kernels/Kernel.h"
#include "runtime/kernels/ThreadPool.h"

#include <bit>
#include <cstring>
#include <type_traits>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#ifndef LLMC_ISA_NS
#define LLMC_ISA_NS v2
#endif

#define LLMC_INLINE inline __attribute__((always_inline))
#define LLMC_INLINE_LAMBDA __attribute__((always_inline))

namespace llmc::kernels::LLMC_ISA_NS {

using plan::DType;

LLMC_INLINE float halfToFloat(uint16_t h) {
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 31;
  uint32_t mantissa = h & 1023;
  if (exponent == 0) {
    float value = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  uint32_t biased = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (biased << 23) | (mantissa << 13));
#endif
}

LLMC_INLINE uint16_t floatToHalf(float f) {
#if defined(__F16C__)
  return _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  uint32_t bits = std::bit_cast<uint32_t>(f);
  uint32_t sign = (bits >> 16) & 0x8000;
  bits &= 0x7fffffff;
  if (bits >= 0x7f800000) {
    uint32_t nan =
        bits > 0x7f800000 ? 0x200 | ((bits >> 13) & 0x3ff) : uint32_t{0};
    return static_cast<uint16_t>(sign | 0x7c00 | nan);
  }
  if (bits >= 0x477ff000) { // rounds to infinity
    return static_cast<uint16_t>(sign | 0x7c00);
  }
  if (bits < 0x38800000) { // 0.5 has the unit of a subnormal half
    float shifted = std::bit_cast<float>(bits) + 0.5f;
    return static_cast<uint16_t>(
        sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return static_cast<uint16_t>(sign | ((bits >> 13) - (112 << 10)));
#endif
}

LLMC_INLINE float bfloatToFloat(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

LLMC_INLINE uint16_t floatToBfloat(float f) {
  uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return static_cast<uint16_t>((bits >> 16) | 0x40);
  }
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// Storage types of f16 and bf16, convertible from and to float.
struct Half {
  uint16_t bits;
  Half() = default;
  LLMC_INLINE Half(float f) : bits(floatToHalf(f)) {}
  LLMC_INLINE operator float() const { return halfToFloat(bits); }
};
struct BFloat {
  uint16_t bits;
  BFloat() = default;
  LLMC_INLINE BFloat(float f) : bits(floatToBfloat(f)) {}
  LLMC_INLINE operator float() const { return bfloatToFloat(bits); }
};

/// What arithmetic on a storage type is done in.
template <class T> struct ComputeType {
  using type = std::conditional_t<std::is_integral_v<T>, int64_t, T>;
};
template <> struct ComputeType<Half> {
  using type = float;
};
template <> struct ComputeType<BFloat> {
  using type = float;
};
template <class T> using Compute = typename ComputeType<T>::type;

constexpr const char *kUnsupported = "unsupported data type";
constexpr const char *kOutOfRange = "index out of range";
constexpr const char *kBadShape = "operand shapes do not fit together";

LLMC_INLINE bool isFloat32Like(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}
LLMC_INLINE bool isFloat(DType type) {
  return isFloat32Like(type) || type == DType::F64;
}

/// Calls body(T{}) with the storage type; false if the type is none of them.
template <class Body>
LLMC_INLINE bool dispatchFloat(DType type, const Body &body) {
  switch (type) {
  case DType::F32:
    body(float{});
    return true;
  case DType::F16:
    body(Half{});
    return true;
  case DType::BF16:
    body(BFloat{});
    return true;
  default:
    return false;
  }
}

template <class Body>
LLMC_INLINE bool dispatchNumeric(DType type, const Body &body) {
  switch (type) {
  case DType::F64:
    body(double{});
    return true;
  case DType::I8:
    body(int8_t{});
    return true;
  case DType::U8:
  case DType::Bool:
    body(uint8_t{});
    return true;
  case DType::I16:
    body(int16_t{});
    return true;
  case DType::U16:
    body(uint16_t{});
    return true;
  case DType::I32:
    body(int32_t{});
    return true;
  case DType::U32:
    body(uint32_t{});
    return true;
  case DType::I64:
    body(int64_t{});
    return true;
  case DType::U64:
    body(uint64_t{});
    return true;
  default:
    return dispatchFloat(type, body);
  }
}

template <class T> LLMC_INLINE T *data(const Tensor &tensor) {
  return static_cast<T *>(tensor.data);
}

LLMC_INLINE int64_t count(const Tensor &tensor, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; ++i) {
    n *= tensor.dims[i];
  }
  return n;
}
LLMC_INLINE int64_t count(const Tensor &tensor) {
  return count(tensor, 0, tensor.rank);
}

/// Bytes of one element, 0 for the packed 4-bit types.
LLMC_INLINE int64_t elementBytes(DType type) {
  return plan::bitWidth(type) / 8;
}

LLMC_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
LLMC_INLINE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
LLMC_INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// `axis` counted from the front; -1 if it is out of range.
LLMC_INLINE int normalAxis(int64_t axis, int rank) {
  axis = axis < 0 ? axis + rank : axis;
  return axis < 0 || axis >= rank ? -1 : static_cast<int>(axis);
}

LLMC_INLINE float loadFloat(DType type, const void *base, int64_t i) {
  switch (type) {
  case DType::F16:
    return static_cast<const Half *>(base)[i];
  case DType::BF16:
    return static_cast<const BFloat *>(base)[i];
  case DType::F64:
    return static_cast<float>(static_cast<const double *>(base)[i]);
  default:
    return static_cast<const float *>(base)[i];
  }
}
LLMC_INLINE void storeFloat(DType type, void *base, int64_t i, float value) {
  switch (type) {
  case DType::F16:
    static_cast<Half *>(base)[i] = value;
    break;
  case DType::BF16:
    static_cast<BFloat *>(base)[i] = value;
    break;
  case DType::F64:
    static_cast<double *>(base)[i] = value;
    break;
  default:
    static_cast<float *>(base)[i] = value;
  }
}

/// An integer element of any integer type; packed 4-bit types too.
LLMC_INLINE int64_t loadInt(DType type, const void *base, int64_t i) {
  switch (type) {
  case DType::I8:
    return static_cast<const int8_t *>(base)[i];
  case DType::U8:
  case DType::Bool:
    return static_cast<const uint8_t *>(base)[i];
  case DType::I16:
    return static_cast<const int16_t *>(base)[i];
  case DType::U16:
    return static_cast<const uint16_t *>(base)[i];
  case DType::I32:
    return static_cast<const int32_t *>(base)[i];
  case DType::U32:
    return static_cast<const uint32_t *>(base)[i];
  case DType::I64:
  case DType::U64:
    return static_cast<const int64_t *>(base)[i];
  case DType::I4:
  case DType::U4: {
    int nibble =
        (static_cast<const uint8_t *>(base)[i >> 1] >> ((i & 1) * 4)) & 15;
    return type == DType::I4 && nibble > 7 ? nibble - 16 : nibble;
  }
  default:
    return 0;
  }
}

LLMC_INLINE bool isIndexType(DType type) {
  return type == DType::I64 || type == DType::I32;
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_SUPPORT_H
