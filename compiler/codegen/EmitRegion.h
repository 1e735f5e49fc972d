//===- EmitRegion.h - A region as a function of vectors --------*- C++ -*-===//

#ifndef LLMC_COMPILER_CODEGEN_EMITREGION_H
#define LLMC_COMPILER_CODEGEN_EMITREGION_H

#include "compiler/codegen/Region.h"

#include "mlir/IR/BuiltinOps.h"

namespace llmc::codegen {

/// Elements of a vector: one register of AVX-512, two of AVX2.
constexpr int64_t kLanes = 16;

/// Adds the function `name`, with the calling convention of
/// runtime/plan/Code.h, to `module`: loops over rows and over vectors of
/// columns, the last one masked.
void emitRegion(mlir::ModuleOp module, const Region &region,
                const std::string &name);

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_EMITREGION_H
