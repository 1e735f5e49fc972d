//===- Gather.cpp - Reading and writing at indices ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

/// Index `i` counted from the front; -1 if it is out of range.
LLMC_INLINE int64_t indexAt(const Tensor &indices, int64_t i, int64_t size) {
  int64_t index = indices.dtype == DType::I32
                      ? static_cast<int64_t>(data<const int32_t>(indices)[i])
                      : data<const int64_t>(indices)[i];
  index = index < 0 ? index + size : index;
  return index < 0 || index >= size ? -1 : index;
}

Status checkIndices(const Tensor &indices, int64_t size) {
  if (!isIndexType(indices.dtype)) {
    return kUnsupported;
  }
  int64_t n = count(indices);
  for (int64_t i = 0; i < n; ++i) {
    if (indexAt(indices, i, size) < 0) {
      return kOutOfRange;
    }
  }
  return nullptr;
}

/// Row n of a weight [N, K] in panels.
template <class T, class R>
void gatherPanelRow(const T *panels, int64_t row, int64_t depth, R *out) {
  const T *from = panels + row / 64 * depth * 64 + row % 64;
  for (int64_t k = 0; k < depth; ++k) {
    if constexpr (std::is_same_v<T, R>) {
      out[k] = from[k * 64];
    } else {
      out[k] = R(float(from[k * 64]));
    }
  }
}

} // namespace

Status gather(const Launch &launch) {
  const Tensor &table = launch.operands[0];
  const Tensor &indices = launch.operands[1];
  const Tensor &out = launch.operands[2];
  int axis = normalAxis(launch.ints[0], table.rank);
  if (axis < 0) {
    return kBadShape;
  }
  int64_t outer = count(table, 0, axis);
  int64_t size = table.dims[axis];
  int64_t inner = count(table, axis + 1, table.rank);
  int64_t picks = count(indices);
  if (count(out) != outer * picks * inner) {
    return kBadShape;
  }
  if (Status error = checkIndices(indices, size)) {
    return error;
  }
  if (outer * picks * inner == 0) {
    return nullptr;
  }
  if (table.packing == plan::Packing::Panel64) {
    if (axis != 0 || table.rank != 2) {
      return kBadShape;
    }
    bool known = false;
    dispatchFloat(table.dtype, [&](auto tag) {
      known = dispatchFloat(out.dtype, [&](auto outTag) {
        launch.pool->parallelFor(
            picks,
            [&](int64_t i, int) {
              gatherPanelRow(data<const decltype(tag)>(table),
                             indexAt(indices, i, size), inner,
                             data<decltype(outTag)>(out) + i * inner);
            },
            inner * 2);
      });
    });
    return known ? nullptr : kUnsupported;
  }
  auto rows = [&](auto copy) {
    // Long rows go one by one, single elements in runs.
    int64_t run = maximum(1, 4096 / inner);
    launch.pool->parallelFor(
        ceilDiv(outer * picks, run),
        [&](int64_t task, int) {
          int64_t end = minimum(outer * picks, (task + 1) * run);
          for (int64_t i = task * run; i < end; ++i) {
            int64_t index = indexAt(indices, i % picks, size);
            copy((i / picks * size + index) * inner, i * inner);
          }
        },
        run * (inner / 4 + 4));
    return nullptr;
  };
  if (table.dtype == out.dtype) {
    int64_t bytes = elementBytes(table.dtype);
    if (bytes == 0) {
      return kUnsupported;
    }
    return rows([&](int64_t from, int64_t to) {
      std::memcpy(data<std::byte>(out) + to * bytes,
                  data<const std::byte>(table) + from * bytes, inner * bytes);
    });
  }
  bool known = false;
  dispatchFloat(table.dtype, [&](auto tag) {
    known = dispatchFloat(out.dtype, [&](auto outTag) {
      using R = decltype(outTag);
      rows([&](int64_t from, int64_t to) {
        auto *x = data<const decltype(tag)>(table) + from;
        R *y = data<R>(out) + to;
        for (int64_t k = 0; k < inner; ++k) {
          y[k] = R(float(x[k]));
        }
      });
    });
  });
  return known ? nullptr : kUnsupported;
}

Status gatherElements(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &indices = launch.operands[1];
  const Tensor &out = launch.operands[2];
  int axis = normalAxis(launch.ints[0], x.rank);
  if (axis < 0 || indices.rank != x.rank || out.dtype != x.dtype ||
      count(out) != count(indices)) {
    return kBadShape;
  }
  for (int i = 0; i < x.rank; ++i) {
    if (i != axis && indices.dims[i] > x.dims[i]) {
      return kBadShape;
    }
  }
  if (Status error = checkIndices(indices, x.dims[axis])) {
    return error;
  }
  int64_t bytes = elementBytes(x.dtype);
  if (bytes == 0) {
    return kUnsupported;
  }
  int64_t n = count(indices);
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i;
    int64_t stride = 1;
    int64_t from = 0;
    for (int d = x.rank - 1; d >= 0; --d) {
      int64_t position = rest % indices.dims[d];
      rest /= indices.dims[d];
      from +=
          stride * (d == axis ? indexAt(indices, i, x.dims[axis]) : position);
      stride *= x.dims[d];
    }
    std::memcpy(data<std::byte>(out) + i * bytes,
                data<const std::byte>(x) + from * bytes, bytes);
  }
  return nullptr;
}

namespace {

/// Offset in elements of the slice that index tuple `tuple` names, -1 if it is
/// out of range.
int64_t sliceOffset(const Tensor &x, const Tensor &indices, int64_t tuple,
                    int64_t depth, int firstDim) {
  int64_t offset = 0;
  for (int64_t i = 0; i < depth; ++i) {
    int64_t size = x.dims[firstDim + i];
    int64_t index = indexAt(indices, tuple * depth + i, size);
    if (index < 0) {
      return -1;
    }
    offset = offset * size + index;
  }
  return offset * count(x, firstDim + static_cast<int>(depth), x.rank);
}

template <class T> T combine(plan::ScatterKind kind, T old, T value) {
  using C = std::conditional_t<std::is_integral_v<T>, uint64_t, Compute<T>>;
  switch (kind) {
  case plan::ScatterKind::None:
    return value;
  case plan::ScatterKind::Add:
    return static_cast<T>(static_cast<C>(old) + static_cast<C>(value));
  case plan::ScatterKind::Mul:
    return static_cast<T>(static_cast<C>(old) * static_cast<C>(value));
  case plan::ScatterKind::Min:
    return Compute<T>(value) < Compute<T>(old) ? value : old;
  case plan::ScatterKind::Max:
    return Compute<T>(value) > Compute<T>(old) ? value : old;
  }
  return value;
}

void copyWhole(const Tensor &x, const Tensor &out) {
  if (x.data != out.data) {
    std::memcpy(out.data, x.data, count(x) * elementBytes(x.dtype));
  }
}

} // namespace

Status gatherND(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &indices = launch.operands[1];
  const Tensor &out = launch.operands[2];
  int64_t batchDims = launch.ints[0];
  int64_t depth = indices.rank > 0 ? indices.dims[indices.rank - 1] : 0;
  if (batchDims < 0 || batchDims >= indices.rank || depth < 1 ||
      batchDims + depth > x.rank || out.dtype != x.dtype) {
    return kBadShape;
  }
  if (!isIndexType(indices.dtype) || elementBytes(x.dtype) == 0) {
    return kUnsupported;
  }
  int firstDim = static_cast<int>(batchDims);
  int64_t batches = count(x, 0, firstDim);
  int64_t perBatch = count(indices, firstDim, indices.rank - 1);
  int64_t batchSize = count(x, firstDim, x.rank);
  int64_t slice = count(x, firstDim + static_cast<int>(depth), x.rank);
  if (count(indices, 0, firstDim) != batches ||
      count(out) != batches * perBatch * slice) {
    return kBadShape;
  }
  int64_t bytes = elementBytes(x.dtype);
  for (int64_t i = 0; i < batches * perBatch; ++i) {
    int64_t offset = sliceOffset(x, indices, i, depth, firstDim);
    if (offset < 0) {
      return kOutOfRange;
    }
    std::memcpy(data<std::byte>(out) + i * slice * bytes,
                data<const std::byte>(x) +
                    (i / perBatch * batchSize + offset) * bytes,
                slice * bytes);
  }
  return nullptr;
}

Status scatterND(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &indices = launch.operands[1];
  const Tensor &updates = launch.operands[2];
  const Tensor &out = launch.operands[3];
  auto kind = static_cast<plan::ScatterKind>(launch.ints[0]);
  int64_t depth = indices.rank > 0 ? indices.dims[indices.rank - 1] : 0;
  if (depth < 1 || depth > x.rank || count(out) != count(x) ||
      out.dtype != x.dtype || updates.dtype != x.dtype) {
    return kBadShape;
  }
  int64_t tuples = count(indices, 0, indices.rank - 1);
  int64_t slice = count(x, static_cast<int>(depth), x.rank);
  if (count(updates) != tuples * slice) {
    return kBadShape;
  }
  if (!isIndexType(indices.dtype) || elementBytes(x.dtype) == 0) {
    return kUnsupported;
  }
  for (int64_t i = 0; i < tuples; ++i) {
    if (sliceOffset(x, indices, i, depth, 0) < 0) {
      return kOutOfRange;
    }
  }
  copyWhole(x, out);
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t i = 0; i < tuples; ++i) {
      T *to = data<T>(out) + sliceOffset(x, indices, i, depth, 0);
      const T *from = data<const T>(updates) + i * slice;
      for (int64_t k = 0; k < slice; ++k) {
        to[k] = combine(kind, to[k], from[k]);
      }
    }
  });
  return known ? nullptr : kUnsupported;
}

Status scatterElements(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &indices = launch.operands[1];
  const Tensor &updates = launch.operands[2];
  const Tensor &out = launch.operands[3];
  int axis = normalAxis(launch.ints[0], x.rank);
  auto kind = static_cast<plan::ScatterKind>(launch.ints[1]);
  if (axis < 0 || indices.rank != x.rank || out.dtype != x.dtype ||
      updates.dtype != x.dtype || count(out) != count(x) ||
      count(updates) != count(indices)) {
    return kBadShape;
  }
  for (int i = 0; i < x.rank; ++i) {
    if (i != axis && indices.dims[i] > x.dims[i]) {
      return kBadShape;
    }
  }
  if (elementBytes(x.dtype) == 0) {
    return kUnsupported;
  }
  if (Status error = checkIndices(indices, x.dims[axis])) {
    return error;
  }
  copyWhole(x, out);
  int64_t n = count(indices);
  bool known = dispatchNumeric(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t i = 0; i < n; ++i) {
      int64_t rest = i;
      int64_t stride = 1;
      int64_t at = 0;
      for (int d = x.rank - 1; d >= 0; --d) {
        int64_t position = rest % indices.dims[d];
        rest /= indices.dims[d];
        at +=
            stride * (d == axis ? indexAt(indices, i, x.dims[axis]) : position);
        stride *= x.dims[d];
      }
      T *to = data<T>(out) + at;
      *to = combine(kind, *to, data<const T>(updates)[i]);
    }
  });
  return known ? nullptr : kUnsupported;
}

} // namespace llmc::kernels::LLMC_ISA_NS
