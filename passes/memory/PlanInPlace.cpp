//===- PlanInPlace.cpp - Buffers that share a place ------------*- C++ -*-===//
//
// InPlaceChoice decides; this file rewrites, or writes down the decisions.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/InPlaceChoice.h"

namespace llmc {
#define GEN_PASS_DEF_PLANINPLACEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using memory::InPlaceChoice;
using memory::InPlaceDecision;
using memory::StepModel;
using planir::BufferOp;
using planir::ViewAttr;

void annotate(const StepModel &model, const InPlaceChoice &choice) {
  llvm::MapVector<Operation *, SmallVector<Attribute>> lines;
  for (const InPlaceDecision &decision : choice.decisions) {
    auto launch = cast<planir::LaunchOp>(model.steps[decision.step].op);
    SmallVector<ViewAttr> views(launch.operandViews());
    bool isCopy = decision.rewrite == memory::Rewrite::Copy;
    std::string text = (isCopy ? "no copy of @" : "over @") +
                       views[decision.operand].getBuffer().getValue().str() +
                       (decision.taken ? ": yes" : ": no, " + decision.reason);
    lines[launch].push_back(StringAttr::get(launch.getContext(), text));
  }
  for (auto &[launch, texts] : lines) {
    launch->setAttr("in_place", ArrayAttr::get(launch->getContext(), texts));
  }
}

void rewrite(const StepModel &model, const InPlaceChoice &choice) {
  llvm::DenseMap<StringAttr, uint32_t> index;
  for (auto [i, buffer] : llvm::enumerate(model.buffers)) {
    index[BufferOp(buffer.op).getSymNameAttr()] = static_cast<uint32_t>(i);
  }
  for (auto [i, step] : llvm::enumerate(model.steps)) {
    if (choice.dropped[i]) {
      step.op->erase();
      continue;
    }
    auto launch = dyn_cast<planir::LaunchOp>(step.op);
    if (!launch) {
      continue;
    }
    SmallVector<Attribute> views;
    for (ViewAttr view : launch.operandViews()) {
      uint32_t buffer = index.lookup(view.getBuffer().getAttr());
      InPlaceChoice::Place place = choice.places[buffer];
      BufferOp root = model.buffers[place.root].op;
      views.push_back(ViewAttr::get(
          launch.getContext(), FlatSymbolRefAttr::get(root.getSymNameAttr()),
          view.getAccess(), view.getDtype(), view.getDims(), view.getPanel64(),
          view.getOffset() + static_cast<int64_t>(place.offset)));
    }
    launch.setViewsAttr(ArrayAttr::get(launch.getContext(), views));
  }
  for (auto [i, buffer] : llvm::enumerate(model.buffers)) {
    BufferOp op = buffer.op;
    if (choice.places[i].root != i) {
      op.erase();
    } else if (!buffer.isShared()) {
      op.setSize(choice.sizes[i]);
    }
  }
}

struct PlanInPlace : impl::PlanInPlacePassBase<PlanInPlace> {
  using PlanInPlacePassBase::PlanInPlacePassBase;

  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    for (auto entry : getOperation().getOps<planir::EntryOp>()) {
      StepModel model(entry, symbols);
      InPlaceChoice choice = memory::chooseInPlace(model);
      if (decisionsOnly) {
        annotate(model, choice);
      } else {
        rewrite(model, choice);
      }
    }
  }
};

} // namespace
} // namespace llmc
