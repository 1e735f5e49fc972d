//===- WriteWeights.h - The weights file, written once ---------*- C++ -*-===//
//
// Packs the segments of a lowered module into the weights file, or finds them
// in the one that is there. One file serves all plans of a model: segments
// that other plans use stay where they are when new ones are added.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_PACK_WRITEWEIGHTS_H
#define LLMC_COMPILER_PACK_WRITEWEIGHTS_H

#include "compiler/import/WeightStore.h"
#include "compiler/pack/SegmentJobs.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <functional>
#include <span>
#include <string>

namespace llmc::pack {

/// (bytes written, bytes in all)
using Progress = std::function<void(uint64_t, uint64_t)>;

struct WeightsReport {
  bool reused = false;    // the file was left as it was
  uint64_t fileBytes = 0; // of the segments' plan, not the whole file
};

/// Makes sure that `path` holds every job's segment and fills
/// plan.segments (one per job, in order: name, offset, size, hash) and
/// plan.weightsId.
Result<WeightsReport> writeWeights(std::span<const SegmentJob> jobs,
                                   const import::WeightStore &store,
                                   const std::string &path, plan::Plan &plan,
                                   const Progress &progress);

} // namespace llmc::pack

#endif // LLMC_COMPILER_PACK_WRITEWEIGHTS_H
