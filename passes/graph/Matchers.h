//===- Matchers.h - Small questions that the graph passes ask --*- C++ -*-===//

#ifndef LLMC_PASSES_GRAPH_MATCHERS_H
#define LLMC_PASSES_GRAPH_MATCHERS_H

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/IR/PatternMatch.h"

#include <optional>

namespace llmc::graph {

inline mlir::RankedTensorType typeOf(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType());
}
inline mlir::Type elementOf(mlir::Value value) {
  return typeOf(value).getElementType();
}
inline int64_t rankOf(mlir::Value value) { return typeOf(value).getRank(); }

/// The value behind casts between float types: the same numbers, rounded.
mlir::Value skipFloatCasts(mlir::Value value);

/// The value behind casts from narrower floats: exactly the same numbers.
mlir::Value skipWideningCasts(mlir::Value value);

/// Same value, as far as casts between float types do not count.
inline bool sameButForCasts(mlir::Value a, mlir::Value b) {
  return skipFloatCasts(a) == skipFloatCasts(b);
}

/// The number that every element is: splat constants and fills, also behind
/// casts, reshapes and broadcasts.
std::optional<double> scalarOf(mlir::Value value);

/// |a - b| within 1e-4 of the larger: constants that went through f16 or were
/// typed with few digits.
bool nearly(double a, double b);

/// `value` is made by an op of this kind, else null.
UnaryOp unaryOf(mlir::Value value, llvm::StringRef kind);
BinaryOp binaryOf(mlir::Value value, llvm::StringRef kind);

/// x and c of `x op c` with a scalar constant c, for "add" and "mul" on either
/// side; div counts as mul by the inverse, sub as add of the negative.
struct ScalarOperation {
  mlir::Value x;
  double scalar;
};
std::optional<ScalarOperation> scalarOperation(mlir::Value value,
                                               llvm::StringRef kind);

/// A part of a tensor by constant unit steps: `base` from `starts`.
struct Part {
  mlir::Value base;
  std::vector<DimExpr> starts;
  Dims dims;
};
/// Looks through graph.slice with steps of 1; any other value is all of itself.
Part partOf(mlir::Value value);

/// The trailing dimension at this index, counted from the end (1 is the last).
inline DimExpr dimFromEnd(mlir::Value value, unsigned back) {
  Dims dims = getDims(value);
  return dims[dims.size() - back];
}

/// Copies `graph.name` from the op that is replaced.
inline void keepName(mlir::Operation *from, mlir::Operation *to) {
  if (mlir::Attribute name = from->getAttr(kNameAttr)) {
    to->setAttr(kNameAttr, name);
  }
}

/// The entry that holds the op, and the bounds of its symbols.
inline SymbolBounds boundsAt(mlir::Operation *op) {
  auto entry = op->getParentOfType<mlir::func::FuncOp>();
  return entry ? symbolBounds(entry) : SymbolBounds();
}

/// Reshapes unless the dimensions are the same already.
mlir::Value reshapeTo(mlir::OpBuilder &builder, mlir::Location loc,
                      mlir::Value value, const Dims &dims);

/// Erases ops without effects that nobody reads any more.
void eraseDeadOps(mlir::Operation *root);

/// Transposes; two transposes become one, the identity nothing.
mlir::Value transposeBy(mlir::OpBuilder &builder, mlir::Location loc,
                        mlir::Value value, llvm::ArrayRef<int64_t> perm);

} // namespace llmc::graph

#endif // LLMC_PASSES_GRAPH_MATCHERS_H
