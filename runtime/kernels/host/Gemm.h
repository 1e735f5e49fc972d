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
// Where the hardware multiplies pairs of bf16 (AVX512-BF16), a bf16 input meets
// a bf16 weight in pairs (k, k + 1), k even; an odd K ends in a zero. The chain
// then has a link per pair, again for one row and many alike. Panels keep their
// form: two rows of one are interleaved in registers, or once for many rows.
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

/// sums[r][0..C vectors) += x[r][k] * w[k][0..C vectors), ascending k.
template <int R, int C, class T>
LLMC_INLINE void addProducts(const float *x, int64_t ldx, const T *w,
                             int64_t ldw, int64_t depth, float *sums,
                             int64_t lds) {
  VF sum[R][C];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int c = 0; c < C; ++c) {
      sum[r][c] = vload(sums + r * lds + c * kWidth);
    }
  }
  for (int64_t k = 0; k < depth; ++k, w += ldw) {
    VF wk[C];
#pragma unroll
    for (int c = 0; c < C; ++c) {
      wk[c] = vload(w + c * kWidth);
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
      vstore(sums + r * lds + c * kWidth, sum[r][c]);
    }
  }
}

/// tile[r][0..64) += x[r][k] * w[k][0..64) for r < R, ascending k < depth.
template <int R, class T>
LLMC_INLINE void gemmBlock(const float *x, int64_t ldx, const T *w,
                           int64_t depth, float *tile) {
  constexpr int C = columnVectors<R>();
  for (int column = 0; column < kPanel; column += C * kWidth) {
    addProducts<R, C>(x, ldx, w + column, kPanel, depth, tile + column, kPanel);
  }
}

/// body(std::integral_constant<int, rows>) for rows in 1 .. kRowBlock.
template <class Body> LLMC_INLINE void withRows(int64_t rows, Body body) {
  switch (rows) {
  case 6:
    return body(std::integral_constant<int, 6>{});
  case 5:
    return body(std::integral_constant<int, 5>{});
  case 4:
    return body(std::integral_constant<int, 4>{});
  case 3:
    return body(std::integral_constant<int, 3>{});
  case 2:
    return body(std::integral_constant<int, 2>{});
  default:
    return body(std::integral_constant<int, 1>{});
  }
}

/// gemmBlock for any number of rows.
template <class T>
LLMC_INLINE void gemmTile(int64_t rows, const float *x, int64_t ldx, const T *w,
                          int64_t depth, float *tile) {
  for (; rows >= kRowBlock; rows -= kRowBlock) {
    gemmBlock<kRowBlock>(x, ldx, w, depth, tile);
    x += kRowBlock * ldx;
    tile += kRowBlock * kPanel;
  }
  if (rows > 0) {
    withRows(rows, [&](auto some) LLMC_INLINE_LAMBDA {
      gemmBlock<decltype(some)::value>(x, ldx, w, depth, tile);
    });
  }
}

#if defined(__AVX512BF16__)
constexpr bool kHasPairs = true;

/// Rows k and k + 1 of half a panel, interleaved.
struct PairHalf {
  __m512i low, high; // outputs 0..15, 16..31
};
LLMC_INLINE PairHalf interleave(const BFloat *even, const BFloat *odd) {
  alignas(64) static constexpr uint16_t kOrder[64] = {
      0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
      8,  40, 9,  41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47,
      16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
      24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
  __m512i a = _mm512_loadu_si512(even);
  __m512i b = odd ? _mm512_loadu_si512(odd) : _mm512_setzero_si512();
  return {_mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder), b),
          _mm512_permutex2var_epi16(a, _mm512_load_si512(kOrder + 32), b)};
}
LLMC_INLINE VF vpairs(VF sum, __m512i x, __m512i w) {
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)x, (__m512bh)w)};
}
/// Elements k and k + 1 in every lane; zero for one that is not there.
LLMC_INLINE __m512i vsetPair(const BFloat *x, bool whole) {
  uint32_t pair = 0;
  std::memcpy(&pair, x, whole ? 4 : 2);
  return _mm512_set1_epi32(static_cast<int>(pair));
}

/// tile[r][0..64) += x[r][k] * w[k][0..64) for r < R by pairs, k < depth, which
/// is even unless K ends here. Weights come straight from the panel.
template <int R>
LLMC_INLINE void pairsFromPanel(const BFloat *x, int64_t ldx, const BFloat *w,
                                int64_t depth, float *tile) {
  VF sum[R][4];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      sum[r][c] = vload(tile + r * kPanel + c * kWidth);
    }
  }
  auto step = [&](int64_t k, bool whole) LLMC_INLINE_LAMBDA {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const BFloat *row = w + k * kPanel + half * 32;
      PairHalf pair = interleave(row, whole ? row + kPanel : nullptr);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        __m512i xk = vsetPair(x + r * ldx + k, whole);
        sum[r][2 * half] = vpairs(sum[r][2 * half], xk, pair.low);
        sum[r][2 * half + 1] = vpairs(sum[r][2 * half + 1], xk, pair.high);
      }
    }
  };
  int64_t k = 0;
  for (; k + 2 <= depth; k += 2) {
    step(k, true);
  }
  if (k < depth) {
    step(k, false);
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      vstore(tile + r * kPanel + c * kWidth, sum[r][c]);
    }
  }
}

/// [depth][64] of a panel -> [ceil(depth / 2)][64][2].
LLMC_INLINE void packPairs(const BFloat *w, int64_t depth, BFloat *pairs) {
  for (int64_t k = 0; k < depth; k += 2, pairs += 2 * kPanel) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const BFloat *row = w + k * kPanel + half * 32;
      PairHalf pair = interleave(row, k + 1 < depth ? row + kPanel : nullptr);
      _mm512_storeu_si512(pairs + half * 64, pair.low);
      _mm512_storeu_si512(pairs + half * 64 + 32, pair.high);
    }
  }
}

/// The same sums as pairsFromPanel, weights packed before. x is zero after an
/// odd depth.
template <int R>
LLMC_INLINE void pairsPacked(const BFloat *x, int64_t ldx, const BFloat *w,
                             int64_t depth, float *tile) {
  VF sum[R][4];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      sum[r][c] = vload(tile + r * kPanel + c * kWidth);
    }
  }
  for (int64_t k = 0; k < depth; k += 2, w += 2 * kPanel) {
    __m512i wk[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      wk[c] = _mm512_loadu_si512(w + c * 32);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      __m512i xk = vsetPair(x + r * ldx + k, true);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        sum[r][c] = vpairs(sum[r][c], xk, wk[c]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      vstore(tile + r * kPanel + c * kWidth, sum[r][c]);
    }
  }
}
#else
constexpr bool kHasPairs = false;
#endif

/// How a task's scratch is divided.
constexpr int64_t kTileRows = 96;
constexpr int64_t kTilePanels = 4;       // of a task of many rows
constexpr int64_t kDepthBlock = 256;     // k per block when rows are many
constexpr int64_t kDepthBlockFew = 2048; // and when they are few
static_assert(kDepthBlock % 2 == 0 && kDepthBlockFew % 2 == 0);
struct GemmScratch {
  alignas(64) float tile[kTilePanels * kTileRows * kPanel];
  alignas(64) float x[kTileRows * kDepthBlock];
  alignas(64) float w[kDepthBlock * kPanel];
};
static_assert(sizeof(GemmScratch) <= ThreadPool::kScratchBytes);
static_assert(kDepthBlockFew * kRowBlock <= kTileRows * kDepthBlock);

#if defined(__AVX512BF16__)
/// Rows of x side by side in `to`, each of an even length; returns that.
LLMC_INLINE int64_t packPairRows(const BFloat *x, int64_t ldx, int64_t rows,
                                 int64_t depth, BFloat *to) {
  int64_t length = (depth + 1) / 2 * 2;
  for (int64_t r = 0; r < rows; ++r) {
    to[(r + 1) * length - 1] = BFloat(0.0f);
    std::memcpy(to + r * length, x + r * ldx, depth * sizeof(BFloat));
  }
  return length;
}

/// pairsPacked for any number of rows.
LLMC_INLINE void pairsTile(int64_t rows, const BFloat *x, int64_t ldx,
                           const BFloat *w, int64_t depth, float *tile) {
  for (; rows >= kRowBlock; rows -= kRowBlock) {
    pairsPacked<kRowBlock>(x, ldx, w, depth, tile);
    x += kRowBlock * ldx;
    tile += kRowBlock * kPanel;
  }
  if (rows > 0) {
    withRows(rows, [&](auto some) LLMC_INLINE_LAMBDA {
      pairsPacked<decltype(some)::value>(x, ldx, w, depth, tile);
    });
  }
}
#endif

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_GEMM_H
