//===- PackFile.h - Packing problems as CSV files --------------*- C++ -*-===//
//
// MiniMalloc's format: a line of column names, then one buffer per line.
//
//   id          any text without commas
//   lower       first step of the lifetime (any whole number)
//   upper       one past its last step
//   size        bytes
//   alignment   bytes (optional)
//   gaps        `FIRST-END FIRST-END ...`: steps in which the bytes are free,
//               half-open (optional)
//   offset      the buffer must lie there (optional; empty: anywhere)
//
// Columns may come in any order. No MLIR: `llmc pack` works without it.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_PACKFILE_H
#define LLMC_TOOLS_LLMC_PACKFILE_H

#include "passes/solver/Problem.h"
#include "runtime/support/Result.h"

#include <string>
#include <string_view>
#include <vector>

namespace llmc::tools {

/// A problem with the names and numbers of its file. The solver's steps count
/// from the first time that occurs.
struct PackFile {
  solver::Problem problem;
  std::vector<std::string> names; // per buffer
  int64_t firstTime = 0;

  int64_t time(solver::Step step) const { return firstTime + int64_t(step); }
};

/// `path` is for messages only.
Result<PackFile> parsePackFile(std::string_view text, const std::string &path);
Result<PackFile> readPackFile(const std::string &path);

/// `id,lower,upper,size,offset`, one line per buffer in the order of the file.
std::string packedCsv(const PackFile &file, const solver::Solution &solution);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_PACKFILE_H
