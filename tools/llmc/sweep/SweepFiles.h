//===- SweepFiles.h - The files of the page, embedded ----------*- C++ -*-===//

#ifndef LLMC_TOOLS_LLMC_SWEEP_SWEEPFILES_H
#define LLMC_TOOLS_LLMC_SWEEP_SWEEPFILES_H

#include "tools/llmc/HtmlPage.h"

namespace llmc::tools {

extern const std::span<const EmbeddedFile> kSweepFiles;

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_SWEEP_SWEEPFILES_H
