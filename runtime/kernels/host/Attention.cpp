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
// mask. Keys of a chunk are turned into a panel, [features][kKeys], once for
// all rows; a score is one chain over the features in ascending order (by
// pairs, where q and k are bf16 and the CPU multiplies such), and a result one
// over the keys that the row sees. So a row comes out the same alone as
// together with others. Tokens that are not there yet are never read.
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

#include "runtime/kernels/host/Gemm.h"
#include "runtime/kernels/host/Kernels.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kRows = 96;
constexpr int64_t kKeys = 64;
constexpr int64_t kMaxHead = 1024;   // features of a head
constexpr int64_t kFeatures = 256;   // of the keys of a panel
constexpr int64_t kColumns = 64;     // features of v that are weighed together
constexpr int64_t kRoom = 24 * 1024; // floats of q and sums of all rows
static_assert(kKeys % kWidth == 0 && kKeys == kPanel && kFeatures % 2 == 0);

struct AttentionScratch {
  alignas(64) float rows[kRoom]; // q, then sums
  alignas(64) float scores[kRows * kKeys];
  alignas(64) float keys[kFeatures * kKeys];
  alignas(64) float values[kKeys * kColumns];
};
static_assert(sizeof(AttentionScratch) <= ThreadPool::kScratchBytes);
static_assert(kRoom >= 2 * kMaxHead * kRowBlock);

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

/// Rows of a task, all in scratch.
LLMC_INLINE int64_t rowsOfTask(int64_t stride, int64_t strideV) {
  return minimum(kRows, kRoom / (stride + strideV));
}

#if defined(__AVX512F__)
/// 16 vectors of 16 to columns: out[i * ldo + j] = lane i of rows[j].
LLMC_INLINE void transpose16(const __m512 *rows, float *out, int64_t ldo,
                             int64_t count) {
  __m512 a[16], b[16];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    // b[4 i + c]: lanes 4 l + c of rows 4 i .. 4 i + 3.
    auto pair = [&](int j) LLMC_INLINE_LAMBDA {
      return _mm512_castps_pd(a[4 * i + j]);
    };
    b[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(pair(0), pair(2)));
    b[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pair(0), pair(2)));
    b[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pair(1), pair(3)));
    b[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pair(1), pair(3)));
  }
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    __m512 low = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x44);
    __m512 high = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xee);
    __m512 low2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x44);
    __m512 high2 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xee);
    a[c] = _mm512_shuffle_f32x4(low, low2, 0x88);
    a[4 + c] = _mm512_shuffle_f32x4(low, low2, 0xdd);
    a[8 + c] = _mm512_shuffle_f32x4(high, high2, 0x88);
    a[12 + c] = _mm512_shuffle_f32x4(high, high2, 0xdd);
  }
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    if (i < count) {
      _mm512_storeu_ps(out + i * ldo, a[i]);
    }
  }
}
#endif

/// panel[d][j] = keys[j][first + d] for d < depth and j in [begin, end), zero
/// for other j of the same vector.
template <class T>
LLMC_INLINE void turnKeys(const T *const *keys, int64_t begin, int64_t end,
                          int64_t first, int64_t depth, float *panel) {
#if defined(__AVX512F__)
  for (int64_t j = begin / 16 * 16; j < end; j += 16) {
    bool isWhole = j >= begin && j + 16 <= end;
    for (int64_t d = 0; d < depth; d += 16) {
      __m512 rows[16];
      int64_t count = minimum(16, depth - d);
      if (isWhole && count == 16) {
#pragma unroll
        for (int i = 0; i < 16; ++i) {
          rows[i] = vload(keys[j + i] + first + d).v;
        }
        transpose16(rows, panel + d * kKeys + j, kKeys, 16);
        continue;
      }
      for (int i = 0; i < 16; ++i) {
        rows[i] = _mm512_setzero_ps();
        if (j + i >= begin && j + i < end) {
          const T *at = keys[j + i] + first + d;
          rows[i] = count == 16 ? vload(at).v : vloadPart(at, count).v;
        }
      }
      transpose16(rows, panel + d * kKeys + j, kKeys, count);
    }
  }
#else
  int64_t from = begin / kWidth * kWidth;
  int64_t to = ceilDiv(end, kWidth) * kWidth;
  for (int64_t d = 0; d < depth; ++d) {
    for (int64_t j = from; j < to; ++j) {
      panel[d * kKeys + j] =
          j >= begin && j < end ? float(keys[j][first + d]) : 0.0f;
    }
  }
#endif
}

#if defined(__AVX512BF16__)
/// The same by pairs: panel[d / 2][j] = keys[j][first + d, first + d + 1].
LLMC_INLINE void turnPairs(const BFloat *const *keys, int64_t begin,
                           int64_t end, int64_t first, int64_t depth,
                           float *panel) {
  for (int64_t j = begin / 16 * 16; j < end; j += 16) {
    bool isWhole = j >= begin && j + 16 <= end;
    for (int64_t d = 0; d < depth; d += 32) {
      __m512 rows[16];
      int64_t count = minimum(32, depth - d);
      if (isWhole && count == 32) {
#pragma unroll
        for (int i = 0; i < 16; ++i) {
          rows[i] = _mm512_loadu_ps(keys[j + i] + first + d);
        }
        transpose16(rows, panel + d / 2 * kKeys + j, kKeys, 16);
        continue;
      }
      auto mask = static_cast<__mmask32>((uint64_t(1) << count) - 1);
      for (int i = 0; i < 16; ++i) {
        rows[i] = _mm512_setzero_ps();
        if (j + i >= begin && j + i < end) {
          rows[i] = _mm512_castsi512_ps(
              _mm512_maskz_loadu_epi16(mask, keys[j + i] + first + d));
        }
      }
      transpose16(rows, panel + d / 2 * kKeys + j, kKeys, (count + 1) / 2);
    }
  }
}
#endif

/// The register block of Gemm.h for `width` columns, a multiple of kWidth, and
/// up to kRowBlock rows.
template <class T>
LLMC_INLINE void addColumns(int64_t rows, const float *x, int64_t ldx,
                            const T *w, int64_t ldw, int64_t depth, float *sums,
                            int64_t lds, int64_t width) {
  withRows(rows, [&](auto tag) LLMC_INLINE_LAMBDA {
    constexpr int R = decltype(tag)::value;
    constexpr int C = columnVectors<R>();
    int64_t c = 0;
    for (; c + C * kWidth <= width; c += C * kWidth) {
      addProducts<R, C>(x, ldx, w + c, ldw, depth, sums + c, lds);
    }
    for (; c < width; c += kWidth) {
      addProducts<R, 1>(x, ldx, w + c, ldw, depth, sums + c, lds);
    }
  });
}

/// The largest lane and `top`; NaN if a lane is.
LLMC_INLINE float largest(VF lanes, float top) {
#if defined(__AVX512F__)
  if (_mm512_cmp_ps_mask(lanes.v, lanes.v, _CMP_UNORD_Q) == 0) {
    float lane = _mm512_reduce_max_ps(lanes.v);
    return lane > top ? lane : top;
  }
#endif
  float spread[kWidth];
  vstore(spread, lanes);
  for (float lane : spread) {
    top = lane > top || lane != lane ? lane : top;
  }
  return top;
}

/// Bytes that will be needed soon, asked for a part at a time.
struct Ahead {
  const char *at = nullptr;
  int64_t bytes = 0;
  /// Parts [i, i + count) of n.
  LLMC_INLINE void ask(int64_t i, int64_t count, int64_t n) const {
    int64_t end = bytes * (i + count) / n;
    for (int64_t b = ceilDiv(bytes * i / n, 64) * 64; b < end; b += 64) {
      __builtin_prefetch(at + b, 0, 2);
    }
  }
};

/// What a task knows of one of its rows.
struct Row {
  int64_t begin, end; // keys it sees
  int64_t sinkEnd;    // and [0, sinkEnd), which does not touch these
  int64_t offset;     // of its features in q (by depth) and out (by depthV)
  int64_t bias;       // of its first key in bias
  float top, sum;     // largest score so far, sum of e^(score - top)
};

template <class T, bool kPairs>
void attentionTask(const AttentionArgs &a, int64_t batch, int64_t kvHead,
                   int64_t firstRow, int64_t numRows,
                   AttentionScratch &scratch) {
  int64_t stride = ceilDiv(a.depth, kWidth) * kWidth;
  int64_t strideV = ceilDiv(a.depthV, kWidth) * kWidth;
  float *const qs = scratch.rows;
  float *const allSums = scratch.rows + numRows * stride;
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
    float *sums = allSums + r * strideV;
    std::memset(sums, 0, strideV * sizeof(float));
    if (!a.isFirst) {
      const float *carry = a.carry + row.offset * (a.depthV + 2);
      row.top = carry[a.depthV];
      row.sum = carry[a.depthV + 1];
      std::memcpy(sums, carry, a.depthV * sizeof(float));
    }
    float *q = qs + r * stride;
    if constexpr (kPairs) {
      // As it is, zero after an odd depth; rows stay `stride` floats apart.
      auto *pairs = reinterpret_cast<BFloat *>(q);
      pairs[(a.depth + 1) / 2 * 2 - 1] = BFloat(0.0f);
      std::memcpy(pairs, data<const BFloat>(*a.q) + row.offset * a.depth,
                  a.depth * sizeof(BFloat));
    } else {
      toFloats(a.q->dtype, a.q->data, row.offset * a.depth, q, a.depth);
    }
  }

  const T *k = data<const T>(*a.k);
  const T *v = data<const T>(*a.v);
  const T *keys[kKeys];
  const T *values[kKeys];
  end = minimum(end, a.beyondKey);
  bool isRun = a.block % kKeys == 0 || a.tokens <= a.block;
  // What [low, high) of the rows' keys say about a chunk.
  auto visit = [&](int64_t chunk, int64_t first, int64_t last, auto lowOf,
                   auto highOf) {
    int64_t chunkEnd = minimum(kKeys, last - chunk);
    int64_t head = batch * a.kvHeads + kvHead;
    int64_t heads = a.batch * a.kvHeads;
    auto place = [&](int64_t position, int64_t slice) LLMC_INLINE_LAMBDA {
      int64_t token = position - a.firstKey;
      int64_t block = token / a.block;
      int64_t inBlock = token - block * a.block;
      if (a.ringBlocks > 0 && block >= a.sinkBlocks) {
        block = a.sinkBlocks + (block - a.sinkBlocks) % a.ringBlocks;
      }
      return ((block * a.slices + slice) * heads + head) * a.block + inBlock;
    };
    int64_t firstSeen = maximum(0, first - chunk);
    Ahead nextKeys, nextValues;
    if (isRun) {
      // One after the other: a chunk lies in one block.
      const T *key = k + place(chunk + firstSeen, a.kSlice) * a.depth;
      const T *value = v + place(chunk + firstSeen, a.vSlice) * a.depthV;
      for (int64_t j = firstSeen; j < chunkEnd; ++j) {
        keys[j] = key + (j - firstSeen) * a.depth;
        values[j] = value + (j - firstSeen) * a.depthV;
      }
      // They come in columns, which the hardware does not foresee.
      int64_t next = minimum(kKeys, last - (chunk + kKeys));
      if (next > 0) {
        auto size = static_cast<int64_t>(sizeof(T)) * next;
        nextKeys = {reinterpret_cast<const char *>(
                        k + place(chunk + kKeys, a.kSlice) * a.depth),
                    size * a.depth};
        nextValues = {reinterpret_cast<const char *>(
                          v + place(chunk + kKeys, a.vSlice) * a.depthV),
                      size * a.depthV};
      }
    } else {
      for (int64_t j = firstSeen; j < chunkEnd; ++j) {
        keys[j] = k + place(chunk + j, a.kSlice) * a.depth;
        values[j] = v + place(chunk + j, a.vSlice) * a.depthV;
      }
    }
    // Keys of this chunk that each row sees.
    int64_t low[kRows], high[kRows];
    int64_t from = kKeys, to = 0;
    for (int64_t r = 0; r < numRows; ++r) {
      low[r] = minimum(kKeys, maximum(0, lowOf(rows[r]) - chunk));
      high[r] = maximum(0, minimum(kKeys, highOf(rows[r]) - chunk));
      if (low[r] < high[r]) {
        from = minimum(from, low[r]);
        to = maximum(to, high[r]);
      } else {
        high[r] = low[r];
      }
    }
    if (from >= to) {
      return;
    }
    // Scores, of vectors that hold a key which some row sees.
    int64_t column = from / kWidth * kWidth;
    int64_t width = ceilDiv(to, kWidth) * kWidth - column;
    for (int64_t first = 0; first < a.depth; first += kFeatures) {
      int64_t depth = minimum(kFeatures, a.depth - first);
      if constexpr (kPairs) {
#if defined(__AVX512BF16__)
        turnPairs(keys, from, to, first, depth, scratch.keys);
#endif
      } else {
        turnKeys(keys, from, to, first, depth, scratch.keys);
      }
      for (int64_t r = 0; r < numRows; r += kRowBlock) {
        int64_t some = minimum(kRowBlock, numRows - r);
        bool isSeen = false;
        for (int64_t i = 0; i < some; ++i) {
          isSeen = isSeen || low[r + i] < high[r + i];
        }
        if (!isSeen) {
          continue;
        }
        float *scores = scratch.scores + r * kKeys;
        if (first == 0) {
          nextKeys.ask(r, some, numRows);
          std::memset(scores, 0, some * kKeys * sizeof(float));
        }
        if constexpr (kPairs) {
#if defined(__AVX512BF16__)
          auto *q = reinterpret_cast<const BFloat *>(qs + r * stride) + first;
          auto *panel = reinterpret_cast<const BFloat *>(scratch.keys);
          pairsTile(some, q, 2 * stride, panel, depth, scores);
#endif
        } else {
          addColumns(some, qs + r * stride + first, stride,
                     scratch.keys + column, kKeys, depth, scores + column,
                     kKeys, width);
        }
      }
    }
    for (int64_t r = 0; r < numRows; ++r) {
      nextValues.ask(r, 1, numRows);
      if (low[r] >= high[r]) {
        continue;
      }
      Row &row = rows[r];
      float *s = scratch.scores + r * kKeys;
      // Of keys that it does not see too: those are masked below.
      for (int64_t n = 0; n < kKeys; n += kWidth) {
        vstore(s + n, vmul(vload(s + n), vset(a.scale)));
      }
      if (a.softcap > 0) {
        VF cap = vset(a.softcap);
        vmap(s + low[r], s + low[r], high[r] - low[r],
             [cap](VF score) { return vmul(cap, vtanh(vdiv(score, cap))); });
      }
      if (a.bias) {
        for (int64_t n = low[r]; n < high[r]; ++n) {
          s[n] += loadFloat(a.bias->dtype, a.bias->data,
                            row.bias + (chunk + n) * a.biasStride[3]);
        }
      }
      if (high[r] - low[r] < kKeys) {
        for (int64_t n = 0; n < low[r]; ++n) {
          s[n] = -INFINITY;
        }
        for (int64_t n = high[r]; n < kKeys; ++n) {
          s[n] = -INFINITY;
        }
      }
      VF lanes = vset(-INFINITY);
      for (int64_t n = 0; n < kKeys; n += kWidth) {
        lanes = vmax(lanes, vload(s + n));
      }
      float top = largest(lanes, row.top);
      if (top == -INFINITY) {
        high[r] = low[r]; // nothing to weigh
        continue;
      }
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
        float *sums = allSums + r * strideV;
        for (int64_t d = 0; d < strideV; d += kWidth) {
          vstore(sums + d, vmul(vload(sums + d), vset(change)));
        }
        row.top = top;
      }
      row.sum += vsum(total);
    }
    // Values: straight from where they lie if they follow each other, else (and
    // for many rows that would convert them each time) as f32 in scratch.
    bool isDirect = isRun && a.depthV % kWidth == 0 &&
                    (std::is_same_v<T, float> || numRows <= 12);
    for (int64_t d = 0; d < strideV; d += kColumns) {
      int64_t columns = minimum(kColumns, strideV - d);
      if (!isDirect) {
        int64_t filled = minimum(columns, a.depthV - d);
        for (int64_t j = from; j < to; ++j) {
          float *at = scratch.values + j * kColumns;
          toFloats(values[j] + d, at, filled);
          for (int64_t i = filled; i < columns; ++i) {
            at[i] = 0;
          }
        }
      }
      auto weigh = [&](int64_t r, int64_t some, int64_t begin,
                       int64_t end) LLMC_INLINE_LAMBDA {
        const float *p = scratch.scores + r * kKeys + begin;
        float *sums = allSums + r * strideV + d;
        if (isDirect) {
          addColumns(some, p, kKeys, values[begin] + d, a.depthV, end - begin,
                     sums, strideV, columns);
        } else {
          addColumns(some, p, kKeys, scratch.values + begin * kColumns,
                     kColumns, end - begin, sums, strideV, columns);
        }
      };
      for (int64_t r = 0; r < numRows; r += kRowBlock) {
        int64_t some = minimum(kRowBlock, numRows - r);
        // What all of them see together, before and after it each for itself.
        int64_t begin = 0, end = kKeys;
        for (int64_t i = r; i < r + some; ++i) {
          begin = maximum(begin, low[i]);
          end = minimum(end, high[i]);
        }
        if (begin >= end) {
          for (int64_t i = r; i < r + some; ++i) {
            if (low[i] < high[i]) {
              weigh(i, 1, low[i], high[i]);
            }
          }
          continue;
        }
        for (int64_t i = r; i < r + some; ++i) {
          if (low[i] < begin) {
            weigh(i, 1, low[i], begin);
          }
        }
        weigh(r, some, begin, end);
        for (int64_t i = r; i < r + some; ++i) {
          if (end < high[i]) {
            weigh(i, 1, end, high[i]);
          }
        }
      }
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
    float *sums = allSums + r * strideV;
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
  int64_t perTask = minimum(rowsOfTask(ceilDiv(a.depth, kWidth) * kWidth,
                                       ceilDiv(a.depthV, kWidth) * kWidth),
                            rows);
  int64_t pairs = a.batch * a.kvHeads;
  while (perTask > 1 &&
         pairs * ceilDiv(rows, perTask) < launch.pool->numThreads()) {
    perTask = (perTask + 1) / 2;
  }
  int64_t chunks = ceilDiv(rows, perTask);
  auto each = [&](auto tag, auto byPairs) {
    launch.pool->parallelFor(
        pairs * chunks,
        [&](int64_t task, int thread) {
          int64_t pair = task / chunks;
          // The last rows see most keys: those first.
          int64_t row = (chunks - 1 - task % chunks) * perTask;
          attentionTask<decltype(tag), decltype(byPairs)::value>(
              a, pair / a.kvHeads, pair % a.kvHeads, row,
              minimum(perTask, rows - row),
              *static_cast<AttentionScratch *>(launch.pool->scratch(thread)));
        },
        perTask * maximum(0, minimum(a.tokens, a.beyondKey) - a.firstKey) *
            (a.depth + a.depthV) / 16);
  };
  bool known = dispatchFloat(a.k->dtype, [&](auto tag) {
    if constexpr (kHasPairs && std::is_same_v<decltype(tag), BFloat>) {
      if (a.q->dtype == DType::BF16) {
        each(tag, std::true_type{});
        return;
      }
    }
    each(tag, std::false_type{});
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
