//===- kernels_copy.cpp - Tests of copies, gathers and scatters -----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::ScatterKind;

namespace {

Values counting(int64_t n) {
  Values values(n);
  for (int64_t i = 0; i < n; ++i) {
    values[i] = static_cast<double>(i % 120);
  }
  return values;
}

} // namespace

TEST(StridedCopy, MatchesReference) {
  struct Case {
    Dims in, out; // sizes of the buffers
    int64_t offsetIn, offsetOut;
    Dims extents, stridesIn, stridesOut;
  };
  const Case cases[] = {
      {{24}, {24}, 0, 0, {24}, {1}, {1}},
      {{}, {}, 0, 0, {}, {}, {}},
      // Transposes.
      {{70, 90}, {90, 70}, 0, 0, {90, 70}, {1, 90}, {70, 1}},
      {{2, 3, 4}, {3, 2, 4}, 0, 0, {3, 2, 4}, {4, 12, 1}, {8, 4, 1}},
      {{2, 3, 4, 5},
       {2, 4, 3, 5},
       0,
       0,
       {2, 4, 3, 5},
       {60, 5, 20, 1},
       {60, 15, 5, 1}},
      {{2, 3, 40, 50},
       {2, 3, 50, 40},
       0,
       0,
       {2, 3, 50, 40},
       {6000, 2000, 1, 50},
       {6000, 2000, 40, 1}},
      // A slice with a step, and one backwards.
      {{10, 10}, {3, 5}, 21, 0, {3, 5}, {10, 2}, {5, 1}},
      {{10}, {10}, 9, 0, {10}, {-1}, {1}},
      // A broadcast.
      {{3, 1}, {2, 3, 4}, 0, 0, {2, 3, 4}, {0, 1, 0}, {12, 4, 1}},
      // The second part of a concatenation.
      {{2, 3}, {2, 8}, 0, 5, {2, 3}, {3, 1}, {8, 1}},
      // Large ones, which threads share.
      {{500, 400}, {400, 500}, 0, 0, {400, 500}, {1, 400}, {500, 1}},
      {{300000}, {300000}, 0, 0, {300000}, {1}, {1}},
      {{1}, {300000}, 0, 0, {300000}, {0}, {1}},
      {{3, 0}, {0, 3}, 0, 0, {0, 3}, {1, 0}, {3, 1}},
  };
  for (const Case &c : cases) {
    for (DType type : {DType::U8, DType::F16, DType::F32, DType::I64}) {
      Data in(type, c.in, counting(product(c.in)));
      Values before(product(c.out), 7);
      Data out(type, c.out, before);
      Call call;
      call.params = {c.offsetIn, c.offsetOut};
      for (const Dims *list : {&c.extents, &c.stridesIn, &c.stridesOut}) {
        call.params.insert(call.params.end(), list->begin(), list->end());
      }
      call.ints = {static_cast<int64_t>(c.extents.size())};
      ASSERT_LAUNCH(KernelId::StridedCopy, {&in, &out}, call, 3);
      Values want = before;
      for (int64_t i = 0; i < product(c.extents); ++i) {
        int64_t rest = i;
        int64_t from = c.offsetIn;
        int64_t to = c.offsetOut;
        for (int d = static_cast<int>(c.extents.size()) - 1; d >= 0; --d) {
          from += rest % c.extents[d] * c.stridesIn[d];
          to += rest % c.extents[d] * c.stridesOut[d];
          rest /= c.extents[d];
        }
        want[to] = in.get(from);
      }
      ASSERT_EQ(out.decode(), want);
    }
  }
}

TEST(Fill, EveryType) {
  for (DType type : {DType::F32, DType::F16, DType::F64, DType::I64, DType::U8,
                     DType::Bool}) {
    Data out(type, {3, 20000});
    bool real = type == DType::F32 || type == DType::F16 || type == DType::F64;
    Call call;
    call.ints = {1};
    if (real) {
      call.floats = {-0.5};
    }
    ASSERT_LAUNCH(KernelId::Fill, {&out}, call, 3);
    EXPECT_EQ(out.decode(), Values(60000, real ? -0.5 : 1));
  }
  Data none(DType::F32, {0});
  ASSERT_LAUNCH(KernelId::Fill, {&none}, {{}, {0}, {1.0}});
}

TEST(Iota, AlongAnAxis) {
  for (DType type : {DType::I64, DType::I32, DType::F32}) {
    Data out(type, {2, 3, 2});
    ASSERT_LAUNCH(KernelId::Iota, {&out}, {{10, -3}, {1}, {}});
    EXPECT_EQ(out.decode(), (Values{10, 10, 7, 7, 4, 4, 10, 10, 7, 7, 4, 4}));
  }
  Data none(DType::I64, {0});
  ASSERT_LAUNCH(KernelId::Iota, {&none}, {{0, 1}, {0}, {}});
}

TEST(Gather, AxesAndIndexTypes) {
  for (DType type : {DType::F32, DType::I64, DType::F16, DType::Bool}) {
    for (DType indexType : {DType::I64, DType::I32}) {
      Data table(type, {3, 4, 2}, counting(24));
      Data indices(indexType, {2, 2}, {0, -1, 2, 0});
      for (int64_t axis : {0, 1, 2, -1}) {
        int64_t at = axis < 0 ? axis + 3 : axis;
        Dims dims(table.dims.begin(), table.dims.begin() + at);
        int64_t inner = 1;
        dims.push_back(2);
        dims.push_back(2);
        for (int64_t d = at + 1; d < 3; ++d) {
          dims.push_back(table.dims[d]);
          inner *= table.dims[d];
        }
        Data out(type, dims);
        Values wanted = {0, -1, at == 2 ? 1.0 : 2.0, 0};
        Data own(indexType, {2, 2}, wanted);
        ASSERT_LAUNCH(KernelId::Gather, {&table, &own, &out}, {{}, {axis}, {}},
                      3);
        Values want;
        int64_t size = table.dims[at];
        for (int64_t i = 0; i < product(dims); ++i) {
          int64_t pick = static_cast<int64_t>(wanted[i / inner % 4]);
          pick = pick < 0 ? pick + size : pick;
          want.push_back(
              table.get((i / inner / 4 * size + pick) * inner + i % inner));
        }
        EXPECT_EQ(out.decode(), want);
      }
    }
  }
}

TEST(Gather, PanelsAndConversion) {
  Random random(1);
  for (DType type : {DType::F32, DType::F16, DType::BF16}) {
    Data plain = random.tensor(type, {70, 9});
    Data panels = Data::panels(type, 70, 9, plain.decode());
    Data indices(DType::I64, {3}, {69, 0, -2});
    Data raw(DType::F32, {3, 9});
    Data packed(DType::F32, {3, 9});
    Data same(type, {3, 9});
    ASSERT_LAUNCH(KernelId::Gather, {&plain, &indices, &raw}, {{}, {0}, {}});
    ASSERT_LAUNCH(KernelId::Gather, {&panels, &indices, &packed}, {{}, {0}, {}},
                  3);
    ASSERT_LAUNCH(KernelId::Gather, {&panels, &indices, &same}, {{}, {0}, {}});
    Values want;
    for (int64_t row : {69, 0, 68}) {
      for (int64_t k = 0; k < 9; ++k) {
        want.push_back(plain.get(row * 9 + k));
      }
    }
    EXPECT_EQ(raw.decode(), want);
    EXPECT_EQ(packed.decode(), want);
    EXPECT_EQ(same.decode(), want);
  }
}

TEST(Gather, RefusesIndicesOutOfRange) {
  Data table(DType::F32, {3, 2}, counting(6));
  Data out(DType::F32, {1, 2});
  for (double index : {3.0, -4.0}) {
    Data indices(DType::I64, {1}, {index});
    EXPECT_STREQ(
        launch(KernelId::Gather, {&table, &indices, &out}, {{}, {0}, {}}),
        "index out of range");
  }
  Data none(DType::I64, {0});
  Data empty(DType::F32, {0, 2});
  ASSERT_LAUNCH(KernelId::Gather, {&table, &none, &empty}, {{}, {0}, {}});
}

TEST(GatherElements, MatchesReference) {
  Data x(DType::I32, {3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  Data indices(DType::I64, {2, 3}, {1, 2, 0, 2, 0, -3});
  Data out(DType::I32, {2, 3});
  ASSERT_LAUNCH(KernelId::GatherElements, {&x, &indices, &out}, {{}, {0}, {}});
  EXPECT_EQ(out.decode(), (Values{4, 8, 3, 7, 2, 3}));
  ASSERT_LAUNCH(KernelId::GatherElements, {&x, &indices, &out}, {{}, {1}, {}});
  EXPECT_EQ(out.decode(), (Values{2, 3, 1, 6, 4, 4}));
  indices.set(0, 3);
  EXPECT_STREQ(
      launch(KernelId::GatherElements, {&x, &indices, &out}, {{}, {0}, {}}),
      "index out of range");
}

// The examples of the ONNX documentation.
TEST(GatherND, MatchesTheSpecification) {
  Data x(DType::I32, {2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  Data pairs(DType::I64, {2, 2}, {0, 1, 1, 0});
  Data out(DType::I32, {2, 2});
  ASSERT_LAUNCH(KernelId::GatherND, {&x, &pairs, &out}, {{}, {0}, {}});
  EXPECT_EQ(out.decode(), (Values{2, 3, 4, 5}));
  Data perBatch(DType::I64, {2, 1}, {1, -2});
  ASSERT_LAUNCH(KernelId::GatherND, {&x, &perBatch, &out}, {{}, {1}, {}});
  EXPECT_EQ(out.decode(), (Values{2, 3, 4, 5}));
  Data full(DType::I64, {2, 3}, {0, 0, 0, 1, 1, 1});
  Data scalars(DType::I32, {2});
  ASSERT_LAUNCH(KernelId::GatherND, {&x, &full, &scalars}, {{}, {0}, {}});
  EXPECT_EQ(scalars.decode(), (Values{0, 7}));
  full.set(0, 2);
  EXPECT_STREQ(launch(KernelId::GatherND, {&x, &full, &scalars}, {{}, {0}, {}}),
               "index out of range");
}

TEST(ScatterND, MatchesReference) {
  Data x(DType::F32, {8}, {1, 2, 3, 4, 5, 6, 7, 8});
  Data indices(DType::I64, {4, 1}, {4, 3, 1, -1});
  Data updates(DType::F32, {4}, {9, 10, 11, 12});
  Data out(DType::F32, {8});
  auto run = [&](ScatterKind kind) {
    EXPECT_EQ(launch(KernelId::ScatterND, {&x, &indices, &updates, &out},
                     {{}, {static_cast<int64_t>(kind)}, {}}),
              nullptr);
    return out.decode();
  };
  EXPECT_EQ(run(ScatterKind::None), (Values{1, 11, 3, 10, 9, 6, 7, 12}));
  EXPECT_EQ(run(ScatterKind::Add), (Values{1, 13, 3, 14, 14, 6, 7, 20}));
  EXPECT_EQ(run(ScatterKind::Mul), (Values{1, 22, 3, 40, 45, 6, 7, 96}));
  EXPECT_EQ(run(ScatterKind::Min), (Values{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(run(ScatterKind::Max), (Values{1, 11, 3, 10, 9, 6, 7, 12}));
  ASSERT_LAUNCH(KernelId::ScatterND, {&x, &indices, &updates, &x},
                {{}, {0}, {}});
  EXPECT_EQ(x.decode(), (Values{1, 11, 3, 10, 9, 6, 7, 12}));
  // Slices, in f16, twice at the same place.
  Data half(DType::F16, {2, 3}, Values(6, 1.0));
  Data rows(DType::I64, {2, 1}, {1, 1});
  Data slices(DType::F16, {2, 3}, {1, 2, 3, 4, 5, 6});
  Data halfOut(DType::F16, {2, 3});
  ASSERT_LAUNCH(KernelId::ScatterND, {&half, &rows, &slices, &halfOut},
                {{}, {static_cast<int64_t>(ScatterKind::Add)}, {}});
  EXPECT_EQ(halfOut.decode(), (Values{1, 1, 1, 6, 8, 10}));
  indices.set(0, 8);
  EXPECT_STREQ(launch(KernelId::ScatterND, {&x, &indices, &updates, &out},
                      {{}, {0}, {}}),
               "index out of range");
}

TEST(ScatterElements, MatchesReference) {
  Data x(DType::I32, {3, 3}, Values(9, 0.0));
  Data indices(DType::I32, {2, 3}, {1, 0, 2, 0, 2, -2});
  Data updates(DType::I32, {2, 3}, {10, 11, 12, 20, 21, 22});
  Data out(DType::I32, {3, 3});
  ASSERT_LAUNCH(KernelId::ScatterElements, {&x, &indices, &updates, &out},
                {{}, {0, 0}, {}});
  EXPECT_EQ(out.decode(), (Values{20, 11, 0, 10, 0, 22, 0, 21, 12}));
  ASSERT_LAUNCH(KernelId::ScatterElements, {&x, &indices, &updates, &out},
                {{}, {1, static_cast<int64_t>(ScatterKind::Add)}, {}});
  EXPECT_EQ(out.decode(), (Values{11, 10, 12, 20, 22, 21, 0, 0, 0}));
  indices.set(0, -4);
  EXPECT_STREQ(launch(KernelId::ScatterElements, {&x, &indices, &updates, &out},
                      {{}, {0, 0}, {}}),
               "index out of range");
}
