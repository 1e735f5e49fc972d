//===- KernelRules.h - Operand and shape rules of kernels ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Private to the checker. A rule is a chain of conditions; the first that does
// not hold leaves its words in `problem`.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_KERNELRULES_H
#define LLMC_RUNTIME_PLAN_KERNELRULES_H

#include "runtime/plan/Bounds.h"
#include "runtime/plan/CheckKernels.h"
#include "runtime/plan/Plan.h"

#include <string>
#include <vector>

namespace llmc::plan {

/// The checker's view of one launch.
class LaunchRules {
public:
  LaunchRules(const Plan &plan, const Entry &entry, const EntryBounds &bounds,
              const Step &step)
      : plan(plan), entry(entry), bounds(bounds), step(step) {}

  /// Whether the launch keeps its kernel's contract. Sets `problem` if not.
  bool check();

  std::string problem;
  /// After check(): the operands from here on are results.
  size_t firstOutput = 0;
  /// StridedCopy: bytes of the output that are written.
  std::optional<ByteRange> copied;
  /// The products: which columns of its results a launch writes, in order.
  struct Columns {
    uint64_t first = 0;
    uint64_t count = 0;
    uint64_t total = 0;
  };
  std::vector<Columns> columns;

private:
  bool fail(std::string text);
  bool require(bool condition, const char *text) {
    return condition || fail(text);
  }

  // Operands.
  /// Exactly `inputs` + `outputs` operands, results last.
  bool operands(size_t inputs, size_t outputs);
  size_t rank(size_t operand) const {
    return step.operands[operand].dims.size();
  }
  Interval dim(size_t operand, size_t axis) const {
    return bounds[step.operands[operand].dims[axis]];
  }
  int64_t upper(size_t operand, size_t axis) const {
    return dim(operand, axis).upper;
  }
  /// The product of the bounds of axes [from, to); -1 on overflow.
  int64_t product(size_t operand, size_t from, size_t to) const;
  int64_t elements(size_t operand) const {
    return product(operand, 0, rank(operand));
  }
  std::string shape(size_t operand) const;
  bool sameShape(size_t a, size_t b);
  bool sameDims(size_t a, size_t aFrom, size_t b, size_t bFrom, size_t count);
  bool broadcasts(size_t from, size_t to);
  bool hasElements(size_t operand, int64_t count);
  bool isRank(size_t operand, size_t wanted);
  bool minRank(size_t operand, size_t least);
  bool isScalar(size_t operand) { return hasElements(operand, 1); }
  bool oneOf(size_t operand, std::initializer_list<DType> types);
  bool isFloat(size_t operand);
  bool isIndex(size_t operand);
  bool sameType(size_t a, size_t b);

  // Numbers.
  bool ints(size_t count);
  /// The columns of result `out` that `count` outputs are, from the int after
  /// the first `usual` ones; all of them if it is not there.
  bool columnsOf(size_t out, int64_t count, size_t usual);
  bool floats(size_t count);
  bool params(size_t count);
  bool flag(size_t index);
  bool axisInt(size_t index, size_t rank);
  bool activationInt(size_t index);
  bool scatterInt(size_t index);

  /// The state behind an operand, with matching dims, dtype and block size.
  /// `sinkBlocks`: what the launch says of its ring; -1 if it knows none.
  const State *stateOf(size_t operand, int64_t blockTokens,
                       int64_t sinkBlocks = -1);
  /// Whether an operand can be a window of a state from `firstToken` on, with
  /// `outer` dimensions before the tokens: the resident part of one, whole, or
  /// a slot. What the slot holds is CheckTransitions' to know.
  bool windowOf(size_t operand, size_t outer, int64_t blockTokens,
                int64_t firstToken);
  /// Whether `first` (kNone: zero) + `second` stays within `capacity`.
  bool withinCapacity(uint32_t first, uint32_t second, int64_t capacity);

  bool pointwise();
  bool linear();
  /// What x, w (`depth` rows of a panel for each feature of x) and a result
  /// have in common in all products of panels.
  bool panelProduct(size_t out, int64_t depth);
  bool linearAdd();
  bool linearGated();
  bool linearSplit();
  bool linearQuant();
  bool matMul(bool integer);
  bool dynamicQuantize();
  bool quantizeLinear(bool dequantize);
  bool reduce();
  bool argReduce();
  bool softmaxLike(size_t numInts);
  bool norm(bool hasBias);
  bool rope();
  bool attention();
  bool kvAppend();
  bool kvRead();
  bool stridedCopy();
  bool fill();
  bool iota();
  bool gather();
  bool gatherQuant();
  bool gatherElements();
  bool gatherND();
  bool scatterND();
  bool scatterElements();
  bool topK();
  bool conv();
  bool cast();
  bool pool();
  bool lrn();
  bool generated();

  const Plan &plan;
  const Entry &entry;
  const EntryBounds &bounds;
  const Step &step;
};

/// Whether the kernel may write its first result over this operand ("In place"
/// in KernelId.h): both the same bytes, dimensions and width of element.
bool mayWriteOver(KernelId kernel, size_t operand);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_KERNELRULES_H
