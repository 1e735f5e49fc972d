//===- VerifyGraph.cpp - Phase verifier of the graph -----------*- C++ -*-===//

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"
#include "passes/Passes.h"

#include <map>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_VERIFYGRAPHPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

struct VerifyGraph : llmc::impl::VerifyGraphPassBase<VerifyGraph> {
  using VerifyGraphPassBase::VerifyGraphPassBase;

  /// A past that is still an argument has its present, and the other way.
  static bool checkPairs(ModuleOp module) {
    bool good = true;
    for (auto entry : module.getOps<func::FuncOp>()) {
      std::map<int64_t, std::string> pasts, presents;
      auto note = [](std::map<int64_t, std::string> &ports, StringRef role,
                     const std::optional<Port> &port) {
        if (port && port->role == role && port->state) {
          ports[*port->state] = port->name;
        }
      };
      for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
        note(pasts, "past", getArgPort(entry, i));
      }
      for (unsigned i = 0; i < entry.getNumResults(); ++i) {
        note(presents, "present", getResultPort(entry, i));
      }
      for (auto &[index, name] : pasts) {
        if (!presents.count(index)) {
          entry.emitError() << "past '" << name << "' has no present";
          good = false;
        }
      }
      for (auto &[index, name] : presents) {
        if (!pasts.count(index)) {
          entry.emitError() << "present '" << name << "' has no past";
          good = false;
        }
      }
    }
    return good;
  }

  /// Every entry appends to every state, once: else the states of a sequence
  /// would differ in length.
  static bool checkStates(ModuleOp module) {
    bool good = true;
    for (auto entry : module.getOps<func::FuncOp>()) {
      if (!entry->hasAttr(kEntryAttr)) {
        continue;
      }
      std::map<std::string, unsigned> appends;
      entry.walk([&](KvAppendOp op) { ++appends[op.getState().str()]; });
      for (auto state : module.getOps<StateOp>()) {
        unsigned count = appends[state.getSymName().str()];
        if (count != 1) {
          entry.emitError() << "entry '" << entry.getSymName() << "' appends "
                            << count << " times to state '"
                            << state.getSymName() << "', expected once";
          good = false;
        }
      }
    }
    return good;
  }

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
    failed |= !checkPairs(module) || !checkStates(module);
    if (failed) {
      signalPassFailure();
    }
  }
};
} // namespace
