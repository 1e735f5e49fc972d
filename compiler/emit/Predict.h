//===- Predict.h - How long a run of an entry should take ------*- C++ -*-===//

#ifndef LLMC_COMPILER_EMIT_PREDICT_H
#define LLMC_COMPILER_EMIT_PREDICT_H

#include "passes/memory/CostModel.h"
#include "runtime/plan/Plan.h"

namespace llmc::emit {

/// Sets predictedSeconds and boundBy of `entry`, at the sizes of
/// CostModel::typical(): a full chunk, with half of the context behind it.
void predict(const memory::CostModel &model, planir::EntryOp op,
             plan::Entry &entry);

} // namespace llmc::emit

#endif // LLMC_COMPILER_EMIT_PREDICT_H
