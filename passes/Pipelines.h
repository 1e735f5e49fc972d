//===- Pipelines.h - The order of the passes -------------------*- C++ -*-===//

#ifndef LLMC_PASSES_PIPELINES_H
#define LLMC_PASSES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

#include <string>

namespace llmc {

struct GraphPipelineOptions
    : public mlir::PassPipelineOptions<GraphPipelineOptions> {
  Option<int64_t> context{
      *this, "context",
      llvm::cl::desc("Tokens a state must hold; 0: the module's graph.context"),
      llvm::cl::init(0)};
  Option<int64_t> blockTokens{*this, "block-tokens",
                              llvm::cl::desc("Tokens of one KV block"),
                              llvm::cl::init(64)};
  Option<bool> allLogits{
      *this, "all-logits",
      llvm::cl::desc("Keep the logits of every position, not only the last"),
      llvm::cl::init(false)};
  Option<std::string> quantize{*this, "quantize",
                               llvm::cl::desc("none or int8"),
                               llvm::cl::init("none")};
};

/// Imported graph -> recovered, fused, verified graph.
void buildGraphPipeline(mlir::OpPassManager &pm,
                        const GraphPipelineOptions &options);

/// Registers the pipelines by name (`--llmc-graph`).
void registerPipelines();

} // namespace llmc

#endif // LLMC_PASSES_PIPELINES_H
