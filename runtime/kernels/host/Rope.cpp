//===- Rope.cpp - Rotary position embedding -------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

/// One vector of `depth` features. `out` may be `x`: each pair is read before
/// it is written.
template <class T, class C>
void rotate(const T *x, const C *cosines, const C *sines, T *out,
            int64_t rotated, int64_t depth, bool interleaved) {
  int64_t half = rotated / 2;
  int64_t step = interleaved ? 2 : 1;
  int64_t other = interleaved ? 1 : half;
  for (int64_t i = 0; i < half; ++i) {
    float a = x[i * step];
    float b = x[i * step + other];
    float c = cosines[i];
    float s = sines[i];
    out[i * step] = a * c - b * s;
    out[i * step + other] = b * c + a * s;
  }
  if (out != x) {
    for (int64_t i = 2 * half; i < depth; ++i) {
      out[i] = x[i];
    }
  }
}

} // namespace

Status rope(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &cosines = launch.operands[1];
  const Tensor &sines = launch.operands[2];
  const Tensor &out = launch.operands[3];
  bool rowsFirst = launch.ints[0] != 0;
  bool interleaved = launch.ints[1] != 0;
  int64_t rotated = launch.ints[2];
  if (x.rank != 4 || count(out) != count(x)) {
    return kBadShape;
  }
  int64_t batch = x.dims[0];
  int64_t heads = x.dims[rowsFirst ? 2 : 1];
  int64_t length = x.dims[rowsFirst ? 1 : 2];
  int64_t depth = x.dims[3];
  if (rotated < 0 || rotated > depth || rotated % 2 != 0 || cosines.rank < 2 ||
      cosines.rank > 3 || sines.rank != cosines.rank) {
    return kBadShape;
  }
  int last = cosines.rank - 1;
  int64_t stride = cosines.dims[last];
  bool perBatch = cosines.rank == 3 && cosines.dims[0] != 1;
  bool repeats = cosines.dims[last - 1] == 1;
  if (stride < rotated / 2 || sines.dims[last] != stride ||
      count(sines) != count(cosines) ||
      (!repeats && cosines.dims[last - 1] != length) ||
      (perBatch && cosines.dims[0] != batch)) {
    return kBadShape;
  }
  if (out.dtype != x.dtype || sines.dtype != cosines.dtype) {
    return kUnsupported;
  }
  bool known = false;
  dispatchFloat(x.dtype, [&](auto tag) {
    known = dispatchFloat(cosines.dtype, [&](auto tableTag) {
      using T = decltype(tag);
      using C = decltype(tableTag);
      // A task is one position: all its heads use the same angles.
      launch.pool->parallelFor(
          batch * length,
          [&](int64_t task, int) {
            int64_t b = task / length;
            int64_t s = task % length;
            int64_t row = repeats ? 0 : s;
            if (perBatch) {
              row += b * cosines.dims[1];
            }
            for (int64_t h = 0; h < heads; ++h) {
              int64_t vector = rowsFirst ? (b * length + s) * heads + h
                                         : (b * heads + h) * length + s;
              rotate(data<const T>(x) + vector * depth,
                     data<const C>(cosines) + row * stride,
                     data<const C>(sines) + row * stride,
                     data<T>(out) + vector * depth, rotated, depth,
                     interleaved);
            }
          },
          heads * depth / 2);
    });
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
