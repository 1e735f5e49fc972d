//===- LowerPool.cpp - Pooling and its companions --------------*- C++ -*-===//

#include "passes/memory/Lowering.h"

using namespace mlir;

namespace llmc::lowering {

LogicalResult EntryLowering::lowerPool(graph::PoolOp op) {
  bool isMax = op.getKind() == "max";
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(isMax ? plan::PoolKind::Max
                                             : plan::PoolKind::Average),
                  static_cast<int64_t>(op.getKernel().size()), op.getCeilMode(),
                  op.getCountIncludePad()};
  for (ArrayRef<int64_t> list :
       {op.getKernel(), op.getStrides(), op.getDilations(), op.getPadsBegin(),
        op.getPadsEnd()}) {
    llvm::append_range(numbers.ints, list);
  }
  // The largest value is one of x, a mean is computed.
  return launchSimple(op, plan::KernelId::Pool, std::move(numbers),
                      /*keepsType=*/isMax);
}

LogicalResult EntryLowering::lowerLrn(graph::LrnOp op) {
  Numbers numbers;
  numbers.ints = {static_cast<int64_t>(op.getSize())};
  numbers.floats = {op.getAlpha().convertToDouble(),
                    op.getBeta().convertToDouble(),
                    op.getBias().convertToDouble()};
  return launchSimple(op, plan::KernelId::Lrn, std::move(numbers));
}

} // namespace llmc::lowering
