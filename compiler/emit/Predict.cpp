//===- Predict.cpp - How long a run of an entry should take ----*- C++ -*-===//

#include "compiler/emit/Predict.h"

namespace llmc::emit {

void predict(const memory::CostModel &model, planir::EntryOp op,
             plan::Entry &entry) {
  // A wait that nothing satisfies is the checker's to report.
  if (std::optional<memory::EntryCost> cost = model.cost(op)) {
    entry.predictedSeconds = cost->run.seconds;
    entry.boundBy = cost->boundBy();
  }
}

} // namespace llmc::emit
