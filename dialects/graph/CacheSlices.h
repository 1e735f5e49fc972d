//===- CacheSlices.h - Keys and values in one state ------------*- C++ -*-===//
//
// Some models keep keys and values in one tensor [2, B, Hkv, tokens, D]. Its
// state has these dimensions; a graph.attention over its cache says by the
// attribute
//
//     graph.slices = array<i64: 0, 1>
//
// that k is slice 0 and v slice 1 of the outermost dimension of the state
// behind the cache that each of them names (here the same). Without it the
// states are [B, Hkv, tokens, D].
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_CACHESLICES_H
#define LLMC_DIALECTS_GRAPH_CACHESLICES_H

#include "dialects/graph/GraphOps.h"

#include <optional>

namespace llmc::graph {

constexpr llvm::StringLiteral kSlicesAttr = "graph.slices";

struct CacheSlices {
  int64_t k = 0, v = 0;
};

/// The slices that k and v are; nothing if they are caches of their own, or
/// dense. The dialect has verified the attribute.
inline std::optional<CacheSlices> getCacheSlices(AttentionOp op) {
  auto attr = op->getAttrOfType<mlir::DenseI64ArrayAttr>(kSlicesAttr);
  if (!attr) {
    return std::nullopt;
  }
  return CacheSlices{attr[0], attr[1]};
}

inline void setCacheSlices(AttentionOp op, CacheSlices slices) {
  op->setAttr(kSlicesAttr, mlir::DenseI64ArrayAttr::get(op.getContext(),
                                                        {slices.k, slices.v}));
}

/// Whether `attr` may be kSlicesAttr of `op`; says why not.
llvm::LogicalResult verifyCacheSlices(mlir::Operation *op,
                                      mlir::Attribute attr);

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_CACHESLICES_H
