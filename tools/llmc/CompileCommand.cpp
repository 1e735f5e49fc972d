//===- CompileCommand.cpp - llmc compile ----------------------------------===//

#include "compiler/Compile.h"
#include "runtime/plan/Explain.h"
#include "runtime/plan/Report.h"
#include "runtime/support/Size.h"
#include "tools/llmc/Commands.h"
#include "tools/llmc/CompileOptions.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <memory>

#include <unistd.h>

namespace llmc::tools {

using namespace compiler;

namespace {

/// One line on a terminal, redrawn at most ten times a second.
Progress terminalProgress() {
  if (!isatty(STDERR_FILENO)) {
    return {};
  }
  auto last = std::make_shared<std::chrono::steady_clock::time_point>();
  return [last](uint64_t done, uint64_t total) {
    auto now = std::chrono::steady_clock::now();
    if (done < total && now - *last < std::chrono::milliseconds(100)) {
      return;
    }
    *last = now;
    std::fprintf(stderr, "\rpacking weights: %s of %s (%3.0f %%)%s",
                 formatSize(done).c_str(), formatSize(total).c_str(),
                 total ? 100.0 * double(done) / double(total) : 100.0,
                 done == total ? "\n" : "");
  };
}

int reportFailure(const BudgetFailure &failure, bool json) {
  if (json) {
    nlohmann::ordered_json out;
    out["error"] = "budget";
    out["budget_bytes"] = failure.budgetBytes;
    out["minimum_bytes"] = failure.minimumBytes;
    out["peak_step"] = failure.peakStep;
    out["peak_tensors"] = nlohmann::ordered_json::array();
    for (const auto &[name, bytes] : failure.peakTensors) {
      out["peak_tensors"].push_back({{"name", name}, {"bytes", bytes}});
    }
    out["advice"] = failure.advice;
    std::printf("%s\n", out.dump(2).c_str());
  }
  std::fprintf(stderr,
               "llmc: error: %llu bytes (%s) are not enough: the smallest "
               "budget for this model is %llu bytes (%s)\n",
               static_cast<unsigned long long>(failure.budgetBytes),
               formatSize(failure.budgetBytes).c_str(),
               static_cast<unsigned long long>(failure.minimumBytes),
               formatSize(failure.minimumBytes).c_str());
  if (!failure.peakStep.empty()) {
    std::fprintf(stderr, "  the peak is at step %s, which holds:\n",
                 failure.peakStep.c_str());
  }
  for (const auto &[name, bytes] : failure.peakTensors) {
    std::fprintf(stderr, "    %10s  %s\n", formatSize(bytes).c_str(),
                 name.c_str());
  }
  for (const std::string &line : failure.advice) {
    std::fprintf(stderr, "  %s\n", line.c_str());
  }
  return kExitBudget;
}

/// Tokens per second where the entry adds tokens to a state, else seconds.
void printPrediction(const plan::Plan &plan, const plan::Entry &entry) {
  if (entry.predictedSeconds <= 0) {
    return;
  }
  double tokens = plan::tokensPerRun(plan, entry);
  if (tokens <= 0) {
    std::printf("  %-8s %12.3g seconds predicted, bound by %s\n",
                entry.name.c_str(), entry.predictedSeconds,
                entry.boundBy.c_str());
    return;
  }
  int64_t past = 0;
  for (const plan::Symbol &symbol : entry.symbols) {
    past = symbol.isPast ? symbol.upper / 2 : past;
  }
  std::printf("  %-8s %12.1f tokens/s predicted, bound by %s (%.0f at a time "
              "after %lld%s)\n",
              entry.name.c_str(), tokens / entry.predictedSeconds,
              entry.boundBy.c_str(), tokens / static_cast<double>(plan.batch),
              static_cast<long long>(past),
              plan.batch > 1 ? ", all sequences" : "");
}

void printSummary(const CompileResult &result) {
  const plan::Totals &t = result.plan.totals;
  std::printf("%s\n", result.planPath.c_str());
  if (t.budgetBytes == UINT64_MAX) {
    std::printf("  device   %12llu bytes (%s), no budget\n",
                static_cast<unsigned long long>(t.deviceBytes),
                formatSize(t.deviceBytes).c_str());
  } else {
    std::printf("  device   %12llu bytes (%s) of a budget of %s\n",
                static_cast<unsigned long long>(t.deviceBytes),
                formatSize(t.deviceBytes).c_str(),
                formatSize(t.budgetBytes).c_str());
  }
  std::printf("  minimum  %12llu bytes (%s)\n",
              static_cast<unsigned long long>(t.minimumBytes),
              formatSize(t.minimumBytes).c_str());
  if (result.plan.context > 0) {
    std::printf("  context  %12lld tokens\n",
                static_cast<long long>(result.plan.context));
  }
  for (const plan::Entry &entry : result.plan.entries) {
    std::printf("  %-8s %12zu steps, peak %s, %s streamed\n",
                entry.name.c_str(), entry.steps.size(),
                formatSize(entry.peakLiveBytes).c_str(),
                formatSize(entry.streamedBytes).c_str());
  }
  for (const plan::Entry &entry : result.plan.entries) {
    printPrediction(result.plan, entry);
  }
  std::fputs(plan::explainText(result.plan, result.predictions).c_str(),
             stdout);
  std::printf("  weights  %s (%s%s)\n", result.weightsPath.c_str(),
              formatSize(t.weightsBytes).c_str(),
              result.weightsReused ? ", reused" : "");
}

} // namespace

Action addCompileCommand(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "compile", "Compile an ONNX model into a plan that fits a budget");
  auto input = std::make_shared<CompileFlags>();
  addModelFlags(*command, *input);
  addOutputFlags(*command, *input);
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Report as JSON on standard output");
  return [input, json]() -> int {
    Result<CompileOptions> options = toOptions(*input);
    if (!options) {
      std::fprintf(stderr, "llmc: error: %s\n",
                   options.error().message.c_str());
      return kExitUsage;
    }
    Result<CompileResult> result = compile(*options, terminalProgress());
    if (!result) {
      return fail(result.error());
    }
    for (const std::string &warning : result->warnings) {
      std::fprintf(stderr, "llmc: warning: %s\n", warning.c_str());
    }
    if (result->failure) {
      return reportFailure(*result->failure, *json);
    }
    if (!result->text.empty()) {
      std::fwrite(result->text.data(), 1, result->text.size(), stdout);
      return 0;
    }
    if (*json) {
      std::printf(
          "%s\n",
          plan::reportJsonText(result->plan, result->predictions).c_str());
    } else {
      printSummary(*result);
    }
    return 0;
  };
}

} // namespace llmc::tools
