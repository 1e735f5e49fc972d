//===- plan_code_test.cpp - Generated code in a plan ----------------------===//

#include "runtime/plan/Code.h"
#include "test/unit/plan_one_launch.h"

#include <random>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::plan::test;

namespace {

Code sample() {
  Code code;
  code.functions.push_back({"f32[], f32 -> f32[]; add 0 1",
                            2,
                            false,
                            {{F32, 1}, {F32, 0}, {F32, 1}}});
  code.functions.push_back({"f16[] -> f32[]", 1, true, {{F16, 1}, {F32, 1}}});
  for (const char *arch : {"x86-64-v3", "x86-64-v4"}) {
    CodeVariant &variant = code.variants.emplace_back();
    variant.arch = arch;
    variant.bytes.assign(100, uint8_t(arch[8]));
    variant.entries = {0, 64};
    variant.hash = hash128(variant.bytes.data(), variant.bytes.size());
  }
  return code;
}

/// out[4, 6] = f(a[4, 6], b[...]) by a function whose second input stays along
/// the columns, or moves.
OneLaunch launch(std::vector<int64_t> b, int64_t maskB, uint8_t step) {
  OneLaunch one(KernelId::Generated);
  one.operand(F32, {4, 6}).operand(F32, std::move(b)).out(F32, {4, 6});
  one.ints({0, 2, 1, 4096, 100, 3, maskB});
  one.plan.code = sample();
  one.plan.code.functions[0].operands[1].step = step;
  return one;
}

} // namespace

TEST(Code, ReadsWhatWasWritten) {
  Code code = sample();
  std::vector<uint8_t> bytes = encodeCode(code);
  Result<Code> again = decodeCode(bytes);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(validateCode(*again));
  EXPECT_EQ(encodeCode(*again), bytes);
  EXPECT_EQ(again->functions[1].operands[0].dtype, F16);
  EXPECT_TRUE(again->functions[1].wholeRows);
  EXPECT_EQ(again->variants[1].entries[1], 64u);
  EXPECT_TRUE(encodeCode(Code()).empty());
}

TEST(Code, RefusesDamage) {
  std::vector<uint8_t> bytes = encodeCode(sample());
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_FALSE(decodeCode(std::span(bytes).first(size))) << size;
  }
  // Any change of a byte is either refused or still one piece of well-formed
  // code: it must not read beyond its end (the sanitizers look).
  std::mt19937 random(3);
  for (int i = 0; i < 4000; ++i) {
    std::vector<uint8_t> harmed = bytes;
    harmed[random() % harmed.size()] ^= uint8_t(1 << random() % 8);
    Result<Code> code = decodeCode(harmed);
    if (code && validateCode(*code)) {
      EXPECT_EQ(encodeCode(*code), harmed);
    }
  }
  auto invalid = [](auto change) {
    Code code = sample();
    change(code);
    return !validateCode(code);
  };
  EXPECT_FALSE(invalid([](Code &) {}));
  EXPECT_TRUE(invalid([](Code &c) { c.variants[0].entries[0] = 100; }));
  EXPECT_TRUE(invalid([](Code &c) { c.variants[0].entries.pop_back(); }));
  EXPECT_TRUE(invalid([](Code &c) { c.variants[0].arch = "z80"; }));
  EXPECT_TRUE(invalid([](Code &c) { c.functions[0].numInputs = 3; }));
  EXPECT_TRUE(invalid([](Code &c) { c.functions[0].operands[0].step = 2; }));
  EXPECT_TRUE(invalid([](Code &c) { c.functions[0].operands[2].step = 0; }));
  EXPECT_TRUE(invalid([](Code &c) { c.variants.clear(); }));
}

TEST(Checker, GeneratedLaunches) {
  EXPECT_RULE(launch({4, 6}, 3, 1), launch({4, 6}, 3, 0)); // step
  EXPECT_RULE(launch({6}, 2, 1), launch({6}, 1, 0));       // wrong dimension
  EXPECT_RULE(launch({4, 1}, 1, 0), launch({4, 1}, 3, 1)); // walks too far
  EXPECT_RULE(launch({1}, 0, 0), launch({5}, 0, 0));       // is not walked
  EXPECT_RULE(launch({4, 6}, 3, 1), launch({4, 6}, 7, 1)); // no such dimension
  EXPECT_RULE(launch({6}, 2, 1), launch({5}, 2, 1));       // too small
  auto change = [](auto apply) {
    OneLaunch one = launch({6}, 2, 1);
    apply(one, one.plan.entries[0].steps[0]);
    return one;
  };
  auto same = [](OneLaunch &, Step &) {};
  auto rule = [&](auto bad) { EXPECT_RULE(change(same), change(bad)); };
  rule([](OneLaunch &, Step &s) { s.ints[0] = 2; });
  rule([](OneLaunch &, Step &s) { s.ints[0] = -1; });
  rule([](OneLaunch &, Step &s) { s.ints[0] = 1; }); // takes other operands
  rule([](OneLaunch &, Step &s) { s.ints[1] = 1; });
  rule([](OneLaunch &, Step &s) { s.ints[3] = 0; });
  rule([](OneLaunch &, Step &s) { s.ints.push_back(0); });
  rule([](OneLaunch &o, Step &) {
    o.plan.code.functions[0].operands[0].dtype = F16;
  });
  rule([](OneLaunch &o, Step &) { o.plan.code = {}; });
}
