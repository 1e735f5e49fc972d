//===- Pipeline.h - One pass through all stages, in memory -----*- C++ -*-===//

#ifndef LLMC_COMPILER_PIPELINE_H
#define LLMC_COMPILER_PIPELINE_H

#include "compiler/Compile.h"
#include "compiler/StageObserver.h"
#include "compiler/import/Import.h"
#include "runtime/plan/Plan.h"

#include <memory>

namespace mlir {
class MLIRContext;
} // namespace mlir

namespace llmc::compiler {

/// A context with every dialect the stages use, single-threaded: what a
/// compile prints and decides must not depend on the number of cores.
std::unique_ptr<mlir::MLIRContext> makeContext();

/// A model at one context: all stages up to where the budget begins to count.
struct Scheduled {
  import::ImportedModel model; // module in the plan dialect, nothing placed
  std::vector<std::string> warnings;
};

/// Import, graph passes, the schedule. `record` may be null; when it asks for a
/// stage that was reached, later errors do not count.
Result<Scheduled> schedule(mlir::MLIRContext &context,
                           const CompileOptions &options,
                           const std::shared_ptr<StageRecord> &record);

/// A budget's plan, or why there is none.
struct Placed {
  plan::Plan plan;                           // segments without places
  std::vector<plan::Prediction> predictions; // per entry
  std::optional<BudgetFailure> failure;

  bool streams() const;
};

/// Placement, addresses, the planner's own verification, emission. Changes
/// `module`: hand over a clone of a scheduled one to keep it. `budgetBytes` is
/// UINT64_MAX when unbounded.
Result<Placed> place(mlir::ModuleOp module, const import::ModelInfo &info,
                     const CompileOptions &options, uint64_t budgetBytes,
                     const std::shared_ptr<StageRecord> &record,
                     std::vector<std::string> *warnings = nullptr);

/// The same on a clone.
Result<Placed> tryBudget(const Scheduled &scheduled,
                         const CompileOptions &options, uint64_t budgetBytes);

/// The result of all stages but packing.
struct Lowered {
  import::ImportedModel model; // module in the plan dialect, weights, info
  plan::Plan plan;             // segments without places
  std::vector<plan::Prediction> predictions; // per entry
  std::optional<BudgetFailure> failure;
  std::vector<std::string> warnings;

  bool streams() const;
};

/// schedule() and place(), and what a larger budget would give
/// (plan::Prediction) if not everything stays in this one.
Result<Lowered> lower(mlir::MLIRContext &context, const CompileOptions &options,
                      uint64_t budgetBytes,
                      const std::shared_ptr<StageRecord> &record);

/// The module as text.
std::string printModule(mlir::ModuleOp module);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_PIPELINE_H
