//===- PlacementModel.h - What plan-place decides about --------*- C++ -*-===//
//
// A plan module reduced to numbers, so that many choices can be weighed
// without touching the IR. A choice is: which weights stay resident, and how
// far ahead of its use the copy of each other weight is issued.
//
// How a weight streams. The matrix of a product is cut along its outputs into
// pieces of whole units (64 outputs, a panel): each gets a launch of its own
// that writes its columns of the result. So are the weights of a convolution of
// one image, by output channels. K is never cut, so no bit changes. A
// weight that another kernel reads streams as a whole; uses of it with no other
// streamed weight between them share one copy. What one launch waits for is a
// group. A group with reader u is issued before launch p <= u:
//
//     signal a on compute     all steps before p are done ...
//     wait   a on copy        ... before the copy writes
//     copy   ...              one per range of the group
//     signal b on copy
//     ... launches p .. u-1 run beside the copy ...
//     wait   b on compute
//     launch u
//
// p is as early as the *window* allows: the groups issued and not yet read hold
// at most that many bytes of slots together (0: the copy runs alone, right
// before u). Since a copy waits for everything before its place in the list,
// lifetimes by list index are exact for both streams, and a slot is reused only
// after its last reader.
//
// The prefetch wraps around (Choice::wraps): the groups at the beginning of the
// main entry that the window can hold are *carried* from one run to the next.
// They are in their slots when any entry starts, and are copied again, for the
// next run, as soon as the window has room towards the end of the list, so that
// the link is busy while the last launches and the sampling run. The slots lie
// at the beginning of the region, at the same place in every entry; one that
// does not begin with the same groups leaves them alone.
//
// Each entry has a tile and a window of its own: a chunk of a prompt computes
// longer per byte than one token does, and its activations take most of the
// region. Only the carried weights are cut alike everywhere.
//
// What a restore brings of a spilled state (plan-spill) streams as well, in the
// same order and window: restores that follow each other are a group, which is
// issued in their stead. Its slots are the state's own, and never carried.
//
// A table of embeddings (Gather along axis 0, GatherQuant) is not streamed at
// all: the copy gathers the rows that the indices name, so a slot holds at most
// one row per index, and the launch takes row i for index i. The indices are
// not known before, so such a copy is issued right before its launch, ahead of
// the other copies there, outside of the window. If one part of a quantized
// table is not resident, all parts are gathered, since the launch has one
// operand of indices. A packed table (tied embeddings) is gathered from a
// second segment, plan.segment's by_rows.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_PLACEMENTMODEL_H
#define LLMC_PASSES_MEMORY_PLACEMENTMODEL_H

#include "dialects/plan/PlanDialect.h"
#include "passes/memory/CostModel.h"
#include "passes/memory/StreamSchedule.h"
#include "passes/solver/Problem.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"

#include <optional>
#include <vector>

namespace llmc::memory {

/// A weight that may be streamed or stay. Vectors (norms, biases) of at most
/// PlacementModel::kSmallWeight bytes, and anything of at most kTinyWeight,
/// are not among these: they always stay.
struct WeightInfo {
  planir::BufferOp op;
  uint64_t size = 0; // bytes
  /// Some launch reads it as a whole, so streaming takes a slot of its size.
  bool isWhole = false;
};

struct ActivationInfo {
  planir::BufferOp op;
  uint64_t size = 0; // bytes
  bool touched = false;
  uint32_t first = 0; // step
  uint32_t last = 0;  // step
};

/// A launch reads a streamable weight.
struct WeightUse {
  uint32_t weight = 0;
  uint32_t operand = 0;
  uint64_t unitBytes = 0; // of kUnit outputs; 0: it streams as a whole
  bool byRows = false;    // or, if this, as one of RowGather::tables
};

/// A table that a launch gathers from, or a part of one.
struct RowTable {
  planir::BufferOp op;
  mlir::FlatSymbolRefAttr segment; // with the rows one after the other
  uint32_t operand = 0;
  uint64_t rowBytes = 0;
  uint32_t weight = 0; // or one that it is gathered with, if it always stays
};

/// A launch that can gather by rows.
struct RowGather {
  std::vector<RowTable> tables;
  planir::ViewAttr indices;
  uint32_t indexOperand = 0;
  uint64_t rows = 0;    // of each table
  uint64_t maxRows = 0; // bound of the number of indices
};

struct StepInfo {
  std::vector<WeightUse> uses; // of different weights
  uint64_t outputs = 0;        // of a product that can be cut, else 0
  RowGather gather;            // without tables: none
  double seconds = 0;          // of compute, estimated
  uint64_t restoredBytes = 0;  // not a launch but a restore of so much at most

  /// Whether it gathers by rows, given which weights stay.
  bool gathers(const std::vector<bool> &resident) const {
    return llvm::any_of(uses, [&](const WeightUse &use) {
      return use.byRows && !resident[use.weight];
    });
  }
};

struct EntryInfo {
  planir::EntryOp op;
  uint32_t steps = 0;
  std::vector<ActivationInfo> activations; // inputs and outputs too
  std::vector<StepInfo> stepInfos;         // per step
};

/// How what streams in one entry is cut, and how far ahead it is copied.
struct Prefetch {
  uint64_t tile = 0;   // bytes a piece may have; a unit has more: a unit
  uint64_t window = 0; // bytes of slots that are filled ahead
};

struct Choice {
  std::vector<bool> resident;       // per weight
  std::vector<Prefetch> prefetches; // per entry
  bool wraps = false;               // see above
};

/// A choice carried out.
struct Streaming {
  std::vector<StreamRange> carried;      // in order; none without wrap-around
  std::vector<StreamSchedule> schedules; // per entry
};

class PlacementModel {
public:
  static constexpr uint64_t kSmallWeight = 64 * 1024;
  static constexpr uint64_t kTinyWeight = 4 * 1024;
  /// Outputs that are never cut apart: a panel.
  static constexpr uint64_t kUnit = 64;

  explicit PlacementModel(mlir::ModuleOp module);

  /// The same prefetch in every entry.
  Choice uniform(std::vector<bool> resident, Prefetch prefetch) const {
    return {std::move(resident),
            std::vector<Prefetch>(entries.size(), prefetch), false};
  }

  Streaming stream(const Choice &choice) const;
  /// The region's buffers under a schedule: activations in order, then one
  /// staging buffer per range in the order of the groups, of the refills, of
  /// what is kept, and of the gathers.
  std::vector<solver::Buffer> region(const EntryInfo &entry,
                                     const StreamSchedule &schedule) const;
  /// Bytes of arena that the choice needs, given what stream() made of it.
  uint64_t evaluate(const Choice &choice, const Streaming &streaming) const;
  /// Bytes of arena if the region packs perfectly: a lower bound of what
  /// evaluate() says, mostly equal to it, and much faster.
  uint64_t estimate(const Choice &choice, const Streaming &streaming) const;
  /// Predicted seconds of one run: launches in order, copies in order, each
  /// copy after its issue point and each reader after its copies.
  double seconds(const EntryInfo &entry, const StreamSchedule &schedule) const;

  /// The largest number of rows that is gathered at once: the constant
  /// 0, 1, 2, ... by which launches read them has as many elements.
  uint64_t gatheredRows(const Choice &choice) const;

  /// The entry whose speed decides: decode, else the first. By number; the
  /// number of entries if there are none.
  size_t mainEntry() const;

  std::vector<WeightInfo> weights; // in the order of the module
  std::vector<EntryInfo> entries;
  uint64_t fixedBytes = 0;   // state, constants, small weights
  uint64_t restoreGroup = 0; // bytes of slots of the largest group of restores
  CostModel costs;

private:
  /// The schedule without wrap-around or places in the list.
  /// `carried`: weights to cut as `main` says.
  StreamSchedule scheduleOnce(const EntryInfo &entry,
                              const std::vector<bool> &resident,
                              Prefetch prefetch, Prefetch main,
                              llvm::ArrayRef<StreamRange> carried) const;
  /// Bytes of what lies in the arena throughout.
  uint64_t sharedBytes(const Choice &choice) const;
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_PLACEMENTMODEL_H
