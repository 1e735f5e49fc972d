//===- Layout.cpp - Operators that move elements --------------------------===//

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace llmc::import {

namespace {

bool importTranspose(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<int64_t>> perm = n.integers("perm");
  if (!perm) {
    perm.emplace(x->rank());
    std::iota(perm->rbegin(), perm->rend(), 0);
  }
  return n.out(n.emit.transpose(x, *perm));
}

bool importConcat(NodeContext &n) {
  std::vector<Val> parts;
  for (size_t i = 0; i < n.numInputs(); ++i) {
    if (!n.has(i)) {
      return false;
    }
    parts.push_back(n.in(i));
  }
  int64_t axis = n.axis(n.integer("axis", 1), parts[0]->rank());
  return axis >= 0 && n.out(n.emit.concat(parts, axis));
}

/// A start or end, made non-negative and kept inside [low, high].
std::optional<DimExpr> clampIndex(const Emitter &e, DimExpr index, DimExpr dim,
                                  DimExpr low, DimExpr high) {
  std::optional<int64_t> number = index.asConstant();
  if (number && *number > INT32_MAX - 1) {
    return high;
  }
  if (number && *number < -(INT32_MAX - 1)) {
    return low;
  }
  std::optional<bool> negative = e.less(index, 0);
  if (!negative) {
    return std::nullopt;
  }
  if (*negative) {
    index = index + dim;
  }
  if (e.lessEqual(index, low).value_or(false)) {
    return low;
  }
  if (e.lessEqual(high, index).value_or(false)) {
    return high;
  }
  if (!e.lessEqual(low, index).value_or(false)) {
    index = DimExpr::max(index, low);
  }
  if (!e.lessEqual(index, high).value_or(false)) {
    index = DimExpr::min(index, high);
  }
  return index;
}

/// A fixed dimension that is sliced up to the tokens seen so far is a table of
/// positions or a mask buffer: it bounds the context.
void notePositions(NodeContext &n, DimExpr end, int64_t dim) {
  std::vector<std::string> symbols;
  end.collectSymbols(symbols);
  if (std::find(symbols.begin(), symbols.end(), "past") != symbols.end() &&
      n.emit.lessEqual(0, end).value_or(false)) {
    n.importer.notePositionLimit(dim);
  }
}

bool importSlice(NodeContext &n) {
  Val x = n.in(0);
  auto rank = x->rank();
  // Attributes in version 1, inputs from 10 on.
  auto list = [&](const char *name,
                  size_t input) -> std::optional<std::vector<DimExpr>> {
    if (std::optional<std::vector<int64_t>> a = n.integers(name)) {
      return std::vector<DimExpr>(a->begin(), a->end());
    }
    return n.emit.exprsOf(n.in(input));
  };
  std::optional<std::vector<DimExpr>> starts = list("starts", 1),
                                      ends = list("ends", 2);
  if (!starts || !ends) {
    return n.fail("its starts and ends are not known at compile time");
  }
  std::optional<std::vector<int64_t>> axes, steps;
  if (n.attribute("axes") || n.has(3)) {
    axes = n.axes("axes", 3, rank);
    if (!axes) {
      return false;
    }
  } else {
    axes.emplace(starts->size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  if (n.has(4)) {
    steps = n.constantInts(4, "its steps");
    if (!steps) {
      return false;
    }
  } else {
    steps.emplace(starts->size(), 1);
  }
  if (starts->size() != ends->size() || axes->size() != starts->size() ||
      steps->size() != starts->size()) {
    return n.fail("starts, ends, axes and steps differ in length");
  }
  Dims begin(rank, DimExpr(0)), sizes = x->dims;
  std::vector<int64_t> stride(rank, 1);
  for (size_t i = 0; i < axes->size(); ++i) {
    int64_t axis = (*axes)[i], step = (*steps)[i];
    if (axis >= rank || step == 0) {
      return n.fail("axis " + std::to_string(axis) + " or a step of 0");
    }
    DimExpr dim = x->dims[axis];
    DimExpr low = step > 0 ? DimExpr(0) : DimExpr(0) - DimExpr(1);
    DimExpr high = step > 0 ? dim : dim - DimExpr(1);
    // The end of a backward slice may be -1 (one before the first) only by
    // clamping: INT64_MIN and the like.
    std::optional<DimExpr> first =
        clampIndex(n.emit, (*starts)[i], dim, 0, high);
    std::optional<DimExpr> last =
        clampIndex(n.emit, (*ends)[i], dim, low, high);
    if (!first || !last) {
      return n.fail("the sign of its start " + (*starts)[i].str() + " or end " +
                    (*ends)[i].str() + " is not known");
    }
    if (step > 0 && dim.isConstant()) {
      notePositions(n, (*ends)[i], *dim.asConstant());
    }
    DimExpr length = step > 0 ? *last - *first : *first - *last;
    if (step != 1 && step != -1) {
      length = DimExpr::ceilDiv(length, std::abs(step));
    }
    if (!n.emit.lessEqual(0, length).value_or(false)) {
      length = n.emit.lessEqual(length, 0).value_or(false)
                   ? DimExpr(0)
                   : DimExpr::max(length, 0);
    }
    begin[axis] = *first;
    sizes[axis] = length;
    stride[axis] = step;
  }
  return n.out(n.emit.slice(x, begin, sizes, stride));
}

bool importSplit(NodeContext &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.integer("axis", 0), x->rank());
  if (axis < 0) {
    return false;
  }
  size_t parts = n.numOutputs();
  std::vector<DimExpr> sizes;
  if (std::optional<std::vector<int64_t>> list = n.integers("split")) {
    sizes.assign(list->begin(), list->end());
  } else if (n.has(1)) {
    std::optional<std::vector<DimExpr>> list = n.emit.exprsOf(n.in(1));
    if (!list) {
      return n.fail("its split is not known at compile time");
    }
    sizes = *list;
  } else {
    // Equal parts, the last one smaller if need be.
    auto count = static_cast<int64_t>(parts);
    DimExpr dim = x->dims[axis];
    DimExpr each = dim.dividedBy(count).value_or(DimExpr::ceilDiv(dim, count));
    sizes.assign(parts, each);
    sizes.back() = dim - each * DimExpr(count - 1);
  }
  if (sizes.size() != parts) {
    return n.fail(std::to_string(sizes.size()) + " sizes for " +
                  std::to_string(parts) + " outputs");
  }
  DimExpr start(0);
  for (size_t i = 0; i < parts; ++i) {
    if (n.wants(i) && !n.out(i, n.emit.sliceAxis(x, axis, start, sizes[i]))) {
      return false;
    }
    start = start + sizes[i];
  }
  if (n.emit.equal(start, x->dims[axis]) == std::optional(false)) {
    return n.fail("its parts are " + start.str() + " long, the axis " +
                  x->dims[axis].str());
  }
  return true;
}

bool importPad(NodeContext &n) {
  if (n.text("mode", "constant") != "constant") {
    return n.fail("mode " + n.text("mode", "") + " is not supported");
  }
  Val x = n.in(0);
  std::optional<std::vector<int64_t>> pads = n.integers("pads");
  double value = n.number("value", 0);
  if (!pads) {
    pads = n.constantInts(1, "its pads");
    if (!pads) {
      return false;
    }
  }
  if (n.has(2)) {
    std::optional<double> number = n.emit.uniformNumber(n.in(2));
    if (!number) {
      return n.fail("its value is not known at compile time");
    }
    value = *number;
  }
  std::vector<int64_t> axes(x->rank());
  std::iota(axes.begin(), axes.end(), 0);
  if (n.has(3)) {
    std::optional<std::vector<int64_t>> given = n.axes("", 3, x->rank());
    if (!given) {
      return false;
    }
    axes = *given;
  }
  if (pads->size() != 2 * axes.size()) {
    return n.fail(std::to_string(pads->size()) + " pads for " +
                  std::to_string(axes.size()) + " axes");
  }
  std::vector<int64_t> before(x->rank(), 0), after(x->rank(), 0);
  bool crops = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    before[axes[i]] = (*pads)[i];
    after[axes[i]] = (*pads)[i + axes.size()];
    crops |= before[axes[i]] < 0 || after[axes[i]] < 0;
  }
  if (crops) {
    Dims starts, sizes;
    for (int64_t d = 0; d < x->rank(); ++d) {
      int64_t front = std::max<int64_t>(-before[d], 0);
      int64_t back = std::max<int64_t>(-after[d], 0);
      starts.push_back(front);
      sizes.push_back(x->dims[d] - DimExpr(front + back));
      before[d] = std::max<int64_t>(before[d], 0);
      after[d] = std::max<int64_t>(after[d], 0);
    }
    x = n.emit.slice(x, starts, sizes, std::vector<int64_t>(x->rank(), 1));
  }
  return n.out(n.emit.pad(x, before, after, value));
}

/// Keeps the upper or lower triangle: a comparison of row and column numbers.
bool importTrilu(NodeContext &n) {
  Val x = n.in(0);
  int64_t rank = x->rank();
  if (rank < 2) {
    return n.fail("input " + toString(x->dims));
  }
  DimExpr k(0);
  if (n.has(1)) {
    std::optional<DimExpr> e = n.emit.uniform(n.in(1));
    if (!e) {
      return n.fail("its k is not known at compile time");
    }
    k = *e;
  }
  DimExpr rows = x->dims[rank - 2], columns = x->dims[rank - 1];
  // Row numbers shifted by k: upper keeps column >= row + k.
  Val row = n.emit.ramp(DataType::Int64, {rows, 1}, {k, 1, 0});
  Val column = n.emit.ramp(DataType::Int64, {1, columns}, {0, 1, 1});
  bool upper = n.integer("upper", 1) != 0;
  Val keep = n.emit.binary(upper ? "ge" : "le", column, row);
  return n.out(n.emit.select(keep, x, n.emit.scalar(x->type, 0)));
}

bool importDepthToSpace(NodeContext &n) {
  Val x = n.in(0);
  int64_t block = n.integer("blocksize", 1);
  std::optional<int64_t> channels =
      x->rank() == 4 ? x->dims[1].asConstant() : std::nullopt;
  if (!channels || block < 1 || *channels % (block * block) != 0) {
    return n.fail("input " + toString(x->dims));
  }
  bool crd = n.text("mode", "DCR") == "CRD";
  int64_t inner = *channels / (block * block);
  Dims apart =
      crd ? Dims{x->dims[0], inner, block, block, x->dims[2], x->dims[3]}
          : Dims{x->dims[0], block, block, inner, x->dims[2], x->dims[3]};
  Val y = n.emit.transpose(n.emit.reshape(x, apart),
                           crd ? std::vector<int64_t>{0, 1, 4, 2, 5, 3}
                               : std::vector<int64_t>{0, 3, 4, 1, 5, 2});
  return n.out(
      n.emit.reshape(y, {x->dims[0], inner, x->dims[2] * DimExpr(block),
                         x->dims[3] * DimExpr(block)}));
}

bool importSpaceToDepth(NodeContext &n) {
  Val x = n.in(0);
  int64_t block = n.integer("blocksize", 1);
  if (x->rank() != 4 || block < 1) {
    return n.fail("input " + toString(x->dims));
  }
  std::optional<DimExpr> height = x->dims[2].dividedBy(block),
                         width = x->dims[3].dividedBy(block);
  if (!height || !width) {
    return n.fail("input " + toString(x->dims));
  }
  Val y = n.emit.reshape(
      x, {x->dims[0], x->dims[1], *height, block, *width, block});
  y = n.emit.transpose(y, {0, 3, 5, 1, 2, 4});
  return n.out(n.emit.reshape(
      y, {x->dims[0], x->dims[1] * DimExpr(block * block), *height, *width}));
}

const Handler table[] = {
    {"", "Transpose", 1, importTranspose},
    {"", "Concat", 4, importConcat},
    {"", "Slice", 1, importSlice},
    {"", "Split", 1, importSplit},
    {"", "Pad", 2, importPad},
    {"", "Trilu", 14, importTrilu},
    {"", "DepthToSpace", 1, importDepthToSpace},
    {"", "SpaceToDepth", 1, importSpaceToDepth},
};

} // namespace

std::span<const Handler> layoutHandlers() { return table; }

} // namespace llmc::import
