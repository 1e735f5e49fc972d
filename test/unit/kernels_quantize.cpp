//===- kernels_quantize.cpp - Tests of quantization and convolution -------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;

TEST(QuantizeLinear, RoundsHalfToEvenAndSaturates) {
  Data x(DType::F32, {9}, {0.5, 1.5, 2.5, -0.5, -1.5, 1000, -1000, 126, NAN});
  Data scale(DType::F32, {}, {1});
  Data zero(DType::U8, {}, {3});
  Data bytes(DType::U8, {9});
  ASSERT_LAUNCH(KernelId::QuantizeLinear, {&x, &scale, &zero, &bytes},
                {{}, {-1000, 0, 1}, {}});
  EXPECT_EQ(bytes.decode(), (Values{3, 5, 5, 3, 1, 255, 0, 129, 0}));
  x.set(8, 0);
  Data signedBytes(DType::I8, {9});
  ASSERT_LAUNCH(KernelId::QuantizeLinear, {&x, &scale, &signedBytes},
                {{}, {-1000, 0, 0}, {}});
  EXPECT_EQ(signedBytes.decode(), (Values{0, 2, 2, 0, -2, 127, -128, 126, 0}));
}

TEST(QuantizeLinear, PerAxisAndBack) {
  Random random(1);
  Data x = random.tensor(DType::F32, {2, 3, 4}, -5, 5);
  Data scale(DType::F32, {3}, {0.05, 0.06, 0.07});
  Data zero(DType::U8, {3}, {120, 128, 130});
  Data codes(DType::U8, {2, 3, 4});
  Data back(DType::F32, {2, 3, 4});
  Call call{{}, {1, 0, 1}, {}};
  ASSERT_LAUNCH(KernelId::QuantizeLinear, {&x, &scale, &zero, &codes}, call, 3);
  ASSERT_LAUNCH(KernelId::DequantizeLinear, {&codes, &scale, &zero, &back},
                call, 3);
  for (int64_t i = 0; i < 24; ++i) {
    int64_t c = i / 4 % 3;
    double code = std::nearbyint(x.get(i) / scale.get(c)) + zero.get(c);
    EXPECT_NEAR(codes.get(i), code, 1e-9) << i;
    EXPECT_NEAR(back.get(i), x.get(i), 0.036);
  }
}

TEST(DequantizeLinear, EveryTypeBlockedAndNot) {
  struct Case {
    DType type;
    int64_t low, high;
  };
  const Case cases[] = {
      {DType::I8, -128, 127},      {DType::U8, 0, 255},
      {DType::I4, -8, 7},          {DType::U4, 0, 15},
      {DType::I16, -30000, 30000}, {DType::I32, -1000000, 1000000},
  };
  for (const Case &c : cases) {
    for (DType floats : {DType::F32, DType::F16}) {
      for (int64_t mode = 0; mode < 4; ++mode) {
        // 0 per tensor, 1 axis 0, 2 axis 1 in blocks of 3, 3 axis 0 in 2s.
        if (floats == DType::F16 && c.high > 255) {
          continue;
        }
        Random random(2);
        Dims dims = {5, 7};
        Dims scaleDims = mode == 0   ? Dims{}
                         : mode == 1 ? Dims{5}
                         : mode == 2 ? Dims{5, 3}
                                     : Dims{3, 7};
        Data x(c.type, dims, random.integers(35, c.low, c.high));
        Data scale = random.tensor(floats, scaleDims, 0.01, 0.1);
        Data zero(c.type, scaleDims,
                  random.integers(product(scaleDims), c.low, c.high));
        for (bool hasZero : {false, true}) {
          Data out(floats, dims);
          std::vector<Data *> operands = {&x, &scale};
          if (hasZero) {
            operands.push_back(&zero);
          }
          operands.push_back(&out);
          int64_t axis = mode == 0 ? -1000 : (mode == 2 ? 1 : 0);
          int64_t block = mode == 2 ? 3 : (mode == 3 ? 2 : 0);
          ASSERT_LAUNCH(KernelId::DequantizeLinear, operands,
                        {{}, {axis, block, hasZero}, {}}, 3);
          Values want;
          for (int64_t i = 0; i < 35; ++i) {
            int64_t row = i / 7;
            int64_t column = i % 7;
            int64_t at = mode == 0   ? 0
                         : mode == 1 ? row
                         : mode == 2 ? row * 3 + column / 3
                                     : row / 2 * 7 + column;
            want.push_back((x.get(i) - (hasZero ? zero.get(at) : 0)) *
                           scale.get(at));
          }
          expectNear(out.decode(), want, 0, 2 * unitOf(floats));
        }
      }
    }
  }
}

TEST(DynamicQuantizeLinear, MatchesTheSpecification) {
  // The examples of the ONNX documentation.
  struct Case {
    Values x, y;
    double scale, zero;
  };
  const Case cases[] = {
      {{0, 2, -3, -2.5, 1.34, 0.5},
       {153, 255, 0, 26, 221, 179},
       0.0196078438,
       153},
      {{-1.0, -2.1, -1.3, -2.5, -3.34, -4.0},
       {191, 121, 172, 96, 42, 0},
       0.0156862754,
       255},
      {{1, 2.1, 1.3, 2.5, 3.34, 4.0},
       {64, 134, 83, 159, 213, 255},
       0.0156862754,
       0},
      {{0, 0}, {0, 0}, 1, 0},
  };
  for (const Case &c : cases) {
    int64_t n = static_cast<int64_t>(c.x.size());
    Data x(DType::F32, {n}, c.x);
    Data y(DType::U8, {n});
    Data scale(DType::F32, {});
    Data zero(DType::U8, {});
    ASSERT_LAUNCH(KernelId::DynamicQuantizeLinear, {&x, &y, &scale, &zero}, {},
                  3);
    EXPECT_EQ(y.decode(), c.y);
    EXPECT_NEAR(scale.get(0), c.scale, 1e-8);
    EXPECT_EQ(zero.get(0), c.zero);
  }
}

TEST(Conv, MatchesReference) {
  struct Case {
    Dims x, w;
    int64_t groups;
    Dims strides, dilations, begin, end;
    bool bias;
    DType type, weight, out;
  };
  const Case cases[] = {
      {{2, 3, 9},
       {4, 3, 3},
       1,
       {1},
       {1},
       {1},
       {1},
       true,
       DType::F32,
       DType::F32,
       DType::F32},
      {{1, 4, 10},
       {4, 1, 4},
       4,
       {1},
       {1},
       {3},
       {0},
       false,
       DType::F32,
       DType::F32,
       DType::F32},
      {{1, 4, 7, 8},
       {6, 2, 3, 2},
       2,
       {2, 1},
       {1, 2},
       {1, 0},
       {0, 2},
       true,
       DType::F32,
       DType::F32,
       DType::F32},
      {{2, 3, 5, 5},
       {2, 3, 1, 1},
       1,
       {1, 1},
       {1, 1},
       {0, 0},
       {0, 0},
       false,
       DType::F16,
       DType::F16,
       DType::F16},
      {{2, 3, 9},
       {4, 3, 3},
       1,
       {1},
       {1},
       {1},
       {1},
       true,
       DType::F32,
       DType::F16,
       DType::F32},
      {{2, 3, 9},
       {4, 3, 3},
       1,
       {1},
       {1},
       {1},
       {1},
       true,
       DType::F64,
       DType::F64,
       DType::F64},
      {{0, 3, 5},
       {2, 3, 3},
       1,
       {1},
       {1},
       {0},
       {0},
       false,
       DType::F32,
       DType::F32,
       DType::F32},
  };
  for (const Case &c : cases) {
    size_t s = c.strides.size();
    Random random(3);
    Data x = random.tensor(c.type, c.x);
    Data w = random.tensor(c.weight, c.w);
    Data bias = random.tensor(c.weight, {c.w[0]});
    Dims outDims = {c.x[0], c.w[0]};
    for (size_t d = 0; d < s; ++d) {
      outDims.push_back((c.x[2 + d] + c.begin[d] + c.end[d] -
                         c.dilations[d] * (c.w[2 + d] - 1) - 1) /
                            c.strides[d] +
                        1);
    }
    Data out(c.out, outDims);
    Call call;
    call.ints = {static_cast<int64_t>(s), c.groups, c.bias};
    for (const Dims *list : {&c.strides, &c.dilations, &c.begin, &c.end}) {
      call.ints.insert(call.ints.end(), list->begin(), list->end());
    }
    std::vector<Data *> operands = {&x, &w};
    if (c.bias) {
      operands.push_back(&bias);
    }
    operands.push_back(&out);
    ASSERT_LAUNCH(KernelId::Conv, operands, call, 3);
    // In two dimensions; one is height 1.
    auto dim = [&](const Dims &dims, size_t d, int64_t missing) {
      size_t from = dims.size() - s;
      return s == 2 ? dims[from + d] : (d == 0 ? missing : dims[from]);
    };
    int64_t H = dim(c.x, 0, 1), W = dim(c.x, 1, 1);
    int64_t KH = dim(c.w, 0, 1), KW = dim(c.w, 1, 1);
    int64_t OH = dim(outDims, 0, 1), OW = dim(outDims, 1, 1);
    int64_t perGroup = c.w[0] / c.groups;
    Values want;
    for (int64_t n = 0; n < c.x[0]; ++n) {
      for (int64_t m = 0; m < c.w[0]; ++m) {
        for (int64_t oh = 0; oh < OH; ++oh) {
          for (int64_t ow = 0; ow < OW; ++ow) {
            double sum = c.bias ? bias.get(m) : 0;
            for (int64_t ch = 0; ch < c.w[1]; ++ch) {
              for (int64_t kh = 0; kh < KH; ++kh) {
                for (int64_t kw = 0; kw < KW; ++kw) {
                  int64_t ih = oh * dim(c.strides, 0, 1) +
                               kh * dim(c.dilations, 0, 1) - dim(c.begin, 0, 0);
                  int64_t iw = ow * dim(c.strides, 1, 1) +
                               kw * dim(c.dilations, 1, 1) - dim(c.begin, 1, 0);
                  if (ih < 0 || ih >= H || iw < 0 || iw >= W) {
                    continue;
                  }
                  int64_t channel = m / perGroup * c.w[1] + ch;
                  sum += x.get(((n * c.x[1] + channel) * H + ih) * W + iw) *
                         w.get(((m * c.w[1] + ch) * KH + kh) * KW + kw);
                }
              }
            }
            want.push_back(sum);
          }
        }
      }
    }
    expectNear(out.decode(), want, 3e-6, 2 * unitOf(c.out));
  }
}
