//===- plan_coverage_test.cpp - Nothing is read before it is written ------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Checker.h"
#include "runtime/plan/Polynomial.h"

#include "gtest/gtest.h"

using namespace llmc;
using namespace llmc::plan;

namespace {

/// Steps that write and read views of one buffer of f32: a write is a Fill, a
/// read is a Cast to f16. Symbols n and m are both 1 .. 8.
class Views {
public:
  Views() {
    plan.entries.resize(1);
    entry().name = "main";
    entry().symbols = {{"n", 1, 8, false}, {"m", 1, 8, false}};
    for (uint32_t i = 0; i < 2; ++i) {
      entry().exprs.push_back({ExprOp::Symbol, i, 0, 0});
      Port port;
      port.name = "in" + std::to_string(i);
      port.dtype = DType::U8;
      port.buffer = buffer(port.name, BufferKind::Input, 8);
      port.dims = {i};
      entry().inputs.push_back(port);
    }
    shared = buffer("shared", BufferKind::Activation, 4096);
  }
  static constexpr uint32_t n = 0, m = 1;

  uint32_t number(int64_t value) {
    entry().exprs.push_back({ExprOp::Constant, 0, 0, value});
    return last();
  }
  uint32_t node(ExprOp op, uint32_t a, uint32_t b) {
    entry().exprs.push_back({op, a, b, 0});
    return last();
  }
  uint32_t sum(uint32_t a, int64_t b) {
    return node(ExprOp::Add, a, number(b));
  }
  uint32_t times(uint32_t a, int64_t b) {
    return node(ExprOp::Mul, a, number(b));
  }
  std::vector<uint32_t> numbers(const std::vector<int64_t> &values) {
    std::vector<uint32_t> out;
    for (int64_t value : values) {
      out.push_back(number(value));
    }
    return out;
  }

  Views &write(uint64_t offset, std::vector<uint32_t> dims) {
    Step step;
    step.kernel = KernelId::Fill;
    step.floats = {1};
    step.operands = {{shared, Access::Write, DType::F32, Packing::Raw, offset,
                      std::move(dims)}};
    entry().steps.push_back(step);
    return *this;
  }
  Views &write(uint64_t offset, const std::vector<int64_t> &dims) {
    return write(offset, numbers(dims));
  }
  Views &read(uint64_t offset, const std::vector<uint32_t> &dims) {
    Step step;
    step.kernel = KernelId::Cast;
    uint32_t target = buffer("out", BufferKind::Activation, 2048);
    step.operands = {
        {shared, Access::Read, DType::F32, Packing::Raw, offset, dims},
        {target, Access::Write, DType::F16, Packing::Raw, 0, dims}};
    entry().steps.push_back(step);
    return *this;
  }
  Views &read(uint64_t offset, const std::vector<int64_t> &dims) {
    return read(offset, numbers(dims));
  }
  /// A piece of a larger tensor `whole`, from an input that is as large.
  Views &copy(const std::vector<uint32_t> &whole, uint32_t offsetOut,
              std::vector<uint32_t> extents, std::vector<uint32_t> strides) {
    Step step;
    step.kernel = KernelId::StridedCopy;
    Port port;
    port.name = "source" + std::to_string(plan.buffers.size());
    port.buffer = buffer(port.name, BufferKind::Input, 4096);
    port.dims = numbers({1024});
    step.operands = {
        {port.buffer, Access::Read, DType::F32, Packing::Raw, 0, port.dims},
        {shared, Access::ReadWrite, DType::F32, Packing::Raw, 0, whole}};
    step.ints = {int64_t(extents.size())};
    step.params = {number(0), offsetOut};
    for (const auto *list : {&extents, &strides, &strides}) {
      step.params.insert(step.params.end(), list->begin(), list->end());
    }
    entry().inputs.push_back(port);
    entry().steps.push_back(step);
    return *this;
  }

  /// Columns [first, first + count) of the product [rows, total], K is 2.
  Views &product(uint32_t rows, int64_t first, int64_t count, int64_t total) {
    Step step;
    step.kernel = KernelId::Linear;
    for (uint64_t bytes : {64, 4096}) {
      Port port;
      port.name = "operand" + std::to_string(plan.buffers.size());
      port.buffer = buffer(port.name, BufferKind::Input, bytes);
      port.dims = numbers({int64_t(bytes) / 4});
      entry().inputs.push_back(port);
      step.operands.push_back(
          {port.buffer, Access::Read, DType::F32, Packing::Raw, 0, {}});
    }
    step.operands[0].dims = {rows, number(2)};
    step.operands[1].dims = numbers({count, 2});
    step.operands[1].packing = Packing::Panel64;
    step.operands.push_back({shared,
                             Access::ReadWrite,
                             DType::F32,
                             Packing::Raw,
                             0,
                             {rows, number(total)}});
    step.ints = {0, 0, first};
    entry().steps.push_back(step);
    return *this;
  }

  bool safe() {
    for (Buffer &buffer : plan.buffers) {
      buffer.end = static_cast<uint32_t>(entry().steps.size());
    }
    Result<Certificate> result = check(plan);
    message = result ? "" : result.error().message;
    return bool(result);
  }

  uint32_t buffer(const std::string &name, BufferKind kind, uint64_t size) {
    Buffer buffer;
    buffer.name = name;
    buffer.kind = kind;
    buffer.entry = 0;
    buffer.offset = plan.totals.arenaBytes;
    buffer.size = size;
    plan.buffers.push_back(buffer);
    plan.totals.arenaBytes += (size + 63) / 64 * 64;
    plan.totals.deviceBytes = plan.totals.arenaBytes;
    plan.totals.activationPeakBytes = plan.totals.arenaBytes;
    return static_cast<uint32_t>(plan.buffers.size() - 1);
  }
  Entry &entry() { return plan.entries[0]; }

  Plan plan;
  uint32_t shared = 0;
  std::string message;

private:
  uint32_t last() { return static_cast<uint32_t>(entry().exprs.size() - 1); }
};

using Numbers = std::vector<int64_t>;
using Dims = std::vector<uint32_t>;

void expectSafe(Views views) { EXPECT_TRUE(views.safe()) << views.message; }
void expectUnsafe(Views views, const std::string &words) {
  EXPECT_FALSE(views.safe()) << "expected: " << words;
  EXPECT_NE(views.message.find(words), std::string::npos) << views.message;
}

} // namespace

TEST(Coverage, PiecesAtOffsets) {
  // A concatenation whose producers write into the result.
  expectSafe(Views()
                 .write(0, Numbers{2, 4})
                 .write(32, Numbers{3, 4})
                 .read(0, Numbers{5, 4}));
  expectSafe(Views().write(32, Numbers{3, 4}).read(48, Numbers{2, 4}));
  expectUnsafe(Views().write(0, Numbers{2, 4}).read(0, Numbers{5, 4}),
               "step 1 (cast): reads bytes [0, 80) of buffer 'shared', but "
               "byte 32 was never written");
  expectUnsafe(Views()
                   .write(0, Numbers{2, 4})
                   .write(48, Numbers{3, 4})
                   .read(0, Numbers{5, 4}),
               "byte 32 was never written");
  expectUnsafe(Views().read(0, Numbers{1}).write(0, Numbers{1}),
               "byte 0 was never written");
}

TEST(Coverage, TheBoundIsNotWhatWasWritten) {
  expectSafe(Views().write(0, Dims{Views::n}).read(0, Dims{Views::n}));
  // Both at most 8, but not equal.
  expectUnsafe(Views().write(0, Dims{Views::n}).read(0, Dims{Views::m}),
               "byte 4*n was never written");
  expectUnsafe(Views().write(0, Dims{Views::n}).read(0, Numbers{8}),
               "byte 4*n was never written");
  expectSafe(Views().write(0, Numbers{8}).read(0, Dims{Views::m}));
  // The least that n can be.
  expectSafe(Views().write(0, Dims{Views::n}).read(0, Numbers{1}));
  expectUnsafe(Views().write(0, Dims{Views::n}).read(0, Numbers{2}),
               "byte 4*n was never written");
  // One row where there may be more: the first byte alone is no proof.
  expectUnsafe(Views().write(0, Numbers{1, 4}).read(0, Dims{Views::n}),
               "byte 16 was never written");
}

TEST(Coverage, Reshapes) {
  Views views;
  uint32_t four = views.number(4), two = views.number(2);
  uint32_t twice = views.times(Views::n, 2);
  views.write(0, Dims{Views::n, four}).read(0, Dims{twice, two});
  expectSafe(views);
  // (n + m) * 4 = 4 * n + 4 * m, but not 4 * n + 5 * m.
  for (int64_t factor : {4, 5}) {
    Views sums;
    uint32_t both = sums.node(ExprOp::Add, Views::n, Views::m);
    uint32_t flat = sums.node(ExprOp::Add, sums.times(Views::n, 4),
                              sums.times(Views::m, factor));
    sums.write(0, Dims{both, sums.number(4)}).read(0, Dims{flat});
    EXPECT_EQ(sums.safe(), factor == 4) << sums.message;
  }
  // What is not linear is the same only if it is written the same way.
  for (int64_t divisor : {2, 3}) {
    Views halves;
    uint32_t by2 = halves.node(ExprOp::CeilDiv, Views::n, halves.number(2));
    uint32_t by =
        halves.node(ExprOp::CeilDiv, Views::n, halves.number(divisor));
    halves.write(0, Dims{halves.times(by2, 3)})
        .read(0, Dims{halves.number(3), by});
    EXPECT_EQ(halves.safe(), divisor == 2) << halves.message;
  }
}

TEST(Coverage, ConstantAndSymbolicPieces) {
  auto make = [](uint64_t secondAt, int64_t wanted) {
    Views views;
    uint32_t rows = views.sum(Views::n, wanted);
    uint32_t four = views.number(4);
    return views.write(0, Numbers{2, 4})
        .write(secondAt, Dims{Views::n, four})
        .read(0, Dims{rows, four});
  };
  expectSafe(make(32, 2));
  expectSafe(make(16, 1)); // they overlap
  expectUnsafe(make(32, 3), "byte 32 + 16*n was never written");
  expectUnsafe(make(48, 2), "byte 32 was never written");
}

TEST(Coverage, SymbolicPiecesByCopies) {
  // [n, 4] and [m, 4] into [n + m, 4], the second at a symbolic offset.
  auto make = [](bool first, bool second, int64_t shift) {
    Views views;
    uint32_t four = views.number(4), one = views.number(1);
    uint32_t rows = views.node(ExprOp::Add, Views::n, Views::m);
    uint32_t larger = views.sum(rows, 1);
    uint32_t at = views.sum(views.times(Views::n, 4), shift);
    Dims whole{larger, four};
    views.write(256, Numbers{1}); // of no help
    if (first) {
      views.copy(whole, views.number(0), {Views::n, four}, {four, one});
    }
    if (second) {
      views.copy(whole, at, {Views::m, four}, {four, one});
    }
    return views.read(0, Dims{rows, four});
  };
  expectSafe(make(true, true, 0));
  expectUnsafe(make(true, true, 1), "byte 16*n was never written");
  expectUnsafe(make(true, false, 0), "byte 16*n was never written");
  expectUnsafe(make(false, true, 0), "byte 0 was never written");
}

TEST(Coverage, PiecesOfEachRow) {
  // [rows, 2] and [rows, 3] into [rows, 5]: the hull of the first alone spans
  // nearly all.
  auto make = [](bool symbolic, int64_t secondAt, int64_t secondLength) {
    Views views;
    uint32_t rows = symbolic ? Views::n : views.number(7);
    uint32_t five = views.number(5), one = views.number(1);
    Dims whole{views.sum(rows, 1), five};
    views.copy(whole, views.number(0), {rows, views.number(2)}, {five, one});
    if (secondLength > 0) {
      views.copy(whole, views.number(secondAt),
                 {rows, views.number(secondLength)}, {five, one});
    }
    return views.read(0, Dims{rows, five});
  };
  for (bool symbolic : {false, true}) {
    expectSafe(make(symbolic, 2, 3));
    expectSafe(make(symbolic, 1, 4));
    expectUnsafe(make(symbolic, 0, 0), "byte 0 was never written");
    expectUnsafe(make(symbolic, 3, 2), "was never written");
    expectUnsafe(make(symbolic, 2, 2), "was never written");
  }
}

TEST(Coverage, Transposes) {
  // [n, 3] written column by column.
  auto make = [](bool dense) {
    Views views;
    uint32_t three = views.number(3), one = views.number(1);
    uint32_t stride = dense ? three : views.number(4);
    return views
        .copy(Dims{views.number(64)}, views.number(0), {three, Views::n},
              {one, stride})
        .read(0, Dims{Views::n, three});
  };
  expectSafe(make(true));
  expectUnsafe(make(false), "was never written");
}

namespace {

/// [n, 4] is written; a copy reads `extent` rows, `stride` elements apart, from
/// element `offset` on.
Views readByCopy(Views &views, uint32_t offset, uint32_t extent,
                 uint32_t stride) {
  uint32_t four = views.number(4), one = views.number(1);
  views.write(0, Dims{Views::n, four});
  Step step;
  step.kernel = KernelId::StridedCopy;
  uint32_t out = views.buffer("copied", BufferKind::Activation, 4096);
  step.operands = {{views.shared, Access::Read, DType::F32, Packing::Raw, 0,
                    Dims{Views::n, four}},
                   {out, Access::ReadWrite, DType::F32, Packing::Raw, 0,
                    views.numbers({1024})}};
  step.ints = {2};
  step.params = {offset, views.number(0), extent, four, stride, one, four, one};
  views.entry().steps.push_back(step);
  return views;
}

} // namespace

TEST(Coverage, CopiesReadWhatIsThereInEveryRun) {
  {
    Views v;
    uint32_t lastRow = v.times(v.sum(Views::n, -1), 4);
    expectSafe(readByCopy(v, lastRow, v.number(1), v.number(4)));
  }
  {
    // Row 7 is there if n is 8.
    Views v;
    expectUnsafe(readByCopy(v, v.number(28), v.number(1), v.number(4)),
                 "step 1 (strided_copy): reads bytes [0, 128) of buffer "
                 "'shared', but byte 16*n was never written");
  }
  {
    // Row 0 always is.
    Views v;
    expectSafe(readByCopy(v, v.number(0), v.number(1), v.number(4)));
  }
  {
    // A row too far apart.
    Views v;
    Views w = readByCopy(v, v.number(0), v.number(2), v.number(28));
    EXPECT_FALSE(w.safe());
  }
  for (int64_t most : {3, 100}) {
    // At most 3 rows; the larger of n and 3 is too many.
    Views v;
    uint32_t some = v.node(ExprOp::Min, Views::n, v.number(most));
    expectSafe(readByCopy(v, v.number(0), some, v.number(4)));
    Views w;
    uint32_t many = w.node(ExprOp::Max, Views::n, w.number(3));
    EXPECT_FALSE(readByCopy(w, w.number(0), many, w.number(4)).safe());
  }
  for (ExprOp op : {ExprOp::CeilDiv, ExprOp::FloorDiv}) {
    // Every other row; every other row from the second on.
    Views v;
    uint32_t half = v.node(op, Views::n, v.number(2));
    expectSafe(readByCopy(v, v.number(0), half, v.number(8)));
    Views w;
    uint32_t other = w.node(op, Views::n, w.number(2));
    Views shifted = readByCopy(w, w.number(4), other, w.number(8));
    EXPECT_EQ(shifted.safe(), op == ExprOp::FloorDiv) << shifted.message;
  }
}

TEST(Coverage, InputsConstantsAndOutputs) {
  // An input's buffer may be larger than what the caller writes.
  Views views;
  views.plan.entries[0].inputs[0].dtype = DType::F32;
  views.plan.buffers[0].size = 64;
  views.plan.entries[0].inputs[0].dims = {views.number(4)};
  views.plan.entries[0].inputs.push_back(views.plan.entries[0].inputs[0]);
  views.plan.entries[0].inputs.back().buffer =
      views.buffer("third", BufferKind::Input, 64);
  views.plan.entries[0].inputs.back().dims = {Views::n};
  Views good = views, bad = views;
  good.read(0, Numbers{4});
  good.entry().steps[0].operands[0].buffer = 0;
  expectSafe(good);
  bad.read(0, Numbers{5});
  bad.entry().steps[0].operands[0].buffer = 0;
  expectUnsafe(bad, "of buffer 'in0', but byte 16 was never written");
  // An output that is larger than what was written to it.
  for (uint32_t dim : {Views::n, Views::m}) {
    Views out;
    out.write(0, Dims{Views::n});
    Port port;
    port.name = "y";
    port.buffer = out.shared;
    port.dims = {dim};
    out.plan.buffers[out.shared].kind = BufferKind::Output;
    out.entry().outputs = {port};
    EXPECT_EQ(out.safe(), dim == Views::n) << out.message;
  }
}

TEST(Polynomials, Arithmetic) {
  Polynomial x = Polynomial::atom(0), y = Polynomial::atom(1);
  Polynomial sum = *Polynomial::add(x, y);
  Polynomial square = *Polynomial::multiply(sum, sum);
  Polynomial expanded = *Polynomial::multiply(x, x);
  expanded = *Polynomial::add(expanded, *Polynomial::multiply(x, y), 2);
  expanded = *Polynomial::add(expanded, *Polynomial::multiply(y, y));
  EXPECT_EQ(square, expanded);
  EXPECT_EQ(*Polynomial::add(square, expanded, -1), Polynomial());
  EXPECT_TRUE(Polynomial(7).isConstant());
  EXPECT_EQ(Polynomial(7).constant(), 7);
  EXPECT_FALSE(
      Polynomial::multiply(Polynomial(INT64_MAX), Polynomial(2)).has_value());
  // Too many terms are not followed.
  Polynomial many(1);
  std::optional<Polynomial> product = many;
  for (uint32_t i = 0; product && i < 40; ++i) {
    product = Polynomial::multiply(
        *product, *Polynomial::add(Polynomial::atom(i), Polynomial(1)));
  }
  EXPECT_FALSE(product.has_value());
}

TEST(Coverage, ProductsInPieces) {
  for (bool symbolic : {false, true}) {
    auto make = [&](std::vector<std::pair<int64_t, int64_t>> pieces) {
      Views views;
      uint32_t rows = symbolic ? Views::n : views.number(7);
      for (auto [first, count] : pieces) {
        views.product(rows, first, count, 100);
      }
      return views.read(0, Dims{rows, views.number(100)});
    };
    expectSafe(make({{0, 64}, {64, 36}}));
    expectSafe(make({{64, 36}, {0, 64}}));
    expectSafe(make({{0, 50}, {25, 50}, {75, 25}}));
    expectSafe(make({{0, 100}}));
    for (const auto &pieces :
         std::vector<std::vector<std::pair<int64_t, int64_t>>>{
             {{0, 64}},
             {{64, 36}},
             {{0, 64}, {65, 35}},
             {{0, 64}, {64, 35}},
             {{0, 64}, {0, 64}}}) {
      expectUnsafe(make(pieces), "was never written");
    }
    expectUnsafe(make({{0, 64}, {64, 37}}), "does not lie in the result's");
    expectUnsafe(make({{-1, 64}}), "does not lie in the result's");
  }
  // Pieces of different rows are not one whole.
  Views views;
  views.product(Views::n, 0, 64, 100).product(Views::m, 64, 36, 100);
  expectUnsafe(views.read(0, Dims{Views::n, views.number(100)}),
               "was never written");
  // One row: what is there can be read before the rest.
  Views row;
  row.product(row.number(1), 0, 64, 100);
  expectSafe(Views(row).read(0, Numbers{64}));
  expectUnsafe(Views(row).read(0, Numbers{65}), "byte 256 was never written");
}
