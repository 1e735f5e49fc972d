//===- LowerElementwise.cpp - Pointwise programs ---------------*- C++ -*-===//
//
// unary, binary, select, cast and fused ops become one register program each
// (KernelId::Pointwise). Splat constants become constants of the program.
//
//===----------------------------------------------------------------------===//

#include "passes/memory/Lowering.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace llmc::lowering {

using plan::PointwiseOp;

static std::optional<PointwiseOp> unaryKind(StringRef kind) {
  return llvm::StringSwitch<std::optional<PointwiseOp>>(kind)
      .Case("neg", PointwiseOp::Neg)
      .Case("abs", PointwiseOp::Abs)
      .Case("exp", PointwiseOp::Exp)
      .Case("log", PointwiseOp::Log)
      .Case("sqrt", PointwiseOp::Sqrt)
      .Case("rsqrt", PointwiseOp::Rsqrt)
      .Case("reciprocal", PointwiseOp::Reciprocal)
      .Case("sin", PointwiseOp::Sin)
      .Case("cos", PointwiseOp::Cos)
      .Case("tan", PointwiseOp::Tan)
      .Case("tanh", PointwiseOp::Tanh)
      .Case("erf", PointwiseOp::Erf)
      .Case("sigmoid", PointwiseOp::Sigmoid)
      .Case("relu", PointwiseOp::Relu)
      .Case("silu", PointwiseOp::Silu)
      .Case("gelu_erf", PointwiseOp::GeluErf)
      .Case("gelu_tanh", PointwiseOp::GeluTanh)
      .Case("quick_gelu", PointwiseOp::QuickGelu)
      .Case("floor", PointwiseOp::Floor)
      .Case("ceil", PointwiseOp::Ceil)
      .Case("round", PointwiseOp::Round)
      .Case("not", PointwiseOp::Not)
      .Case("is_nan", PointwiseOp::IsNan)
      .Case("is_inf", PointwiseOp::IsInf)
      .Case("sign", PointwiseOp::Sign)
      .Case("softplus", PointwiseOp::Softplus)
      .Case("square", PointwiseOp::Square)
      .Default(std::nullopt);
}

static std::optional<PointwiseOp> binaryKind(StringRef kind) {
  return llvm::StringSwitch<std::optional<PointwiseOp>>(kind)
      .Case("add", PointwiseOp::Add)
      .Case("sub", PointwiseOp::Sub)
      .Case("mul", PointwiseOp::Mul)
      .Case("div", PointwiseOp::Div)
      .Case("pow", PointwiseOp::Pow)
      .Case("min", PointwiseOp::Min)
      .Case("max", PointwiseOp::Max)
      .Case("mod", PointwiseOp::Mod)
      .Case("fmod", PointwiseOp::FMod)
      .Case("and", PointwiseOp::And)
      .Case("or", PointwiseOp::Or)
      .Case("xor", PointwiseOp::Xor)
      .Case("eq", PointwiseOp::Eq)
      .Case("lt", PointwiseOp::Lt)
      .Case("le", PointwiseOp::Le)
      .Case("gt", PointwiseOp::Gt)
      .Case("ge", PointwiseOp::Ge)
      .Case("ne", PointwiseOp::Ne)
      .Default(std::nullopt);
}

/// See KernelId::Pointwise.
enum class DTypeClass : uint8_t { F32 = 0, F64 = 1, Integer = 2, Bool = 3 };

static DTypeClass classOf(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (element.isF64()) {
    return DTypeClass::F64;
  }
  if (isa<FloatType>(element)) {
    return DTypeClass::F32;
  }
  return element.isInteger(1) ? DTypeClass::Bool : DTypeClass::Integer;
}

/// A program under construction. Registers are the inputs, then one per
/// instruction, so all inputs are declared before the first instruction.
class Program {
public:
  /// Declares what `outer` (an operand of the op) is called inside: an input
  /// or, for a splat, a constant.
  LogicalResult declare(EntryLowering &lowering, Operation *user, Value outer,
                        Value inner) {
    if (DenseElementsAttr splat = EntryLowering::splatOf(outer)) {
      splats.push_back({inner, splat});
      return success();
    }
    FailureOr<View> view = lowering.operand(user, outer);
    if (failed(view)) {
      return failure();
    }
    registers[inner] = static_cast<int64_t>(inputs.size());
    inputs.push_back(read(*view));
    return success();
  }

  void startInstructions() {
    for (auto &[value, splat] : splats) {
      registers[value] = constant(splat);
    }
  }

  LogicalResult append(Operation *op) {
    std::optional<PointwiseOp> code;
    if (auto unary = dyn_cast<graph::UnaryOp>(op)) {
      code = unaryKind(unary.getKind());
    } else if (auto binary = dyn_cast<graph::BinaryOp>(op)) {
      code = binaryKind(binary.getKind());
    } else if (isa<graph::SelectOp>(op)) {
      code = PointwiseOp::Select;
    } else if (isa<graph::CastOp>(op)) {
      code = PointwiseOp::Cast;
    } else if (auto constantOp = dyn_cast<graph::ConstantOp>(op)) {
      auto dense = dyn_cast<DenseElementsAttr>(constantOp.getValue());
      if (!dense || !dense.isSplat()) {
        return op->emitOpError("is not a splat constant");
      }
      registers[op->getResult(0)] = constant(dense);
      return success();
    }
    if (!code) {
      return op->emitOpError("cannot be part of a pointwise program");
    }
    int64_t operands[3] = {0, 0, 0};
    for (auto [index, value] : llvm::enumerate(op->getOperands())) {
      auto it = registers.find(value);
      if (it == registers.end() || index >= 3) {
        return op->emitOpError("has an operand from outside of its region");
      }
      operands[index] = it->second;
    }
    registers[op->getResult(0)] =
        emit(*code, classOf(op->getResult(0).getType()), operands[0],
             operands[1], operands[2]);
    return success();
  }

  /// The last instruction is what is stored.
  void finish(Value yielded) {
    int64_t reg = registers.lookup(yielded);
    if (instructions.empty() || reg != nextRegister() - 1) {
      emit(PointwiseOp::Cast, classOf(yielded.getType()), reg, 0, 0);
    }
  }

  SmallVector<Use> inputs;

  Numbers numbers() const {
    Numbers out;
    out.ints = {static_cast<int64_t>(inputs.size()),
                static_cast<int64_t>(instructions.size() / 5)};
    out.ints.insert(out.ints.end(), instructions.begin(), instructions.end());
    out.floats = floats;
    return out;
  }

private:
  int64_t nextRegister() const {
    return static_cast<int64_t>(inputs.size() + instructions.size() / 5);
  }

  int64_t emit(PointwiseOp code, DTypeClass type, int64_t a, int64_t b,
               int64_t c) {
    int64_t reg = nextRegister();
    for (int64_t value :
         {static_cast<int64_t>(code), static_cast<int64_t>(type), a, b, c}) {
      instructions.push_back(value);
    }
    return reg;
  }

  int64_t constant(DenseElementsAttr splat) {
    DTypeClass type = classOf(splat.getType());
    if (isa<FloatType>(splat.getElementType())) {
      bool losesInfo = false;
      APFloat value = splat.getSplatValue<APFloat>();
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                    &losesInfo);
      floats.push_back(value.convertToDouble());
      return emit(PointwiseOp::Const, type,
                  static_cast<int64_t>(floats.size()) - 1, 0, 0);
    }
    APInt value = splat.getSplatValue<APInt>();
    auto integer = cast<IntegerType>(splat.getElementType());
    bool zeroExtend = integer.isUnsigned() || integer.getWidth() == 1;
    return emit(PointwiseOp::Const, type,
                zeroExtend ? static_cast<int64_t>(value.getZExtValue())
                           : value.getSExtValue(),
                0, 0);
  }

  DenseMap<Value, int64_t> registers;
  SmallVector<std::pair<Value, DenseElementsAttr>> splats;
  std::vector<int64_t> instructions;
  std::vector<double> floats;
};

LogicalResult EntryLowering::lowerPointwise(Operation *op) {
  // A cast between types that the plan keeps in the same one moves nothing.
  if (isa<graph::CastOp>(op) && !splatOf(op->getOperand(0))) {
    FailureOr<View> in = operand(op, op->getOperand(0));
    std::optional<plan::DType> target = toDType(
        cast<RankedTensorType>(op->getResult(0).getType()).getElementType());
    if (failed(in)) {
      return failure();
    }
    if (target && in->dtype == widened(*target) && !in->panel64) {
      views[op->getResult(0)] = *in;
      return success();
    }
  }
  Program program;
  llvm::SmallDenseSet<Value, 4> seen;
  for (Value value : op->getOperands()) {
    if (seen.insert(value).second &&
        failed(program.declare(*this, op, value, value))) {
      return failure();
    }
  }
  program.startInstructions();
  if (failed(program.append(op))) {
    return failure();
  }
  program.finish(op->getResult(0));
  FailureOr<View> out = result(op->getResult(0));
  if (failed(out)) {
    return failure();
  }
  Numbers numbers = program.numbers();
  program.inputs.push_back(write(*out));
  return launch(op, plan::KernelId::Pointwise, program.inputs,
                std::move(numbers));
}

LogicalResult EntryLowering::lowerFused(graph::FusedOp op) {
  Program program;
  Block &body = op.getBody().front();
  for (auto [outer, inner] :
       llvm::zip_equal(op.getInputs(), body.getArguments())) {
    if (failed(program.declare(*this, op, outer, inner))) {
      return failure();
    }
  }
  program.startInstructions();
  for (Operation &inner : body.without_terminator()) {
    if (failed(program.append(&inner))) {
      return failure();
    }
  }
  program.finish(cast<graph::YieldOp>(body.getTerminator()).getValue());
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  Numbers numbers = program.numbers();
  program.inputs.push_back(write(*out));
  return launch(op, plan::KernelId::Pointwise, program.inputs,
                std::move(numbers));
}

} // namespace llmc::lowering
