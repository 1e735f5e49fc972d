//===- kernels_joined.cpp - Products with what stands around them ---------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Against the launches that they replace: in f32 not a bit may differ.
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::Activation;
using llmc::plan::Packing;

namespace {

int64_t number(Activation kind) { return static_cast<int64_t>(kind); }

constexpr DType kWeightTypes[] = {DType::F32, DType::F16, DType::BF16};

/// Panels of several matrices one after the other, or a panel of each in turn.
Data together(DType type, std::vector<Data> &parts, int64_t depth,
              bool interleaved) {
  int64_t outputs = 0;
  for (Data &part : parts) {
    outputs += (part.dims[0] + 63) / 64 * 64;
  }
  Data all(type,
           {interleaved ? parts[0].dims[0] : outputs,
            interleaved ? 2 * depth : depth},
           Packing::Panel64);
  size_t panel = size_t(depth) * 64 * llmc::plan::bitWidth(type) / 8;
  std::byte *to = all.raw();
  if (!interleaved) {
    for (Data &part : parts) {
      std::memcpy(to, part.raw(), part.bytes);
      to += part.bytes;
    }
    return all;
  }
  for (size_t at = 0; at < size_t(parts[0].bytes); at += panel) {
    for (Data &part : parts) {
      std::memcpy(to, part.raw() + at, panel);
      to += panel;
    }
  }
  return all;
}

} // namespace

TEST(LinearJoined, AddIsLinearAndASum) {
  forEachIsa([&] {
    for (DType type : kWeightTypes) {
      for (int64_t rows : {1, 3, 6, 7, 100}) {
        for (bool hasBias : {false, true}) {
          constexpr int64_t kN = 130, kK = 300;
          Random random(static_cast<uint32_t>(rows));
          Data x = random.tensor(DType::F32, {rows, kK});
          Data w = Data::panels(type, kN, kK, random.reals(kN * kK));
          Data bias = random.tensor(DType::F32, {kN});
          Data residual = random.tensor(DType::F32, {rows, kN});
          Data product(DType::F32, {rows, kN}), out(DType::F32, {rows, kN});
          std::vector<Data *> plain = {&x, &w}, joined = {&x, &w, &residual};
          if (hasBias) {
            plain.push_back(&bias);
            joined.push_back(&bias);
          }
          plain.push_back(&product);
          joined.push_back(&out);
          Call call{{}, {hasBias, number(Activation::GeluTanh)}, {}};
          ASSERT_LAUNCH(KernelId::Linear, plain, call, 2);
          ASSERT_LAUNCH(KernelId::LinearAdd, joined, call, 3);
          Values want = product.decode(), added = residual.decode();
          Values found = out.decode();
          for (size_t i = 0; i < want.size(); ++i) {
            ASSERT_EQ(found[i], double(float(want[i]) + float(added[i])));
          }
          // Over the residual itself.
          joined.back() = &residual;
          ASSERT_LAUNCH(KernelId::LinearAdd, joined, call, 3);
          EXPECT_EQ(residual.contents(), out.contents());
        }
      }
    }
  });
}

TEST(LinearJoined, GatedIsTwoLinearsAndAProduct) {
  forEachIsa([&] {
    for (DType type : kWeightTypes) {
      for (int64_t rows : {1, 2, 6, 7, 49, 100}) {
        constexpr int64_t kN = 150, kK = 270;
        Random random(static_cast<uint32_t>(rows) + 5);
        Data x = random.tensor(DType::F32, {rows, kK});
        std::vector<Data> parts;
        for (int i = 0; i < 2; ++i) {
          parts.push_back(Data::panels(type, kN, kK, random.reals(kN * kK)));
        }
        Data w = together(type, parts, kK, true);
        Data gate(DType::F32, {rows, kN}), up(DType::F32, {rows, kN});
        Data out(DType::F32, {rows, kN});
        ASSERT_LAUNCH(KernelId::Linear, {&x, &parts[0], &gate},
                      {{}, {0, number(Activation::Silu)}, {}});
        ASSERT_LAUNCH(KernelId::Linear, {&x, &parts[1], &up}, {{}, {0, 0}, {}});
        ASSERT_LAUNCH(KernelId::LinearGated, {&x, &w, &out},
                      {{}, {number(Activation::Silu)}, {}}, 3);
        Values g = gate.decode(), u = up.decode(), found = out.decode();
        for (size_t i = 0; i < g.size(); ++i) {
          ASSERT_EQ(found[i], double(float(g[i]) * float(u[i]))) << i;
        }
      }
    }
  });
}

TEST(LinearJoined, SplitIsALinearPerPart) {
  const std::vector<int64_t> sizes = {130, 32, 64, 1};
  forEachIsa([&] {
    for (DType type : kWeightTypes) {
      for (int64_t rows : {1, 5, 40}) {
        for (bool hasBias : {false, true}) {
          constexpr int64_t kK = 200;
          Random random(static_cast<uint32_t>(rows) + 9);
          Data x = random.tensor(DType::F32, {rows, kK});
          std::vector<Data> parts, wants, outs;
          Values biases;
          Call call{{},
                    {hasBias, number(Activation::Relu), int64_t(sizes.size())},
                    {}};
          for (int64_t n : sizes) {
            parts.push_back(Data::panels(type, n, kK, random.reals(n * kK)));
            wants.emplace_back(DType::F32, std::vector<int64_t>{rows, n});
            outs.emplace_back(DType::F32, std::vector<int64_t>{rows, n});
            Values values = random.reals(n);
            Data bias(DType::F32, {n}, values);
            std::vector<Data *> operands = {&x, &parts.back()};
            if (hasBias) {
              operands.push_back(&bias);
            }
            operands.push_back(&wants.back());
            ASSERT_LAUNCH(KernelId::Linear, operands,
                          {{}, {hasBias, number(Activation::Relu)}, {}});
            values.resize(size_t(n + 63) / 64 * 64);
            biases.insert(biases.end(), values.begin(), values.end());
            call.ints.insert(call.ints.end(), {n, 0});
          }
          Data w = together(type, parts, kK, false);
          Data bias(DType::F32, {int64_t(biases.size())}, biases);
          std::vector<Data *> operands = {&x, &w};
          if (hasBias) {
            operands.push_back(&bias);
          }
          for (Data &out : outs) {
            operands.push_back(&out);
          }
          ASSERT_LAUNCH(KernelId::LinearSplit, operands, call, 3);
          for (size_t i = 0; i < outs.size(); ++i) {
            EXPECT_EQ(outs[i].contents(), wants[i].contents()) << "part " << i;
          }
        }
      }
    }
  });
}

// In pieces of panels, as they come from the disk.
TEST(LinearJoined, PiecesGiveTheWhole) {
  constexpr int64_t kRows = 9, kN = 200, kK = 70;
  Random random(3);
  Data x = random.tensor(DType::F32, {kRows, kK});
  Data gates = Data::panels(DType::F32, kN, 2 * kK, random.reals(2 * kN * kK));
  Data adds = Data::panels(DType::F32, kN, kK, random.reals(kN * kK));
  Data residual = random.tensor(DType::F32, {kRows, kN});
  Data gated(DType::F32, {kRows, kN}), gatedPieces(DType::F32, {kRows, kN});
  Data added(DType::F32, {kRows, kN});
  ASSERT_LAUNCH(KernelId::LinearGated, {&x, &gates, &gated}, {{}, {2}, {}});
  ASSERT_LAUNCH(KernelId::LinearAdd, {&x, &adds, &residual, &added},
                {{}, {0, 0}, {}});
  for (int64_t first = 0; first < kN; first += 128) {
    int64_t n = std::min<int64_t>(128, kN - first);
    auto piece = [&](Data &whole, int64_t depth) {
      Data part(DType::F32, {n, depth}, Packing::Panel64);
      std::memcpy(part.raw(), whole.raw() + first * depth * 4, part.bytes);
      return part;
    };
    Data gate = piece(gates, 2 * kK), add = piece(adds, kK);
    ASSERT_LAUNCH(KernelId::LinearGated, {&x, &gate, &gatedPieces},
                  {{}, {2, first}, {}});
    // The sum over the residual, of which other pieces need the rest.
    ASSERT_LAUNCH(KernelId::LinearAdd, {&x, &add, &residual, &residual},
                  {{}, {0, 0, first}, {}});
  }
  EXPECT_EQ(gatedPieces.contents(), gated.contents());
  EXPECT_EQ(residual.contents(), added.contents());

  // A piece of a split that ends one part and begins the next.
  Data split = Data::panels(DType::F32, 256, kK, random.reals(256 * kK));
  Data a(DType::F32, {kRows, 120}), b(DType::F32, {kRows, 128});
  Data pieceA(DType::F32, {kRows, 120}), pieceB(DType::F32, {kRows, 128});
  ASSERT_LAUNCH(KernelId::LinearSplit, {&x, &split, &a, &b},
                {{}, {0, 0, 2, 120, 0, 128, 0}, {}});
  auto rows = [&](int64_t first, int64_t n) {
    Data part(DType::F32, {n, kK}, Packing::Panel64);
    std::memcpy(part.raw(), split.raw() + first * kK * 4, part.bytes);
    return part;
  };
  Data head = rows(0, 64), middle = rows(64, 128), tail = rows(192, 64);
  ASSERT_LAUNCH(KernelId::LinearSplit, {&x, &head, &pieceA},
                {{}, {0, 0, 1, 64, 0}, {}});
  ASSERT_LAUNCH(KernelId::LinearSplit, {&x, &middle, &pieceA, &pieceB},
                {{}, {0, 0, 2, 56, 64, 64, 0}, {}});
  ASSERT_LAUNCH(KernelId::LinearSplit, {&x, &tail, &pieceB},
                {{}, {0, 0, 1, 64, 64}, {}});
  EXPECT_EQ(pieceA.contents(), a.contents());
  EXPECT_EQ(pieceB.contents(), b.contents());
}

TEST(LinearJoined, RefusesWrongOperands) {
  Data x(DType::F32, {2, 8});
  Data w = Data::panels(DType::F32, 64, 8, Values(512, 1.0));
  Data out(DType::F32, {2, 64}), other(DType::F32, {2, 63});
  EXPECT_EQ(launch(KernelId::LinearAdd, {&x, &w, &out, &out}, {{}, {0, 0}, {}}),
            nullptr);
  EXPECT_NE(
      launch(KernelId::LinearAdd, {&x, &w, &other, &out}, {{}, {0, 0}, {}}),
      nullptr);
  EXPECT_NE(launch(KernelId::LinearGated, {&x, &w, &out}, {{}, {0}, {}}),
            nullptr);
  EXPECT_NE(
      launch(KernelId::LinearSplit, {&x, &w, &out}, {{}, {0, 0, 1, 65, 0}, {}}),
      nullptr);
  EXPECT_NE(launch(KernelId::LinearSplit, {&x, &w, &out, &other},
                   {{}, {0, 0, 2, 64, 0, 63, 0}, {}}),
            nullptr);
}
