//===- EmitterTemplates.h - Private to the Emitter's sources ----*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_EMITTERTEMPLATES_H
#define LLMC_COMPILER_IMPORT_EMITTERTEMPLATES_H

#include "compiler/import/Emitter.h"

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

namespace llmc::import {

/// Integers are evaluated up to this many elements, floats up to a quarter of
/// it: beyond, a copy of a weight would be made where a view does.
constexpr int64_t kMaxEvaluated = 4096;

template <class Op, class... Args>
Val Emitter::emit(DataType type, Dims dims, Args &&...args) {
  Op op = graph::createOp<Op>(builder, location(), dims, elementType(type),
                              std::forward<Args>(args)...);
  tag(op.getOperation());
  return fromMlir(type, std::move(dims), op->getResult(0));
}

/// Row-major strides in elements.
inline std::vector<int64_t> stridesOf(const std::vector<int64_t> &dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * dims[i];
  }
  return strides;
}

inline int64_t product(const std::vector<int64_t> &dims) {
  int64_t n = 1;
  for (int64_t dim : dims) {
    n *= dim;
  }
  return n;
}

/// Calls fn(index) for every index of `dims` in row-major order.
template <class Fn>
void forEachIndex(const std::vector<int64_t> &dims, Fn &&fn) {
  int64_t count = product(dims);
  std::vector<int64_t> index(dims.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    fn(index);
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < dims[d]) {
        break;
      }
      index[d] = 0;
    }
  }
}

/// Flat position of `index` (aligned to the right) in a tensor of `dims` that
/// is broadcast to index.size() dimensions.
inline int64_t broadcastOffset(const std::vector<int64_t> &index,
                               const std::vector<int64_t> &dims,
                               const std::vector<int64_t> &strides) {
  int64_t offset = 0;
  size_t skip = index.size() - dims.size();
  for (size_t d = 0; d < dims.size(); ++d) {
    offset += dims[d] == 1 ? 0 : index[d + skip] * strides[d];
  }
  return offset;
}

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_EMITTERTEMPLATES_H
