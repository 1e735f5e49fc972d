//===- BudgetReport.h - Why a budget cannot be met -------------*- C++ -*-===//

#ifndef LLMC_PASSES_MEMORY_BUDGETREPORT_H
#define LLMC_PASSES_MEMORY_BUDGETREPORT_H

#include "passes/memory/PlacementChoice.h"

namespace llmc::memory {

/// Emits the error for a budget (bytes) below the minimum, and leaves the
/// minimum, the step of its peak, the tensors that hold it and the ways out in
/// the module's attribute kInfeasibleAttr (Layout.h).
void reportInfeasible(mlir::ModuleOp module, const PlacementModel &model,
                      const MinimumPlan &minimum, uint64_t budget);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_BUDGETREPORT_H
