//===- kernels_pieces.cpp - Products cut along their outputs --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A product launched in pieces of 64 outputs has the bits of the whole one.
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::Activation;

namespace {

/// Rows [first, first + count) of a row-major tensor.
Data rowsOf(Data &from, int64_t first, int64_t count) {
  Dims dims = from.dims;
  int64_t rowBytes = from.bytes / dims[0];
  dims[0] = count;
  Data part(from.dtype, dims);
  EXPECT_EQ(part.bytes, count * rowBytes);
  std::memcpy(part.raw(), from.raw() + first * rowBytes, part.bytes);
  return part;
}

constexpr int64_t kSilu = static_cast<int64_t>(Activation::Silu);

} // namespace

TEST(Linear, PiecesHaveTheBitsOfTheWhole) {
  constexpr int64_t kN = 230;
  constexpr int64_t kK = 300;
  forEachIsa([&] {
    for (int64_t rows : {1, 3, 130}) {
      for (DType type : {DType::F32, DType::BF16}) {
        Random random(static_cast<unsigned>(rows));
        Data x = random.tensor(DType::F32, {rows, kK});
        Data plain = random.tensor(type, {kN, kK});
        Data w = Data::panels(type, kN, kK, plain.decode());
        Data bias = random.tensor(DType::F32, {kN});
        Data whole(DType::F32, {rows, kN});
        ASSERT_LAUNCH(KernelId::Linear, {&x, &w, &bias, &whole},
                      {{}, {1, kSilu}, {}}, 1);
        Data out(DType::F32, {rows, kN});
        // Out of order, and the last panel is not full.
        for (auto [first, count] :
             {std::pair<int64_t, int64_t>{128, 102}, {0, 64}, {64, 64}}) {
          Data part = rowsOf(plain, first, count);
          Data panel = Data::panels(type, count, kK, part.decode());
          Data few = rowsOf(bias, first, count);
          ASSERT_LAUNCH(KernelId::Linear, {&x, &panel, &few, &out},
                        {{}, {1, kSilu, first}, {}}, 3);
        }
        EXPECT_EQ(whole.contents(), out.contents());
      }
    }
  });
}

TEST(LinearQuant, PiecesHaveTheBitsOfTheWhole) {
  constexpr int64_t kN = 150;
  constexpr int64_t kK = 96;
  constexpr int64_t kBlock = 32;
  forEachIsa([&] {
    for (int64_t rows : {1, 40}) {
      Random random(static_cast<unsigned>(rows));
      Data x = random.tensor(DType::F32, {rows, kK});
      Data codes(DType::U8, {kN, kK / 2}, random.integers(kN * kK / 2, 0, 255));
      Data scales = random.tensor(DType::F32, {kN, kK / kBlock}, 0.01, 0.1);
      Data bias = random.tensor(DType::F32, {kN});
      Data whole(DType::F32, {rows, kN});
      ASSERT_LAUNCH(KernelId::LinearQuant, {&x, &codes, &scales, &bias, &whole},
                    {{}, {kN, kK, 4, kBlock, 0, 0, 1, kSilu, 8}, {}}, 1);
      Data out(DType::F32, {rows, kN});
      for (auto [first, count] :
           {std::pair<int64_t, int64_t>{64, 64}, {128, 22}, {0, 64}}) {
        Data someCodes = rowsOf(codes, first, count);
        Data someScales = rowsOf(scales, first, count);
        Data someBias = rowsOf(bias, first, count);
        ASSERT_LAUNCH(
            KernelId::LinearQuant,
            {&x, &someCodes, &someScales, &someBias, &out},
            {{}, {count, kK, 4, kBlock, 0, 0, 1, kSilu, 8, first}, {}}, 3);
      }
      EXPECT_EQ(whole.contents(), out.contents());
    }
  });
}

TEST(Linear, RefusesPiecesOutsideOfTheResult) {
  Data x(DType::F32, {2, 8});
  Data w = Data::panels(DType::F32, 64, 8, Values(512, 1.0));
  Data out(DType::F32, {2, 100});
  EXPECT_EQ(launch(KernelId::Linear, {&x, &w, &out}, {{}, {0, 0, 36}, {}}),
            nullptr);
  for (int64_t first : {-1, 37, 100}) {
    EXPECT_NE(launch(KernelId::Linear, {&x, &w, &out}, {{}, {0, 0, first}, {}}),
              nullptr);
  }
  EXPECT_NE(launch(KernelId::Linear, {&x, &w, &out}, {{}, {0, 0}, {}}),
            nullptr);
}
