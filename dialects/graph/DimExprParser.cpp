//===- DimExprParser.cpp - Reading what DimExpr::str() prints -------------===//

#include "dialects/graph/DimExpr.h"

#include <cctype>

namespace llmc::graph {

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
