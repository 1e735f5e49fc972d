//===- VerifyGraph.cpp - Phase verifier of the graph -----------*- C++ -*-===//

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"
#include "passes/Passes.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_VERIFYGRAPHPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

struct VerifyGraph : llmc::impl::VerifyGraphPassBase<VerifyGraph> {
  using VerifyGraphPassBase::VerifyGraphPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    bool failed = false;
    for (auto entry : module.getOps<func::FuncOp>()) {
      SymbolBounds bounds = symbolBounds(entry);
      auto check = [&](Operation *op, Value value) {
        if (!isa<RankedTensorType>(value.getType())) {
          return;
        }
        for (auto [index, dim] : llvm::enumerate(getDims(value))) {
          Interval interval = dim.bounds(bounds);
          if (!interval.hasUpper()) {
            op->emitError() << "dimension " << index << " of '" << nodeName(op)
                            << "' has no upper bound: " << dim.str();
            failed = true;
          } else if (interval.upper < 0) {
            op->emitError() << "dimension " << index << " of '" << nodeName(op)
                            << "' is negative: " << dim.str();
            failed = true;
          }
        }
      };
      for (Value argument : entry.getArguments()) {
        check(entry, argument);
      }
      entry.walk([&](Operation *op) {
        for (Value result : op->getResults()) {
          check(op, result);
        }
      });
    }
    if (failed) {
      signalPassFailure();
    }
  }
};
} // namespace
