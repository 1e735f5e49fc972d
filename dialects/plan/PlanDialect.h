//===- PlanDialect.h - The plan dialect ------------------------*- C++ -*-===//

#ifndef LLMC_DIALECTS_PLAN_PLANDIALECT_H
#define LLMC_DIALECTS_PLAN_PLANDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/RegionKindInterface.h"
#include "mlir/IR/SymbolTable.h"

#include "dialects/plan/PlanEnums.h.inc"

#include "dialects/plan/PlanDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/plan/PlanAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/plan/PlanOps.h.inc"

#include "dialects/graph/DimExpr.h"
#include "runtime/plan/DType.h"
#include "runtime/plan/KernelId.h"

#include <optional>

namespace llmc::planir {

/// The expression of an element of a dims or params list (an integer or the
/// text of a DimExpr); nullopt if it is neither.
std::optional<graph::DimExpr> toExpr(mlir::Attribute attribute);

/// The reverse: an i64 attribute for a constant, else a string.
mlir::Attribute toAttr(mlir::MLIRContext *context, graph::DimExpr expr);
mlir::ArrayAttr toAttr(mlir::MLIRContext *context, const graph::Dims &dims);

/// The bounds of an entry's symbols. Malformed elements are left out: the
/// op's verifier reports them.
graph::SymbolBounds getBounds(EntryOp entry);

/// i1 is bool, signless integers are signed. nullopt: a plan cannot hold it.
std::optional<plan::DType> toDType(mlir::Type type);

/// "linear" -> KernelId::Linear.
std::optional<plan::KernelId> parseKernel(llvm::StringRef name);

/// The bytes that a view may touch from its offset on, at the upper bounds of
/// its dims. nullopt if a dimension is unbounded or the product overflows.
std::optional<uint64_t> boundBytes(ViewAttr view,
                                   const graph::SymbolBounds &bounds);

} // namespace llmc::planir

#endif // LLMC_DIALECTS_PLAN_PLANDIALECT_H
