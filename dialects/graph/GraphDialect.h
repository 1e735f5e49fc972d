//===- GraphDialect.h - The graph dialect ----------------------*- C++ -*-===//

#ifndef LLMC_DIALECTS_GRAPH_GRAPHDIALECT_H
#define LLMC_DIALECTS_GRAPH_GRAPHDIALECT_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"

#include "dialects/graph/GraphDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/graph/GraphTypes.h.inc"

namespace llmc::graph {

/// Names of the attributes that the dialect gives a meaning to.
constexpr llvm::StringLiteral kDimsAttr = "dims";
constexpr llvm::StringLiteral kNameAttr = "graph.name";
constexpr llvm::StringLiteral kArgDimsAttr = "graph.dims";
constexpr llvm::StringLiteral kPortAttr = "graph.port";
constexpr llvm::StringLiteral kEntryAttr = "graph.entry";
constexpr llvm::StringLiteral kSymbolsAttr = "graph.symbols";
/// On the module: the number of tokens a state must hold.
constexpr llvm::StringLiteral kContextAttr = "graph.context";

/// The `dims` attribute is well formed and agrees with the result types.
llvm::LogicalResult verifyDims(mlir::Operation *op);

template <typename ConcreteOp>
class HasDims : public mlir::OpTrait::TraitBase<ConcreteOp, HasDims> {
public:
  static llvm::LogicalResult verifyTrait(mlir::Operation *op) {
    return verifyDims(op);
  }
};

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_GRAPHDIALECT_H
