//===- kernels_linear.cpp - Tests of the products -------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::Activation;
using llmc::plan::Packing;

namespace {

double activated(Activation kind, double x) {
  switch (kind) {
  case Activation::None:
    return x;
  case Activation::Relu:
    return x < 0 ? 0 : x;
  case Activation::Silu:
    return x / (1 + std::exp(-x));
  case Activation::GeluErf:
    return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  case Activation::GeluTanh:
    return 0.5 * x *
           (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case Activation::QuickGelu:
    return x / (1 + std::exp(-1.702 * x));
  case Activation::Sigmoid:
    return 1 / (1 + std::exp(-x));
  case Activation::Tanh:
    return std::tanh(x);
  }
  return x;
}

/// out[m][n] = act(sum_k x[m][k] w[n][k] + bias[n]).
Values linearReference(const Values &x, const Values &w, const Values &bias,
                       int64_t m, int64_t n, int64_t k, Activation kind) {
  Values out(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = bias.empty() ? 0 : bias[j];
      for (int64_t l = 0; l < k; ++l) {
        sum += x[i * k + l] * w[j * k + l];
      }
      out[i * n + j] = activated(kind, sum);
    }
  }
  return out;
}

} // namespace

TEST(Linear, MatchesReference) {
  struct Case {
    int64_t m, n, k;
    DType w, x, out;
    bool bias;
    Activation activation;
  };
  const Case cases[] = {
      {1, 1, 1, DType::F32, DType::F32, DType::F32, false, Activation::None},
      {1, 64, 16, DType::F32, DType::F32, DType::F32, true, Activation::Silu},
      {2, 65, 33, DType::F32, DType::F32, DType::F32, false, Activation::Relu},
      {3, 63, 300, DType::F16, DType::F32, DType::F32, true,
       Activation::GeluErf},
      {4, 130, 257, DType::BF16, DType::F32, DType::F32, true,
       Activation::GeluTanh},
      {5, 200, 64, DType::F32, DType::F32, DType::F32, true,
       Activation::QuickGelu},
      {6, 70, 2049, DType::F16, DType::F32, DType::F32, false,
       Activation::Sigmoid},
      {7, 70, 513, DType::F16, DType::F16, DType::F16, true, Activation::Tanh},
      {17, 100, 600, DType::BF16, DType::BF16, DType::BF16, false,
       Activation::None},
      {100, 66, 300, DType::F32, DType::F32, DType::F32, true,
       Activation::None},
      {200, 10, 40, DType::F32, DType::F16, DType::F32, false,
       Activation::None},
      {3, 20, 0, DType::F32, DType::F32, DType::F32, true, Activation::None},
      {0, 20, 8, DType::F32, DType::F32, DType::F32, true, Activation::None},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      Random random(static_cast<unsigned>(c.m * 1000 + c.n));
      Data x = random.tensor(c.x, {c.m, c.k});
      Data plain = random.tensor(c.w, {c.n, c.k});
      Data w = Data::panels(c.w, c.n, c.k, plain.decode());
      Data bias = random.tensor(DType::F32, {c.n});
      Data out(c.out, {c.m, c.n});
      std::vector<Data *> operands = {&x, &w};
      if (c.bias) {
        operands.push_back(&bias);
      }
      operands.push_back(&out);
      ASSERT_LAUNCH(KernelId::Linear, operands,
                    {{}, {c.bias, static_cast<int64_t>(c.activation)}, {}}, 3);
      Values want = linearReference(x.decode(), plain.decode(),
                                    c.bias ? bias.decode() : Values{}, c.m, c.n,
                                    c.k, c.activation);
      expectNear(out.decode(), want, 2e-6 * std::sqrt(c.k + 1.0) + 1e-6,
                 unitOf(c.out) * 1.1 + 1e-6,
                 std::to_string(c.m) + "x" + std::to_string(c.n));
    }
  });
}

TEST(Linear, LeadingDimensionsAreRows) {
  Random random(1);
  Data x = random.tensor(DType::F32, {2, 3, 8});
  Data plain = random.tensor(DType::F32, {5, 8});
  Data w = Data::panels(DType::F32, 5, 8, plain.decode());
  Data out(DType::F32, {2, 3, 5});
  ASSERT_LAUNCH(KernelId::Linear, {&x, &w, &out}, {{}, {0, 0}, {}});
  expectNear(out.decode(),
             linearReference(x.decode(), plain.decode(), {}, 6, 5, 8,
                             Activation::None),
             1e-6, 1e-6);
}

// The bits depend on neither the number of rows nor that of the threads.
TEST(Linear, RowsAndThreadsDoNotChangeBits) {
  constexpr int64_t kRows = 107;
  constexpr int64_t kN = 100;
  constexpr int64_t kK = 2500;
  forEachIsa([&] {
    for (DType type : {DType::F32, DType::F16, DType::BF16}) {
      Random random(7);
      Data x = random.tensor(DType::F32, {kRows, kK});
      Data w = Data::panels(type, kN, kK, random.reals(kN * kK));
      Data bias = random.tensor(DType::F32, {kN});
      Data whole(DType::F32, {kRows, kN});
      Call call{{}, {1, static_cast<int64_t>(Activation::Silu)}, {}};
      ASSERT_LAUNCH(KernelId::Linear, {&x, &w, &bias, &whole}, call, 1);
      Data again(DType::F32, {kRows, kN});
      ASSERT_LAUNCH(KernelId::Linear, {&x, &w, &bias, &again}, call, 3);
      EXPECT_EQ(whole.contents(), again.contents());
      for (int64_t rows : {1, 2, 3, 5, 17}) {
        Data part(DType::F32, {rows, kK});
        std::memcpy(part.raw(), x.raw() + 11 * kK * 4, part.bytes);
        Data out(DType::F32, {rows, kN});
        ASSERT_LAUNCH(KernelId::Linear, {&part, &w, &bias, &out}, call, 1);
        EXPECT_EQ(0,
                  std::memcmp(out.raw(), whole.raw() + 11 * kN * 4, out.bytes))
            << rows << " rows of " << llmc::plan::name(type);
      }
    }
  });
}

TEST(Linear, RefusesWrongOperands) {
  Data x(DType::F32, {2, 8});
  Data raw(DType::F32, {5, 8});
  Data w = Data::panels(DType::F32, 5, 8, Values(40, 1.0));
  Data narrow = Data::panels(DType::F32, 5, 7, Values(35, 1.0));
  Data out(DType::F32, {2, 5});
  Data integers(DType::I32, {2, 8});
  Call call{{}, {0, 0}, {}};
  EXPECT_NE(launch(KernelId::Linear, {&x, &raw, &out}, call), nullptr);
  EXPECT_NE(launch(KernelId::Linear, {&x, &narrow, &out}, call), nullptr);
  EXPECT_NE(launch(KernelId::Linear, {&integers, &w, &out}, call), nullptr);
}

namespace {

struct Quant {
  int64_t n, k, bits, blockSize;
  bool zeros, groups;
  Values codes;    // [n][k]
  Values scales;   // [n][blocks]
  Values zeroList; // [n][blocks]
  Values group;    // [k]
  int64_t blocks;

  Quant(Random &random, int64_t n, int64_t k, int64_t bits, int64_t bs,
        bool zeros, bool groups)
      : n(n), k(k), bits(bits), blockSize(bs), zeros(zeros), groups(groups),
        blocks((k + bs - 1) / bs) {
    codes = random.integers(n * k, 0, (1 << bits) - 1);
    scales = random.reals(n * blocks, 0.01, 0.1);
    zeroList = random.integers(n * blocks, 0, (1 << bits) - 1);
    group = random.integers(k, 0, blocks - 1);
  }
  int64_t zero() const { return bits == 4 ? 8 : 128; }
  double weight(int64_t i, int64_t j, const Values &scaleValues) const {
    int64_t at =
        i * blocks + (groups ? static_cast<int64_t>(group[j]) : j / blockSize);
    double z = zeros ? zeroList[at] : static_cast<double>(zero());
    return (codes[i * k + j] - z) * scaleValues[at];
  }
  Data packed() const {
    int64_t padded = blocks * blockSize;
    Data data(DType::U8, {n, (padded * bits + 7) / 8});
    int64_t rowBytes = data.dims[1];
    std::memset(data.raw(), 0xFF, data.bytes);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < k; ++j) {
        auto code = static_cast<unsigned>(codes[i * k + j]);
        int64_t at = i * rowBytes + j * bits / 8;
        auto old = static_cast<unsigned>(data.at<uint8_t>(at));
        data.put(at, static_cast<uint8_t>(bits == 8 ? code
                                          : j % 2   ? (old & 15) | code << 4
                                                    : (old & 240) | code));
      }
    }
    return data;
  }
};

} // namespace

TEST(LinearQuant, MatchesReference) {
  struct Case {
    int64_t m, n, k, bits, bs;
    bool zeros, groups, bias;
    DType x, scale;
  };
  const Case cases[] = {
      {1, 5, 32, 4, 32, false, false, false, DType::F32, DType::F32},
      {3, 9, 70, 4, 16, true, false, true, DType::F32, DType::F16},
      {17, 13, 130, 8, 32, true, false, false, DType::F32, DType::BF16},
      {2, 6, 64, 4, 32, true, true, true, DType::F32, DType::F32},
      {5, 7, 40, 8, 16, false, true, false, DType::F32, DType::F32},
      {70, 10, 1500, 4, 128, true, false, true, DType::F32, DType::F32},
      {6, 10, 1100, 8, 1100, false, false, false, DType::F16, DType::F32},
      {0, 4, 32, 4, 32, false, false, false, DType::F32, DType::F32},
      {4, 3, 7, 8, 7, false, false, false, DType::F32, DType::F32},
      {4, 3, 7, 4, 7, true, false, false, DType::F32, DType::F32},
      {2, 3, 100, 4, 9, true, false, false, DType::F32, DType::F32},
      {2, 3, 20, 4, 1, true, false, false, DType::F32, DType::F32},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      Random random(static_cast<unsigned>(c.k));
      Quant q(random, c.n, c.k, c.bits, c.bs, c.zeros, c.groups);
      Data codes = q.packed();
      Data scales(c.scale, {c.n, q.blocks}, q.scales);
      Data zeros(DType::U8, {c.n, q.blocks}, q.zeroList);
      Data group(DType::I32, {c.k}, q.group);
      Data bias = random.tensor(DType::F32, {c.n});
      Data x = random.tensor(c.x, {c.m, c.k});
      Data out(DType::F32, {c.m, c.n});
      std::vector<Data *> operands = {&x, &codes, &scales};
      if (c.zeros) {
        operands.push_back(&zeros);
      }
      if (c.groups) {
        operands.push_back(&group);
      }
      if (c.bias) {
        operands.push_back(&bias);
      }
      operands.push_back(&out);
      ASSERT_LAUNCH(
          KernelId::LinearQuant, operands,
          {{},
           {c.n, c.k, c.bits, c.bs, c.zeros, c.groups, c.bias, 0, q.zero()},
           {}},
          3);
      Values xs = x.decode();
      Values scaleValues = scales.decode();
      Values biases = bias.decode();
      Values want(c.m * c.n);
      double magnitude = 0;
      for (int64_t i = 0; i < c.m; ++i) {
        for (int64_t j = 0; j < c.n; ++j) {
          double sum = c.bias ? biases[j] : 0;
          for (int64_t l = 0; l < c.k; ++l) {
            sum += xs[i * c.k + l] * q.weight(j, l, scaleValues);
          }
          want[i * c.n + j] = sum;
          magnitude = std::max(magnitude, std::abs(sum));
        }
      }
      expectNear(out.decode(), want, 4e-6 * (magnitude + 1), 1e-5,
                 "k " + std::to_string(c.k));
    }
  });
}

TEST(LinearQuant, RowsAndThreadsDoNotChangeBits) {
  constexpr int64_t kRows = 75;
  forEachIsa([&] {
    Random random(5);
    Quant q(random, 30, 1300, 4, 32, true, false);
    Data codes = q.packed();
    Data scales(DType::F32, {30, q.blocks}, q.scales);
    Data zeros(DType::U8, {30, q.blocks}, q.zeroList);
    Data x = random.tensor(DType::F32, {kRows, 1300});
    Data whole(DType::F32, {kRows, 30});
    Data again(DType::F32, {kRows, 30});
    Call call{{}, {30, 1300, 4, 32, 1, 0, 0, 2, 8}, {}};
    ASSERT_LAUNCH(KernelId::LinearQuant, {&x, &codes, &scales, &zeros, &whole},
                  call, 1);
    ASSERT_LAUNCH(KernelId::LinearQuant, {&x, &codes, &scales, &zeros, &again},
                  call, 3);
    EXPECT_EQ(whole.contents(), again.contents());
    for (int64_t rows : {1, 3, 17}) {
      Data part(DType::F32, {rows, 1300});
      std::memcpy(part.raw(), x.raw() + 9 * 1300 * 4, part.bytes);
      Data out(DType::F32, {rows, 30});
      ASSERT_LAUNCH(KernelId::LinearQuant,
                    {&part, &codes, &scales, &zeros, &out}, call, 1);
      EXPECT_EQ(0, std::memcmp(out.raw(), whole.raw() + 9 * 30 * 4, out.bytes));
    }
  });
}

TEST(LinearQuant, RefusesABlockOutOfRange) {
  Random random(5);
  Quant q(random, 2, 32, 4, 16, false, true);
  q.group[3] = 2;
  Data codes = q.packed();
  Data scales(DType::F32, {2, q.blocks}, q.scales);
  Data group(DType::I32, {32}, q.group);
  Data x = random.tensor(DType::F32, {1, 32});
  Data out(DType::F32, {1, 2});
  EXPECT_STREQ(launch(KernelId::LinearQuant,
                      {&x, &codes, &scales, &group, &out},
                      {{}, {2, 32, 4, 16, 0, 1, 0, 0, 8}, {}}),
               "index out of range");
}

TEST(GatherQuant, MatchesReference) {
  forEachIsa([&] {
    Random random(3);
    for (int64_t bits : {4, 8}) {
      Quant q(random, 11, 70, bits, 32, bits == 4, false);
      Data codes = q.packed();
      Data scales(DType::F16, {11, q.blocks}, q.scales);
      Data zeros(DType::U8, {11, q.blocks}, q.zeroList);
      Data indices(DType::I64, {2, 2}, {0, 10, -1, 3});
      Data out(DType::F32, {2, 2, 70});
      std::vector<Data *> operands = {&codes, &scales};
      if (q.zeros) {
        operands.push_back(&zeros);
      }
      operands.push_back(&indices);
      operands.push_back(&out);
      Call call{{}, {11, 70, bits, 32, q.zeros, q.zero()}, {}};
      ASSERT_LAUNCH(KernelId::GatherQuant, operands, call);
      Values want;
      for (int64_t row : {0, 10, 10, 3}) {
        for (int64_t k = 0; k < 70; ++k) {
          want.push_back(q.weight(row, k, scales.decode()));
        }
      }
      expectNear(out.decode(), want, 0, 1e-6);
      indices.set(1, 11);
      EXPECT_STREQ(launch(KernelId::GatherQuant, operands, call),
                   "index out of range");
    }
  });
}

namespace {

/// out[..][m][n] with NumPy broadcasting of the leading dimensions.
Values matMulReference(Data &a, Data &b, const Dims &outDims, bool transA,
                       bool transB) {
  Values av = a.decode();
  Values bv = b.decode();
  size_t rank = outDims.size();
  int64_t m = outDims[rank - 2];
  int64_t n = outDims[rank - 1];
  int64_t k = a.dims[a.dims.size() - (transA ? 2 : 1)];
  Values out(product(outDims));
  for (size_t i = 0; i < out.size(); ++i) {
    int64_t column = static_cast<int64_t>(i) % n;
    int64_t row = static_cast<int64_t>(i) / n % m;
    int64_t batch = static_cast<int64_t>(i) / n / m;
    auto offset = [&](const Dims &dims) {
      int64_t rest = batch;
      int64_t result = 0;
      int64_t stride = dims[dims.size() - 1] * dims[dims.size() - 2];
      for (size_t d = 2; d < rank; ++d) {
        int64_t position = rest % outDims[rank - 1 - d];
        rest /= outDims[rank - 1 - d];
        if (d < dims.size()) {
          int64_t size = dims[dims.size() - 1 - d];
          result += size == 1 ? 0 : position * stride;
          stride *= size;
        }
      }
      return result;
    };
    int64_t ao = offset(a.dims);
    int64_t bo = offset(b.dims);
    double sum = 0;
    for (int64_t l = 0; l < k; ++l) {
      sum += av[ao + (transA ? l * m + row : row * k + l)] *
             bv[bo + (transB ? column * k + l : l * n + column)];
    }
    out[i] = sum;
  }
  return out;
}

} // namespace

TEST(MatMul, MatchesReference) {
  struct Case {
    Dims a, b, out;
    bool transA, transB;
    DType type;
    double alpha;
  };
  const Case cases[] = {
      {{3, 5}, {5, 7}, {3, 7}, false, false, DType::F32, 1},
      {{5, 3}, {5, 7}, {3, 7}, true, false, DType::F32, 0.5},
      {{3, 5}, {7, 5}, {3, 7}, false, true, DType::F32, 1},
      {{2, 4, 9, 300},
       {2, 4, 300, 65},
       {2, 4, 9, 65},
       false,
       false,
       DType::F32,
       1},
      {{2, 4, 1, 33},
       {2, 1, 130, 33},
       {2, 4, 1, 130},
       false,
       true,
       DType::F32,
       0.125},
      {{6, 4}, {3, 4, 2}, {3, 6, 2}, false, false, DType::F32, 1},
      {{2, 1, 6, 4}, {3, 4, 2}, {2, 3, 6, 2}, false, false, DType::F32, 1},
      {{100, 20}, {20, 3}, {100, 3}, false, false, DType::F16, 1},
      {{10, 20}, {3, 20}, {10, 3}, false, true, DType::BF16, 1},
      {{4, 5}, {5, 6}, {4, 6}, false, false, DType::F64, 2},
      {{2, 4, 5}, {6, 5}, {2, 4, 6}, false, true, DType::I64, 1},
      {{4, 5}, {5, 6}, {4, 6}, false, false, DType::I32, 1},
      {{3, 0}, {0, 7}, {3, 7}, false, false, DType::F32, 1},
      {{0, 5}, {5, 7}, {0, 7}, false, false, DType::F32, 1},
  };
  forEachIsa([&] {
    for (const Case &c : cases) {
      Random random(9);
      bool real = c.type != DType::I64 && c.type != DType::I32;
      Data a = random.tensor(c.type, c.a, -9, 9);
      Data b = random.tensor(c.type, c.b, -9, 9);
      Data out(c.type, c.out);
      ASSERT_LAUNCH(KernelId::MatMul, {&a, &b, &out},
                    {{}, {c.transA, c.transB}, {c.alpha}}, 3);
      Values want = matMulReference(a, b, c.out, c.transA, c.transB);
      double largest = 1;
      for (double &value : want) {
        value *= c.alpha;
        largest = std::max(largest, std::abs(value));
      }
      expectNear(out.decode(), want, real ? 1e-6 * largest : 0,
                 real ? unitOf(c.type) * 1.1 + 1e-6 : 0,
                 "case of " + std::to_string(c.a[0]));
    }
  });
}

TEST(MatMul, RowsDoNotChangeBits) {
  forEachIsa([&] {
    Random random(2);
    Data a = random.tensor(DType::F32, {17, 700});
    Data b = random.tensor(DType::F32, {700, 90});
    Data whole(DType::F32, {17, 90});
    ASSERT_LAUNCH(KernelId::MatMul, {&a, &b, &whole}, {{}, {0, 0}, {1.0}}, 3);
    Data row(DType::F32, {1, 700});
    std::memcpy(row.raw(), a.raw() + 16 * 700 * 4, row.bytes);
    Data out(DType::F32, {1, 90});
    ASSERT_LAUNCH(KernelId::MatMul, {&row, &b, &out}, {{}, {0, 0}, {1.0}}, 1);
    EXPECT_EQ(0, std::memcmp(out.raw(), whole.raw() + 16 * 90 * 4, out.bytes));
  });
}

TEST(MatMul, IntegersWrap) {
  Data a(DType::I32, {1, 2}, {2147483647.0, 2147483647.0});
  Data b(DType::I32, {2, 1}, {2, 2});
  Data out(DType::I32, {1, 1});
  ASSERT_LAUNCH(KernelId::MatMul, {&a, &b, &out}, {{}, {0, 0}, {1.0}});
  EXPECT_EQ(out.at<int32_t>(0), -4);
}

TEST(MatMulInteger, MatchesReference) {
  forEachIsa([&] {
    for (DType type : {DType::U8, DType::I8}) {
      for (int64_t zeros : {0, 1, 5}) { // of b: none, scalar, per column
        Random random(4);
        double low = type == DType::U8 ? 0 : -128;
        Data a(DType::U8, {2, 3, 300}, random.integers(1800, 0, 255));
        Data b(type, {300, 5},
               random.integers(1500, static_cast<int64_t>(low),
                               static_cast<int64_t>(low) + 255));
        Data aZero(DType::U8, {}, {130});
        Data bZero(type, zeros == 5 ? Dims{5} : Dims{},
                   random.integers(std::max<int64_t>(zeros, 1), 0, 9));
        Data out(DType::I32, {2, 3, 5});
        std::vector<Data *> operands = {&a, &b, &aZero};
        if (zeros) {
          operands.push_back(&bZero);
        }
        operands.push_back(&out);
        ASSERT_LAUNCH(KernelId::MatMulInteger, operands,
                      {{}, {1, zeros > 0}, {}}, 3);
        Values want(30);
        for (int64_t i = 0; i < 30; ++i) {
          for (int64_t k = 0; k < 300; ++k) {
            double z = zeros ? bZero.get(zeros == 5 ? i % 5 : 0) : 0;
            want[i] +=
                (a.get(i / 5 * 300 + k) - 130) * (b.get(k * 5 + i % 5) - z);
          }
        }
        expectNear(out.decode(), want, 0, 0);
      }
    }
  });
}
