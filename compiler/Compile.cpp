//===- Compile.cpp - From an ONNX model to a plan -------------------------===//

#include "compiler/Compile.h"

#include "compiler/Chunks.h"
#include "compiler/Contexts.h"
#include "compiler/EmitExe.h"
#include "compiler/Pipeline.h"
#include "compiler/codegen/Codegen.h"
#include "compiler/pack/WriteWeights.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/FreeMemory.h"
#include "runtime/plan/PlanWriter.h"
#include "runtime/plan/Target.h"
#include "runtime/plan/Validate.h"
#include "runtime/support/Size.h"
#include "runtime/tokenizer/Tokenizer.h"

#include "mlir/IR/MLIRContext.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace llmc::compiler {

namespace fs = std::filesystem;

namespace {

//===----------------------------------------------------------------------===//
// Budget and target
//===----------------------------------------------------------------------===//

Result<uint64_t> budgetOf(const CompileOptions &options) {
  switch (options.budget.kind) {
  case Budget::Kind::Unbounded:
    return UINT64_MAX;
  case Budget::Kind::Bytes:
    return options.budget.bytes;
  case Budget::Kind::Auto: {
    FreeMemory found = freeMemory();
    if (found.bytes == UINT64_MAX) {
      return Error{ErrorCode::FileUnreadable,
                   "--vram auto: /proc/meminfo has no MemAvailable; give a "
                   "size"};
    }
    return automaticBudget(found.bytes);
  }
  }
  return UINT64_MAX;
}

/// The processors of --arch, lowest level first, one of each.
Result<std::vector<codegen::Processor>>
processorsOf(const CompileOptions &options) {
  std::vector<codegen::Processor> all;
  for (const std::string &name : options.archs) {
    Result<codegen::Processor> one = codegen::parseProcessor(name);
    if (!one) {
      return one.error();
    }
    if (std::ranges::none_of(all, [&](const codegen::Processor &other) {
          return other.level == one->level;
        })) {
      all.push_back(*one);
    } else {
      return Error{ErrorCode::InvalidArgument,
                   "--arch: '" + name + "' is of level " +
                       plan::archName(one->level) +
                       ", as one that was named before; a plan carries code "
                       "for each level once"};
    }
  }
  std::ranges::sort(all, {}, &codegen::Processor::level);
  return all;
}

/// Machine code for the launches of `plan`, unless that is switched off.
Result<void> generate(plan::Plan &plan, const CompileOptions &options,
                      const std::vector<codegen::Processor> &processors,
                      StageRecord &record, CompileResult &result) {
  if (!options.codegen) {
    return {};
  }
  codegen::Observer observer;
  if (!record.dumpFolder.empty() || !record.untilAfter.empty()) {
    observer = [&](const std::string &stage, const std::string &text) {
      bool isMlir = stage == "generate-kernels";
      record.after(stage, text, isMlir ? ".mlir" : ".ll");
    };
  }
  Result<codegen::Report> report =
      codegen::generateKernels(plan, processors, observer);
  if (!report) {
    return report.error();
  }
  if (options.explainCodegen) {
    for (const codegen::Refusal &refusal : report->refused) {
      result.warnings.push_back(
          "not generated: " +
          (refusal.entry.empty() ? ""
                                 : refusal.entry + ": " + refusal.step + ": ") +
          refusal.why);
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Context
//===----------------------------------------------------------------------===//

/// Without --ctx: the model's own context where nothing needs to stream at it;
/// else the largest that nothing streams at; else the model's own, streaming;
/// else the largest that compiles at all. See Contexts.
Result<Lowered> lowerAtBestContext(mlir::MLIRContext &context,
                                   CompileOptions options, uint64_t budget,
                                   const std::shared_ptr<StageRecord> &record) {
  Result<Lowered> full = lower(context, options, budget, record);
  if (!full || options.context || budget == UINT64_MAX ||
      full->model.info.context <= Contexts::kSmallest ||
      (!full->failure && !full->streams()) || (record && record->reached)) {
    return full;
  }
  int64_t model = full->model.info.context;
  Contexts contexts(context, options, model);
  for (Contexts::Want want :
       {Contexts::Want::Resident, Contexts::Want::Feasible}) {
    bool resident = want == Contexts::Want::Resident;
    if (!resident && !full->failure) {
      return full;
    }
    Result<int64_t> tokens = contexts.largest(budget, want);
    if (!tokens) {
      return tokens.error();
    }
    if (*tokens == 0) {
      continue;
    }
    options.context = *tokens;
    Result<Lowered> found = lower(context, options, budget, nullptr);
    if (!found) {
      return found;
    }
    // A model whose needs do not grow with the context alone.
    if (found->failure || (resident && found->streams())) {
      continue;
    }
    found->warnings.push_back(
        "context set to " + std::to_string(found->model.info.context) +
        " tokens, the largest " +
        (resident ? "at which nothing streams" : "that fits the budget") +
        " (the model allows " + std::to_string(model) + "; --ctx chooses)");
    return found;
  }
  if (!full->failure) {
    return full;
  }
  // Not even the smallest context fits: its minimum is the one to report.
  options.context = Contexts::kSmallest;
  return lower(context, options, budget, nullptr);
}

/// Where the KV cache is part of what does not fit: what would do if most of it
/// lay below. Nothing spills unasked, since that fills a disk.
void adviseSpilling(mlir::MLIRContext &context, CompileOptions options,
                    BudgetFailure &failure) {
  if (options.kvResident != CompileOptions::kKeepAll || !options.context) {
    return;
  }
  options.kvResident = 0;
  Result<Lowered> spilled = lower(context, options, UINT64_MAX, nullptr);
  if (!spilled || spilled->failure) {
    return;
  }
  uint64_t bytes = spilled->plan.totals.minimumBytes;
  if (bytes < failure.minimumBytes) {
    failure.advice.insert(
        failure.advice.begin(),
        "--kv-resident auto would do with " + std::to_string(bytes) +
            " bytes: what does not fit of the KV cache then lies in a file "
            "(--spill-dir)");
  }
}

/// A budget that only a smaller prefill chunk meets: takes the largest one, or
/// says which it is.
Result<Lowered> lowerAtBestChunk(mlir::MLIRContext &context,
                                 CompileOptions &options, uint64_t budget,
                                 const std::shared_ptr<StageRecord> &record) {
  Result<Lowered> asked = lowerAtBestContext(context, options, budget, record);
  if (!asked || !asked->failure ||
      asked->failure->peakStep.rfind("prefill:", 0) != 0) {
    return asked;
  }
  CompileOptions smaller = options;
  if (asked->model.info.context > 0) {
    // No chunk has more than half of the context, see Import.h.
    smaller.context = asked->model.info.context;
    smaller.prefillChunk =
        std::min(smaller.prefillChunk, (*smaller.context + 1) / 2);
  }
  if (smaller.prefillChunk <= 1) {
    return asked;
  }
  Result<int64_t> chunk =
      largestChunk(context, smaller, asked->failure->minimumBytes, budget);
  if (!chunk) {
    return chunk.error();
  }
  if (*chunk == 0) {
    return asked;
  }
  if (!options.autoChunk) {
    asked->failure->advice.insert(
        asked->failure->advice.begin(),
        "--prefill-chunk " + std::to_string(*chunk) +
            " is the largest that fits (auto finds it)");
    return asked;
  }
  options.prefillChunk = smaller.prefillChunk = *chunk;
  Result<Lowered> found = lower(context, smaller, budget, nullptr);
  if (found) {
    found->warnings.push_back(
        "prefill chunk set to " + std::to_string(*chunk) +
        " tokens, the largest that fits the budget (--prefill-chunk chooses)");
  }
  return found;
}

//===----------------------------------------------------------------------===//
// Tokenizer and files
//===----------------------------------------------------------------------===//

/// The tokenizer's table. One that is found but not understood is a warning
/// (the plan then shows token ids), one that was asked for an error.
Result<std::string> tokenizerTable(const CompileOptions &options,
                                   const import::ModelInfo &info,
                                   std::vector<std::string> &warnings) {
  std::string path =
      options.tokenizer.empty() ? info.tokenizerPath : options.tokenizer;
  if (path.empty()) {
    return std::string();
  }
  Result<tokenizer::Tokenizer> loaded = tokenizer::Tokenizer::fromFile(path);
  if (loaded) {
    return loaded->serialize();
  }
  if (!options.tokenizer.empty()) {
    return loaded.error();
  }
  warnings.push_back(loaded.error().message +
                     "; the plan is made without a tokenizer");
  return std::string();
}

struct Paths {
  fs::path plan;
  fs::path weights;
};

Result<Paths> pathsOf(const CompileOptions &options,
                      const import::ModelInfo &info) {
  Paths paths;
  bool exe = options.emit == Emit::Exe;
  if (!options.output.empty()) {
    paths.plan = options.output;
  } else {
    paths.plan = fs::path(info.path).replace_extension(exe ? "" : ".plan");
  }
  fs::path folder =
      paths.plan.has_parent_path() ? paths.plan.parent_path() : fs::path(".");
  if (!fs::is_directory(folder)) {
    return Error{ErrorCode::FileUnwritable,
                 folder.string() + ": there is no such folder to write '" +
                     paths.plan.filename().string() + "' into"};
  }
  if (fs::is_directory(paths.plan)) {
    return Error{ErrorCode::FileUnwritable,
                 paths.plan.string() + ": is a folder, expected a file name"};
  }
  paths.weights = options.weights.empty() ? folder / (info.name + ".weights")
                                          : fs::path(options.weights);
  return paths;
}

/// As the plan records it: relative to the plan's folder.
std::string relativeTo(const fs::path &weights, const fs::path &plan) {
  fs::path folder = fs::absolute(plan).parent_path();
  return fs::absolute(weights)
      .lexically_normal()
      .lexically_relative(folder.lexically_normal())
      .string();
}

} // namespace

Result<CompileResult> compile(const CompileOptions &given,
                              const Progress &progress) {
  CompileOptions options = given;
  if (options.target != "cpu") {
    return Error{ErrorCode::Unsupported,
                 "--target " + options.target +
                     ": this build has no CUDA backend; use --target cpu"};
  }
  Result<std::vector<codegen::Processor>> processors = processorsOf(options);
  if (!processors) {
    return processors.error();
  }
  if (Result<void> done = readHardware(options); !done) {
    return done.error();
  }
  Result<uint64_t> budget = budgetOf(options);
  if (!budget) {
    return budget.error();
  }
  if (options.budget.kind == Budget::Kind::Auto) {
    options.budget.bytes = *budget;
  }

  auto record = std::make_shared<StageRecord>();
  record->untilAfter = options.untilAfter;
  if (options.emit == Emit::Graph) {
    record->untilAfter = "verify-graph";
  }
  record->dumpFolder = options.dumpStages;
  if (!options.dumpStages.empty()) {
    std::error_code failed;
    fs::create_directories(options.dumpStages, failed);
    if (failed) {
      return Error{ErrorCode::FileUnwritable,
                   options.dumpStages + ": " + failed.message()};
    }
  }

  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  Result<Lowered> lowered =
      lowerAtBestChunk(*context, options, *budget, record);
  if (!lowered) {
    return lowered.error();
  }
  if (!record->error.empty()) {
    return Error{ErrorCode::FileUnwritable, record->error};
  }
  CompileResult result;
  result.warnings = std::move(lowered->warnings);
  if (!lowered->failure && !record->reached && options.emit != Emit::PlanIR) {
    if (Result<void> done =
            generate(lowered->plan, options, *processors, *record, result);
        !done) {
      return done.error();
    }
  }
  if (!record->untilAfter.empty()) {
    if (!record->reached) {
      std::string stages;
      for (const std::string &stage : record->stages) {
        if (stages.find(stage) == std::string::npos) {
          stages += (stages.empty() ? "" : ", ") + stage;
        }
      }
      return Error{ErrorCode::InvalidArgument,
                   "--until-after: there is no stage '" + record->untilAfter +
                       "'; the stages are " + stages};
    }
    result.text = std::move(record->text);
    return result;
  }
  if (lowered->failure) {
    adviseSpilling(*context, options, *lowered->failure);
    result.failure = std::move(lowered->failure);
    return result;
  }
  if (options.emit == Emit::PlanIR) {
    result.text = printModule(*lowered->model.module);
    return result;
  }

  const import::ModelInfo &info = lowered->model.info;
  Result<Paths> paths = pathsOf(options, info);
  if (!paths) {
    return paths.error();
  }
  plan::Plan &plan = lowered->plan;
  plan.arch = plan::archName(processors->front().level);
  options.context =
      plan.context > 0 ? std::optional(plan.context) : std::nullopt;
  plan.options = options.str();
  plan.weightsFile = relativeTo(paths->weights, paths->plan);
  Result<std::string> table = tokenizerTable(options, info, result.warnings);
  if (!table) {
    return table.error();
  }
  plan.tokenizer = std::move(*table);

  Result<std::vector<pack::SegmentJob>> jobs = pack::collectSegmentJobs(
      *lowered->model.module, lowered->model.weights, info.path);
  if (!jobs) {
    return jobs.error();
  }
  Result<pack::WeightsReport> packed = pack::writeWeights(
      *jobs, lowered->model.weights, paths->weights.string(), plan, progress);
  if (!packed) {
    return packed.error();
  }
  plan.totals.weightsBytes = packed->fileBytes;
  plan.totals.diskBytes += packed->fileBytes; // beside spilled state

  // The proof is not the planner's: it must hold before anything is written.
  if (Result<void> valid = plan::validate(plan); !valid) {
    return valid.error();
  }
  if (auto proof = plan::check(plan); !proof) {
    return Error{ErrorCode::Internal, "the plan made here does not pass its "
                                      "check (a fault of llmc): " +
                                          proof.error().message};
  }
  Result<void> written =
      options.emit == Emit::Exe
          ? emitExe(plan, paths->weights.string(), paths->plan.string())
          : plan::writePlan(plan, paths->plan.string());
  if (!written) {
    return written.error();
  }
  result.planPath = paths->plan.string();
  result.weightsPath = paths->weights.string();
  result.weightsReused = packed->reused;
  result.plan = std::move(plan);
  result.predictions = std::move(lowered->predictions);
  return result;
}

} // namespace llmc::compiler
