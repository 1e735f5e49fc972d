//===- llmc-import.cpp - Prints what the importer makes of a model --------===//
//
// For tests of the importer alone: the module on stdout, what the sidecars say
// on stderr with --info. Exit 1 and one line on an error.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

using namespace llmc;

static llvm::cl::opt<std::string>
    model(llvm::cl::Positional, llvm::cl::desc("MODEL"), llvm::cl::Required);
static llvm::cl::opt<int64_t> ctx("ctx", llvm::cl::init(-1));
static llvm::cl::opt<int64_t> batch("batch", llvm::cl::init(1));
static llvm::cl::opt<int64_t> chunk("prefill-chunk", llvm::cl::init(128));
static llvm::cl::list<std::string> dims("dim",
                                        llvm::cl::desc("NAME=N or LO..HI"));
static llvm::cl::opt<bool> printInfo("info",
                                     llvm::cl::desc("what else is known"));
static llvm::cl::opt<bool> quiet("q",
                                 llvm::cl::desc("do not print the module"));

int main(int argc, char **argv) {
  llvm::cl::ParseCommandLineOptions(argc, argv);
  import::ImportOptions options;
  options.batch = batch;
  options.prefillChunk = chunk;
  if (ctx >= 0) {
    options.context = ctx;
  }
  for (const std::string &text : dims) {
    llvm::StringRef name, bounds, low, high;
    std::tie(name, bounds) = llvm::StringRef(text).rsplit('=');
    std::tie(low, high) = bounds.split("..");
    graph::Interval interval;
    if (low.getAsInteger(10, interval.lower) ||
        (high.empty() ? low : high).getAsInteger(10, interval.upper)) {
      llvm::errs() << "llmc-import: --dim " << text << '\n';
      return 2;
    }
    options.dims[name.str()] = interval;
  }
  mlir::MLIRContext context;
  Result<import::ImportedModel> result =
      import::importModel(context, model, options);
  if (!result) {
    llvm::errs() << "error: " << result.error().message << '\n';
    return 1;
  }
  if (printInfo) {
    const import::ModelInfo &info = result->info;
    llvm::errs() << "name " << info.name << ", context " << info.context
                 << ", vocabulary " << info.vocabulary << ", bos "
                 << info.bosToken << ", eos";
    for (int64_t token : info.eosTokens) {
      llvm::errs() << ' ' << token;
    }
    llvm::errs() << ", tokenizer '" << info.tokenizerPath << "'\n";
    for (const std::string &warning : info.warnings) {
      llvm::errs() << "warning: " << warning << '\n';
    }
  }
  if (!quiet) {
    result->module->print(llvm::outs());
  }
  return 0;
}
