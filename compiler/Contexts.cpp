//===- Contexts.cpp - What each context of a model needs ------------------===//

#include "compiler/Contexts.h"

#include "compiler/Largest.h"
#include "compiler/Pipeline.h"

#include <algorithm>

namespace llmc::compiler {

Contexts::Contexts(mlir::MLIRContext &context, const CompileOptions &options,
                   int64_t most)
    : context(context), options(options), most(most),
      last(most <= kSmallest ? 1 : 1 + (most - kSmallest + kStep - 1) / kStep) {
}

int64_t Contexts::tokensOf(int64_t index) const {
  return std::min(most, kSmallest + (index - 1) * kStep);
}

Result<Contexts::Need> Contexts::need(int64_t tokens) {
  if (auto it = known.find(tokens); it != known.end()) {
    return it->second;
  }
  options.context = tokens;
  Result<Scheduled> scheduled = schedule(context, options, nullptr);
  if (!scheduled) {
    return scheduled.error();
  }
  ++count;
  Result<Placed> placed = place(*scheduled->model.module, scheduled->model.info,
                                options, UINT64_MAX, nullptr);
  if (!placed) {
    return placed.error();
  }
  Need need{placed->plan.totals.minimumBytes, placed->plan.totals.deviceBytes};
  known[tokens] = need;
  return need;
}

Result<int64_t> Contexts::largest(uint64_t budgetBytes, Want want) {
  auto bytes = [&](const Need &need) {
    return want == Want::Feasible
               ? need.minimumBytes
               : std::max(need.minimumBytes, need.residentBytes);
  };
  if (most <= 0) {
    return int64_t(0);
  }
  Fitting fitting{budgetBytes, 0, last + 1};
  for (int64_t index : {last, int64_t(1)}) {
    Result<Need> found = need(tokensOf(index));
    if (!found) {
      return found.error();
    }
    fitting.note(index, bytes(*found));
    if (fitting.low == last) {
      return most;
    }
  }
  if (fitting.low == 0) {
    return int64_t(0);
  }
  for (const auto &[tokens, found] : known) {
    if (tokens > kSmallest && tokens < most &&
        (tokens - kSmallest) % kStep == 0) {
      fitting.note(1 + (tokens - kSmallest) / kStep, bytes(found));
    }
  }
  Result<void> done = fitting.narrow([&](int64_t index) -> Result<uint64_t> {
    Result<Need> found = need(tokensOf(index));
    if (!found) {
      return found.error();
    }
    return bytes(*found);
  });
  if (!done) {
    return done.error();
  }
  return tokensOf(fitting.low);
}

} // namespace llmc::compiler
