//===- Codegen.h - Machine code for the launches of a plan -----*- C++ -*-===//
//
// Turns Pointwise launches, which the runtime would interpret, into launches
// of functions generated for them. What they touch stays as it is, so this
// comes after placement, and a launch that is refused stays as it is too.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_CODEGEN_CODEGEN_H
#define LLMC_COMPILER_CODEGEN_CODEGEN_H

#include "compiler/codegen/Processor.h"
#include "runtime/plan/Plan.h"

#include <functional>
#include <string>
#include <vector>

namespace llmc::codegen {

/// Code below this level gains too little to carry it.
constexpr int kLowestLevel = 3;

struct Refusal {
  std::string entry;
  std::string step;
  std::string why;
};

struct Report {
  size_t launches = 0; // that became launches of generated functions
  std::vector<Refusal> refused;
};

/// Gets the text of a stage: "generate-kernels" (MLIR of all functions) and
/// "generate-kernels-llvm" (optimized LLVM IR, once per processor).
using Observer =
    std::function<void(const std::string &stage, const std::string &text)>;

/// Fills plan.code and rewrites launches. The bytes depend on the plan and the
/// processors alone. With a processor below kLowestLevel nothing is generated:
/// a plan has one list of launches, for all of its processors.
Result<Report> generateKernels(plan::Plan &plan,
                               const std::vector<Processor> &processors,
                               const Observer &observer);

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_CODEGEN_H
