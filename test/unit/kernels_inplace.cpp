//===- kernels_inplace.cpp - Results over operands ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Each kernel that KernelId.h allows to overwrite an operand: the result has
// the same bits as elsewhere, for one thread and several, at sizes that end
// inside a block, a chunk and a vector, on every instruction set.
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

#include <algorithm>

using namespace llmc::kernels;
using namespace llmc::kernels::testing;
using llmc::plan::PointwiseOp;
using llmc::plan::ScatterKind;

namespace {

constexpr int64_t kF32 = 0, kI64 = 2;
constexpr DType kFloats[] = {DType::F32, DType::F16, DType::BF16};

/// Launches with a result of its own, then with the operands `over` being one
/// and the same tensor that is the result too, and expects the same bits.
/// `inputs` are all operands but the result.
void expectInPlace(KernelId id, const std::vector<Data *> &inputs,
                   const std::vector<size_t> &over, DType resultType,
                   const Call &call, const std::string &what) {
  SCOPED_TRACE(what);
  for (int threads : {1, 3}) {
    Data apart(resultType, inputs[over[0]]->dims);
    std::vector<Data *> operands = inputs;
    operands.push_back(&apart);
    ASSERT_LAUNCH(id, operands, call, threads);
    ASSERT_EQ(llmc::plan::bitWidth(resultType),
              llmc::plan::bitWidth(inputs[over[0]]->dtype));
    // One buffer, views of it.
    Data shared = *inputs[over[0]];
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < inputs.size(); ++i) {
      bool isShared = std::find(over.begin(), over.end(), i) != over.end();
      tensors.push_back(isShared ? shared.view() : inputs[i]->view());
      if (isShared) {
        ASSERT_EQ(inputs[i]->contents(), shared.contents());
      }
    }
    Tensor out = shared.view();
    out.dtype = resultType;
    tensors.push_back(out);
    ThreadPool pool(threads);
    Launch args;
    args.operands = tensors;
    args.params = call.params;
    args.ints = call.ints;
    args.floats = call.floats;
    args.pool = &pool;
    Status status = lookupHostKernel(id)(args);
    ASSERT_EQ(status, nullptr) << status;
    EXPECT_TRUE(shared.guardsIntact());
    EXPECT_EQ(shared.contents(), apart.contents()) << threads << " threads";
  }
}

Call unary(PointwiseOp op, int64_t cls = kF32) {
  return {{}, {1, 1, int64_t(op), cls, 0, 0, 0}, {}};
}
Call binary(PointwiseOp op, int64_t cls = kF32) {
  return {{}, {2, 1, int64_t(op), cls, 0, 1, 0}, {}};
}

std::string nameOf(DType type, const Dims &dims) {
  std::string text(llmc::plan::name(type));
  for (int64_t d : dims) {
    text += " " + std::to_string(d);
  }
  return text;
}

} // namespace

TEST(InPlace, Pointwise) {
  forEachIsa([] {
    for (DType type : kFloats) {
      for (const Dims &dims :
           {Dims{1}, Dims{7}, Dims{3, 257}, Dims{31, 1027}}) {
        Random random(1);
        Data x = random.tensor(type, dims, -4, 4);
        Data other = random.tensor(type, dims, -4, 4);
        Data row = random.tensor(DType::F32, {dims.back()}, -4, 4);
        std::string what = nameOf(type, dims);
        for (PointwiseOp op :
             {PointwiseOp::Relu, PointwiseOp::GeluErf, PointwiseOp::GeluTanh,
              PointwiseOp::Silu, PointwiseOp::Exp, PointwiseOp::Tanh}) {
          expectInPlace(KernelId::Pointwise, {&x}, {0}, type, unary(op), what);
        }
        // Over either input, and x + x over both.
        Call add = binary(PointwiseOp::Add), sub = binary(PointwiseOp::Sub);
        expectInPlace(KernelId::Pointwise, {&x, &other}, {0}, type, sub, what);
        expectInPlace(KernelId::Pointwise, {&x, &other}, {1}, type, sub, what);
        expectInPlace(KernelId::Pointwise, {&x, &x}, {0, 1}, type, add, what);
        // Another input is broadcast.
        expectInPlace(KernelId::Pointwise, {&x, &row}, {0}, type, sub, what);
        expectInPlace(KernelId::Pointwise, {&row, &x}, {1}, type, sub, what);
        // x * x + row, where x is read by two instructions.
        Call fused{{},
                   {2, 2, int64_t(PointwiseOp::Mul), kF32, 0, 0, 0,
                    int64_t(PointwiseOp::Add), kF32, 2, 1, 0},
                   {}};
        expectInPlace(KernelId::Pointwise, {&x, &row}, {0}, type, fused, what);
      }
    }
    // Another type of the same width, and integers.
    Random random(2);
    Data half = random.tensor(DType::F16, {5, 301});
    expectInPlace(KernelId::Pointwise, {&half}, {0}, DType::BF16,
                  unary(PointwiseOp::Neg), "f16 -> bf16");
    Data longs(DType::I64, {1111}, random.integers(1111, -50, 50));
    expectInPlace(KernelId::Pointwise, {&longs, &longs}, {0, 1}, DType::I64,
                  binary(PointwiseOp::Mul, kI64), "i64");
  });
}

TEST(InPlace, Cast) {
  forEachIsa([] {
    Random random(3);
    for (int64_t n : {1, 255, 256, 70001}) {
      Data half = random.tensor(DType::F16, {n}, -9, 9);
      expectInPlace(KernelId::Cast, {&half}, {0}, DType::BF16, {}, "f16");
      expectInPlace(KernelId::Cast, {&half}, {0}, DType::I16, {}, "f16");
      Data single = random.tensor(DType::F32, {n}, -9, 9);
      expectInPlace(KernelId::Cast, {&single}, {0}, DType::I32, {}, "f32");
      Data longs(DType::I64, {n}, random.integers(n, -99, 99));
      expectInPlace(KernelId::Cast, {&longs}, {0}, DType::F64, {}, "i64");
    }
  });
}

TEST(InPlace, SoftmaxAndCumSum) {
  forEachIsa([] {
    for (DType type : {DType::F32, DType::F16, DType::BF16, DType::F64}) {
      for (const Dims &dims :
           {Dims{1, 1, 1}, Dims{2, 3, 5}, Dims{3, 7, 513}, Dims{5, 1030, 3}}) {
        Random random(4);
        Data x = random.tensor(type, dims, -3, 3);
        for (int64_t axis = 0; axis < 3; ++axis) {
          std::string what =
              nameOf(type, dims) + " axis " + std::to_string(axis);
          for (int64_t isLog : {0, 1}) {
            expectInPlace(KernelId::Softmax, {&x}, {0}, type,
                          {{}, {axis, isLog}, {}}, what);
          }
          for (int64_t flags = 0; flags < 4; ++flags) {
            expectInPlace(KernelId::CumSum, {&x}, {0}, type,
                          {{}, {axis, flags & 1, flags >> 1}, {}}, what);
          }
        }
      }
    }
    // Rows of another type of the same width.
    Random random(5);
    Data half = random.tensor(DType::F16, {6, 1025}, -3, 3);
    expectInPlace(KernelId::Softmax, {&half}, {0}, DType::BF16,
                  {{}, {1, 0}, {}}, "f16 -> bf16");
  });
}

TEST(InPlace, Norms) {
  forEachIsa([] {
    for (DType type : {DType::F32, DType::F16, DType::BF16, DType::F64}) {
      for (const Dims &dims : {Dims{1, 1}, Dims{5, 33}, Dims{9, 1030}}) {
        Random random(6);
        DType table = type == DType::F64 ? DType::F64 : DType::F32;
        Data x = random.tensor(type, dims, -3, 5);
        Data scale = random.tensor(table, {dims[1]});
        Data bias = random.tensor(table, {dims[1]});
        std::string what = nameOf(type, dims);
        expectInPlace(KernelId::LayerNorm, {&x, &scale, &bias}, {0}, type,
                      {{}, {1, 1, 1}, {1e-5}}, what);
        expectInPlace(KernelId::LayerNorm, {&x}, {0}, type,
                      {{}, {2, 0, 0}, {1e-5}}, what);
        expectInPlace(KernelId::RmsNorm, {&x, &scale}, {0}, type,
                      {{}, {1, 1}, {1e-5}}, what);
      }
    }
  });
}

TEST(InPlace, Rope) {
  for (DType type : kFloats) {
    for (int64_t layout : {0, 1}) {
      for (int64_t interleaved : {0, 1}) {
        for (int64_t rotated : {2, 6, 34}) {
          int64_t B = 2, H = 3, S = 7, D = 37;
          Random random(7);
          Data x =
              random.tensor(type, layout ? Dims{B, S, H, D} : Dims{B, H, S, D});
          Data cosines = random.tensor(DType::F32, {S, rotated / 2});
          Data sines = random.tensor(DType::F32, {S, rotated / 2});
          expectInPlace(KernelId::Rope, {&x, &cosines, &sines}, {0}, type,
                        {{}, {layout, interleaved, rotated}, {}},
                        nameOf(type, x.dims));
        }
      }
    }
  }
}

TEST(InPlace, AttentionOverQueries) {
  forEachIsa([] {
    for (DType type : kFloats) {
      for (int64_t layout : {0, 1}) {
        for (int64_t queries : {1, 5, 40}) {
          int64_t B = 2, H = 6, kvHeads = 2, D = 33, T = 70;
          Random random(8);
          Data q = random.tensor(type, layout ? Dims{B, queries, H, D}
                                              : Dims{B, H, queries, D});
          Data k = random.tensor(type, {B, kvHeads, T, D});
          Data v = random.tensor(type, {B, kvHeads, T, D});
          Data bias = random.tensor(DType::F32, {queries, T});
          for (int64_t causal : {0, 1}) {
            expectInPlace(KernelId::Attention, {&q, &k, &v, &bias}, {0}, type,
                          {{T}, {layout, 0, causal, 0, 1, 0, 0}, {0.2, 0}},
                          nameOf(type, q.dims));
            expectInPlace(KernelId::Attention, {&q, &k, &v}, {0}, type,
                          {{T}, {layout, 0, causal, 3, 0, 0, 0}, {0.2, 5}},
                          nameOf(type, q.dims));
          }
        }
      }
    }
  });
}

TEST(InPlace, Scatter) {
  for (DType type : {DType::F32, DType::F16, DType::BF16, DType::I64}) {
    for (int64_t kind = 0; kind <= int64_t(ScatterKind::Max); ++kind) {
      Random random(9);
      Data x(type, {9, 5}, random.integers(45, -9, 9));
      Data rows(DType::I64, {4, 1}, Values{3, 0, 8, 3});
      Data updates(type, {4, 5}, random.integers(20, -9, 9));
      std::string what = nameOf(type, x.dims) + " " + std::to_string(kind);
      expectInPlace(KernelId::ScatterND, {&x, &rows, &updates}, {0}, type,
                    {{}, {kind}, {}}, what);
      Data indices(DType::I64, {4, 5}, random.integers(20, -9, 8));
      expectInPlace(KernelId::ScatterElements, {&x, &indices, &updates}, {0},
                    type, {{}, {0, kind}, {}}, what);
    }
  }
}
