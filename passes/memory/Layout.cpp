//===- Layout.cpp - How the arena is divided -------------------*- C++ -*-===//

#include "passes/memory/Layout.h"

#include "passes/solver/Greedy.h"

#include "mlir/IR/Builders.h"

#include <algorithm>
#include <numeric>
#include <tuple>

using namespace mlir;

namespace llmc::memory {

solver::Solution solveRegion(const std::vector<solver::Buffer> &buffers) {
  // Ties between equal buffers fall by index, so any order gives the same
  // extent once sorted.
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    auto key = [&](size_t i) {
      return std::tuple(buffers[i].start, buffers[i].end, buffers[i].size, i);
    };
    return key(a) < key(b);
  });
  solver::Problem problem;
  for (size_t index : order) {
    problem.buffers.push_back(buffers[index]);
  }
  solver::Solution sorted = *solver::solve(problem);
  solver::Solution solution;
  solution.extent = sorted.extent;
  solution.offsets.resize(buffers.size());
  for (size_t i = 0; i < order.size(); ++i) {
    solution.offsets[order[i]] = sorted.offsets[i];
  }
  return solution;
}

/// One list for both directions, so that they cannot differ.
template <typename TotalsT, typename Fn>
static void forEachField(TotalsT &totals, Fn fn) {
  fn("budget", totals.budget);
  fn("reserve", totals.reserve);
  fn("minimum", totals.minimum);
  fn("arena", totals.arena);
  fn("resident_weights", totals.residentWeights);
  fn("state", totals.state);
  fn("constants", totals.constants);
  fn("activation_peak", totals.activationPeak);
  fn("staging", totals.staging);
  fn("lower_bound", totals.lowerBound);
}

DictionaryAttr Totals::toAttr(MLIRContext *context) const {
  Builder builder(context);
  SmallVector<NamedAttribute> fields;
  forEachField(*this, [&](StringRef name, uint64_t value) {
    // Unbounded is -1.
    fields.push_back(builder.getNamedAttr(
        name, builder.getI64IntegerAttr(static_cast<int64_t>(value))));
  });
  return builder.getDictionaryAttr(fields);
}

Totals Totals::of(ModuleOp module) {
  Totals totals;
  auto attr = module->getAttrOfType<DictionaryAttr>(kTotalsAttr);
  if (attr) {
    forEachField(totals, [&](StringRef name, uint64_t &value) {
      if (auto integer = attr.getAs<IntegerAttr>(name)) {
        value = static_cast<uint64_t>(integer.getInt());
      }
    });
  }
  return totals;
}

} // namespace llmc::memory
