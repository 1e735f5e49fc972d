//===- Check.cpp - What llmc check reports --------------------------------===//

#include "compiler/Compile.h"
#include "compiler/Pipeline.h"

#include "mlir/IR/MLIRContext.h"

#include <algorithm>

namespace llmc::compiler {

namespace {

/// Powers of two from 128 tokens, and the model's own context.
std::vector<int64_t> contextLadder(int64_t model) {
  std::vector<int64_t> ladder;
  for (int64_t tokens = 128; tokens < model; tokens *= 2) {
    ladder.push_back(tokens);
  }
  if (model > 0) {
    ladder.push_back(model);
  }
  return ladder;
}

} // namespace

Result<CheckReport> check(const CompileOptions &given) {
  CompileOptions options = given;
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  Result<Lowered> lowered = lower(*context, options, UINT64_MAX, nullptr);
  if (!lowered) {
    return lowered.error();
  }
  const import::ModelInfo &info = lowered->model.info;
  const plan::Plan &plan = lowered->plan;
  CheckReport report;
  report.model = info.path;
  report.context = info.context;
  for (const auto &[name, count] : info.operators) {
    report.operators.push_back({name, count});
  }
  for (const plan::Entry &entry : plan.entries) {
    report.entries.push_back(entry.name);
  }
  for (const plan::Segment &segment : plan.segments) {
    report.weightsBytes += segment.size;
  }
  report.minimumBytes = plan.totals.minimumBytes;
  report.residentBytes = plan.totals.deviceBytes;
  report.warnings = lowered->warnings;
  for (int64_t tokens : contextLadder(info.context)) {
    if (tokens == info.context) {
      report.contexts.push_back(
          {tokens, report.minimumBytes, report.residentBytes});
      continue;
    }
    options.context = tokens;
    Result<Lowered> at = lower(*context, options, UINT64_MAX, nullptr);
    if (!at) {
      return at.error();
    }
    report.contexts.push_back(
        {tokens, at->plan.totals.minimumBytes, at->plan.totals.deviceBytes});
  }
  return report;
}

} // namespace llmc::compiler
