//===- Predict.h - How long a run of an entry should take ------*- C++ -*-===//

#ifndef LLMC_COMPILER_EMIT_PREDICT_H
#define LLMC_COMPILER_EMIT_PREDICT_H

#include "dialects/plan/PlanDialect.h"
#include "runtime/plan/Plan.h"

namespace llmc::emit {

/// Sets predictedSeconds and boundBy of `entry` (whose streamedBytes is set):
/// the slowest of reading the operands, the products' arithmetic and the link,
/// at the upper bounds of the symbols. The rates are those of a small server
/// core, not measured: the figure tells what binds, and compares plans.
void predict(planir::EntryOp op, plan::Entry &entry);

} // namespace llmc::emit

#endif // LLMC_COMPILER_EMIT_PREDICT_H
