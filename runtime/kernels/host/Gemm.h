//===- Gemm.h - The inner product of panels --------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Panel: [K][64], 64 outputs side by side. Tile: [rows][64] sums in f32. Each
// sum is one chain over k in ascending order, wherever K is cut and however
// many rows go together, so a result does not depend on either.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_GEMM_H
#define LLMC_RUNTIME_KERNELS_HOST_GEMM_H

#include "runtime/kernels/host/Math.h"

namespace llmc::kernels::LLMC_ISA_NS {

constexpr int64_t kPanel = 64;
/// Rows of the largest register block.
constexpr int kRowBlock = 6;

/// Vectors of one row that a register block of R rows spans: as many as the
/// register file holds next to the weights.
template <int R> constexpr int columnVectors() {
#if defined(__AVX512F__)
  return 4;
#else
  return R == 1 ? 8 : (R == 2 ? 4 : 2);
#endif
}

/// tile[r][0..64) += x[r][k] * w[k][0..64) for r < R, ascending k < depth.
template <int R, class T>
LLMC_INLINE void gemmBlock(const float *x, int64_t ldx, const T *w,
                           int64_t depth, float *tile) {
  constexpr int C = columnVectors<R>();
  for (int column = 0; column < kPanel; column += C * kWidth) {
    VF sum[R][C];
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int c = 0; c < C; ++c) {
        sum[r][c] = vload(tile + r * kPanel + column + c * kWidth);
      }
    }
    const T *weights = w + column;
    for (int64_t k = 0; k < depth; ++k, weights += kPanel) {
      VF wk[C];
#pragma unroll
      for (int c = 0; c < C; ++c) {
        wk[c] = vload(weights + c * kWidth);
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        VF xk = vset(x[r * ldx + k]);
#pragma unroll
        for (int c = 0; c < C; ++c) {
          sum[r][c] = vfma(xk, wk[c], sum[r][c]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int c = 0; c < C; ++c) {
        vstore(tile + r * kPanel + column + c * kWidth, sum[r][c]);
      }
    }
  }
}

/// The same for any number of rows.
template <class T>
LLMC_INLINE void gemmTile(int64_t rows, const float *x, int64_t ldx, const T *w,
                          int64_t depth, float *tile) {
  for (; rows >= kRowBlock; rows -= kRowBlock) {
    gemmBlock<kRowBlock>(x, ldx, w, depth, tile);
    x += kRowBlock * ldx;
    tile += kRowBlock * kPanel;
  }
  switch (rows) {
  case 5:
    gemmBlock<5>(x, ldx, w, depth, tile);
    break;
  case 4:
    gemmBlock<4>(x, ldx, w, depth, tile);
    break;
  case 3:
    gemmBlock<3>(x, ldx, w, depth, tile);
    break;
  case 2:
    gemmBlock<2>(x, ldx, w, depth, tile);
    break;
  case 1:
    gemmBlock<1>(x, ldx, w, depth, tile);
    break;
  default:
    break;
  }
}

/// How a task's scratch is divided.
constexpr int64_t kTileRows = 96;
constexpr int64_t kDepthBlock = 256;     // k per block when rows are many
constexpr int64_t kDepthBlockFew = 2048; // and when they are few
struct GemmScratch {
  alignas(64) float tile[kTileRows * kPanel];
  alignas(64) float x[kTileRows * kDepthBlock];
  alignas(64) float w[kDepthBlock * kPanel];
};
static_assert(sizeof(GemmScratch) <= ThreadPool::kScratchBytes);
static_assert(kDepthBlockFew * kRowBlock <= kTileRows * kDepthBlock);

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_GEMM_H
