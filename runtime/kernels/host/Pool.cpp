//===- Pool.cpp - Windows of images ---------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A row of results is built tap by tap: for one position in the window, all
// results of the row that see it, so that no test stands in the inner loop.
// Taps come in the order of memory, and each result is made by one task.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

#include <cmath>
#include <limits>

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

using plan::PoolKind;

/// Results of one row that are accumulated together, on the stack.
constexpr int64_t kRowPiece = 256;

struct PoolArgs {
  const Tensor *x, *out;
  int spatial;
  bool countPads;
  const int64_t *kernel, *strides, *dilations, *begin, *end;
  int64_t inSize, outSize; // elements of one channel
  int64_t width;           // results in a row
};

/// Taps j < kernel of the window of result `o` with position in [low, high).
LLMC_INLINE int64_t tapsWithin(const PoolArgs &a, int axis, int64_t o,
                               int64_t low, int64_t high) {
  int64_t count = 0;
  int64_t position = o * a.strides[axis] - a.begin[axis];
  for (int64_t j = 0; j < a.kernel[axis]; ++j, position += a.dilations[axis]) {
    count += position >= low && position < high;
  }
  return count;
}

/// How many elements a mean along one axis is over.
LLMC_INLINE int64_t countAlong(const PoolArgs &a, int axis, int64_t o) {
  int64_t size = a.x->dims[2 + axis];
  return a.countPads
             ? tapsWithin(a, axis, o, -a.begin[axis], size + a.end[axis])
             : tapsWithin(a, axis, o, 0, size);
}

/// acc[i - from] op= x[..] for the results [from, from + count) of a row and
/// all taps along the last axis. `x` is the row of the input.
template <bool IsMax, class T, class C>
LLMC_INLINE void addRow(const PoolArgs &a, const T *x, int64_t from,
                        int64_t count, C *acc) {
  int axis = a.spatial - 1;
  int64_t stride = a.strides[axis];
  int64_t size = a.x->dims[2 + axis];
  for (int64_t j = 0; j < a.kernel[axis]; ++j) {
    int64_t shift = j * a.dilations[axis] - a.begin[axis];
    // 0 <= o * stride + shift < size
    int64_t low = maximum(shift < 0 ? ceilDiv(-shift, stride) : 0, from);
    int64_t high =
        minimum(size > shift ? ceilDiv(size - shift, stride) : 0, from + count);
    C *sums = acc - from;
    auto add = [&](int64_t o, int64_t at) LLMC_INLINE_LAMBDA {
      C value = C(x[at]);
      if constexpr (!IsMax) {
        sums[o] += value;
      } else if constexpr (std::is_integral_v<C>) {
        sums[o] = value > sums[o] ? value : sums[o];
      } else { // NaN stays
        sums[o] = value > sums[o] || value != value ? value : sums[o];
      }
    };
    if (stride == 1) {
      for (int64_t o = low; o < high; ++o) {
        add(o, o + shift);
      }
    } else {
      for (int64_t o = low; o < high; ++o) {
        add(o, o * stride + shift);
      }
    }
  }
}

/// Row `row` of the results of one channel.
template <bool IsMax, class T, class O>
void poolRow(const PoolArgs &a, const T *x, O *out, int64_t row) {
  using C = Compute<T>;
  int outer = a.spatial - 1;
  int64_t start[kMaxRank]; // of the window along the outer axes
  int64_t outerCount = 1;
  int64_t rest = row;
  for (int d = outer - 1; d >= 0; --d) {
    int64_t o = rest % a.out->dims[2 + d];
    rest /= a.out->dims[2 + d];
    start[d] = o * a.strides[d] - a.begin[d];
    outerCount *= IsMax ? 1 : countAlong(a, d, o);
  }
  int64_t outerTaps = 1;
  for (int d = 0; d < outer; ++d) {
    outerTaps *= a.kernel[d];
  }
  int64_t inWidth = a.x->dims[1 + a.spatial];
  for (int64_t from = 0; from < a.width; from += kRowPiece) {
    int64_t count = minimum(kRowPiece, a.width - from);
    C acc[kRowPiece];
    C first = 0;
    if constexpr (IsMax) {
      first = std::numeric_limits<C>::has_infinity
                  ? -std::numeric_limits<C>::infinity()
                  : C(std::numeric_limits<T>::min());
    }
    for (int64_t i = 0; i < count; ++i) {
      acc[i] = first;
    }
    for (int64_t tap = 0; tap < outerTaps; ++tap) {
      int64_t left = tap, at = 0, stride = 1;
      bool isInside = true;
      for (int d = outer - 1; d >= 0; --d) {
        int64_t position = start[d] + left % a.kernel[d] * a.dilations[d];
        left /= a.kernel[d];
        isInside &= position >= 0 && position < a.x->dims[2 + d];
        at += position * stride;
        stride *= a.x->dims[2 + d];
      }
      if (isInside) {
        addRow<IsMax>(a, x + at * inWidth, from, count, acc);
      }
    }
    O *to = out + row * a.width + from;
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (IsMax) {
        to[i] = O(acc[i]);
      } else {
        int64_t over = outerCount * countAlong(a, outer, from + i);
        to[i] = O(over == 0 ? C(0) : acc[i] / C(over));
      }
    }
  }
}

template <bool IsMax, class T, class O>
void poolAll(const Launch &launch, const PoolArgs &a) {
  int64_t channels = a.out->dims[0] * a.out->dims[1];
  int64_t rows = a.outSize / a.width;
  int64_t taps = 1;
  for (int d = 0; d < a.spatial; ++d) {
    taps *= a.kernel[d];
  }
  // About as much work in a task as pays for handing it out.
  int64_t together = minimum(rows, 1 + 16384 / (a.width * taps));
  int64_t pieces = ceilDiv(rows, together);
  launch.pool->parallelFor(
      channels * pieces,
      [&](int64_t task, int) {
        const T *x = data<const T>(*a.x) + task / pieces * a.inSize;
        O *out = data<O>(*a.out) + task / pieces * a.outSize;
        int64_t first = task % pieces * together;
        for (int64_t row = first; row < minimum(first + together, rows);
             ++row) {
          poolRow<IsMax>(a, x, out, row);
        }
      },
      together * a.width * taps / 2);
}

/// LRN of one channel of one image. Sums of squares are in channel order.
template <class T, class O>
void lrnChannel(const Launch &launch, int64_t image, int64_t channel) {
  using C = Compute<T>;
  const Tensor &x = launch.operands[0];
  int64_t channels = x.dims[1], size = count(x, 2, x.rank);
  int64_t window = launch.ints[0];
  int64_t low = maximum(0, channel - (window - 1) / 2);
  int64_t high = minimum(channels, channel + window / 2 + 1);
  C scale = C(launch.floats[0] / double(window));
  C beta = C(launch.floats[1]), bias = C(launch.floats[2]);
  const T *from = data<const T>(x) + image * channels * size;
  O *to = data<O>(launch.operands[1]) + (image * channels + channel) * size;
  C acc[kRowPiece];
  for (int64_t i = 0; i < size; i += kRowPiece) {
    int64_t count = minimum(kRowPiece, size - i);
    for (int64_t j = 0; j < count; ++j) {
      acc[j] = 0;
    }
    for (int64_t c = low; c < high; ++c) {
      const T *row = from + c * size + i;
      for (int64_t j = 0; j < count; ++j) {
        C value = C(row[j]);
        acc[j] += value * value;
      }
    }
    const T *row = from + channel * size + i;
    if (beta == C(0.75)) { // what every network has, from two square roots
      for (int64_t j = 0; j < count; ++j) {
        C root = std::sqrt(bias + scale * acc[j]);
        to[i + j] = O(C(row[j]) / (root * std::sqrt(root)));
      }
    } else {
      for (int64_t j = 0; j < count; ++j) {
        to[i + j] = O(C(row[j]) / std::pow(bias + scale * acc[j], beta));
      }
    }
  }
}

/// Calls body(T{}, O{}) for the float types of x and out; false if they are
/// none, or f64 with another.
template <class Body>
bool dispatchFloats(DType x, DType out, const Body &body) {
  if (x == DType::F64 && out == DType::F64) {
    body(double{}, double{});
    return true;
  }
  bool known = false;
  dispatchFloat(x, [&](auto tag) {
    known = dispatchFloat(out, [&](auto outTag) { body(tag, outTag); });
  });
  return known;
}

} // namespace

Status pool(const Launch &launch) {
  PoolArgs a;
  a.x = &launch.operands[0];
  a.out = &launch.operands[1];
  bool isMax = launch.ints[0] == static_cast<int64_t>(PoolKind::Max);
  int64_t s = launch.ints[1];
  if (s < 1 || s > kMaxRank - 2 ||
      launch.ints.size() < 4 + 5 * static_cast<size_t>(s) ||
      a.x->rank != s + 2 || a.out->rank != s + 2 ||
      a.x->dims[0] != a.out->dims[0] || a.x->dims[1] != a.out->dims[1]) {
    return kBadShape;
  }
  a.spatial = static_cast<int>(s);
  a.countPads = launch.ints[3] != 0;
  a.kernel = launch.ints.data() + 4;
  a.strides = a.kernel + s;
  a.dilations = a.strides + s;
  a.begin = a.dilations + s;
  a.end = a.begin + s;
  for (int d = 0; d < a.spatial; ++d) {
    if (a.kernel[d] < 1 || a.strides[d] < 1 || a.dilations[d] < 1) {
      return kBadShape;
    }
  }
  a.inSize = count(*a.x, 2, a.x->rank);
  a.outSize = count(*a.out, 2, a.out->rank);
  a.width = a.out->dims[1 + s];
  if (count(*a.out) == 0) {
    return nullptr;
  }
  if (!isMax) {
    return dispatchFloats(a.x->dtype, a.out->dtype,
                          [&](auto tag, auto outTag) {
                            poolAll<false, decltype(tag), decltype(outTag)>(
                                launch, a);
                          })
               ? nullptr
               : kUnsupported;
  }
  if (a.x->dtype != a.out->dtype) {
    return kUnsupported;
  }
  return dispatchNumeric(a.x->dtype,
                         [&](auto tag) {
                           poolAll<true, decltype(tag), decltype(tag)>(launch,
                                                                       a);
                         })
             ? nullptr
             : kUnsupported;
}

Status lrn(const Launch &launch) {
  const Tensor &x = launch.operands[0], &out = launch.operands[1];
  if (x.rank < 2 || out.rank != x.rank || count(x) != count(out) ||
      x.dims[1] != out.dims[1] || launch.ints[0] < 1) {
    return kBadShape;
  }
  if (count(x) == 0) {
    return nullptr;
  }
  return dispatchFloats(x.dtype, out.dtype,
                        [&](auto tag, auto outTag) {
                          launch.pool->parallelFor(
                              x.dims[0] * x.dims[1],
                              [&](int64_t task, int) {
                                lrnChannel<decltype(tag), decltype(outTag)>(
                                    launch, task / x.dims[1], task % x.dims[1]);
                              },
                              count(x, 2, x.rank) * (launch.ints[0] + 16) / 4);
                        })
             ? nullptr
             : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
