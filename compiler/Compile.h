//===- Compile.h - From an ONNX model to a plan ----------------*- C++ -*-===//
//
// The stages of DESIGN: import, graph passes, plan passes, emission, packing.
// The same entry points serve `llmc compile` and `llmc check`.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_COMPILE_H
#define LLMC_COMPILER_COMPILE_H

#include "compiler/Options.h"
#include "runtime/plan/Explain.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llmc::compiler {

/// Why a budget cannot be met, and what would help.
struct BudgetFailure {
  uint64_t budgetBytes = 0;
  uint64_t minimumBytes = 0;
  std::string peakStep;
  std::vector<std::pair<std::string, uint64_t>> peakTensors; // name, bytes
  std::vector<std::string> advice;
};

struct CompileResult {
  plan::Plan plan;
  std::vector<plan::Prediction> predictions; // per entry
  std::string planPath;
  std::string weightsPath;
  bool weightsReused = false;
  std::vector<std::string> warnings;
  /// Set when the budget is too small: nothing else is then.
  std::optional<BudgetFailure> failure;
  /// --emit graph, plan-ir and --until-after: what to print instead.
  std::string text;
};

/// (bytes written, bytes in all), while weights are packed.
using Progress = std::function<void(uint64_t, uint64_t)>;

/// Compiles and writes the plan and, unless they are there, the weights.
/// Nothing is left half-written.
Result<CompileResult> compile(const CompileOptions &options,
                              const Progress &progress);

/// What `llmc check` reports: the model alone, nothing is written.
struct CheckReport {
  struct Operator {
    std::string name; // with domain unless ai.onnx
    int64_t count = 0;
  };
  std::string model;
  std::vector<Operator> operators;
  std::vector<std::string> entries;
  int64_t context = 0;
  uint64_t weightsBytes = 0;
  uint64_t minimumBytes = 0;  // at `context`
  uint64_t residentBytes = 0; // everything on the device, at `context`
  /// What each context needs: read from the right, the largest context that
  /// a budget allows.
  struct ContextRow {
    int64_t context = 0;
    uint64_t minimumBytes = 0;
    uint64_t residentBytes = 0; // nothing streams from here on
  };
  std::vector<ContextRow> contexts;
  /// The other way round: the largest contexts of some budgets, ascending.
  struct BudgetRow {
    uint64_t budgetBytes = 0;
    int64_t largestContext = 0;         // tokens; 0: none fits
    int64_t largestResidentContext = 0; // at which nothing streams
  };
  std::vector<BudgetRow> budgets;
  std::vector<std::string> warnings;
};
Result<CheckReport> check(const CompileOptions &options);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_COMPILE_H
