//===- Check.cpp - What llmc check reports --------------------------------===//

#include "compiler/Compile.h"
#include "compiler/Contexts.h"
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

/// The smallest budget of all, round sizes (1, 1.5, 2, 3, 4, 6 ...) up to where
/// nothing streams at the model's own context, at most kBudgets of them, and
/// that.
std::vector<uint64_t> budgetLadder(uint64_t smallest, uint64_t resident) {
  constexpr size_t kBudgets = 8;
  std::vector<uint64_t> round;
  for (uint64_t unit = 4096; unit < resident && unit < UINT64_MAX / 4;
       unit *= 2) {
    for (uint64_t budget : {unit, unit / 2 * 3}) {
      if (smallest < budget && budget < resident) {
        round.push_back(budget);
      }
    }
  }
  std::vector<uint64_t> ladder = {smallest};
  size_t every = (round.size() + kBudgets - 1) / kBudgets;
  for (size_t i = 0; i < round.size(); i += every) {
    ladder.push_back(round[i]);
  }
  if (resident > smallest) {
    ladder.push_back(resident);
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
  if (info.context <= 0) {
    return report;
  }
  Contexts contexts(*context, options, info.context);
  contexts.learn(info.context, {report.minimumBytes, report.residentBytes});
  for (int64_t tokens : contextLadder(info.context)) {
    Result<Contexts::Need> need = contexts.need(tokens);
    if (!need) {
      return need.error();
    }
    report.contexts.push_back(
        {tokens, need->minimumBytes, need->residentBytes});
  }
  for (uint64_t budget : budgetLadder(report.contexts.front().minimumBytes,
                                      report.residentBytes)) {
    Result<int64_t> fits = contexts.largest(budget, Contexts::Want::Feasible);
    Result<int64_t> resident =
        contexts.largest(budget, Contexts::Want::Resident);
    if (!fits || !resident) {
      return fits ? resident.error() : fits.error();
    }
    report.budgets.push_back({budget, *fits, *resident});
  }
  return report;
}

} // namespace llmc::compiler
