//===- Emitter.h - Graph ops with evaluation at import ----------*- C++ -*-===//
//
// The handlers build the graph through this class. Each function first tries
// to evaluate (constants, shape arithmetic, index ramps, uniform tensors) and
// emits a graph op only when it cannot.
//
// Errors: a function that fails stores one line in error() and returns null;
// every function given a null Val returns null. A handler needs to look at the
// end only.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_EMITTER_H
#define LLMC_COMPILER_IMPORT_EMITTER_H

#include "compiler/import/Value.h"
#include "compiler/import/WeightTable.h"

#include "mlir/IR/Builders.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace llmc::import {

class Emitter {
public:
  Emitter(mlir::OpBuilder builder, const graph::SymbolBounds &bounds,
          WeightTable &weights)
      : builder(builder), bounds(bounds), weights(weights) {}

  /// The node that the next ops stem from: their graph.name.
  void setNode(std::string name) { nodeName = std::move(name); }
  const std::string &error() const { return message; }
  void clearError() { message.clear(); }
  Val fail(std::string text);

  //===-- Leaves ----------------------------------------------------------===//
  Val ints(DataType type, std::vector<int64_t> dims,
           std::span<const int64_t> values);
  Val floats(DataType type, std::vector<int64_t> dims,
             std::span<const double> values);
  /// One number everywhere; `dims` may be symbolic.
  Val splat(DataType type, Dims dims, double value);
  Val scalar(DataType type, double value) { return splat(type, {}, value); }
  /// A shape: int64 vector.
  Val shape(const Dims &dims);
  Val exprs(DataType type, std::vector<int64_t> dims,
            std::vector<DimExpr> values);
  Val ramp(DataType type, Dims dims, Affine affine);
  Val fromMlir(DataType type, Dims dims, mlir::Value value);

  /// The MLIR value, made now if need be (constant, dim_value, iota, fill,
  /// load_weight).
  mlir::Value materialize(const Val &v);

  //===-- What is known ---------------------------------------------------===//
  graph::Interval range(DimExpr e) const { return e.bounds(bounds); }
  /// a < b, a <= b, a == b if the bounds of the symbols decide it.
  std::optional<bool> less(DimExpr a, DimExpr b) const;
  std::optional<bool> lessEqual(DimExpr a, DimExpr b) const;
  std::optional<bool> equal(DimExpr a, DimExpr b) const;
  /// The elements of a small integer(-valued) tensor.
  std::optional<std::vector<DimExpr>> exprsOf(const Val &v) const;
  /// The same if all are numbers.
  std::optional<std::vector<int64_t>> intsOf(const Val &v) const;
  /// One integer expression everywhere.
  std::optional<DimExpr> uniform(const Val &v) const;
  std::optional<Affine> affineOf(const Val &v) const;
  /// One number everywhere (float or integer).
  std::optional<double> uniformNumber(const Val &v) const;
  std::optional<std::vector<double>> floatsOf(const Val &v) const;
  std::optional<Dims> broadcastDims(const Dims &a, const Dims &b) const;
  /// A constant too large to be evaluated: a weight.
  bool isWeight(const Val &v) const;

  //===-- Element-wise ----------------------------------------------------===//
  Val unary(const std::string &kind, Val x);
  Val binary(const std::string &kind, Val a, Val b);
  Val select(Val condition, Val x, Val y);
  Val cast(Val x, DataType type);
  Val add(Val a, Val b) { return binary("add", a, b); }
  Val mul(Val a, Val b) { return binary("mul", a, b); }

  //===-- Layout ----------------------------------------------------------===//
  Val reshape(Val x, Dims dims);
  Val transpose(Val x, std::vector<int64_t> perm);
  Val broadcast(Val x, Dims dims);
  Val slice(Val x, Dims starts, Dims sizes, std::vector<int64_t> steps);
  /// One axis, step 1, the others whole.
  Val sliceAxis(Val x, int64_t axis, DimExpr start, DimExpr size);
  Val concat(std::vector<Val> parts, int64_t axis);
  Val unsqueeze(Val x, std::vector<int64_t> axes); // of the result, ascending
  Val squeeze(Val x, std::vector<int64_t> axes);
  Val pad(Val x, std::vector<int64_t> before, std::vector<int64_t> after,
          double value);

  //===-- Indexing --------------------------------------------------------===//
  Val gather(Val data, Val indices, int64_t axis);
  Val gatherElements(Val data, Val indices, int64_t axis);
  Val gatherNd(Val data, Val indices, int64_t batchDims);
  Val scatterNd(Val data, Val indices, Val updates, const std::string &kind);
  Val scatterElements(Val data, Val indices, Val updates, int64_t axis,
                      const std::string &kind);
  Val cumsum(Val x, int64_t axis, bool exclusive, bool reverse);
  std::pair<Val, Val> topk(Val x, int64_t axis, DimExpr k, bool largest);

  //===-- Reductions, products, blocks ------------------------------------===//
  Val reduce(const std::string &kind, Val x, std::vector<int64_t> axes,
             bool keepdims);
  Val argReduce(Val x, int64_t axis, bool isMin, bool selectLast,
                bool keepdims);
  Val softmax(Val x, int64_t axis, bool log = false);
  Val matmul(Val a, Val b, bool transA = false, bool transB = false,
             double alpha = 1.0);
  Val layerNorm(Val x, Val scale, Val bias, int64_t trailing, double epsilon);
  Val rmsNorm(Val x, Val scale, int64_t trailing, double epsilon);
  Val rope(Val x, Val cos, Val sin, const std::string &layout, bool interleaved,
           int64_t rotaryDim);
  struct AttentionOptions {
    Val bias, sinks; // may be null
    std::string qLayout = "bhsd";
    bool causal = false;
    int64_t window = 0;
    double scale = 1.0;
    double softcap = 0.0;
  };
  /// k, v dense [B, Hkv, T, D].
  Val attention(Val q, Val k, Val v, const AttentionOptions &options);
  Val conv(Val x, Val weight, Val bias, int64_t groups,
           std::vector<int64_t> strides, std::vector<int64_t> dilations,
           std::vector<int64_t> padsBegin, std::vector<int64_t> padsEnd,
           Dims resultDims);
  /// See graph.pool.
  struct Window {
    std::vector<int64_t> kernel, strides, dilations, begin, end;
    bool ceilMode = false;
  };
  Val pool(const std::string &kind, Val x, const Window &window,
           bool countIncludePad, Dims resultDims);
  Val lrn(Val x, int64_t size, double alpha, double beta, double bias);

  //===-- Quantized -------------------------------------------------------===//
  struct QuantWeight {
    Val codes, scales, zeroPoints, gIdx; // all but codes may be null
    int64_t n = 0, k = 0, bits = 4, blockSize = 0;
    std::string format;
  };
  Val quantLinear(Val x, const QuantWeight &w, Val bias);
  Val quantGather(const QuantWeight &w, Val indices, DataType type);
  Val matmulInteger(Val a, Val b, Val aZeroPoint, Val bZeroPoint);
  struct DynamicQuantized {
    Val y, scale, zeroPoint;
  };
  DynamicQuantized dynamicQuantize(Val x);
  Val dequantize(Val x, Val scale, Val zeroPoint, int64_t axis,
                 int64_t blockSize);
  Val quantize(Val x, Val scale, Val zeroPoint, int64_t axis, int64_t blockSize,
               DataType type);

  mlir::Type elementType(DataType type) {
    return toMlir(builder.getContext(), type);
  }
  mlir::OpBuilder builder;

private:
  mlir::Location location();
  /// Marks `op` with the node it stems from.
  void tag(mlir::Operation *op);
  /// Makes an op of one result.
  template <class Op, class... Args>
  Val emit(DataType type, Dims dims, Args &&...args);

  Val evaluateUnary(const std::string &kind, const Val &x);
  Val evaluateBinary(const std::string &kind, const Val &a, const Val &b,
                     DataType type, const Dims &dims);
  Val evaluateAffine(const std::string &kind, const Val &a, const Val &b,
                     DataType type, const Dims &dims);
  std::optional<bool> decide(const std::string &kind, DimExpr a,
                             DimExpr b) const;
  /// The smallest and largest value of a ramp, as expressions.
  std::optional<std::pair<DimExpr, DimExpr>> extremes(const Val &v) const;
  /// result[i] = x[source[i]] for constants and exprs small enough; else null.
  Val remap(const Val &x, const std::vector<int64_t> &dims,
            const std::vector<int64_t> &source);
  bool isSmall(const Val &v) const;
  mlir::DenseElementsAttr oneElement(DataType type, double value);
  mlir::Value makeConstant(const Value &v);
  std::string describe(const Val &v) const;

  const graph::SymbolBounds &bounds;
  WeightTable &weights;
  std::string nodeName;
  std::string message;
};

/// "[1, past + seq, 64]".
std::string toString(const Dims &dims);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_EMITTER_H
