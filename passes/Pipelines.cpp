//===- Pipelines.cpp - The order of the passes -----------------*- C++ -*-===//

#include "passes/Pipelines.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace llmc {

void buildGraphPipeline(OpPassManager &pm,
                        const GraphPipelineOptions &options) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());

  // The phase ends: what the lowering relies on, in one place.
  pm.addPass(createVerifyGraphPass());
}

void registerPipelines() {
  PassPipelineRegistration<GraphPipelineOptions>(
      "llmc-graph", "Recover patterns and state, quantize, fuse, verify",
      buildGraphPipeline);
}

} // namespace llmc
