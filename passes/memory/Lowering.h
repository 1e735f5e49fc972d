//===- Lowering.h - From graph entries to plan entries ---------*- C++ -*-===//
//
// What the files of the lowering share. ModuleLowering makes what belongs to
// the whole plan (segments, weights, constants, states); EntryLowering turns
// the ops of one entry into launches, one file per family of ops.
//
// Vocabulary: a *view* is a typed dense tensor somewhere in a buffer. Values
// of the graph map to views; reshapes map to a view of the same buffer.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_LOWERING_H
#define LLMC_PASSES_MEMORY_LOWERING_H

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"
#include "dialects/plan/PlanDialect.h"
#include "runtime/plan/KernelId.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace llmc::lowering {

struct View {
  planir::BufferOp buffer;
  int64_t offset = 0; // bytes
  plan::DType dtype = plan::DType::F32;
  graph::Dims dims;
  bool panel64 = false;
};

/// An operand of a launch.
struct Use {
  planir::Access access;
  View view;
};
Use read(View view);
Use write(View view);
Use update(View view);

using planir::toDType;

/// What intermediate values are kept in: f16 and bf16 models are computed in
/// f32 from end to end, as their kernels do inside; only weights, constants,
/// inputs and outputs have the model's own type.
plan::DType widened(plan::DType dtype);

/// Row-major strides in elements.
graph::Dims stridesOf(const graph::Dims &dims);

/// The lists of one launch beside its operands.
struct Numbers {
  std::vector<graph::DimExpr> params;
  std::vector<int64_t> ints;
  std::vector<double> floats;
};

class ModuleLowering {
public:
  explicit ModuleLowering(mlir::ModuleOp module);

  /// Looks at every entry first: a weight that is both the weight of a linear
  /// and a table of rows is packed once.
  void collectWeightUses();

  /// A resident weight in one packing; made at the first use.
  mlir::FailureOr<View> rawWeight(mlir::Operation *user, graph::WeightOp op);
  mlir::FailureOr<View> panelWeight(mlir::Operation *user, graph::WeightOp op,
                                    llvm::StringRef layout);
  /// One matrix of a weight that is packed together with others.
  struct Part {
    graph::WeightOp weight;
    llvm::StringRef layout; // "nk" or "kn"
  };
  /// The outputs of the parts one after the other, each from a new panel on:
  /// [sum of N rounded up to 64, K].
  mlir::FailureOr<View> joinedWeight(mlir::Operation *user,
                                     llvm::ArrayRef<Part> parts);
  /// A panel of each part in turn: [N, K of all parts].
  mlir::FailureOr<View> interleavedWeight(mlir::Operation *user,
                                          llvm::ArrayRef<Part> parts);
  /// Vectors one after the other.
  mlir::FailureOr<View> joinedVector(mlir::Operation *user,
                                     llvm::ArrayRef<graph::WeightOp> parts);
  /// Gives the packed table `view` a second segment with its rows one after the
  /// other (plan.segment's by_rows), if it has more than kSmallTable bytes.
  mlir::LogicalResult addRows(mlir::Operation *user, graph::WeightOp op,
                              const View &view, llvm::StringRef layout);
  /// Reading a smaller one whole costs little more than reading a row.
  static constexpr uint64_t kSmallTable = uint64_t(4) << 10;
  /// The same for a constant of one value everywhere. Equal values of one size
  /// are one weight.
  mlir::FailureOr<View> rawSplat(mlir::Operation *user,
                                 mlir::DenseElementsAttr value);
  mlir::FailureOr<View> panelSplat(mlir::Operation *user,
                                   mlir::DenseElementsAttr value,
                                   llvm::StringRef layout);
  bool isPanelTable(graph::WeightOp op) const {
    return panelTables.contains(op);
  }

  /// One part of a quantized weight in canonical form. `source` is the value
  /// of a load_weight or constant; `size` the bytes of the part.
  mlir::FailureOr<View> quantPart(mlir::Operation *user, mlir::Value source,
                                  llvm::StringRef kind,
                                  mlir::DictionaryAttr packing, uint64_t size,
                                  plan::DType dtype, graph::Dims dims);

  mlir::FailureOr<View> constant(mlir::Operation *user,
                                 mlir::DenseElementsAttr value);

  /// The buffer of a state: dims are the logical ones at full capacity.
  mlir::FailureOr<View> state(mlir::Operation *user, graph::StateOp op);
  /// The plan.state of a state that has been used.
  llvm::StringRef stateSymbol(graph::StateOp op) {
    return states.lookup(op).first.getSymName();
  }

  planir::BufferOp makeBuffer(const llvm::Twine &name, planir::Kind kind,
                              uint64_t size, llvm::StringRef entry,
                              planir::SegmentOp segment = {},
                              mlir::ElementsAttr data = {});
  graph::WeightOp weightOf(mlir::Value value) const;
  graph::StateOp stateNamed(llvm::StringRef name) const;

  /// Puts segments, states, buffers and entries in this order.
  void finish();

  mlir::ModuleOp module;
  mlir::OpBuilder builder; // at the end of the module

private:
  /// Either weight or value says where the bytes come from.
  mlir::FailureOr<View> raw(mlir::Operation *user, const llvm::Twine &name,
                            mlir::RankedTensorType type, graph::WeightOp weight,
                            mlir::ElementsAttr value);
  planir::SegmentOp rawSegment(const llvm::Twine &name, uint64_t size,
                               graph::WeightOp source,
                               mlir::ElementsAttr value);
  mlir::FailureOr<View> panels(mlir::Operation *user, const llvm::Twine &name,
                               mlir::RankedTensorType type,
                               llvm::StringRef layout, graph::WeightOp weight,
                               mlir::ElementsAttr value);
  mlir::FailureOr<View> packedTogether(mlir::Operation *user,
                                       llvm::ArrayRef<Part> parts,
                                       bool interleaved);
  planir::SegmentOp segmentOf(const llvm::Twine &name, uint64_t size,
                              mlir::DictionaryAttr packing,
                              mlir::ArrayAttr sources,
                              mlir::ElementsAttr value);
  mlir::FailureOr<planir::SegmentOp>
  segment(const llvm::Twine &name, uint64_t size, mlir::DictionaryAttr packing,
          graph::WeightOp source, mlir::ElementsAttr value);
  std::string uniqueName(const llvm::Twine &name);

  mlir::SymbolTable symbols;
  llvm::StringSet<> names;
  llvm::DenseSet<mlir::Operation *> panelTables;
  llvm::StringMap<planir::BufferOp> weightBuffers; // by segment name
  llvm::StringMap<planir::SegmentOp> rawSegments;  // by weight
  llvm::DenseMap<mlir::Attribute, planir::BufferOp> constants;
  llvm::DenseMap<mlir::Operation *,
                 std::pair<planir::StateOp, planir::BufferOp>>
      states;
};

class EntryLowering {
public:
  EntryLowering(ModuleLowering &module, mlir::func::FuncOp func);

  /// Makes the plan.entry. Errors are reported on the op they belong to.
  mlir::LogicalResult run();

private:
  mlir::LogicalResult lowerArguments();
  mlir::LogicalResult lowerOp(mlir::Operation *op);
  mlir::LogicalResult lowerReturn(mlir::func::ReturnOp op);

  // LowerElementwise.cpp
  mlir::LogicalResult lowerPointwise(mlir::Operation *op);
  mlir::LogicalResult lowerFused(graph::FusedOp op);
  // LowerLayout.cpp
  mlir::LogicalResult lowerReshape(mlir::Operation *op);
  mlir::LogicalResult lowerTranspose(graph::TransposeOp op);
  mlir::LogicalResult lowerBroadcast(graph::BroadcastOp op);
  mlir::LogicalResult lowerSlice(graph::SliceOp op);
  mlir::LogicalResult lowerConcat(graph::ConcatOp op);
  mlir::LogicalResult lowerPad(graph::PadOp op);
  mlir::LogicalResult lowerIota(graph::IotaOp op);
  mlir::LogicalResult lowerDimValue(graph::DimValueOp op);
  // LowerIndexing.cpp
  mlir::LogicalResult lowerGather(graph::GatherOp op);
  mlir::LogicalResult lowerIndexing(mlir::Operation *op);
  mlir::LogicalResult lowerTopK(graph::TopKOp op);
  // LowerReductions.cpp
  mlir::LogicalResult lowerReduction(mlir::Operation *op);
  mlir::LogicalResult lowerNorm(mlir::Operation *op);
  // LowerProducts.cpp
  mlir::LogicalResult lowerLinear(graph::LinearOp op);
  mlir::LogicalResult lowerGatedLinear(graph::GatedLinearOp op);
  mlir::LogicalResult lowerSplitLinear(graph::SplitLinearOp op);
  mlir::LogicalResult lowerQuantLinear(graph::QuantLinearOp op);
  mlir::LogicalResult lowerQuantGather(graph::QuantGatherOp op);
  mlir::LogicalResult lowerProduct(mlir::Operation *op);
  mlir::LogicalResult lowerQuantization(mlir::Operation *op);
  mlir::LogicalResult lowerConv(graph::ConvOp op);
  // LowerPool.cpp
  mlir::LogicalResult lowerPool(graph::PoolOp op);
  mlir::LogicalResult lowerLrn(graph::LrnOp op);
  // LowerState.cpp
  mlir::LogicalResult lowerRope(graph::RopeOp op);
  mlir::LogicalResult lowerAttention(graph::AttentionOp op);
  mlir::LogicalResult lowerKvAppend(graph::KvAppendOp op);
  mlir::LogicalResult lowerKvRead(graph::KvReadOp op);
  mlir::FailureOr<View> cache(mlir::Operation *user, mlir::Value value);

  /// Where the value lies; weights and constants are made on demand.
  mlir::FailureOr<View> operand(mlir::Operation *user, mlir::Value value);
  /// A new activation for a result, at the upper bound of its dims. Ops that
  /// only move elements pass the type of what they move; others leave it out
  /// and get the widened type.
  mlir::FailureOr<View> result(mlir::Value value,
                               std::optional<plan::DType> dtype = {});
  /// The view itself, or a copy of it with another element type.
  mlir::FailureOr<View> converted(mlir::Operation *op, const View &view,
                                  plan::DType dtype);
  /// What the op's launches and buffers are called: the node of the model, or
  /// the output that a return is busy with.
  std::string nameOf(mlir::Operation *op) const {
    return outputName.empty() ? graph::nodeName(op) : outputName;
  }
  mlir::FailureOr<uint64_t> boundBytes(mlir::Operation *op, plan::DType dtype,
                                       const graph::Dims &dims);
  mlir::LogicalResult launch(mlir::Operation *op, plan::KernelId kernel,
                             llvm::ArrayRef<Use> uses, Numbers numbers = {});
  /// The common case: reads all present operands, writes all results. With
  /// `keepsType`, results that have the type of operand 0 in the model have it
  /// in the plan too, as do operands that share it.
  mlir::LogicalResult launchSimple(mlir::Operation *op, plan::KernelId kernel,
                                   Numbers numbers = {},
                                   bool keepsType = false);

  /// A strided copy between views (offsets and strides in elements); unit
  /// dimensions are dropped and contiguous ones merged.
  mlir::LogicalResult copy(mlir::Operation *op, const View &in,
                           graph::DimExpr offsetIn, graph::Dims stridesIn,
                           const View &out, graph::DimExpr offsetOut,
                           graph::Dims stridesOut, graph::Dims extents,
                           bool coversOut);
  mlir::LogicalResult fill(mlir::Operation *op, const View &out,
                           mlir::DenseElementsAttr splat);

  /// The splat of a constant or fill op, else null: pointwise programs hold
  /// such values themselves.
  static mlir::DenseElementsAttr splatOf(mlir::Value value);

  friend class Program;

  ModuleLowering &module;
  mlir::func::FuncOp func;
  mlir::MLIRContext *context;
  std::string name;
  graph::SymbolBounds bounds;
  planir::EntryOp entry;
  mlir::OpBuilder builder;
  llvm::DenseMap<mlir::Value, View> views;

  struct Cache {
    graph::StateOp state;
    graph::DimExpr total; // tokens after the append
  };
  llvm::DenseMap<mlir::Value, Cache> caches;
  /// The last append of each state: older values are gone.
  llvm::MapVector<mlir::Operation *, mlir::Value> latest;
  std::string past;
  std::string outputName;
  std::optional<graph::DimExpr> newTokens;
};

} // namespace llmc::lowering

#endif // LLMC_PASSES_MEMORY_LOWERING_H
