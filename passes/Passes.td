//===- Passes.td - The only registration of passes ---------*- tablegen -*-===//

#ifndef LLMC_PASSES_TD
#define LLMC_PASSES_TD

include "mlir/Pass/PassBase.td"

//===-- Graph ---------------------------------------------------------------===//

def VerifyGraphPass : Pass<"verify-graph", "::mlir::ModuleOp"> {
  let summary = "Phase verifier: what must hold before lowering to a plan";
  let description = [{
    Every entry has bounds for each symbol its dimensions use, so that every
    tensor has a largest size; weights and states named by ops exist.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

#endif // LLMC_PASSES_TD
