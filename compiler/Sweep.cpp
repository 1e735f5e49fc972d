//===- Sweep.cpp - Budgets against predicted speed ------------------------===//

#include "compiler/Sweep.h"

#include "compiler/Contexts.h"
#include "compiler/Pipeline.h"
#include "runtime/plan/Explain.h"

#include "mlir/IR/MLIRContext.h"

#include <algorithm>
#include <cmath>

namespace llmc::compiler {

std::vector<uint64_t> sweepBudgets(uint64_t low, uint64_t high, int steps,
                                   bool &geometric) {
  constexpr uint64_t kPage = 4096;
  geometric = low > 0 && high / low >= 4;
  std::vector<uint64_t> out;
  for (int i = 0; i < steps; ++i) {
    double part = steps > 1 ? double(i) / double(steps - 1) : 0;
    double value =
        geometric ? double(low) * std::pow(double(high) / double(low), part)
                  : double(low) + double(high - low) * part;
    uint64_t bytes = uint64_t(value) / kPage * kPage;
    out.push_back(std::clamp(i == 0           ? low
                             : i + 1 == steps ? high
                                              : bytes,
                             low, high));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

namespace {

uint64_t resolve(const SweepEnd &end, uint64_t open, uint64_t weightsBytes) {
  switch (end.kind) {
  case SweepEnd::Kind::Open:
    return open;
  case SweepEnd::Kind::Bytes:
    return end.value;
  case SweepEnd::Kind::Percent:
    return uint64_t(static_cast<unsigned __int128>(weightsBytes) * end.value /
                    10000);
  }
  return open;
}

std::vector<SweepReport::Entry> entriesOf(const Placed &placed) {
  const plan::Plan &plan = placed.plan;
  std::vector<SweepReport::Entry> out;
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    const plan::Entry &entry = plan.entries[i];
    out.push_back({entry.name, plan::tokensPerRun(plan, entry),
                   entry.predictedSeconds, entry.boundBy, entry.streamedBytes,
                   placed.predictions[i]});
  }
  return out;
}

} // namespace

Result<SweepReport> sweep(const CompileOptions &given,
                          const SweepRange &range) {
  CompileOptions options = given;
  if (options.target != "cpu" && options.hardware.empty()) {
    return Error{ErrorCode::InvalidArgument,
                 "--target " + options.target +
                     " needs --hardware FILE: this build has no CUDA backend, "
                     "but can say what the data sheet of a GPU promises"};
  }
  if (Result<void> done = readHardware(options); !done) {
    return done.error();
  }
  std::unique_ptr<mlir::MLIRContext> context = makeContext();
  Result<Scheduled> scheduled = schedule(*context, options, nullptr);
  if (!scheduled) {
    return scheduled.error();
  }
  Result<Placed> whole = tryBudget(*scheduled, options, UINT64_MAX);
  if (!whole) {
    return whole.error();
  }
  const import::ModelInfo &info = scheduled->model.info;
  SweepReport report;
  report.model = info.path;
  report.hardware = options.hardwareId;
  report.context = info.context;
  report.batch = options.batch;
  for (const plan::Segment &segment : whole->plan.segments) {
    report.weightsBytes += segment.size;
  }
  report.minimumBytes = whole->plan.totals.minimumBytes;
  report.residentBytes = whole->plan.totals.deviceBytes;
  report.warnings = scheduled->warnings;
  options.budget = {};
  report.options = options.str();

  uint64_t low = resolve(range.low, report.minimumBytes, report.weightsBytes);
  uint64_t high = resolve(range.high, std::max(low, report.residentBytes),
                          report.weightsBytes);
  if (low > high) {
    return Error{ErrorCode::InvalidArgument,
                 "--vram: the range begins at " + std::to_string(low) +
                     " bytes and ends before that, at " + std::to_string(high)};
  }
  std::vector<uint64_t> budgets =
      sweepBudgets(low, high, std::max(range.steps, 2), report.geometric);
  for (uint64_t special : {report.minimumBytes, report.residentBytes}) {
    if (low <= special && special <= high) {
      budgets.push_back(special);
    }
  }
  std::sort(budgets.begin(), budgets.end());
  budgets.erase(std::unique(budgets.begin(), budgets.end()), budgets.end());

  report.contextLimit = report.context;
  if (options.context && range.contexts) {
    // --ctx says what speeds are for; what fits may be more.
    CompileOptions own = options;
    own.context.reset();
    Result<Scheduled> limit = schedule(*context, own, nullptr);
    if (!limit) {
      return limit.error();
    }
    report.contextLimit = std::max(report.context, limit->model.info.context);
  }
  Contexts contexts(*context, options, report.contextLimit);
  contexts.learn(report.context, {report.minimumBytes, report.residentBytes});
  for (uint64_t budget : budgets) {
    SweepReport::Row &row = report.rows.emplace_back();
    row.budgetBytes = budget;
    row.mark = budget == report.minimumBytes    ? "minimum"
               : budget == report.residentBytes ? "resident"
                                                : "";
    Result<Placed> placed = tryBudget(*scheduled, options, budget);
    if (!placed) {
      return placed.error();
    }
    row.fits = !placed->failure;
    if (row.fits) {
      row.deviceBytes = placed->plan.totals.deviceBytes;
      row.residentWeightBytes = placed->plan.totals.residentWeightBytes;
      row.entries = entriesOf(*placed);
    }
    if (range.contexts && report.contextLimit > 0) {
      for (auto [want, where] :
           {std::pair(Contexts::Want::Feasible, &row.largestContext),
            std::pair(Contexts::Want::Resident, &row.largestResidentContext)}) {
        Result<int64_t> tokens = contexts.largest(budget, want);
        if (!tokens) {
          return tokens.error();
        }
        *where = *tokens;
      }
    }
  }
  report.contextsScheduled = contexts.scheduled();
  return report;
}

} // namespace llmc::compiler
