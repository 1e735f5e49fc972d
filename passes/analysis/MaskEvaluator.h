//===- MaskEvaluator.h - Elements of a tensor, symbolically ----*- C++ -*-===//
//
// The value of one element of a tensor as a function of its index: follows the
// ops that masks are made of down to iotas and constants. What it does not
// know (arguments, products, floats that vary) it gives up on.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_ANALYSIS_MASKEVALUATOR_H
#define LLMC_PASSES_ANALYSIS_MASKEVALUATOR_H

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"
#include "passes/analysis/Piecewise.h"

namespace llmc::graph {

/// The same value everywhere.
inline Piecewise single(MaskValue value) { return {{{}, value}}; }
inline Piecewise single(double number) { return single(MaskValue::of(number)); }

/// 1 where e >= 0, else 0.
Piecewise truthOf(DimExpr e);

class MaskEvaluator {
public:
  explicit MaskEvaluator(const Prover &prover) : prover(prover) {}

  std::optional<Piecewise> evaluate(mlir::Value value, const Dims &index);

private:
  using Result = std::optional<Piecewise>;

  Result constant(ConstantOp op, const Dims &index);
  Result binary(BinaryOp op, const Dims &index);
  Result select(SelectOp op, const Dims &index);
  Result unary(UnaryOp op, const Dims &index);
  Result cast(CastOp op, const Dims &index);
  Result reshape(ReshapeOp op, const Dims &index);
  Result concat(ConcatOp op, const Dims &index);
  Result gather(GatherOp op, const Dims &index);
  Result gatherND(GatherNDOp op, const Dims &index);
  Result scatterND(ScatterNDOp op, const Dims &index);
  /// The components of the index vector at `outer` of an indices tensor; null
  /// if one is not a single expression.
  std::optional<Dims> indexVector(mlir::Value indices, const Dims &outer);

  Result operand(mlir::Operation *op, unsigned number, const Dims &index) {
    return evaluate(op->getOperand(number),
                    broadcastIndex(op->getOperand(number), index));
  }
  static Dims broadcastIndex(mlir::Value value, const Dims &index) {
    Dims dims = getDims(value), inner;
    size_t skip = index.size() - dims.size();
    for (size_t i = 0; i < dims.size(); ++i) {
      inner.push_back(dims[i] == DimExpr(1) ? DimExpr(0) : index[skip + i]);
    }
    return inner;
  }

  const Prover &prover;
  int depth = 0;
};

} // namespace llmc::graph

#endif // LLMC_PASSES_ANALYSIS_MASKEVALUATOR_H
