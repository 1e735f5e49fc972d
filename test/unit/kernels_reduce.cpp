//===- kernels_reduce.cpp - Tests of norms, softmax and reductions --------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

#include <algorithm>
#include <numeric>

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::ReduceKind;

TEST(Norm, MatchesReference) {
  struct Case {
    Dims x, trailing;
    bool center, scale, bias;
    DType type, scaleType;
  };
  const Case cases[] = {
      {{3, 64}, {64}, false, true, false, DType::F32, DType::F32},
      {{2, 5, 77}, {77}, false, false, false, DType::F32, DType::F32},
      {{2, 3, 1030}, {1030}, true, true, true, DType::F32, DType::F32},
      {{4, 6, 5}, {6, 5}, true, true, false, DType::F32, DType::F32},
      {{3, 1}, {1}, false, true, false, DType::F32, DType::F32},
      {{3, 33}, {33}, true, true, true, DType::F16, DType::F32},
      {{3, 33}, {33}, false, true, false, DType::BF16, DType::BF16},
      {{3, 33}, {33}, true, true, true, DType::F64, DType::F64},
      {{0, 8}, {8}, true, true, true, DType::F32, DType::F32},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      Random random(4);
      Data x = random.tensor(c.type, c.x, -3, 5);
      Data scale = random.tensor(c.scaleType, c.trailing);
      Data bias = random.tensor(c.scaleType, c.trailing);
      Data out(c.type, c.x);
      std::vector<Data *> operands = {&x};
      if (c.scale) {
        operands.push_back(&scale);
      }
      if (c.bias) {
        operands.push_back(&bias);
      }
      operands.push_back(&out);
      auto trailing = static_cast<int64_t>(c.trailing.size());
      constexpr double kEpsilon = 1e-5;
      if (c.center) {
        ASSERT_LAUNCH(KernelId::LayerNorm, operands,
                      {{}, {trailing, c.scale, c.bias}, {kEpsilon}}, 3);
      } else {
        ASSERT_LAUNCH(KernelId::RmsNorm, operands,
                      {{}, {trailing, c.scale}, {kEpsilon}}, 3);
      }
      int64_t n = product(c.trailing);
      Values want = x.decode();
      for (size_t row = 0; row < want.size(); row += n) {
        double mean = 0;
        double square = 0;
        for (int64_t i = 0; c.center && i < n; ++i) {
          mean += want[row + i] / static_cast<double>(n);
        }
        for (int64_t i = 0; i < n; ++i) {
          square += (want[row + i] - mean) * (want[row + i] - mean) /
                    static_cast<double>(n);
        }
        for (int64_t i = 0; i < n; ++i) {
          double &v = want[row + i];
          v = (v - mean) / std::sqrt(square + kEpsilon);
          v = v * (c.scale ? scale.get(i) : 1) + (c.bias ? bias.get(i) : 0);
        }
      }
      double unit = unitOf(c.type);
      expectNear(out.decode(), want, 30 * unit, 4 * unit);
      // In place.
      std::vector<std::byte> bits = out.contents();
      operands.back() = &x;
      if (c.center) {
        ASSERT_LAUNCH(KernelId::LayerNorm, operands,
                      {{}, {trailing, c.scale, c.bias}, {kEpsilon}});
      } else {
        ASSERT_LAUNCH(KernelId::RmsNorm, operands,
                      {{}, {trailing, c.scale}, {kEpsilon}});
      }
      EXPECT_EQ(x.contents(), bits);
    }
  });
}

TEST(Softmax, MatchesReference) {
  struct Case {
    Dims x;
    int64_t axis;
    bool isLog;
    DType type;
  };
  const Case cases[] = {
      {{3, 5}, -1, false, DType::F32},     {{2, 3, 1500}, 2, false, DType::F32},
      {{2, 3, 700}, -1, true, DType::F32}, {{4, 6, 5}, 1, false, DType::F32},
      {{4, 6, 5}, 0, true, DType::F32},    {{3, 40}, 1, false, DType::F16},
      {{3, 40}, 0, false, DType::BF16},    {{3, 40}, 1, false, DType::F64},
      {{3, 1}, 1, false, DType::F32},      {{3, 0}, 1, false, DType::F32},
      {{0, 3}, 1, false, DType::F32},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      Random random(5);
      Data x = random.tensor(c.type, c.x, -20, 20);
      Data out(c.type, c.x);
      Call call{{}, {c.axis, c.isLog}, {}};
      ASSERT_LAUNCH(KernelId::Softmax, {&x, &out}, call, 3);
      Values want = x.decode();
      auto rank = static_cast<int64_t>(c.x.size());
      int64_t axis = c.axis < 0 ? c.axis + rank : c.axis;
      int64_t length = c.x[axis];
      int64_t inner = 1;
      for (int64_t d = axis + 1; d < rank; ++d) {
        inner *= c.x[d];
      }
      for (int64_t i = 0; i < product(c.x); ++i) {
        if (i / inner % length != 0) {
          continue;
        }
        double top = -INFINITY;
        double sum = 0;
        for (int64_t k = 0; k < length; ++k) {
          top = std::max(top, want[i + k * inner]);
        }
        for (int64_t k = 0; k < length; ++k) {
          sum += std::exp(want[i + k * inner] - top);
        }
        for (int64_t k = 0; k < length; ++k) {
          double v = want[i + k * inner] - top;
          want[i + k * inner] = c.isLog ? v - std::log(sum) : std::exp(v) / sum;
        }
      }
      double unit = unitOf(c.type);
      expectNear(out.decode(), want, 1e-7, 20 * unit);
      ASSERT_LAUNCH(KernelId::Softmax, {&x, &x}, call);
      EXPECT_EQ(x.contents(), out.contents());
    }
  });
}

TEST(Softmax, MaskedEntriesAreZero) {
  forEachIsa([&] {
    Data x(DType::F32, {1, 4}, {1, -INFINITY, 1, -3.4028235e38});
    ASSERT_LAUNCH(KernelId::Softmax, {&x, &x}, {{}, {1, 0}, {}});
    EXPECT_EQ(x.decode(), (Values{0.5, 0, 0.5, 0}));
  });
}

namespace {

double reduceReference(ReduceKind kind, const Values &values) {
  double sum = 0;
  double square = 0;
  double absolute = 0;
  double least = INFINITY;
  double most = -INFINITY;
  double prod = 1;
  for (double v : values) {
    sum += v;
    square += v * v;
    absolute += std::abs(v);
    least = std::min(least, v);
    most = std::max(most, v);
    prod *= v;
  }
  switch (kind) {
  case ReduceKind::Sum:
    return sum;
  case ReduceKind::Mean:
    return sum / static_cast<double>(values.size());
  case ReduceKind::Max:
    return most;
  case ReduceKind::Min:
    return least;
  case ReduceKind::Prod:
    return prod;
  case ReduceKind::SumSquare:
    return square;
  case ReduceKind::L2:
    return std::sqrt(square);
  case ReduceKind::L1:
    return absolute;
  case ReduceKind::LogSumExp: {
    double total = 0;
    for (double v : values) {
      total += std::exp(v - most);
    }
    return most + std::log(total);
  }
  }
  return 0;
}

} // namespace

TEST(Reduce, MatchesReference) {
  struct Case {
    Dims x;
    int64_t mask;
    bool keep;
  };
  const Case cases[] = {
      {{7}, 1, false},
      {{3, 50}, 2, true},
      {{3, 50}, 1, false},
      {{2, 3, 4, 5}, 5, true},
      {{2, 3, 4, 5}, 10, false},
      {{2, 3, 4, 5}, 6, false},
      {{2, 3, 4, 5}, 15, false},
      {{2, 3}, 0, true},
      {{2, 1, 3}, 2, false},
      {{0, 3}, 2, false},
      {{}, 0, true},
  };
  for (const Case &c : cases) {
    for (int kind = 0; kind <= 8; ++kind) {
      for (DType type :
           {DType::F32, DType::F16, DType::F64, DType::I64, DType::I32}) {
        bool real = type != DType::I64 && type != DType::I32;
        if (!real && kind == static_cast<int>(ReduceKind::LogSumExp)) {
          continue;
        }
        Random random(6);
        int64_t n = product(c.x);
        Data x(type, c.x,
               real ? random.reals(n, 0.5, 1.5) : random.integers(n, -2, 3));
        Dims reduced;
        for (size_t d = 0; d < c.x.size(); ++d) {
          if (!((c.mask >> d) & 1)) {
            reduced.push_back(c.x[d]);
          } else if (c.keep) {
            reduced.push_back(1);
          }
        }
        std::vector<Values> groups(product(reduced));
        for (int64_t i = 0; i < n; ++i) {
          int64_t rest = i;
          int64_t at = 0;
          int64_t stride = 1;
          for (int d = static_cast<int>(c.x.size()) - 1; d >= 0; --d) {
            if (!((c.mask >> d) & 1)) {
              at += rest % c.x[d] * stride;
              stride *= c.x[d];
            }
            rest /= c.x[d];
          }
          groups[at].push_back(x.get(i));
        }
        Data out(type, reduced);
        ASSERT_LAUNCH(KernelId::Reduce, {&x, &out}, {{}, {kind, c.mask}, {}},
                      3);
        Values want;
        for (const Values &group : groups) {
          double v = reduceReference(static_cast<ReduceKind>(kind), group);
          want.push_back(real ? v : std::trunc(v));
        }
        expectNear(
            out.decode(), want, real ? 1e-6 : 0, real ? 30 * unitOf(type) : 0,
            "kind " + std::to_string(kind) + " mask " + std::to_string(c.mask));
      }
    }
  }
}

TEST(Reduce, NothingToReduce) {
  Data x(DType::F32, {2, 0});
  Data out(DType::F32, {2});
  auto run = [&](ReduceKind kind) {
    EXPECT_EQ(launch(KernelId::Reduce, {&x, &out},
                     {{}, {static_cast<int64_t>(kind), 2}, {}}),
              nullptr);
    return out.get(1);
  };
  EXPECT_EQ(run(ReduceKind::Sum), 0);
  EXPECT_EQ(run(ReduceKind::Prod), 1);
  EXPECT_EQ(run(ReduceKind::Max), -INFINITY);
  EXPECT_EQ(run(ReduceKind::Min), INFINITY);
  EXPECT_TRUE(std::isnan(run(ReduceKind::Mean)));
  EXPECT_EQ(run(ReduceKind::LogSumExp), -INFINITY);
}

TEST(Reduce, ThreadsDoNotChangeBits) {
  Random random(1);
  Data x = random.tensor(DType::F32, {100, 999});
  Data one(DType::F32, {100});
  Data three(DType::F32, {100});
  ASSERT_LAUNCH(KernelId::Reduce, {&x, &one}, {{}, {0, 2}, {}}, 1);
  ASSERT_LAUNCH(KernelId::Reduce, {&x, &three}, {{}, {0, 2}, {}}, 3);
  EXPECT_EQ(one.contents(), three.contents());
}

TEST(ArgReduce, TiesAndAxes) {
  Data x(DType::F32, {2, 4}, {1, 5, 5, 2, -1, -7, 3, -7});
  Data out(DType::I64, {2});
  auto run = [&](int64_t isMin, int64_t last) {
    EXPECT_EQ(
        launch(KernelId::ArgReduce, {&x, &out}, {{}, {1, isMin, last}, {}}),
        nullptr);
    return out.decode();
  };
  EXPECT_EQ(run(0, 0), (Values{1, 2}));
  EXPECT_EQ(run(0, 1), (Values{2, 2}));
  EXPECT_EQ(run(1, 0), (Values{0, 1}));
  EXPECT_EQ(run(1, 1), (Values{0, 3}));
  Data columns(DType::I64, {1, 4});
  ASSERT_LAUNCH(KernelId::ArgReduce, {&x, &columns}, {{}, {-2, 0, 0}, {}}, 3);
  EXPECT_EQ(columns.decode(), (Values{0, 0, 0, 0}));
  Data empty(DType::F32, {2, 0});
  EXPECT_NE(launch(KernelId::ArgReduce, {&empty, &out}, {{}, {1, 0, 0}, {}}),
            nullptr);
}

TEST(CumSum, AllVariants) {
  Data x(DType::I64, {2, 3}, {1, 2, 3, 4, 5, 6});
  Data out(DType::I64, {2, 3});
  auto run = [&](int64_t axis, int64_t exclusive, int64_t reverse) {
    EXPECT_EQ(launch(KernelId::CumSum, {&x, &out},
                     {{}, {axis, exclusive, reverse}, {}}),
              nullptr);
    return out.decode();
  };
  EXPECT_EQ(run(1, 0, 0), (Values{1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(run(1, 1, 0), (Values{0, 1, 3, 0, 4, 9}));
  EXPECT_EQ(run(1, 0, 1), (Values{6, 5, 3, 15, 11, 6}));
  EXPECT_EQ(run(-1, 1, 1), (Values{5, 3, 0, 11, 6, 0}));
  EXPECT_EQ(run(0, 0, 0), (Values{1, 2, 3, 5, 7, 9}));
  ASSERT_LAUNCH(KernelId::CumSum, {&x, &x}, {{}, {1, 1, 0}, {}});
  EXPECT_EQ(x.decode(), (Values{0, 1, 3, 0, 4, 9}));
}

TEST(TopK, MatchesAStableSort) {
  for (DType type : {DType::F32, DType::I64, DType::F16}) {
    for (bool largest : {true, false}) {
      for (int64_t axis : {0, 1, 2}) {
        for (int64_t k : {0, 1, 3, 7}) {
          Random random(2);
          Dims dims = {7, 9, 8};
          Data x(type, dims, random.integers(7 * 9 * 8, -3, 3)); // many ties
          Dims outDims = dims;
          outDims[axis] = k;
          Data values(type, outDims);
          Data indices(DType::I64, outDims);
          ASSERT_LAUNCH(KernelId::TopK, {&x, &values, &indices},
                        {{k}, {axis, largest, 1}, {}}, 3);
          int64_t inner = axis == 2 ? 1 : (axis == 1 ? 8 : 72);
          int64_t length = dims[axis];
          for (int64_t i = 0; i < product(outDims) && k > 0; ++i) {
            int64_t outer = i / inner / k;
            int64_t rank = i / inner % k;
            int64_t start = outer * length * inner + i % inner;
            std::vector<int64_t> order(length);
            std::iota(order.begin(), order.end(), 0);
            std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
              double left = x.get(start + a * inner);
              double right = x.get(start + b * inner);
              if (left == right) {
                return a < b;
              }
              return largest ? left > right : left < right;
            });
            ASSERT_EQ(indices.get(i), order[rank]);
            ASSERT_EQ(values.get(i), x.get(start + order[rank] * inner));
          }
        }
      }
    }
  }
}

TEST(TopK, NanIsLargest) {
  Data x(DType::F32, {4}, {1, NAN, 3, 2});
  Data values(DType::F32, {2});
  Data indices(DType::I64, {2});
  ASSERT_LAUNCH(KernelId::TopK, {&x, &values, &indices}, {{2}, {0, 1, 1}, {}});
  EXPECT_EQ(indices.decode(), (Values{1, 2}));
  ASSERT_LAUNCH(KernelId::TopK, {&x, &values, &indices}, {{2}, {0, 0, 1}, {}});
  EXPECT_EQ(indices.decode(), (Values{0, 3}));
  EXPECT_NE(
      launch(KernelId::TopK, {&x, &values, &indices}, {{5}, {0, 1, 1}, {}}),
      nullptr);
}
