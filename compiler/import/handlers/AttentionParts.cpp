//===- AttentionParts.cpp - Shared by the attention operators -------------===//

#include "compiler/import/handlers/AttentionParts.h"

#include <limits>

namespace llmc::import {

Val splitHeads(NodeContext &n, Val x, int64_t heads) {
  if (!x) {
    return nullptr;
  }
  std::optional<DimExpr> size =
      x->rank() == 3 && heads > 0 ? x->dims[2].dividedBy(heads) : std::nullopt;
  if (!size) {
    return n.emit.fail("cannot split " + toString(x->dims) + " into " +
                       std::to_string(heads) + " heads");
  }
  return n.emit.reshape(x, {x->dims[0], x->dims[1], heads, *size});
}

Val swapHeads(NodeContext &n, Val x) {
  return n.emit.transpose(x, {0, 2, 1, 3});
}

Val joinHeads(NodeContext &n, Val x) {
  if (x && x->rank() != 4) {
    return n.emit.fail("heads of " + toString(x->dims));
  }
  return x ? n.emit.reshape(x,
                            {x->dims[0], x->dims[1], x->dims[2] * x->dims[3]})
           : nullptr;
}

Val tableRows(NodeContext &n, Val table, Val positions) {
  if (!table || !positions) {
    return nullptr;
  }
  if (table->rank() != 2) {
    return n.emit.fail("a cos or sin table " + toString(table->dims));
  }
  n.importer.notePositionTable(table, positions, 0);
  std::optional<Affine> run = n.emit.affineOf(positions);
  int64_t last = positions->rank() - 1;
  bool single = last >= 0 && positions->dims[last] == DimExpr(1);
  if (run && last >= 0 &&
      ((run->axis == last && run->step == DimExpr(1)) || single)) {
    return n.emit.sliceAxis(table, 0, run->start, positions->dims[last]);
  }
  return n.emit.gather(table, positions, 0);
}

Val positionsFrom(NodeContext &n, DimExpr start, DimExpr seq) {
  return n.emit.ramp(DataType::Int64, {seq}, {start, 1, 0});
}

static Val toRank4(NodeContext &n, Val x) {
  Dims dims(x->rank() < 4 ? 4 - x->rank() : 0, DimExpr(1));
  dims.insert(dims.end(), x->dims.begin(), x->dims.end());
  return n.emit.reshape(x, dims);
}

Val biasFromMask(NodeContext &n, Val mask, DataType type) {
  if (!mask) {
    return nullptr;
  }
  if (mask->type == DataType::Bool) {
    std::optional<double> known = n.emit.uniformNumber(mask);
    if (known && *known != 0) {
      return nullptr;
    }
    mask = n.emit.select(
        mask, n.emit.scalar(type, 0),
        n.emit.scalar(type, -std::numeric_limits<double>::infinity()));
  } else if (n.emit.uniformNumber(mask) == std::optional(0.0)) {
    return nullptr;
  }
  return mask ? toRank4(n, n.emit.cast(mask, type)) : nullptr;
}

Val biasFromKeyMask(NodeContext &n, Val mask, DataType type, double hidden) {
  std::optional<double> known = n.emit.uniformNumber(mask);
  if (!mask || (known && *known != 0)) {
    return nullptr;
  }
  Val seen = n.emit.cast(mask, DataType::Bool);
  Val bias =
      n.emit.select(seen, n.emit.scalar(type, 0), n.emit.scalar(type, hidden));
  if (bias && bias->rank() == 2) {
    bias = n.emit.reshape(bias, {bias->dims[0], 1, 1, bias->dims[1]});
  } else if (bias && bias->rank() == 3) { // [B, S, T]
    bias = n.emit.unsqueeze(bias, {1});
  }
  return bias;
}

Val appended(NodeContext &n, Val past, Val fresh, int64_t axis) {
  return past ? n.emit.concat({past, fresh}, axis) : fresh;
}

} // namespace llmc::import
