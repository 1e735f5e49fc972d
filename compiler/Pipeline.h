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

/// The result of all stages but packing.
struct Lowered {
  import::ImportedModel model; // module in the plan dialect, weights, info
  plan::Plan plan;             // segments without places
  std::optional<BudgetFailure> failure;
  std::vector<std::string> warnings;

  bool streams() const;
};

/// Import, graph passes, plan passes, emission. `budgetBytes` is UINT64_MAX
/// when unbounded. `record` may be null; when it asks for a stage that was
/// reached, later errors do not count.
Result<Lowered> lower(mlir::MLIRContext &context, const CompileOptions &options,
                      uint64_t budgetBytes,
                      const std::shared_ptr<StageRecord> &record);

/// The module as text.
std::string printModule(mlir::ModuleOp module);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_PIPELINE_H
