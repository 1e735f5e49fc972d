//===- DimExpr.cpp - Symbolic tensor dimensions ---------------------------===//

#include "dialects/graph/DimExpr.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace llmc::graph {
namespace detail {

/// A symbol, or floordiv / ceildiv / mod / min / max of two polynomials.
struct Atom {
  bool isSymbol;
  DimOp op;
  std::string text; // canonical spelling, the interning key
  DimExpr a, b;
};

/// coefficient * product of factors (sorted by spelling, repeats allowed).
struct Term {
  int64_t coefficient;
  std::vector<const Atom *> factors;
};

/// A polynomial: terms sorted by spelling of their factors, the constant last.
struct DimNode {
  std::vector<Term> terms;
  std::string text;

  static DimExpr wrap(const DimNode *node) {
    return DimExpr(DimExpr::Interned{}, node);
  }
  static const DimNode &get(DimExpr e) { return *e.node; }
};

} // namespace detail

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

std::optional<int64_t> floorDivide(int64_t a, int64_t b) {
  if (b == 0 || (a == INT64_MIN && b == -1)) {
    return std::nullopt;
  }
  int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

std::optional<int64_t> apply(DimOp op, int64_t a, int64_t b) {
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

namespace {

constexpr int64_t kInf = Interval::kUnbounded;

/// Bounds are kept in __int128 while computing so that overflow is seen.
int64_t saturate(__int128 value) {
  if (value >= kInf) {
    return kInf;
  }
  if (value <= -static_cast<__int128>(kInf)) {
    return -kInf;
  }
  return static_cast<int64_t>(value);
}

bool isInf(int64_t v) { return v == kInf || v == -kInf; }

int64_t addBound(int64_t a, int64_t b, int64_t whenInf) {
  return isInf(a) || isInf(b) ? whenInf
                              : saturate(static_cast<__int128>(a) + b);
}

int64_t mulBound(int64_t a, int64_t b) {
  if (a == 0 || b == 0) {
    return 0;
  }
  if (isInf(a) || isInf(b)) {
    return (a < 0) == (b < 0) ? kInf : -kInf;
  }
  return saturate(static_cast<__int128>(a) * b);
}

Interval add(Interval a, Interval b) {
  return {addBound(a.lower, b.lower, -kInf), addBound(a.upper, b.upper, kInf)};
}

Interval mul(Interval a, Interval b) {
  int64_t c[4] = {mulBound(a.lower, b.lower), mulBound(a.lower, b.upper),
                  mulBound(a.upper, b.lower), mulBound(a.upper, b.upper)};
  return {*std::min_element(c, c + 4), *std::max_element(c, c + 4)};
}

Interval divide(DimOp op, Interval a, Interval b) {
  // Only positive divisors occur in shapes; anything else fails closed.
  if (b.lower <= 0 || isInf(a.lower) || isInf(a.upper)) {
    return a.lower >= 0 && b.lower > 0 ? Interval{0, kInf} : Interval{};
  }
  int64_t high = isInf(b.upper) ? kInf - 1 : b.upper;
  int64_t c[4] = {*apply(op, a.lower, b.lower), *apply(op, a.lower, high),
                  *apply(op, a.upper, b.lower), *apply(op, a.upper, high)};
  return {*std::min_element(c, c + 4), *std::max_element(c, c + 4)};
}

Interval boundsOf(const Atom &atom, const SymbolBounds &symbols) {
  if (atom.isSymbol) {
    auto it = symbols.find(atom.text);
    return it == symbols.end() ? Interval{} : it->second;
  }
  Interval a = atom.a.bounds(symbols), b = atom.b.bounds(symbols);
  switch (atom.op) {
  case DimOp::FloorDiv:
  case DimOp::CeilDiv:
    return divide(atom.op, a, b);
  case DimOp::Mod:
    if (b.lower <= 0) {
      return {};
    }
    return {0, b.hasUpper() ? b.upper - 1 : kInf};
  case DimOp::Min:
    return {std::min(a.lower, b.lower), std::min(a.upper, b.upper)};
  case DimOp::Max:
    return {std::max(a.lower, b.lower), std::max(a.upper, b.upper)};
  }
  return {};
}

} // namespace

Interval DimExpr::bounds(const SymbolBounds &symbols) const {
  Interval sum{0, 0};
  for (const Term &term : node->terms) {
    Interval product{term.coefficient, term.coefficient};
    for (const Atom *factor : term.factors) {
      product = mul(product, boundsOf(*factor, symbols));
    }
    sum = add(sum, product);
  }
  return sum;
}

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

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

namespace {

/// sum := product (('+' | '-') product)*; product := factor ('*' factor)*.
class Parser {
public:
  explicit Parser(std::string_view text) : text(text) {}

  std::optional<DimExpr> parseAll() {
    std::optional<DimExpr> value = sum();
    skipSpace();
    return value && position == text.size() ? value : std::nullopt;
  }

private:
  static constexpr int kMaxDepth = 64;

  void skipSpace() {
    while (position < text.size() &&
           std::isspace(static_cast<unsigned char>(text[position]))) {
      ++position;
    }
  }

  bool consume(char c) {
    skipSpace();
    if (position < text.size() && text[position] == c) {
      ++position;
      return true;
    }
    return false;
  }

  std::optional<DimExpr> sum() {
    if (++depth > kMaxDepth) {
      return std::nullopt;
    }
    std::optional<DimExpr> value = product();
    while (value) {
      bool plus = consume('+');
      if (!plus && !consume('-')) {
        break;
      }
      std::optional<DimExpr> next = product();
      if (!next) {
        return std::nullopt;
      }
      value = plus ? *value + *next : *value - *next;
    }
    --depth;
    return value;
  }

  std::optional<DimExpr> product() {
    std::optional<DimExpr> value = factor();
    while (value && consume('*')) {
      std::optional<DimExpr> next = factor();
      if (!next) {
        return std::nullopt;
      }
      value = *value * *next;
    }
    return value;
  }

  std::optional<DimExpr> factor() {
    if (++depth > kMaxDepth) {
      return std::nullopt;
    }
    std::optional<DimExpr> value = primary();
    --depth;
    return value;
  }

  std::optional<DimExpr> primary() {
    if (consume('-')) {
      std::optional<DimExpr> value = factor();
      return value ? std::optional(DimExpr(-1) * *value) : std::nullopt;
    }
    if (consume('(')) {
      std::optional<DimExpr> value = sum();
      return value && consume(')') ? value : std::nullopt;
    }
    skipSpace();
    size_t start = position;
    if (position < text.size() && isDigit(text[position])) {
      int64_t number = 0;
      while (position < text.size() && isDigit(text[position])) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[position] - '0', &number)) {
          return std::nullopt;
        }
        ++position;
      }
      return DimExpr(number);
    }
    while (position < text.size() && isNameChar(text[position])) {
      ++position;
    }
    std::string_view name = text.substr(start, position - start);
    if (name.empty()) {
      return std::nullopt;
    }
    return consume('(') ? call(name) : DimExpr::symbol(name);
  }

  std::optional<DimExpr> call(std::string_view name) {
    std::optional<DimExpr> a = sum();
    if (!a || !consume(',')) {
      return std::nullopt;
    }
    std::optional<DimExpr> b = sum();
    if (!b || !consume(')')) {
      return std::nullopt;
    }
    if (name == "floordiv") {
      return DimExpr::floorDiv(*a, *b);
    }
    if (name == "ceildiv") {
      return DimExpr::ceilDiv(*a, *b);
    }
    if (name == "mod") {
      return DimExpr::mod(*a, *b);
    }
    if (name == "min") {
      return DimExpr::min(*a, *b);
    }
    if (name == "max") {
      return DimExpr::max(*a, *b);
    }
    return std::nullopt;
  }

  static bool isDigit(char c) { return c >= '0' && c <= '9'; }
  static bool isNameChar(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' ||
           c == '.' || c == ':' || c == '/' || c == '!';
  }

  std::string_view text;
  size_t position = 0;
  int depth = 0;
};

} // namespace

std::optional<DimExpr> DimExpr::parse(std::string_view text) {
  return Parser(text).parseAll();
}

} // namespace llmc::graph
