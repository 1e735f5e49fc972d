//===- CompileOptions.h - Flags of compile and check -----------*- C++ -*-===//

#ifndef LLMC_TOOLS_LLMC_COMPILEOPTIONS_H
#define LLMC_TOOLS_LLMC_COMPILEOPTIONS_H

#include "compiler/Options.h"
#include "runtime/support/Result.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace llmc::tools {

/// The flags as given; toOptions() reads the ones that are more than a word.
struct CompileFlags {
  compiler::CompileOptions options;
  std::string vram;
  std::vector<std::string> arch;
  int64_t context = 0;
  std::string kvResident;
  std::string prefillChunk = "128";
  std::vector<std::string> dims;
  std::string logits = "last";
  std::string quantize = "none";
  std::string policy = "planned";
  std::string order = "planned";
  std::string fusion = "on";
  std::string inPlace = "on";
  std::string codegen = "on";
  std::string swap = "on";
  std::string emit = "plan";
};

/// The model and everything that shapes its graph.
void addModelFlags(CLI::App &app, CompileFlags &flags);
/// How it is planned: policy, order, in-place, hardware.
void addPlanningFlags(CLI::App &app, CompileFlags &flags);
/// The budget, planning, and what is written where.
void addOutputFlags(CLI::App &app, CompileFlags &flags);
/// A message for wrong values (a usage error).
Result<compiler::CompileOptions> toOptions(const CompileFlags &flags);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_COMPILEOPTIONS_H
