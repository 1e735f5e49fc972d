//===- Float.cpp ----------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Float.h"

#include <bit>
#include <cstring>
#include <limits>

using namespace llmc;
using plan::DType;

static float halfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1.0p-24f;
    return sign ? -value : value;
  }
  const uint32_t bits =
      exponent == 31 ? sign | 0x7f800000u | (mantissa << 13)
                     : sign | ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(bits);
}

template <class T> static T loadAs(const void *source, size_t index) {
  T value;
  std::memcpy(&value, static_cast<const uint8_t *>(source) + index * sizeof(T),
              sizeof(T));
  return value;
}

void llmc::toFloat(const void *source, DType type, float *target,
                   size_t count) {
  switch (type) {
  case DType::F32:
    std::memcpy(target, source, count * sizeof(float));
    break;
  case DType::F16:
    for (size_t i = 0; i < count; ++i) {
      target[i] = halfToFloat(loadAs<uint16_t>(source, i));
    }
    break;
  case DType::BF16:
    for (size_t i = 0; i < count; ++i) {
      target[i] =
          std::bit_cast<float>(uint32_t(loadAs<uint16_t>(source, i)) << 16);
    }
    break;
  case DType::F64:
    for (size_t i = 0; i < count; ++i) {
      target[i] = static_cast<float>(loadAs<double>(source, i));
    }
    break;
  default:
    break;
  }
}

namespace {
/// A 64-bit integer that may be of either sign.
struct Wide {
  bool negative;
  uint64_t bits; // two's complement
};
} // namespace

template <class T> static Wide widen(const void *source, size_t index) {
  const T value = loadAs<T>(source, index);
  return {value < T(0), static_cast<uint64_t>(value)};
}

template <class T> static bool narrow(Wide value, void *target, size_t index) {
  const T out = static_cast<T>(value.bits);
  std::memcpy(static_cast<uint8_t *>(target) + index * sizeof(T), &out,
              sizeof(T));
  return static_cast<uint64_t>(out) == value.bits &&
         (out < T(0)) == value.negative;
}

static Wide loadWide(const void *source, DType type, size_t index) {
  switch (type) {
  case DType::I8:
    return widen<int8_t>(source, index);
  case DType::U8:
    return widen<uint8_t>(source, index);
  case DType::I16:
    return widen<int16_t>(source, index);
  case DType::U16:
    return widen<uint16_t>(source, index);
  case DType::I32:
    return widen<int32_t>(source, index);
  case DType::U32:
    return widen<uint32_t>(source, index);
  case DType::I64:
    return widen<int64_t>(source, index);
  default:
    return widen<uint64_t>(source, index);
  }
}

static bool storeWide(Wide value, void *target, DType type, size_t index) {
  switch (type) {
  case DType::I8:
    return narrow<int8_t>(value, target, index);
  case DType::U8:
    return narrow<uint8_t>(value, target, index);
  case DType::I16:
    return narrow<int16_t>(value, target, index);
  case DType::U16:
    return narrow<uint16_t>(value, target, index);
  case DType::I32:
    return narrow<int32_t>(value, target, index);
  case DType::U32:
    return narrow<uint32_t>(value, target, index);
  case DType::I64:
    return narrow<int64_t>(value, target, index);
  case DType::U64:
    return narrow<uint64_t>(value, target, index);
  default:
    return false;
  }
}

bool llmc::convertIntegers(const void *source, DType from, void *target,
                           DType to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!storeWide(loadWide(source, from, i), target, to, i)) {
      return false;
    }
  }
  return true;
}

double llmc::elementAsDouble(const void *source, DType type, size_t index) {
  switch (type) {
  case DType::F64:
    return loadAs<double>(source, index);
  case DType::Bool:
    return loadAs<uint8_t>(source, index) ? 1 : 0;
  case DType::I4:
  case DType::U4:
    return std::numeric_limits<double>::quiet_NaN();
  default:
    break;
  }
  if (isFloat(type)) {
    float value = 0;
    toFloat(static_cast<const uint8_t *>(source) + index * (bitWidth(type) / 8),
            type, &value, 1);
    return value;
  }
  const Wide wide = loadWide(source, type, index);
  return wide.negative ? static_cast<double>(static_cast<int64_t>(wide.bits))
                       : static_cast<double>(wide.bits);
}
