//===- InPlaceChoice.h - Which buffers become one --------------*- C++ -*-===//
//
// The decision of plan-in-place on plain numbers. Three rewrites, one
// mechanism, which is to let two buffers lie at the same place:
//
//   takeover  a launch writes its result over an operand that dies there
//   into      a producer writes straight into the result of a concatenation;
//             the copy that moved its buffer there is dropped
//   view      the readers of a slice read the sliced buffer itself; the copy
//             is dropped
//
// Two buffers may share bytes if no step writes over what another still
// expects there. The analysis works on byte ranges: the parts of a
// concatenation are separate.
//
// Vocabulary: a *group* is a set of buffers with a fixed place relative to
// each other; it is one buffer afterwards, the *root*. A buffer is *defined*
// at the steps that write it or, where that was a copy that has been dropped,
// at the place of the copy.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_INPLACECHOICE_H
#define LLMC_PASSES_MEMORY_INPLACECHOICE_H

#include "passes/memory/StepModel.h"

namespace llmc::memory {

enum class Rewrite : uint8_t { Takeover, Copy };

struct InPlaceDecision {
  uint32_t step = 0;
  uint32_t operand = 0; // that the result might share its place with
  Rewrite rewrite = Rewrite::Takeover;
  bool taken = false;
  std::string reason; // if it was not taken
};

struct InPlaceOptions {
  bool takeovers = true;
  bool copies = true;
};

struct InPlaceChoice {
  /// Where each buffer lies: `offset` bytes into `root` (itself, 0 if alone).
  struct Place {
    uint32_t root = 0;
    uint64_t offset = 0;
  };
  std::vector<InPlaceDecision> decisions; // by step
  std::vector<Place> places;              // per buffer
  std::vector<uint64_t> sizes;            // per buffer; of roots: of the group
  std::vector<bool> dropped;              // per step: a copy to nowhere
  uint64_t peakBefore = 0; // largest sum of live bytes, padded, before ...
  uint64_t peakAfter = 0;  // ... and after. Shared buffers do not count.
};

/// Takes every candidate that is safe and does not raise the peak, in the
/// order of the steps.
InPlaceChoice chooseInPlace(const StepModel &model,
                            const InPlaceOptions &options = {});

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_INPLACECHOICE_H
