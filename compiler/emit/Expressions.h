//===- Expressions.h - An entry's table of expressions ---------*- C++ -*-===//

#ifndef LLMC_COMPILER_EMIT_EXPRESSIONS_H
#define LLMC_COMPILER_EMIT_EXPRESSIONS_H

#include "dialects/graph/DimExpr.h"
#include "runtime/plan/Plan.h"

#include <map>
#include <tuple>

namespace llmc::emit {

/// Interns expressions as nodes of plan::Entry::exprs; operands come before
/// their users, equal nodes are shared.
class ExpressionTable {
public:
  explicit ExpressionTable(plan::Entry &entry) : entry(entry) {}

  /// The node of `expr`; nullopt if it names a symbol the entry lacks.
  std::optional<uint32_t> add(graph::DimExpr expr);

private:
  uint32_t node(plan::ExprOp op, uint32_t a, uint32_t b, int64_t value);

  plan::Entry &entry;
  std::map<std::tuple<plan::ExprOp, uint32_t, uint32_t, int64_t>, uint32_t>
      nodes;
  std::map<const void *, uint32_t> known;
};

} // namespace llmc::emit

#endif // LLMC_COMPILER_EMIT_EXPRESSIONS_H
