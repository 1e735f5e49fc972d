//===- DimExpr.h - Symbolic tensor dimensions ------------------*- C++ -*-===//
//
// A dimension is an integer polynomial over named symbols (`batch`, `seq`,
// `past`) whose atoms may also be floordiv, ceildiv, mod, min and max of such
// polynomials. Expressions are interned in a canonical form (terms sorted,
// like terms collected), so two expressions that are equal as polynomials are
// the same pointer: `past + seq == seq + past`.
//
// MLIR's AffineExpr does not simplify products of symbols, which shapes such
// as `batch * seq` need. Standard library only.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_DIALECTS_GRAPH_DIMEXPR_H
#define LLMC_DIALECTS_GRAPH_DIMEXPR_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::graph {

/// A closed interval [lower, upper]; kUnbounded on either side means "no
/// bound known". Arithmetic on intervals fails closed: overflow is unbounded.
struct Interval {
  static constexpr int64_t kUnbounded = INT64_MAX;
  int64_t lower = -kUnbounded;
  int64_t upper = kUnbounded;

  bool hasUpper() const { return upper != kUnbounded; }
  bool hasLower() const { return lower != -kUnbounded; }
};

using SymbolBounds = std::map<std::string, Interval, std::less<>>;
using SymbolValues = std::map<std::string, int64_t, std::less<>>;

enum class DimOp : uint8_t { FloorDiv, CeilDiv, Mod, Min, Max };

namespace detail {
struct DimNode;
} // namespace detail

/// A handle to an interned expression: cheap to copy, compared by identity.
/// The default value is the constant 0.
class DimExpr {
public:
  DimExpr();
  /*implicit*/ DimExpr(int64_t value);
  static DimExpr symbol(std::string_view name);

  static DimExpr floorDiv(DimExpr a, DimExpr b);
  static DimExpr ceilDiv(DimExpr a, DimExpr b);
  static DimExpr mod(DimExpr a, DimExpr b);
  static DimExpr min(DimExpr a, DimExpr b);
  static DimExpr max(DimExpr a, DimExpr b);

  friend DimExpr operator+(DimExpr a, DimExpr b);
  friend DimExpr operator-(DimExpr a, DimExpr b);
  friend DimExpr operator*(DimExpr a, DimExpr b);
  friend bool operator==(DimExpr a, DimExpr b) { return a.node == b.node; }
  friend bool operator!=(DimExpr a, DimExpr b) { return a.node != b.node; }

  bool isConstant() const { return asConstant().has_value(); }
  std::optional<int64_t> asConstant() const;
  /// The name if this is exactly one symbol.
  std::optional<std::string> asSymbol() const;

  /// Exact division: the quotient if `divisor` divides every term, as in
  /// (64 * batch * seq) / (64 * seq) = batch.
  std::optional<DimExpr> dividedBy(DimExpr divisor) const;

  /// Interval arithmetic; symbols missing from `bounds` are unbounded.
  Interval bounds(const SymbolBounds &bounds) const;
  /// nullopt when a symbol is missing or a division by zero occurs.
  std::optional<int64_t> evaluate(const SymbolValues &values) const;
  DimExpr substitute(const std::map<std::string, DimExpr, std::less<>> &) const;
  void collectSymbols(std::vector<std::string> &names) const;

  /// `past + seq`, `64 * batch`, `floordiv(seq, 2)`; parse() reads it back.
  std::string str() const;
  static std::optional<DimExpr> parse(std::string_view text);

  /// Structural access, for lowering to the plan's expression table: the
  /// expression as postfix instructions.
  struct Instruction {
    enum class Kind : uint8_t {
      Constant,
      Symbol,
      Add,
      Mul,
      FloorDiv,
      CeilDiv,
      Mod,
      Min,
      Max
    };
    Kind kind;
    int64_t value = 0;  // Constant
    std::string symbol; // Symbol
  };
  void toPostfix(std::vector<Instruction> &out) const;

  const void *identity() const { return node; }

private:
  struct Interned {};
  DimExpr(Interned, const detail::DimNode *node) : node(node) {}
  friend struct detail::DimNode;
  const detail::DimNode *node;
};

using Dims = std::vector<DimExpr>;

/// The product of the dimensions, 1 for a scalar.
DimExpr numElements(const Dims &dims);

} // namespace llmc::graph

#endif // LLMC_DIALECTS_GRAPH_DIMEXPR_H
