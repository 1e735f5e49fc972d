//===- CheckCommand.cpp - llmc check --------------------------------------===//

#include "compiler/Compile.h"
#include "runtime/support/Size.h"
#include "tools/llmc/Commands.h"
#include "tools/llmc/CompileOptions.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>

namespace llmc::tools {

using namespace compiler;

namespace {

void printJson(const CheckReport &report) {
  nlohmann::ordered_json out;
  out["model"] = report.model;
  out["entries"] = report.entries;
  out["context"] = report.context;
  out["weights_bytes"] = report.weightsBytes;
  out["minimum_bytes"] = report.minimumBytes;
  out["resident_bytes"] = report.residentBytes;
  out["operators"] = nlohmann::ordered_json::array();
  for (const CheckReport::Operator &op : report.operators) {
    out["operators"].push_back({{"name", op.name}, {"count", op.count}});
  }
  out["contexts"] = nlohmann::ordered_json::array();
  for (const CheckReport::ContextRow &row : report.contexts) {
    out["contexts"].push_back({{"context", row.context},
                               {"minimum_bytes", row.minimumBytes},
                               {"resident_bytes", row.residentBytes}});
  }
  out["budgets"] = nlohmann::ordered_json::array();
  for (const CheckReport::BudgetRow &row : report.budgets) {
    out["budgets"].push_back(
        {{"budget_bytes", row.budgetBytes},
         {"largest_context", row.largestContext},
         {"largest_resident_context", row.largestResidentContext}});
  }
  std::printf("%s\n", out.dump(2).c_str());
}

void printText(const CheckReport &report) {
  std::printf("%s\n", report.model.c_str());
  std::string entries;
  for (const std::string &entry : report.entries) {
    entries += (entries.empty() ? "" : ", ") + entry;
  }
  std::printf("  entries   %s\n", entries.c_str());
  std::printf("  weights   %s\n", formatSize(report.weightsBytes).c_str());
  if (report.context > 0) {
    std::printf("  context   %lld tokens\n",
                static_cast<long long>(report.context));
  }
  std::printf("  smallest budget      %12llu bytes (%s)\n",
              static_cast<unsigned long long>(report.minimumBytes),
              formatSize(report.minimumBytes).c_str());
  std::printf("  nothing streams from %12llu bytes (%s)\n",
              static_cast<unsigned long long>(report.residentBytes),
              formatSize(report.residentBytes).c_str());
  if (!report.contexts.empty()) {
    std::printf(
        "  context by budget     smallest budget     nothing streams\n");
    for (const CheckReport::ContextRow &row : report.contexts) {
      std::printf("    %8lld tokens  %18s  %18s\n",
                  static_cast<long long>(row.context),
                  formatSize(row.minimumBytes).c_str(),
                  formatSize(row.residentBytes).c_str());
    }
  }
  if (!report.budgets.empty()) {
    std::printf("  budget                largest context     nothing streams "
                "to\n");
    for (const CheckReport::BudgetRow &row : report.budgets) {
      auto tokens = [](int64_t value) {
        return value > 0 ? std::to_string(value) : std::string("-");
      };
      std::printf("    %15s  %18s  %18s\n", formatSize(row.budgetBytes).c_str(),
                  tokens(row.largestContext).c_str(),
                  tokens(row.largestResidentContext).c_str());
    }
  }
  std::printf("  operators\n");
  for (const CheckReport::Operator &op : report.operators) {
    std::printf("    %6lld  %s\n", static_cast<long long>(op.count),
                op.name.c_str());
  }
}

} // namespace

Action addCheckCommand(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "check", "Read a model: operators, sizes, smallest budget");
  auto input = std::make_shared<CompileFlags>();
  addModelFlags(*command, *input);
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Report as JSON on standard output");
  return [input, json]() -> int {
    Result<CompileOptions> options = toOptions(*input);
    if (!options) {
      std::fprintf(stderr, "llmc: error: %s\n",
                   options.error().message.c_str());
      return kExitUsage;
    }
    Result<CheckReport> report = check(*options);
    if (!report) {
      return fail(report.error());
    }
    for (const std::string &warning : report->warnings) {
      std::fprintf(stderr, "llmc: warning: %s\n", warning.c_str());
    }
    *json ? printJson(*report) : printText(*report);
    return 0;
  };
}

} // namespace llmc::tools
