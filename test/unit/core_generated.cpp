//===- core_generated.cpp - Loading generated code ------------------------===//

#include "runtime/core/GeneratedCode.h"
#include "runtime/plan/Target.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

using namespace llmc;
using namespace llmc::plan;

namespace {

/// Two variants of a function that does nothing, told apart by what follows.
Plan planWithCode() {
  Plan plan;
  plan.code.functions.push_back({"f32[] -> f32[]", 1, false, {{}, {}}});
  for (const char *arch : {"x86-64-v3", "x86-64-v4"}) {
    CodeVariant &variant = plan.code.variants.emplace_back();
    variant.arch = arch;
    variant.bytes = {0xcc, 0xc3, uint8_t(arch[8])}; // int3; ret
    variant.entries = {1};
    variant.hash = hash128(variant.bytes.data(), variant.bytes.size());
  }
  return plan;
}

/// The permissions of the mapping that holds `address`.
std::string permissions(const void *address) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long begin = 0, end = 0;
    char flags[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, flags) == 3 &&
        uintptr_t(address) >= begin && uintptr_t(address) < end) {
      return flags;
    }
  }
  return "";
}

} // namespace

TEST(GeneratedCode, IsExecutableAndNotWritable) {
  auto code = GeneratedCode::load(planWithCode(), 4, 4);
  ASSERT_TRUE(code) << code.error().message;
  EXPECT_EQ((*code)->arch(), "x86-64-v4");
  EXPECT_EQ(permissions((*code)->data()), "r-xp");
  EXPECT_EQ((*code)->function(0), (*code)->data() + 1);
  EXPECT_EQ((*code)->function(1), nullptr);
  reinterpret_cast<void (*)()>(uintptr_t((*code)->function(0)))();
}

TEST(GeneratedCode, TakesTheBestThatTheProcessorRuns) {
  auto arch = [](int level, int preferred) -> std::string {
    auto code = GeneratedCode::load(planWithCode(), level, preferred);
    return code ? (*code)->arch() : code.error().message;
  };
  EXPECT_EQ(arch(3, 3), "x86-64-v3");
  EXPECT_EQ(arch(4, 3), "x86-64-v3");
  // Nothing of the level that was asked for: what runs is better than nothing.
  EXPECT_EQ(arch(4, 2), "x86-64-v4");
}

TEST(GeneratedCode, RefusesAnOlderProcessor) {
  auto code = GeneratedCode::load(planWithCode(), 2, 2);
  ASSERT_FALSE(code);
  EXPECT_EQ(code.error().code, ErrorCode::PlanTarget);
  for (const char *part : {"x86-64-v3 or x86-64-v4",
                           "this machine is x86-64-v2", "--arch x86-64-v2"}) {
    EXPECT_NE(code.error().message.find(part), std::string::npos)
        << code.error().message;
  }
}

TEST(GeneratedCode, RefusesBytesThatWereNotHashed) {
  Plan plan = planWithCode();
  plan.code.variants[1].bytes[0] ^= 1;
  auto code = GeneratedCode::load(plan, 4, 4);
  ASSERT_FALSE(code);
  EXPECT_EQ(code.error().code, ErrorCode::PlanChecksum);
}

TEST(GeneratedCode, NoCodeIsNoError) {
  auto code = GeneratedCode::load(Plan(), 1, 1);
  ASSERT_TRUE(code);
  EXPECT_EQ(*code, nullptr);
}
