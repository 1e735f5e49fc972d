//===- StageObserver.h - --until-after and --dump-stages -------*- C++ -*-===//

#ifndef LLMC_COMPILER_STAGEOBSERVER_H
#define LLMC_COMPILER_STAGEOBSERVER_H

#include "mlir/Pass/PassInstrumentation.h"

#include <memory>
#include <string>
#include <vector>

namespace llmc::compiler {

/// What was seen of the stages. A stage is a pass by its command-line name, or
/// "import".
struct StageRecord {
  std::string untilAfter;          // stage to keep, or empty
  std::string dumpFolder;          // where every stage is written, or empty
  std::vector<std::string> stages; // seen so far
  std::string text;                // IR after `untilAfter`
  bool reached = false;
  std::string error; // a dump that could not be written

  /// Notes that `stage` has ended with `op` as its result.
  void after(const std::string &stage, mlir::Operation *op);
  /// The same for what is not a pass's. Dumped with this extension.
  void after(const std::string &stage, const std::string &result,
             const char *extension);
};

/// Calls record->after() after every pass.
std::unique_ptr<mlir::PassInstrumentation>
makeStageObserver(std::shared_ptr<StageRecord> record);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_STAGEOBSERVER_H
