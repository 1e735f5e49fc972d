//===- PatternHelpers.h - What the canonicalizations share -----*- C++ -*-===//

#ifndef LLMC_DIALECTS_GRAPH_PATTERNHELPERS_H
#define LLMC_DIALECTS_GRAPH_PATTERNHELPERS_H

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/IR/PatternMatch.h"

namespace llmc::graph::patterns {

inline mlir::RankedTensorType typeOf(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType());
}

inline mlir::Type elementOf(mlir::Value value) {
  return typeOf(value).getElementType();
}

/// The one value of a splat constant or fill, as a rank-0 attribute.
inline mlir::DenseElementsAttr splatOf(mlir::Value value) {
  mlir::DenseElementsAttr dense;
  if (auto constant = value.getDefiningOp<ConstantOp>()) {
    dense = mlir::dyn_cast<mlir::DenseElementsAttr>(constant.getValue());
  } else if (auto fill = value.getDefiningOp<FillOp>()) {
    dense = mlir::dyn_cast<mlir::DenseElementsAttr>(fill.getValue());
  }
  if (!dense || !dense.isSplat()) {
    return {};
  }
  return dense.resizeSplat(
      mlir::RankedTensorType::get({}, dense.getElementType()));
}

/// Keeps `graph.name` on what replaces an op.
template <typename OpT, typename... Args>
OpT replaceWith(mlir::PatternRewriter &rewriter, mlir::Operation *op,
                Args &&...args) {
  mlir::Value result = op->getResult(0);
  OpT created = createOp<OpT>(rewriter, op->getLoc(), getDims(result),
                              elementOf(result), std::forward<Args>(args)...);
  if (mlir::Attribute name = op->getAttr(kNameAttr)) {
    created->setAttr(kNameAttr, name);
  }
  rewriter.replaceOp(op, created.getOperation());
  return created;
}

} // namespace llmc::graph::patterns

#endif // LLMC_DIALECTS_GRAPH_PATTERNHELPERS_H
