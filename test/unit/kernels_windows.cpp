//===- kernels_windows.cpp - Tests of convolutions, pooling, LRN ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

#include <limits>
#include <span>

namespace llmc::kernels::testing {
namespace {

using plan::PoolKind;

struct PoolCase {
  Dims x, kernel, strides, dilations, begin, end;
  bool ceilMode = false, countPads = false;
};

const PoolCase kPools[] = {
    {{2, 3, 9}, {3}, {1}, {1}, {0}, {0}},
    {{2, 3, 9}, {3}, {2}, {2}, {2}, {1}, false, true},
    {{1, 2, 7, 8}, {3, 2}, {2, 1}, {1, 3}, {1, 0}, {0, 1}},
    {{1, 2, 7, 8}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, true, true},
    {{1, 2, 6, 8}, {3, 3}, {2, 3}, {1, 1}, {0, 1}, {0, 1}, true, false},
    {{1, 1, 4, 5, 6}, {2, 3, 2}, {1, 2, 3}, {2, 1, 1}, {1, 1, 0}, {1, 0, 1}},
    // Rows longer than what is accumulated together.
    {{1, 1, 3, 700}, {2, 3}, {1, 1}, {1, 1}, {0, 1}, {1, 1}, false, true},
    {{1, 1, 2, 700}, {2, 5}, {1, 2}, {1, 1}, {0, 2}, {0, 2}},
    {{0, 3, 5}, {2}, {1}, {1}, {0}, {0}},
};

Dims resultOf(const PoolCase &c) {
  Dims dims = {c.x[0], c.x[1]};
  for (size_t i = 0; i < c.kernel.size(); ++i) {
    // By hand: windows are added while they fit.
    int64_t padded = c.x[2 + i] + c.begin[i] + c.end[i];
    int64_t reach = (c.kernel[i] - 1) * c.dilations[i] + 1;
    int64_t n = 0;
    while (n * c.strides[i] + reach <= padded) {
      ++n;
    }
    bool isCut = (n - 1) * c.strides[i] + reach < padded;
    if (c.ceilMode && isCut && n * c.strides[i] < c.x[2 + i] + c.begin[i]) {
      ++n;
    }
    dims.push_back(n);
  }
  return dims;
}

/// Position `index` of an array with these extents.
Dims unravel(int64_t index, const Dims &dims) {
  Dims at(dims.size());
  for (size_t i = dims.size(); i-- > 0;) {
    at[i] = index % dims[i];
    index /= dims[i];
  }
  return at;
}

Values reference(const PoolCase &c, const Values &x, bool isMax) {
  Dims out = resultOf(c);
  Values want;
  for (int64_t i = 0; i < product(out); ++i) {
    Dims at = unravel(i, out);
    double value = isMax ? -std::numeric_limits<double>::infinity() : 0;
    int64_t seen = 0;
    for (int64_t tap = 0; tap < product(c.kernel); ++tap) {
      Dims j = unravel(tap, c.kernel);
      int64_t flat = at[0] * c.x[1] + at[1];
      bool isInside = true, isPadding = true;
      for (size_t d = 0; d < j.size(); ++d) {
        int64_t p =
            at[2 + d] * c.strides[d] - c.begin[d] + j[d] * c.dilations[d];
        isInside &= p >= 0 && p < c.x[2 + d];
        isPadding &= p >= -c.begin[d] && p < c.x[2 + d] + c.end[d];
        flat = flat * c.x[2 + d] + p;
      }
      seen += c.countPads ? isPadding : isInside;
      if (isInside) {
        value = isMax ? std::max(value, x[flat]) : value + x[flat];
      }
    }
    want.push_back(isMax ? value : seen == 0 ? 0.0 : value / double(seen));
  }
  return want;
}

Call callOf(const PoolCase &c, PoolKind kind) {
  Call call;
  call.ints = {static_cast<int64_t>(kind),
               static_cast<int64_t>(c.kernel.size()), c.ceilMode, c.countPads};
  for (const Dims *list :
       {&c.kernel, &c.strides, &c.dilations, &c.begin, &c.end}) {
    call.ints.insert(call.ints.end(), list->begin(), list->end());
  }
  return call;
}

TEST(Pool, MatchesReference) {
  forEachIsa([] {
    int number = 0;
    for (const PoolCase &c : kPools) {
      SCOPED_TRACE(number++);
      Random random(7);
      for (DType type : {DType::F32, DType::F16, DType::F64}) {
        Data x = random.tensor(type, c.x);
        Data most(type, resultOf(c));
        ASSERT_LAUNCH(KernelId::Pool, {&x, &most}, callOf(c, PoolKind::Max));
        EXPECT_EQ(most.decode(), reference(c, x.decode(), true));
        for (DType to : {type, type == DType::F16 ? DType::F32 : type}) {
          Data mean(to, resultOf(c));
          ASSERT_LAUNCH(KernelId::Pool, {&x, &mean},
                        callOf(c, PoolKind::Average), 3);
          expectNear(mean.decode(), reference(c, x.decode(), false), 1e-6,
                     2 * unitOf(to));
        }
      }
    }
  });
}

TEST(Pool, LargestOfIntegersAndOfWhatIsNoNumber) {
  PoolCase c = {{1, 1, 4}, {2}, {1}, {1}, {0}, {0}};
  for (DType type : {DType::I8, DType::U8, DType::I32, DType::I64}) {
    double low = type == DType::U8 ? 0 : -128;
    Data x(type, c.x, {low, low, 3, 100});
    Data out(type, {1, 1, 3});
    ASSERT_LAUNCH(KernelId::Pool, {&x, &out}, callOf(c, PoolKind::Max));
    EXPECT_EQ(out.decode(), (Values{low, 3, 100}));
  }
  double nan = std::numeric_limits<double>::quiet_NaN();
  Data x(DType::F32, c.x, {1, nan, 2, 3});
  Data out(DType::F32, {1, 1, 3});
  ASSERT_LAUNCH(KernelId::Pool, {&x, &out}, callOf(c, PoolKind::Max));
  expectNear(out.decode(), {nan, nan, 3}, 0, 0);
}

TEST(Pool, BitsDoNotDependOnThreads) {
  PoolCase c = {{2, 5, 31, 33}, {3, 3}, {2, 1}, {1, 1}, {1, 1}, {1, 1}};
  Random random(5);
  Data x = random.tensor(DType::F32, c.x);
  Data one(DType::F32, resultOf(c)), three(DType::F32, resultOf(c));
  ASSERT_LAUNCH(KernelId::Pool, {&x, &one}, callOf(c, PoolKind::Average), 1);
  ASSERT_LAUNCH(KernelId::Pool, {&x, &three}, callOf(c, PoolKind::Average), 3);
  EXPECT_EQ(one.contents(), three.contents());
}

TEST(Pool, RefusesWhatDoesNotFit) {
  PoolCase c = {{1, 2, 8}, {2}, {2}, {1}, {0}, {0}};
  Data x(DType::F32, c.x), other(DType::F32, {1, 3, 4});
  EXPECT_STREQ(launch(KernelId::Pool, {&x, &other}, callOf(c, PoolKind::Max)),
               "operand shapes do not fit together");
  Data half(DType::F16, {1, 2, 4});
  EXPECT_STREQ(launch(KernelId::Pool, {&x, &half}, callOf(c, PoolKind::Max)),
               "unsupported data type");
}

struct ConvCase {
  Dims x, w; // w [M, C/g, ..]; transposed [C, M/g, ..]
  int64_t groups;
  Dims strides, dilations, begin, end;
  bool hasBias = false;
};

Call callOf(const ConvCase &c) {
  Call call;
  call.ints = {static_cast<int64_t>(c.strides.size()), c.groups, c.hasBias};
  for (const Dims *list : {&c.strides, &c.dilations, &c.begin, &c.end}) {
    call.ints.insert(call.ints.end(), list->begin(), list->end());
  }
  return call;
}

/// Sizes and sums in double, from the definition; the magnitude of the terms
/// of each sum goes to `scale`.
Dims convolve(const ConvCase &c, bool transposed, const Values &x,
              const Values &w, const Values &bias, Values &want,
              Values &scale) {
  size_t s = c.strides.size();
  int64_t outputs = transposed ? c.w[1] * c.groups : c.w[0];
  Dims out = {c.x[0], outputs}, taps(c.w.begin() + 2, c.w.end());
  for (size_t d = 0; d < s; ++d) {
    int64_t reach = c.dilations[d] * (taps[d] - 1) + 1;
    out.push_back(
        transposed
            ? (c.x[2 + d] - 1) * c.strides[d] + reach - c.begin[d] - c.end[d]
            : (c.x[2 + d] + c.begin[d] + c.end[d] - reach) / c.strides[d] + 1);
  }
  int64_t groupOut = outputs / c.groups, groupIn = c.x[1] / c.groups;
  for (int64_t i = 0; i < product(out); ++i) {
    Dims at = unravel(i, out);
    double sum = c.hasBias ? bias[at[1]] : 0, size = std::abs(sum);
    int64_t group = at[1] / groupOut;
    for (int64_t ch = 0; ch < groupIn; ++ch) {
      int64_t channel = group * groupIn + ch;
      for (int64_t tap = 0; tap < product(taps); ++tap) {
        Dims t = unravel(tap, taps);
        int64_t from = at[0] * c.x[1] + channel;
        bool isInside = true;
        for (size_t d = 0; d < s; ++d) {
          int64_t p;
          if (transposed) {
            int64_t reach = at[2 + d] + c.begin[d] - t[d] * c.dilations[d];
            isInside &= reach >= 0 && reach % c.strides[d] == 0;
            p = reach / c.strides[d];
          } else {
            p = at[2 + d] * c.strides[d] - c.begin[d] + t[d] * c.dilations[d];
          }
          isInside &= p >= 0 && p < c.x[2 + d];
          from = from * c.x[2 + d] + p;
        }
        int64_t weight = transposed ? channel * groupOut + at[1] % groupOut
                                    : at[1] * groupIn + ch;
        if (isInside) {
          double term = x[from] * w[weight * product(taps) + tap];
          sum += term;
          size += std::abs(term);
        }
      }
    }
    want.push_back(sum);
    scale.push_back(size);
  }
  return out;
}

void checkConv(const ConvCase &c, bool transposed, DType type, DType weight,
               DType to) {
  Random random(3);
  Data x = random.tensor(type, c.x), w = random.tensor(weight, c.w);
  int64_t outputs = transposed ? c.w[1] * c.groups : c.w[0];
  Data bias = random.tensor(weight, {outputs});
  Values want, scale;
  Dims dims = convolve(c, transposed, x.decode(), w.decode(), bias.decode(),
                       want, scale);
  Data out(to, dims), alone(to, dims);
  for (Data *result : {&out, &alone}) {
    std::vector<Data *> operands = {&x, &w};
    if (c.hasBias) {
      operands.push_back(&bias);
    }
    operands.push_back(result);
    ASSERT_LAUNCH(KernelId::Conv, operands, callOf(c), result == &out ? 3 : 1);
  }
  EXPECT_EQ(out.contents(), alone.contents()) << "bits depend on threads";
  Values got = out.decode();
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    double sumError = type == DType::F64 ? 1e-14 : 2e-6;
    ASSERT_LE(std::abs(got[i] - want[i]),
              sumError * scale[i] + 2 * unitOf(to) * std::abs(want[i]))
        << "at " << i << ": got " << got[i] << ", want " << want[i];
  }
}

void checkConvs(std::span<const ConvCase> cases, bool transposed) {
  forEachIsa([&] {
    int number = 0;
    for (const ConvCase &c : cases) {
      SCOPED_TRACE(number++);
      checkConv(c, transposed, DType::F32, DType::F32, DType::F32);
      checkConv(c, transposed, DType::F32, DType::F16, DType::F32);
      checkConv(c, transposed, DType::F16, DType::BF16, DType::F16);
      checkConv(c, transposed, DType::F64, DType::F64, DType::F64);
    }
  });
}

TEST(Conv, ProductsMatchReference) {
  // Longer than a block of K (256) and a panel (64), several chunks of outputs;
  // rows shorter and longer than a panel; borders on all sides; 1x1.
  const ConvCase cases[] = {
      {{1, 40, 9, 11}, {70, 40, 3, 3}, 1, {1, 1}, {1, 1}, {1, 1}, {1, 1}, true},
      {{2, 12, 8, 70}, {14, 6, 2, 5}, 2, {1, 3}, {2, 1}, {0, 4}, {1, 2}},
      {{1, 5, 3, 4, 5},
       {6, 5, 2, 2, 3},
       1,
       {1, 2, 1},
       {1, 1, 2},
       {1, 0, 2},
       {0, 1, 2},
       true},
      {{1, 300, 7, 9}, {30, 300, 1, 1}, 1, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
      {{1, 3, 5, 6}, {725, 3, 1, 1}, 1, {2, 2}, {1, 1}, {0, 0}, {0, 0}, true},
      // Windows that lie in the padding altogether.
      {{1, 2, 3, 2}, {4, 2, 2, 2}, 1, {1, 1}, {1, 1}, {3, 4}, {3, 4}},
  };
  checkConvs(cases, false);
}

TEST(Conv, FewOutputsPerGroupMatchReference) {
  const ConvCase cases[] = {
      {{1, 6, 9, 11}, {6, 1, 3, 3}, 6, {1, 1}, {1, 1}, {1, 1}, {1, 1}, true},
      {{2, 6, 5, 300}, {3, 2, 2, 5}, 3, {2, 1}, {1, 2}, {0, 3}, {1, 2}},
      {{1, 8, 9, 9}, {3, 8, 3, 3}, 1, {2, 2}, {1, 1}, {1, 1}, {0, 1}, true},
      {{1, 4, 50}, {4, 1, 4}, 4, {1}, {1}, {3}, {0}},
  };
  checkConvs(cases, false);
}

TEST(Lrn, MatchesReference) {
  forEachIsa([] {
    for (int64_t size : {1, 2, 3, 5, 9}) {
      for (double beta : {0.75, 0.5}) {
        for (DType type : {DType::F32, DType::F16, DType::F64}) {
          Random random(11);
          Data x = random.tensor(type, {2, 7, 3, 100}, -4, 4);
          DType to = type == DType::F16 ? DType::F32 : type;
          Data out(to, x.dims);
          Call call;
          call.ints = {size};
          call.floats = {0.25, beta, 1.5};
          ASSERT_LAUNCH(KernelId::Lrn, {&x, &out}, call, 3);
          Values values = x.decode(), want;
          for (int64_t i = 0; i < product(x.dims); ++i) {
            int64_t c = i / 300 % 7;
            double sum = 0;
            for (int64_t k = 0; k < 7; ++k) {
              bool isNear = k >= c - (size - 1) / 2 && k <= c + size / 2;
              double v = values[i + (k - c) * 300];
              sum += isNear ? v * v : 0;
            }
            want.push_back(values[i] /
                           std::pow(1.5 + 0.25 / double(size) * sum, beta));
          }
          expectNear(out.decode(), want, 1e-7, 4 * unitOf(to));
        }
      }
    }
  });
}

} // namespace
} // namespace llmc::kernels::testing
