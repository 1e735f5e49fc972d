//===- EmitPlan.h - The plan dialect as a plan::Plan -----------*- C++ -*-===//
//
// The last step of the pipeline before the files are written. Takes a module
// that has passed verify-plan.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_EMIT_EMITPLAN_H
#define LLMC_COMPILER_EMIT_EMITPLAN_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include "mlir/IR/BuiltinOps.h"

#include <optional>
#include <string>
#include <vector>

namespace llmc::emit {

/// Fills segments (without offset and hash), buffers, states, entries,
/// constants and totals. Left to the caller: producer, names, target, options,
/// what the sidecars say, Segment::offset and hash, weightsFile, weightsId,
/// tokenizer, totals.weightsBytes and diskBytes.
///
/// Segments are in the order of the plan.segment ops, so that index i of the
/// plan is the i-th op; names lose their "segment." prefix, and buffers of
/// kind weight, state and constant theirs.
///
/// Totals: deviceBytes = arenaBytes + reserveBytes, and
///   arenaBytes = stateBytes + residentWeightBytes + constantBytes
///              + activationPeakBytes + stagingBytes + workspaceBytes
/// Padding counts as part of the buffer before it. The last three describe the
/// region that entries share: without streaming it is all activations (with
/// what fragmentation costs); with streaming, activations count their largest
/// live sum and staging the rest, since both lie in the same bytes at
/// different times. lowerBoundBytes is the largest sum of live activations.
///
/// Predictions are for the machine of memory::ratesOf(module).
Result<plan::Plan> emitPlan(mlir::ModuleOp module);

/// Why plan-place found no plan.
struct Infeasible {
  uint64_t minimumBytes = 0;
  std::string peakStep;
  struct Tensor {
    std::string name;
    uint64_t bytes = 0;
  };
  std::vector<Tensor> peakTensors; // largest first
  std::vector<std::string> advice; // most helpful first
};
/// Set if the pipeline failed because the budget cannot be met.
std::optional<Infeasible> getInfeasible(mlir::ModuleOp module);

} // namespace llmc::emit

#endif // LLMC_COMPILER_EMIT_EMITPLAN_H
