//===- Products.h - Rows against panels of weights -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What all kernels with packed float weights share. The sums are the same
// whichever kernel asks, however many rows, panels or threads there are.
//
// Few rows: a task is one panel (gated: both its halves), read once from
// memory. Many rows: a task is some panels against up to kTileRows rows, depth
// by blocks, so that a block of x serves all the panels and a block of a panel
// all the rows.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_PRODUCTS_H
#define LLMC_RUNTIME_KERNELS_HOST_PRODUCTS_H

#include "runtime/kernels/host/Gemm.h"

namespace llmc::kernels::LLMC_ISA_NS {

constexpr int64_t kMaxProducts = 8;

/// Outputs of a weight that go to one result.
struct Product {
  int64_t firstPanel; // of the weight, from which the outputs start
  int64_t outputs;
  const Tensor *out;
  int64_t total, first; // columns of out, and the one that output 0 goes to
};

/// Products of x with one weight: out = activation(x w + bias) [+ residual].
struct ProductArgs {
  const Tensor *x, *w;
  /// Elements as the outputs of w, those of a product from 64 * firstPanel on.
  const Tensor *bias = nullptr;
  const Tensor *residual = nullptr; // as the result of the only product
  /// Panels of w are [2 K][64]: the second half is a factor of the activated
  /// first.
  bool isGated = false;
  plan::Activation activation = plan::Activation::None;
  int64_t rows, depth;
  Product products[kMaxProducts];
  int64_t numProducts = 1;
};

/// What a task computes: panels [panel, panel + panels) of a product for rows
/// [row, row + rows).
struct Part {
  const Product *product;
  int64_t panel, panels, row, rows;
};

/// The weights of one of a part's tiles: gated products have two a panel, which
/// follow each other.
template <class T>
LLMC_INLINE const T *weightsOf(const ProductArgs &a, const Part &part,
                               int64_t tile) {
  int64_t factors = a.isGated ? 2 : 1;
  int64_t at = (part.product->firstPanel + part.panel) * factors + tile;
  return data<const T>(*a.w) + at * a.depth * kPanel;
}

/// Bias, activation, gate, residual, and the store of one panel.
LLMC_INLINE void finish(const ProductArgs &a, const Part &part, int64_t panel,
                        float *tile, float *other) {
  const Product &product = *part.product;
  int64_t first = panel * kPanel;
  int64_t n = minimum(kPanel, product.outputs - first);
  alignas(64) float bias[kPanel];
  if (a.bias) {
    toFloats(a.bias->dtype, a.bias->data, product.firstPanel * kPanel + first,
             bias, n);
  }
  for (int64_t r = 0; r < part.rows; ++r) {
    float *sums = tile + r * kPanel;
    int64_t at = (part.row + r) * product.total + product.first + first;
    if (a.bias) {
      for (int64_t i = 0; i < n; ++i) {
        sums[i] += bias[i];
      }
    }
    activate(a.activation, sums, n);
    if (a.isGated) {
      const float *factors = other + r * kPanel;
      for (int64_t i = 0; i < n; ++i) {
        sums[i] *= factors[i];
      }
    }
    if (a.residual) {
      alignas(64) float more[kPanel];
      toFloats(a.residual->dtype, a.residual->data, at, more, n);
      for (int64_t i = 0; i < n; ++i) {
        sums[i] += more[i];
      }
    }
    fromFloats(product.out->dtype, sums, product.out->data, at, n);
  }
}

/// Rows [row, row + rows) and depth [k, k + depth) of x in f32; copied into
/// `room` unless they are.
LLMC_INLINE const float *floatsOf(const ProductArgs &a, const Part &part,
                                  int64_t k, int64_t depth, float *room,
                                  int64_t &ldx) {
  if (a.x->dtype == DType::F32) {
    ldx = a.depth;
    return data<const float>(*a.x) + part.row * a.depth + k;
  }
  for (int64_t r = 0; r < part.rows; ++r) {
    toFloats(a.x->dtype, a.x->data, (part.row + r) * a.depth + k,
             room + r * depth, depth);
  }
  ldx = depth;
  return room;
}

/// At most kRowBlock rows.
template <class T, bool kPairs>
void fewRows(const ProductArgs &a, const Part &part, GemmScratch &scratch) {
  int64_t factors = a.isGated ? 2 : 1;
  for (int64_t panel = 0; panel < part.panels; ++panel) {
    std::memset(scratch.tile, 0, factors * part.rows * kPanel * sizeof(float));
    for (int64_t factor = 0; factor < factors; ++factor) {
      float *tile = scratch.tile + factor * part.rows * kPanel;
      const T *w = weightsOf<T>(a, part, panel * factors + factor);
#if defined(__AVX512BF16__)
      if constexpr (kPairs) {
        const BFloat *x = data<const BFloat>(*a.x) + part.row * a.depth;
        withRows(part.rows, [&](auto rows) LLMC_INLINE_LAMBDA {
          pairsFromPanel<decltype(rows)::value>(x, a.depth, w, a.depth, tile);
        });
        continue;
      }
#endif
      for (int64_t k = 0; k < a.depth; k += kDepthBlockFew) {
        int64_t depth = minimum(kDepthBlockFew, a.depth - k);
        int64_t ldx;
        const float *x = floatsOf(a, part, k, depth, scratch.x, ldx);
        gemmTile(part.rows, x, ldx, w + k * kPanel, depth, tile);
      }
    }
    finish(a, part, part.panel + panel, scratch.tile,
           scratch.tile + part.rows * kPanel);
  }
}

template <class T, bool kPairs>
void manyRows(const ProductArgs &a, const Part &part, GemmScratch &scratch) {
  int64_t tiles = part.panels * (a.isGated ? 2 : 1);
  int64_t tileSize = part.rows * kPanel;
  std::memset(scratch.tile, 0, tiles * tileSize * sizeof(float));
  for (int64_t k = 0; k < a.depth; k += kDepthBlock) {
    int64_t depth = minimum(kDepthBlock, a.depth - k);
    int64_t ldx = 0;
    const float *x = nullptr;
    if constexpr (kPairs) {
#if defined(__AVX512BF16__)
      ldx = packPairRows(data<const BFloat>(*a.x) + part.row * a.depth + k,
                         a.depth, part.rows, depth,
                         reinterpret_cast<BFloat *>(scratch.x));
#endif
    } else {
      x = floatsOf(a, part, k, depth, scratch.x, ldx);
    }
    for (int64_t t = 0; t < tiles; ++t) {
      float *tile = scratch.tile + t * tileSize;
      const T *w = weightsOf<T>(a, part, t) + k * kPanel;
      if constexpr (kPairs) {
#if defined(__AVX512BF16__)
        auto *pairs = reinterpret_cast<BFloat *>(scratch.w);
        auto *xs = reinterpret_cast<const BFloat *>(scratch.x);
        packPairs(w, depth, pairs);
        pairsTile(part.rows, xs, ldx, pairs, depth, tile);
#endif
      } else if constexpr (std::is_same_v<T, float>) {
        gemmTile(part.rows, x, ldx, w, depth, tile);
      } else {
        toFloats(w, scratch.w, depth * kPanel);
        gemmTile(part.rows, x, ldx, scratch.w, depth, tile);
      }
    }
  }
  int64_t factors = a.isGated ? 2 : 1;
  for (int64_t panel = 0; panel < part.panels; ++panel) {
    float *tile = scratch.tile + panel * factors * tileSize;
    finish(a, part, part.panel + panel, tile, tile + tileSize);
  }
}

/// Runs them all. Operands fit each other: the kernels have seen to that.
inline Status runProducts(const Launch &launch, const ProductArgs &a) {
  int64_t panels = 0;
  for (int64_t i = 0; i < a.numProducts; ++i) {
    panels += ceilDiv(a.products[i].outputs, kPanel);
  }
  if (panels == 0 || a.rows == 0) {
    return nullptr;
  }
  bool isFew = a.rows <= kRowBlock;
  int64_t factors = a.isGated ? 2 : 1;
  int64_t chunks = ceilDiv(a.rows, kTileRows);
  // Even chunks, in whole blocks of rows.
  int64_t chunkRows = ceilDiv(ceilDiv(a.rows, chunks), kRowBlock) * kRowBlock;
  chunks = ceilDiv(a.rows, chunkRows);
  // Several panels together where enough tasks are left for all threads.
  int64_t together =
      isFew ? 1
            : maximum(1, minimum(kTilePanels / factors,
                                 panels * chunks /
                                     (launch.pool->numThreads() * 12)));
  int64_t groups[kMaxProducts];
  int64_t numGroups = 0;
  for (int64_t i = 0; i < a.numProducts; ++i) {
    groups[i] = ceilDiv(ceilDiv(a.products[i].outputs, kPanel), together);
    numGroups += groups[i];
  }
  int64_t cost =
      minimum(a.rows, chunkRows) * a.depth * kPanel * factors * together / 16;
  auto each = [&](auto tag, auto pairs) {
    using T = decltype(tag);
    constexpr bool kPairs = decltype(pairs)::value;
    launch.pool->parallelFor(
        numGroups * chunks,
        [&](int64_t task, int thread) {
          // Panels outermost: each weight comes from memory once.
          int64_t group = task / chunks;
          int64_t i = 0;
          while (group >= groups[i]) {
            group -= groups[i++];
          }
          const Product &product = a.products[i];
          Part part;
          part.product = &product;
          part.panel = group * together;
          part.panels =
              minimum(together, ceilDiv(product.outputs, kPanel) - part.panel);
          part.row = task % chunks * chunkRows;
          part.rows = minimum(chunkRows, a.rows - part.row);
          auto &scratch =
              *static_cast<GemmScratch *>(launch.pool->scratch(thread));
          if (isFew) {
            fewRows<T, kPairs>(a, part, scratch);
          } else {
            manyRows<T, kPairs>(a, part, scratch);
          }
        },
        cost);
  };
  bool known = dispatchFloat(a.w->dtype, [&](auto tag) {
    if constexpr (kHasPairs && std::is_same_v<decltype(tag), BFloat>) {
      if (a.x->dtype == DType::BF16) {
        each(tag, std::true_type{});
        return;
      }
    }
    each(tag, std::false_type{});
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_PRODUCTS_H
