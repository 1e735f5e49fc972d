//===- Contexts.h - What each context of a model needs ---------*- C++ -*-===//
//
// The bytes of a KV cache are linear in its tokens, and so are, nearly, those
// of a plan: the largest context that a budget allows is found by interpolation
// between contexts that are known, and confirmed by scheduling it and the next
// one. What is known serves every budget.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_CONTEXTS_H
#define LLMC_COMPILER_CONTEXTS_H

#include "compiler/Options.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <map>

namespace mlir {
class MLIRContext;
} // namespace mlir

namespace llmc::compiler {

class Contexts {
public:
  /// A block of the state; contexts in between need hardly less.
  static constexpr int64_t kStep = 64;
  static constexpr int64_t kSmallest = 128;

  struct Need {
    uint64_t minimumBytes = 0;  // the smallest budget
    uint64_t residentBytes = 0; // nothing streams from here on
  };
  enum class Want : uint8_t { Feasible, Resident };

  /// `most`: the largest context to consider. Only that one and whole multiples
  /// of kStep from kSmallest on are.
  Contexts(mlir::MLIRContext &context, const CompileOptions &options,
           int64_t most);

  Result<Need> need(int64_t tokens);
  /// The caller has scheduled this context itself.
  void learn(int64_t tokens, const Need &need) { known[tokens] = need; }

  /// The largest context that the budget allows; 0 if there is none.
  Result<int64_t> largest(uint64_t budgetBytes, Want want);

  /// Contexts that were scheduled.
  size_t scheduled() const { return count; }

private:
  int64_t tokensOf(int64_t index) const;

  mlir::MLIRContext &context;
  CompileOptions options;
  int64_t most;
  int64_t last;                  // index of `most`; indices count from 1
  std::map<int64_t, Need> known; // by tokens
  size_t count = 0;
};

} // namespace llmc::compiler

#endif // LLMC_COMPILER_CONTEXTS_H
