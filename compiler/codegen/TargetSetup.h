//===- TargetSetup.h - LLVM's x86 back end ---------------------*- C++ -*-===//

#ifndef LLMC_COMPILER_CODEGEN_TARGETSETUP_H
#define LLMC_COMPILER_CODEGEN_TARGETSETUP_H

#include "runtime/support/Result.h"

namespace llvm {
class Target;
} // namespace llvm

namespace llmc::codegen {

constexpr const char *kTriple = "x86_64-unknown-linux-gnu";

/// The back end, initialized.
Result<const llvm::Target *> x86Target();

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_TARGETSETUP_H
