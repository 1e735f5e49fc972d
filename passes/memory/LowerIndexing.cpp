//===- LowerIndexing.cpp - Gathers and scatters ----------------*- C++ -*-===//

#include "passes/memory/Lowering.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace llmc::lowering {

static std::optional<plan::ScatterKind> scatterKind(StringRef kind) {
  return llvm::StringSwitch<std::optional<plan::ScatterKind>>(kind)
      .Case("none", plan::ScatterKind::None)
      .Case("add", plan::ScatterKind::Add)
      .Case("mul", plan::ScatterKind::Mul)
      .Case("min", plan::ScatterKind::Min)
      .Case("max", plan::ScatterKind::Max)
      .Default(std::nullopt);
}

LogicalResult EntryLowering::lowerGather(graph::GatherOp op) {
  // A table that is also the weight of a linear (tied embeddings) is packed
  // once, in panels; the kernel takes rows out of those.
  graph::WeightOp table = module.weightOf(op.getData());
  bool transposed = op.getWeightLayout() == "kn";
  bool panels =
      table && op.getAxis() == 0 && (transposed || module.isPanelTable(table));
  FailureOr<View> data =
      panels ? module.panelWeight(op, table, op.getWeightLayout())
             : operand(op, op.getData());
  // Under a small budget the table stays below, and rows are picked from it:
  // those of panels do not lie together.
  if (panels && succeeded(data) &&
      failed(module.addRows(op, table, *data, op.getWeightLayout()))) {
    return failure();
  }
  FailureOr<View> indices = failed(data) ? data : operand(op, op.getIndices());
  // Rows of a narrow table are widened on the way.
  FailureOr<View> out =
      failed(indices) ? indices : result(op.getResult(), widened(data->dtype));
  if (failed(out)) {
    return failure();
  }
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getAxis())};
  return launch(op, plan::KernelId::Gather,
                {read(*data), read(*indices), write(*out)}, std::move(numbers));
}

LogicalResult EntryLowering::lowerIndexing(Operation *op) {
  auto scatter = [&](plan::KernelId kernel, StringRef kindName,
                     std::vector<int64_t> ints) -> LogicalResult {
    std::optional<plan::ScatterKind> kind = scatterKind(kindName);
    if (!kind) {
      return op->emitOpError() << "unknown kind '" << kindName << "'";
    }
    ints.push_back(static_cast<int64_t>(*kind));
    Numbers numbers;
    numbers.ints = std::move(ints);
    return launchSimple(op, kernel, std::move(numbers), /*keepsType=*/true);
  };
  auto withInt = [&](plan::KernelId kernel, uint64_t value) {
    Numbers numbers;
    numbers.ints = {static_cast<int64_t>(value)};
    return launchSimple(op, kernel, std::move(numbers), /*keepsType=*/true);
  };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<graph::GatherElementsOp>([&](auto o) {
        return withInt(plan::KernelId::GatherElements, o.getAxis());
      })
      .Case<graph::GatherNDOp>([&](auto o) {
        return withInt(plan::KernelId::GatherND, o.getBatchDims());
      })
      .Case<graph::ScatterNDOp>([&](auto o) {
        return scatter(plan::KernelId::ScatterND, o.getKind(), {});
      })
      .Case<graph::ScatterElementsOp>([&](auto o) {
        return scatter(plan::KernelId::ScatterElements, o.getKind(),
                       {static_cast<int64_t>(o.getAxis())});
      })
      .Default(
          [](Operation *o) { return o->emitOpError("is no indexing op"); });
}

LogicalResult EntryLowering::lowerTopK(graph::TopKOp op) {
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getAxis()), op.getLargest(),
                  /*sorted=*/1};
  numbers.params = {graph::exprAttr(op.getK())};
  return launchSimple(op, plan::KernelId::TopK, std::move(numbers),
                      /*keepsType=*/true);
}

} // namespace llmc::lowering
