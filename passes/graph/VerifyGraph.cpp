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
      auto check = [&](Operation *op, const Twine &what, Value value) {
        if (!isa<RankedTensorType>(value.getType())) {
          return;
        }
        for (auto [index, dim] : llvm::enumerate(getDims(value))) {
          std::string text = dim.str();
          Interval interval = dim.bounds(bounds);
          if (text.find('?') != std::string::npos) {
            op->emitError() << what << " has dimensions that no attribute "
                            << "names";
          } else if (!interval.hasUpper()) {
            op->emitError() << "dimension " << index << " of " << what
                            << " has no upper bound: " << text;
          } else if (interval.upper < 0) {
            op->emitError() << "dimension " << index << " of " << what
                            << " is negative: " << text;
          } else {
            continue;
          }
          failed = true;
          return;
        }
      };
      for (BlockArgument argument : entry.getArguments()) {
        check(entry, "argument " + Twine(argument.getArgNumber()), argument);
      }
      entry.walk([&](Operation *op) {
        for (Value result : op->getResults()) {
          check(op, "'" + Twine(nodeName(op)) + "'", result);
        }
      });
    }
    if (failed) {
      signalPassFailure();
    }
  }
};
} // namespace
