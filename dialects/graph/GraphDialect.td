//===- GraphDialect.td - The graph dialect -----------------*- tablegen -*-===//

#ifndef LLMC_GRAPH_DIALECT_TD
#define LLMC_GRAPH_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

def Graph_Dialect : Dialect {
  let name = "graph";
  let cppNamespace = "::llmc::graph";
  let summary = "Value-semantic tensor operations at the level a memory planner thinks in";
  let description = [{
    Entries are `func.func`s with the unit attribute `graph.entry` and
    `graph.symbols = {past = [0, 511], seq = [1, 128]}`, the bounds of the
    symbols their dimensions are made of. Types stay plain
    (`tensor<?x?x64xf32>`). Every op with a result that is not fully static
    carries the discardable attribute

        dims = [["batch", "past + seq", 64]]

    one list per tensor result, each element an integer or the text of a
    DimExpr; arguments carry `graph.dims = [...]`. `graph.name` on an op is the
    node of the model it stems from. Arguments and results of an entry carry
    `graph.port`: a dictionary {name = "input_ids", role = "tokens"} with the
    role one of "tokens", "logits", "past", "present" or "generic", for
    past/present also `state = N` (the pair's index) and `axis`.

    Weights are module-level `graph.weight` ops; their bytes are never in the
    IR but in the WeightStore that travels beside the module.
  }];
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::func::FuncDialect"];
  let hasConstantMaterializer = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
}

def Graph_CacheType : TypeDef<Graph_Dialect, "Cache"> {
  let mnemonic = "cache";
  let summary = "A state after some append: orders appends before reads";
}

/// Checks `dims` against the result types, on every op of the dialect.
def Graph_HasDims : NativeOpTrait<"HasDims"> {
  let cppNamespace = "::llmc::graph";
}

class Graph_Op<string mnemonic, list<Trait> traits = []>
    : Op<Graph_Dialect, mnemonic, !listconcat(traits, [Graph_HasDims])>;

#endif // LLMC_GRAPH_DIALECT_TD
