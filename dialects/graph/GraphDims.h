//===- GraphDims.h - Dimensions of values in the IR ------------*- C++ -*-===//
//
// Reads and writes the symbolic dimensions that the IR carries as attributes:
// `dims` on ops (one list per result), `graph.dims` on function arguments, and
// `graph.symbols` on entries.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_GRAPHDIMS_H
#define LLMC_DIALECTS_GRAPH_GRAPHDIMS_H

#include "dialects/graph/DimExpr.h"
#include "dialects/graph/GraphDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"

#include <optional>

namespace llmc::graph {

/// The dimensions of a ranked tensor: static ones as constants, the others
/// from `dims` of the defining op or `graph.dims` of the argument. A dimension
/// that the IR does not tell becomes a symbol of its own whose name starts
/// with '?': it equals nothing else and has no bounds.
Dims getDims(mlir::Value value);

/// dims [i] of `value`, see getDims.
DimExpr getDim(mlir::Value value, unsigned index);

/// tensor<..> with constants as static extents and '?' elsewhere.
mlir::RankedTensorType tensorType(const Dims &dims, mlir::Type elementType);

/// ["batch", "past + seq", 64] and back; nullopt if malformed.
mlir::ArrayAttr dimsToAttr(mlir::MLIRContext *context, const Dims &dims);
std::optional<Dims> dimsFromAttr(mlir::Attribute attr);

/// Sets the type of the result from `dims` and its element type, and keeps the
/// `dims` attribute (removed when every result is static).
void setDims(mlir::Operation *op, unsigned result, const Dims &dims);
/// Sets type and `graph.dims` of an entry's argument (and the function's type).
void setArgDims(mlir::func::FuncOp func, unsigned argument, const Dims &dims);

/// Creates an op with one tensor result of these dims; the other arguments are
/// those of OpT's builder after the result type.
template <typename OpT, typename... Args>
OpT createOp(mlir::OpBuilder &builder, mlir::Location loc, const Dims &dims,
             mlir::Type elementType, Args &&...args) {
  OpT op = OpT::create(builder, loc, tensorType(dims, elementType),
                       std::forward<Args>(args)...);
  setDims(op.getOperation(), 0, dims);
  return op;
}

/// "expr" attributes. The text has been verified, so parsing cannot fail; an
/// unparsable one gives an unknown symbol.
DimExpr exprAttr(llvm::StringRef text);
inline DimExpr exprAttr(mlir::StringAttr attr) {
  return exprAttr(attr.getValue());
}
mlir::StringAttr exprToAttr(mlir::MLIRContext *context, DimExpr expr);

/// The bounds in `graph.symbols` of an entry (empty if there are none).
SymbolBounds symbolBounds(mlir::func::FuncOp entry);
void setSymbolBounds(mlir::func::FuncOp entry, const SymbolBounds &bounds);

/// NumPy broadcast. Dimensions that are neither equal nor 1 are taken to be
/// equal when one is a constant greater than 1 (then that), else nullopt.
std::optional<Dims> broadcastDims(const Dims &a, const Dims &b);

/// What `graph.port` says of an argument or result of an entry.
struct Port {
  std::string name;
  std::string role = "generic"; // tokens, logits, past, present, generic
  std::optional<int64_t> state; // index of the past/present pair
  std::optional<int64_t> axis;  // the axis along which the state grows
};
std::optional<Port> getPort(mlir::Attribute attr);
std::optional<Port> getArgPort(mlir::func::FuncOp func, unsigned argument);
std::optional<Port> getResultPort(mlir::func::FuncOp func, unsigned result);
mlir::DictionaryAttr portToAttr(mlir::MLIRContext *context, const Port &port);

/// `graph.name` of the op, or the op's own name: for diagnostics.
std::string nodeName(mlir::Operation *op);

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_GRAPHDIMS_H
