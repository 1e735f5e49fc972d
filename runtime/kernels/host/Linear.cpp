//===- Linear.cpp - Products with packed weights --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Gemm.h"
#include "runtime/kernels/host/Kernels.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

struct LinearArgs {
  const Tensor *x, *w, *bias, *out;
  plan::Activation activation;
  int64_t rows, depth, outputs;
  int64_t total, first; // columns of out, and the one that output 0 goes to
};

/// Rows [row, row + rows) of panel `panel`.
template <class T>
void linearTask(const LinearArgs &a, int64_t panel, int64_t row, int64_t rows,
                GemmScratch &scratch) {
  const T *w = data<const T>(*a.w) + panel * a.depth * kPanel;
  bool few = rows <= kRowBlock;
  int64_t block = few ? kDepthBlockFew : kDepthBlock;
  std::memset(scratch.tile, 0, rows * kPanel * sizeof(float));
  for (int64_t k = 0; k < a.depth; k += block) {
    int64_t depth = minimum(block, a.depth - k);
    const float *x;
    int64_t ldx;
    if (a.x->dtype == DType::F32) {
      x = data<const float>(*a.x) + row * a.depth + k;
      ldx = a.depth;
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        toFloats(a.x->dtype, a.x->data, (row + r) * a.depth + k,
                 scratch.x + r * depth, depth);
      }
      x = scratch.x;
      ldx = depth;
    }
    const T *wk = w + k * kPanel;
    if constexpr (std::is_same_v<T, float>) {
      gemmTile(rows, x, ldx, wk, depth, scratch.tile);
    } else if (few) {
      gemmTile(rows, x, ldx, wk, depth, scratch.tile);
    } else {
      toFloats(wk, scratch.w, depth * kPanel);
      gemmTile(rows, x, ldx, scratch.w, depth, scratch.tile);
    }
  }
  int64_t first = panel * kPanel;
  int64_t n = minimum(kPanel, a.outputs - first);
  float bias[kPanel];
  if (a.bias) {
    toFloats(a.bias->dtype, a.bias->data, first, bias, n);
  }
  for (int64_t r = 0; r < rows; ++r) {
    float *sums = scratch.tile + r * kPanel;
    if (a.bias) {
      for (int64_t i = 0; i < n; ++i) {
        sums[i] += bias[i];
      }
    }
    activate(a.activation, sums, n);
    fromFloats(a.out->dtype, sums, a.out->data,
               (row + r) * a.total + a.first + first, n);
  }
}

} // namespace

Status linear(const Launch &launch) {
  bool hasBias = launch.ints[0] != 0;
  LinearArgs a;
  a.x = &launch.operands[0];
  a.w = &launch.operands[1];
  a.bias = hasBias ? &launch.operands[2] : nullptr;
  a.out = &launch.operands[hasBias ? 3 : 2];
  a.activation = static_cast<plan::Activation>(launch.ints[1]);
  if (a.w->rank != 2 || a.x->rank < 1 || a.out->rank < 1 ||
      a.x->dims[a.x->rank - 1] != a.w->dims[1]) {
    return kBadShape;
  }
  bool isPiece = launch.ints.size() > 2;
  a.total = a.out->dims[a.out->rank - 1];
  a.first = isPiece ? launch.ints[2] : 0;
  if (a.first < 0 || a.first + a.w->dims[0] > a.total ||
      (!isPiece && a.w->dims[0] != a.total)) {
    return kBadShape;
  }
  if (a.w->packing != plan::Packing::Panel64) {
    return "linear needs a weight in 64-output panels";
  }
  if (!isFloat32Like(a.x->dtype) || !isFloat32Like(a.out->dtype) ||
      (hasBias && !isFloat32Like(a.bias->dtype))) {
    return kUnsupported;
  }
  a.outputs = a.w->dims[0];
  a.depth = a.w->dims[1];
  a.rows = count(*a.x, 0, a.x->rank - 1);
  int64_t panels = ceilDiv(a.outputs, kPanel);
  int64_t chunks = ceilDiv(a.rows, kTileRows);
  if (panels == 0 || chunks == 0) {
    return nullptr;
  }
  int64_t cost = minimum(a.rows, kTileRows) * a.depth * kPanel / 16;
  bool known = dispatchFloat(a.w->dtype, [&](auto tag) {
    using T = decltype(tag);
    launch.pool->parallelFor(
        panels * chunks,
        [&](int64_t task, int thread) {
          // Panels outermost: each weight comes from memory once.
          int64_t row = task % chunks * kTileRows;
          linearTask<T>(
              a, task / chunks, row, minimum(kTileRows, a.rows - row),
              *static_cast<GemmScratch *>(launch.pool->scratch(thread)));
        },
        cost);
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
