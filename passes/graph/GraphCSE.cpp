//===- GraphCSE.cpp - Common subexpressions --------------------*- C++ -*-===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <map>
#include <vector>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_GRAPHCSEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// What makes two ops the same; pointers of interned things.
std::vector<const void *> keyOf(Operation *op) {
  NamedAttrList attributes(op->getAttrDictionary());
  attributes.erase(kNameAttr);
  std::vector<const void *> key{
      op->getName().getAsOpaquePointer(),
      attributes.getDictionary(op->getContext()).getAsOpaquePointer()};
  for (Value operand : op->getOperands()) {
    key.push_back(operand.getAsOpaquePointer());
  }
  key.push_back(nullptr);
  for (Type type : op->getResultTypes()) {
    key.push_back(type.getAsOpaquePointer());
  }
  return key;
}

struct GraphCSE : llmc::impl::GraphCSEPassBase<GraphCSE> {
  using GraphCSEPassBase::GraphCSEPassBase;

  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      for (Block &block : func.getBody()) {
        std::map<std::vector<const void *>, Operation *> seen;
        for (Operation &op : llvm::make_early_inc_range(block)) {
          if (op.getNumRegions() != 0 || op.getNumResults() == 0 ||
              !isPure(&op)) {
            continue;
          }
          auto [it, isNew] = seen.try_emplace(keyOf(&op), &op);
          if (!isNew) {
            op.replaceAllUsesWith(it->second);
            op.erase();
          }
        }
      }
    }
    eraseDeadOps(getOperation());
  }
};
} // namespace
