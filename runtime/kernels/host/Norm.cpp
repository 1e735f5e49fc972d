//===- Norm.cpp - RMSNorm, LayerNorm and softmax --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Rows are read in chunks that are converted to f32 on the stack, several
// times over rather than kept: a row may be as long as a vocabulary. An output
// may be the input.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Math.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kChunk = 512;
static_assert(kChunk % kWidth == 0);

/// Calls body(chunk, first, n) over a row of n elements; the chunk is padded
/// with `pad` up to a multiple of the vector width.
template <class Body>
LLMC_INLINE void forChunks(DType type, const void *base, int64_t offset,
                           int64_t length, float pad, const Body &body) {
  alignas(64) float chunk[kChunk];
  for (int64_t i = 0; i < length; i += kChunk) {
    int64_t n = minimum(kChunk, length - i);
    toFloats(type, base, offset + i, chunk, n);
    for (int64_t j = n; j % kWidth != 0; ++j) {
      chunk[j] = pad;
    }
    body(chunk, i, n);
  }
}

/// The sum of fn(vector) over a row, lanes first.
template <class Fn>
LLMC_INLINE float rowSum(DType type, const void *base, int64_t offset,
                         int64_t length, float pad, const Fn &fn) {
  VF sum = vzero();
  forChunks(type, base, offset, length, pad,
            [&](const float *chunk, int64_t, int64_t n) {
              for (int64_t i = 0; i < n; i += kWidth) {
                sum = fn(sum, vload(chunk + i));
              }
            });
  return vsum(sum);
}

struct NormArgs {
  const Tensor *x, *scale, *bias, *out;
  int64_t rows, length;
  bool center;
  double epsilon;
};

void normRow(const NormArgs &a, int64_t row) {
  int64_t offset = row * a.length;
  float inverseLength = 1.0f / static_cast<float>(a.length);
  float mean = 0;
  if (a.center) {
    mean = rowSum(a.x->dtype, a.x->data, offset, a.length, 0,
                  [](VF sum, VF x) { return vadd(sum, x); }) *
           inverseLength;
  }
  VF center = vset(mean);
  float square = rowSum(a.x->dtype, a.x->data, offset, a.length, mean,
                        [&](VF sum, VF x) {
                          VF d = vsub(x, center);
                          return vfma(d, d, sum);
                        }) *
                 inverseLength;
  VF factor = vset(1.0f / sqrtf(square + static_cast<float>(a.epsilon)));
  alignas(64) float scale[kChunk];
  alignas(64) float bias[kChunk];
  forChunks(a.x->dtype, a.x->data, offset, a.length, 0,
            [&](float *chunk, int64_t first, int64_t n) {
              if (a.scale) {
                toFloats(a.scale->dtype, a.scale->data, first, scale, n);
              }
              if (a.bias) {
                toFloats(a.bias->dtype, a.bias->data, first, bias, n);
              }
              for (int64_t i = 0; i < n; i += kWidth) {
                VF v = vmul(vsub(vload(chunk + i), center), factor);
                if (a.scale) {
                  v = vmul(v, vload(scale + i));
                }
                if (a.bias) {
                  v = vadd(v, vload(bias + i));
                }
                vstore(chunk + i, v);
              }
              fromFloats(a.out->dtype, chunk, a.out->data, offset + first, n);
            });
}

void normRowDouble(const NormArgs &a, int64_t row) {
  const double *x = data<const double>(*a.x) + row * a.length;
  double *out = data<double>(*a.out) + row * a.length;
  double mean = 0;
  double square = 0;
  if (a.center) {
    for (int64_t i = 0; i < a.length; ++i) {
      mean += x[i];
    }
    mean /= static_cast<double>(a.length);
  }
  for (int64_t i = 0; i < a.length; ++i) {
    square += (x[i] - mean) * (x[i] - mean);
  }
  double factor = 1 / sqrt(square / static_cast<double>(a.length) + a.epsilon);
  for (int64_t i = 0; i < a.length; ++i) {
    double v = (x[i] - mean) * factor;
    v *= a.scale ? data<const double>(*a.scale)[i] : 1.0;
    out[i] = v + (a.bias ? data<const double>(*a.bias)[i] : 0.0);
  }
}

Status norm(const Launch &launch, bool center, bool hasScale, bool hasBias) {
  NormArgs a;
  a.x = &launch.operands[0];
  a.scale = hasScale ? &launch.operands[1] : nullptr;
  a.bias = hasBias ? &launch.operands[1 + hasScale] : nullptr;
  a.out = &launch.operands[1 + hasScale + hasBias];
  a.center = center;
  a.epsilon = launch.floats[0];
  int64_t trailing = launch.ints[0];
  if (trailing < 0 || trailing > a.x->rank) {
    return kBadShape;
  }
  a.rows = count(*a.x, 0, a.x->rank - static_cast<int>(trailing));
  a.length = count(*a.x, a.x->rank - static_cast<int>(trailing), a.x->rank);
  if ((a.scale && count(*a.scale) != a.length) ||
      (a.bias && count(*a.bias) != a.length) ||
      count(*a.out) != a.rows * a.length) {
    return kBadShape;
  }
  if (a.rows * a.length == 0) {
    return nullptr;
  }
  auto each = [&](auto row) {
    launch.pool->parallelFor(
        a.rows, [&](int64_t task, int) { row(a, task); }, a.length / 2);
  };
  if (a.x->dtype == DType::F64) {
    if (a.out->dtype != DType::F64 ||
        (a.scale && a.scale->dtype != DType::F64) ||
        (a.bias && a.bias->dtype != DType::F64)) {
      return kUnsupported;
    }
    each(normRowDouble);
    return nullptr;
  }
  if (!isFloat32Like(a.x->dtype) || !isFloat32Like(a.out->dtype) ||
      (a.scale && !isFloat32Like(a.scale->dtype)) ||
      (a.bias && !isFloat32Like(a.bias->dtype))) {
    return kUnsupported;
  }
  each(normRow);
  return nullptr;
}

/// NaN in either survives.
LLMC_INLINE float maxNan(float a, float b) { return a != a || a > b ? a : b; }

/// A contiguous row.
void softmaxRow(const Tensor &x, const Tensor &out, int64_t offset,
                int64_t length, bool isLog) {
  VF lanes = vset(-INFINITY);
  forChunks(x.dtype, x.data, offset, length, -INFINITY,
            [&](const float *chunk, int64_t, int64_t n) {
              for (int64_t i = 0; i < n; i += kWidth) {
                lanes = vmax(vload(chunk + i), lanes);
              }
            });
  float spread[kWidth];
  vstore(spread, lanes);
  float largest = -INFINITY;
  for (float lane : spread) {
    largest = maxNan(largest, lane);
  }
  VF top = vset(largest);
  float sum =
      rowSum(x.dtype, x.data, offset, length, -INFINITY,
             [&](VF sum, VF v) { return vadd(sum, vexp(vsub(v, top))); });
  VF last = vset(isLog ? logf(sum) : sum);
  forChunks(x.dtype, x.data, offset, length, 0,
            [&](float *chunk, int64_t first, int64_t n) {
              for (int64_t i = 0; i < n; i += kWidth) {
                VF v = vsub(vload(chunk + i), top);
                vstore(chunk + i, isLog ? vsub(v, last) : vdiv(vexp(v), last));
              }
              fromFloats(out.dtype, chunk, out.data, offset + first, n);
            });
}

/// Columns of any type, `stride` apart.
template <class T, class Sum>
void softmaxColumn(const T *x, T *out, int64_t length, int64_t stride,
                   bool isLog) {
  Sum top = -INFINITY;
  for (int64_t i = 0; i < length; ++i) {
    Sum v = x[i * stride];
    top = v != v || v > top ? v : top;
  }
  Sum sum = 0;
  for (int64_t i = 0; i < length; ++i) {
    sum += std::is_same_v<Sum, double>
               ? exp(Sum(x[i * stride]) - top)
               : expf(static_cast<float>(Sum(x[i * stride]) - top));
  }
  Sum logSum =
      std::is_same_v<Sum, double> ? log(sum) : logf(static_cast<float>(sum));
  for (int64_t i = 0; i < length; ++i) {
    Sum v = Sum(x[i * stride]) - top;
    Sum e = std::is_same_v<Sum, double> ? exp(v) : expf(static_cast<float>(v));
    out[i * stride] = T(isLog ? v - logSum : e / sum);
  }
}

} // namespace

Status layerNorm(const Launch &launch) {
  return norm(launch, /*center=*/true, launch.ints[1] != 0,
              launch.ints[2] != 0);
}

Status rmsNorm(const Launch &launch) {
  return norm(launch, /*center=*/false, launch.ints[1] != 0, false);
}

Status softmax(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int axis = normalAxis(launch.ints[0], x.rank);
  bool isLog = launch.ints[1] != 0;
  if (axis < 0 || count(out) != count(x)) {
    return kBadShape;
  }
  int64_t outer = count(x, 0, axis);
  int64_t length = x.dims[axis];
  int64_t inner = count(x, axis + 1, x.rank);
  if (outer * length * inner == 0) {
    return nullptr;
  }
  if (inner == 1 && isFloat32Like(x.dtype) && isFloat32Like(out.dtype)) {
    launch.pool->parallelFor(
        outer,
        [&](int64_t row, int) {
          softmaxRow(x, out, row * length, length, isLog);
        },
        length);
    return nullptr;
  }
  if (x.dtype != out.dtype) {
    return kUnsupported;
  }
  auto columns = [&](auto tag) {
    using T = decltype(tag);
    using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
    launch.pool->parallelFor(
        outer * inner,
        [&](int64_t task, int) {
          int64_t offset = task / inner * length * inner + task % inner;
          softmaxColumn<T, Sum>(data<const T>(x) + offset,
                                data<T>(out) + offset, length, inner, isLog);
        },
        length * 8);
  };
  if (x.dtype == DType::F64) {
    columns(double{});
    return nullptr;
  }
  return dispatchFloat(x.dtype, columns) ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
