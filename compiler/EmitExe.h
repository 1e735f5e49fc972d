//===- EmitExe.h - Runtime, plan and weights in one file -------*- C++ -*-===//

#ifndef LLMC_COMPILER_EMITEXE_H
#define LLMC_COMPILER_EMITEXE_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <string>

namespace llmc::compiler {

/// Writes a copy of llmc-run (beside this executable) with `plan` and the
/// weights file appended (EmbeddedPlan.h) to `output`, executable.
Result<void> emitExe(const plan::Plan &plan, const std::string &weightsPath,
                     const std::string &output);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_EMITEXE_H
