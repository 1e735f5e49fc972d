//===- CutLaunch.h - Launches for some outputs of a product ----*- C++ -*-===//
//
// A matrix that is larger than its slot comes in pieces, and each is computed
// with as it comes. Outputs are counted as the weight has them (its dimension
// 0), and cut at multiples of PlacementModel::kUnit; no bit depends on it.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_CUTLAUNCH_H
#define LLMC_PASSES_MEMORY_CUTLAUNCH_H

#include "passes/memory/PlacementModel.h"

#include "mlir/IR/Builders.h"

namespace llmc::memory {

/// Fills in how the launch could be cut: `outputs` and the uses' `unitBytes`.
void describeCut(planir::LaunchOp launch, StepInfo &info,
                 const std::vector<WeightInfo> &weights);

/// A launch for the outputs of `piece`, at the builder's place: what has a row
/// or element per output is narrowed to them. `streamed` says which operands
/// lie in slots that hold just the piece.
planir::LaunchOp cutLaunch(mlir::OpBuilder &builder, planir::LaunchOp launch,
                           const Piece &piece, llvm::ArrayRef<bool> streamed);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_CUTLAUNCH_H
