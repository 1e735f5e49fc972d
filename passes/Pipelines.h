//===- Pipelines.h - The order of the passes -------------------*- C++ -*-===//

#ifndef LLMC_PASSES_PIPELINES_H
#define LLMC_PASSES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

#include <string>

namespace llmc {

struct GraphPipelineOptions
    : public mlir::PassPipelineOptions<GraphPipelineOptions> {
  Option<int64_t> context{
      *this, "context",
      llvm::cl::desc("Tokens a state must hold; 0: the module's graph.context"),
      llvm::cl::init(0)};
  Option<int64_t> blockTokens{*this, "block-tokens",
                              llvm::cl::desc("Tokens of one KV block"),
                              llvm::cl::init(64)};
  Option<std::string> kvType{
      *this, "kv-type",
      llvm::cl::desc("Element type of states: auto (the model's), f32, f16, "
                     "bf16"),
      llvm::cl::init("auto")};
  Option<int64_t> kvWindow{
      *this, "kv-window",
      llvm::cl::desc("Tokens that attention over a state sees; 0: all"),
      llvm::cl::init(0)};
  Option<int64_t> kvSink{
      *this, "kv-sink",
      llvm::cl::desc("First tokens that it sees beside its window"),
      llvm::cl::init(0)};
  Option<bool> allLogits{
      *this, "all-logits",
      llvm::cl::desc("Keep the logits of every position, not only the last"),
      llvm::cl::init(false)};
  Option<bool> fusion{
      *this, "fusion",
      llvm::cl::desc("Norms, activations, rotations, biases and element-wise "
                     "trees as one op each"),
      llvm::cl::init(true)};
  Option<std::string> quantize{*this, "quantize",
                               llvm::cl::desc("none or int8"),
                               llvm::cl::init("none")};
};

/// Imported graph -> recovered, fused, verified graph.
void buildGraphPipeline(mlir::OpPassManager &pm,
                        const GraphPipelineOptions &options);

struct PlanPipelineOptions
    : public mlir::PassPipelineOptions<PlanPipelineOptions> {
  Option<uint64_t> budget{
      *this, "budget",
      llvm::cl::desc("Bytes of arena and reserve; the default is unbounded"),
      llvm::cl::init(UINT64_MAX)};
  Option<uint64_t> reserve{
      *this, "reserve", llvm::cl::desc("Bytes kept free outside of the arena"),
      llvm::cl::init(0)};
  Option<std::string> policy{*this, "policy",
                             llvm::cl::desc("planned or naive"),
                             llvm::cl::init("planned")};
  Option<std::string> order{
      *this, "order",
      llvm::cl::desc("Order of the steps: planned (low peak) or model"),
      llvm::cl::init("planned")};
  Option<int64_t> kvResident{
      *this, "kv-resident",
      llvm::cl::desc("Tokens of each state that stay in the arena; -1: all, "
                     "-2: as many as the budget allows"),
      llvm::cl::init(-1)};
  Option<bool> swap{
      *this, "swap",
      llvm::cl::desc("Let activations leave where nothing else meets the "
                     "budget"),
      llvm::cl::init(true)};
  Option<bool> inPlace{
      *this, "in-place",
      llvm::cl::desc("Let buffers share a place where nothing is lost"),
      llvm::cl::init(true)};
};

/// Verified graph -> a schedule in which every buffer has its lifetime, with
/// all weights in place. Does not look at the budget.
void buildSchedulePipeline(mlir::OpPassManager &pm,
                           const PlanPipelineOptions &options);
/// The rest of the plan pipeline.
void buildPlacementPipeline(mlir::OpPassManager &pm,
                            const PlanPipelineOptions &options);

/// Verified graph -> placed, verified plan: both of the above. If the budget
/// cannot be met, the module's attribute `plan.infeasible` says why (see
/// emit::getInfeasible).
void buildPlanPipeline(mlir::OpPassManager &pm,
                       const PlanPipelineOptions &options);

/// Registers the pipelines by name (`--llmc-graph`, `--llmc-plan`).
void registerPipelines();
/// Called by registerPipelines().
void registerPlanPipeline();

} // namespace llmc

#endif // LLMC_PASSES_PIPELINES_H
