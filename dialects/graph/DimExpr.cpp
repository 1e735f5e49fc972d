//===- DimExpr.cpp - Symbolic tensor dimensions ---------------------------===//

#include "dialects/graph/DimExprNodes.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace llmc::graph {

namespace {

std::optional<int64_t> floorDivide(int64_t a, int64_t b) {
  if (b == 0 || (a == INT64_MIN && b == -1)) {
    return std::nullopt;
  }
  int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

} // namespace

std::optional<int64_t> detail::apply(DimOp op, int64_t a, int64_t b) {
  switch (op) {
  case DimOp::FloorDiv:
    return floorDivide(a, b);
  case DimOp::CeilDiv: {
    std::optional<int64_t> q = floorDivide(a, b);
    if (q && *q * b != a) {
      ++*q;
    }
    return q;
  }
  case DimOp::Mod: {
    std::optional<int64_t> q = floorDivide(a, b);
    return q ? std::optional(a - *q * b) : std::nullopt;
  }
  case DimOp::Min:
    return std::min(a, b);
  case DimOp::Max:
    return std::max(a, b);
  }
  return std::nullopt;
}

using detail::apply;
using detail::Atom;
using detail::DimNode;
using detail::Term;

namespace {

/// A dimension that overflows 64 bits becomes this symbol, which has no
/// bounds, so that everything that depends on it fails closed.
constexpr std::string_view kOverflow = "overflow!";

struct Interner {
  std::mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<Atom>> atoms;
  std::unordered_map<std::string, std::unique_ptr<DimNode>> nodes;
};

Interner &interner() {
  static auto *instance = new Interner;
  return *instance;
}

int compareFactors(const std::vector<const Atom *> &a,
                   const std::vector<const Atom *> &b) {
  // The constant sorts last, otherwise by spelling.
  if (a.empty() || b.empty()) {
    return a.empty() == b.empty() ? 0 : (a.empty() ? 1 : -1);
  }
  size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i) {
    if (a[i] != b[i]) {
      return a[i]->text < b[i]->text ? -1 : 1;
    }
  }
  return a.size() == b.size() ? 0 : (a.size() < b.size() ? -1 : 1);
}

std::string spell(const std::vector<Term> &terms) {
  if (terms.empty()) {
    return "0";
  }
  std::string out;
  for (const Term &term : terms) {
    int64_t c = term.coefficient;
    bool negative = c < 0;
    if (!out.empty()) {
      out += negative ? " - " : " + ";
    } else if (negative) {
      out += "-";
    }
    uint64_t magnitude = negative ? -static_cast<uint64_t>(c) : c;
    bool first = true;
    if (magnitude != 1 || term.factors.empty()) {
      out += std::to_string(magnitude);
      first = false;
    }
    for (const Atom *factor : term.factors) {
      out += first ? "" : " * ";
      out += factor->text;
      first = false;
    }
  }
  return out;
}

DimExpr internTerms(std::vector<Term> terms) {
  std::string text = spell(terms);
  Interner &table = interner();
  std::lock_guard lock(table.mutex);
  std::unique_ptr<DimNode> &slot = table.nodes[text];
  if (!slot) {
    slot = std::make_unique<DimNode>();
    slot->terms = std::move(terms);
    slot->text = std::move(text);
  }
  return DimNode::wrap(slot.get());
}

const Atom *internAtom(std::string text, bool isSymbol, DimOp op, DimExpr a,
                       DimExpr b) {
  Interner &table = interner();
  std::lock_guard lock(table.mutex);
  std::unique_ptr<Atom> &slot = table.atoms[text];
  if (!slot) {
    slot = std::make_unique<Atom>(Atom{isSymbol, op, text, a, b});
  }
  return slot.get();
}

DimExpr fromAtom(const Atom *atom) { return internTerms({{1, {atom}}}); }

/// Sorts, collects like terms and drops zeros.
DimExpr normalized(std::vector<Term> terms) {
  std::sort(terms.begin(), terms.end(), [](const Term &x, const Term &y) {
    return compareFactors(x.factors, y.factors) < 0;
  });
  std::vector<Term> out;
  for (Term &term : terms) {
    if (!out.empty() && compareFactors(out.back().factors, term.factors) == 0) {
      if (__builtin_add_overflow(out.back().coefficient, term.coefficient,
                                 &out.back().coefficient)) {
        return DimExpr::symbol(kOverflow);
      }
    } else {
      out.push_back(std::move(term));
    }
  }
  std::erase_if(out, [](const Term &term) { return term.coefficient == 0; });
  return internTerms(std::move(out));
}

std::string_view opName(DimOp op) {
  switch (op) {
  case DimOp::FloorDiv:
    return "floordiv";
  case DimOp::CeilDiv:
    return "ceildiv";
  case DimOp::Mod:
    return "mod";
  case DimOp::Min:
    return "min";
  case DimOp::Max:
    return "max";
  }
  return "";
}

DimExpr makeCall(DimOp op, DimExpr a, DimExpr b) {
  std::string text =
      std::string(opName(op)) + "(" + a.str() + ", " + b.str() + ")";
  return fromAtom(internAtom(std::move(text), false, op, a, b));
}

} // namespace

//===----------------------------------------------------------------------===//
// Construction and arithmetic
//===----------------------------------------------------------------------===//

DimExpr::DimExpr() : DimExpr(static_cast<int64_t>(0)) {}

DimExpr::DimExpr(int64_t value) : node(nullptr) {
  std::vector<Term> terms;
  if (value != 0) {
    terms.push_back({value, {}});
  }
  node = internTerms(std::move(terms)).node;
}

DimExpr DimExpr::symbol(std::string_view name) {
  // Zero as the unused operands: DimExpr has no empty value.
  return fromAtom(internAtom(std::string(name), true, DimOp::Min, 0, 0));
}

DimExpr operator+(DimExpr a, DimExpr b) {
  std::vector<Term> terms = DimNode::get(a).terms;
  const std::vector<Term> &other = DimNode::get(b).terms;
  terms.insert(terms.end(), other.begin(), other.end());
  return normalized(std::move(terms));
}

DimExpr operator-(DimExpr a, DimExpr b) { return a + DimExpr(-1) * b; }

DimExpr operator*(DimExpr a, DimExpr b) {
  std::vector<Term> terms;
  for (const Term &x : DimNode::get(a).terms) {
    for (const Term &y : DimNode::get(b).terms) {
      Term term;
      if (__builtin_mul_overflow(x.coefficient, y.coefficient,
                                 &term.coefficient)) {
        return DimExpr::symbol(kOverflow);
      }
      term.factors = x.factors;
      term.factors.insert(term.factors.end(), y.factors.begin(),
                          y.factors.end());
      std::sort(term.factors.begin(), term.factors.end(),
                [](const Atom *p, const Atom *q) { return p->text < q->text; });
      terms.push_back(std::move(term));
    }
  }
  return normalized(std::move(terms));
}

std::optional<DimExpr> DimExpr::dividedBy(DimExpr divisor) const {
  const std::vector<Term> &by = divisor.node->terms;
  if (by.empty()) {
    return std::nullopt;
  }
  if (*this == divisor) {
    return DimExpr(1);
  }
  if (by.size() != 1) {
    // Polynomial by polynomial: long division on the leading terms.
    DimExpr rest = *this;
    DimExpr quotient = 0;
    for (int i = 0; i < 16 && !rest.node->terms.empty(); ++i) {
      DimExpr lead = internTerms({rest.node->terms.front()});
      std::optional<DimExpr> q = lead.dividedBy(internTerms({by.front()}));
      if (!q) {
        return std::nullopt;
      }
      quotient = quotient + *q;
      rest = rest - *q * divisor;
    }
    return rest.node->terms.empty() ? std::optional(quotient) : std::nullopt;
  }
  std::vector<Term> terms;
  for (const Term &term : node->terms) {
    if (term.coefficient % by[0].coefficient != 0) {
      return std::nullopt;
    }
    Term out{term.coefficient / by[0].coefficient, term.factors};
    for (const Atom *factor : by[0].factors) {
      auto it = std::find(out.factors.begin(), out.factors.end(), factor);
      if (it == out.factors.end()) {
        return std::nullopt;
      }
      out.factors.erase(it);
    }
    terms.push_back(std::move(out));
  }
  return normalized(std::move(terms));
}

DimExpr DimExpr::floorDiv(DimExpr a, DimExpr b) {
  if (std::optional<int64_t> y = b.asConstant(); y && *y != 0) {
    if (std::optional<int64_t> x = a.asConstant()) {
      if (std::optional<int64_t> q = apply(DimOp::FloorDiv, *x, *y)) {
        return *q;
      }
    }
    // Terms that are multiples of the divisor come out of the division.
    std::vector<Term> out, rest;
    for (const Term &term : a.node->terms) {
      if (term.coefficient % *y == 0) {
        out.push_back({term.coefficient / *y, term.factors});
      } else {
        rest.push_back(term);
      }
    }
    if (rest.empty()) {
      return normalized(std::move(out));
    }
    if (!out.empty()) {
      return normalized(std::move(out)) +
             floorDiv(normalized(std::move(rest)), b);
    }
  }
  if (std::optional<DimExpr> exact = a.dividedBy(b)) {
    return *exact;
  }
  return makeCall(DimOp::FloorDiv, a, b);
}

DimExpr DimExpr::ceilDiv(DimExpr a, DimExpr b) {
  std::optional<int64_t> x = a.asConstant(), y = b.asConstant();
  if (x && y) {
    if (std::optional<int64_t> q = apply(DimOp::CeilDiv, *x, *y)) {
      return *q;
    }
  }
  if (std::optional<DimExpr> exact = a.dividedBy(b)) {
    return *exact;
  }
  return makeCall(DimOp::CeilDiv, a, b);
}

DimExpr DimExpr::mod(DimExpr a, DimExpr b) {
  std::optional<int64_t> x = a.asConstant(), y = b.asConstant();
  if (x && y) {
    if (std::optional<int64_t> r = apply(DimOp::Mod, *x, *y)) {
      return *r;
    }
  }
  if (a.dividedBy(b)) {
    return 0;
  }
  return makeCall(DimOp::Mod, a, b);
}

DimExpr DimExpr::min(DimExpr a, DimExpr b) {
  if (std::optional<int64_t> difference = (a - b).asConstant()) {
    return *difference <= 0 ? a : b;
  }
  return a.str() <= b.str() ? makeCall(DimOp::Min, a, b)
                            : makeCall(DimOp::Min, b, a);
}

DimExpr DimExpr::max(DimExpr a, DimExpr b) {
  if (std::optional<int64_t> difference = (a - b).asConstant()) {
    return *difference >= 0 ? a : b;
  }
  return a.str() <= b.str() ? makeCall(DimOp::Max, a, b)
                            : makeCall(DimOp::Max, b, a);
}

DimExpr numElements(const Dims &dims) {
  DimExpr product = 1;
  for (DimExpr dim : dims) {
    product = product * dim;
  }
  return product;
}

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

std::optional<int64_t> DimExpr::asConstant() const {
  if (node->terms.empty()) {
    return 0;
  }
  if (node->terms.size() == 1 && node->terms[0].factors.empty()) {
    return node->terms[0].coefficient;
  }
  return std::nullopt;
}

std::optional<std::string> DimExpr::asSymbol() const {
  if (node->terms.size() == 1 && node->terms[0].coefficient == 1 &&
      node->terms[0].factors.size() == 1 &&
      node->terms[0].factors[0]->isSymbol) {
    return node->terms[0].factors[0]->text;
  }
  return std::nullopt;
}

std::string DimExpr::str() const { return node->text; }

std::optional<int64_t> DimExpr::evaluate(const SymbolValues &values) const {
  int64_t sum = 0;
  for (const Term &term : node->terms) {
    int64_t product = term.coefficient;
    for (const Atom *factor : term.factors) {
      std::optional<int64_t> value;
      if (factor->isSymbol) {
        auto it = values.find(factor->text);
        if (it != values.end()) {
          value = it->second;
        }
      } else {
        std::optional<int64_t> a = factor->a.evaluate(values),
                               b = factor->b.evaluate(values);
        if (a && b) {
          value = apply(factor->op, *a, *b);
        }
      }
      if (!value || __builtin_mul_overflow(product, *value, &product)) {
        return std::nullopt;
      }
    }
    if (__builtin_add_overflow(sum, product, &sum)) {
      return std::nullopt;
    }
  }
  return sum;
}

DimExpr DimExpr::substitute(
    const std::map<std::string, DimExpr, std::less<>> &with) const {
  DimExpr sum = 0;
  for (const Term &term : node->terms) {
    DimExpr product = term.coefficient;
    for (const Atom *factor : term.factors) {
      if (factor->isSymbol) {
        auto it = with.find(factor->text);
        product = product * (it == with.end() ? DimExpr::symbol(factor->text)
                                              : it->second);
        continue;
      }
      DimExpr a = factor->a.substitute(with), b = factor->b.substitute(with);
      switch (factor->op) {
      case DimOp::FloorDiv:
        product = product * floorDiv(a, b);
        break;
      case DimOp::CeilDiv:
        product = product * ceilDiv(a, b);
        break;
      case DimOp::Mod:
        product = product * mod(a, b);
        break;
      case DimOp::Min:
        product = product * min(a, b);
        break;
      case DimOp::Max:
        product = product * max(a, b);
        break;
      }
    }
    sum = sum + product;
  }
  return sum;
}

void DimExpr::collectSymbols(std::vector<std::string> &names) const {
  for (const Term &term : node->terms) {
    for (const Atom *factor : term.factors) {
      if (!factor->isSymbol) {
        factor->a.collectSymbols(names);
        factor->b.collectSymbols(names);
      } else if (std::find(names.begin(), names.end(), factor->text) ==
                 names.end()) {
        names.push_back(factor->text);
      }
    }
  }
}

void DimExpr::toPostfix(std::vector<Instruction> &out) const {
  using Kind = Instruction::Kind;
  if (node->terms.empty()) {
    out.push_back({Kind::Constant, 0, {}});
    return;
  }
  bool firstTerm = true;
  for (const Term &term : node->terms) {
    bool empty = true;
    auto multiply = [&] {
      if (!empty) {
        out.push_back({Kind::Mul, 0, {}});
      }
      empty = false;
    };
    if (term.coefficient != 1 || term.factors.empty()) {
      out.push_back({Kind::Constant, term.coefficient, {}});
      multiply();
    }
    for (const Atom *factor : term.factors) {
      if (factor->isSymbol) {
        out.push_back({Kind::Symbol, 0, factor->text});
      } else {
        factor->a.toPostfix(out);
        factor->b.toPostfix(out);
        constexpr Kind kinds[] = {Kind::FloorDiv, Kind::CeilDiv, Kind::Mod,
                                  Kind::Min, Kind::Max};
        out.push_back({kinds[static_cast<int>(factor->op)], 0, {}});
      }
      multiply();
    }
    if (!firstTerm) {
      out.push_back({Kind::Add, 0, {}});
    }
    firstTerm = false;
  }
}

} // namespace llmc::graph
