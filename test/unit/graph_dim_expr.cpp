//===- graph_dim_expr.cpp
//--------------------------------------------------===//

#include "dialects/graph/DimExpr.h"

#include <gtest/gtest.h>

#include <random>

using namespace llmc::graph;

namespace {

const DimExpr past = DimExpr::symbol("past");
const DimExpr seq = DimExpr::symbol("seq");
const DimExpr batch = DimExpr::symbol("batch");

TEST(DimExpr, EqualPolynomialsAreTheSame) {
  EXPECT_EQ(past + seq, seq + past);
  EXPECT_EQ((past + seq) * (past - seq), past * past - seq * seq);
  EXPECT_EQ(past + seq - past, seq);
  EXPECT_EQ((batch * seq).str(), "batch * seq");
  EXPECT_NE(past, seq);
}

TEST(DimExpr, Constants) {
  EXPECT_EQ(DimExpr(), DimExpr(0));
  EXPECT_EQ(*(DimExpr(6) * DimExpr(7)).asConstant(), 42);
  EXPECT_EQ(*DimExpr::floorDiv(-7, 2).asConstant(), -4);
  EXPECT_EQ(*DimExpr::ceilDiv(-7, 2).asConstant(), -3);
  EXPECT_EQ(*DimExpr::mod(-7, 2).asConstant(), 1);
  EXPECT_FALSE((past + 1).isConstant());
}

TEST(DimExpr, Division) {
  EXPECT_EQ(*(batch * seq * 64).dividedBy(seq * 64), batch);
  EXPECT_EQ(*((past + seq) * seq).dividedBy(past + seq), seq);
  EXPECT_FALSE((past + seq).dividedBy(seq).has_value());
  EXPECT_FALSE(past.dividedBy(0).has_value());
  EXPECT_EQ(DimExpr::floorDiv(seq * 4 + 3, 4), seq);
  EXPECT_EQ(DimExpr::floorDiv(seq * 2 + past, 2).str(),
            "floordiv(past, 2) + seq");
}

TEST(DimExpr, MinMaxWithKnownDifference) {
  EXPECT_EQ(DimExpr::max(past + 3, past), past + 3);
  EXPECT_EQ(DimExpr::min(past + 3, past), past);
  EXPECT_EQ(DimExpr::max(past, seq), DimExpr::max(seq, past));
}

TEST(DimExpr, BoundsFailClosed) {
  SymbolBounds bounds{{"past", {0, 511}}, {"seq", {1, 128}}};
  EXPECT_EQ((past + seq).bounds(bounds).upper, 639);
  EXPECT_EQ((past - seq).bounds(bounds).lower, -128);
  EXPECT_FALSE((past * batch).bounds(bounds).hasUpper());
  EXPECT_FALSE((DimExpr(INT64_MAX) * 2 * past).bounds(bounds).hasUpper());
  EXPECT_FALSE((DimExpr(INT64_MAX) * past).bounds(bounds).hasUpper());
}

TEST(DimExpr, ParseReadsWhatStrPrints) {
  for (DimExpr e :
       {past + seq * 64 - 3, DimExpr::floorDiv(past + 1, 2) * -5,
        DimExpr::min(past, seq) + DimExpr::max(batch, 7), DimExpr(-1) * past,
        DimExpr::mod(past * seq, batch), DimExpr::ceilDiv(past, batch)}) {
    std::optional<DimExpr> back = DimExpr::parse(e.str());
    ASSERT_TRUE(back.has_value()) << e.str();
    EXPECT_EQ(*back, e) << e.str() << " against " << back->str();
  }
  EXPECT_FALSE(DimExpr::parse("past +").has_value());
  EXPECT_FALSE(DimExpr::parse("floordiv(past)").has_value());
  EXPECT_FALSE(DimExpr::parse("").has_value());
  EXPECT_FALSE(DimExpr::parse("99999999999999999999").has_value());
  EXPECT_FALSE(DimExpr::parse(std::string(5000, '(')).has_value());
}

/// A random expression beside its value at one point, computed on its own.
struct Sample {
  DimExpr expr;
  int64_t value;
};

Sample randomSample(std::mt19937 &rng, const SymbolValues &at, int depth) {
  if (depth == 0 || rng() % 4 == 0) {
    if (rng() % 2) {
      int64_t c = static_cast<int64_t>(rng() % 9);
      return {c, c};
    }
    auto it = at.begin();
    std::advance(it, rng() % at.size());
    return {DimExpr::symbol(it->first), it->second};
  }
  Sample a = randomSample(rng, at, depth - 1);
  Sample b = randomSample(rng, at, depth - 1);
  switch (rng() % 6) {
  case 0:
    return {a.expr + b.expr, a.value + b.value};
  case 1:
    return {a.expr - b.expr, a.value - b.value};
  case 2:
    return {a.expr * b.expr, a.value * b.value};
  case 3:
    return {DimExpr::min(a.expr, b.expr), std::min(a.value, b.value)};
  case 4:
    return {DimExpr::max(a.expr, b.expr), std::max(a.value, b.value)};
  default: {
    int64_t d = 1 + static_cast<int64_t>(rng() % 5);
    int64_t q = a.value / d - (a.value % d < 0);
    return {DimExpr::floorDiv(a.expr, d), q};
  }
  }
}

TEST(DimExpr, RandomExpressionsKeepTheirValue) {
  std::mt19937 rng(7);
  for (int i = 0; i < 3000; ++i) {
    SymbolValues at{{"past", static_cast<int64_t>(rng() % 20)},
                    {"seq", 1 + static_cast<int64_t>(rng() % 9)},
                    {"batch", 1 + static_cast<int64_t>(rng() % 3)}};
    Sample s = randomSample(rng, at, 4);
    ASSERT_EQ(s.expr.evaluate(at), s.value) << s.expr.str();
    Interval b =
        s.expr.bounds({{"past", {0, 20}}, {"seq", {1, 9}}, {"batch", {1, 3}}});
    EXPECT_LE(b.lower, s.value) << s.expr.str();
    EXPECT_GE(b.upper, s.value) << s.expr.str();
    EXPECT_EQ(DimExpr::parse(s.expr.str()), s.expr);

    // The postfix form is what reaches the plan.
    std::vector<DimExpr::Instruction> code;
    s.expr.toPostfix(code);
    std::vector<int64_t> stack;
    for (const DimExpr::Instruction &in : code) {
      using Kind = DimExpr::Instruction::Kind;
      if (in.kind == Kind::Constant) {
        stack.push_back(in.value);
        continue;
      }
      if (in.kind == Kind::Symbol) {
        stack.push_back(at.at(in.symbol));
        continue;
      }
      int64_t y = stack.back();
      stack.pop_back();
      int64_t &x = stack.back();
      switch (in.kind) {
      case Kind::Add:
        x += y;
        break;
      case Kind::Mul:
        x *= y;
        break;
      case Kind::FloorDiv:
        x = x / y - (x % y < 0);
        break;
      case Kind::Min:
        x = std::min(x, y);
        break;
      case Kind::Max:
        x = std::max(x, y);
        break;
      default:
        FAIL();
      }
    }
    ASSERT_EQ(stack.size(), 1u);
    EXPECT_EQ(stack[0], s.value) << s.expr.str();
  }
}

} // namespace
