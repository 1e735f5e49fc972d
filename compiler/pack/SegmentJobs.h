//===- SegmentJobs.h - What the weights file must hold ---------*- C++ -*-===//
//
// Reads the plan.segment ops of a lowered module: for each the layout wanted,
// where the bytes come from, and a fingerprint of the source that tells,
// without reading the weight, whether a segment packed earlier still serves.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_PACK_SEGMENTJOBS_H
#define LLMC_COMPILER_PACK_SEGMENTJOBS_H

#include "compiler/import/WeightStore.h"
#include "compiler/pack/Packing.h"
#include "runtime/support/Hash.h"

#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace llmc::pack {

struct SegmentJob {
  std::string name;
  /// The graph.weight ops that it stems from; none for a constant.
  std::vector<std::string> weights;
  std::vector<Part> parts; // one, or as many as weights
  Arrangement arrangement = Arrangement::Joined;
  uint64_t size = 0;
  /// Of the sources' identities and the layout: the content's hash for weights
  /// inside the model file; path, size, time of change, offset and length for
  /// external data (so that planning again never reads 100 GB); both with the
  /// specs.
  Hash128 fingerprint;
  /// Owns the bytes of a segment that comes from a constant (one element of a
  /// splat).
  std::vector<std::byte> owned;
};

/// One job per plan.segment, in order. `modelPath` is the .onnx file: external
/// files are relative to its folder.
Result<std::vector<SegmentJob>>
collectSegmentJobs(mlir::ModuleOp module, const import::WeightStore &weights,
                   const std::string &modelPath);

} // namespace llmc::pack

#endif // LLMC_COMPILER_PACK_SEGMENTJOBS_H
