//===- Object.h - From MLIR to an x86-64 object ----------------*- C++ -*-===//

#ifndef LLMC_COMPILER_CODEGEN_OBJECT_H
#define LLMC_COMPILER_CODEGEN_OBJECT_H

#include "compiler/codegen/Processor.h"
#include "runtime/support/Result.h"

#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::codegen {

/// A context with all dialects that generated code goes through.
std::unique_ptr<mlir::MLIRContext> makeCodeContext();

/// Lowers the functions of `module` to the LLVM dialect, in place.
Result<void> lowerToLlvm(mlir::ModuleOp module);

/// An ELF object for `processor` of a module in the LLVM dialect. `ir`, if
/// given, gets the optimized LLVM IR.
Result<std::vector<uint8_t>> compileObject(mlir::ModuleOp module,
                                           const Processor &processor,
                                           std::string *ir);

/// Code and constants of an object in one piece.
struct Blob {
  std::vector<uint8_t> bytes;
  std::vector<uint64_t> entries; // of the functions asked for
};

/// Links `object` with lld. An error if anything is undefined, needs a
/// relocation at run time, or is writable.
Result<Blob> linkBlob(const std::vector<uint8_t> &object,
                      const std::vector<std::string> &functions);

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_OBJECT_H
