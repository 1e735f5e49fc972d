//===- PlacementModel.h - What plan-place decides about --------*- C++ -*-===//
//
// A plan module reduced to numbers, so that many choices can be weighed
// without touching the IR. A choice is: which weights stay resident, and how
// far ahead of its use the copy of each other weight is issued.
//
// How a weight streams. Uses of a weight in one entry that have no other
// streamed weight between them form a range; the ranges that start at the same
// step form a group. A group with first reader u is issued before step p <= u:
//
//     signal a on compute     all steps before p are done ...
//     wait   a on copy        ... before the copy writes
//     copy   ...              one per range of the group
//     signal b on copy
//     ... steps p .. u-1 run beside the copy ...
//     wait   b on compute
//     launch u
//
// With `depth` d, p is the first reader of the d-th group before (0: u itself,
// the copy runs alone). Since a copy waits for everything before its place in
// the list, lifetimes by list index are exact for both streams, and a slot is
// reused only after its last reader.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_PLACEMENTMODEL_H
#define LLMC_PASSES_MEMORY_PLACEMENTMODEL_H

#include "dialects/plan/PlanDialect.h"
#include "passes/solver/Problem.h"

#include "mlir/IR/BuiltinOps.h"

#include <vector>

namespace llmc::memory {

/// A weight that may be streamed or stay. Vectors (norms, biases) of at most
/// PlacementModel::kSmallWeight bytes, and anything of at most kTinyWeight,
/// are not among these: they always stay.
struct WeightInfo {
  planir::BufferOp op;
  uint64_t size = 0; // bytes
};

struct ActivationInfo {
  planir::BufferOp op;
  uint64_t size = 0; // bytes
  bool touched = false;
  uint32_t first = 0; // step
  uint32_t last = 0;  // step
};

struct EntryInfo {
  planir::EntryOp op;
  uint32_t steps = 0;
  std::vector<ActivationInfo> activations;    // inputs and outputs too
  std::vector<std::vector<uint32_t>> readers; // per step: streamable weights
  uint64_t readBytes = 0; // of all weights, each launch counted
};

/// One staging buffer: steps [first, last] read `weight`.
struct StreamRange {
  uint32_t weight = 0;
  uint32_t first = 0;
  uint32_t last = 0;
};

struct StreamGroup {
  uint32_t reader = 0; // the step that waits
  uint32_t issue = 0;  // the copies stand before this step
  std::vector<StreamRange> ranges;
};

/// The streaming of one entry, and where its steps end up in the list.
struct StreamSchedule {
  std::vector<StreamGroup> groups; // by reader, and by issue
  std::vector<uint32_t> newIndex;  // per old step
  std::vector<uint32_t> copyIndex; // per range, in the order of groups
  uint32_t newSteps = 0;
};

struct Choice {
  std::vector<bool> resident; // per weight
  uint32_t depth = 0;
};

/// What a choice needs and costs.
struct Evaluation {
  uint64_t arena = 0;             // bytes
  uint64_t shared = 0;            // bytes: state, resident weights, constants
  uint64_t region = 0;            // bytes: largest extent of an entry
  std::vector<uint64_t> streamed; // per entry, bytes
};

class PlacementModel {
public:
  static constexpr uint64_t kSmallWeight = 64 * 1024;
  static constexpr uint64_t kTinyWeight = 4 * 1024;

  explicit PlacementModel(mlir::ModuleOp module);

  StreamSchedule schedule(const EntryInfo &entry, const Choice &choice) const;
  /// The region's buffers under a schedule: activations in order, then one
  /// staging buffer per range in the order of the groups.
  std::vector<solver::Buffer> region(const EntryInfo &entry,
                                     const StreamSchedule &schedule) const;
  Evaluation evaluate(const Choice &choice) const;

  /// The entry whose speed decides: decode, else the first.
  const EntryInfo *mainEntry() const;

  std::vector<WeightInfo> weights; // in the order of the module
  std::vector<EntryInfo> entries;
  uint64_t fixedBytes = 0; // state, constants, small weights
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_PLACEMENTMODEL_H
