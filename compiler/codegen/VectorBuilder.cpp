//===- VectorBuilder.cpp - Elementary operations on vectors ---------------===//

#include "compiler/codegen/VectorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;

namespace llmc::codegen {

VectorType VectorBuilder::type(Type element) const {
  return VectorType::get({lanes}, element);
}

Value VectorBuilder::f32(double value) {
  auto attr =
      DenseElementsAttr::get(type(b.getF32Type()), static_cast<float>(value));
  return arith::ConstantOp::create(b, loc, attr);
}

Value VectorBuilder::i32(int64_t value) {
  auto attr =
      DenseElementsAttr::get(type(b.getI32Type()), static_cast<int32_t>(value));
  return arith::ConstantOp::create(b, loc, attr);
}

Value VectorBuilder::boolean(bool value) {
  auto attr = DenseElementsAttr::get(type(b.getI1Type()), value);
  return arith::ConstantOp::create(b, loc, attr);
}

Value VectorBuilder::add(Value x, Value y) {
  return arith::AddFOp::create(b, loc, x, y);
}
Value VectorBuilder::sub(Value x, Value y) {
  return arith::SubFOp::create(b, loc, x, y);
}
Value VectorBuilder::mul(Value x, Value y) {
  return arith::MulFOp::create(b, loc, x, y);
}
Value VectorBuilder::div(Value x, Value y) {
  return arith::DivFOp::create(b, loc, x, y);
}
Value VectorBuilder::fma(Value x, Value y, Value z) {
  return math::FmaOp::create(b, loc, x, y, z);
}
Value VectorBuilder::neg(Value x) { return arith::NegFOp::create(b, loc, x); }
Value VectorBuilder::abs(Value x) { return math::AbsFOp::create(b, loc, x); }
Value VectorBuilder::sqrt(Value x) { return math::SqrtOp::create(b, loc, x); }
Value VectorBuilder::floor(Value x) { return math::FloorOp::create(b, loc, x); }
Value VectorBuilder::ceil(Value x) { return math::CeilOp::create(b, loc, x); }
Value VectorBuilder::roundEven(Value x) {
  return math::RoundEvenOp::create(b, loc, x);
}
Value VectorBuilder::copySign(Value magnitude, Value sign) {
  return math::CopySignOp::create(b, loc, magnitude, sign);
}

Value VectorBuilder::compare(Compare kind, Value x, Value y) {
  using P = arith::CmpFPredicate;
  P predicate = kind == Compare::Eq   ? P::OEQ
                : kind == Compare::Ne ? P::UNE
                : kind == Compare::Lt ? P::OLT
                : kind == Compare::Le ? P::OLE
                : kind == Compare::Gt ? P::OGT
                : kind == Compare::Ge ? P::OGE
                                      : P::UNO;
  return arith::CmpFOp::create(b, loc, predicate, x, y);
}

Value VectorBuilder::select(Value which, Value yes, Value no) {
  return arith::SelectOp::create(b, loc, which, yes, no);
}
Value VectorBuilder::logicAnd(Value x, Value y) {
  return arith::AndIOp::create(b, loc, x, y);
}
Value VectorBuilder::logicOr(Value x, Value y) {
  return arith::OrIOp::create(b, loc, x, y);
}
Value VectorBuilder::logicXor(Value x, Value y) {
  return arith::XOrIOp::create(b, loc, x, y);
}

Value VectorBuilder::bits(Value x) {
  return arith::BitcastOp::create(b, loc, type(b.getI32Type()), x);
}
Value VectorBuilder::fromBits(Value x) {
  return arith::BitcastOp::create(b, loc, type(b.getF32Type()), x);
}
Value VectorBuilder::addInt(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}
Value VectorBuilder::subInt(Value x, Value y) {
  return arith::SubIOp::create(b, loc, x, y);
}
Value VectorBuilder::shiftLeft(Value x, int64_t by) {
  return arith::ShLIOp::create(b, loc, x, i32(by));
}
Value VectorBuilder::shiftRight(Value x, int64_t by) {
  return arith::ShRSIOp::create(b, loc, x, i32(by));
}
Value VectorBuilder::toInt(Value x) {
  return arith::FPToSIOp::create(b, loc, type(b.getI32Type()), x);
}
Value VectorBuilder::fromInt(Value x) {
  return arith::SIToFPOp::create(b, loc, type(b.getF32Type()), x);
}

Value VectorBuilder::polynomial(Value x,
                                std::initializer_list<double> coefficients) {
  Value sum;
  for (double c : coefficients) {
    sum = sum ? fma(sum, x, f32(c)) : f32(c);
  }
  return sum;
}

} // namespace llmc::codegen
