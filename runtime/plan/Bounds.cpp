//===- Bounds.cpp - Proved bounds of an entry's expressions ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Bounds.h"

#include <algorithm>
#include <string>
#include <tuple>

namespace llmc::plan {

static bool addTo(int64_t &target, int64_t value) {
  return !__builtin_add_overflow(target, value, &target);
}

static int64_t floorDiv(int64_t a, int64_t b) {
  int64_t q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t ceilDiv(int64_t a, int64_t b) {
  int64_t q = a / b;
  return a % b != 0 && (a < 0) == (b < 0) ? q + 1 : q;
}

//===----------------------------------------------------------------------===//
// Linear forms
//===----------------------------------------------------------------------===//

std::optional<Linear> add(const Linear &a, const Linear &b) {
  Linear sum = a;
  if (!addTo(sum.constant, b.constant)) {
    return std::nullopt;
  }
  for (auto [symbol, factor] : b.factors) {
    int64_t &target = sum.factors[symbol];
    if (!addTo(target, factor)) {
      return std::nullopt;
    }
    if (target == 0) {
      sum.factors.erase(symbol);
    }
  }
  return sum;
}

std::optional<Linear> multiply(const Linear &a, const Linear &b) {
  if (!a.factors.empty() && !b.factors.empty()) {
    return std::nullopt;
  }
  const Linear &form = a.factors.empty() ? b : a;
  int64_t scale = a.factors.empty() ? a.constant : b.constant;
  Linear product;
  if (__builtin_mul_overflow(form.constant, scale, &product.constant)) {
    return std::nullopt;
  }
  for (auto [symbol, factor] : form.factors) {
    int64_t scaled;
    if (__builtin_mul_overflow(factor, scale, &scaled)) {
      return std::nullopt;
    }
    if (scaled != 0) {
      product.factors[symbol] = scaled;
    }
  }
  return product;
}

//===----------------------------------------------------------------------===//
// Intervals
//===----------------------------------------------------------------------===//

/// nullopt: may overflow or divide by zero.
static std::optional<Interval> apply(ExprOp op, Interval a, Interval b) {
  switch (op) {
  case ExprOp::Add: {
    Interval sum = a;
    if (!addTo(sum.lower, b.lower) || !addTo(sum.upper, b.upper)) {
      return std::nullopt;
    }
    return sum;
  }
  case ExprOp::Mul: {
    Interval product{INT64_MAX, INT64_MIN};
    for (int64_t x : {a.lower, a.upper}) {
      for (int64_t y : {b.lower, b.upper}) {
        int64_t corner;
        if (__builtin_mul_overflow(x, y, &corner)) {
          return std::nullopt;
        }
        product.lower = std::min(product.lower, corner);
        product.upper = std::max(product.upper, corner);
      }
    }
    return product;
  }
  case ExprOp::FloorDiv:
  case ExprOp::CeilDiv: {
    if (b.lower <= 0) {
      return std::nullopt;
    }
    Interval quotient{INT64_MAX, INT64_MIN};
    for (int64_t x : {a.lower, a.upper}) {
      for (int64_t y : {b.lower, b.upper}) {
        int64_t corner =
            op == ExprOp::FloorDiv ? floorDiv(x, y) : ceilDiv(x, y);
        quotient.lower = std::min(quotient.lower, corner);
        quotient.upper = std::max(quotient.upper, corner);
      }
    }
    return quotient;
  }
  case ExprOp::Mod:
    if (b.lower <= 0) {
      return std::nullopt;
    }
    if (a.lower >= 0 && a.upper < b.lower) {
      return a;
    }
    return a.lower >= 0 ? Interval{0, std::min(a.upper, b.upper - 1)}
                        : Interval{1 - b.upper, b.upper - 1};
  case ExprOp::Min:
    return Interval{std::min(a.lower, b.lower), std::min(a.upper, b.upper)};
  case ExprOp::Max:
    return Interval{std::max(a.lower, b.lower), std::max(a.upper, b.upper)};
  case ExprOp::Constant:
  case ExprOp::Symbol:
    break;
  }
  return std::nullopt;
}

void EntryBounds::classify(const Entry &entry) {
  std::map<std::pair<int64_t, std::map<uint32_t, int64_t>>, uint32_t> forms;
  std::map<std::tuple<ExprOp, uint32_t, uint32_t>, uint32_t> others;
  for (uint32_t i = 0; i < entry.exprs.size(); ++i) {
    if (linears[i]) {
      classes.push_back(
          forms.try_emplace({linears[i]->constant, linears[i]->factors}, i)
              .first->second);
      continue;
    }
    const ExprNode &node = entry.exprs[i];
    uint32_t a = classes[node.a], b = classes[node.b];
    bool commutes = node.op == ExprOp::Add || node.op == ExprOp::Mul ||
                    node.op == ExprOp::Min || node.op == ExprOp::Max;
    if (commutes && b < a) {
      std::swap(a, b);
    }
    classes.push_back(others.try_emplace({node.op, a, b}, i).first->second);
  }
}

Result<EntryBounds> EntryBounds::compute(const Plan &plan, const Entry &entry) {
  EntryBounds bounds;
  std::optional<uint32_t> past;
  for (uint32_t i = 0; i < entry.symbols.size(); ++i) {
    const Symbol &symbol = entry.symbols[i];
    bounds.symbols.push_back({symbol.lower, symbol.upper});
    if (symbol.isPast) {
      if (past) {
        return Error{ErrorCode::PlanUnsafe,
                     "entry '" + entry.name + "': symbols '" +
                         entry.symbols[*past].name + "' and '" + symbol.name +
                         "' are both the number of past tokens"};
      }
      past = i;
    }
  }
  for (uint32_t i = 0; i < entry.exprs.size(); ++i) {
    const ExprNode &node = entry.exprs[i];
    std::optional<Interval> interval;
    std::optional<Linear> linear;
    if (node.op == ExprOp::Constant) {
      interval = Interval{node.value, node.value};
      linear = Linear{node.value, {}};
    } else if (node.op == ExprOp::Symbol) {
      interval = bounds.symbols[node.a];
      linear = interval->lower == interval->upper ? Linear{interval->lower, {}}
                                                  : Linear{0, {{node.a, 1}}};
    } else {
      interval =
          apply(node.op, bounds.intervals[node.a], bounds.intervals[node.b]);
      const auto &a = bounds.linears[node.a];
      const auto &b = bounds.linears[node.b];
      if (node.op == ExprOp::Add && a && b) {
        linear = add(*a, *b);
      } else if (node.op == ExprOp::Mul && a && b) {
        linear = multiply(*a, *b);
      } else if (interval && interval->lower == interval->upper) {
        linear = Linear{interval->lower, {}};
      }
    }
    if (!interval) {
      return Error{ErrorCode::PlanUnsafe,
                   "entry '" + entry.name + "': expression " +
                       std::to_string(i) +
                       " may overflow 64 bits or divide by zero"};
    }
    // What is equal by terms is at least as tight as by intervals.
    if (linear) {
      std::optional<int64_t> low = bounds.lower(*linear);
      std::optional<int64_t> high = bounds.upper(*linear);
      if (low && high) {
        interval->lower = std::max(interval->lower, *low);
        interval->upper = std::min(interval->upper, *high);
      }
    }
    bounds.intervals.push_back(*interval);
    bounds.linears.push_back(std::move(linear));
  }
  bounds.classify(entry);
  if (past && entry.newTokens != kNone && !plan.states.empty() &&
      bounds.linears[entry.newTokens]) {
    int64_t smallest = INT64_MAX;
    for (const State &state : plan.states) {
      smallest = std::min(smallest, state.capacity);
    }
    // Set only now: dimensions keep the bounds that the compiler's own
    // interval arithmetic gives them.
    bounds.total =
        add(Linear{0, {{*past, 1}}}, *bounds.linears[entry.newTokens]);
    bounds.limit = smallest;
  }
  return bounds;
}

std::optional<int64_t> EntryBounds::upper(const Linear &form) const {
  // Over the box of the symbols.
  auto boxUpper = [&](const Linear &f) -> std::optional<int64_t> {
    int64_t sum = f.constant;
    for (auto [symbol, factor] : f.factors) {
      int64_t extreme =
          factor > 0 ? symbols[symbol].upper : symbols[symbol].lower;
      int64_t term;
      if (__builtin_mul_overflow(factor, extreme, &term) || !addTo(sum, term)) {
        return std::nullopt;
      }
    }
    return sum;
  };
  std::optional<int64_t> best = boxUpper(form);
  if (!total || !limit) {
    return best;
  }
  // form = form - k * total + k * total <= upper(form - k * total) + k * limit
  // for every k >= 0. The best k is among the ratios of the factors (this is
  // the dual of a linear program with one row).
  for (auto [symbol, factor] : total->factors) {
    auto it = form.factors.find(symbol);
    if (it == form.factors.end() || factor == 0 || it->second / factor <= 0) {
      continue;
    }
    int64_t k = it->second / factor;
    std::optional<Linear> scaled = multiply(*total, Linear{-k, {}});
    std::optional<Linear> rest = scaled ? add(form, *scaled) : std::nullopt;
    std::optional<int64_t> bound = rest ? boxUpper(*rest) : std::nullopt;
    int64_t share;
    if (!bound || __builtin_mul_overflow(k, *limit, &share) ||
        !addTo(*bound, share)) {
      continue;
    }
    best = best ? std::min(*best, *bound) : *bound;
  }
  return best;
}

std::optional<int64_t> EntryBounds::lower(const Linear &form) const {
  std::optional<Linear> negated = multiply(form, Linear{-1, {}});
  std::optional<int64_t> bound = negated ? upper(*negated) : std::nullopt;
  int64_t result;
  if (!bound || __builtin_sub_overflow(int64_t(0), *bound, &result)) {
    return std::nullopt;
  }
  return result;
}

} // namespace llmc::plan
