//===- Layout.h - How the arena is divided ---------------------*- C++ -*-===//
//
// The arena has two parts:
//
//   [0, shared)      state, resident weights, constants: one after the other,
//                    live in every entry
//   [shared, arena)  (from a page on, if it has large slots) the region:
//   inputs, outputs, activations and staging
//                    slots. Each entry lays it out for itself; its size is
//                    the largest extent of them.
//
// plan-place uses these functions to see what a choice would need, and
// plan-assign-addresses to carry it out: both get the same numbers.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_LAYOUT_H
#define LLMC_PASSES_MEMORY_LAYOUT_H

#include "passes/solver/Problem.h"
#include "runtime/plan/Plan.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"

namespace llmc::memory {

/// Names of the module's attributes that the placement leaves.
constexpr llvm::StringLiteral kTotalsAttr = "plan.totals";
constexpr llvm::StringLiteral kInfeasibleAttr = "plan.infeasible";
/// What plan-swap leaves: the smallest budget that it can meet, if that is
/// smaller than plan-place's own, and what it has done.
constexpr llvm::StringLiteral kLeastAttr = "plan.least";
constexpr llvm::StringLiteral kSwapsAttr = "plan.swaps";

/// Padding counts as part of the buffer before it.
inline uint64_t padded(uint64_t size) {
  return (size + plan::kBufferAlignment - 1) / plan::kBufferAlignment *
         plan::kBufferAlignment;
}

/// A place for each buffer of one entry's region. The result depends on the
/// set of buffers, not on their order, except that equal ones are alike.
solver::Solution solveRegion(const std::vector<solver::Buffer> &buffers);

/// Slots of at least kLargeSlot bytes begin at pages, and so does the region
/// that has any: direct reads to other places are half as fast.
constexpr uint64_t kSlotAlignment = 4096;
constexpr uint64_t kLargeSlot = uint64_t(64) << 10;

inline uint64_t slotAlignment(uint64_t size) {
  return size >= kLargeSlot ? kSlotAlignment : plan::kBufferAlignment;
}

/// The place of the next carried slot; `next` moves on behind it. They lie one
/// after the other at the beginning of the region.
inline uint64_t placeCarried(uint64_t &next, uint64_t size) {
  uint64_t alignment = slotAlignment(size);
  uint64_t offset = (next + alignment - 1) / alignment * alignment;
  next = offset + padded(size);
  return offset;
}

/// The end of the shared part, given whether the region has large slots.
inline uint64_t regionStart(uint64_t shared, bool hasLargeSlots) {
  return hasLargeSlots
             ? (shared + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment
             : shared;
}

/// The buffer as the solver sees it.
inline solver::Buffer regionBuffer(uint64_t size, uint32_t start, uint32_t end,
                                   bool isSlot) {
  solver::Buffer buffer;
  buffer.size = padded(size);
  buffer.alignment = isSlot ? slotAlignment(size) : plan::kBufferAlignment;
  buffer.start = start;
  buffer.end = end;
  return buffer;
}

/// Figures of `plan.totals`, all in bytes.
struct Totals {
  uint64_t budget = UINT64_MAX; // of arena and reserve; UINT64_MAX: unbounded
  uint64_t reserve = 0;
  uint64_t minimum = 0;
  uint64_t arena = 0;
  uint64_t residentWeights = 0;
  uint64_t state = 0;
  uint64_t constants = 0;
  uint64_t activationPeak = 0;
  uint64_t staging = 0;
  uint64_t lowerBound = 0;

  mlir::DictionaryAttr toAttr(mlir::MLIRContext *context) const;
  /// Zeros (and an unbounded budget) where the attribute says nothing.
  static Totals of(mlir::ModuleOp module);
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_LAYOUT_H
