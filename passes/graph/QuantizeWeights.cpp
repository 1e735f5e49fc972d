//===- QuantizeWeights.cpp - int8 weights on request -----------*- C++ -*-===//
//
// Only says so: the packer rounds, one panel at a time, so that no second
// float copy of a weight ever exists.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_QUANTIZEWEIGHTSPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

struct QuantizeWeights : llmc::impl::QuantizeWeightsPassBase<QuantizeWeights> {
  using QuantizeWeightsPassBase::QuantizeWeightsPassBase;

  void runOnOperation() override {
    if (type != "int8" && type != "none") {
      getOperation().emitError() << "quantize-weights: unknown type '"
                                 << type.getValue() << "' (none or int8)";
      return signalPassFailure();
    }
    if (type == "none") {
      return;
    }
    IRRewriter rewriter(&getContext());
    DenseSet<std::pair<Attribute, Attribute>> quantized; // weight, layout
    SmallVector<LinearOp> linears;
    getOperation().walk([&](LinearOp op) { linears.push_back(op); });
    for (LinearOp op : linears) {
      // A constant has nothing to round.
      if (typeOf(op.getWeight()).getNumElements() < minElements ||
          !op.getWeight().getDefiningOp<LoadWeightOp>()) {
        continue;
      }
      bool byOutput = op.getWeightLayout() == "nk";
      quantized.insert(
          {op.getWeight().getDefiningOp<LoadWeightOp>().getWeightAttr(),
           op.getWeightLayoutAttr()});
      ArrayRef<int64_t> shape = typeOf(op.getWeight()).getShape();
      int64_t n = shape[byOutput ? 0 : 1], k = shape[byOutput ? 1 : 0];
      rewriter.setInsertionPoint(op);
      auto linear = createOp<QuantLinearOp>(
          rewriter, op.getLoc(), getDims(op.getResult()),
          elementOf(op.getResult()), op.getX(), op.getWeight(), Value(),
          Value(), Value(), op.getBias(), n, k, /*bits=*/8, /*block_size=*/k,
          "int8", op.getWeightLayout(), op.getActivation());
      keepName(op, linear);
      rewriter.replaceOp(op, linear);
    }
    // An embedding tied to such a layer is read from the same bytes.
    SmallVector<GatherOp> gathers;
    getOperation().walk([&](GatherOp op) { gathers.push_back(op); });
    for (GatherOp op : gathers) {
      auto load = op.getData().getDefiningOp<LoadWeightOp>();
      if (!load || op.getAxis() != 0 || rankOf(op.getData()) != 2 ||
          !quantized.contains(
              {load.getWeightAttr(), op.getWeightLayoutAttr()})) {
        continue;
      }
      ArrayRef<int64_t> shape = typeOf(op.getData()).getShape();
      size_t kAxis = op.getWeightLayout() == "kn" ? 0 : 1;
      rewriter.setInsertionPoint(op);
      auto gather = createOp<QuantGatherOp>(
          rewriter, op.getLoc(), getDims(op.getResult()),
          elementOf(op.getResult()), op.getData(), Value(), Value(),
          op.getIndices(), shape[1 - kAxis], shape[kAxis], /*bits=*/8,
          /*block_size=*/shape[kAxis], "int8", op.getWeightLayout());
      keepName(op, gather);
      rewriter.replaceOp(op, gather);
    }
  }
};
} // namespace
