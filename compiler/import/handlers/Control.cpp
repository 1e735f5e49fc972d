//===- Control.cpp - Control flow that is known at compile time -----------===//

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

namespace llmc::import {

namespace {

bool importIf(NodeContext &n) {
  std::optional<double> condition = n.emit.uniformNumber(n.in(0));
  if (!condition) {
    return n.fail("its condition depends on the inputs; only conditions that "
                  "shapes and constants decide are supported");
  }
  const onnx::AttributeProto *branch =
      n.attribute(*condition != 0 ? "then_branch" : "else_branch");
  if (!branch) {
    return n.fail("a branch is missing");
  }
  std::vector<Val> outputs;
  if (!n.importer.importBranch(branch->g(), outputs)) {
    return false;
  }
  if (outputs.size() < n.numOutputs()) {
    return n.fail("its branch has " + std::to_string(outputs.size()) +
                  " outputs, it has " + std::to_string(n.numOutputs()));
  }
  for (size_t i = 0; i < n.numOutputs(); ++i) {
    n.out(i, outputs[i]);
  }
  return true;
}

const Handler table[] = {
    {"", "If", 1, importIf},
};

} // namespace

std::span<const Handler> controlHandlers() { return table; }

} // namespace llmc::import
