//===- Expressions.cpp - An entry's table of expressions -------*- C++ -*-===//

#include "compiler/emit/Expressions.h"

namespace llmc::emit {

uint32_t ExpressionTable::node(plan::ExprOp op, uint32_t a, uint32_t b,
                               int64_t value) {
  auto [it, isNew] = nodes.try_emplace(
      std::tuple(op, a, b, value), static_cast<uint32_t>(entry.exprs.size()));
  if (isNew) {
    entry.exprs.push_back({op, a, b, value});
  }
  return it->second;
}

std::optional<uint32_t> ExpressionTable::add(graph::DimExpr expr) {
  auto found = known.find(expr.identity());
  if (found != known.end()) {
    return found->second;
  }
  using Kind = graph::DimExpr::Instruction::Kind;
  std::vector<graph::DimExpr::Instruction> postfix;
  expr.toPostfix(postfix);
  std::vector<uint32_t> stack;
  for (const auto &instruction : postfix) {
    if (instruction.kind == Kind::Constant) {
      stack.push_back(node(plan::ExprOp::Constant, 0, 0, instruction.value));
      continue;
    }
    if (instruction.kind == Kind::Symbol) {
      uint32_t index = 0;
      while (index < entry.symbols.size() &&
             entry.symbols[index].name != instruction.symbol) {
        ++index;
      }
      if (index == entry.symbols.size()) {
        return std::nullopt;
      }
      stack.push_back(node(plan::ExprOp::Symbol, index, 0, 0));
      continue;
    }
    plan::ExprOp op = plan::ExprOp::Add;
    switch (instruction.kind) {
    case Kind::Add:
      op = plan::ExprOp::Add;
      break;
    case Kind::Mul:
      op = plan::ExprOp::Mul;
      break;
    case Kind::FloorDiv:
      op = plan::ExprOp::FloorDiv;
      break;
    case Kind::CeilDiv:
      op = plan::ExprOp::CeilDiv;
      break;
    case Kind::Mod:
      op = plan::ExprOp::Mod;
      break;
    case Kind::Min:
      op = plan::ExprOp::Min;
      break;
    case Kind::Max:
      op = plan::ExprOp::Max;
      break;
    case Kind::Constant:
    case Kind::Symbol:
      break;
    }
    uint32_t b = stack.back();
    stack.pop_back();
    uint32_t a = stack.back();
    stack.pop_back();
    stack.push_back(node(op, a, b, 0));
  }
  known[expr.identity()] = stack.back();
  return stack.back();
}

} // namespace llmc::emit
