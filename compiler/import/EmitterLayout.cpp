//===- EmitterLayout.cpp - Moves, indexing and their evaluation -----------===//

#include "compiler/import/EmitterTemplates.h"

#include <algorithm>
#include <cstring>

namespace llmc::import {

Val Emitter::remap(const Val &x, const std::vector<int64_t> &dims,
                   const std::vector<int64_t> &source) {
  if (x->constant && isSmall(x)) {
    auto bytes = std::make_shared<std::vector<std::byte>>(
        byteSize(x->type, source.size()));
    for (size_t i = 0; i < source.size(); ++i) {
      size_t from = x->constant->splat ? 0 : source[i];
      if (bitWidth(x->type) < 8) {
        writeInt(x->type, bytes->data(), i,
                 readInt(x->type, x->constant->data, from));
      } else {
        size_t width = bitWidth(x->type) / 8;
        std::memcpy(bytes->data() + i * width, x->constant->data + from * width,
                    width);
      }
    }
    auto v = std::make_shared<Value>();
    v->type = x->type;
    v->dims = Dims(dims.begin(), dims.end());
    v->constant = std::make_shared<ConstantData>();
    v->constant->data = bytes->data();
    v->constant->size = bytes->size();
    v->constant->owner = bytes;
    return v;
  }
  std::optional<std::vector<DimExpr>> list = exprsOf(x);
  if (!list) {
    return nullptr;
  }
  std::vector<DimExpr> out;
  for (int64_t from : source) {
    out.push_back((*list)[from]);
  }
  return exprs(x->type, dims, out);
}

/// The axes whose dimension is not 1.
static std::vector<int64_t> wideAxes(const Dims &dims) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != DimExpr(1)) {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  return axes;
}

Val Emitter::reshape(Val x, Dims dims) {
  if (!x || x->dims == dims) {
    return x;
  }
  DimExpr from = graph::numElements(x->dims), to = graph::numElements(dims);
  if (equal(from, to) == std::optional(false)) {
    return fail("cannot reshape " + toString(x->dims) + " to " +
                toString(dims));
  }
  if (x->constant) {
    // The same bytes under other dimensions, weights too: the weights file
    // stores content once.
    auto v = std::make_shared<Value>(*x);
    v->dims = std::move(dims);
    v->value = nullptr;
    return v;
  }
  if (x->exprs) {
    std::vector<int64_t> target;
    for (const DimExpr &dim : dims) {
      target.push_back(dim.asConstant().value_or(1));
    }
    return exprs(x->type, target, *x->exprs);
  }
  if (x->affine) {
    if (x->affine->step == DimExpr(0)) {
      return ramp(x->type, std::move(dims), *x->affine);
    }
    // Unit dimensions come and go; the others keep their order.
    std::vector<int64_t> before = wideAxes(x->dims), after = wideAxes(dims);
    bool same = before.size() == after.size();
    int64_t axis = -1;
    for (size_t i = 0; same && i < before.size(); ++i) {
      same = x->dims[before[i]] == dims[after[i]];
      axis = before[i] == x->affine->axis ? after[i] : axis;
    }
    if (same && axis >= 0) {
      return ramp(x->type, std::move(dims),
                  {x->affine->start, x->affine->step, axis});
    }
  }
  if (x->triangle && dims.size() >= 2 && x->dims.size() >= 2 &&
      dims[dims.size() - 1] == x->dims[x->dims.size() - 1] &&
      dims[dims.size() - 2] == x->dims[x->dims.size() - 2]) {
    auto v = std::make_shared<Value>(*x);
    v->dims = std::move(dims);
    v->value = nullptr;
    return v;
  }
  return emit<graph::ReshapeOp>(x->type, std::move(dims), materialize(x));
}

Val Emitter::unsqueeze(Val x, std::vector<int64_t> axes) {
  if (!x) {
    return nullptr;
  }
  Dims dims;
  size_t next = 0;
  for (size_t i = 0; i < x->dims.size() + axes.size(); ++i) {
    bool added = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) !=
                 axes.end();
    if (!added && next == x->dims.size()) {
      return fail("axes do not fit rank " + std::to_string(x->rank()));
    }
    dims.push_back(added ? DimExpr(1) : x->dims[next++]);
  }
  return reshape(x, dims);
}

Val Emitter::squeeze(Val x, std::vector<int64_t> axes) {
  if (!x) {
    return nullptr;
  }
  Dims dims;
  for (int64_t i = 0; i < x->rank(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
      dims.push_back(x->dims[i]);
    } else if (equal(x->dims[i], 1) == std::optional(false)) {
      return fail("axis " + std::to_string(i) + " of " + toString(x->dims) +
                  " is not 1");
    }
  }
  return reshape(x, dims);
}

Val Emitter::transpose(Val x, std::vector<int64_t> perm) {
  if (!x) {
    return nullptr;
  }
  if (static_cast<int64_t>(perm.size()) != x->rank()) {
    return fail("perm of " + std::to_string(perm.size()) +
                " entries for rank " + std::to_string(x->rank()));
  }
  std::vector<bool> seen(perm.size(), false);
  bool identity = true;
  Dims dims;
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] < 0 || perm[i] >= x->rank() || seen[perm[i]]) {
      return fail("perm is not a permutation");
    }
    seen[perm[i]] = true;
    identity &= perm[i] == static_cast<int64_t>(i);
    dims.push_back(x->dims[perm[i]]);
  }
  if (identity) {
    return x;
  }
  if (x->constant && x->constant->splat) {
    return reshape(x, dims);
  }
  if (x->affine) {
    Affine affine = *x->affine;
    if (affine.step != DimExpr(0)) {
      affine.axis =
          std::find(perm.begin(), perm.end(), affine.axis) - perm.begin();
    }
    return ramp(x->type, dims, affine);
  }
  if ((x->constant || x->exprs) && isSmall(x)) {
    std::vector<int64_t> shape = *x->staticDims(), strides = stridesOf(shape);
    std::vector<int64_t> target, source;
    for (int64_t p : perm) {
      target.push_back(shape[p]);
    }
    forEachIndex(target, [&](const std::vector<int64_t> &index) {
      int64_t offset = 0;
      for (size_t i = 0; i < perm.size(); ++i) {
        offset += index[i] * strides[perm[i]];
      }
      source.push_back(offset);
    });
    if (Val known = remap(x, target, source)) {
      return known;
    }
  }
  return emit<graph::TransposeOp>(x->type, dims, materialize(x), perm);
}

Val Emitter::broadcast(Val x, Dims dims) {
  if (!x || x->dims == dims) {
    return x;
  }
  std::optional<Dims> joined = broadcastDims(x->dims, dims);
  if (!joined || joined->size() != dims.size()) {
    return fail("cannot broadcast " + toString(x->dims) + " to " +
                toString(dims));
  }
  dims = *joined;
  if (x->dims == dims) {
    return x;
  }
  if (x->constant && x->constant->splat) {
    auto v = std::make_shared<Value>(*x);
    v->dims = std::move(dims);
    v->value = nullptr;
    return v;
  }
  if (std::optional<double> number = uniformNumber(x)) {
    if (x->constant) {
      return splat(x->type, std::move(dims), *number);
    }
  }
  if (std::optional<DimExpr> e = uniform(x)) {
    return ramp(x->type, std::move(dims), {*e, 0, 0});
  }
  size_t added = dims.size() - x->dims.size();
  if (x->affine) {
    Affine affine = *x->affine;
    affine.axis += static_cast<int64_t>(added);
    return ramp(x->type, std::move(dims), affine);
  }
  if (x->triangle && x->rank() >= 2) {
    size_t r = dims.size(), s = x->dims.size();
    if (dims[r - 1] == x->dims[s - 1] && dims[r - 2] == x->dims[s - 2]) {
      auto v = std::make_shared<Value>(*x);
      v->dims = std::move(dims);
      v->value = nullptr;
      return v;
    }
  }
  std::optional<int64_t> count = graph::numElements(dims).asConstant();
  if ((x->constant || x->exprs) && isSmall(x) && count &&
      *count <= kMaxEvaluated / 4) {
    std::vector<int64_t> shape = *x->staticDims(), strides = stridesOf(shape);
    std::vector<int64_t> target, source;
    for (const DimExpr &dim : dims) {
      target.push_back(*dim.asConstant());
    }
    forEachIndex(target, [&](const std::vector<int64_t> &index) {
      source.push_back(broadcastOffset(index, shape, strides));
    });
    if (Val known = remap(x, target, source)) {
      return known;
    }
  }
  if (graph::numElements(dims) == graph::numElements(x->dims)) {
    return reshape(x, dims);
  }
  return emit<graph::BroadcastOp>(x->type, std::move(dims), materialize(x));
}

Val Emitter::slice(Val x, Dims starts, Dims sizes, std::vector<int64_t> steps) {
  if (!x) {
    return nullptr;
  }
  bool whole = true, unitSteps = true, known = true;
  std::vector<int64_t> starting, target;
  for (size_t i = 0; i < sizes.size(); ++i) {
    whole &= starts[i] == DimExpr(0) && steps[i] == 1 && sizes[i] == x->dims[i];
    unitSteps &= steps[i] == 1;
    known &= starts[i].isConstant() && sizes[i].isConstant();
    starting.push_back(starts[i].asConstant().value_or(0));
    target.push_back(sizes[i].asConstant().value_or(0));
  }
  if (whole) {
    return x;
  }
  if (x->constant && x->constant->splat) {
    return reshape(
        splat(x->type, sizes, readFloat(x->type, x->constant->data, 0)), sizes);
  }
  if (x->affine) {
    Affine affine = *x->affine;
    if (affine.step != DimExpr(0)) {
      affine.start = affine.start + affine.step * starts[affine.axis];
      affine.step = affine.step * DimExpr(steps[affine.axis]);
    }
    return ramp(x->type, sizes, affine);
  }
  if (x->triangle && unitSteps) {
    auto v = std::make_shared<Value>(*x);
    v->triangle->rowStart = v->triangle->rowStart + starts[x->rank() - 2];
    v->triangle->columnStart = v->triangle->columnStart + starts[x->rank() - 1];
    v->dims = sizes;
    v->value = nullptr;
    // All visible? The last column of the first row decides.
    if (lessEqual(v->triangle->columnStart + sizes.back() - DimExpr(1),
                  v->triangle->rowStart)
            .value_or(false)) {
      return splat(x->type, sizes, 1);
    }
    return v;
  }
  if (known && (x->constant || x->exprs) && isSmall(x)) {
    std::vector<int64_t> strides = stridesOf(*x->staticDims()), source;
    forEachIndex(target, [&](const std::vector<int64_t> &index) {
      int64_t offset = 0;
      for (size_t i = 0; i < index.size(); ++i) {
        offset += (starting[i] + index[i] * steps[i]) * strides[i];
      }
      source.push_back(offset);
    });
    if (Val result = remap(x, target, source)) {
      return result;
    }
  }
  llvm::SmallVector<llvm::StringRef> texts;
  std::vector<std::string> storage;
  for (const DimExpr &start : starts) {
    storage.push_back(start.str());
  }
  for (const std::string &text : storage) {
    texts.push_back(text);
  }
  return emit<graph::SliceOp>(x->type, sizes, materialize(x),
                              builder.getStrArrayAttr(texts),
                              builder.getDenseI64ArrayAttr(steps));
}

Val Emitter::sliceAxis(Val x, int64_t axis, DimExpr start, DimExpr size) {
  if (!x) {
    return nullptr;
  }
  if (axis < 0 || axis >= x->rank()) {
    return fail("axis " + std::to_string(axis) + " of " + toString(x->dims));
  }
  Dims starts(x->dims.size(), DimExpr(0)), sizes = x->dims;
  starts[axis] = start;
  sizes[axis] = size;
  return slice(x, starts, sizes, std::vector<int64_t>(x->dims.size(), 1));
}

Val Emitter::concat(std::vector<Val> parts, int64_t axis) {
  std::vector<Val> used;
  for (Val &part : parts) {
    if (!part) {
      return nullptr;
    }
    if (part->rank() != parts[0]->rank() || axis >= part->rank()) {
      return fail("parts of different rank: " + toString(parts[0]->dims) +
                  " and " + toString(part->dims));
    }
    if (part->type != parts[0]->type) {
      return fail("parts are " + name(parts[0]->type) + " and " +
                  name(part->type));
    }
    if (part->dims[axis] != DimExpr(0)) {
      used.push_back(part);
    }
  }
  if (used.empty()) {
    return parts[0];
  }
  if (used.size() == 1) {
    return used[0];
  }
  Dims dims = used[0]->dims;
  dims[axis] = 0;
  for (const Val &part : used) {
    dims[axis] = dims[axis] + part->dims[axis];
    for (int64_t d = 0; d < part->rank(); ++d) {
      if (d == axis || part->dims[d] == dims[d]) {
        continue;
      }
      if (equal(part->dims[d], dims[d]) == std::optional(false)) {
        return fail("parts " + toString(used[0]->dims) + " and " +
                    toString(part->dims) + " differ beside axis " +
                    std::to_string(axis));
      }
      if (part->dims[d].isConstant()) {
        dims[d] = part->dims[d];
      }
    }
  }
  // The same number everywhere.
  std::optional<double> number = uniformNumber(used[0]);
  for (const Val &part : used) {
    if (number && uniformNumber(part) != number) {
      number.reset();
    }
  }
  std::optional<int64_t> count = graph::numElements(dims).asConstant();
  if (number && !(count && *count <= kMaxEvaluated / 4)) {
    return splat(used[0]->type, dims, *number);
  }
  bool floating = isFloat(used[0]->type);
  bool evaluated = count && *count <= kMaxEvaluated / (floating ? 4 : 1);
  for (const Val &part : used) {
    evaluated &=
        floating ? part->constant && isSmall(part) : exprsOf(part).has_value();
  }
  if (evaluated) {
    std::vector<int64_t> target;
    for (const DimExpr &dim : dims) {
      target.push_back(*dim.asConstant());
    }
    std::vector<double> numbers(floating ? *count : 0);
    std::vector<DimExpr> list(floating ? 0 : *count);
    std::vector<int64_t> strides = stridesOf(target);
    int64_t base = 0;
    for (const Val &part : used) {
      std::vector<int64_t> shape = *part->staticDims();
      std::optional<std::vector<DimExpr>> elements;
      std::optional<std::vector<double>> values;
      if (floating) {
        values = floatsOf(part);
      } else {
        elements = exprsOf(part);
      }
      int64_t from = 0;
      forEachIndex(shape, [&](const std::vector<int64_t> &index) {
        int64_t to = base * strides[axis];
        for (size_t d = 0; d < index.size(); ++d) {
          to += index[d] * strides[d];
        }
        if (floating) {
          numbers[to] = (*values)[from++];
        } else {
          list[to] = (*elements)[from++];
        }
      });
      base += shape[axis];
    }
    return floating ? floats(used[0]->type, target, numbers)
                    : exprs(used[0]->type, target, list);
  }
  llvm::SmallVector<mlir::Value> values;
  for (const Val &part : used) {
    values.push_back(materialize(part));
  }
  return emit<graph::ConcatOp>(used[0]->type, dims, static_cast<uint64_t>(axis),
                               values);
}

Val Emitter::pad(Val x, std::vector<int64_t> before, std::vector<int64_t> after,
                 double value) {
  if (!x) {
    return nullptr;
  }
  Dims dims = x->dims;
  bool none = true;
  for (size_t i = 0; i < dims.size(); ++i) {
    dims[i] = dims[i] + DimExpr(before[i] + after[i]);
    none &= before[i] == 0 && after[i] == 0;
  }
  if (none) {
    return x;
  }
  return emit<graph::PadOp>(x->type, dims, materialize(x), before, after,
                            oneElement(x->type, value));
}

//===----------------------------------------------------------------------===//
// Indexing
//===----------------------------------------------------------------------===//

Val Emitter::gather(Val data, Val indices, int64_t axis) {
  if (!data || !indices) {
    return nullptr;
  }
  if (axis >= data->rank()) {
    return fail("axis " + std::to_string(axis) + " of " + toString(data->dims));
  }
  Dims dims(data->dims.begin(), data->dims.begin() + axis);
  dims.insert(dims.end(), indices->dims.begin(), indices->dims.end());
  dims.insert(dims.end(), data->dims.begin() + axis + 1, data->dims.end());

  if (data->constant && data->constant->splat) {
    return splat(data->type, dims,
                 readFloat(data->type, data->constant->data, 0));
  }
  if (std::optional<DimExpr> e = uniform(data)) {
    return ramp(data->type, dims, {*e, 0, 0});
  }
  std::optional<std::vector<int64_t>> picks = intsOf(indices);
  std::optional<int64_t> extent = data->dims[axis].asConstant();
  if (picks && extent) {
    for (int64_t &pick : *picks) {
      pick += pick < 0 ? *extent : 0;
      if (pick < 0 || pick >= *extent) {
        return fail("index outside of " + toString(data->dims) + " axis " +
                    std::to_string(axis));
      }
    }
  }
  // Elements of a shape.
  std::optional<int64_t> count = graph::numElements(dims).asConstant();
  if (picks && extent && count && *count <= kMaxEvaluated / 4 &&
      (data->constant || data->exprs) && isSmall(data)) {
    std::vector<int64_t> shape = *data->staticDims();
    int64_t inner = 1, outer = 1;
    for (int64_t d = 0; d < data->rank(); ++d) {
      (d < axis ? outer : inner) *= d == axis ? 1 : shape[d];
    }
    std::vector<int64_t> source, target;
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t pick : *picks) {
        for (int64_t i = 0; i < inner; ++i) {
          source.push_back((o * *extent + pick) * inner + i);
        }
      }
    }
    for (const DimExpr &dim : dims) {
      target.push_back(*dim.asConstant());
    }
    if (Val known = remap(data, target, source)) {
      return known;
    }
  }
  // Range[i] = start + i * step, where i is known not to wrap.
  if (data->affine && data->rank() == 1) {
    std::optional<std::pair<DimExpr, DimExpr>> ends = extremes(indices);
    if (ends && lessEqual(0, ends->first).value_or(false)) {
      Val index = cast(indices, data->type);
      Val step = ramp(data->type, {}, {data->affine->step, 0, 0});
      Val start = ramp(data->type, {}, {data->affine->start, 0, 0});
      return add(mul(index, step), start);
    }
  }
  // One known row of an activation is a slice.
  if (picks && picks->size() == 1 && !data->constant) {
    DimExpr start((*picks)[0]);
    if (!extent && (*picks)[0] < 0) {
      start = data->dims[axis] + start;
    }
    return reshape(sliceAxis(data, axis, start, 1), dims);
  }
  // So is a run of rows.
  std::optional<Affine> run = affineOf(indices);
  if (run && run->step == DimExpr(1) && indices->rank() == 1 &&
      !data->constant && lessEqual(0, run->start).value_or(false)) {
    return sliceAxis(data, axis, run->start, indices->dims[0]);
  }
  return emit<graph::GatherOp>(data->type, dims, materialize(data),
                               materialize(indices),
                               static_cast<uint64_t>(axis));
}

Val Emitter::gatherElements(Val data, Val indices, int64_t axis) {
  if (!data || !indices) {
    return nullptr;
  }
  if (std::optional<double> number = uniformNumber(data)) {
    return splat(data->type, indices->dims, *number);
  }
  return emit<graph::GatherElementsOp>(data->type, indices->dims,
                                       materialize(data), materialize(indices),
                                       static_cast<uint64_t>(axis));
}

Val Emitter::gatherNd(Val data, Val indices, int64_t batchDims) {
  if (!data || !indices) {
    return nullptr;
  }
  std::optional<int64_t> depth =
      indices->dims.empty() ? std::nullopt : indices->dims.back().asConstant();
  if (!depth || *depth < 0 || batchDims < 0 || batchDims >= indices->rank() ||
      *depth + batchDims > data->rank()) {
    return fail("indices " + toString(indices->dims) + " into " +
                toString(data->dims));
  }
  Dims dims(indices->dims.begin(), indices->dims.end() - 1);
  dims.insert(dims.end(), data->dims.begin() + batchDims + *depth,
              data->dims.end());
  if (data->constant && data->constant->splat) {
    return splat(data->type, dims,
                 readFloat(data->type, data->constant->data, 0));
  }
  if (std::optional<DimExpr> e = uniform(data)) {
    return ramp(data->type, dims, {*e, 0, 0});
  }
  std::optional<std::vector<int64_t>> picks = intsOf(indices);
  if (picks && batchDims == 0 && (data->constant || data->exprs) &&
      isSmall(data) &&
      graph::numElements(dims).asConstant().value_or(kMaxEvaluated) <=
          kMaxEvaluated / 4) {
    std::vector<int64_t> shape = *data->staticDims(),
                         strides = stridesOf(shape);
    int64_t inner = 1;
    for (int64_t d = *depth; d < data->rank(); ++d) {
      inner *= shape[d];
    }
    std::vector<int64_t> source, target;
    for (size_t row = 0; row + *depth <= picks->size(); row += *depth) {
      int64_t offset = 0;
      for (int64_t d = 0; d < *depth; ++d) {
        int64_t pick = (*picks)[row + d];
        pick += pick < 0 ? shape[d] : 0;
        if (pick < 0 || pick >= shape[d]) {
          return fail("index outside of " + toString(data->dims));
        }
        offset += pick * strides[d];
      }
      for (int64_t i = 0; i < inner; ++i) {
        source.push_back(offset + i);
      }
    }
    for (const DimExpr &dim : dims) {
      target.push_back(*dim.asConstant());
    }
    if (Val known = remap(data, target, source)) {
      return known;
    }
  }
  return emit<graph::GatherNDOp>(data->type, dims, materialize(data),
                                 materialize(indices),
                                 static_cast<uint64_t>(batchDims));
}

Val Emitter::scatterNd(Val data, Val indices, Val updates,
                       const std::string &kind) {
  if (!data || !indices || !updates) {
    return nullptr;
  }
  // Exporters write slices into a mask through ScatterND; a number written
  // over the same number changes nothing.
  std::optional<double> before = uniformNumber(data),
                        after = uniformNumber(updates);
  if (kind == "none" && before && before == after) {
    return data;
  }
  return emit<graph::ScatterNDOp>(data->type, data->dims, materialize(data),
                                  materialize(indices), materialize(updates),
                                  kind);
}

Val Emitter::scatterElements(Val data, Val indices, Val updates, int64_t axis,
                             const std::string &kind) {
  if (!data || !indices || !updates) {
    return nullptr;
  }
  return emit<graph::ScatterElementsOp>(
      data->type, data->dims, materialize(data), materialize(indices),
      materialize(updates), static_cast<uint64_t>(axis), kind);
}

Val Emitter::cumsum(Val x, int64_t axis, bool exclusive, bool reverse) {
  if (!x) {
    return nullptr;
  }
  // The running sum of ones: how exporters make positions from a mask.
  std::optional<DimExpr> e = uniform(x);
  if (e && !reverse) {
    return ramp(x->type, x->dims, {exclusive ? DimExpr(0) : *e, *e, axis});
  }
  return emit<graph::CumSumOp>(x->type, x->dims, materialize(x),
                               static_cast<uint64_t>(axis), exclusive, reverse);
}

std::pair<Val, Val> Emitter::topk(Val x, int64_t axis, DimExpr k,
                                  bool largest) {
  if (!x) {
    return {};
  }
  Dims dims = x->dims;
  dims[axis] = k;
  mlir::Type valueType = graph::tensorType(dims, elementType(x->type));
  mlir::Type indexType = graph::tensorType(dims, elementType(DataType::Int64));
  auto op = graph::TopKOp::create(builder, location(), valueType, indexType,
                                  materialize(x), static_cast<uint64_t>(axis),
                                  k.str(), largest);
  graph::setDims(op, 0, dims);
  graph::setDims(op, 1, dims);
  tag(op);
  return {fromMlir(x->type, dims, op->getResult(0)),
          fromMlir(DataType::Int64, dims, op->getResult(1))};
}

} // namespace llmc::import
