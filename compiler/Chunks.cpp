//===- Chunks.cpp - The largest prefill chunk of a budget -----------------===//

#include "compiler/Chunks.h"

#include "compiler/Largest.h"
#include "compiler/Pipeline.h"

namespace llmc::compiler {

Result<int64_t> largestChunk(mlir::MLIRContext &context, CompileOptions options,
                             uint64_t bytes, uint64_t budgetBytes) {
  // Settings count 1, 16, 32, 48, ...: products take rows by the handful.
  constexpr int64_t kStep = 16;
  auto chunkOf = [](int64_t setting) {
    return setting == 1 ? 1 : kStep * (setting - 1);
  };
  int64_t asked = options.prefillChunk;
  auto bytesOf = [&](int64_t setting) -> Result<uint64_t> {
    options.prefillChunk = chunkOf(setting);
    Result<Scheduled> scheduled = schedule(context, options, nullptr);
    if (!scheduled) {
      return scheduled.error();
    }
    // The smallest plan does not depend on the budget, but for what plan-spill
    // does for it, if it is asked to.
    Result<Placed> placed =
        place(*scheduled->model.module, scheduled->model.info, options,
              options.kvResident == CompileOptions::kKeepWhatFits ? budgetBytes
                                                                  : UINT64_MAX,
              nullptr);
    if (!placed) {
      return placed.error();
    }
    return placed->failure ? placed->failure->minimumBytes
                           : placed->plan.totals.minimumBytes;
  };
  Fitting fitting{budgetBytes, 0, (asked + kStep - 1) / kStep + 1, 0, bytes};
  // If one token does not fit, nothing does.
  Result<uint64_t> one = bytesOf(1);
  if (!one) {
    return one.error();
  }
  fitting.note(1, *one);
  if (fitting.low == 0) {
    return int64_t(0);
  }
  if (Result<void> done = fitting.narrow(bytesOf); !done) {
    return done.error();
  }
  return chunkOf(fitting.low);
}

} // namespace llmc::compiler
