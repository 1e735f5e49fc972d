//===- CostModel.h - How long the steps of a plan take ---------*- C++ -*-===//
//
// The plan dialect on a machine (Rates.h): seconds of every launch and copy,
// and of an entry with its two streams. Works at every stage after
// lower-to-plan; before plan-place there are no copies.
//
// The sizes are those of typical(): every symbol at its upper bound (a full
// chunk of a prompt), but `past` at half of its own, so that attention reads
// half of the context.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_COSTMODEL_H
#define LLMC_PASSES_MEMORY_COSTMODEL_H

#include "dialects/plan/PlanDialect.h"
#include "passes/memory/Rates.h"
#include "passes/memory/StreamSimulation.h"

#include "mlir/IR/BuiltinOps.h"

#include "llvm/ADT/DenseMap.h"

#include <optional>
#include <string>
#include <vector>

namespace llmc::memory {

/// The machine to plan for, as the module's attribute `plan.rates`: a
/// dictionary of numbers, {memory = 4.8e10 : f64, f32 = [7.5e10, 2.2e11], ...}
/// with the names of Rates' fields. What is not in it has the value of the
/// reference CPU.
constexpr llvm::StringLiteral kRatesAttr = "plan.rates";
void setRates(mlir::ModuleOp module, const Rates &rates);
Rates ratesOf(mlir::ModuleOp module);

/// A launch or copy of an entry. Signals and waits take no time.
struct StepCost {
  Work work; // launches
  double seconds = 0;
  Bound bound = Bound::Overhead; // launches
};

struct EntryCost {
  /// Of the whole entry; `seconds` in it is what a run takes.
  SimulatedRun run;
  /// Parts of run.computeSeconds by what bounds the launches.
  double computeBoundSeconds = 0;
  double memoryBoundSeconds = 0;
  double overheadSeconds = 0;
  uint64_t copiedBytes = 0;
  /// That the launches read and write of activations, each access counted, and
  /// how many launches there are.
  double activationBytes = 0;
  uint64_t launches = 0;

  /// "link" if the copies take longer than the launches, else what most of the
  /// launches' time goes to: "compute", "memory" or "overhead".
  std::string boundBy() const;
};

class CostModel {
public:
  /// Refers to the module's buffers by name; make a new one after a pass that
  /// adds some.
  CostModel(mlir::ModuleOp module, const Rates &rates);
  explicit CostModel(mlir::ModuleOp module)
      : CostModel(module, ratesOf(module)) {}

  /// See above.
  static graph::SymbolValues typical(planir::EntryOp entry);

  /// One element per step of the entry, in order.
  std::vector<StepCost> steps(planir::EntryOp entry,
                              const graph::SymbolValues &values) const;
  std::vector<StepCost> steps(planir::EntryOp entry) const {
    return steps(entry, typical(entry));
  }

  /// nullopt if a wait of the entry is never satisfied.
  std::optional<EntryCost> cost(planir::EntryOp entry,
                                const graph::SymbolValues &values) const;
  std::optional<EntryCost> cost(planir::EntryOp entry) const {
    return cost(entry, typical(entry));
  }

  CopyTime copy(uint64_t bytes) const;
  /// Seconds of one way of a swap: a write to the spill file, or a read.
  double swap(uint64_t bytes) const;
  /// A copy that gathers so many rows.
  CopyTime rows(uint64_t count, uint64_t rowBytes) const;

  /// The speed of compute while a copy runs, in (0, 1]. A copy out of the page
  /// cache is a thread's work, which compute then lacks.
  double speedWhileCopying() const;

  /// Whether the weights file is read through the page cache.
  bool isCached() const { return fileBytes <= rates.cachedFileBytes; }

  const Rates &machine() const { return rates; }

private:
  struct BufferNumbers {
    uint32_t index = 0;
    plan::BufferKind kind = plan::BufferKind::Activation;
  };

  LaunchNumbers numbers(planir::LaunchOp launch,
                        const graph::SymbolValues &values) const;

  llvm::DenseMap<mlir::StringAttr, BufferNumbers> buffers;
  uint64_t fileBytes = 0; // of the weights file
  Rates rates;
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_COSTMODEL_H
