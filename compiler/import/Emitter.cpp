//===- Emitter.cpp - Leaves and queries of the importer's emitter ---------===//

#include "compiler/import/EmitterTemplates.h"

#include <cmath>
#include <cstring>

namespace llmc::import {

std::string toString(const Dims &dims) {
  std::string text = "[";
  for (const DimExpr &dim : dims) {
    text += (text.size() > 1 ? ", " : "") + dim.str();
  }
  return text + "]";
}

Val Emitter::fail(std::string text) {
  if (message.empty()) {
    message = std::move(text);
  }
  return nullptr;
}

std::string Emitter::describe(const Val &v) const {
  return name(v->type) + toString(v->dims);
}

mlir::Location Emitter::location() {
  return mlir::NameLoc::get(builder.getStringAttr(nodeName));
}

void Emitter::tag(mlir::Operation *op) {
  if (!nodeName.empty()) {
    op->setAttr(graph::kNameAttr, builder.getStringAttr(nodeName));
  }
}

//===----------------------------------------------------------------------===//
// Leaves
//===----------------------------------------------------------------------===//

static std::shared_ptr<ConstantData> allocate(DataType type, size_t count) {
  auto bytes = std::make_shared<std::vector<std::byte>>(byteSize(type, count));
  auto data = std::make_shared<ConstantData>();
  data->data = bytes->data();
  data->size = bytes->size();
  data->owner = bytes;
  return data;
}

/// The bytes of a constant made by allocate().
static std::byte *writable(const ConstantData &data) {
  return const_cast<std::byte *>(data.data);
}

static Dims toDims(const std::vector<int64_t> &dims) {
  return Dims(dims.begin(), dims.end());
}

Val Emitter::ints(DataType type, std::vector<int64_t> dims,
                  std::span<const int64_t> values) {
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = toDims(dims);
  v->constant = allocate(type, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    writeInt(type, writable(*v->constant), i, values[i]);
  }
  return v;
}

Val Emitter::floats(DataType type, std::vector<int64_t> dims,
                    std::span<const double> values) {
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = toDims(dims);
  v->constant = allocate(type, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    writeFloat(type, writable(*v->constant), i, values[i]);
  }
  return v;
}

Val Emitter::splat(DataType type, Dims dims, double value) {
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = std::move(dims);
  v->constant = allocate(type, 1);
  v->constant->splat = true;
  writeFloat(type, writable(*v->constant), 0, value);
  return v;
}

Val Emitter::shape(const Dims &dims) {
  return exprs(DataType::Int64, {static_cast<int64_t>(dims.size())}, dims);
}

Val Emitter::exprs(DataType type, std::vector<int64_t> dims,
                   std::vector<DimExpr> values) {
  bool numbers = true;
  for (const DimExpr &e : values) {
    numbers &= e.isConstant();
  }
  if (numbers) {
    std::vector<int64_t> list;
    for (const DimExpr &e : values) {
      list.push_back(*e.asConstant());
    }
    return ints(type, std::move(dims), list);
  }
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = toDims(dims);
  v->exprs = std::move(values);
  return v;
}

Val Emitter::ramp(DataType type, Dims dims, Affine affine) {
  // Small and static: as elements, which more functions understand.
  std::optional<int64_t> count = graph::numElements(dims).asConstant();
  bool uniformValue = affine.step == DimExpr(0) || dims.empty();
  if (count && *count == 1) {
    return exprs(type, std::vector<int64_t>(dims.size(), 1), {affine.start});
  }
  if (uniformValue && affine.start.isConstant()) {
    auto v = splat(type, std::move(dims), 0);
    writeInt(type, writable(*v->constant), 0, *affine.start.asConstant());
    return v;
  }
  if (!uniformValue && dims[affine.axis] == DimExpr(1)) {
    affine.step = 0;
    return ramp(type, std::move(dims), affine);
  }
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = std::move(dims);
  v->affine = affine;
  return v;
}

Val Emitter::fromMlir(DataType type, Dims dims, mlir::Value value) {
  auto v = std::make_shared<Value>();
  v->type = type;
  v->dims = std::move(dims);
  v->value = value;
  return v;
}

//===----------------------------------------------------------------------===//
// Materialisation
//===----------------------------------------------------------------------===//

static mlir::DenseElementsAttr denseAttr(mlir::RankedTensorType type,
                                         DataType dataType,
                                         const ConstantData &data) {
  int64_t count = data.splat ? 1 : type.getNumElements();
  if (dataType == DataType::Bool) {
    llvm::SmallVector<bool> values;
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(readInt(dataType, data.data, i) != 0);
    }
    return mlir::DenseElementsAttr::get(type, llvm::ArrayRef<bool>(values));
  }
  if (bitWidth(dataType) < 8) {
    llvm::SmallVector<llvm::APInt> values;
    for (int64_t i = 0; i < count; ++i) {
      values.emplace_back(4, readInt(dataType, data.data, i) & 15);
    }
    return mlir::DenseElementsAttr::get(type, values);
  }
  return mlir::DenseElementsAttr::getFromRawBuffer(
      type, llvm::ArrayRef(reinterpret_cast<const char *>(data.data),
                           count * (bitWidth(dataType) / 8)));
}

mlir::DenseElementsAttr Emitter::oneElement(DataType type, double value) {
  Val v = scalar(type, value);
  return denseAttr(mlir::RankedTensorType::get({}, elementType(type)), type,
                   *v->constant);
}

mlir::Value Emitter::makeConstant(const Value &v) {
  ConstantData &data = *v.constant;
  std::optional<std::vector<int64_t>> dims = v.staticDims();
  if (!dims) {
    auto scalarType = mlir::RankedTensorType::get({}, elementType(v.type));
    return emit<graph::FillOp>(v.type, v.dims,
                               denseAttr(scalarType, v.type, data))
        ->value;
  }
  auto type = mlir::RankedTensorType::get(*dims, elementType(v.type));
  // Initializers stay outside of the IR unless tiny; folded results may be a
  // little larger.
  int64_t limit = data.name.empty() ? 1024 : 64;
  if (data.splat || product(*dims) <= limit) {
    auto op = graph::ConstantOp::create(builder, location(), type,
                                        denseAttr(type, v.type, data));
    tag(op);
    return op->getResult(0);
  }
  auto op = graph::LoadWeightOp::create(builder, location(), type,
                                        weights.symbolFor(data, type));
  tag(op);
  return op->getResult(0);
}

mlir::Value Emitter::materialize(const Val &v) {
  if (!v || v->value) {
    return v ? v->value : mlir::Value();
  }
  // A value made inside an `If` branch or before is visible to all later ops:
  // there is one block per entry.
  if (v->constant) {
    v->value = makeConstant(*v);
  } else if (std::optional<DimExpr> e =
                 v->exprs && v->rank() > 0 && isFloat(v->type) ? uniform(v)
                                                               : std::nullopt) {
    // A position in a one-token entry: the same op as in a longer one.
    auto same = std::make_shared<Value>();
    same->type = v->type;
    same->dims = v->dims;
    same->affine = Affine{*e, 0, 0};
    v->value = materialize(same);
  } else if (v->exprs) {
    // dim_value has integers only; floats are cast from them.
    bool wide = v->type == DataType::Int64 || v->type == DataType::Int32;
    std::vector<mlir::Attribute> list;
    for (const DimExpr &e : *v->exprs) {
      list.push_back(graph::exprToAttr(builder.getContext(), e));
    }
    Val made = emit<graph::DimValueOp>(wide ? v->type : DataType::Int64,
                                       v->dims, builder.getArrayAttr(list));
    if (!wide) {
      made = emit<graph::CastOp>(v->type, v->dims, made->value);
    }
    v->value = made->value;
  } else if (v->affine) {
    bool direct = v->type == DataType::Int64 || v->type == DataType::Int32 ||
                  v->type == DataType::Float;
    DataType type = direct             ? v->type
                    : isFloat(v->type) ? DataType::Float
                                       : DataType::Int64;
    Val made = emit<graph::IotaOp>(
        type, v->dims, static_cast<uint64_t>(v->affine->axis),
        v->affine->start.str(), v->affine->step.str());
    if (!direct) {
      made = emit<graph::CastOp>(v->type, v->dims, made->value);
    }
    v->value = made->value;
  } else if (v->triangle) {
    int64_t rank = v->rank();
    Dims rowDims(v->dims.size(), DimExpr(1)), columnDims = rowDims;
    rowDims[rank - 2] = v->dims[rank - 2];
    columnDims[rank - 1] = v->dims[rank - 1];
    Val row =
        ramp(DataType::Int64, rowDims, {v->triangle->rowStart, 1, rank - 2});
    Val column = ramp(DataType::Int64, columnDims,
                      {v->triangle->columnStart, 1, rank - 1});
    Val made = binary("le", column, row);
    made = made ? broadcast(made, v->dims) : nullptr;
    made = made && v->type != DataType::Bool ? cast(made, v->type) : made;
    v->value = materialize(made);
  }
  return v->value;
}

//===----------------------------------------------------------------------===//
// What is known
//===----------------------------------------------------------------------===//

std::optional<bool> Emitter::less(DimExpr a, DimExpr b) const {
  graph::Interval difference = range(a - b);
  if (difference.hasUpper() && difference.upper < 0) {
    return true;
  }
  if (difference.hasLower() && difference.lower >= 0) {
    return false;
  }
  return std::nullopt;
}

std::optional<bool> Emitter::lessEqual(DimExpr a, DimExpr b) const {
  std::optional<bool> greater = less(b, a);
  return greater ? std::optional(!*greater) : std::nullopt;
}

std::optional<bool> Emitter::equal(DimExpr a, DimExpr b) const {
  if (a == b) {
    return true;
  }
  graph::Interval difference = range(a - b);
  if ((difference.hasUpper() && difference.upper < 0) ||
      (difference.hasLower() && difference.lower > 0)) {
    return false;
  }
  if (difference.lower == 0 && difference.upper == 0) {
    return true;
  }
  return std::nullopt;
}

bool Emitter::isSmall(const Val &v) const {
  std::optional<int64_t> count = v->count();
  return count &&
         *count <= (isFloat(v->type) ? kMaxEvaluated / 4 : kMaxEvaluated);
}

bool Emitter::isWeight(const Val &v) const {
  return v && v->constant && !v->constant->splat && !isSmall(v);
}

/// An integer-valued float as an integer.
static std::optional<int64_t> asInteger(double value) {
  if (std::floor(value) == value && std::abs(value) < 0x1p53) {
    return static_cast<int64_t>(value);
  }
  return std::nullopt;
}

std::optional<std::vector<DimExpr>> Emitter::exprsOf(const Val &v) const {
  if (!v || !isSmall(v)) {
    return std::nullopt;
  }
  if (v->exprs) {
    return v->exprs;
  }
  std::vector<DimExpr> out;
  if (v->constant) {
    int64_t count = *v->count();
    for (int64_t i = 0; i < count; ++i) {
      const ConstantData &data = *v->constant;
      size_t index = data.splat ? 0 : i;
      std::optional<int64_t> number =
          isFloat(v->type) ? asInteger(readFloat(v->type, data.data, index))
                           : readInt(v->type, data.data, index);
      if (!number) {
        return std::nullopt;
      }
      out.push_back(*number);
    }
    return out;
  }
  if (v->affine) {
    forEachIndex(*v->staticDims(), [&](const std::vector<int64_t> &index) {
      DimExpr e = v->affine->start;
      if (v->affine->step != DimExpr(0)) {
        e = e + v->affine->step * DimExpr(index[v->affine->axis]);
      }
      out.push_back(e);
    });
    return out;
  }
  return std::nullopt;
}

std::optional<std::vector<int64_t>> Emitter::intsOf(const Val &v) const {
  if (!v || isFloat(v->type)) {
    return std::nullopt;
  }
  if (v->constant && v->count() && *v->count() <= (1 << 20)) {
    std::vector<int64_t> out;
    for (int64_t i = 0, n = *v->count(); i < n; ++i) {
      out.push_back(
          readInt(v->type, v->constant->data, v->constant->splat ? 0 : i));
    }
    return out;
  }
  std::optional<std::vector<DimExpr>> list = exprsOf(v);
  if (!list) {
    return std::nullopt;
  }
  std::vector<int64_t> out;
  for (const DimExpr &e : *list) {
    std::optional<int64_t> number = e.asConstant();
    if (!number) {
      return std::nullopt;
    }
    out.push_back(*number);
  }
  return out;
}

std::optional<std::vector<double>> Emitter::floatsOf(const Val &v) const {
  if (!v || !v->constant || !isSmall(v)) {
    return std::nullopt;
  }
  std::vector<double> out;
  for (int64_t i = 0, n = *v->count(); i < n; ++i) {
    out.push_back(
        readFloat(v->type, v->constant->data, v->constant->splat ? 0 : i));
  }
  return out;
}

std::optional<double> Emitter::uniformNumber(const Val &v) const {
  if (!v) {
    return std::nullopt;
  }
  if (v->constant) {
    if (v->constant->splat || (v->count() && *v->count() == 1)) {
      return readFloat(v->type, v->constant->data, 0);
    }
    if (!isSmall(v)) {
      return std::nullopt;
    }
    std::optional<std::vector<double>> all = floatsOf(v);
    for (double x : *all) {
      if (x != all->front() || std::isnan(x)) {
        return std::nullopt;
      }
    }
    return all->empty() ? std::nullopt : std::optional(all->front());
  }
  std::optional<DimExpr> e = uniform(v);
  std::optional<int64_t> number = e ? e->asConstant() : std::nullopt;
  return number ? std::optional(static_cast<double>(*number)) : std::nullopt;
}

std::optional<DimExpr> Emitter::uniform(const Val &v) const {
  if (!v) {
    return std::nullopt;
  }
  if (v->affine) {
    return v->affine->step == DimExpr(0) ? std::optional(v->affine->start)
                                         : std::nullopt;
  }
  if (v->constant && v->constant->splat) {
    std::optional<int64_t> number =
        isFloat(v->type) ? asInteger(readFloat(v->type, v->constant->data, 0))
                         : readInt(v->type, v->constant->data, 0);
    return number ? std::optional<DimExpr>(*number) : std::nullopt;
  }
  std::optional<std::vector<DimExpr>> list = exprsOf(v);
  if (!list || list->empty()) {
    return std::nullopt;
  }
  for (const DimExpr &e : *list) {
    if (e != list->front()) {
      return std::nullopt;
    }
  }
  return list->front();
}

std::optional<Affine> Emitter::affineOf(const Val &v) const {
  if (!v) {
    return std::nullopt;
  }
  if (v->affine) {
    return v->affine;
  }
  if (std::optional<DimExpr> e = uniform(v)) {
    return Affine{*e, 0, 0};
  }
  // A list 0, 1, 2 ... along one axis (exporters fold Range of a constant).
  std::optional<std::vector<DimExpr>> list = exprsOf(v);
  if (!list || list->size() < 2) {
    return std::nullopt;
  }
  int64_t axis = -1;
  for (int64_t d = 0; d < v->rank(); ++d) {
    if (v->dims[d] != DimExpr(1)) {
      if (axis >= 0) {
        return std::nullopt;
      }
      axis = d;
    }
  }
  DimExpr step = (*list)[1] - (*list)[0];
  for (size_t i = 1; i < list->size(); ++i) {
    if ((*list)[i] - (*list)[i - 1] != step) {
      return std::nullopt;
    }
  }
  return Affine{list->front(), step, axis};
}

std::optional<Dims> Emitter::broadcastDims(const Dims &a, const Dims &b) const {
  Dims out(std::max(a.size(), b.size()), DimExpr(1));
  for (size_t i = 0; i < out.size(); ++i) {
    size_t fromA = out.size() - a.size(), fromB = out.size() - b.size();
    DimExpr x = i < fromA ? DimExpr(1) : a[i - fromA];
    DimExpr y = i < fromB ? DimExpr(1) : b[i - fromB];
    if (x == y || y == DimExpr(1)) {
      out[i] = x;
    } else if (x == DimExpr(1)) {
      out[i] = y;
    } else if (equal(x, y).value_or(false)) {
      out[i] = x.isConstant() ? x : y;
    } else if (!equal(x, y).has_value() && (x.isConstant() || y.isConstant())) {
      // A run-time dimension beside a fixed one: the model means them equal.
      out[i] = x.isConstant() ? x : y;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

} // namespace llmc::import
