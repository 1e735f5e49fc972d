//===- Shape.cpp - Operators that make or change shapes -------------------===//

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

#include <algorithm>
#include <cmath>

namespace llmc::import {

namespace {

bool importConstant(NodeContext &n);

bool importShape(NodeContext &n) {
  const Dims &dims = n.in(0)->dims;
  auto rank = static_cast<int64_t>(dims.size());
  auto clamp = [&](int64_t i) {
    return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank);
  };
  int64_t start = clamp(n.integer("start", 0));
  int64_t end = clamp(n.integer("end", rank));
  return n.out(n.emit.shape(
      Dims(dims.begin() + start, dims.begin() + std::max(start, end))));
}

bool importSize(NodeContext &n) {
  return n.out(
      n.emit.exprs(DataType::Int64, {}, {graph::numElements(n.in(0)->dims)}));
}

bool importReshape(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<DimExpr>> wanted;
  if (std::optional<std::vector<int64_t>> list = n.integers("shape")) {
    wanted = std::vector<DimExpr>(list->begin(), list->end());
  } else {
    wanted = n.emit.exprsOf(n.in(1));
  }
  if (!wanted) {
    return n.fail("its shape is not known at compile time");
  }
  bool keepsZero = n.integer("allowzero", 0) != 0;
  Dims dims;
  int64_t inferred = -1;
  for (size_t i = 0; i < wanted->size(); ++i) {
    DimExpr dim = (*wanted)[i];
    if (dim == DimExpr(0) && !keepsZero) {
      if (i >= x->dims.size()) {
        return n.fail("a 0 in its shape stands beyond the rank of its input " +
                      toString(x->dims));
      }
      dim = x->dims[i];
    } else if (dim == DimExpr(-1)) {
      if (inferred >= 0) {
        return n.fail("two -1 in its shape");
      }
      inferred = static_cast<int64_t>(i);
      dim = 1;
    }
    dims.push_back(dim);
  }
  if (inferred >= 0) {
    DimExpr total = graph::numElements(x->dims);
    DimExpr rest = graph::numElements(dims);
    if (std::optional<DimExpr> exact = total.dividedBy(rest)) {
      dims[inferred] = *exact;
    } else if (rest == DimExpr(0) ||
               (total.isConstant() && rest.isConstant())) {
      return n.fail("cannot reshape " + toString(x->dims) + " to " +
                    toString(*wanted));
    } else {
      dims[inferred] = DimExpr::floorDiv(total, rest);
    }
  }
  return n.out(n.emit.reshape(x, dims));
}

bool importFlatten(NodeContext &n) {
  Val x = n.in(0);
  int64_t axis = n.integer("axis", 1);
  axis += axis < 0 ? x->rank() : 0;
  if (axis < 0 || axis > x->rank()) {
    return n.fail("axis " + std::to_string(axis) + " of " + toString(x->dims));
  }
  DimExpr outer =
      graph::numElements(Dims(x->dims.begin(), x->dims.begin() + axis));
  DimExpr inner =
      graph::numElements(Dims(x->dims.begin() + axis, x->dims.end()));
  return n.out(n.emit.reshape(x, {outer, inner}));
}

bool importSqueeze(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<int64_t>> axes = n.axes("axes", 1, x->rank());
  if (!axes) {
    axes.emplace();
    for (int64_t d = 0; d < x->rank(); ++d) {
      if (x->dims[d] == DimExpr(1)) {
        axes->push_back(d);
      }
    }
  }
  return n.out(n.emit.squeeze(x, *axes));
}

bool importUnsqueeze(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<int64_t>> raw = n.integers("axes");
  if (!raw) {
    raw = n.constantInts(1, "axes");
  }
  if (!raw) {
    return false;
  }
  auto rank = x->rank() + static_cast<int64_t>(raw->size());
  for (int64_t &axis : *raw) {
    axis = n.axis(axis, rank);
    if (axis < 0) {
      return false;
    }
  }
  std::sort(raw->begin(), raw->end());
  return n.out(n.emit.unsqueeze(x, *raw));
}

bool importExpand(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<DimExpr>> shape = n.emit.exprsOf(n.in(1));
  if (!shape) {
    return n.fail("its shape is not known at compile time");
  }
  std::optional<Dims> dims = n.emit.broadcastDims(x->dims, *shape);
  if (!dims) {
    return n.fail("cannot expand " + toString(x->dims) + " to " +
                  toString(*shape));
  }
  return n.out(n.emit.broadcast(x, *dims));
}

bool importTile(NodeContext &n) {
  Val x = n.in(0);
  std::optional<std::vector<DimExpr>> repeats = n.emit.exprsOf(n.in(1));
  if (!repeats || repeats->size() != x->dims.size()) {
    return n.fail("its repeats are not known at compile time");
  }
  // [a, b] -> [1, a, 1, b] -> [r, a, s, b] -> [r a, s b]
  Dims apart, wide, joined;
  for (size_t i = 0; i < repeats->size(); ++i) {
    if ((*repeats)[i] != DimExpr(1)) {
      apart.push_back(1);
      wide.push_back((*repeats)[i]);
    }
    apart.push_back(x->dims[i]);
    wide.push_back(x->dims[i]);
    joined.push_back(x->dims[i] * (*repeats)[i]);
  }
  Val y = n.emit.broadcast(n.emit.reshape(x, apart), wide);
  return n.out(n.emit.reshape(y, joined));
}

bool importConstantOfShape(NodeContext &n) {
  std::optional<std::vector<DimExpr>> shape = n.emit.exprsOf(n.in(0));
  if (!shape) {
    return n.fail("its shape is not known at compile time");
  }
  DataType type = DataType::Float;
  double value = 0;
  if (const onnx::AttributeProto *a = n.attribute("value")) {
    Result<Val> made = n.importer.model().constant(a->t());
    if (!made) {
      return n.fail(made.error().message);
    }
    Val element = *made;
    std::optional<double> number = n.emit.uniformNumber(element);
    if (!number) {
      return n.fail("its value is not one number");
    }
    type = element->type;
    value = *number;
  }
  return n.out(n.emit.splat(type, *shape, value));
}

bool importRange(NodeContext &n) {
  DataType type = n.in(0)->type;
  std::optional<DimExpr> start = n.emit.uniform(n.in(0));
  std::optional<DimExpr> limit = n.emit.uniform(n.in(1));
  std::optional<DimExpr> step = n.emit.uniform(n.in(2));
  if (start && limit && step) {
    DimExpr count = *step == DimExpr(1)
                        ? *limit - *start
                        : DimExpr::ceilDiv(*limit - *start, *step);
    if (!n.emit.lessEqual(0, count).value_or(false)) {
      count = DimExpr::max(count, 0);
    }
    return n.out(n.emit.ramp(type, {count}, {*start, *step, 0}));
  }
  std::optional<double> a = n.emit.uniformNumber(n.in(0));
  std::optional<double> b = n.emit.uniformNumber(n.in(1));
  std::optional<double> c = n.emit.uniformNumber(n.in(2));
  if (a && b && c && *c != 0 && (*b - *a) / *c < 1e6) {
    std::vector<double> values;
    auto count = static_cast<int64_t>(std::ceil((*b - *a) / *c));
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(*a + static_cast<double>(i) * *c);
    }
    return n.out(n.emit.floats(type, {std::max<int64_t>(count, 0)}, values));
  }
  return n.fail("its bounds are not known at compile time");
}

bool importConstant(NodeContext &n) {
  if (const onnx::AttributeProto *a = n.attribute("value")) {
    Result<Val> made = n.importer.model().constant(a->t());
    return made ? n.out(*made) : n.fail(made.error().message);
  }
  if (const onnx::AttributeProto *a = n.attribute("value_int")) {
    return n.out(n.emit.ints(DataType::Int64, {}, std::vector{a->i()}));
  }
  if (const onnx::AttributeProto *a = n.attribute("value_float")) {
    return n.out(n.emit.scalar(DataType::Float, a->f()));
  }
  if (const onnx::AttributeProto *a = n.attribute("value_ints")) {
    std::vector<int64_t> list(a->ints().begin(), a->ints().end());
    auto count = static_cast<int64_t>(list.size());
    return n.out(n.emit.ints(DataType::Int64, {count}, list));
  }
  if (const onnx::AttributeProto *a = n.attribute("value_floats")) {
    std::vector<double> list(a->floats().begin(), a->floats().end());
    auto count = static_cast<int64_t>(list.size());
    return n.out(n.emit.floats(DataType::Float, {count}, list));
  }
  return n.fail("sparse and string constants are not supported");
}

const Handler table[] = {
    {"", "Constant", 1, importConstant, 0},
    {"", "ConstantOfShape", 9, importConstantOfShape},
    {"", "Shape", 1, importShape},
    {"", "Size", 1, importSize},
    {"", "Reshape", 1, importReshape},
    {"", "Flatten", 1, importFlatten},
    {"", "Squeeze", 1, importSqueeze},
    {"", "Unsqueeze", 1, importUnsqueeze},
    {"", "Expand", 8, importExpand},
    {"", "Tile", 6, importTile},
    {"", "Range", 11, importRange, 3},
};

} // namespace

std::span<const Handler> shapeHandlers() { return table; }

} // namespace llmc::import
