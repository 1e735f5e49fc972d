//===- Work.h - What a launch computes and moves ---------------*- C++ -*-===//
//
// Arithmetic and bytes of one launch from its kernel and the dimensions of its
// operands, all plain numbers. This is the planner's knowledge of the kernels,
// for predictions only: nothing that must be safe rests on it.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_WORK_H
#define LLMC_PASSES_MEMORY_WORK_H

#include "runtime/plan/KernelId.h"
#include "runtime/plan/Plan.h"

#include <cstdint>
#include <vector>

namespace llmc::memory {

/// An operand at given values of the symbols.
struct OperandNumbers {
  plan::DType dtype = plan::DType::F32;
  plan::Access access = plan::Access::Read;
  plan::BufferKind kind = plan::BufferKind::Activation;
  plan::Packing packing = plan::Packing::Raw;
  /// Two operands of one launch with the same number are the same buffer.
  uint32_t buffer = 0;
  std::vector<int64_t> dims;
};

/// A launch at given values of the symbols; lists as in KernelId.h.
struct LaunchNumbers {
  plan::KernelId kernel{};
  std::vector<OperandNumbers> operands;
  std::vector<int64_t> params;
  std::vector<int64_t> ints;
};

/// Which rate applies to the arithmetic.
enum class WorkKind : uint8_t {
  Move,        // bytes only
  Elementwise, // `operations` are simple ones per element; exp counts as 8
  Product,     // `operations` are multiplications and additions
  Attention,   // as Product; `scores` cost something besides
  Convolution, // as Product
};

struct Work {
  WorkKind kind = WorkKind::Move;
  /// Product: the element type of the weight; I8 and I4 for codes.
  plan::DType element = plan::DType::F32;
  double operations = 0;
  double scores = 0; // in whole chunks of keys
  /// Rows that use each loaded weight (or key): 1 in a decode step.
  double rows = 1;
  /// Bytes of weights, states and constants: nothing read them a moment ago.
  double coldBytes = 0;
  /// Bytes of activations, each access counted.
  double warmBytes = 0;
  /// Pieces that the threads share; only products are cut coarsely enough for
  /// it to matter, others have many.
  double tasks = 1e9;

  double bytes() const { return coldBytes + warmBytes; }
};

Work workOf(const LaunchNumbers &launch);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_WORK_H
