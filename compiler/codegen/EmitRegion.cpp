//===- EmitRegion.cpp - A region as a function of vectors -----------------===//

#include "compiler/codegen/EmitRegion.h"

#include "compiler/codegen/VectorBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace llmc::codegen {

using plan::DType;
using plan::PointwiseOp;
using Compare = VectorBuilder::Compare;

namespace {

class RegionEmitter {
public:
  RegionEmitter(ModuleOp module, const Region &region)
      : region(region), b(module.getContext()), loc(b.getUnknownLoc()),
        v(b, loc, kLanes), pointer(LLVM::LLVMPointerType::get(b.getContext())) {
    b.setInsertionPointToEnd(module.getBody());
  }

  void run(const std::string &name);

private:
  Value i64(int64_t value) {
    return arith::ConstantIntOp::create(b, loc, value, 64);
  }
  /// f32 and i1 of the program, as they lie in memory.
  Type stored(DType type) {
    return type == DType::F32    ? Type(b.getF32Type())
           : type == DType::Bool ? Type(b.getI8Type())
                                 : Type(b.getI16Type());
  }
  Value element(Value base, Value index, DType type) {
    return LLVM::GEPOp::create(b, loc, pointer, stored(type), base,
                               ArrayRef<LLVM::GEPArg>{index});
  }
  /// A vector of what is stored, as f32 or i1, and back.
  Value widen(Value raw, DType type);
  Value narrow(Value value, DType type);
  /// All lanes of `mask` (null: all) at `address`.
  Value load(Value address, DType type, Value mask);
  void store(Value value, Value address, DType type, Value mask);

  /// Registers of one class as the other.
  Value asBool(int reg);
  Value asF32(int reg);
  Value as(bool isBool, int reg) { return isBool ? asBool(reg) : asF32(reg); }
  Value build(const Instruction &instruction);
  Value power(Value x, double exponent);

  /// One vector of columns from `column` on.
  void body(Value column, Value mask);

  const Region &region;
  OpBuilder b;
  Location loc;
  VectorBuilder v;
  Type pointer;
  std::vector<Value> bases;     // of the row
  std::vector<Value> uniform;   // inputs that stay along the columns
  std::vector<Value> registers; // of one vector
};

Value RegionEmitter::widen(Value raw, DType type) {
  switch (type) {
  case DType::F16: {
    Value half = arith::BitcastOp::create(b, loc, v.type(b.getF16Type()), raw);
    return arith::ExtFOp::create(b, loc, v.type(b.getF32Type()), half);
  }
  case DType::BF16: {
    Value wide = arith::ExtUIOp::create(b, loc, v.type(b.getI32Type()), raw);
    wide = arith::ShLIOp::create(b, loc, wide, v.i32(16));
    return arith::BitcastOp::create(b, loc, v.type(b.getF32Type()), wide);
  }
  case DType::Bool: {
    Value zero =
        arith::ConstantOp::create(b, loc, b.getZeroAttr(raw.getType()));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, raw, zero);
  }
  default:
    return raw;
  }
}

Value RegionEmitter::narrow(Value value, DType type) {
  switch (type) {
  case DType::F16: {
    Value half = arith::TruncFOp::create(b, loc, v.type(b.getF16Type()), value);
    return arith::BitcastOp::create(b, loc, v.type(b.getI16Type()), half);
  }
  case DType::BF16: {
    // To nearest, ties to even; a NaN keeps its upper bits and stays one.
    Value nan = v.compare(Compare::Unordered, value, value);
    Value bits =
        arith::BitcastOp::create(b, loc, v.type(b.getI32Type()), value);
    Value upper = arith::ShRUIOp::create(b, loc, bits, v.i32(16));
    Value odd = arith::AndIOp::create(b, loc, upper, v.i32(1));
    Value rounded = arith::AddIOp::create(b, loc, bits, v.i32(0x7fff));
    rounded = arith::AddIOp::create(b, loc, rounded, odd);
    rounded = arith::ShRUIOp::create(b, loc, rounded, v.i32(16));
    Value quiet = arith::OrIOp::create(b, loc, upper, v.i32(0x40));
    return arith::TruncIOp::create(b, loc, v.type(b.getI16Type()),
                                   v.select(nan, quiet, rounded));
  }
  case DType::Bool:
    return arith::ExtUIOp::create(b, loc, v.type(b.getI8Type()), value);
  default:
    return value;
  }
}

Value RegionEmitter::load(Value address, DType type, Value mask) {
  VectorType raw = v.type(stored(type));
  unsigned align = plan::bitWidth(type) / 8;
  if (!mask) {
    return widen(LLVM::LoadOp::create(b, loc, raw, address, align), type);
  }
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(raw));
  return widen(LLVM::MaskedLoadOp::create(b, loc, raw, address, mask, zero,
                                          b.getI32IntegerAttr(align),
                                          UnitAttr()),
               type);
}

void RegionEmitter::store(Value value, Value address, DType type, Value mask) {
  unsigned align = plan::bitWidth(type) / 8;
  Value raw = narrow(value, type);
  if (!mask) {
    LLVM::StoreOp::create(b, loc, raw, address, align);
  } else {
    LLVM::MaskedStoreOp::create(b, loc, raw, address, mask,
                                b.getI32IntegerAttr(align));
  }
}

bool isBoolVector(Value value) {
  return cast<VectorType>(value.getType()).getElementType().isInteger(1);
}

Value RegionEmitter::asBool(int reg) {
  Value value = registers[size_t(reg)];
  return isBoolVector(value) ? value : v.compare(Compare::Ne, value, v.f32(0));
}

Value RegionEmitter::asF32(int reg) {
  Value value = registers[size_t(reg)];
  return isBoolVector(value) ? v.select(value, v.f32(1), v.f32(0)) : value;
}

Value RegionEmitter::power(Value x, double exponent) {
  if (exponent == 2) {
    return v.mul(x, x);
  }
  if (exponent == 3) {
    return v.mul(v.mul(x, x), x);
  }
  if (exponent == -1) {
    return v.div(v.f32(1), x);
  }
  if (exponent == 1) {
    return x;
  }
  // pow(-0, 0.5) is +0, pow(-inf, 0.5) is +inf.
  Value root = v.sqrt(v.add(x, v.f32(0)));
  root = v.select(v.compare(Compare::Eq, x, v.f32(-INFINITY)), v.f32(INFINITY),
                  root);
  return exponent > 0 ? root : v.div(v.f32(1), root);
}

Value RegionEmitter::build(const Instruction &instruction) {
  const bool isBool = instruction.isBool;
  const int *operands = instruction.operands;
  auto x = [&] { return asF32(operands[0]); };
  auto y = [&] { return asF32(operands[1]); };
  auto p = [&] { return asBool(operands[0]); };
  auto q = [&] { return asBool(operands[1]); };
  auto one = [&] { return v.f32(1); };
  auto zero = [&] { return v.f32(0); };
  // A comparison of two bools: those of 0 and 1.
  auto compare = [&](Compare kind) { return v.compare(kind, x(), y()); };
  switch (instruction.op) {
  case PointwiseOp::Const:
    return isBool ? v.boolean(instruction.value != 0)
                  : v.f32(instruction.value);
  case PointwiseOp::Cast:
    return as(isBool, operands[0]);
  case PointwiseOp::Neg:
    return v.neg(x());
  case PointwiseOp::Abs:
    return v.abs(x());
  case PointwiseOp::Exp:
    return v.exp(x());
  case PointwiseOp::Log:
    return v.log(x());
  case PointwiseOp::Sqrt:
    return v.sqrt(x());
  case PointwiseOp::Rsqrt:
    return v.div(one(), v.sqrt(x()));
  case PointwiseOp::Reciprocal:
    return v.div(one(), x());
  case PointwiseOp::Sin:
    return v.sin(x());
  case PointwiseOp::Cos:
    return v.cos(x());
  case PointwiseOp::Tanh:
    return v.tanh(x());
  case PointwiseOp::Erf:
    return v.erf(x());
  case PointwiseOp::Sigmoid:
    return v.sigmoid(x());
  case PointwiseOp::Relu: {
    Value a = x();
    return v.select(v.compare(Compare::Lt, a, zero()), zero(), a);
  }
  case PointwiseOp::Silu:
    return v.silu(x());
  case PointwiseOp::GeluErf:
    return v.geluErf(x());
  case PointwiseOp::GeluTanh:
    return v.geluTanh(x());
  case PointwiseOp::QuickGelu:
    return v.quickGelu(x());
  case PointwiseOp::Floor:
    return v.floor(x());
  case PointwiseOp::Ceil:
    return v.ceil(x());
  case PointwiseOp::Round:
    return v.roundEven(x());
  case PointwiseOp::Not:
    return v.logicXor(p(), v.boolean(true));
  case PointwiseOp::IsNan: {
    Value a = x();
    return v.compare(Compare::Unordered, a, a);
  }
  case PointwiseOp::IsInf:
    return v.compare(Compare::Eq, v.abs(x()), v.f32(INFINITY));
  case PointwiseOp::Sign: {
    Value a = x();
    Value negative = v.select(v.compare(Compare::Lt, a, zero()), v.f32(-1), a);
    return v.select(v.compare(Compare::Gt, a, zero()), one(), negative);
  }
  case PointwiseOp::Softplus:
    return v.softplus(x());
  case PointwiseOp::Square: {
    Value a = x();
    return v.mul(a, a);
  }
  case PointwiseOp::Add:
    return isBool ? v.logicOr(p(), q()) : v.add(x(), y());
  case PointwiseOp::Sub:
    return v.sub(x(), y());
  case PointwiseOp::Mul:
    return isBool ? v.logicAnd(p(), q()) : v.mul(x(), y());
  case PointwiseOp::Div:
    return v.div(x(), y());
  case PointwiseOp::Pow: {
    size_t exponent = size_t(operands[1]) - region.signature.numInputs;
    return power(x(), region.instructions[exponent].value);
  }
  case PointwiseOp::Min:
  case PointwiseOp::Max: {
    bool isMin = instruction.op == PointwiseOp::Min;
    if (isBool) {
      return isMin ? v.logicAnd(p(), q()) : v.logicOr(p(), q());
    }
    // NaN in either stays.
    Value a = x(), c = y();
    Value first = v.compare(isMin ? Compare::Lt : Compare::Gt, a, c);
    first = v.logicOr(first, v.compare(Compare::Unordered, a, a));
    return v.select(first, a, c);
  }
  case PointwiseOp::And:
    return v.logicAnd(p(), q());
  case PointwiseOp::Or:
    return v.logicOr(p(), q());
  case PointwiseOp::Xor:
    return v.logicXor(p(), q());
  case PointwiseOp::Eq:
    return compare(Compare::Eq);
  case PointwiseOp::Lt:
    return compare(Compare::Lt);
  case PointwiseOp::Le:
    return compare(Compare::Le);
  case PointwiseOp::Gt:
    return compare(Compare::Gt);
  case PointwiseOp::Ge:
    return compare(Compare::Ge);
  case PointwiseOp::Ne:
    return compare(Compare::Ne);
  case PointwiseOp::Select:
    return v.select(p(), as(isBool, operands[1]), as(isBool, operands[2]));
  default:
    llvm_unreachable("regionOf() takes no other operation");
  }
}

void RegionEmitter::body(Value column, Value mask) {
  const plan::CodeFunction &signature = region.signature;
  registers.clear();
  for (size_t i = 0; i < signature.numInputs; ++i) {
    DType type = signature.operands[i].dtype;
    registers.push_back(
        uniform[i] ? uniform[i]
                   : load(element(bases[i], column, type), type, mask));
  }
  for (const Instruction &instruction : region.instructions) {
    registers.push_back(build(instruction));
  }
  for (size_t i = signature.numInputs; i < signature.operands.size(); ++i) {
    DType type = signature.operands[i].dtype;
    Value value = as(type == DType::Bool, int(registers.size()) - 1);
    store(value, element(bases[i], column, type), type, mask);
  }
}

void RegionEmitter::run(const std::string &name) {
  const plan::CodeFunction &signature = region.signature;
  Type i64Type = b.getI64Type();
  auto type =
      b.getFunctionType({pointer, pointer, i64Type, i64Type, pointer}, {});
  auto function = func::FuncOp::create(b, loc, name, type);
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  Value data = entry->getArgument(0), strides = entry->getArgument(1);
  Value rows = entry->getArgument(2), columns = entry->getArgument(3);
  std::vector<Value> starts, rowStrides;
  for (size_t i = 0; i < signature.operands.size(); ++i) {
    Value at = i64(int64_t(i));
    Value slot = LLVM::GEPOp::create(b, loc, pointer, pointer, data,
                                     ArrayRef<LLVM::GEPArg>{at});
    starts.push_back(LLVM::LoadOp::create(b, loc, pointer, slot));
    slot = LLVM::GEPOp::create(b, loc, pointer, i64Type, strides,
                               ArrayRef<LLVM::GEPArg>{at});
    rowStrides.push_back(LLVM::LoadOp::create(b, loc, i64Type, slot));
  }
  Value zero = i64(0), lanes = i64(kLanes);
  Value rest = arith::RemUIOp::create(b, loc, columns, lanes);
  Value full = arith::SubIOp::create(b, loc, columns, rest);
  // Lane l of the last vector is there if l < rest.
  std::vector<int64_t> numbers;
  for (int64_t l = 0; l < kLanes; ++l) {
    numbers.push_back(l);
  }
  VectorType numbersType = v.type(i64Type);
  Value lane = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(numbersType, ArrayRef<int64_t>(numbers)));
  Value limit = vector::BroadcastOp::create(b, loc, numbersType, rest);
  Value mask =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lane, limit);
  Value hasRest =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, rest, zero);
  auto rowLoop = scf::ForOp::create(b, loc, zero, rows, i64(1));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(rowLoop.getBody());
    Value row = rowLoop.getInductionVar();
    bases.clear();
    uniform.assign(signature.operands.size(), Value());
    for (size_t i = 0; i < signature.operands.size(); ++i) {
      const plan::CodeOperand &operand = signature.operands[i];
      Value offset = arith::MulIOp::create(b, loc, row, rowStrides[i]);
      bases.push_back(element(starts[i], offset, operand.dtype));
      if (operand.step == 0) {
        Value one =
            LLVM::LoadOp::create(b, loc, stored(operand.dtype), bases.back());
        Value all = vector::BroadcastOp::create(
            b, loc, v.type(stored(operand.dtype)), one);
        uniform[i] = widen(all, operand.dtype);
      }
    }
    auto columnLoop = scf::ForOp::create(b, loc, zero, full, lanes);
    {
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToStart(columnLoop.getBody());
      body(columnLoop.getInductionVar(), {});
    }
    auto tail = scf::IfOp::create(b, loc, hasRest, /*withElseRegion=*/false);
    {
      OpBuilder::InsertionGuard inner(b);
      b.setInsertionPointToStart(tail.thenBlock());
      body(full, mask);
    }
  }
  func::ReturnOp::create(b, loc);
}

} // namespace

void emitRegion(ModuleOp module, const Region &region,
                const std::string &name) {
  RegionEmitter(module, region).run(name);
}

} // namespace llmc::codegen
