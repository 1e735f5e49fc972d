//===- KernelRulesGenerated.cpp - Launches of generated functions ---------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Machine code cannot be looked into, but what it may touch follows from the
// pointers it is given (Code.h). These follow from the masks and dimensions of
// the launch, which are held against each other here, and against the
// function's own list of operands. Dimensions have to agree in every run, not
// only at their bounds: a function is never asked to walk further than the
// smallest of its operands goes.
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelRules.h"

namespace llmc::plan {

bool LaunchRules::generated() {
  if (!require(step.ints.size() >= 5, "no function")) {
    return false;
  }
  int64_t index = step.ints[0], inputs = step.ints[1], outputs = step.ints[2];
  if (!require(index >= 0 && index < int64_t(plan.code.functions.size()),
               "a function that the plan does not have") ||
      !require(inputs >= 0 && inputs <= int64_t(kMaxCodeOperands) &&
                   outputs >= 1 && outputs <= int64_t(kMaxCodeOperands),
               "the number of inputs or outputs is out of range") ||
      !require(step.ints[3] >= 1 && step.ints[3] <= int64_t(1) << 40 &&
                   step.ints[4] >= 0 && step.ints[4] <= int64_t(1) << 40,
               "its grain or cost is out of range") ||
      !ints(static_cast<size_t>(5 + inputs)) || !floats(0) || !params(0) ||
      !operands(static_cast<size_t>(inputs), static_cast<size_t>(outputs))) {
    return false;
  }
  const CodeFunction &function = plan.code.functions[size_t(index)];
  if (!require(function.operands.size() == step.operands.size() &&
                   function.numInputs == inputs,
               "its function takes other operands")) {
    return false;
  }
  const size_t space = firstOutput;
  const size_t dims = rank(space);
  auto same = [&](uint32_t a, uint32_t b) {
    return bounds.same(a, b) || (bounds[a].lower == bounds[a].upper &&
                                 bounds[b].lower == bounds[b].upper &&
                                 bounds[a].lower == bounds[b].lower);
  };
  for (size_t i = 0; i < step.operands.size(); ++i) {
    if (step.operands[i].dtype != function.operands[i].dtype) {
      return fail("operand " + std::to_string(i) + " is " +
                  std::string(name(step.operands[i].dtype)) +
                  ", its function takes " +
                  std::string(name(function.operands[i].dtype)));
    }
    if (i > space) {
      if (rank(i) != dims) {
        return fail(shape(space) + " and " + shape(i) + " differ in rank");
      }
      for (size_t d = 0; d < dims; ++d) {
        if (!same(step.operands[i].dims[d], step.operands[space].dims[d])) {
          return fail(shape(space) + " and " + shape(i) + " differ");
        }
      }
    }
  }
  for (size_t i = 0; i < space; ++i) {
    const int64_t mask = step.ints[5 + i];
    if (mask < 0 || mask >= int64_t(1) << dims) {
      return fail("a mask of dimensions that operand " + std::to_string(space) +
                  " does not have");
    }
    // Its dimensions, in order, are those that it moves along, and ones.
    size_t at = 0;
    auto skipOnes = [&](bool wanted) {
      while (wanted && at < rank(i) && dim(i, at).lower == 1 &&
             dim(i, at).upper == 1) {
        ++at;
      }
    };
    for (size_t d = 0; d < dims; ++d) {
      if ((mask >> d & 1) == 0) {
        continue;
      }
      const uint32_t wanted = step.operands[space].dims[d];
      if (bounds[wanted].lower == 1 && bounds[wanted].upper == 1) {
        continue; // moving along one element is staying
      }
      skipOnes(true);
      if (at == rank(i) || !same(step.operands[i].dims[at], wanted)) {
        return fail(shape(i) + " does not move along dimension " +
                    std::to_string(d) + " of " + shape(space));
      }
      ++at;
    }
    skipOnes(true);
    if (at != rank(i)) {
      return fail(shape(i) + " has dimensions that " + shape(space) +
                  " does not walk");
    }
    const bool moves = dims != 0 && (mask >> (dims - 1) & 1) != 0;
    if (moves != (function.operands[i].step == 1)) {
      return fail("operand " + std::to_string(i) +
                  (moves ? " moves" : " stays") +
                  " along the columns, its function expects otherwise");
    }
  }
  return true;
}

} // namespace llmc::plan
