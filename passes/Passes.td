//===- Passes.td - The only registration of passes ---------*- tablegen -*-===//

#ifndef LLMC_PASSES_TD
#define LLMC_PASSES_TD

include "mlir/Pass/PassBase.td"

//===-- Graph ---------------------------------------------------------------===//

def GraphCanonicalizePass : Pass<"graph-canonicalize", "::mlir::ModuleOp"> {
  let summary = "All canonicalizations, and products with weights as linear";
  let description = [{
    A product with a rank-2 weight, also behind transposes and widening casts,
    becomes graph.linear; one with a dequantized weight graph.quant_linear; rows
    of a dequantized table graph.quant_gather.

        %t = graph.transpose %w [1, 0]
        %y = graph.matmul %x, %t          =>  %y = graph.linear %x, %w {weight_layout = "nk"}
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverNormsPass : Pass<"recover-norms", "::mlir::ModuleOp"> {
  let summary = "RMSNorm and LayerNorm from their element-wise spellings";
  let description = [{
    x * rsqrt(mean(x^2) + eps) * scale, also as x / sqrt(..), with casts between
    float types around any part.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverActivationsPass : Pass<"recover-activations", "::mlir::ModuleOp"> {
  let summary = "silu, quick_gelu, gelu_erf and gelu_tanh from their spellings";
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def VerifyGraphPass : Pass<"verify-graph", "::mlir::ModuleOp"> {
  let summary = "Phase verifier: what must hold before lowering to a plan";
  let description = [{
    Every entry has bounds for each symbol its dimensions use, so that every
    tensor has a largest size; weights and states named by ops exist.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

#endif // LLMC_PASSES_TD
