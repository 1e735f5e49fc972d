//===- Quantize.cpp - Conversions to and from quantized integers ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

#include <math.h>

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kPerTensor = -1000;
constexpr int64_t kRun = 4096;

/// Which scale belongs to which element.
struct Scales {
  const Tensor *scale, *zero;
  int64_t inner;  // elements below the axis
  int64_t length; // of the axis
  int64_t block;  // of the axis that share a scale; 0: per tensor or per axis
  int64_t perRow; // scales along the axis
  bool perTensor;

  int64_t index(int64_t element) const {
    if (perTensor) {
      return 0;
    }
    int64_t along = element / inner % length;
    if (block == 0) {
      return along;
    }
    int64_t outer = element / inner / length;
    return (outer * perRow + along / block) * inner + element % inner;
  }
  float scaleAt(int64_t i) const {
    return loadFloat(scale->dtype, scale->data, i);
  }
  int64_t zeroAt(int64_t i) const {
    return zero ? loadInt(zero->dtype, zero->data, i) : 0;
  }
};

Status prepare(const Launch &launch, const Tensor &x, Scales &s) {
  bool hasZero = launch.ints[2] != 0;
  s.scale = &launch.operands[1];
  s.zero = hasZero ? &launch.operands[2] : nullptr;
  s.block = launch.ints[1];
  int64_t scales = count(*s.scale);
  s.perTensor = launch.ints[0] == kPerTensor;
  s.inner = s.length = s.perRow = 1;
  int64_t expected = 1;
  if (!s.perTensor) {
    int axis = normalAxis(launch.ints[0], x.rank);
    if (axis < 0 || s.block < 0) {
      return kBadShape;
    }
    s.inner = count(x, axis + 1, x.rank);
    s.length = x.dims[axis];
    if (s.block == 0) {
      expected = s.length;
    } else {
      s.perRow = ceilDiv(s.length, s.block);
      expected = count(x, 0, axis) * s.perRow * s.inner;
    }
  }
  if (scales != expected || (s.zero && count(*s.zero) != scales)) {
    return kBadShape;
  }
  return isFloat(s.scale->dtype) ? nullptr : kUnsupported;
}

/// Half to even.
LLMC_INLINE float roundEven(float x) { return rintf(x); }

LLMC_INLINE int64_t saturate(float value, int64_t low, int64_t high) {
  if (!(value > static_cast<float>(low))) { // NaN too
    return low;
  }
  return value < static_cast<float>(high) ? static_cast<int64_t>(value) : high;
}

} // namespace

Status dequantizeLinear(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[launch.ints[2] != 0 ? 3 : 2];
  Scales s;
  if (Status error = prepare(launch, x, s)) {
    return error;
  }
  int64_t n = count(x);
  if (count(out) != n) {
    return kBadShape;
  }
  if (isFloat(x.dtype) || !isFloat(out.dtype)) {
    return kUnsupported;
  }
  launch.pool->parallelFor(
      ceilDiv(n, kRun),
      [&](int64_t task, int) {
        int64_t end = minimum(n, (task + 1) * kRun);
        for (int64_t i = task * kRun; i < end; ++i) {
          int64_t at = s.index(i);
          int64_t code = loadInt(x.dtype, x.data, i) - s.zeroAt(at);
          storeFloat(out.dtype, out.data, i,
                     static_cast<float>(code) * s.scaleAt(at));
        }
      },
      kRun * 4);
  return nullptr;
}

Status quantizeLinear(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[launch.ints[2] != 0 ? 3 : 2];
  Scales s;
  if (Status error = prepare(launch, x, s)) {
    return error;
  }
  int64_t n = count(x);
  if (count(out) != n) {
    return kBadShape;
  }
  bool isSigned = out.dtype == DType::I8;
  if (!isFloat(x.dtype) || (!isSigned && out.dtype != DType::U8)) {
    return kUnsupported;
  }
  launch.pool->parallelFor(
      ceilDiv(n, kRun),
      [&](int64_t task, int) {
        int64_t end = minimum(n, (task + 1) * kRun);
        for (int64_t i = task * kRun; i < end; ++i) {
          int64_t at = s.index(i);
          float value =
              roundEven(loadFloat(x.dtype, x.data, i) / s.scaleAt(at)) +
              static_cast<float>(s.zeroAt(at));
          if (isSigned) {
            data<int8_t>(out)[i] =
                static_cast<int8_t>(saturate(value, -128, 127));
          } else {
            data<uint8_t>(out)[i] =
                static_cast<uint8_t>(saturate(value, 0, 255));
          }
        }
      },
      kRun * 4);
  return nullptr;
}

Status dynamicQuantizeLinear(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &y = launch.operands[1];
  const Tensor &scale = launch.operands[2];
  const Tensor &zero = launch.operands[3];
  int64_t n = count(x);
  if (count(y) != n || count(scale) != 1 || count(zero) != 1) {
    return kBadShape;
  }
  if (x.dtype != DType::F32 || y.dtype != DType::U8 ||
      scale.dtype != DType::F32 || zero.dtype != DType::U8) {
    return kUnsupported;
  }
  const float *from = data<const float>(x);
  float low = 0;
  float high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = from[i] < low ? from[i] : low;
    high = from[i] > high ? from[i] : high;
  }
  float step = low == high ? 1.0f : (high - low) / 255.0f;
  float offset =
      static_cast<float>(saturate(roundEven(0.0f - low / step), 0, 255));
  data<float>(scale)[0] = step;
  data<uint8_t>(zero)[0] = static_cast<uint8_t>(offset);
  launch.pool->parallelFor(
      ceilDiv(n, kRun),
      [&](int64_t task, int) {
        int64_t end = minimum(n, (task + 1) * kRun);
        for (int64_t i = task * kRun; i < end; ++i) {
          data<uint8_t>(y)[i] = static_cast<uint8_t>(
              saturate(roundEven(from[i] / step) + offset, 0, 255));
        }
      },
      kRun * 2);
  return nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
