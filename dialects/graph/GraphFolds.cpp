//===- GraphFolds.cpp - Folders and canonicalization -----------*- C++ -*-===//

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace llmc::graph {

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

static bool sameTensor(Value a, Value b) {
  return a.getType() == b.getType() && getDims(a) == getDims(b);
}

OpFoldResult CastOp::fold(FoldAdaptor) {
  return getX().getType() == getType() ? getX() : OpFoldResult();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  return sameTensor(getX(), getResult()) ? getX() : OpFoldResult();
}

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  ArrayRef<int64_t> perm = getPerm();
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) {
      return {};
    }
  }
  return getX();
}

OpFoldResult BroadcastOp::fold(FoldAdaptor) {
  return sameTensor(getX(), getResult()) ? getX() : OpFoldResult();
}

OpFoldResult SliceOp::fold(FoldAdaptor) {
  if (!sameTensor(getX(), getResult())) {
    return {};
  }
  for (auto [start, step] : llvm::zip(getStarts(), getSteps())) {
    if (step != 1 || exprAttr(cast<StringAttr>(start)) != DimExpr(0)) {
      return {};
    }
  }
  return getX();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) {
  return getInputs().size() == 1 ? getInputs()[0] : OpFoldResult();
}

void UnaryOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {}
void BinaryOp::getCanonicalizationPatterns(RewritePatternSet &, MLIRContext *) {
}
void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                            MLIRContext *) {}
void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                              MLIRContext *) {}

} // namespace llmc::graph
