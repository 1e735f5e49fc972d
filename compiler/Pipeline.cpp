//===- Pipeline.cpp - One pass through all stages, in memory --------------===//

#include "compiler/Pipeline.h"

#include "compiler/emit/EmitPlan.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/plan/PlanDialect.h"
#include "passes/Pipelines.h"
#include "passes/memory/CostModel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

namespace llmc::compiler {

std::unique_ptr<mlir::MLIRContext> makeContext() {
  auto context = std::make_unique<mlir::MLIRContext>(
      mlir::MLIRContext::Threading::DISABLED);
  context->loadDialect<mlir::func::FuncDialect, graph::GraphDialect,
                       planir::PlanDialect>();
  return context;
}

bool Lowered::streams() const {
  for (const plan::Entry &entry : plan.entries) {
    if (entry.streamedBytes > 0) {
      return true;
    }
  }
  return false;
}

namespace {

/// Keeps what passes say: the first error and all warnings.
struct Diagnostics {
  std::string error;
  std::vector<std::string> warnings;

  mlir::LogicalResult operator()(mlir::Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error) {
      if (error.empty()) {
        error = diagnostic.str();
      }
    } else if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Warning) {
      warnings.push_back(diagnostic.str());
    }
    return mlir::success();
  }
};

Error stageError(const Diagnostics &diagnostics, const char *stage) {
  return {ErrorCode::Internal, diagnostics.error.empty()
                                   ? std::string(stage) + " failed"
                                   : diagnostics.error};
}

} // namespace

Result<Lowered> lower(mlir::MLIRContext &context, const CompileOptions &options,
                      uint64_t budgetBytes,
                      const std::shared_ptr<StageRecord> &record) {
  import::ImportOptions importOptions;
  for (const auto &[name, bounds] : options.dims) {
    importOptions.dims[name] = {bounds.lower, bounds.upper};
  }
  importOptions.batch = options.batch;
  importOptions.context = options.context;
  importOptions.prefillChunk = options.prefillChunk;

  Diagnostics diagnostics;
  mlir::ScopedDiagnosticHandler handler(
      &context, [&](mlir::Diagnostic &d) { return diagnostics(d); });

  Result<import::ImportedModel> model =
      import::importModel(context, options.model, importOptions);
  if (!model) {
    return model.error();
  }
  Lowered out;
  out.model = std::move(*model);
  out.warnings = out.model.info.warnings;
  mlir::ModuleOp module = *out.model.module;
  auto run = [&](auto build, const char *stage) -> Result<void> {
    mlir::PassManager manager(&context);
    if (record) {
      manager.addInstrumentation(makeStageObserver(record));
    }
    build(manager);
    if (mlir::failed(manager.run(module))) {
      return stageError(diagnostics, stage);
    }
    return {};
  };
  auto reached = [&] { return record && record->reached; };
  if (record) {
    record->after("import", module);
  }

  GraphPipelineOptions graphOptions;
  graphOptions.context = out.model.info.context;
  graphOptions.kvType = options.kvType;
  graphOptions.allLogits = options.allLogits;
  graphOptions.quantize = options.quantize == Quantize::Int8 ? "int8" : "none";
  if (Result<void> done = run(
          [&](mlir::OpPassManager &pm) {
            buildGraphPipeline(pm, graphOptions);
          },
          "the graph pipeline");
      !done) {
    return reached() ? Result<Lowered>(std::move(out)) : done.error();
  }

  if (!options.hardwareId.empty()) {
    memory::setRates(module, options.rates);
  }
  PlanPipelineOptions planOptions;
  planOptions.budget = budgetBytes;
  planOptions.policy = options.policy == Policy::Naive ? "naive" : "planned";
  planOptions.order = options.reorder ? "planned" : "model";
  planOptions.inPlace = options.inPlace;
  Result<void> planned =
      run([&](mlir::OpPassManager &pm) { buildPlanPipeline(pm, planOptions); },
          "the plan pipeline");
  out.warnings.insert(out.warnings.end(), diagnostics.warnings.begin(),
                      diagnostics.warnings.end());
  if (!planned) {
    if (reached()) {
      return out;
    }
    if (std::optional<emit::Infeasible> why = emit::getInfeasible(module)) {
      BudgetFailure &failure = out.failure.emplace();
      failure.budgetBytes = budgetBytes;
      failure.minimumBytes = why->minimumBytes;
      failure.peakStep = why->peakStep;
      for (const emit::Infeasible::Tensor &tensor : why->peakTensors) {
        failure.peakTensors.emplace_back(tensor.name, tensor.bytes);
      }
      failure.advice = why->advice;
      return out;
    }
    return planned.error();
  }
  Result<plan::Plan> emitted = emit::emitPlan(module);
  if (!emitted) {
    return emitted.error();
  }
  out.plan = std::move(*emitted);
  const import::ModelInfo &info = out.model.info;
  out.plan.producer = "llmc " LLMC_VERSION;
  out.plan.modelName = info.name;
  out.plan.target = options.target;
  out.plan.context = info.context;
  out.plan.batch = options.batch;
  out.plan.vocabulary = info.vocabulary;
  out.plan.bosToken = info.bosToken;
  out.plan.eosTokens = info.eosTokens;
  out.plan.totals.budgetBytes = budgetBytes;
  return out;
}

std::string printModule(mlir::ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream);
  text += "\n";
  return text;
}

} // namespace llmc::compiler
