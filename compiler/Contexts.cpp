//===- Contexts.cpp - What each context of a model needs ------------------===//

#include "compiler/Contexts.h"

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
  // In [low, high): low is known to fit (0: nothing does), high not to.
  int64_t low = 0, high = last + 1;
  uint64_t lowBytes = 0, highBytes = 0;
  auto note = [&](int64_t index, uint64_t needed) {
    if (needed <= budgetBytes && index > low) {
      low = index;
      lowBytes = needed;
    } else if (needed > budgetBytes && index < high) {
      high = index;
      highBytes = needed;
    }
  };
  for (int64_t index : {last, int64_t(1)}) {
    Result<Need> found = need(tokensOf(index));
    if (!found) {
      return found.error();
    }
    note(index, bytes(*found));
    if (low == last) {
      return most;
    }
  }
  if (low == 0) {
    return int64_t(0);
  }
  for (const auto &[tokens, found] : known) {
    if (tokens > kSmallest && tokens < most &&
        (tokens - kSmallest) % kStep == 0) {
      note(1 + (tokens - kSmallest) / kStep, bytes(found));
    }
  }
  // Interpolation meets a straight line at once; should the line be bent,
  // every other try halves what is left.
  for (bool halve = false; high - low > 1; halve = !halve) {
    int64_t guess = (low + high) / 2;
    if (!halve && highBytes > lowBytes) {
      double part =
          double(budgetBytes - lowBytes) / double(highBytes - lowBytes);
      guess = low + int64_t(part * double(high - low));
      // Of two neighbours one is to fit and the other not to.
      guess = std::clamp(guess, low + 1, high - 1);
    }
    Result<Need> found = need(tokensOf(guess));
    if (!found) {
      return found.error();
    }
    note(guess, bytes(*found));
    // The line says that one of the neighbours is on the other side.
    int64_t beside = low == guess ? guess + 1 : guess - 1;
    if (!halve && low < beside && beside < high) {
      Result<Need> next = need(tokensOf(beside));
      if (!next) {
        return next.error();
      }
      note(beside, bytes(*next));
    }
  }
  return tokensOf(low);
}

} // namespace llmc::compiler
