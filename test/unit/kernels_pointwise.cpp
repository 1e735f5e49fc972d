//===- kernels_pointwise.cpp - Tests of element-wise programs -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::PointwiseOp;

namespace {

enum { kF32 = 0, kF64 = 1, kI64 = 2, kBool = 3 };

struct Instruction {
  PointwiseOp op;
  int64_t cls;
  int64_t a = 0, b = 0, c = 0;
};

Call program(int64_t inputs, const std::vector<Instruction> &code,
             std::vector<double> floats = {}) {
  Call call;
  call.ints = {inputs, static_cast<int64_t>(code.size())};
  for (const Instruction &i : code) {
    call.ints.insert(call.ints.end(),
                     {static_cast<int64_t>(i.op), i.cls, i.a, i.b, i.c});
  }
  call.floats = std::move(floats);
  return call;
}

Values interesting(double low, double high) {
  Random random(3);
  Values values = random.reals(1000, low, high);
  for (double v : {0.0, 1.0, -1.0, 0.5, 2.5, 1e-30, 3.0}) {
    if (v >= low && v <= high) {
      values.push_back(v);
    }
  }
  return values;
}

} // namespace

TEST(Pointwise, UnaryFunctions) {
  using Fn = double (*)(double);
  struct Case {
    PointwiseOp op;
    double low, high;
    Fn fn;
    double absolute;
  };
  const Case cases[] = {
      {PointwiseOp::Neg, -5, 5, [](double x) { return -x; }, 0},
      {PointwiseOp::Abs, -5, 5, [](double x) { return std::abs(x); }, 0},
      {PointwiseOp::Exp, -87, 88, [](double x) { return std::exp(x); }, 0},
      {PointwiseOp::Log, 1e-6, 50, [](double x) { return std::log(x); }, 1e-9},
      {PointwiseOp::Sqrt, 0, 50, [](double x) { return std::sqrt(x); }, 0},
      {PointwiseOp::Rsqrt, 1e-3, 50, [](double x) { return 1 / std::sqrt(x); },
       0},
      {PointwiseOp::Reciprocal, 1, 50, [](double x) { return 1 / x; }, 0},
      {PointwiseOp::Sin, -20, 20, [](double x) { return std::sin(x); }, 1e-9},
      {PointwiseOp::Cos, -20, 20, [](double x) { return std::cos(x); }, 1e-9},
      {PointwiseOp::Tan, -1.5, 1.5, [](double x) { return std::tan(x); }, 0},
      {PointwiseOp::Tanh, -12, 12, [](double x) { return std::tanh(x); }, 0},
      {PointwiseOp::Erf, -5, 5, [](double x) { return std::erf(x); }, 0},
      {PointwiseOp::Sigmoid, -80, 30,
       [](double x) { return 1 / (1 + std::exp(-x)); }, 0},
      {PointwiseOp::Relu, -5, 5, [](double x) { return x < 0 ? 0 : x; }, 0},
      {PointwiseOp::Silu, -80, 30,
       [](double x) { return x / (1 + std::exp(-x)); }, 0},
      // The bracket cancels for x far below zero.
      {PointwiseOp::GeluErf, -6, 6,
       [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); },
       1e-6},
      {PointwiseOp::GeluTanh, -6, 6,
       [](double x) {
         return 0.5 * x *
                (1 +
                 std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
       },
       1e-6},
      {PointwiseOp::QuickGelu, -40, 20,
       [](double x) { return x / (1 + std::exp(-1.702 * x)); }, 0},
      {PointwiseOp::Floor, -5, 5, [](double x) { return std::floor(x); }, 0},
      {PointwiseOp::Ceil, -5, 5, [](double x) { return std::ceil(x); }, 0},
      {PointwiseOp::Round, -5, 5, [](double x) { return std::nearbyint(x); },
       0},
      {PointwiseOp::Sign, -5, 5,
       [](double x) { return x > 0 ? 1.0 : (x < 0 ? -1.0 : 0.0); }, 0},
      {PointwiseOp::Softplus, -50, 50,
       [](double x) {
         return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
       },
       0},
      {PointwiseOp::Square, -5, 5, [](double x) { return x * x; }, 0},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      for (DType type : {DType::F32, DType::F64}) {
        Values values = interesting(c.low, c.high);
        int64_t n = static_cast<int64_t>(values.size());
        Data x(type, {n}, values);
        Data out(type, {n});
        ASSERT_LAUNCH(KernelId::Pointwise, {&x, &out},
                      program(1, {{c.op, type == DType::F32 ? kF32 : kF64, 0}}),
                      3);
        Values want = x.decode();
        for (double &v : want) {
          v = c.fn(v);
        }
        // A few units in the last place: x * sigmoid(1.702 x) amplifies the
        // rounding of its argument by the size of that argument.
        double units = c.op == PointwiseOp::QuickGelu ? 140 : 6;
        expectNear(out.decode(), want,
                   type == DType::F32 ? c.absolute + 1e-44 : 1e-12,
                   units * unitOf(type),
                   "op " + std::to_string(static_cast<int>(c.op)));
      }
    }
  });
}

TEST(Pointwise, ExpAtTheEdges) {
  forEachIsa([&] {
    Data x(DType::F32, {9},
           {-INFINITY, INFINITY, NAN, -104, -90, 88.7, 89, 0, -0.0});
    Data out(DType::F32, {9});
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &out},
                  program(1, {{PointwiseOp::Exp, kF32, 0}}));
    Values want;
    for (double v : x.decode()) {
      want.push_back(std::exp(static_cast<float>(v)));
    }
    expectNear(out.decode(), want, 1.5e-45, 3e-7);
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &out},
                  program(1, {{PointwiseOp::Sigmoid, kF32, 0}}));
    EXPECT_EQ(out.get(0), 0);
    EXPECT_EQ(out.get(1), 1);
    EXPECT_TRUE(std::isnan(out.get(2)));
    EXPECT_EQ(out.get(7), 0.5);
  });
}

TEST(Pointwise, BinaryFunctions) {
  using Fn = double (*)(double, double);
  struct Case {
    PointwiseOp op;
    Fn fn;
    bool integers;
  };
  const Case cases[] = {
      {PointwiseOp::Add, [](double x, double y) { return x + y; }, true},
      {PointwiseOp::Sub, [](double x, double y) { return x - y; }, true},
      {PointwiseOp::Mul, [](double x, double y) { return x * y; }, true},
      {PointwiseOp::Min, [](double x, double y) { return std::min(x, y); },
       true},
      {PointwiseOp::Max, [](double x, double y) { return std::max(x, y); },
       true},
      {PointwiseOp::Div, [](double x, double y) { return x / y; }, false},
      {PointwiseOp::Pow,
       [](double x, double y) { return std::pow(std::abs(x), y); }, false},
      {PointwiseOp::FMod, [](double x, double y) { return std::fmod(x, y); },
       true},
      {PointwiseOp::Mod,
       [](double x, double y) { return x - std::floor(x / y) * y; }, true},
  };
  Random random(6);
  forEachIsa([&] {
    for (const Case &c : cases) {
      for (DType type : {DType::F32, DType::F64, DType::I64, DType::I32}) {
        bool real = type == DType::F32 || type == DType::F64;
        if (!real && !c.integers) {
          continue;
        }
        int64_t cls = type == DType::F32   ? kF32
                      : type == DType::F64 ? kF64
                                           : kI64;
        Values a =
            real ? random.reals(300, -9, 9) : random.integers(300, -50, 50);
        Values b =
            real ? random.reals(300, 0.5, 4) : random.integers(300, 1, 9);
        if (!real) {
          b[5] = -4;
        }
        if (c.op == PointwiseOp::Pow) {
          for (double &v : a) {
            v = std::abs(v);
          }
        }
        Data x(type, {300}, a);
        Data y(type, {300}, b);
        Data out(type, {300});
        ASSERT_LAUNCH(KernelId::Pointwise, {&x, &y, &out},
                      program(2, {{c.op, cls, 0, 1}}), 3);
        Values want;
        for (int i = 0; i < 300; ++i) {
          want.push_back(c.fn(x.get(i), y.get(i)));
        }
        expectNear(out.decode(), want, real ? 1e-6 : 0, 4 * unitOf(type),
                   "op " + std::to_string(static_cast<int>(c.op)));
      }
    }
  });
}

TEST(Pointwise, IntegerEdges) {
  Data x(DType::I64, {6}, {7, -7, 7, -7, 5, 2});
  Data y(DType::I64, {6}, {2, 2, -2, -2, 0, -1});
  Data out(DType::I64, {6});
  auto run = [&](PointwiseOp op) {
    EXPECT_EQ(launch(KernelId::Pointwise, {&x, &y, &out},
                     program(2, {{op, kI64, 0, 1}})),
              nullptr);
    return out.decode();
  };
  EXPECT_EQ(run(PointwiseOp::Div), (Values{3, -3, -3, 3, 0, -2}));
  EXPECT_EQ(run(PointwiseOp::Mod), (Values{1, 1, -1, -1, 0, 0}));
  EXPECT_EQ(run(PointwiseOp::FMod), (Values{1, -1, 1, -1, 0, 0}));
  EXPECT_EQ(run(PointwiseOp::Pow), (Values{49, 49, 0, 0, 1, 0}));
  EXPECT_EQ(run(PointwiseOp::And), (Values{2, 0, 6, -8, 0, 2}));
}

TEST(Pointwise, ComparisonsSelectAndBools) {
  forEachIsa([&] {
    Data x(DType::F32, {5}, {1, 2, 3, NAN, -1});
    Data y(DType::F32, {5}, {2, 2, 2, 2, NAN});
    Data out(DType::Bool, {5});
    auto run = [&](PointwiseOp op) {
      EXPECT_EQ(launch(KernelId::Pointwise, {&x, &y, &out},
                       program(2, {{op, kBool, 0, 1}})),
                nullptr);
      return out.decode();
    };
    EXPECT_EQ(run(PointwiseOp::Eq), (Values{0, 1, 0, 0, 0}));
    EXPECT_EQ(run(PointwiseOp::Ne), (Values{1, 0, 1, 1, 1}));
    EXPECT_EQ(run(PointwiseOp::Lt), (Values{1, 0, 0, 0, 0}));
    EXPECT_EQ(run(PointwiseOp::Le), (Values{1, 1, 0, 0, 0}));
    EXPECT_EQ(run(PointwiseOp::Gt), (Values{0, 0, 1, 0, 0}));
    EXPECT_EQ(run(PointwiseOp::Ge), (Values{0, 1, 1, 0, 0}));
    EXPECT_EQ(run(PointwiseOp::IsNan), (Values{0, 0, 0, 1, 0}));
    // not (x < y) and (x > 0), then ? x : y, where y is an integer here.
    Data k(DType::I32, {5}, {10, 20, 30, 40, 50});
    Data picked(DType::F32, {5});
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &y, &k, &picked},
                  program(3,
                          {{PointwiseOp::Lt, kBool, 0, 1},
                           {PointwiseOp::Not, kBool, 3},
                           {PointwiseOp::Const, kF32, 0},
                           {PointwiseOp::Gt, kBool, 0, 5},
                           {PointwiseOp::And, kBool, 4, 6},
                           {PointwiseOp::Select, kF32, 7, 0, 2}},
                          {0.0}));
    EXPECT_EQ(picked.decode(), (Values{10, 2, 3, 40, 50}));
  });
}

TEST(Pointwise, MinAndMaxKeepNan) {
  Data x(DType::F32, {3}, {NAN, 1, 1});
  Data y(DType::F32, {3}, {1, NAN, 2});
  Data out(DType::F32, {3});
  for (PointwiseOp op : {PointwiseOp::Min, PointwiseOp::Max}) {
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &y, &out},
                  program(2, {{op, kF32, 0, 1}}));
    EXPECT_TRUE(std::isnan(out.get(0)));
    EXPECT_TRUE(std::isnan(out.get(1)));
  }
}

TEST(Pointwise, Broadcasts) {
  struct Case {
    Dims a, b, out;
  };
  const Case cases[] = {
      {{4, 300}, {300}, {4, 300}},
      {{4, 300}, {4, 1}, {4, 300}},
      {{4, 300}, {}, {4, 300}},
      {{2, 1, 5}, {3, 1}, {2, 3, 5}},
      {{2, 3, 4, 5}, {1, 3, 1, 5}, {2, 3, 4, 5}},
      {{1}, {1, 1}, {1, 1}},
      {{7, 1, 1, 3}, {1, 6, 5, 1}, {7, 6, 5, 3}},
      {{1, 1, 1000}, {1, 700, 1}, {1, 700, 1000}},
      {{1, 3}, {3}, {3}},
      {{0, 3}, {3}, {0, 3}},
      {{2, 0}, {2, 1}, {2, 0}},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      for (DType type : {DType::F32, DType::F16, DType::I32, DType::I64}) {
        Random random(2);
        Data a(type, c.a, random.integers(product(c.a), -20, 20));
        Data b(type, c.b, random.integers(product(c.b), -20, 20));
        Data out(type, c.out);
        bool real = type == DType::F32 || type == DType::F16;
        ASSERT_LAUNCH(
            KernelId::Pointwise, {&a, &b, &out},
            program(2, {{PointwiseOp::Sub, real ? kF32 : kI64, 0, 1}}), 3);
        Values want;
        for (int64_t i = 0; i < product(c.out); ++i) {
          auto at = [&](const Dims &dims) {
            int64_t rest = i;
            int64_t offset = 0;
            int64_t stride = 1;
            for (size_t d = 0; d < c.out.size(); ++d) {
              int64_t size = c.out[c.out.size() - 1 - d];
              if (d < dims.size()) {
                int64_t own = dims[dims.size() - 1 - d];
                offset += own == 1 ? 0 : rest % size * stride;
                stride *= own;
              }
              rest /= size;
            }
            return offset;
          };
          want.push_back(a.get(at(c.a)) - b.get(at(c.b)));
        }
        expectNear(out.decode(), want, 0, 0);
      }
    }
  });
}

// (x * 2 + row) cast to f16, the output in place of the input where it may be.
TEST(Pointwise, FusedProgramsAndInPlace) {
  forEachIsa([&] {
    Random random(8);
    Data x = random.tensor(DType::F32, {50, 77});
    Data row = random.tensor(DType::F32, {77});
    Values want = x.decode();
    for (size_t i = 0; i < want.size(); ++i) {
      want[i] = want[i] * 2 + row.get(static_cast<int64_t>(i % 77));
    }
    std::vector<Instruction> code = {{PointwiseOp::Const, kF32, 0},
                                     {PointwiseOp::Mul, kF32, 0, 2},
                                     {PointwiseOp::Add, kF32, 3, 1}};
    Data half(DType::F16, {50, 77});
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &row, &half},
                  program(2, code, {2.0}), 3);
    expectNear(half.decode(), want, 1e-7, 0x1p-11 * 1.01);
    ASSERT_LAUNCH(KernelId::Pointwise, {&x, &row, &x}, program(2, code, {2.0}),
                  3);
    expectNear(x.decode(), want, 1e-7, 2e-7);
  });
}

TEST(Pointwise, LongProgramsUseSmallerBlocks) {
  constexpr int kSteps = 400;
  std::vector<Instruction> code;
  for (int i = 0; i < kSteps; ++i) {
    code.push_back({PointwiseOp::Add, kF32, i, 0});
  }
  Data x(DType::F32, {1000}, Values(1000, 0.5));
  Data out(DType::F32, {1000});
  ASSERT_LAUNCH(KernelId::Pointwise, {&x, &out}, program(1, code), 3);
  EXPECT_EQ(out.decode(), Values(1000, 0.5 * (kSteps + 1)));
}

TEST(Pointwise, RefusesBadPrograms) {
  Data x(DType::F32, {4}, Values(4, 1.0));
  Data wide(DType::F32, {5});
  Data out(DType::F32, {4});
  auto status = [&](const Call &call) {
    return launch(KernelId::Pointwise, {&x, &out}, call);
  };
  EXPECT_NE(status(program(1, {{static_cast<PointwiseOp>(48), kF32, 0}})),
            nullptr);
  EXPECT_NE(status(program(1, {{PointwiseOp::Neg, 4, 0}})), nullptr);
  EXPECT_NE(status(program(1, {{PointwiseOp::Add, kF32, 0, 1}})), nullptr);
  EXPECT_NE(status(program(1, {{PointwiseOp::Const, kF32, 0}})), nullptr);
  EXPECT_NE(status(program(1, {{PointwiseOp::Erf, kBool, 0}})), nullptr);
  EXPECT_NE(status(program(3, {{PointwiseOp::Neg, kF32, 0}})), nullptr);
  EXPECT_NE(launch(KernelId::Pointwise, {&wide, &out},
                   program(1, {{PointwiseOp::Neg, kF32, 0}})),
            nullptr);
}

TEST(Cast, BetweenAllTypes) {
  const DType types[] = {DType::F32, DType::F16, DType::BF16, DType::F64,
                         DType::I8,  DType::U8,  DType::I16,  DType::U16,
                         DType::I32, DType::U32, DType::I64,  DType::U64,
                         DType::Bool};
  forEachIsa([&] {
    for (DType from : types) {
      for (DType to : types) {
        Values values = {0, 1, 2, 3, 100, 1, 0, 7};
        for (int i = 0; i < 600; ++i) {
          values.push_back(i % 100);
        }
        if (from == DType::Bool) {
          for (double &v : values) {
            v = v != 0;
          }
        }
        int64_t n = static_cast<int64_t>(values.size());
        Data x(from, {n}, values);
        Data out(to, {n});
        ASSERT_LAUNCH(KernelId::Cast, {&x, &out}, {}, 3);
        if (to == DType::Bool) {
          for (double &v : values) {
            v = v != 0;
          }
        }
        EXPECT_EQ(out.decode(), values)
            << llmc::plan::name(from) << " to " << llmc::plan::name(to);
      }
    }
  });
}

TEST(Cast, TruncatesWrapsAndRounds) {
  forEachIsa([&] {
    Data x(DType::F32, {4}, {1.9, -1.9, 300.5, -129});
    Data bytes(DType::U8, {4});
    ASSERT_LAUNCH(KernelId::Cast, {&x, &bytes}, {});
    EXPECT_EQ(bytes.decode(), (Values{1, 255, 44, 127}));
    Data signedBytes(DType::I8, {4});
    ASSERT_LAUNCH(KernelId::Cast, {&x, &signedBytes}, {});
    EXPECT_EQ(signedBytes.decode(), (Values{1, -1, 44, 127}));
    Data nibbles(DType::I4, {4}, {-8, 7, -1, 3});
    Data wide(DType::I32, {4});
    ASSERT_LAUNCH(KernelId::Cast, {&nibbles, &wide}, {});
    EXPECT_EQ(wide.decode(), (Values{-8, 7, -1, 3}));
    Data huge(DType::F32, {2}, {NAN, 1e30});
    Data integers(DType::I64, {2});
    ASSERT_LAUNCH(KernelId::Cast, {&huge, &integers}, {});
    EXPECT_EQ(integers.at<int64_t>(0), INT64_MIN);
    EXPECT_EQ(integers.at<int64_t>(1), INT64_MIN);
  });
}

// Every f16 there is, and every rounding case of f32 -> f16 and bf16.
TEST(Cast, HalfConversionsAreExact) {
  forEachIsa([&] {
    Data halves(DType::F16, {65536});
    for (int i = 0; i < 65536; ++i) {
      halves.put(i, static_cast<uint16_t>(i));
    }
    Data wide(DType::F32, {65536});
    ASSERT_LAUNCH(KernelId::Cast, {&halves, &wide}, {});
    expectNear(wide.decode(), halves.decode(), 0, 0);
    // The float between two neighbours, and just beside it.
    Data between(DType::F32, {3 * 31744});
    for (int i = 0; i < 31744; ++i) {
      double middle = i == 31743 ? 65520.0
                                 : (decodeHalf(static_cast<uint16_t>(i)) +
                                    decodeHalf(static_cast<uint16_t>(i + 1))) /
                                       2;
      auto f = static_cast<float>(middle);
      between.set(3 * i, f);
      between.set(3 * i + 1, std::nextafterf(f, 0.0f));
      between.set(3 * i + 2, -std::nextafterf(f, 1e30f));
    }
    for (DType type : {DType::F16, DType::BF16}) {
      Data narrow(type, between.dims);
      ASSERT_LAUNCH(KernelId::Cast, {&between, &narrow}, {});
      Data want(type, between.dims, between.decode());
      EXPECT_EQ(narrow.contents(), want.contents()) << llmc::plan::name(type);
    }
  });
}
