//===- Indexing.cpp - Gather, scatter, running sums, selection ------------===//

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

namespace llmc::import {

namespace {

bool importGather(NodeContext &n) {
  Val data = n.in(0), indices = n.in(1);
  int64_t axis = n.axis(n.integer("axis", 0), data->rank());
  if (axis < 0) {
    return false;
  }
  n.importer.notePositionTable(data, indices, axis);
  return n.out(n.emit.gather(data, indices, axis));
}

bool importGatherElements(NodeContext &n) {
  int64_t axis = n.axis(n.integer("axis", 0), n.in(0)->rank());
  return axis >= 0 && n.out(n.emit.gatherElements(n.in(0), n.in(1), axis));
}

bool importGatherNd(NodeContext &n) {
  return n.out(n.emit.gatherNd(n.in(0), n.in(1), n.integer("batch_dims", 0)));
}

bool importScatterNd(NodeContext &n) {
  return n.out(
      n.emit.scatterNd(n.in(0), n.in(1), n.in(2), n.text("reduction", "none")));
}

bool importScatterElements(NodeContext &n) {
  int64_t axis = n.axis(n.integer("axis", 0), n.in(0)->rank());
  return axis >= 0 &&
         n.out(n.emit.scatterElements(n.in(0), n.in(1), n.in(2), axis,
                                      n.text("reduction", "none")));
}

bool importCumSum(NodeContext &n) {
  std::optional<std::vector<int64_t>> list = n.constantInts(1, "its axis");
  if (!list || list->size() != 1) {
    return false;
  }
  int64_t axis = n.axis((*list)[0], n.in(0)->rank());
  return axis >= 0 &&
         n.out(n.emit.cumsum(n.in(0), axis, n.integer("exclusive", 0) != 0,
                             n.integer("reverse", 0) != 0));
}

bool importTopK(NodeContext &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.integer("axis", -1), x->rank());
  if (axis < 0) {
    return false;
  }
  std::optional<DimExpr> k = n.attribute("k")
                                 ? std::optional<DimExpr>(n.integer("k", 1))
                                 : n.emit.uniform(n.in(1));
  if (!k) {
    return n.fail("its k is not known at compile time");
  }
  auto [values, indices] =
      n.emit.topk(x, axis, *k, n.integer("largest", 1) != 0);
  return n.out(0, values) && n.out(1, indices);
}

/// depth gives the new axis; values are [off, on].
bool importOneHot(NodeContext &n) {
  Val indices = n.in(0);
  std::optional<DimExpr> depth = n.emit.uniform(n.in(1));
  if (!depth) {
    return n.fail("its depth is not known at compile time");
  }
  int64_t axis = n.axis(n.integer("axis", -1), indices->rank() + 1);
  if (axis < 0) {
    return false;
  }
  Dims rampDims(indices->dims.size() + 1, DimExpr(1));
  rampDims[axis] = *depth;
  Val classes = n.emit.ramp(DataType::Int64, rampDims, {0, 1, axis});
  Val which = n.emit.unsqueeze(n.emit.cast(indices, DataType::Int64), {axis});
  // Negative indices count from the end.
  Val wrapped = n.emit.select(
      n.emit.binary("lt", which, n.emit.scalar(DataType::Int64, 0)),
      n.emit.add(which, n.emit.ramp(DataType::Int64, {}, {*depth, 0, 0})),
      which);
  Val off = n.emit.reshape(n.emit.sliceAxis(n.in(2), 0, 0, 1), {});
  Val on = n.emit.reshape(n.emit.sliceAxis(n.in(2), 0, 1, 1), {});
  return n.out(n.emit.select(n.emit.binary("eq", classes, wrapped), on, off));
}

/// Only for what is known: its size depends on the data.
bool importNonZero(NodeContext &n) {
  Val x = n.in(0);
  if (std::optional<double> number = n.emit.uniformNumber(x);
      number && *number != 0 && x->rank() == 1) {
    return n.out(n.emit.ramp(DataType::Int64, {1, x->dims[0]}, {0, 1, 1}));
  }
  std::optional<std::vector<int64_t>> dims = x->staticDims();
  std::optional<std::vector<double>> values = n.emit.floatsOf(x);
  if (!values || !dims) {
    return n.fail("the size of its result depends on data");
  }
  std::vector<std::vector<int64_t>> found(dims->size());
  for (size_t flat = 0; flat < values->size(); ++flat) {
    if ((*values)[flat] == 0) {
      continue;
    }
    size_t rest = flat;
    for (size_t d = dims->size(); d-- > 0;) {
      found[d].push_back(static_cast<int64_t>(rest % (*dims)[d]));
      rest /= (*dims)[d];
    }
  }
  std::vector<int64_t> flatList;
  for (const std::vector<int64_t> &row : found) {
    flatList.insert(flatList.end(), row.begin(), row.end());
  }
  int64_t count = found.empty() ? 0 : static_cast<int64_t>(found[0].size());
  return n.out(n.emit.ints(DataType::Int64, {x->rank(), count}, flatList));
}

const Handler table[] = {
    {"", "Gather", 1, importGather, 2},
    {"", "GatherElements", 11, importGatherElements, 2},
    {"", "GatherND", 11, importGatherNd, 2},
    {"", "ScatterND", 11, importScatterNd, 3},
    {"", "Scatter", 9, importScatterElements, 3},
    {"", "ScatterElements", 11, importScatterElements, 3},
    {"", "CumSum", 11, importCumSum, 2},
    {"", "TopK", 1, importTopK},
    {"", "OneHot", 9, importOneHot, 3},
    {"", "NonZero", 9, importNonZero},
};

} // namespace

std::span<const Handler> indexHandlers() { return table; }

} // namespace llmc::import
