//===- VectorBuilder.h - Vectors of f32, and functions of them -*- C++ -*-===//
//
// Builds arith, math and vector operations on vectors of `lanes` elements. The
// functions are expanded here, so that generated code needs no library. They
// are elementary operations in a fixed order, with fused multiplication and
// addition only where it is spelled out: every lane, machine and target gives
// the same bits.
//
// Largest errors over all floats, in units of the last place of the exact
// result rounded to f32, as test/unit/codegen_math.cpp measures and bounds
// them. Denormal inputs and results, infinities and NaN behave as in IEEE 754
// and C (log(0) = -inf, sin(inf) = NaN, ...):
//
//   exp 1.0   log 0.9   tanh 1.4   erf 1.1   sin 1.6   cos 1.6
//   sigmoid 2.4   silu 3.3   quick_gelu 3.3   gelu_erf 6.5   gelu_tanh 3.4
//   softplus 2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_CODEGEN_VECTORBUILDER_H
#define LLMC_COMPILER_CODEGEN_VECTORBUILDER_H

#include "mlir/IR/Builders.h"

namespace llmc::codegen {

class VectorBuilder {
public:
  using Value = mlir::Value;

  VectorBuilder(mlir::OpBuilder &builder, mlir::Location loc, int64_t lanes)
      : b(builder), loc(loc), lanes(lanes) {}

  enum class Compare { Eq, Ne, Lt, Le, Gt, Ge, Unordered };

  // Vectors of f32 unless said otherwise.
  mlir::VectorType type(mlir::Type element) const;
  Value f32(double value);
  Value i32(int64_t value);
  Value boolean(bool value); // vector of i1
  Value add(Value x, Value y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value div(Value x, Value y);
  Value fma(Value x, Value y, Value z); // x * y + z, rounded once
  Value neg(Value x);
  Value abs(Value x);
  Value sqrt(Value x);
  Value floor(Value x);
  Value ceil(Value x);
  Value roundEven(Value x);
  Value copySign(Value magnitude, Value sign);
  Value compare(Compare kind, Value x, Value y); // Ne is true for NaN
  Value select(Value which, Value yes, Value no);
  Value logicAnd(Value x, Value y);
  Value logicOr(Value x, Value y);
  Value logicXor(Value x, Value y);

  Value exp(Value x);
  Value log(Value x);
  Value tanh(Value x);
  Value erf(Value x);
  Value sin(Value x) { return sinOrCos(x, 0); }
  Value cos(Value x) { return sinOrCos(x, 1); }
  Value sigmoid(Value x);
  Value silu(Value x);
  Value quickGelu(Value x);
  Value geluErf(Value x);
  Value geluTanh(Value x);
  Value softplus(Value x);

  mlir::OpBuilder &builder() { return b; }
  mlir::Location location() const { return loc; }

private:
  // Vectors of i32.
  Value bits(Value x);
  Value fromBits(Value x);
  Value addInt(Value x, Value y);
  Value subInt(Value x, Value y);
  Value shiftLeft(Value x, int64_t by);
  Value shiftRight(Value x, int64_t by); // arithmetic
  Value toInt(Value x);                  // truncates
  Value fromInt(Value x);

  /// ((c[0] * x + c[1]) * x + ...) with fused steps.
  Value polynomial(Value x, std::initializer_list<double> coefficients);
  /// exp(x) = first * 2^second, the second a vector of i32.
  std::pair<Value, Value> expParts(Value x);
  /// x * 2^n, n a vector of i32 in [-252, 254], rounded once.
  Value scale(Value x, Value n);
  /// 1 / (1 + exp(-(high + low))), low small; times `factor` if given.
  Value logistic(Value high, Value low, Value factor);
  Value sinOrCos(Value x, int64_t quadrants);
  /// The reduction of sinOrCos for arguments of any size: quadrant and rest.
  std::pair<Value, Value> reduceLarge(Value x);
  std::pair<Value, Value> reduceSmall(Value x);

  mlir::OpBuilder &b;
  mlir::Location loc;
  int64_t lanes;
};

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_VECTORBUILDER_H
