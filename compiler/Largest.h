//===- Largest.h - The largest setting that a budget allows ----*- C++ -*-===//

#ifndef LLMC_COMPILER_LARGEST_H
#define LLMC_COMPILER_LARGEST_H

#include "runtime/support/Result.h"

#include <algorithm>
#include <cstdint>

namespace llmc::compiler {

/// What is known of settings 1, 2, ..., whose bytes grow with them, nearly
/// along a straight line: in [low, high), low fits (0: nothing does, as far as
/// is known) and high does not.
struct Fitting {
  uint64_t budgetBytes = 0;
  int64_t low = 0, high = 0;
  uint64_t lowBytes = 0, highBytes = 0;

  void note(int64_t setting, uint64_t bytes) {
    if (bytes <= budgetBytes && setting > low) {
      low = setting;
      lowBytes = bytes;
    } else if (bytes > budgetBytes && setting < high) {
      high = setting;
      highBytes = bytes;
    }
  }

  /// Narrows [low, high) to one setting. `bytesOf` gives a Result<uint64_t>.
  /// Interpolation meets a straight line at once; should the line be bent,
  /// every other try halves what is left.
  template <typename BytesOf> Result<void> narrow(BytesOf bytesOf) {
    for (bool halve = false; high - low > 1; halve = !halve) {
      int64_t guess = low + (high - low) / 2;
      if (!halve && highBytes > lowBytes) {
        double part =
            double(budgetBytes - lowBytes) / double(highBytes - lowBytes);
        guess = low + int64_t(part * double(high - low));
        // Of two neighbours one is to fit and the other not to.
        guess = std::clamp(guess, low + 1, high - 1);
      }
      Result<uint64_t> bytes = bytesOf(guess);
      if (!bytes) {
        return bytes.error();
      }
      note(guess, *bytes);
      // The line says that one of the neighbours is on the other side.
      int64_t beside = low == guess ? guess + 1 : guess - 1;
      if (!halve && low < beside && beside < high) {
        bytes = bytesOf(beside);
        if (!bytes) {
          return bytes.error();
        }
        note(beside, *bytes);
      }
    }
    return {};
  }
};

} // namespace llmc::compiler

#endif // LLMC_COMPILER_LARGEST_H
