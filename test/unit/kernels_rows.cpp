//===- kernels_rows.cpp - Rows alone and among others ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Products of every type, bf16 by pairs among them, against double references;
// the same bits for one row and many.
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::Activation;

namespace {

constexpr int64_t kNone = static_cast<int64_t>(Activation::None);

struct Weight {
  Data plain, panels, bias;
  Weight(Random &random, DType type, int64_t n, int64_t k)
      : plain(random.tensor(type, {n, k})),
        panels(Data::panels(type, n, k, plain.decode())),
        bias(random.tensor(type, {n})) {}
  /// sum_k x[m][k] w[n][k] + bias[n].
  Values times(const Values &x, int64_t m, bool hasBias) {
    int64_t n = plain.dims[0], k = plain.dims[1];
    Values w = plain.decode(), b = bias.decode(), out(m * n);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = hasBias ? b[j] : 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += x[i * k + l] * w[j * k + l];
        }
        out[i * n + j] = sum;
      }
    }
    return out;
  }
};

/// Half a unit of the store on top of what sums of length k lose.
double tolerance(DType type, int64_t k) {
  return static_cast<double>(k) * 4e-7 + (type == DType::F32 ? 0 : 1e-6);
}

} // namespace

TEST(Linear, EveryRowHasTheBitsOfTheRowAlone) {
  forEachIsa([&] {
    for (DType type : {DType::F32, DType::F16, DType::BF16}) {
      // Odd depths, several blocks of depth, rows that fill no block.
      for (auto [m, k] : {std::pair<int64_t, int64_t>{2, 5},
                          {3, 2049},
                          {4, 64},
                          {5, 33},
                          {6, 257},
                          {7, 513},
                          {13, 1},
                          {101, 600},
                          {193, 255}}) {
        constexpr int64_t kN = 96;
        Random random(static_cast<unsigned>(m));
        Data x = random.tensor(type, {m, k});
        Weight w(random, type, kN, k);
        Data out(type, {m, kN});
        ASSERT_LAUNCH(KernelId::Linear, {&x, &w.panels, &out},
                      {{}, {0, kNone}, {}}, 2);
        expectNear(out.decode(), w.times(x.decode(), m, false),
                   tolerance(type, k), unitOf(type));
        for (int64_t r = 0; r < m; r += 1 + m / 7) {
          Data row(type, {1, k}), single(type, {1, kN});
          std::memcpy(row.raw(), x.raw() + r * row.bytes, row.bytes);
          ASSERT_LAUNCH(KernelId::Linear, {&row, &w.panels, &single},
                        {{}, {0, kNone}, {}}, 1);
          EXPECT_EQ(std::memcmp(single.raw(), out.raw() + r * single.bytes,
                                single.bytes),
                    0)
              << "row " << r << " of " << m << ", depth " << k;
        }
      }
    }
  });
}
