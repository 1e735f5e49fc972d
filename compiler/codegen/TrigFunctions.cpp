//===- TrigFunctions.cpp - sin and cos over all floats --------------------===//
//
// x = k pi / 2 + r. Up to 2^28 by subtracting k times a pi / 2 of two doubles,
// above from a table: 2^e * 2 / pi mod 4 for each exponent e, in pieces of 28
// bits whose products with a 24-bit significand are exact doubles. (This is
// Payne and Hanek's idea with the multiplication done beforehand.) The larger
// branch is taken only if one of the lanes needs it.
//
//===----------------------------------------------------------------------===//

#include "compiler/codegen/VectorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/APInt.h"

#include <cmath>

using namespace mlir;

namespace llmc::codegen {

namespace {

/// 2 / pi after the point: 24 words of 32 bits are more than the largest
/// exponent needs.
constexpr uint32_t kTwoOverPi[] = {
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599,
    0x3C439041, 0xFE5163AB, 0xDEBBC561, 0xB7246E3A, 0x424DD2E0};

/// x = m 2^e, |m| < 2^24 whole; e from here on to 104.
constexpr int kFirstExponent = 5;
constexpr int kExponents = 105 - kFirstExponent;

/// Bits [from, from + count) of 2 / pi, counted from the point; those before
/// the point are zero.
uint64_t bitsOfTwoOverPi(int from, int count) {
  uint64_t value = 0;
  for (int i = from; i < from + count; ++i) {
    bool bit = i >= 0 && (kTwoOverPi[i / 32] >> (31 - i % 32) & 1) != 0;
    value = value * 2 + (bit ? 1 : 0);
  }
  return value;
}

/// (2^e * 2 / pi) mod 4 in three pieces for each e.
std::vector<double> makeTable() {
  std::vector<double> table;
  for (int i = 0; i < kExponents; ++i) {
    int e = i + kFirstExponent;
    // Weights 2^1 .. 2^-26, 2^-27 .. 2^-54, 2^-55 .. 2^-86.
    table.push_back(std::ldexp(double(bitsOfTwoOverPi(e - 2, 28)), -26));
    table.push_back(std::ldexp(double(bitsOfTwoOverPi(e + 26, 28)), -54));
    table.push_back(std::ldexp(double(bitsOfTwoOverPi(e + 54, 32)), -86));
  }
  return table;
}

constexpr StringLiteral kTableName = "two_over_pi";

/// The table's global; made at the first use in a module.
LLVM::GlobalOp tableOf(OpBuilder &b, Location loc) {
  Operation *scope = b.getInsertionBlock()->getParentOp();
  auto module = scope->getParentOfType<ModuleOp>();
  if (auto global = module.lookupSymbol<LLVM::GlobalOp>(kTableName)) {
    return global;
  }
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  std::vector<double> values = makeTable();
  auto type = LLVM::LLVMArrayType::get(b.getF64Type(), values.size());
  auto dense = DenseElementsAttr::get(
      RankedTensorType::get({int64_t(values.size())}, b.getF64Type()),
      ArrayRef<double>(values));
  return LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true,
                                LLVM::Linkage::Internal, kTableName, dense,
                                /*alignment=*/64);
}

/// Vectors of f64.
struct Doubles {
  OpBuilder &b;
  Location loc;
  VectorType type;
  Value constant(double v) {
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, v));
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) {
    return math::FmaOp::create(b, loc, x, y, z);
  }
  Value round(Value x) { return math::RoundEvenOp::create(b, loc, x); }
};

} // namespace

std::pair<Value, Value> VectorBuilder::reduceSmall(Value x) {
  Doubles d{b, loc, type(b.getF64Type())};
  Value wide = arith::ExtFOp::create(b, loc, d.type, x);
  Value k = d.round(d.mul(wide, d.constant(0.63661977236758134308)));
  Value r = d.fma(k, d.constant(-1.57079632679489655800e+00), wide);
  r = d.fma(k, d.constant(-6.12323399573676603587e-17), r);
  return {arith::FPToSIOp::create(b, loc, type(b.getI32Type()), k),
          arith::TruncFOp::create(b, loc, x.getType(), r)};
}

std::pair<Value, Value> VectorBuilder::reduceLarge(Value x) {
  Doubles d{b, loc, type(b.getF64Type())};
  Value raw = bits(x);
  Value exponent = arith::AndIOp::create(b, loc, shiftRight(raw, 23), i32(255));
  Value index = subInt(exponent, i32(150 + kFirstExponent));
  // Lanes that do not need this read any row.
  index = arith::MaxSIOp::create(b, loc, index, i32(0));
  index = arith::MinSIOp::create(b, loc, index, i32(kExponents - 1));
  Value significand = arith::OrIOp::create(
      b, loc, arith::AndIOp::create(b, loc, raw, i32(0x7fffff)), i32(0x800000));
  Value m = arith::SIToFPOp::create(b, loc, d.type, significand);
  Value base = LLVM::AddressOfOp::create(b, loc, tableOf(b, loc));
  Value all = boolean(true);
  auto piece = [&](int64_t which) -> Value {
    Value at =
        addInt(Value(arith::MulIOp::create(b, loc, index, i32(3))), i32(which));
    auto pointers = type(LLVM::LLVMPointerType::get(b.getContext()));
    Value address = LLVM::GEPOp::create(b, loc, pointers, b.getF64Type(), base,
                                        ArrayRef<LLVM::GEPArg>{at});
    return LLVM::masked_gather::create(b, loc, d.type, address, all,
                                       ValueRange{d.constant(0)},
                                       b.getI32IntegerAttr(8));
  };
  Value p1 = d.mul(m, piece(0));
  Value p2 = d.mul(m, piece(1));
  Value p3 = d.mul(m, piece(2));
  // Whole turns of four quadrants go first, exactly.
  Value q = d.fma(d.round(d.mul(p1, d.constant(0.25))), d.constant(-4), p1);
  Value k = d.round(d.add(q, p2));
  Value f = d.add(d.add(d.sub(q, k), p2), p3);
  Value r = d.mul(f, d.constant(1.57079632679489661923));
  Value rest = arith::TruncFOp::create(b, loc, x.getType(), r);
  Value quadrant = arith::FPToSIOp::create(b, loc, type(b.getI32Type()), k);
  // The significand has no sign.
  Value negative =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, raw, i32(0));
  return {select(negative, subInt(i32(0), quadrant), quadrant),
          select(negative, neg(rest), rest)};
}

Value VectorBuilder::sinOrCos(Value x, int64_t quadrants) {
  Value size = abs(x);
  // inf and NaN become NaN in the end, and 0 until then.
  Value finite = compare(Compare::Lt, size, f32(INFINITY));
  Value safe = select(finite, x, f32(0));
  Value huge = logicAnd(finite, compare(Compare::Ge, size, f32(268435456)));
  Value any =
      vector::ReductionOp::create(b, loc, vector::CombiningKind::OR, huge);
  Type ints = type(b.getI32Type());
  auto branch = scf::IfOp::create(b, loc, TypeRange{ints, x.getType()}, any,
                                  /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    auto [smallK, smallR] = reduceSmall(select(huge, f32(0), safe));
    auto [largeK, largeR] = reduceLarge(safe);
    Value k = select(huge, largeK, smallK), r = select(huge, largeR, smallR);
    scf::YieldOp::create(b, loc, ValueRange{k, r});
    b.setInsertionPointToStart(branch.elseBlock());
    auto [onlyK, onlyR] = reduceSmall(safe);
    scf::YieldOp::create(b, loc, ValueRange{onlyK, onlyR});
  }
  Value k = addInt(branch.getResult(0), i32(quadrants));
  Value r = branch.getResult(1);
  Value z = mul(r, r);
  Value sine =
      polynomial(z, {-1.9515295891E-4, 8.3321608736E-3, -1.6666654611E-1});
  sine = fma(mul(sine, z), r, r);
  Value cosine = polynomial(z, {2.443315711809948E-5, -1.388731625493765E-3,
                                4.166664568298827E-2, -0.5});
  cosine = fma(cosine, z, f32(1));
  auto bit = [&](int64_t which) -> Value {
    Value masked = arith::AndIOp::create(b, loc, k, i32(which));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, masked,
                                 i32(0));
  };
  Value result = select(bit(1), cosine, sine);
  result = select(bit(2), neg(result), result);
  if (quadrants == 0) { // -0 stays
    result = select(compare(Compare::Eq, x, f32(0)), x, result);
  }
  // What is not finite is NaN.
  return select(finite, result, sub(x, x));
}

} // namespace llmc::codegen
