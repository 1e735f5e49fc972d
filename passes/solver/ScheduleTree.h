//===- ScheduleTree.h - Orders that are best for trees ---------*- C++ -*-===//
//
// Liu (1987) orders a tree of steps with the least peak. Any graph is made a
// tree by looking, for every step, at the first of those that read from it
// only; the order of that tree is then mended to respect all edges. Best for
// trees, a good guess for graphs that are nearly one.
//
//   part     a run of steps of a subtree that is best not interrupted, with
//            the most alive during it (its hill) and what is alive after it
//            (its valley)
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_SCHEDULETREE_H
#define LLMC_PASSES_SOLVER_SCHEDULETREE_H

#include "passes/solver/ScheduleModel.h"

namespace llmc::solver {

/// The identity must be an order.
StepOrder treeOrder(const ScheduleModel &model);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_SCHEDULETREE_H
