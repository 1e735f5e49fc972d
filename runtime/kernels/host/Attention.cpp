//===- Attention.cpp - Block-wise attention with an online softmax --------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A task is one head of k and v and up to kRows rows of the query heads that
// share it. Keys come in chunks of kKeys that start at absolute multiples of
// kKeys, whatever the block size of the state, the rows of the call or the
// mask. Within a chunk a row touches only the keys it sees, so that it comes
// out the same alone as together with others, and so that tokens that are not
// there yet are never read.
//
// Since chunks start at multiples of kKeys, keys can come in several launches
// that end there: each takes up the rows' sums, largest scores and weights
// where the one before left them in `carry`, and no bit changes.
//
// Keys and values may be two slices of one state: a block holds all slices of
// its tokens, one after the other.
//
// With a window a row may also see the first tokens (sinks). Where these do not
// touch its window they are walked first, by themselves. A state may be
// bounded: then only its first blocks and a ring of later ones are there.
//
// Order of the score's modifications: scale, softcap, bias.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Math.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kRows = 16;
constexpr int64_t kKeys = 64;
constexpr int64_t kMaxHead = 1024; // features of a head
static_assert(kKeys % kWidth == 0);

struct AttentionScratch {
  alignas(64) float q[kRows * kMaxHead];
  alignas(64) float sums[kRows * kMaxHead];
  alignas(64) float scores[kRows * kKeys];
};
static_assert(sizeof(AttentionScratch) <= ThreadPool::kScratchBytes);

struct AttentionArgs {
  const Tensor *q, *k, *v, *bias, *sinks;
  const Tensor *out;           // of the last part
  float *carry;                // nullptr: all keys are here
  int64_t firstKey, beyondKey; // those of this launch
  bool isFirst, isLast;        // part
  int64_t batch, heads, kvHeads, group;
  int64_t queries, tokens; // S, T
  int64_t depth, depthV;   // features of q and k, and of v
  int64_t block;           // tokens per block of k and v
  int64_t slices;          // [B, Hkv, block, D] that a block of them holds
  int64_t kSlice, vSlice;
  bool rowsFirst; // [B, S, H, D]
  bool causal;
  int64_t window;
  int64_t sinkTokens;             // seen beside the window
  int64_t sinkBlocks, ringBlocks; // of k and v; ringBlocks 0: all are there
  float scale, softcap;
  int64_t biasStride[4];
};

/// The dot product of a padded query row with one key.
template <class T>
LLMC_INLINE float dot(const float *q, const T *k, int64_t depth) {
  VF sum = vzero();
  int64_t d = 0;
  for (; d + kWidth <= depth; d += kWidth) {
    sum = vfma(vload(q + d), vload(k + d), sum);
  }
  if (d < depth) {
    sum = vfma(vload(q + d), vloadPart(k + d, depth - d), sum);
  }
  return vsum(sum);
}

/// The same for R rows (`stride` apart) and two keys at a time.
template <int R, class T>
LLMC_INLINE void dots(const float *q, int64_t stride, const T *k0, const T *k1,
                      int64_t depth, float *scores) {
  VF sum[R][2];
  for (int r = 0; r < R; ++r) {
    sum[r][0] = sum[r][1] = vzero();
  }
  int64_t d = 0;
  for (; d + kWidth <= depth; d += kWidth) {
    VF a = vload(k0 + d);
    VF b = vload(k1 + d);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      VF x = vload(q + r * stride + d);
      sum[r][0] = vfma(x, a, sum[r][0]);
      sum[r][1] = vfma(x, b, sum[r][1]);
    }
  }
  if (d < depth) {
    VF a = vloadPart(k0 + d, depth - d);
    VF b = vloadPart(k1 + d, depth - d);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      VF x = vload(q + r * stride + d);
      sum[r][0] = vfma(x, a, sum[r][0]);
      sum[r][1] = vfma(x, b, sum[r][1]);
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    scores[r * kKeys] = vsum(sum[r][0]);
    scores[r * kKeys + 1] = vsum(sum[r][1]);
  }
}

/// sums[r][0..depth) += p[r][j] * v[j] over keys [begin, end), ascending.
template <int R, class T>
LLMC_INLINE void weigh(const float *p, const T *const *v, int64_t begin,
                       int64_t end, float *sums, int64_t stride,
                       int64_t depth) {
  constexpr int C = R == 1 ? 4 : 2;
  int64_t d = 0;
  auto columns = [&](auto vectors, auto load, auto store) {
    constexpr int N = decltype(vectors)::value;
    VF sum[R][N];
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int c = 0; c < N; ++c) {
        sum[r][c] = vload(sums + r * stride + d + c * kWidth);
      }
    }
    for (int64_t j = begin; j < end; ++j) {
      VF value[N];
#pragma unroll
      for (int c = 0; c < N; ++c) {
        value[c] = load(v[j] + d + c * kWidth);
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        VF weight = vset(p[r * kKeys + j]);
#pragma unroll
        for (int c = 0; c < N; ++c) {
          sum[r][c] = vfma(weight, value[c], sum[r][c]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int c = 0; c < N; ++c) {
        store(sums + r * stride + d + c * kWidth, sum[r][c]);
      }
    }
  };
  auto whole = [](const T *at) { return vload(at); };
  auto keep = [](float *at, VF value) { vstore(at, value); };
  for (; d + C * kWidth <= depth; d += C * kWidth) {
    columns(std::integral_constant<int, C>{}, whole, keep);
  }
  for (; d + kWidth <= depth; d += kWidth) {
    columns(std::integral_constant<int, 1>{}, whole, keep);
  }
  if (d < depth) {
    // Rows of `sums` are padded, those of v are not.
    int64_t rest = depth - d;
    columns(
        std::integral_constant<int, 1>{},
        [rest](const T *at) { return vloadPart(at, rest); }, keep);
  }
}

/// What a task knows of one of its rows.
struct Row {
  int64_t begin, end; // keys it sees
  int64_t sinkEnd;    // and [0, sinkEnd), which does not touch these
  int64_t offset;     // of its features in q (by depth) and out (by depthV)
  int64_t bias;       // of its first key in bias
  float top, sum;     // largest score so far, sum of e^(score - top)
};

template <class T>
void attentionTask(const AttentionArgs &a, int64_t batch, int64_t kvHead,
                   int64_t firstRow, int64_t numRows,
                   AttentionScratch &scratch) {
  int64_t stride = ceilDiv(a.depth, kWidth) * kWidth;
  int64_t strideV = ceilDiv(a.depthV, kWidth) * kWidth;
  Row rows[kRows];
  int64_t begin = a.tokens;
  int64_t end = 0;
  int64_t sinkEnd = 0;
  for (int64_t r = 0; r < numRows; ++r) {
    // All heads of a query stand together: they see the same keys.
    int64_t query = (firstRow + r) / a.group;
    int64_t head = kvHead * a.group + (firstRow + r) % a.group;
    Row &row = rows[r];
    int64_t position = query + a.tokens - a.queries;
    row.end = a.causal ? minimum(a.tokens, position + 1) : a.tokens;
    row.begin = a.window > 0 ? maximum(0, position - a.window + 1) : 0;
    row.end = maximum(row.end, 0);
    row.begin = minimum(row.begin, row.end);
    row.sinkEnd = 0;
    if (row.begin <= a.sinkTokens) {
      row.begin = 0;
    } else {
      row.sinkEnd = a.sinkTokens;
      sinkEnd = a.sinkTokens;
    }
    begin = minimum(begin, row.begin);
    end = maximum(end, row.end);
    row.offset = a.rowsFirst ? (batch * a.queries + query) * a.heads + head
                             : (batch * a.heads + head) * a.queries + query;
    row.bias = batch * a.biasStride[0] + head * a.biasStride[1] +
               query * a.biasStride[2];
    row.top = -INFINITY;
    row.sum = 0;
    if (a.sinks && a.isFirst) {
      row.top = loadFloat(a.sinks->dtype, a.sinks->data, head);
      row.sum = row.top == -INFINITY ? 0.0f : 1.0f;
    }
    float *sums = scratch.sums + r * strideV;
    std::memset(sums, 0, strideV * sizeof(float));
    if (!a.isFirst) {
      const float *carry = a.carry + row.offset * (a.depthV + 2);
      row.top = carry[a.depthV];
      row.sum = carry[a.depthV + 1];
      std::memcpy(sums, carry, a.depthV * sizeof(float));
    }
    float *q = scratch.q + r * stride;
    toFloats(a.q->dtype, a.q->data, row.offset * a.depth, q, a.depth);
    for (int64_t d = a.depth; d < stride; ++d) {
      q[d] = 0;
    }
  }

  const T *k = data<const T>(*a.k);
  const T *v = data<const T>(*a.v);
  const T *keys[kKeys];
  const T *values[kKeys];
  end = minimum(end, a.beyondKey);
  // What [low, high) of the rows' keys say about a chunk.
  auto visit = [&](int64_t chunk, int64_t first, int64_t last, auto lowOf,
                   auto highOf) {
    int64_t chunkEnd = minimum(kKeys, last - chunk);
    for (int64_t j = maximum(0, first - chunk); j < chunkEnd; ++j) {
      int64_t token = chunk + j - a.firstKey;
      int64_t block = token / a.block;
      if (a.ringBlocks > 0 && block >= a.sinkBlocks) {
        block = a.sinkBlocks + (block - a.sinkBlocks) % a.ringBlocks;
      }
      int64_t blockSlice = block * a.slices;
      int64_t head = batch * a.kvHeads + kvHead;
      int64_t heads = a.batch * a.kvHeads;
      auto place = [&](int64_t slice) {
        return ((blockSlice + slice) * heads + head) * a.block +
               token % a.block;
      };
      keys[j] = k + place(a.kSlice) * a.depth;
      values[j] = v + place(a.vSlice) * a.depthV;
    }
    for (int64_t r = 0; r < numRows;) {
      // Rows that see the same keys of this chunk go together.
      auto low = [&](int64_t i) {
        return minimum(kKeys, maximum(0, lowOf(rows[i]) - chunk));
      };
      auto high = [&](int64_t i) {
        return maximum(0, minimum(kKeys, highOf(rows[i]) - chunk));
      };
      int64_t from = low(r);
      int64_t to = high(r);
      int64_t together = 1;
      while (together < 4 && r + together < numRows &&
             low(r + together) == from && high(r + together) == to) {
        ++together;
      }
      together = together == 3 ? 2 : together;
      if (from >= to) {
        r += together;
        continue;
      }
      const float *q = scratch.q + r * stride;
      float *scores = scratch.scores + r * kKeys;
      int64_t j = from;
      for (; j + 2 <= to; j += 2) {
        if (together == 4) {
          dots<4>(q, stride, keys[j], keys[j + 1], a.depth, scores + j);
        } else if (together == 2) {
          dots<2>(q, stride, keys[j], keys[j + 1], a.depth, scores + j);
        } else {
          dots<1>(q, stride, keys[j], keys[j + 1], a.depth, scores + j);
        }
      }
      for (; j < to; ++j) {
        for (int64_t i = 0; i < together; ++i) {
          scores[i * kKeys + j] = dot(q + i * stride, keys[j], a.depth);
        }
      }
      bool any = false;
      for (int64_t i = 0; i < together; ++i) {
        Row &row = rows[r + i];
        float *s = scores + i * kKeys;
        for (int64_t n = 0; n < from; ++n) {
          s[n] = -INFINITY;
        }
        for (int64_t n = to; n < kKeys; ++n) {
          s[n] = -INFINITY;
        }
        for (int64_t n = from; n < to; ++n) {
          s[n] *= a.scale;
        }
        if (a.softcap > 0) {
          VF cap = vset(a.softcap);
          vmap(s + from, s + from, to - from,
               [cap](VF score) { return vmul(cap, vtanh(vdiv(score, cap))); });
        }
        if (a.bias) {
          for (int64_t n = from; n < to; ++n) {
            s[n] += loadFloat(a.bias->dtype, a.bias->data,
                              row.bias + (chunk + n) * a.biasStride[3]);
          }
        }
        VF lanes = vset(-INFINITY);
        for (int64_t n = 0; n < kKeys; n += kWidth) {
          lanes = vmax(lanes, vload(s + n));
        }
        float spread[kWidth];
        vstore(spread, lanes);
        float top = row.top;
        for (float lane : spread) {
          top = lane > top || lane != lane ? lane : top;
        }
        if (top == -INFINITY) {
          std::memset(s, 0, kKeys * sizeof(float));
          continue;
        }
        any = true;
        VF newTop = vset(top);
        VF total = vzero();
        for (int64_t n = 0; n < kKeys; n += kWidth) {
          VF e = vexp(vsub(vload(s + n), newTop));
          total = vadd(total, e);
          vstore(s + n, e);
        }
        if (top != row.top) {
          float change = expf(row.top - top);
          row.sum *= change;
          float *sums = scratch.sums + (r + i) * strideV;
          for (int64_t d = 0; d < strideV; d += kWidth) {
            vstore(sums + d, vmul(vload(sums + d), vset(change)));
          }
          row.top = top;
        }
        row.sum += vsum(total);
      }
      if (any) {
        float *sums = scratch.sums + r * strideV;
        if (together == 4) {
          weigh<4>(scores, values, from, to, sums, strideV, a.depthV);
        } else if (together == 2) {
          weigh<2>(scores, values, from, to, sums, strideV, a.depthV);
        } else {
          weigh<1>(scores, values, from, to, sums, strideV, a.depthV);
        }
      }
      r += together;
    }
  };
  for (int64_t chunk = 0; chunk < sinkEnd; chunk += kKeys) {
    visit(
        chunk, 0, sinkEnd, [](const Row &) { return int64_t(0); },
        [](const Row &row) { return row.sinkEnd; });
  }
  for (int64_t chunk = maximum(begin / kKeys * kKeys, a.firstKey); chunk < end;
       chunk += kKeys) {
    visit(
        chunk, begin, end, [](const Row &row) { return row.begin; },
        [](const Row &row) { return row.end; });
  }

  for (int64_t r = 0; r < numRows; ++r) {
    float *sums = scratch.sums + r * strideV;
    if (!a.isLast) {
      float *carry = a.carry + rows[r].offset * (a.depthV + 2);
      std::memcpy(carry, sums, a.depthV * sizeof(float));
      carry[a.depthV] = rows[r].top;
      carry[a.depthV + 1] = rows[r].sum;
      continue;
    }
    VF factor = vset(rows[r].sum == 0 ? 0.0f : 1.0f / rows[r].sum);
    for (int64_t d = 0; d < strideV; d += kWidth) {
      vstore(sums + d, vmul(vload(sums + d), factor));
    }
    fromFloats(a.out->dtype, sums, a.out->data, rows[r].offset * a.depthV,
               a.depthV);
  }
}

} // namespace

Status attention(const Launch &launch) {
  AttentionArgs a;
  a.q = &launch.operands[0];
  a.k = &launch.operands[1];
  a.v = &launch.operands[2];
  bool hasBias = launch.ints[4] != 0;
  bool hasSinks = launch.ints[5] != 0;
  bool fromState = launch.ints[1] != 0;
  a.bias = hasBias ? &launch.operands[3] : nullptr;
  a.sinks = hasSinks ? &launch.operands[3 + hasBias] : nullptr;
  const bool isPart = launch.ints.size() == 13;
  a.isFirst = !isPart || launch.ints[11] != 0;
  a.isLast = !isPart || launch.ints[12] != 0;
  const Tensor *carry =
      isPart ? &launch.operands[3 + hasBias + hasSinks] : nullptr;
  if (isPart && ((a.isFirst && a.isLast) || !fromState)) {
    return kBadShape;
  }
  // Of a part that is not the last, the carry takes the place of out.
  a.out = &launch.operands[3 + hasBias + hasSinks + (isPart && a.isLast)];
  const bool isLimited = launch.ints.size() == 12;
  bool sliced = launch.ints.size() == 10 ||
                ((isPart || isLimited) && launch.ints[7] != 0);
  a.slices = sliced ? launch.ints[7] : 1;
  a.kSlice = sliced ? launch.ints[8] : 0;
  a.vSlice = sliced ? launch.ints[9] : 0;
  const int rank = sliced ? 5 : 4;
  if (a.q->rank != 4 || a.k->rank != rank || a.v->rank != rank ||
      a.out->rank != 4) {
    return kBadShape;
  }
  if (sliced && (!fromState || a.k->dims[0] != a.slices ||
                 a.v->dims[0] != a.slices || a.kSlice < 0 || a.vSlice < 0 ||
                 a.kSlice >= a.slices || a.vSlice >= a.slices)) {
    return kBadShape;
  }
  // [B, Hkv, capacity, D]
  const int64_t *kDims = a.k->dims + rank - 4;
  const int64_t *vDims = a.v->dims + rank - 4;
  a.rowsFirst = launch.ints[0] != 0;
  a.causal = launch.ints[2] != 0;
  a.window = launch.ints[3];
  a.tokens = launch.params[0];
  a.scale = static_cast<float>(launch.floats[0]);
  a.softcap = static_cast<float>(launch.floats[1]);
  a.batch = a.q->dims[0];
  a.heads = a.q->dims[a.rowsFirst ? 2 : 1];
  a.queries = a.q->dims[a.rowsFirst ? 1 : 2];
  a.depth = a.q->dims[3];
  a.kvHeads = kDims[1];
  a.depthV = vDims[3];
  a.block = fromState ? launch.ints[6] : maximum(kDims[2], 1);
  a.sinkTokens = isLimited ? launch.ints[10] : 0;
  a.sinkBlocks = isLimited ? launch.ints[11] : 0;
  a.ringBlocks = 0;
  if (isLimited) {
    a.ringBlocks = ceilDiv(kDims[2], a.block) - a.sinkBlocks;
    if (!fromState || a.window <= 0 || a.sinkTokens < 0 || a.sinkBlocks < 0 ||
        a.ringBlocks <= 0 || a.sinkTokens > a.sinkBlocks * a.block) {
      return kBadShape;
    }
  }
  a.firstKey = isPart ? launch.ints[10] : 0;
  a.beyondKey = isPart ? a.firstKey + kDims[2] : a.tokens;
  a.carry = nullptr;
  if (isPart) {
    if (carry->dtype != DType::F32 || a.firstKey < 0 ||
        a.firstKey % kKeys != 0 || kDims[2] % kKeys != 0 ||
        count(*carry) != a.batch * a.heads * a.queries * (a.depthV + 2)) {
      return kBadShape;
    }
    a.carry = data<float>(*carry);
  }
  if (a.batch * a.heads * a.queries * a.depthV == 0) {
    return nullptr;
  }
  if (kDims[0] != a.batch || vDims[0] != a.batch || a.kvHeads <= 0 ||
      vDims[1] != a.kvHeads || a.heads % a.kvHeads != 0 ||
      kDims[3] != a.depth || kDims[2] != vDims[2] || a.tokens < 0 ||
      (!isPart && !isLimited && a.tokens > kDims[2]) || a.block <= 0 ||
      (a.isLast && count(*a.out) != a.batch * a.heads * a.queries * a.depthV)) {
    return kBadShape;
  }
  if (a.depth > kMaxHead || a.depthV > kMaxHead) {
    return "attention heads of more than 1024 features are not supported";
  }
  if (!isFloat32Like(a.q->dtype) || !isFloat32Like(a.out->dtype) ||
      a.k->dtype != a.v->dtype || (a.bias && !isFloat(a.bias->dtype)) ||
      (a.sinks && !isFloat(a.sinks->dtype))) {
    return kUnsupported;
  }
  a.group = a.heads / a.kvHeads;
  for (int64_t &stride : a.biasStride) {
    stride = 0;
  }
  if (a.bias) {
    const int64_t full[4] = {a.batch, a.heads, a.queries, a.tokens};
    if (a.bias->rank > 4) {
      return kBadShape;
    }
    int64_t stride = 1;
    for (int i = a.bias->rank - 1, d = 3; i >= 0; --i, --d) {
      if (a.bias->dims[i] != 1 && a.bias->dims[i] != full[d]) {
        return kBadShape;
      }
      a.biasStride[d] = a.bias->dims[i] == 1 ? 0 : stride;
      stride *= a.bias->dims[i];
    }
  }
  if (isPart && !a.isFirst && !a.isLast && a.firstKey >= a.tokens) {
    return nullptr; // nothing there yet
  }
  // A query row of a few heads is split further where threads would idle.
  int64_t rows = a.queries * a.group;
  int64_t perTask = minimum(kRows, rows);
  int64_t pairs = a.batch * a.kvHeads;
  while (perTask > 1 &&
         pairs * ceilDiv(rows, perTask) < launch.pool->numThreads()) {
    perTask = (perTask + 1) / 2;
  }
  int64_t chunks = ceilDiv(rows, perTask);
  bool known = dispatchFloat(a.k->dtype, [&](auto tag) {
    launch.pool->parallelFor(
        pairs * chunks,
        [&](int64_t task, int thread) {
          int64_t pair = task / chunks;
          int64_t row = task % chunks * perTask;
          attentionTask<decltype(tag)>(
              a, pair / a.kvHeads, pair % a.kvHeads, row,
              minimum(perTask, rows - row),
              *static_cast<AttentionScratch *>(launch.pool->scratch(thread)));
        },
        perTask * maximum(0, minimum(a.tokens, a.beyondKey) - a.firstKey) *
            (a.depth + a.depthV) / 16);
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
