//===- MatMul.cpp - Batched products of activations -----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Gemm.h"
#include "runtime/kernels/host/Kernels.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

struct MatMulArgs {
  const Tensor *a, *b, *out;
  int64_t m, n, k;
  int64_t aRow, aK, bK, bCol; // element strides
  int64_t batches;
  int batchRank;
  double alpha;
};

/// First elements of batch `index` in a and b.
LLMC_INLINE void batchOffsets(const MatMulArgs &args, int64_t index,
                              int64_t &aOffset, int64_t &bOffset) {
  aOffset = bOffset = 0;
  int64_t aStride = args.m * args.k;
  int64_t bStride = args.k * args.n;
  for (int i = args.batchRank - 1; i >= 0; --i) {
    int64_t position = index % args.out->dims[i];
    index /= args.out->dims[i];
    int ai = i - (args.out->rank - args.a->rank);
    int bi = i - (args.out->rank - args.b->rank);
    if (ai >= 0) {
      aOffset += args.a->dims[ai] == 1 ? 0 : position * aStride;
      aStride *= args.a->dims[ai];
    }
    if (bi >= 0) {
      bOffset += args.b->dims[bi] == 1 ? 0 : position * bStride;
      bStride *= args.b->dims[bi];
    }
  }
}

void packB(const MatMulArgs &args, int64_t offset, int64_t k, int64_t depth,
           int64_t column, int64_t columns, float *panel) {
  DType type = args.b->dtype;
  if (args.bCol == 1) {
    for (int64_t i = 0; i < depth; ++i) {
      float *row = panel + i * kPanel;
      toFloats(type, args.b->data, offset + (k + i) * args.bK + column, row,
               columns);
      for (int64_t j = columns; j < kPanel; ++j) {
        row[j] = 0;
      }
    }
    return;
  }
  dispatchFloat(type, [&](auto tag) {
    auto *source = static_cast<const decltype(tag) *>(args.b->data) + offset +
                   k * args.bK + column * args.bCol;
    for (int64_t j = 0; j < kPanel; ++j) {
      for (int64_t i = 0; i < depth; ++i) {
        panel[i * kPanel + j] =
            j < columns ? float(source[i * args.bK + j * args.bCol]) : 0.0f;
      }
    }
  });
}

void floatTask(const MatMulArgs &args, int64_t batch, int64_t panel,
               int64_t row, int64_t rows, GemmScratch &scratch) {
  int64_t aOffset;
  int64_t bOffset;
  batchOffsets(args, batch, aOffset, bOffset);
  int64_t column = panel * kPanel;
  int64_t columns = minimum(kPanel, args.n - column);
  std::memset(scratch.tile, 0, rows * kPanel * sizeof(float));
  for (int64_t k = 0; k < args.k; k += kDepthBlock) {
    int64_t depth = minimum(kDepthBlock, args.k - k);
    const float *x = scratch.x;
    int64_t ldx = depth;
    if (args.a->dtype == DType::F32 && args.aK == 1) {
      x = data<const float>(*args.a) + aOffset + row * args.aRow + k;
      ldx = args.aRow;
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < depth; ++i) {
          scratch.x[r * depth + i] =
              loadFloat(args.a->dtype, args.a->data,
                        aOffset + (row + r) * args.aRow + (k + i) * args.aK);
        }
      }
    }
    packB(args, bOffset, k, depth, column, columns, scratch.w);
    gemmTile(rows, x, ldx, scratch.w, depth, scratch.tile);
  }
  float alpha = static_cast<float>(args.alpha);
  for (int64_t r = 0; r < rows; ++r) {
    float *sums = scratch.tile + r * kPanel;
    if (alpha != 1.0f) {
      for (int64_t i = 0; i < columns; ++i) {
        sums[i] *= alpha;
      }
    }
    fromFloats(args.out->dtype, sums, args.out->data,
               (batch * args.m + row + r) * args.n + column, columns);
  }
}

/// f64 and the integers, one output row at a time.
template <class T, class Sum>
void plainRow(const MatMulArgs &args, int64_t batch, int64_t row) {
  int64_t aOffset;
  int64_t bOffset;
  batchOffsets(args, batch, aOffset, bOffset);
  const T *a = data<const T>(*args.a) + aOffset + row * args.aRow;
  const T *b = data<const T>(*args.b) + bOffset;
  T *out = data<T>(*args.out) + (batch * args.m + row) * args.n;
  for (int64_t j = 0; j < args.n; ++j) {
    Sum sum = 0;
    for (int64_t k = 0; k < args.k; ++k) {
      sum += static_cast<Sum>(a[k * args.aK]) *
             static_cast<Sum>(b[k * args.bK + j * args.bCol]);
    }
    if constexpr (std::is_same_v<T, double>) {
      sum *= args.alpha;
    }
    out[j] = static_cast<T>(sum);
  }
}

} // namespace

Status matMul(const Launch &launch) {
  MatMulArgs args;
  args.a = &launch.operands[0];
  args.b = &launch.operands[1];
  args.out = &launch.operands[2];
  bool transA = launch.ints[0] != 0;
  bool transB = launch.ints[1] != 0;
  args.alpha = launch.floats.empty() ? 1.0 : launch.floats[0];
  int ra = args.a->rank;
  int rb = args.b->rank;
  int ro = args.out->rank;
  if (ra < 2 || rb < 2 || ro < 2 || ro < ra || ro < rb) {
    return kBadShape;
  }
  args.m = args.out->dims[ro - 2];
  args.n = args.out->dims[ro - 1];
  args.k = args.a->dims[transA ? ra - 2 : ra - 1];
  if (args.a->dims[transA ? ra - 1 : ra - 2] != args.m ||
      args.b->dims[transB ? rb - 1 : rb - 2] != args.k ||
      args.b->dims[transB ? rb - 2 : rb - 1] != args.n) {
    return kBadShape;
  }
  args.aRow = transA ? 1 : args.k;
  args.aK = transA ? args.m : 1;
  args.bK = transB ? 1 : args.n;
  args.bCol = transB ? args.k : 1;
  args.batchRank = ro - 2;
  args.batches = count(*args.out, 0, args.batchRank);
  if (args.batches * args.m * args.n == 0) {
    return nullptr;
  }
  DType type = args.a->dtype;
  if (isFloat32Like(type)) {
    if (!isFloat32Like(args.b->dtype) || !isFloat32Like(args.out->dtype)) {
      return kUnsupported;
    }
    int64_t panels = ceilDiv(args.n, kPanel);
    int64_t chunks = ceilDiv(args.m, kTileRows);
    launch.pool->parallelFor(
        args.batches * panels * chunks,
        [&](int64_t task, int thread) {
          int64_t row = task % chunks * kTileRows;
          floatTask(args, task / chunks / panels, task / chunks % panels, row,
                    minimum(kTileRows, args.m - row),
                    *static_cast<GemmScratch *>(launch.pool->scratch(thread)));
        },
        minimum(args.m + 2, kTileRows) * args.k * kPanel / 16);
    return nullptr;
  }
  if (args.b->dtype != type || args.out->dtype != type) {
    return kUnsupported;
  }
  auto rowsOf = [&](auto tag, auto sumTag) {
    launch.pool->parallelFor(
        args.batches * args.m,
        [&](int64_t task, int) {
          plainRow<decltype(tag), decltype(sumTag)>(args, task / args.m,
                                                    task % args.m);
        },
        args.n * args.k);
  };
  // Integers wrap as unsigned ones do.
  switch (type) {
  case DType::F64:
    rowsOf(double{}, double{});
    return nullptr;
  case DType::I32:
  case DType::U32:
    rowsOf(int32_t{}, uint32_t{});
    return nullptr;
  case DType::I64:
  case DType::U64:
    rowsOf(int64_t{}, uint64_t{});
    return nullptr;
  default:
    return kUnsupported;
  }
}

Status matMulInteger(const Launch &launch) {
  bool hasA = launch.ints[0] != 0;
  bool hasB = launch.ints[1] != 0;
  const Tensor &a = launch.operands[0];
  const Tensor &b = launch.operands[1];
  const Tensor *aZero = hasA ? &launch.operands[2] : nullptr;
  const Tensor *bZero = hasB ? &launch.operands[2 + hasA] : nullptr;
  const Tensor &out = launch.operands[2 + hasA + hasB];
  if (a.rank < 2 || b.rank < 2 || out.rank < 2 || out.rank < a.rank ||
      out.rank < b.rank) {
    return kBadShape;
  }
  MatMulArgs args;
  args.a = &a;
  args.b = &b;
  args.out = &out;
  args.m = out.dims[out.rank - 2];
  args.n = out.dims[out.rank - 1];
  args.k = a.dims[a.rank - 1];
  if (a.dims[a.rank - 2] != args.m || b.dims[b.rank - 2] != args.k ||
      b.dims[b.rank - 1] != args.n) {
    return kBadShape;
  }
  auto isByte = [](DType type) {
    return type == DType::I8 || type == DType::U8;
  };
  if (!isByte(a.dtype) || !isByte(b.dtype) || out.dtype != DType::I32) {
    return kUnsupported;
  }
  args.batchRank = out.rank - 2;
  args.batches = count(out, 0, args.batchRank);
  int64_t aZeros = aZero ? count(*aZero) : 0;
  int64_t bZeros = bZero ? count(*bZero) : 0;
  if ((aZeros > 1 && aZeros != args.m) || (bZeros > 1 && bZeros != args.n)) {
    return kBadShape;
  }
  int64_t total = args.batches * args.m;
  if (total * args.n == 0) {
    return nullptr;
  }
  // Tasks are (column block, row): a column block of b stays in the cache for
  // all rows.
  constexpr int64_t kColumns = 256;
  int64_t blocks = ceilDiv(args.n, kColumns);
  auto run = [&](auto bTag) {
    using B = decltype(bTag);
    launch.pool->parallelFor(
        total * blocks,
        [&](int64_t task, int) {
          int64_t row = task % total;
          int64_t column = task / total * kColumns;
          int64_t columns = minimum(kColumns, args.n - column);
          int64_t aOffset;
          int64_t bOffset;
          batchOffsets(args, row / args.m, aOffset, bOffset);
          int64_t m = row % args.m;
          int32_t zero =
              aZeros == 0 ? 0
                          : static_cast<int32_t>(loadInt(
                                aZero->dtype, aZero->data, aZeros > 1 ? m : 0));
          int32_t sums[kColumns] = {};
          int32_t zeros[kColumns];
          for (int64_t j = 0; j < columns; ++j) {
            zeros[j] = bZeros == 0 ? 0
                                   : static_cast<int32_t>(
                                         loadInt(bZero->dtype, bZero->data,
                                                 bZeros > 1 ? column + j : 0));
          }
          const B *bRow = data<const B>(b) + bOffset + column;
          for (int64_t k = 0; k < args.k; ++k, bRow += args.n) {
            int32_t value = static_cast<int32_t>(loadInt(
                                a.dtype, a.data, aOffset + m * args.k + k)) -
                            zero;
            for (int64_t j = 0; j < columns; ++j) {
              sums[j] = static_cast<int32_t>(
                  static_cast<uint32_t>(sums[j]) +
                  static_cast<uint32_t>(value * (bRow[j] - zeros[j])));
            }
          }
          std::memcpy(data<int32_t>(out) + row * args.n + column, sums,
                      columns * sizeof(int32_t));
        },
        args.k * minimum(args.n, kColumns) / 8);
  };
  if (b.dtype == DType::I8) {
    run(int8_t{});
  } else {
    run(uint8_t{});
  }
  return nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
