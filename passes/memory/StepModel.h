//===- StepModel.h - An entry as steps and byte ranges ---------*- C++ -*-===//
//
// What plan-order and plan-in-place decide about, reduced to numbers: which
// bytes of which buffer each step reads or writes, and at which launches two
// buffers might become one.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_STEPMODEL_H
#define LLMC_PASSES_MEMORY_STEPMODEL_H

#include "dialects/plan/PlanDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::memory {

/// One operand of one step. The range is in bytes of the buffer, half-open, at
/// the upper bounds of the symbols.
struct Touch {
  uint32_t step = 0;
  uint32_t operand = 0;
  uint32_t buffer = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  bool reads = false;
  bool writes = false;
};

/// A launch that could put its result where one of its operands lies: the
/// kernel reads each element before it writes the same one (see KernelId.h).
struct TakeoverCandidate {
  uint32_t operand = 0;
  uint32_t result = 0;  // operand number too
  std::string obstacle; // why not whatever the lifetimes are; empty: none
};

/// A strided copy that moves one contiguous piece to another place as it is.
/// If both places are the same, the copy is not needed.
struct CopyCandidate {
  uint64_t from = 0;    // byte in the buffer of operand 0
  uint64_t to = 0;      // byte in the buffer of operand 1
  std::string obstacle; // as above
};

struct Step {
  mlir::Operation *op = nullptr;
  std::vector<Touch> touches;
  std::vector<TakeoverCandidate> takeovers;
  std::optional<CopyCandidate> copy; // strided copies only
};

struct StepBuffer {
  planir::BufferOp op;
  uint64_t size = 0; // bytes, without padding
  planir::Kind kind = planir::Kind::Activation;
  /// Weights, constants and states outlive the entry and count elsewhere.
  bool isShared() const { return kind <= planir::Kind::Constant; }
};

struct StepModel {
  /// By hand, for tests: operations may be null.
  StepModel() = default;
  /// The entry's steps in their order; buffers in that of the module, shared
  /// ones only if a step touches them.
  StepModel(planir::EntryOp entry, const mlir::SymbolTable &symbols);

  /// The same with step `order[i]` at place i.
  StepModel reordered(llvm::ArrayRef<uint32_t> order) const;

  std::vector<Step> steps;
  std::vector<StepBuffer> buffers;
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_STEPMODEL_H
