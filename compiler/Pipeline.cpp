//===- Pipeline.cpp - One pass through all stages, in memory --------------===//

#include "compiler/Pipeline.h"

#include "compiler/emit/EmitPlan.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/plan/PlanDialect.h"
#include "passes/Pipelines.h"
#include "passes/memory/CostModel.h"
#include "passes/memory/Layout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdio>

namespace llmc::compiler {

std::unique_ptr<mlir::MLIRContext> makeContext() {
  auto context = std::make_unique<mlir::MLIRContext>(
      mlir::MLIRContext::Threading::DISABLED);
  context->loadDialect<mlir::func::FuncDialect, graph::GraphDialect,
                       planir::PlanDialect>();
  return context;
}

static bool planStreams(const plan::Plan &plan) {
  for (const plan::Entry &entry : plan.entries) {
    if (entry.streamedBytes > 0) {
      return true;
    }
  }
  return false;
}

bool Placed::streams() const { return planStreams(plan); }
bool Lowered::streams() const { return planStreams(plan); }

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

/// Options of passes cannot be copied.
static void fill(PlanPipelineOptions &out, const CompileOptions &options,
                 uint64_t budgetBytes) {
  out.budget = budgetBytes;
  out.policy = options.policy == Policy::Naive ? "naive" : "planned";
  out.order = options.reorder ? "planned" : "model";
  out.inPlace = options.inPlace;
  out.swap = options.swap;
  out.kvResident = options.kvResident;
}

/// Runs the passes that `build` adds.
template <typename Build>
static mlir::LogicalResult runPasses(mlir::ModuleOp module,
                                     const std::shared_ptr<StageRecord> &record,
                                     Build build) {
  mlir::PassManager manager(module.getContext());
  if (record) {
    manager.addInstrumentation(makeStageObserver(record));
  }
  build(manager);
  return manager.run(module);
}

Result<Scheduled> schedule(mlir::MLIRContext &context,
                           const CompileOptions &options,
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
  Scheduled out;
  out.model = std::move(*model);
  out.warnings = out.model.info.warnings;
  mlir::ModuleOp module = *out.model.module;
  auto reached = [&] { return record && record->reached; };
  if (record) {
    record->after("import", module);
  }

  GraphPipelineOptions graphOptions;
  graphOptions.context = out.model.info.context;
  graphOptions.kvType = options.kvType;
  graphOptions.kvWindow = options.kvWindow;
  graphOptions.kvSink = options.kvSink;
  graphOptions.allLogits = options.allLogits;
  graphOptions.fusion = options.fusion;
  graphOptions.quantize = options.quantize == Quantize::Int8 ? "int8" : "none";
  auto failed = [&](auto build, const char *stage) -> std::optional<Error> {
    if (mlir::succeeded(runPasses(module, record, build)) || reached()) {
      return std::nullopt;
    }
    return stageError(diagnostics, stage);
  };
  if (std::optional<Error> error = failed(
          [&](mlir::OpPassManager &pm) {
            buildGraphPipeline(pm, graphOptions);
          },
          "the graph pipeline")) {
    return *error;
  }
  if (reached()) {
    return out;
  }
  if (!options.hardwareId.empty()) {
    memory::setRates(module, options.rates);
  }
  PlanPipelineOptions planOptions;
  fill(planOptions, options, UINT64_MAX);
  if (std::optional<Error> error = failed(
          [&](mlir::OpPassManager &pm) {
            buildSchedulePipeline(pm, planOptions);
          },
          "the plan pipeline")) {
    return *error;
  }
  out.warnings.insert(out.warnings.end(), diagnostics.warnings.begin(),
                      diagnostics.warnings.end());
  return out;
}

/// What plan-swap has done, in words; empty if nothing.
static std::string describeSwaps(mlir::ModuleOp module) {
  auto swaps = module->getAttrOfType<mlir::DictionaryAttr>(memory::kSwapsAttr);
  if (!swaps) {
    return {};
  }
  auto number = [&](const char *name) {
    auto value = swaps.getAs<mlir::IntegerAttr>(name);
    return value ? value.getInt() : 0;
  };
  auto seconds = swaps.getAs<mlir::FloatAttr>("seconds");
  char time[32];
  std::snprintf(time, sizeof(time), "%.3g",
                1e3 * (seconds ? seconds.getValueAsDouble() : 0));
  auto activations = [](int64_t count) {
    return std::to_string(count) +
           (count == 1 ? " activation" : " activations");
  };
  int64_t swapped = number("swapped"), again = number("recomputed");
  std::string text = "the activations do not fit into the budget: ";
  if (swapped != 0) {
    text += activations(swapped) + (swapped == 1 ? " leaves" : " leave") +
            " for a file (--spill-dir) and come back";
  }
  if (again != 0) {
    text +=
        (swapped != 0 ? ", " : "") + activations(again) + " are computed again";
  }
  return text + "; predicted to take " + time +
         " ms, partly beside launches, in one run of each entry";
}

Result<Placed> place(mlir::ModuleOp module, const import::ModelInfo &info,
                     const CompileOptions &options, uint64_t budgetBytes,
                     const std::shared_ptr<StageRecord> &record,
                     std::vector<std::string> *warnings) {
  Diagnostics diagnostics;
  mlir::ScopedDiagnosticHandler handler(
      module.getContext(), [&](mlir::Diagnostic &d) { return diagnostics(d); });
  PlanPipelineOptions planOptions;
  fill(planOptions, options, budgetBytes);
  mlir::LogicalResult planned =
      runPasses(module, record, [&](mlir::OpPassManager &pm) {
        buildPlacementPipeline(pm, planOptions);
      });
  if (warnings) {
    warnings->insert(warnings->end(), diagnostics.warnings.begin(),
                     diagnostics.warnings.end());
    auto resident =
        module->getAttrOfType<mlir::IntegerAttr>("plan.kv_resident");
    if (mlir::succeeded(planned) && resident && options.kvResident < 0) {
      warnings->push_back(
          "the KV cache does not fit into the budget: " +
          std::to_string(resident.getInt()) + " of its " +
          std::to_string(info.context) +
          " tokens stay on the device, the others are kept in a file "
          "(--spill-dir) and come back layer by layer; --kv-resident sets how "
          "many stay");
    }
  }
  if (warnings && mlir::succeeded(planned)) {
    if (std::string said = describeSwaps(module); !said.empty()) {
      warnings->push_back(std::move(said));
    }
  }
  Placed out;
  if (mlir::failed(planned)) {
    if (record && record->reached) {
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
    return stageError(diagnostics, "placement");
  }
  Result<plan::Plan> emitted = emit::emitPlan(module);
  if (!emitted) {
    return emitted.error();
  }
  out.plan = std::move(*emitted);
  memory::CostModel costs(module);
  for (auto entry : module.getOps<planir::EntryOp>()) {
    plan::Prediction &prediction = out.predictions.emplace_back();
    if (std::optional<memory::EntryCost> cost = costs.cost(entry)) {
      prediction.computeSeconds = cost->computeBoundSeconds;
      prediction.memorySeconds = cost->memoryBoundSeconds;
      prediction.overheadSeconds = cost->overheadSeconds;
      prediction.linkSeconds = cost->run.linkSeconds;
      prediction.stallSeconds = cost->run.stallSeconds;
      prediction.activationBytes = cost->activationBytes;
      prediction.launches = cost->launches;
    }
  }
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

Result<Placed> tryBudget(const Scheduled &scheduled,
                         const CompileOptions &options, uint64_t budgetBytes) {
  mlir::OwningOpRef<mlir::ModuleOp> copy =
      mlir::ModuleOp(*scheduled.model.module).clone();
  return place(*copy, scheduled.model.info, options, budgetBytes, nullptr);
}

/// How much more of a budget is worth speaking of: 1 GiB, or a tenth where the
/// model is small.
static uint64_t moreBudget(const plan::Plan &plan, uint64_t budgetBytes) {
  constexpr uint64_t kGiB = uint64_t(1) << 30;
  uint64_t weights = 0;
  for (const plan::Segment &segment : plan.segments) {
    weights += segment.size;
  }
  return weights >= 4 * kGiB ? kGiB : budgetBytes / 10;
}

Result<Lowered> lower(mlir::MLIRContext &context, const CompileOptions &options,
                      uint64_t budgetBytes,
                      const std::shared_ptr<StageRecord> &record) {
  Result<Scheduled> scheduled = schedule(context, options, record);
  if (!scheduled) {
    return scheduled.error();
  }
  Lowered out;
  auto finish = [&](Placed &&placed) {
    out.plan = std::move(placed.plan);
    out.predictions = std::move(placed.predictions);
    out.failure = std::move(placed.failure);
    out.model = std::move(scheduled->model);
    out.warnings = std::move(scheduled->warnings);
  };
  if (record && record->reached) {
    finish({});
    return out;
  }
  // Placing again takes the module as it was.
  mlir::OwningOpRef<mlir::ModuleOp> before;
  if (budgetBytes != UINT64_MAX) {
    before = mlir::ModuleOp(*scheduled->model.module).clone();
  }
  Result<Placed> placed =
      place(*scheduled->model.module, scheduled->model.info, options,
            budgetBytes, record, &scheduled->warnings);
  if (!placed) {
    return placed.error();
  }
  if (before && !placed->failure && placed->streams()) {
    uint64_t more = moreBudget(placed->plan, budgetBytes);
    Result<Placed> other = place(*before, scheduled->model.info, options,
                                 budgetBytes + more, nullptr);
    if (!other) {
      return other.error();
    }
    for (size_t i = 0; i < placed->plan.entries.size(); ++i) {
      plan::Prediction &prediction = placed->predictions[i];
      prediction.moreBytes = more;
      prediction.moreSeconds = other->plan.entries[i].predictedSeconds;
    }
  }
  finish(std::move(*placed));
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
