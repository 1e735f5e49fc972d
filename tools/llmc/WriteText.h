//===- WriteText.h - A report as a file ------------------------*- C++ -*-===//

#ifndef LLMC_TOOLS_LLMC_WRITETEXT_H
#define LLMC_TOOLS_LLMC_WRITETEXT_H

#include "runtime/plan/AtomicFile.h"
#include "runtime/support/Result.h"

#include <string>

namespace llmc::tools {

/// Complete or not at all.
inline Result<void> writeText(const std::string &path,
                              const std::string &text) {
  Result<plan::AtomicFile> file = plan::AtomicFile::create(path, text.size());
  if (!file) {
    return file.error();
  }
  if (Result<void> done = file->write(
          0, {reinterpret_cast<const uint8_t *>(text.data()), text.size()});
      !done) {
    return done;
  }
  return file->commit();
}

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_WRITETEXT_H
