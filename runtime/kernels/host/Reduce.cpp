//===- Reduce.cpp - Reductions, arg-reductions and prefix sums ------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

#include <limits>
#include <math.h>

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

using plan::ReduceKind;

/// Adjacent dimensions that are alike, merged.
struct Dims {
  int rank = 0;
  int64_t extents[kMaxRank];
  int64_t strides[kMaxRank];

  void add(int64_t extent, int64_t stride, bool merge) {
    if (merge && rank > 0) {
      extents[rank - 1] *= extent;
      strides[rank - 1] = stride;
      return;
    }
    extents[rank] = extent;
    strides[rank] = stride;
    ++rank;
  }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) {
      n *= extents[i];
    }
    return n;
  }
  int64_t offset(int64_t index) const {
    int64_t result = 0;
    for (int i = rank - 1; i >= 0; --i) {
      result += index % extents[i] * strides[i];
      index /= extents[i];
    }
    return result;
  }
};

constexpr int kLanes = 16;

/// Folds fn over all elements that `dims` reaches, in kLanes interleaved
/// chains that are joined at the end.
template <class T, class C, class Fn, class Join>
C fold(const T *x, const Dims &dims, C initial, const Fn &fn,
       const Join &join) {
  C lanes[kLanes];
  for (C &lane : lanes) {
    lane = initial;
  }
  int last = dims.rank - 1;
  int64_t runs = 1;
  for (int i = 0; i < last; ++i) {
    runs *= dims.extents[i];
  }
  Dims outer = dims;
  outer.rank = last;
  int64_t n = dims.extents[last];
  int64_t stride = dims.strides[last];
  for (int64_t run = 0; run < runs; ++run) {
    const T *from = x + outer.offset(run);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        lanes[lane] = fn(lanes[lane], C(from[(i + lane) * stride]));
      }
    }
    for (int lane = 0; i < n; ++i, ++lane) {
      lanes[lane] = fn(lanes[lane], C(from[i * stride]));
    }
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) {
      lanes[lane] = join(lanes[lane], lanes[lane + width]);
    }
  }
  return lanes[0];
}

/// Sums and products of integers wrap.
template <class C> C addValues(C a, C b) {
  if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}
template <class C> C mulValues(C a, C b) {
  if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  } else {
    return a * b;
  }
}
template <class C> C absValue(C a) { return a < 0 ? C(-a) : a; }
template <class C> C maxValue(C a, C b) { return a > b || a != a ? a : b; }
template <class C> C minValue(C a, C b) { return a < b || a != a ? a : b; }

template <class C> C logOf(C value) {
  if constexpr (std::is_same_v<C, float>) {
    return logf(value);
  } else {
    return static_cast<C>(log(static_cast<double>(value)));
  }
}
template <class C> C sqrtOf(C value) {
  if constexpr (std::is_same_v<C, float>) {
    return sqrtf(value);
  } else {
    return static_cast<C>(sqrt(static_cast<double>(value)));
  }
}
template <class C> C expOf(C value) {
  if constexpr (std::is_same_v<C, float>) {
    return expf(value);
  } else {
    return static_cast<C>(exp(static_cast<double>(value)));
  }
}

template <class T>
T reduceOne(ReduceKind kind, const T *x, const Dims &dims, int64_t n) {
  using C = Compute<T>;
  using Limits = std::numeric_limits<C>;
  constexpr C kLowest =
      Limits::has_infinity ? C(-Limits::infinity()) : Limits::lowest();
  constexpr C kHighest =
      Limits::has_infinity ? Limits::infinity() : Limits::max();
  auto add = [](C a, C b) { return addValues(a, b); };
  switch (kind) {
  case ReduceKind::Sum:
    return T(fold(x, dims, C(0), add, add));
  case ReduceKind::Mean: {
    C sum = fold(x, dims, C(0), add, add);
    if constexpr (std::is_integral_v<C>) {
      return T(n == 0 ? C(0) : C(sum / n));
    } else {
      return T(sum / static_cast<C>(n));
    }
  }
  case ReduceKind::Max: {
    auto fn = [](C a, C b) { return maxValue(a, b); };
    return T(fold(x, dims, kLowest, fn, fn));
  }
  case ReduceKind::Min: {
    auto fn = [](C a, C b) { return minValue(a, b); };
    return T(fold(x, dims, kHighest, fn, fn));
  }
  case ReduceKind::Prod: {
    auto fn = [](C a, C b) { return mulValues(a, b); };
    return T(fold(x, dims, C(1), fn, fn));
  }
  case ReduceKind::SumSquare:
  case ReduceKind::L2: {
    C sum = fold(
        x, dims, C(0), [](C a, C b) { return addValues(a, mulValues(b, b)); },
        add);
    return T(kind == ReduceKind::L2 ? sqrtOf(sum) : sum);
  }
  case ReduceKind::L1:
    return T(fold(
        x, dims, C(0), [](C a, C b) { return addValues(a, absValue(b)); },
        add));
  case ReduceKind::LogSumExp: {
    auto larger = [](C a, C b) { return maxValue(a, b); };
    C top = fold(x, dims, kLowest, larger, larger);
    if (top == kLowest || top == kHighest) {
      return T(top);
    }
    C sum = fold(
        x, dims, C(0), [top](C a, C b) { return C(a + expOf(C(b - top))); },
        add);
    return T(top + logOf(sum));
  }
  }
  return T(C(0));
}

} // namespace

Status reduce(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int64_t kind = launch.ints[0];
  int64_t mask = launch.ints[1];
  if (kind < 0 || kind > static_cast<int64_t>(ReduceKind::LogSumExp)) {
    return "unknown reduction";
  }
  Dims kept;
  Dims reduced;
  int previous = -1;
  int64_t stride = count(x);
  for (int i = 0; i < x.rank; ++i) {
    if (x.dims[i] == 0) {
      stride = 0;
    } else {
      stride /= x.dims[i];
    }
    int which = static_cast<int>((mask >> i) & 1);
    (which ? reduced : kept).add(x.dims[i], stride, which == previous);
    previous = which;
  }
  if (reduced.rank == 0) {
    reduced.add(1, 1, false);
  }
  int64_t outputs = kept.size();
  int64_t n = reduced.size();
  if (count(out) != outputs) {
    return kBadShape;
  }
  if (x.dtype != out.dtype) {
    return kUnsupported;
  }
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int64_t kRun = 16;
    launch.pool->parallelFor(
        ceilDiv(outputs, kRun),
        [&](int64_t task, int) {
          int64_t end = minimum(outputs, (task + 1) * kRun);
          for (int64_t i = task * kRun; i < end; ++i) {
            data<T>(out)[i] =
                reduceOne<T>(static_cast<ReduceKind>(kind),
                             data<const T>(x) + kept.offset(i), reduced, n);
          }
        },
        kRun * (n / 2 + 20));
  });
  return known ? nullptr : kUnsupported;
}

Status argReduce(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int axis = normalAxis(launch.ints[0], x.rank);
  bool isMin = launch.ints[1] != 0;
  bool selectLast = launch.ints[2] != 0;
  if (axis < 0) {
    return kBadShape;
  }
  int64_t outer = count(x, 0, axis);
  int64_t length = x.dims[axis];
  int64_t inner = count(x, axis + 1, x.rank);
  if (count(out) != outer * inner) {
    return kBadShape;
  }
  if (out.dtype != DType::I64) {
    return kUnsupported;
  }
  if (outer * inner == 0) {
    return nullptr;
  }
  if (length == 0) {
    return "arg-reduction over no elements";
  }
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    launch.pool->parallelFor(
        outer * inner,
        [&](int64_t task, int) {
          const T *from =
              data<const T>(x) + task / inner * length * inner + task % inner;
          int64_t best = 0;
          C value = C(from[0]);
          for (int64_t i = 1; i < length; ++i) {
            C other = C(from[i * inner]);
            bool better = isMin ? other < value : other > value;
            if (better || (selectLast && other == value)) {
              value = other;
              best = i;
            }
          }
          data<int64_t>(out)[task] = best;
        },
        length);
  });
  return known ? nullptr : kUnsupported;
}

Status cumSum(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int axis = normalAxis(launch.ints[0], x.rank);
  bool exclusive = launch.ints[1] != 0;
  bool reverse = launch.ints[2] != 0;
  if (axis < 0 || count(out) != count(x)) {
    return kBadShape;
  }
  if (x.dtype != out.dtype) {
    return kUnsupported;
  }
  int64_t outer = count(x, 0, axis);
  int64_t length = x.dims[axis];
  int64_t inner = count(x, axis + 1, x.rank);
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    launch.pool->parallelFor(
        outer * inner,
        [&](int64_t task, int) {
          int64_t offset = task / inner * length * inner + task % inner;
          const T *from = data<const T>(x) + offset;
          T *to = data<T>(out) + offset;
          C sum = 0;
          for (int64_t n = 0; n < length; ++n) {
            int64_t i = (reverse ? length - 1 - n : n) * inner;
            C value = C(from[i]);
            C next = addValues(sum, value);
            to[i] = T(exclusive ? sum : next);
            sum = next;
          }
        },
        length * 2);
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
