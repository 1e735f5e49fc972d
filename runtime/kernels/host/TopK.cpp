//===- TopK.cpp - The k largest or smallest elements ----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The outputs themselves hold a heap of the k best so far, the worst at its
// root, so no memory is needed. Among equals the lower index is the better;
// NaN counts as the largest value.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

template <class T> struct Heap {
  using C = Compute<T>;
  T *values;
  int64_t *indices;
  int64_t stride;
  bool largest;

  /// Whether (a, i) comes before (b, j) in the result.
  bool better(C a, int64_t i, C b, int64_t j) const {
    bool aNan = a != a;
    bool bNan = b != b;
    if (aNan || bNan) {
      return aNan == bNan ? i < j : aNan == largest;
    }
    if (a == b) {
      return i < j;
    }
    return largest ? a > b : a < b;
  }

  void set(int64_t at, T value, int64_t index) {
    values[at * stride] = value;
    indices[at * stride] = index;
  }

  /// Lets (value, index) sink from `at` in a heap of `size`.
  void sink(int64_t at, int64_t size, T value, int64_t index) {
    for (;;) {
      int64_t child = 2 * at + 1;
      if (child >= size) {
        break;
      }
      if (child + 1 < size &&
          better(C(values[child * stride]), indices[child * stride],
                 C(values[(child + 1) * stride]),
                 indices[(child + 1) * stride])) {
        ++child; // the worse child
      }
      if (!better(C(value), index, C(values[child * stride]),
                  indices[child * stride])) {
        break;
      }
      set(at, values[child * stride], indices[child * stride]);
      at = child;
    }
    set(at, value, index);
  }
};

template <class T>
void select(const T *x, int64_t length, int64_t k, Heap<T> heap) {
  using C = Compute<T>;
  int64_t stride = heap.stride;
  for (int64_t i = 0; i < k; ++i) {
    heap.set(i, x[i * stride], i);
  }
  for (int64_t i = k / 2 - 1; i >= 0; --i) {
    heap.sink(i, k, heap.values[i * stride], heap.indices[i * stride]);
  }
  for (int64_t i = k; i < length; ++i) {
    T value = x[i * stride];
    if (heap.better(C(value), i, C(heap.values[0]), heap.indices[0])) {
      heap.sink(0, k, value, i);
    }
  }
  for (int64_t size = k - 1; size > 0; --size) {
    T worst = heap.values[0];
    int64_t index = heap.indices[0];
    heap.sink(0, size, heap.values[size * stride], heap.indices[size * stride]);
    heap.set(size, worst, index);
  }
}

} // namespace

Status topK(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &values = launch.operands[1];
  const Tensor &indices = launch.operands[2];
  int axis = normalAxis(launch.ints[0], x.rank);
  int64_t k = launch.params[0];
  if (axis < 0 || k < 0 || k > x.dims[axis]) {
    return kBadShape;
  }
  int64_t outer = count(x, 0, axis);
  int64_t length = x.dims[axis];
  int64_t inner = count(x, axis + 1, x.rank);
  if (count(values) != outer * k * inner || count(indices) != count(values)) {
    return kBadShape;
  }
  if (values.dtype != x.dtype || indices.dtype != DType::I64) {
    return kUnsupported;
  }
  if (k == 0) {
    return nullptr;
  }
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch.pool->parallelFor(
        outer * inner,
        [&](int64_t task, int) {
          int64_t o = task / inner;
          int64_t i = task % inner;
          select(data<const T>(x) + o * length * inner + i, length, k,
                 Heap<T>{data<T>(values) + o * k * inner + i,
                         data<int64_t>(indices) + o * k * inner + i, inner,
                         launch.ints[1] != 0});
        },
        length * 4);
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
