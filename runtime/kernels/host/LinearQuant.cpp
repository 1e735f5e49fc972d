//===- LinearQuant.cpp - Products with quantized weights ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Codes lie row by row (one output's k side by side), so a sum runs in
// kWidth chains, chain l over k = l, l + kWidth, .. in ascending order, joined
// at the end. A piece of a few outputs' weights is expanded to f32 in scratch
// and used for all rows; never more than that exists.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Math.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kDepth = 1024;  // k expanded at a time
constexpr int64_t kOutputs = 4;   // outputs expanded at a time
constexpr int64_t kRowsTask = 64; // rows of x per task
constexpr int64_t kRowStep = 4;

struct QuantTable {
  const Tensor *codes, *scales, *zeros, *blocks; // the last two optional
  int64_t outputs, depth;
  int64_t bits, blockSize, zero;
  int64_t numBlocks, rowBytes;
};

/// Checks the tensors against the integers.
Status prepare(QuantTable &t) {
  if ((t.bits != 4 && t.bits != 8) || t.blockSize <= 0 || t.outputs < 0 ||
      t.depth < 0) {
    return kBadShape;
  }
  t.numBlocks = ceilDiv(t.depth, t.blockSize);
  t.rowBytes = ceilDiv(t.numBlocks * t.blockSize * t.bits, 8);
  if (count(*t.codes) != t.outputs * t.rowBytes ||
      count(*t.scales) != t.outputs * t.numBlocks ||
      (t.zeros && count(*t.zeros) != t.outputs * t.numBlocks) ||
      (t.blocks && count(*t.blocks) != t.depth)) {
    return kBadShape;
  }
  if (t.codes->dtype != DType::U8 || !isFloat32Like(t.scales->dtype) ||
      (t.zeros && t.zeros->dtype != DType::U8 &&
       !isFloat32Like(t.zeros->dtype)) ||
      (t.blocks && t.blocks->dtype != DType::I32)) {
    return kUnsupported;
  }
  if (t.blocks) {
    for (int64_t k = 0; k < t.depth; ++k) {
      int32_t block = data<const int32_t>(*t.blocks)[k];
      if (block < 0 || block >= t.numBlocks) {
        return kOutOfRange;
      }
    }
  }
  return nullptr;
}

LLMC_INLINE float zeroOf(const QuantTable &t, int64_t at) {
  if (!t.zeros) {
    return static_cast<float>(t.zero);
  }
  return t.zeros->dtype == DType::U8
             ? static_cast<float>(data<const uint8_t>(*t.zeros)[at])
             : loadFloat(t.zeros->dtype, t.zeros->data, at);
}

/// out[i] = (code - zero) * scale for n codes from an even place on.
LLMC_INLINE void expandRun(const uint8_t *codes, int64_t bits, float zero,
                           float scale, int64_t n, float *out) {
  VF zeros = vset(zero);
  VF scales = vset(scale);
  int64_t i = 0;
  if (bits == 8) {
    for (; i + kWidth <= n; i += kWidth) {
      vstore(out + i, vmul(vsub(vcodes8(codes + i), zeros), scales));
    }
    for (; i < n; ++i) {
      out[i] = (static_cast<float>(codes[i]) - zero) * scale;
    }
    return;
  }
  for (; i + kWidth <= n; i += kWidth) {
    vstore(out + i, vmul(vsub(vcodes4(codes + i / 2), zeros), scales));
  }
  for (; i + 2 <= n; i += 2) {
    out[i] = (static_cast<float>(codes[i / 2] & 15) - zero) * scale;
    out[i + 1] = (static_cast<float>(codes[i / 2] >> 4) - zero) * scale;
  }
  if (i < n) {
    out[i] = (static_cast<float>(codes[i / 2] & 15) - zero) * scale;
  }
}

/// Weights [first, first + n) of one output; `first` is even.
void expand(const QuantTable &t, int64_t output, int64_t first, int64_t n,
            float *out) {
  const uint8_t *codes = data<const uint8_t>(*t.codes) + output * t.rowBytes;
  int64_t row = output * t.numBlocks;
  if (t.blocks) {
    const int32_t *blocks = data<const int32_t>(*t.blocks);
    for (int64_t i = 0; i < n; ++i) {
      int64_t k = first + i;
      int64_t at = row + blocks[k];
      int code = t.bits == 8 ? codes[k] : (codes[k / 2] >> (k % 2 * 4)) & 15;
      out[i] = (static_cast<float>(code) - zeroOf(t, at)) *
               loadFloat(t.scales->dtype, t.scales->data, at);
    }
    return;
  }
  for (int64_t i = 0; i < n;) {
    int64_t k = first + i;
    int64_t run = minimum(n - i, t.blockSize - k % t.blockSize);
    int64_t at = row + k / t.blockSize;
    float zero = zeroOf(t, at);
    float scale = loadFloat(t.scales->dtype, t.scales->data, at);
    if (t.bits == 4 && k % 2 != 0) { // after a block of odd size
      out[i++] = (static_cast<float>(codes[k / 2] >> 4) - zero) * scale;
      if (--run == 0) {
        continue;
      }
      ++k;
    }
    expandRun(codes + k * t.bits / 8, t.bits, zero, scale, run, out + i);
    i += run;
  }
}

struct QuantScratch {
  alignas(64) float w[kOutputs * kDepth];
  alignas(64) float x[kRowsTask * kDepth / 2]; // for x that is not f32
  alignas(64) float sums[kRowsTask * kOutputs * kWidth];
};
static_assert(sizeof(QuantScratch) <= ThreadPool::kScratchBytes);

/// sums[r][o] (vectors) += x[r] . w[o] over `depth`, a multiple of kWidth but
/// for the last piece.
template <int R>
LLMC_INLINE void dotBlock(const float *x, int64_t ldx, const float *w,
                          int64_t depth, float *sums) {
  VF sum[R][kOutputs];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      sum[r][o] = vload(sums + (r * kOutputs + o) * kWidth);
    }
  }
  auto step = [&](int64_t k, auto load) {
    VF xs[R];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      xs[r] = load(x + r * ldx + k);
    }
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      VF wk = load(w + o * kDepth + k);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        sum[r][o] = vfma(xs[r], wk, sum[r][o]);
      }
    }
  };
  int64_t k = 0;
  for (; k + kWidth <= depth; k += kWidth) {
    step(k, [](const float *p) { return vload(p); });
  }
  if (k < depth) {
    int64_t rest = depth - k;
    step(k, [rest](const float *p) { return vloadPart(p, rest); });
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      vstore(sums + (r * kOutputs + o) * kWidth, sum[r][o]);
    }
  }
}

struct LinearQuantArgs {
  QuantTable table;
  const Tensor *x, *bias, *out;
  plan::Activation activation;
  int64_t total, first; // columns of out, and the one that output 0 goes to
};

void quantTask(const LinearQuantArgs &a, int64_t output, int64_t row,
               int64_t rows, QuantScratch &scratch) {
  const QuantTable &t = a.table;
  int64_t outputs = minimum(kOutputs, t.outputs - output);
  std::memset(scratch.sums, 0, rows * kOutputs * kWidth * sizeof(float));
  bool plain = a.x->dtype == DType::F32;
  int64_t depthStep = plain ? kDepth : kDepth / 2;
  for (int64_t k = 0; k < t.depth; k += depthStep) {
    int64_t depth = minimum(depthStep, t.depth - k);
    for (int64_t o = 0; o < kOutputs; ++o) {
      float *w = scratch.w + o * kDepth;
      if (o < outputs) {
        expand(t, output + o, k, depth, w);
      } else {
        std::memset(w, 0, depth * sizeof(float));
      }
    }
    const float *x;
    int64_t ldx = depth;
    if (plain) {
      x = data<const float>(*a.x) + row * t.depth + k;
      ldx = t.depth;
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        toFloats(a.x->dtype, a.x->data, (row + r) * t.depth + k,
                 scratch.x + r * depth, depth);
      }
      x = scratch.x;
    }
    int64_t r = 0;
    for (; r + kRowStep <= rows; r += kRowStep) {
      dotBlock<kRowStep>(x + r * ldx, ldx, scratch.w, depth,
                         scratch.sums + r * kOutputs * kWidth);
    }
    for (; r < rows; ++r) {
      dotBlock<1>(x + r * ldx, ldx, scratch.w, depth,
                  scratch.sums + r * kOutputs * kWidth);
    }
  }
  float bias[kOutputs];
  if (a.bias) {
    toFloats(a.bias->dtype, a.bias->data, output, bias, outputs);
  }
  for (int64_t r = 0; r < rows; ++r) {
    float values[kOutputs];
    for (int64_t o = 0; o < outputs; ++o) {
      values[o] = vsum(vload(scratch.sums + (r * kOutputs + o) * kWidth));
      values[o] += a.bias ? bias[o] : 0.0f;
    }
    activate(a.activation, values, outputs);
    fromFloats(a.out->dtype, values, a.out->data,
               (row + r) * a.total + a.first + output, outputs);
  }
}

} // namespace

Status linearQuant(const Launch &launch) {
  LinearQuantArgs a;
  QuantTable &t = a.table;
  bool hasZeros = launch.ints[4] != 0;
  bool hasBlocks = launch.ints[5] != 0;
  bool hasBias = launch.ints[6] != 0;
  a.activation = static_cast<plan::Activation>(launch.ints[7]);
  t.outputs = launch.ints[0];
  t.depth = launch.ints[1];
  t.bits = launch.ints[2];
  t.blockSize = launch.ints[3];
  t.zero = launch.ints[8];
  int next = 3;
  a.x = &launch.operands[0];
  t.codes = &launch.operands[1];
  t.scales = &launch.operands[2];
  t.zeros = hasZeros ? &launch.operands[next++] : nullptr;
  t.blocks = hasBlocks ? &launch.operands[next++] : nullptr;
  a.bias = hasBias ? &launch.operands[next++] : nullptr;
  a.out = &launch.operands[next];
  if (Status error = prepare(t)) {
    return error;
  }
  if (a.x->rank < 1 || a.x->dims[a.x->rank - 1] != t.depth ||
      (hasBias && count(*a.bias) != t.outputs)) {
    return kBadShape;
  }
  int64_t rows = count(*a.x, 0, a.x->rank - 1);
  bool isPiece = launch.ints.size() > 9;
  a.total = isPiece ? a.out->dims[a.out->rank - 1] : t.outputs;
  a.first = isPiece ? launch.ints[9] : 0;
  if (count(*a.out) != rows * a.total || a.first < 0 ||
      a.first + t.outputs > a.total) {
    return kBadShape;
  }
  if (!isFloat32Like(a.x->dtype) || !isFloat32Like(a.out->dtype) ||
      (hasBias && !isFloat32Like(a.bias->dtype))) {
    return kUnsupported;
  }
  int64_t chunks = ceilDiv(rows, kRowsTask);
  launch.pool->parallelFor(
      ceilDiv(t.outputs, kOutputs) * chunks,
      [&](int64_t task, int thread) {
        int64_t row = task % chunks * kRowsTask;
        quantTask(a, task / chunks * kOutputs, row,
                  minimum(kRowsTask, rows - row),
                  *static_cast<QuantScratch *>(launch.pool->scratch(thread)));
      },
      kOutputs * t.depth * (minimum(rows, kRowsTask) + 4) / 16);
  return nullptr;
}

Status gatherQuant(const Launch &launch) {
  QuantTable t;
  bool hasZeros = launch.ints[4] != 0;
  t.outputs = launch.ints[0];
  t.depth = launch.ints[1];
  t.bits = launch.ints[2];
  t.blockSize = launch.ints[3];
  t.zero = launch.ints[5];
  t.codes = &launch.operands[0];
  t.scales = &launch.operands[1];
  t.zeros = hasZeros ? &launch.operands[2] : nullptr;
  t.blocks = nullptr;
  const Tensor &indices = launch.operands[2 + hasZeros];
  const Tensor &out = launch.operands[3 + hasZeros];
  if (Status error = prepare(t)) {
    return error;
  }
  int64_t picks = count(indices);
  if (count(out) != picks * t.depth) {
    return kBadShape;
  }
  if (!isIndexType(indices.dtype) || !isFloat32Like(out.dtype)) {
    return kUnsupported;
  }
  for (int64_t i = 0; i < picks; ++i) {
    int64_t row = loadInt(indices.dtype, indices.data, i);
    if (row < -t.outputs || row >= t.outputs) {
      return kOutOfRange;
    }
  }
  launch.pool->parallelFor(
      picks,
      [&](int64_t i, int thread) {
        int64_t row = loadInt(indices.dtype, indices.data, i);
        row = row < 0 ? row + t.outputs : row;
        auto *part = static_cast<float *>(launch.pool->scratch(thread));
        for (int64_t k = 0; k < t.depth; k += kDepth) {
          int64_t n = minimum(kDepth, t.depth - k);
          expand(t, row, k, n, part);
          fromFloats(out.dtype, part, out.data, i * t.depth + k, n);
        }
      },
      t.depth / 4);
  return nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
