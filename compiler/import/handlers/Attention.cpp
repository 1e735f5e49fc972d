//===- Attention.cpp - Attention and rotary embedding of ONNX itself ------===//
//
// The operators of the same names in com.microsoft are other ones: see
// ContribAttention.cpp.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/handlers/AttentionParts.h"

#include <cmath>
#include <limits>

namespace llmc::import {

namespace {

/// j visible for query i: j <= i + offset, j < length, as a boolean
/// [B or 1, 1, S, T]. offset and length are per batch [B] values or scalars.
Val visibleKeys(NodeContext &n, DimExpr seq, DimExpr total, Val offset,
                Val length) {
  Val row = n.emit.ramp(DataType::Int64, {1, 1, seq, 1}, {0, 1, 2});
  Val column = n.emit.ramp(DataType::Int64, {1, 1, 1, total}, {0, 1, 3});
  auto perBatch = [&](Val v) {
    return v->rank() == 0 ? v
                          : n.emit.reshape(n.emit.cast(v, DataType::Int64),
                                           {v->dims[0], 1, 1, 1});
  };
  Val visible;
  if (offset) {
    visible = n.emit.binary("le", column, n.emit.add(row, perBatch(offset)));
  }
  if (length) {
    Val inside = n.emit.binary("lt", column, perBatch(length));
    visible = visible ? n.emit.binary("and", visible, inside) : inside;
  }
  return visible;
}

/// The window of opset 25: at most `left` keys before the query's own position
/// i + offset and `right` behind it; -1 is no bound.
Val insideWindow(NodeContext &n, DimExpr seq, DimExpr total, Val offset,
                 int64_t left, int64_t right) {
  Val row = n.emit.ramp(DataType::Int64, {1, 1, seq, 1}, {0, 1, 2});
  Val column = n.emit.ramp(DataType::Int64, {1, 1, 1, total}, {0, 1, 3});
  Val position = n.emit.add(row, offset);
  auto shifted = [&](int64_t by) {
    return n.emit.add(position, n.emit.ramp(DataType::Int64, {}, {by, 0, 0}));
  };
  Val inside;
  if (left >= 0) {
    inside = n.emit.binary("ge", column, shifted(-left));
  }
  if (right >= 0) {
    Val before = n.emit.binary("le", column, shifted(right));
    inside = inside ? n.emit.binary("and", inside, before) : before;
  }
  return inside;
}

bool importAttention(NodeContext &n) {
  Val q = n.in(0), k = n.in(1), v = n.in(2);
  bool flat = q->rank() == 3;
  for (size_t i : {0, 1, 2}) {
    if (!n.hasRank(i, {flat ? 3 : 4})) {
      return false;
    }
  }
  if (!n.hasRank(4, {4}) || !n.hasRank(5, {4})) {
    return false;
  }
  if (n.wants(3)) {
    return n.fail("its qk_matmul_output is not supported");
  }
  Emitter::AttentionOptions options;
  if (flat) {
    options.qLayout = "bshd";
    int64_t heads = n.integer("q_num_heads", 0);
    int64_t kvHeads = n.integer("kv_num_heads", heads);
    q = splitHeads(n, q, heads);
    k = swapHeads(n, splitHeads(n, k, kvHeads));
    v = swapHeads(n, splitHeads(n, v, kvHeads));
    if (!q || !k || !v) {
      return false;
    }
  }
  DimExpr seq = q->dims[flat ? 1 : 2];
  DimExpr past = n.has(4) ? n.in(4)->dims[2] : DimExpr(0);
  k = appended(n, n.in(4), k, 2);
  v = appended(n, n.in(5), v, 2);
  if (!k || !v) {
    return false;
  }
  DimExpr total = k->dims[2];
  std::optional<int64_t> size = q->dims[3].asConstant();
  options.scale = n.number(
      "scale", size ? 1.0 / std::sqrt(static_cast<double>(*size)) : 1.0);
  options.softcap = n.number("softcap", 0.0);
  bool causal = n.integer("is_causal", 0) != 0;
  Val length = n.in(6);
  std::optional<DimExpr> filled = n.emit.uniform(length);
  Val visible;
  if (length && filled != std::optional(total)) {
    // Per batch: causal is aligned to the last filled key.
    Val count = n.emit.cast(length, DataType::Int64);
    Val offset =
        causal ? n.emit.binary("sub", count,
                               n.emit.ramp(DataType::Int64, {}, {seq, 0, 0}))
               : nullptr;
    visible = visibleKeys(n, seq, total, offset, count);
  } else if (causal) {
    // The kernel aligns the last query with the last key.
    DimExpr offset = length ? total - seq : past;
    if (offset == total - seq) {
      options.causal = true;
    } else {
      visible = visibleKeys(n, seq, total,
                            n.emit.ramp(DataType::Int64, {}, {offset, 0, 0}),
                            nullptr);
    }
  }
  int64_t left = n.integer("left_window_size", -1);
  int64_t right = n.integer("right_window_size", -1);
  if (left >= 0 || right >= 0) {
    Val offset =
        n.emit.ramp(DataType::Int64, {}, {length ? total - seq : past, 0, 0});
    if (length && filled != std::optional(total)) {
      offset = n.emit.binary("sub", n.emit.cast(length, DataType::Int64),
                             n.emit.ramp(DataType::Int64, {}, {seq, 0, 0}));
      offset = offset->rank() == 0
                   ? offset
                   : n.emit.reshape(offset, {offset->dims[0], 1, 1, 1});
    }
    Val inside = insideWindow(n, seq, total, offset, left, right);
    visible = visible ? n.emit.binary("and", visible, inside) : inside;
  }
  Val mask = n.in(3);
  if (mask && mask->rank() > 0 && mask->dims.back() != total &&
      n.emit.less(mask->dims.back(), total).value_or(false) &&
      mask->dims.back() != DimExpr(1)) {
    // A shorter mask hides what it does not reach.
    std::optional<int64_t> missing = (total - mask->dims.back()).asConstant();
    if (!missing) {
      return n.fail("mask " + toString(mask->dims) + " for " + total.str() +
                    " keys");
    }
    std::vector<int64_t> before(mask->rank(), 0), after(mask->rank(), 0);
    after.back() = *missing;
    mask = n.emit.pad(mask, before, after,
                      mask->type == DataType::Bool
                          ? 0
                          : -std::numeric_limits<double>::infinity());
  }
  options.bias = biasFromMask(n, mask, q->type);
  Val hides = biasFromMask(n, visible, q->type);
  if (hides) {
    options.bias = options.bias ? n.emit.add(options.bias, hides) : hides;
  }
  Val y = n.emit.attention(q, k, v, options);
  if (n.wants(1) && !n.out(1, k)) {
    return false;
  }
  if (n.wants(2) && !n.out(2, v)) {
    return false;
  }
  return n.out(flat ? joinHeads(n, y) : y);
}

/// x, cos, sin, position_ids. Without positions cos and sin are [B, S, R/2].
bool importRotaryEmbedding(NodeContext &n) {
  Val x = n.in(0), cos = n.in(1), sin = n.in(2), positions = n.in(3);
  bool flat = x->rank() == 3;
  if (!n.hasRank(0, {3, 4}) || !n.hasRank(1, {2, 3}) || !n.hasRank(2, {2, 3}) ||
      !n.hasRank(3, {1, 2})) {
    return false;
  }
  if (positions) {
    cos = tableRows(n, cos, positions);
    sin = tableRows(n, sin, positions);
  }
  if (!cos || !sin) {
    return false;
  }
  std::optional<int64_t> half = cos->dims.back().asConstant();
  int64_t rotary = n.integer("rotary_embedding_dim", 0);
  if (!half) {
    return n.fail("cos table " + toString(cos->dims));
  }
  rotary = rotary != 0 ? rotary : 2 * *half;
  if (rotary != 2 * *half) {
    cos = n.emit.sliceAxis(cos, cos->rank() - 1, 0, rotary / 2);
    sin = n.emit.sliceAxis(sin, sin->rank() - 1, 0, rotary / 2);
  }
  Val y = flat ? splitHeads(n, x, n.integer("num_heads", 0)) : x;
  y = n.emit.rope(y, cos, sin, flat ? "bshd" : "bhsd",
                  n.integer("interleaved", 0) != 0, rotary);
  return n.out(flat ? joinHeads(n, y) : y);
}

/// Writes new tokens into a cache. On a state of the model, at its end, this
/// is the append that Concat is in other exports.
bool importTensorScatter(NodeContext &n) {
  Val cache = n.in(0), update = n.in(1), at = n.in(2);
  int64_t axis = n.axis(n.integer("axis", -2), cache->rank());
  if (axis < 1 || !n.hasRank(1, {cache->rank()}) || !n.hasRank(2, {1})) {
    return n.fail("axis 0 is the batch");
  }
  std::optional<DimExpr> start = at ? n.emit.uniform(at) : DimExpr(0);
  if (n.importer.stateOf(cache) >= 0 &&
      start == std::optional(cache->dims[axis])) {
    return n.out(n.emit.concat({cache, update}, axis));
  }
  // Row numbers along the axis, per batch.
  Dims rampDims(cache->dims.size(), DimExpr(1)), batchDims = rampDims;
  rampDims[axis] = update->dims[axis];
  Val rows = n.emit.ramp(DataType::Int64, rampDims, {0, 1, axis});
  if (at) {
    batchDims[0] = at->dims[0];
    rows = n.emit.add(
        rows, n.emit.reshape(n.emit.cast(at, DataType::Int64), batchDims));
  }
  if (n.text("mode", "linear") == "circular") {
    rows = n.emit.binary(
        "mod", rows,
        n.emit.ramp(DataType::Int64, {}, {cache->dims[axis], 0, 0}));
  }
  rows = n.emit.broadcast(rows, update->dims);
  return n.out(n.emit.scatterElements(cache, rows, update, axis, "none"));
}

const Handler table[] = {
    {"", "Attention", 23, importAttention, 3},
    {"", "RotaryEmbedding", 23, importRotaryEmbedding, 3},
    {"", "TensorScatter", 24, importTensorScatter, 2},
};

} // namespace

std::span<const Handler> attentionHandlers() { return table; }

} // namespace llmc::import
