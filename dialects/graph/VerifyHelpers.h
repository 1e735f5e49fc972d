//===- VerifyHelpers.h - What the verifiers share --------------*- C++ -*-===//

#ifndef LLMC_DIALECTS_GRAPH_VERIFYHELPERS_H
#define LLMC_DIALECTS_GRAPH_VERIFYHELPERS_H

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

namespace llmc::graph::verify {

inline mlir::RankedTensorType typeOf(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType());
}

inline mlir::LogicalResult
verifyOneOf(mlir::Operation *op, llvm::StringRef attribute,
            llvm::StringRef value, llvm::ArrayRef<llvm::StringLiteral> known) {
  if (!llvm::is_contained(known, value)) {
    return op->emitOpError() << "unknown " << attribute << " '" << value << "'";
  }
  return mlir::success();
}

inline mlir::LogicalResult verifyExpr(mlir::Operation *op,
                                      llvm::StringRef attribute,
                                      llvm::StringRef text) {
  if (!DimExpr::parse(text)) {
    return op->emitOpError()
           << "'" << attribute << "' is not a dimension expression: '" << text
           << "'";
  }
  return mlir::success();
}

inline mlir::LogicalResult verifySameElementType(mlir::Operation *op,
                                                 mlir::Value a, mlir::Value b) {
  if (typeOf(a).getElementType() != typeOf(b).getElementType()) {
    return op->emitOpError()
           << "element types differ: " << a.getType() << " and " << b.getType();
  }
  return mlir::success();
}

inline mlir::LogicalResult verifyRank(mlir::Operation *op, llvm::StringRef what,
                                      mlir::Value value, int64_t rank) {
  if (typeOf(value).getRank() != rank) {
    return op->emitOpError() << what << " must have rank " << rank << ", found "
                             << value.getType();
  }
  return mlir::success();
}

inline mlir::LogicalResult verifyAxis(mlir::Operation *op, int64_t axis,
                                      mlir::Value value) {
  if (axis < 0 || axis >= typeOf(value).getRank()) {
    return op->emitOpError()
           << "axis " << axis << " is outside of " << value.getType();
  }
  return mlir::success();
}

/// Two extents that cannot be the same number.
inline bool differ(int64_t a, int64_t b) {
  return !mlir::ShapedType::isDynamic(a) && !mlir::ShapedType::isDynamic(b) &&
         a != b;
}

/// `operand` broadcasts to the result (NumPy), as far as extents are static.
inline mlir::LogicalResult verifyBroadcast(mlir::Operation *op,
                                           mlir::Value operand) {
  mlir::RankedTensorType from = typeOf(operand), to = typeOf(op->getResult(0));
  int64_t skip = to.getRank() - from.getRank();
  bool fits = skip >= 0;
  for (int64_t i = 0; fits && i < from.getRank(); ++i) {
    int64_t extent = from.getDimSize(i);
    fits = extent == 1 || !differ(extent, to.getDimSize(skip + i));
  }
  if (!fits) {
    return op->emitOpError()
           << "operand " << from << " does not broadcast to the result " << to;
  }
  return mlir::success();
}

} // namespace llmc::graph::verify

#endif // LLMC_DIALECTS_GRAPH_VERIFYHELPERS_H
