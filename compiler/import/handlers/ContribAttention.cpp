//===- ContribAttention.cpp - Attention operators of com.microsoft --------===//

#include "compiler/import/handlers/AttentionParts.h"

#include <cmath>

namespace llmc::import {

namespace {

double scaleOf(NodeContext &n, const Val &q) {
  double scale = n.number("scale", 0.0);
  if (!q) {
    return scale; // the emitter has the error
  }
  std::optional<int64_t> size = q->dims[3].asConstant();
  return scale != 0 || !size ? scale
                             : 1.0 / std::sqrt(static_cast<double>(*size));
}

/// query (or packed QKV), key, value, past key, past value, seqlens_k, total
/// length, cos, sin, position_ids, bias, sinks.
bool importGroupQueryAttention(NodeContext &n) {
  Emitter &e = n.emit;
  int64_t heads = n.integer("num_heads", 0);
  int64_t kvHeads = n.integer("kv_num_heads", heads);
  Val q = n.in(0), k = n.in(1), v = n.in(2);
  if (!n.hasRank(3, {4}) || !n.hasRank(4, {4}) || n.has(3) != n.has(4) ||
      n.has(1) != n.has(2)) {
    return n.fail("keys without values");
  }
  if (n.has(12) || n.has(13) || n.has(14) || n.has(15) || n.wants(3)) {
    return n.fail("quantized caches, norms inside of it and its qk output are "
                  "not supported");
  }
  if (!k) {
    // One tensor holds q, k and v side by side.
    std::optional<DimExpr> size =
        q->rank() == 3 && heads > 0 ? q->dims[2].dividedBy(heads + 2 * kvHeads)
                                    : std::nullopt;
    if (!size) {
      return n.fail("packed input " + toString(q->dims));
    }
    DimExpr width = *size * DimExpr(heads), kvWidth = *size * DimExpr(kvHeads);
    Val packed = q;
    q = e.sliceAxis(packed, 2, 0, width);
    k = e.sliceAxis(packed, 2, width, kvWidth);
    v = e.sliceAxis(packed, 2, width + kvWidth, kvWidth);
  }
  q = splitHeads(n, q, heads);
  k = splitHeads(n, k, kvHeads);
  v = splitHeads(n, v, kvHeads);
  if (!q || !k || !v) {
    return false;
  }
  Val pastKey = n.in(3), pastValue = n.in(4);
  DimExpr past = pastKey ? pastKey->dims[2] : DimExpr(0);
  if (n.integer("do_rotary", 0) != 0) {
    Val cos = n.in(7), sin = n.in(8);
    Val positions = n.has(9) ? n.in(9) : positionsFrom(n, past, q->dims[1]);
    cos = tableRows(n, cos, positions);
    sin = tableRows(n, sin, positions);
    std::optional<int64_t> half =
        cos ? cos->dims.back().asConstant() : std::nullopt;
    if (!half) {
      return n.fail("do_rotary without tables");
    }
    bool interleaved = n.integer("rotary_interleaved", 0) != 0;
    q = e.rope(q, cos, sin, "bshd", interleaved, 2 * *half);
    k = e.rope(k, cos, sin, "bshd", interleaved, 2 * *half);
  }
  k = appended(n, pastKey, swapHeads(n, k), 2);
  v = appended(n, pastValue, swapHeads(n, v), 2);
  if (!q || !k || !v) {
    return false;
  }
  Emitter::AttentionOptions options;
  options.qLayout = "bshd";
  options.causal = true;
  options.scale = scaleOf(n, q);
  options.softcap = n.number("softcap", 0.0);
  int64_t window = n.integer("local_window_size", -1);
  options.window = window > 0 ? window : 0;
  options.bias = biasFromMask(n, n.in(10), q->type);
  options.sinks = n.in(11);
  if (!options.sinks && n.integer("smooth_softmax", 0) > 0) {
    options.sinks = e.splat(q->type, {heads}, 0);
  }
  Val y = e.attention(q, k, v, options);
  return (!n.wants(1) || n.out(1, k)) && (!n.wants(2) || n.out(2, v)) &&
         n.out(joinHeads(n, y));
}

/// query, key, value, bias, key_padding_mask, attention_bias, past key, past
/// value. query may be packed [B, S, N, 3, D], key [B, L, N, 2, D].
bool importMultiHeadAttention(NodeContext &n) {
  Emitter &e = n.emit;
  int64_t heads = n.integer("num_heads", 0);
  Val q = n.in(0), k = n.in(1), v = n.in(2), bias = n.in(3);
  if (!n.hasRank(0, {3, 5}) || !n.hasRank(1, {3, 4, 5}) ||
      !n.hasRank(2, {3, 4}) || !n.hasRank(3, {1}) || !n.hasRank(6, {4}) ||
      !n.hasRank(7, {4})) {
    return false;
  }
  auto member = [&](Val packed, int64_t i) {
    Val one = e.sliceAxis(packed, 3, i, 1);
    return e.squeeze(one, {3}); // [B, S, N, D]
  };
  auto joined = [&](Val x) { return joinHeads(n, x); };
  if (q->rank() == 5) {
    Val packed = q;
    q = joined(member(packed, 0));
    k = joined(member(packed, 1));
    v = joined(member(packed, 2));
  } else if (k && k->rank() == 5) {
    Val packed = k;
    k = joined(member(packed, 0));
    v = joined(member(packed, 1));
  }
  if (!q || !k || !v) {
    return false;
  }
  if (bias) {
    DimExpr widthQ = q->dims[2], widthK = k->rank() == 3 ? k->dims[2] : widthQ;
    q = e.add(q, e.sliceAxis(bias, 0, 0, widthQ));
    if (k->rank() == 3) {
      k = e.add(k, e.sliceAxis(bias, 0, widthQ, widthK));
      v = e.add(v, e.sliceAxis(bias, 0, widthQ + widthK, v->dims[2]));
    }
  }
  q = splitHeads(n, q, heads);
  if (k && k->rank() == 3) {
    k = swapHeads(n, splitHeads(n, k, heads));
    v = swapHeads(n, splitHeads(n, v, heads));
  }
  k = appended(n, n.in(6), k, 2);
  v = appended(n, n.in(7), v, 2);
  if (!q || !k || !v) {
    return false;
  }
  Emitter::AttentionOptions options;
  options.qLayout = "bshd";
  options.causal = n.integer("unidirectional", 0) != 0;
  options.scale = scaleOf(n, q);
  options.bias = biasFromMask(n, n.in(5), q->type);
  Val hides = biasFromKeyMask(n, n.in(4), q->type,
                              n.number("mask_filter_value", -10000.0));
  if (hides) {
    options.bias = options.bias ? e.add(options.bias, hides) : hides;
  }
  Val y = e.attention(q, k, v, options);
  return (!n.wants(1) || n.out(1, k)) && (!n.wants(2) || n.out(2, v)) &&
         n.out(joinHeads(n, y));
}

/// input, weights [in, 3 H], bias, mask_index, past [2, B, N, P, D],
/// attention_bias: the projection and the attention in one.
bool importAttention(NodeContext &n) {
  Emitter &e = n.emit;
  int64_t heads = n.integer("num_heads", 0);
  if (n.integer("do_rotary", 0) != 0) {
    return n.fail("do_rotary is not supported");
  }
  if (!n.hasRank(0, {3}) || !n.hasRank(1, {2}) || !n.hasRank(3, {1, 2, 3}) ||
      !n.hasRank(4, {5})) {
    return false;
  }
  Val x = n.in(0);
  Val all = e.matmul(x, n.in(1));
  if (n.has(2)) {
    all = e.add(all, n.in(2));
  }
  if (!all || all->rank() != 3) {
    return n.fail("input " + toString(x->dims));
  }
  DimExpr widths[3];
  if (std::optional<std::vector<int64_t>> sizes =
          n.integers("qkv_hidden_sizes");
      sizes && sizes->size() == 3) {
    std::copy(sizes->begin(), sizes->end(), widths);
  } else {
    std::optional<DimExpr> each = all->dims[2].dividedBy(3);
    if (!each) {
      return n.fail("weights " + toString(n.in(1)->dims));
    }
    std::fill(widths, widths + 3, *each);
  }
  Val parts[3];
  DimExpr start(0);
  for (int i = 0; i < 3; ++i) {
    parts[i] = splitHeads(n, e.sliceAxis(all, 2, start, widths[i]), heads);
    start = start + widths[i];
  }
  Val q = parts[0];
  Val k = swapHeads(n, parts[1]), v = swapHeads(n, parts[2]);
  if (!q || !k || !v) {
    return false;
  }
  Val past = n.in(4);
  if (past || n.wants(1)) {
    // The state is one tensor: the new keys and values are stacked first, so
    // that it grows by one append.
    Val fresh = e.concat({e.unsqueeze(k, {0}), e.unsqueeze(v, {0})}, 0);
    Val present = appended(n, past, fresh, 3);
    if (!present || (n.wants(1) && !n.out(1, present))) {
      return false;
    }
    k = e.squeeze(e.sliceAxis(present, 0, 0, 1), {0});
    v = e.squeeze(e.sliceAxis(present, 0, 1, 1), {0});
  }
  Emitter::AttentionOptions options;
  options.qLayout = "bshd";
  options.causal = n.integer("unidirectional", 0) != 0;
  options.scale = scaleOf(n, q);
  options.bias = biasFromMask(n, n.in(5), q->type);
  if (Val mask = n.in(3)) {
    if (mask->rank() == 1) {
      // Number of visible keys of each row of the batch.
      Val column = e.ramp(DataType::Int64, {1, k->dims[2]}, {0, 1, 1});
      Val count = e.reshape(e.cast(mask, DataType::Int64), {mask->dims[0], 1});
      mask = e.binary("lt", column, count);
    }
    Val hides = biasFromKeyMask(n, mask, q->type,
                                n.number("mask_filter_value", -10000.0));
    if (hides) {
      options.bias = options.bias ? e.add(options.bias, hides) : hides;
    }
  }
  return n.out(joinHeads(n, e.attention(q, k, v, options)));
}

/// x, position_ids, cos, sin (ONNX has another order). position_ids of one
/// element is the position of the first token.
bool importRotaryEmbedding(NodeContext &n) {
  Emitter &e = n.emit;
  Val x = n.in(0), positions = n.in(1), cos = n.in(2), sin = n.in(3);
  if (!n.hasRank(0, {3, 4}) || !n.hasRank(1, {1, 2}) || !n.hasRank(2, {2}) ||
      !n.hasRank(3, {2})) {
    return false;
  }
  if (n.integer("is_packed_batching", 0) != 0 || n.number("scale", 1) != 1) {
    return n.fail("packed batches and scales are not supported");
  }
  bool flat = x->rank() == 3;
  DimExpr seq = x->dims[flat ? 1 : 2];
  if (positions->rank() == 1) {
    std::optional<DimExpr> start = e.uniform(positions);
    positions =
        start ? positionsFrom(n, *start, seq)
              : e.unsqueeze(e.add(positions, positionsFrom(n, 0, seq)), {0});
  }
  std::optional<int64_t> half = cos->dims.back().asConstant();
  if (!half) {
    return n.fail("cos table " + toString(cos->dims));
  }
  cos = tableRows(n, cos, positions);
  sin = tableRows(n, sin, positions);
  int64_t heads = n.integer("num_heads", 0);
  if (flat && heads == 0) {
    std::optional<int64_t> width = x->dims[2].asConstant();
    heads = width ? *width / (2 * *half) : 0;
  }
  Val y = flat ? splitHeads(n, x, heads) : x;
  y = e.rope(y, cos, sin, flat ? "bshd" : "bhsd",
             n.integer("interleaved", 0) != 0, 2 * *half);
  return n.out(flat ? joinHeads(n, y) : y);
}

} // namespace

std::span<const Handler> contribAttentionHandlers() {
  static const Handler table[] = {
      {"com.microsoft", "GroupQueryAttention", 1, importGroupQueryAttention},
      {"com.microsoft", "MultiHeadAttention", 1, importMultiHeadAttention},
      {"com.microsoft", "Attention", 1, importAttention, 2},
      {"com.microsoft", "RotaryEmbedding", 1, importRotaryEmbedding, 4},
  };
  return table;
}

} // namespace llmc::import
