//===- Processor.h - What --arch names -------------------------*- C++ -*-===//

#ifndef LLMC_COMPILER_CODEGEN_PROCESSOR_H
#define LLMC_COMPILER_CODEGEN_PROCESSOR_H

#include "runtime/support/Result.h"

#include <string>

namespace llmc::codegen {

/// A processor to generate code for. Of a named one the instructions of its
/// psABI level are used and its timings: so a plan needs a level, which can be
/// asked of any machine, and never a name.
struct Processor {
  int level = 0;    // runtime/plan/Target.h
  std::string tune; // a name LLVM knows, or empty
};

/// native, x86-64 to x86-64-v4, or a processor's name as in clang's -march.
Result<Processor> parseProcessor(const std::string &name);

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_PROCESSOR_H
