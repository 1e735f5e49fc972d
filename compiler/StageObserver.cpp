//===- StageObserver.cpp - --until-after and --dump-stages ----------------===//

#include "compiler/StageObserver.h"

#include "mlir/IR/Operation.h"
#include "mlir/Pass/Pass.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdio>

namespace llmc::compiler {

namespace {

std::string print(mlir::Operation *op) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  op->print(stream);
  text += "\n";
  return text;
}

class StageObserver : public mlir::PassInstrumentation {
public:
  explicit StageObserver(std::shared_ptr<StageRecord> record)
      : record(std::move(record)) {}

  void runAfterPass(mlir::Pass *pass, mlir::Operation *op) override {
    if (!pass->getArgument().empty()) {
      record->after(pass->getArgument().str(), op);
    }
  }

private:
  std::shared_ptr<StageRecord> record;
};

} // namespace

void StageRecord::after(const std::string &stage, mlir::Operation *op) {
  // Printing takes time.
  bool wanted = !dumpFolder.empty() || untilAfter == stage;
  after(stage, wanted ? print(op) : std::string(), ".mlir");
}

void StageRecord::after(const std::string &stage, const std::string &result,
                        const char *extension) {
  stages.push_back(stage);
  if (!dumpFolder.empty() && error.empty()) {
    char number[16];
    std::snprintf(number, sizeof number, "%02zu-", stages.size());
    std::string path = dumpFolder + "/" + number + stage + extension;
    std::error_code failed;
    llvm::raw_fd_ostream file(path, failed);
    if (failed) {
      error = path + ": " + failed.message();
    } else {
      file << result;
    }
  }
  // The last one of that name: canonicalize runs more than once.
  if (!untilAfter.empty() && stage == untilAfter) {
    text = result;
    reached = true;
  }
}

std::unique_ptr<mlir::PassInstrumentation>
makeStageObserver(std::shared_ptr<StageRecord> record) {
  return std::make_unique<StageObserver>(std::move(record));
}

} // namespace llmc::compiler
