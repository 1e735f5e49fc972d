//===- LowerReductions.cpp - Reductions, softmax, norms --------*- C++ -*-===//

#include "passes/memory/Lowering.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace llmc::lowering {

static std::optional<plan::ReduceKind> reduceKind(StringRef kind) {
  return llvm::StringSwitch<std::optional<plan::ReduceKind>>(kind)
      .Case("sum", plan::ReduceKind::Sum)
      .Case("mean", plan::ReduceKind::Mean)
      .Case("max", plan::ReduceKind::Max)
      .Case("min", plan::ReduceKind::Min)
      .Case("prod", plan::ReduceKind::Prod)
      .Case("sum_square", plan::ReduceKind::SumSquare)
      .Case("l2", plan::ReduceKind::L2)
      .Case("l1", plan::ReduceKind::L1)
      .Case("log_sum_exp", plan::ReduceKind::LogSumExp)
      .Default(std::nullopt);
}

LogicalResult EntryLowering::lowerReduction(Operation *op) {
  Numbers numbers;
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<graph::ReduceOp>([&](auto o) -> LogicalResult {
        std::optional<plan::ReduceKind> kind = reduceKind(o.getKind());
        if (!kind) {
          return o.emitOpError() << "unknown kind '" << o.getKind() << "'";
        }
        int64_t mask = 0;
        for (int64_t axis : o.getAxes()) {
          mask |= int64_t{1} << axis;
        }
        numbers.ints = {static_cast<int64_t>(*kind), mask};
        return launchSimple(o, plan::KernelId::Reduce, numbers,
                            /*keepsType=*/true);
      })
      .Case<graph::ArgReduceOp>([&](auto o) {
        numbers.ints = {static_cast<int64_t>(o.getAxis()), o.getIsMin(),
                        o.getSelectLast()};
        return launchSimple(o, plan::KernelId::ArgReduce, numbers,
                            /*keepsType=*/true);
      })
      .Case<graph::SoftmaxOp>([&](auto o) {
        numbers.ints = {static_cast<int64_t>(o.getAxis()), o.getLog()};
        return launchSimple(o, plan::KernelId::Softmax, numbers,
                            /*keepsType=*/true);
      })
      .Case<graph::CumSumOp>([&](auto o) {
        numbers.ints = {static_cast<int64_t>(o.getAxis()), o.getExclusive(),
                        o.getReverse()};
        return launchSimple(o, plan::KernelId::CumSum, numbers,
                            /*keepsType=*/true);
      })
      .Default([](Operation *o) { return o->emitOpError("is no reduction"); });
}

LogicalResult EntryLowering::lowerNorm(Operation *op) {
  Numbers numbers;
  if (auto norm = dyn_cast<graph::LayerNormOp>(op)) {
    numbers.ints = {static_cast<int64_t>(norm.getTrailing()),
                    norm.getScale() != nullptr, norm.getBias() != nullptr};
    numbers.floats = {norm.getEpsilon().convertToDouble()};
    return launchSimple(op, plan::KernelId::LayerNorm, std::move(numbers));
  }
  auto norm = cast<graph::RmsNormOp>(op);
  numbers.ints = {static_cast<int64_t>(norm.getTrailing()),
                  norm.getScale() != nullptr};
  numbers.floats = {norm.getEpsilon().convertToDouble()};
  return launchSimple(op, plan::KernelId::RmsNorm, std::move(numbers));
}

} // namespace llmc::lowering
