//===- Value.h - What the importer knows of an ONNX value -------*- C++ -*-===//
//
// While the importer walks the graph, each ONNX value is a Value: its type, its
// dimensions and, where known, what it contains. Contents are tracked far
// enough for shape arithmetic and masks to be evaluated at import; an MLIR
// value is made only when an op that stays behind needs it.
//
//   constant  bytes, one element if it is a splat (then dims may be symbolic)
//   exprs     a small integer tensor whose elements are DimExprs
//   affine    start + step * index along one axis (Range, positions); a step
//             of 0 is one DimExpr everywhere
//   triangle  the boolean  column + columnStart <= row + rowStart  over the
//             last two axes (causal masks that exporters store as buffers)
//
// Integer-valued floats may carry exprs and affine forms as well.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_VALUE_H
#define LLMC_COMPILER_IMPORT_VALUE_H

#include "compiler/import/DataType.h"
#include "dialects/graph/DimExpr.h"

#include "mlir/IR/Value.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llmc::import {

using graph::DimExpr;
using graph::Dims;

struct ConstantData {
  const std::byte *data = nullptr;
  uint64_t size = 0; // bytes
  std::shared_ptr<const void> owner;
  bool splat = false; // `data` is one element
  /// The graph.weight symbol once made; see Emitter::materialize.
  std::string weight;
  /// Name of the initializer, a hint for the symbol.
  std::string name;
  /// For external data: where it lies. Empty: inside the model file.
  std::string file;
  uint64_t offset = 0;
};

struct Affine {
  DimExpr start;
  DimExpr step;
  int64_t axis = 0;
};

struct Triangle {
  DimExpr rowStart;
  DimExpr columnStart;
};

struct Value {
  DataType type = DataType::Undefined;
  Dims dims;

  std::shared_ptr<ConstantData> constant;
  std::optional<std::vector<DimExpr>> exprs;
  std::optional<Affine> affine;
  std::optional<Triangle> triangle;

  mlir::Value value;

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  /// nullopt if a dimension is symbolic.
  std::optional<std::vector<int64_t>> staticDims() const {
    std::vector<int64_t> out;
    for (const DimExpr &dim : dims) {
      std::optional<int64_t> size = dim.asConstant();
      if (!size) {
        return std::nullopt;
      }
      out.push_back(*size);
    }
    return out;
  }
  /// Number of elements if static.
  std::optional<int64_t> count() const {
    return graph::numElements(dims).asConstant();
  }
};

using Val = std::shared_ptr<Value>;

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_VALUE_H
