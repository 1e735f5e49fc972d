//===- codegen_regions.cpp - Generated against interpreted ----------------===//

#include "test/unit/codegen_support.h"

#include <random>

using namespace llmc;
using namespace llmc::codegen;
using namespace llmc::codegen::test;

namespace {

using Op = PointwiseOp;
constexpr int64_t kBool = 3;

/// Random numbers of all sizes, and now and then a special one.
void fill(Data &data, std::mt19937 &random) {
  for (size_t i = 0; i < data.count(); ++i) {
    float value =
        std::ldexp(float(int32_t(random())) * 0x1p-31f, int(random() % 12) - 4);
    if (random() % 37 == 0) {
      constexpr float kSpecial[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
      value = kSpecial[random() % 5];
    }
    if (data.dtype == DType::F32) {
      data.f32()[i] = value;
    } else if (data.dtype == DType::Bool) {
      data.bytes[i] = random() & 1;
    } else if (data.dtype == DType::BF16) {
      data.u16()[i] = uint16_t(std::bit_cast<uint32_t>(value) >> 16);
    } else {
      _Float16 half = static_cast<_Float16>(value);
      std::memcpy(data.u16() + i, &half, 2);
    }
  }
}

/// NaN equals NaN, whatever its bits; all else bit for bit.
::testing::AssertionResult sameBits(Data &a, Data &b) {
  for (size_t i = 0; i < a.count(); ++i) {
    bool same = false;
    if (a.dtype == DType::F32) {
      float x = a.f32()[i], y = b.f32()[i];
      same = (std::isnan(x) && std::isnan(y)) ||
             std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
    } else if (a.dtype == DType::Bool) {
      same = a.bytes[i] == b.bytes[i];
    } else {
      uint16_t x = a.u16()[i], y = b.u16()[i];
      uint16_t inf = a.dtype == DType::F16 ? 0x7c00 : 0x7f80;
      auto nan = [&](uint16_t v) { return (v & 0x7fff) > inf; };
      same = x == y || (nan(x) && nan(y));
    }
    if (!same) {
      return ::testing::AssertionFailure() << "element " << i << " differs";
    }
  }
  return ::testing::AssertionSuccess();
}

struct Case {
  const char *name;
  std::vector<Instr> code;
  std::vector<double> floats;
};

/// Programs whose operations round alike in both: no polynomials.
const Case kExact[] = {
    {"sum", {{Op::Add, 0, 0, 1}}, {}},
    {"mixed",
     {{Op::Mul, 0, 0, 1},
      {Op::Const, 0, 0},
      {Op::Add, 0, 2, 3},
      {Op::Sqrt, 0, 4},
      {Op::Div, 0, 5, 1},
      {Op::Relu, 0, 6},
      {Op::Sub, 0, 7, 0}},
     {0.5}},
    {"select",
     {{Op::Lt, kBool, 0, 1}, {Op::Neg, 0, 0}, {Op::Select, 0, 2, 3, 1}},
     {}},
    {"min_max", {{Op::Min, 0, 0, 1}, {Op::Max, 0, 2, 0}}, {}},
    {"rounding",
     {{Op::Floor, 0, 0},
      {Op::Ceil, 0, 1},
      {Op::Round, 0, 0},
      {Op::Add, 0, 2, 3},
      {Op::Sub, 0, 5, 4},
      {Op::Sign, 0, 6},
      {Op::Abs, 0, 7}},
     {}},
    {"logic",
     {{Op::IsNan, kBool, 0},
      {Op::IsInf, kBool, 1},
      {Op::Or, kBool, 2, 3},
      {Op::Ge, kBool, 0, 1},
      {Op::Xor, kBool, 4, 5},
      {Op::Not, kBool, 6},
      {Op::Cast, 0, 7},
      {Op::Mul, 0, 8, 0}},
     {}},
    {"powers",
     {{Op::Const, 0, 0},
      {Op::Pow, 0, 0, 2},
      {Op::Const, 0, 1},
      {Op::Pow, 0, 1, 4},
      {Op::Add, 0, 3, 5}},
     {2, 3}},
};

/// Shapes of two inputs that meet in an output.
struct Shapes {
  std::vector<int64_t> a, b, out;
};
const Shapes kShapes[] = {
    {{1000}, {1000}, {1000}},
    {{1}, {1}, {1}},
    {{3, 17}, {17}, {3, 17}},
    {{3, 17}, {3, 1}, {3, 17}},
    {{5, 1, 7}, {1, 4, 7}, {5, 4, 7}},
    {{2, 3, 1, 5}, {3, 4, 1}, {2, 3, 4, 5}},
    {{1, 1, 64}, {1, 33, 64}, {1, 33, 64}},
    {{}, {}, {}},
    {{64, 300}, {300}, {64, 300}},
    {{0, 4}, {4}, {0, 4}},
};

} // namespace

TEST(Generated, EqualsTheInterpreterBitForBit) {
  SKIP_WITHOUT_AVX2();
  std::mt19937 random(7);
  for (const Case &each : kExact) {
    for (const Shapes &shapes : kShapes) {
      for (DType type : {DType::F32, DType::F16, DType::BF16}) {
        for (int level = kLowestLevel; level <= testLevel(); ++level) {
          SCOPED_TRACE(std::string(each.name) + " " + std::string(name(type)) +
                       " " + archName(level) + " shapes " +
                       std::to_string(&shapes - kShapes));
          Data a(type, shapes.a), b(DType::F32, shapes.b);
          Data out(type, shapes.out), expected(type, shapes.out);
          fill(a, random);
          fill(b, random);
          auto ints = program(2, each.code);
          Built built({&a, &b, &out}, ints, each.floats, level);
          ASSERT_TRUE(built.generated());
          ASSERT_TRUE(built.one.safe()) << built.one.message;
          built.run({&a, &b, &out});
          interpret({&a, &b, &expected}, ints, each.floats);
          ASSERT_TRUE(sameBits(out, expected));
          Data threaded(type, shapes.out);
          built.run({&a, &b, &threaded}, 3);
          ASSERT_TRUE(out.bytes == threaded.bytes);
        }
      }
    }
  }
}

TEST(Generated, RunsInPlace) {
  SKIP_WITHOUT_AVX2();
  std::mt19937 random(8);
  Data a(DType::F32, {33, 65}), b(DType::F32, {65});
  Data out(DType::F32, {33, 65});
  fill(a, random);
  fill(b, random);
  Built built({&a, &b, &out}, program(2, kExact[1].code), {0.5});
  built.run({&a, &b, &out});
  Data over = a;
  built.run({&over, &b, &over}, 3);
  EXPECT_TRUE(sameBits(out, over));
}

TEST(Generated, BoolsInAndOut) {
  SKIP_WITHOUT_AVX2();
  std::mt19937 random(9);
  Data a(DType::Bool, {5, 19}), b(DType::F32, {19});
  Data out(DType::Bool, {5, 19}), expected(DType::Bool, {5, 19});
  fill(a, random);
  fill(b, random);
  auto ints = program(2, {{Op::Gt, kBool, 1, 0}, {Op::And, kBool, 2, 0}});
  Built built({&a, &b, &out}, ints, {});
  ASSERT_TRUE(built.generated());
  built.run({&a, &b, &out});
  interpret({&a, &b, &expected}, ints, {});
  EXPECT_TRUE(sameBits(out, expected));
}

TEST(Generated, BFloatsRoundToNearestEven) {
  SKIP_WITHOUT_AVX2();
  Data a(DType::F32, {6}), out(DType::BF16, {6});
  const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f808001,
                           0x7f7fffff, 0x7f800001, 0xff800000};
  std::memcpy(a.bytes.data(), bits, sizeof(bits));
  Built built({&a, &out}, program(1, {{Op::Cast, 0, 0}}), {});
  built.run({&a, &out});
  const uint16_t expected[] = {0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0, 0xff80};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(out.u16()[i], expected[i]) << i;
  }
}

TEST(Generated, WhatIsRefusedStaysInterpreted) {
  SKIP_WITHOUT_AVX2();
  Data a(DType::I64, {8}), out(DType::I64, {8});
  Built integers({&a, &out}, program(1, {{Op::Neg, 2, 0}}), {});
  EXPECT_FALSE(integers.generated());
  ASSERT_EQ(integers.report.refused.size(), 1u);
  EXPECT_NE(integers.report.refused[0].why.find("i64"), std::string::npos);
  EXPECT_TRUE(integers.one.plan.code.empty());
  Data x(DType::F32, {8}), y(DType::F32, {8});
  Built tan({&x, &y}, program(1, {{Op::Tan, 0, 0}}), {});
  EXPECT_FALSE(tan.generated());
  Built old({&x, &y}, program(1, {{Op::Neg, 0, 0}}), {}, 2);
  EXPECT_FALSE(old.generated());
  ASSERT_EQ(old.report.refused.size(), 1u);
  EXPECT_NE(old.report.refused[0].why.find("x86-64-v2"), std::string::npos);
}

TEST(Generated, BytesAreAFunctionOfThePlan) {
  SKIP_WITHOUT_AVX2();
  Data a(DType::F32, {8}), out(DType::F32, {8});
  auto ints = program(1, {{Op::Sin, 0, 0}, {Op::GeluErf, 0, 1}});
  Built first({&a, &out}, ints, {}), second({&a, &out}, ints, {});
  ASSERT_EQ(first.one.plan.code.variants.size(), 1u);
  EXPECT_EQ(first.one.plan.code.variants[0].bytes,
            second.one.plan.code.variants[0].bytes);
  EXPECT_EQ(encodeCode(first.one.plan.code), encodeCode(second.one.plan.code));
}

TEST(Generated, EqualRegionsAreOneFunction) {
  SKIP_WITHOUT_AVX2();
  OneLaunch one(KernelId::Pointwise);
  one.operand(DType::F32, {8}).out(DType::F32, {8});
  one.ints(program(1, {{Op::Exp, 0, 0}}));
  Entry &entry = one.plan.entries[0];
  entry.steps.push_back(entry.steps[0]);
  entry.steps.push_back(entry.steps[0]);
  entry.steps[2].ints = program(1, {{Op::Neg, 0, 0}});
  auto done = generateKernels(one.plan, {{3, {}}, {4, {}}}, {});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->launches, 3u);
  ASSERT_EQ(one.plan.code.functions.size(), 2u);
  ASSERT_EQ(one.plan.code.variants.size(), 2u);
  EXPECT_EQ(entry.steps[0].ints[0], entry.steps[1].ints[0]);
  EXPECT_NE(entry.steps[0].ints[0], entry.steps[2].ints[0]);
  EXPECT_EQ(one.plan.code.functions[0].text, "f32[] -> f32[]; exp 0");
}

TEST(Processor, Names) {
  auto level = [](const char *text) {
    Result<Processor> found = parseProcessor(text);
    return found ? found->level : -1;
  };
  EXPECT_EQ(level("x86-64"), 1);
  EXPECT_EQ(level("x86-64-v3"), 3);
  EXPECT_EQ(level("haswell"), 3);
  EXPECT_EQ(level("znver4"), 4);
  EXPECT_EQ(level("nehalem"), 2);
  EXPECT_EQ(level("native"), hostTarget().level);
  EXPECT_EQ(level("cortex-a53"), -1);
  EXPECT_EQ(parseProcessor("znver4")->tune, "znver4");
}
