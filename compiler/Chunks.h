//===- Chunks.h - The largest prefill chunk of a budget --------*- C++ -*-===//

#ifndef LLMC_COMPILER_CHUNKS_H
#define LLMC_COMPILER_CHUNKS_H

#include "compiler/Options.h"
#include "runtime/support/Result.h"

#include <cstdint>

namespace mlir {
class MLIRContext;
} // namespace mlir

namespace llmc::compiler {

/// The largest chunk below options.prefillChunk (which needs `bytes`, more than
/// the budget) whose smallest plan is within the budget, 1 or a multiple of 16;
/// 0 if there is none. The context is that of the options.
Result<int64_t> largestChunk(mlir::MLIRContext &context, CompileOptions options,
                             uint64_t bytes, uint64_t budgetBytes);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_CHUNKS_H
