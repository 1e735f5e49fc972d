//===- Pipelines.cpp - The order of the passes -----------------*- C++ -*-===//

#include "passes/Pipelines.h"
#include "passes/Passes.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace llmc {

void buildGraphPipeline(OpPassManager &pm,
                        const GraphPipelineOptions &options) {
  // Every later pass matches canonical forms only: constants on the right,
  // no casts back and forth, products with weights as linear. CSE makes two
  // spellings of one value the same value.
  pm.addPass(createGraphCanonicalizePass());
  pm.addPass(createGraphCSEPass());

  // Norms first: they read their input once, so that afterwards the residual
  // stream has few readers and slices can move up through it.
  if (options.fusion) {
    pm.addPass(createRecoverNormsPass());
    pm.addPass(createRecoverActivationsPass());

    // Rotary embeddings before attention, so that attention can take them along
    // into the layout of the projections.
    pm.addPass(createRecoverRopePass());
  }
  pm.addPass(createRecoverAttentionPass());
  pm.addPass(createGraphCanonicalizePass());
  pm.addPass(createGraphCSEPass());

  // State after attention: attention is what reads a cache without copying it.
  RecoverStatePassOptions state;
  state.context = options.context;
  state.blockTokens = options.blockTokens;
  state.type = options.kvType;
  pm.addPass(createRecoverStatePass(state));

  // One row of logits; before fusion, which would hide the row's producers.
  if (!options.allLogits) {
    pm.addPass(createLastLogitsPass());
  }

  // After the last pass that makes attention anew.
  LimitStatePassOptions limit;
  limit.window = options.kvWindow;
  limit.sink = options.kvSink;
  pm.addPass(createLimitStatePass(limit));

  // Quantize before fusing: bias and activation fuse into either product.
  QuantizeWeightsPassOptions quantize;
  quantize.type = options.quantize;
  pm.addPass(createQuantizeWeightsPass(quantize));

  // Nothing may rearrange element-wise ops after this.
  pm.addPass(createGraphCanonicalizePass());
  pm.addPass(createGraphCSEPass());
  // Products first: what they take up is no element-wise op any more.
  if (options.fusion) {
    pm.addPass(createFuseProductsPass());
    pm.addPass(createFusePass());
    pm.addPass(createGraphCSEPass());
  }

  // The phase ends: what the lowering relies on, in one place.
  pm.addPass(createVerifyGraphPass());
}

void registerPipelines() {
  PassPipelineRegistration<GraphPipelineOptions>(
      "llmc-graph", "Recover patterns and state, quantize, fuse, verify",
      buildGraphPipeline);
  registerPlanPipeline();
}

} // namespace llmc
