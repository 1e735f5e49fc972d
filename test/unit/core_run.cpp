//===- core_run.cpp - Session::run: any inputs, every output --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "runtime/core/Session.h"

using namespace llmc;
using namespace llmc::test;
using plan::DType;

namespace {

/// A tensor that owns its bytes.
template <class T> struct Given {
  std::vector<T> values;
  TensorView view;
  Given(const std::string &name, DType dtype, std::vector<int64_t> dims,
        std::vector<T> content)
      : values(std::move(content)),
        view{name, dtype, std::move(dims),
             reinterpret_cast<const uint8_t *>(values.data())} {}
};

class CoreRun : public ::testing::Test {
protected:
  void SetUp() override {
    auto loaded = Session::load(writeModel(folder), {});
    ASSERT_TRUE(bool(loaded)) << loaded.error().message;
    session = std::move(*loaded);
  }

  std::string errorOf(std::vector<TensorView> inputs,
                      const std::string &entry = "prefill") {
    auto outputs = session->run(entry, inputs);
    EXPECT_FALSE(outputs);
    return outputs ? "" : outputs.error().message;
  }

  TemporaryFolder folder;
  std::unique_ptr<Session> session;
};

} // namespace

static std::vector<float> floats(const NamedTensor &tensor) {
  std::vector<float> out(tensor.data.size() / 4);
  std::memcpy(out.data(), tensor.data.data(), tensor.data.size());
  return out;
}

TEST_F(CoreRun, OutputsAndFinalState) {
  const std::vector<int64_t> tokens = {3, 1, 4, 1, 5, 9};
  Given<int64_t> ids("input_ids", DType::I64, {1, 6}, tokens);
  // From the empty state, whatever was fed before.
  ASSERT_TRUE(bool(session->prefill(tokens)));
  auto outputs = session->run("prefill", std::vector{ids.view});
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  ASSERT_EQ(outputs->size(), 2u);
  EXPECT_EQ((*outputs)[0].name, "logits");
  EXPECT_EQ((*outputs)[0].dims, (std::vector<int64_t>{1, 1, kVocabulary}));
  EXPECT_EQ(floats((*outputs)[0]), expectedLogits(tokens));
  // The state's six tokens lie in two blocks; the output is dense.
  EXPECT_EQ((*outputs)[1].name, "present.0");
  EXPECT_EQ((*outputs)[1].dims, (std::vector<int64_t>{1, 6, kWidth}));
  const std::vector<float> state = floats((*outputs)[1]);
  ASSERT_EQ(state.size(), 6u * kWidth);
  for (int64_t t = 0; t < 6; ++t) {
    for (int64_t k = 0; k < kWidth; ++k) {
      ASSERT_EQ(state[t * kWidth + k], embedding(tokens[t], k)) << t;
    }
  }
  EXPECT_EQ(session->past(), 0);
}

TEST_F(CoreRun, IntegersAreConvertedWhenLossless) {
  Given<int32_t> ids("input_ids", DType::I32, {1, 3}, {7, 8, 9});
  auto outputs = session->run("prefill", std::vector{ids.view});
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  EXPECT_EQ(floats((*outputs)[0]), expectedLogits({7, 8, 9}));

  auto narrow =
      Session::load(writeModel(folder, {.tokens = DType::I32}, "narrow"), {});
  ASSERT_TRUE(bool(narrow));
  Given<int64_t> wide("input_ids", DType::I64, {1, 1}, {int64_t(1) << 32});
  auto failed = (*narrow)->run("prefill", std::vector{wide.view});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "input 'input_ids': holds a value that "
                                    "i32, which the plan expects, cannot hold");
}

TEST_F(CoreRun, DerivedInputsMustBeWhatThePlanDerives) {
  Given<int64_t> ids("input_ids", DType::I64, {1, 3}, {7, 8, 9});
  Given<int64_t> ones("attention_mask", DType::I64, {1, 3}, {1, 1, 1});
  Given<int32_t> positions("position_ids", DType::I32, {1, 3}, {0, 1, 2});
  Given<float> empty("past.0", DType::F32, {1, 0, kWidth}, {});
  auto outputs = session->run(
      "prefill", std::vector{ids.view, ones.view, positions.view, empty.view});
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  EXPECT_EQ(floats((*outputs)[0]), expectedLogits({7, 8, 9}));

  ones.values[1] = 0;
  EXPECT_NE(errorOf({ids.view, ones.view}).find("'attention_mask': element 1"),
            std::string::npos);
  positions.values[2] = 5;
  EXPECT_NE(
      errorOf({ids.view, positions.view}).find("'position_ids': element 2"),
      std::string::npos);
  Given<int64_t> longer("attention_mask", DType::I64, {1, 4}, {1, 1, 1, 1});
  EXPECT_NE(errorOf({ids.view, longer.view}).find("there are 3 tokens"),
            std::string::npos);
  Given<float> filled("past.0", DType::F32, {1, 1, kWidth},
                      std::vector<float>(kWidth));
  EXPECT_NE(errorOf({ids.view, filled.view}).find("'past.0'"),
            std::string::npos);
}

TEST_F(CoreRun, WrongInputs) {
  Given<int64_t> ids("input_ids", DType::I64, {1, 3}, {7, 8, 9});
  EXPECT_EQ(errorOf({}),
            "input 'input_ids': missing; entry 'prefill' takes 'input_ids', "
            "'attention_mask' (optional), 'position_ids' (optional), 'past.0' "
            "(optional)");
  TensorView other = ids.view;
  other.name = "nosuch";
  EXPECT_NE(errorOf({ids.view, other}).find("input 'nosuch': unknown"),
            std::string::npos);
  EXPECT_NE(errorOf({ids.view, ids.view}).find("given twice"),
            std::string::npos);
  other = ids.view;
  other.dims = {3};
  EXPECT_EQ(errorOf({other}),
            "input 'input_ids': has rank 1 [3], the plan expects rank 2");
  other.dims = {3, 1};
  EXPECT_EQ(errorOf({other}),
            "input 'input_ids': has shape [3, 1], the plan expects [1, 1]");
  Given<float> text("input_ids", DType::F32, {1, 3}, {7, 8, 9});
  EXPECT_EQ(errorOf({text.view}),
            "input 'input_ids': is f32, the plan expects i64");
  Given<int64_t> many("input_ids", DType::I64, {1, 9},
                      std::vector<int64_t>(9, 1));
  EXPECT_EQ(errorOf({many.view}),
            "input 'input_ids': dimension 1 ('seq') is 9 in [1, 9], the plan "
            "was made for 1 to 8");
  ids.values[1] = kVocabulary;
  EXPECT_EQ(errorOf({ids.view}), "input 'input_ids': token 70 at element 1 is "
                                 "outside the vocabulary of 70");
  EXPECT_EQ(errorOf({ids.view}, "main"),
            "the plan has no entry 'main'; it has 'prefill', 'decode'");
  // After all these the session still works.
  ids.values[1] = 2;
  auto outputs = session->run("prefill", std::vector{ids.view});
  ASSERT_TRUE(bool(outputs));
  EXPECT_EQ(floats((*outputs)[0]), expectedLogits({7, 2, 9}));
}

TEST_F(CoreRun, KernelErrorsNameTheStep) {
  // Negative ids down to -vocabulary count from the end for Gather, but not as
  // tokens; what is below is refused before any kernel runs.
  Given<int64_t> ids("input_ids", DType::I64, {1, 1}, {-1});
  EXPECT_NE(errorOf({ids.view}).find("outside the vocabulary"),
            std::string::npos);
  EXPECT_EQ(session->defaultEntry().name, "prefill");
}

// y[m, n] = x[m, n] + z[n], where n is known only from the inputs.
static std::string writeAdder(const TemporaryFolder &folder) {
  using namespace plan;
  Plan plan;
  plan.producer = "hand";
  plan.modelName = "adder";
  plan.arch = "x86-64";
  EntryBuilder b(plan, "main");
  const uint32_t m = b.symbol("m", 0, 4);
  const uint32_t n = b.symbol("n", 1, 5);
  const uint32_t x = b.buffer("x", BufferKind::Input, 0, 80, 0, 1);
  const uint32_t z = b.buffer("z", BufferKind::Input, 128, 20, 0, 1);
  const uint32_t y = b.buffer("y", BufferKind::Output, 192, 80, 0, 1);
  Step &add = b.launch("add", KernelId::Pointwise);
  add.operands = {operand(x, Access::Read, DType::F32, {m, n}),
                  operand(z, Access::Read, DType::F32, {n}),
                  operand(y, Access::Write, DType::F32, {m, n})};
  add.ints = {2, 1, static_cast<int64_t>(PointwiseOp::Add), 0, 0, 1, 0};
  const auto port = [](const char *name, uint32_t buffer,
                       std::vector<uint32_t> dims) {
    Port p;
    p.name = name;
    p.buffer = buffer;
    p.dims = std::move(dims);
    return p;
  };
  b.entry().inputs = {port("x", x, {m, n}), port("z", z, {n})};
  b.entry().outputs = {port("y", y, {m, n})};
  fillTotals(plan, 320);
  const std::string path = folder / "adder.plan";
  EXPECT_TRUE(bool(writePlan(plan, path)));
  return path;
}

TEST(CoreRunGeneric, SymbolsAreBoundFromInputs) {
  TemporaryFolder folder;
  auto session = Session::load(writeAdder(folder), {});
  ASSERT_TRUE(bool(session)) << session.error().message;
  Given<float> x("x", DType::F32, {2, 3}, {1, 2, 3, 4, 5, 6});
  Given<float> z("z", DType::F32, {3}, {10, 20, 30});
  auto outputs = (*session)->run("main", std::vector{z.view, x.view});
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  EXPECT_EQ((*outputs)[0].dims, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(floats((*outputs)[0]),
            (std::vector<float>{11, 22, 33, 14, 25, 36}));

  Given<float> none("x", DType::F32, {0, 3}, {});
  outputs = (*session)->run("main", std::vector{none.view, z.view});
  ASSERT_TRUE(bool(outputs)) << outputs.error().message;
  EXPECT_EQ((*outputs)[0].dims, (std::vector<int64_t>{0, 3}));

  Given<float> two("z", DType::F32, {2}, {10, 20});
  outputs = (*session)->run("main", std::vector{x.view, two.view});
  ASSERT_FALSE(outputs);
  EXPECT_EQ(outputs.error().message, "input 'z': dimension 0 ('n') is 2, but "
                                     "it is 3 in input 'x'");
  auto row = (*session)->prefill(std::vector<int64_t>{1});
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::Unsupported);
}
