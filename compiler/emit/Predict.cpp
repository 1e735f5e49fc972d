//===- Predict.cpp - How long a run of an entry should take ----*- C++ -*-===//

#include "compiler/emit/Predict.h"

#include <algorithm>

using namespace mlir;

namespace llmc::emit {

/// Bytes per second from memory and over the link, operations per second.
static constexpr double kMemoryRate = 2e10;
static constexpr double kLinkRate = 2e9;
static constexpr double kFlopRate = 1e11;

/// The dims of an operand at their upper bounds; 0 if unknown.
static double extent(planir::ViewAttr view, size_t dim,
                     const graph::SymbolBounds &bounds) {
  std::optional<graph::DimExpr> expr = planir::toExpr(view.getDims()[dim]);
  graph::Interval interval = expr ? expr->bounds(bounds) : graph::Interval();
  return interval.hasUpper() ? static_cast<double>(interval.upper) : 0.0;
}

void predict(planir::EntryOp op, plan::Entry &entry) {
  graph::SymbolBounds bounds = planir::getBounds(op);
  double touched = 0;
  double flops = 0;
  for (auto launch : op.getOps<planir::LaunchOp>()) {
    SmallVector<planir::ViewAttr> views(launch.operandViews());
    for (planir::ViewAttr view : views) {
      touched +=
          static_cast<double>(planir::boundBytes(view, bounds).value_or(0));
    }
    plan::KernelId kernel = *planir::parseKernel(launch.getKernel());
    bool isProduct = kernel == plan::KernelId::Linear ||
                     kernel == plan::KernelId::LinearQuant ||
                     kernel == plan::KernelId::MatMul;
    if (!isProduct || views.empty() || views.front().getDims().empty()) {
      continue;
    }
    // Every element of the result is a sum over the last dim of x.
    double sums = 1;
    for (size_t i = 0; i < views.back().getDims().size(); ++i) {
      sums *= extent(views.back(), i, bounds);
    }
    flops += 2 * sums *
             extent(views.front(), views.front().getDims().size() - 1, bounds);
  }
  double memory = touched / kMemoryRate;
  double compute = flops / kFlopRate;
  double link = static_cast<double>(entry.streamedBytes) / kLinkRate;
  entry.predictedSeconds = std::max({memory, compute, link});
  bool isLink = link > 0 && link >= std::max(memory, compute);
  entry.boundBy = isLink ? "link" : memory >= compute ? "memory" : "compute";
}

} // namespace llmc::emit
