//===- Liveness.h - Lifetimes of buffers -----------------------*- C++ -*-===//

#ifndef LLMC_PASSES_MEMORY_LIVENESS_H
#define LLMC_PASSES_MEMORY_LIVENESS_H

#include "dialects/plan/PlanDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"

namespace llmc::memory {

/// A half-open range of step indices.
struct Lifetime {
  uint32_t start = 0;
  uint32_t end = 0;
};

/// The lifetimes of all buffers that belong to `entry`, by symbol, in the
/// order of the module. A buffer that no step touches lives in [0, 1) if it is
/// an input or output, and has an empty lifetime otherwise. The places of a
/// carried slot reach to the entry's ends.
llvm::MapVector<mlir::StringAttr, Lifetime>
computeLifetimes(planir::EntryOp entry);

/// Writes the lifetimes of all entries into the plan.buffer ops.
void updateLifetimes(mlir::ModuleOp module);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_LIVENESS_H
