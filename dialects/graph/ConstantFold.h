//===- ConstantFold.h - Arithmetic on small constants ----------*- C++ -*-===//
//
// Evaluates ops on small dense constants (and on splats of any size). Every
// function returns null where it does not apply: unknown kinds, resource
// attributes, results of more than kMaxFoldedElements that are no splats.
// Floats are computed in double and rounded once to the element type.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_CONSTANTFOLD_H
#define LLMC_DIALECTS_GRAPH_CONSTANTFOLD_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

#include <functional>
#include <optional>

namespace llmc::graph {

constexpr int64_t kMaxFoldedElements = 4096;

/// The elements of a constant, as doubles or as 64-bit integers (i1: 0 or 1).
struct Elements {
  bool isFloat = false;
  bool isSplat = false; // then one element stands for all
  std::vector<double> floats;
  std::vector<int64_t> integers;

  size_t size() const { return isFloat ? floats.size() : integers.size(); }
};

std::optional<Elements> readElements(mlir::Attribute attr);
/// `elements` has one element (a splat) or as many as the type.
mlir::DenseElementsAttr makeElements(mlir::RankedTensorType type,
                                     const Elements &elements);

mlir::Attribute foldUnary(llvm::StringRef kind, mlir::Attribute x,
                          mlir::RankedTensorType result);
mlir::Attribute foldBinary(llvm::StringRef kind, mlir::Attribute lhs,
                           mlir::Attribute rhs, mlir::RankedTensorType result);
mlir::Attribute foldSelect(mlir::Attribute cond, mlir::Attribute x,
                           mlir::Attribute y, mlir::RankedTensorType result);
mlir::Attribute foldCast(mlir::Attribute x, mlir::RankedTensorType result);

/// Rearranges: element `i` of the result is `source(index of i)` of x, where
/// the index is the result's multi-dimensional one and the answer is linear.
mlir::Attribute
foldRearrange(mlir::Attribute x, mlir::RankedTensorType result,
              std::function<int64_t(llvm::ArrayRef<int64_t>)> source);

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_CONSTANTFOLD_H
