//===- MaskAnalysis.h - Which keys an attention mask leaves ----*- C++ -*-===//
//
// Reads a mask symbolically: each element is a list of pieces (a value under a
// conjunction of linear conditions e >= 0 on the indices), built from iotas,
// comparisons, selects, slices, gathers and so on. Then proves, where it can,
// that query row i sees exactly the keys
//
//   j <= i + T - S                        (causal), and
//   j >  i + T - S - window               (if there is a window)
//
// Glossary. S: rows of the mask, queries. T: columns, keys. Additive masks are
// 0 where a key is seen and at most -1e4 where not; Boolean ones true / false.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_ANALYSIS_MASKANALYSIS_H
#define LLMC_PASSES_ANALYSIS_MASKANALYSIS_H

#include "dialects/graph/DimExpr.h"

#include "mlir/IR/Value.h"

#include <optional>
#include <vector>

namespace llmc::graph {

/// What a mask was proved to be.
struct MaskKind {
  bool causal = false; // false: every key is seen
  int64_t window = 0;  // 0: none
};

/// Several masks on the same scores: a key is seen where all of them let it.
/// nullopt where the proof fails: the masks then must be kept as they are.
/// `queries` and `keys` are S and T; `bounds` those of the entry's symbols.
/// `causal`: the scores are causal already, whatever the masks say.
std::optional<MaskKind> analyzeMasks(llvm::ArrayRef<mlir::Value> masks,
                                     DimExpr queries, DimExpr keys,
                                     const SymbolBounds &bounds,
                                     bool causal = false);

} // namespace llmc::graph

#endif // LLMC_PASSES_ANALYSIS_MASKANALYSIS_H
