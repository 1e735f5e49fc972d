//===- CacheLimits.h - States that forget ----------------------*- C++ -*-===//
//
// With --kv-window a graph.attention over caches sees its window and, by
//
//     graph.limit = array<i64: SINKS, BLOCKS>
//
// the first SINKS tokens; BLOCKS is the number of blocks of the states before
// their ring. A graph.state that keeps only that says so by
//
//     graph.ring = array<i64: BLOCKS, RING>
//
// the blocks before its ring and those in it. See plan::State.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_CACHELIMITS_H
#define LLMC_DIALECTS_GRAPH_CACHELIMITS_H

#include "dialects/graph/GraphOps.h"

#include <optional>

namespace llmc::graph {

constexpr llvm::StringLiteral kLimitAttr = "graph.limit";
constexpr llvm::StringLiteral kRingAttr = "graph.ring";

struct CacheLimit {
  int64_t sinkTokens = 0, sinkBlocks = 0;
};

struct CacheRing {
  int64_t sinkBlocks = 0, ringBlocks = 0;
};

/// What the dialect has verified; nothing if there is no such attribute.
inline std::optional<CacheLimit> getCacheLimit(AttentionOp op) {
  auto attr = op->getAttrOfType<mlir::DenseI64ArrayAttr>(kLimitAttr);
  return attr ? std::optional(CacheLimit{attr[0], attr[1]}) : std::nullopt;
}

inline std::optional<CacheRing> getCacheRing(StateOp op) {
  auto attr = op->getAttrOfType<mlir::DenseI64ArrayAttr>(kRingAttr);
  return attr ? std::optional(CacheRing{attr[0], attr[1]}) : std::nullopt;
}

/// Whether `attr` may be kLimitAttr or kRingAttr, which `name` says, of `op`;
/// says why not.
llvm::LogicalResult verifyCacheLimits(mlir::Operation *op, llvm::StringRef name,
                                      mlir::Attribute attr);

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_CACHELIMITS_H
