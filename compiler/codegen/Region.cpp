//===- Region.cpp - What a generated function computes --------------------===//

#include "compiler/codegen/Region.h"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace llmc::codegen {

using plan::DType;
using plan::PointwiseOp;

namespace {

struct OpInfo {
  PointwiseOp op;
  const char *name;
  int operands;
  int cost; // nanoseconds per 1024 elements on one core
};

/// What EmitRegion.cpp knows how to build.
constexpr OpInfo kOps[] = {{PointwiseOp::Const, "const", 0, 0},
                           {PointwiseOp::Cast, "cast", 1, 10},
                           {PointwiseOp::Neg, "neg", 1, 20},
                           {PointwiseOp::Abs, "abs", 1, 20},
                           {PointwiseOp::Exp, "exp", 1, 300},
                           {PointwiseOp::Log, "log", 1, 300},
                           {PointwiseOp::Sqrt, "sqrt", 1, 200},
                           {PointwiseOp::Rsqrt, "rsqrt", 1, 300},
                           {PointwiseOp::Reciprocal, "reciprocal", 1, 150},
                           {PointwiseOp::Sin, "sin", 1, 700},
                           {PointwiseOp::Cos, "cos", 1, 700},
                           {PointwiseOp::Tanh, "tanh", 1, 500},
                           {PointwiseOp::Erf, "erf", 1, 500},
                           {PointwiseOp::Sigmoid, "sigmoid", 1, 500},
                           {PointwiseOp::Relu, "relu", 1, 20},
                           {PointwiseOp::Silu, "silu", 1, 500},
                           {PointwiseOp::GeluErf, "gelu_erf", 1, 700},
                           {PointwiseOp::GeluTanh, "gelu_tanh", 1, 700},
                           {PointwiseOp::QuickGelu, "quick_gelu", 1, 500},
                           {PointwiseOp::Floor, "floor", 1, 20},
                           {PointwiseOp::Ceil, "ceil", 1, 20},
                           {PointwiseOp::Round, "round", 1, 20},
                           {PointwiseOp::Not, "not", 1, 20},
                           {PointwiseOp::IsNan, "is_nan", 1, 20},
                           {PointwiseOp::IsInf, "is_inf", 1, 20},
                           {PointwiseOp::Sign, "sign", 1, 40},
                           {PointwiseOp::Softplus, "softplus", 1, 800},
                           {PointwiseOp::Square, "square", 1, 20},
                           {PointwiseOp::Add, "add", 2, 20},
                           {PointwiseOp::Sub, "sub", 2, 20},
                           {PointwiseOp::Mul, "mul", 2, 20},
                           {PointwiseOp::Div, "div", 2, 150},
                           {PointwiseOp::Pow, "pow", 2, 100},
                           {PointwiseOp::Min, "min", 2, 40},
                           {PointwiseOp::Max, "max", 2, 40},
                           {PointwiseOp::And, "and", 2, 20},
                           {PointwiseOp::Or, "or", 2, 20},
                           {PointwiseOp::Xor, "xor", 2, 20},
                           {PointwiseOp::Eq, "eq", 2, 20},
                           {PointwiseOp::Lt, "lt", 2, 20},
                           {PointwiseOp::Le, "le", 2, 20},
                           {PointwiseOp::Gt, "gt", 2, 20},
                           {PointwiseOp::Ge, "ge", 2, 20},
                           {PointwiseOp::Ne, "ne", 2, 20},
                           {PointwiseOp::Select, "select", 3, 40}};

const OpInfo *infoOf(int64_t op) {
  for (const OpInfo &info : kOps) {
    if (static_cast<int64_t>(info.op) == op) {
      return &info;
    }
  }
  return nullptr;
}

bool isStored(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16 ||
         type == DType::Bool;
}

bool isCompare(PointwiseOp op) {
  return op >= PointwiseOp::Eq && op <= PointwiseOp::Ne;
}

/// Which dimensions of the space an input moves along: those that it has, and
/// of the space's ones any. Nothing if that does not follow from the
/// expressions.
std::optional<int64_t> maskOf(const plan::EntryBounds &bounds,
                              const plan::Operand &in,
                              const plan::Operand &out) {
  auto isOne = [&](uint32_t expr) {
    return bounds[expr].lower == 1 && bounds[expr].upper == 1;
  };
  int64_t mask = 0;
  size_t missing = out.dims.size() - in.dims.size();
  if (in.dims.size() > out.dims.size()) {
    return std::nullopt;
  }
  for (size_t d = missing; d < out.dims.size(); ++d) {
    uint32_t mine = in.dims[d - missing], wanted = out.dims[d];
    if (isOne(mine)) {
      continue; // it repeats, or there is nothing to move along
    }
    bool same = bounds.same(mine, wanted) ||
                (bounds[mine].lower == bounds[mine].upper &&
                 bounds[wanted].lower == bounds[wanted].upper &&
                 bounds[mine].lower == bounds[wanted].lower);
    if (!same) {
      return std::nullopt;
    }
    mask |= int64_t(1) << d;
  }
  return mask;
}

/// Dimensions of one element get the bits of a neighbour, so that they do not
/// stand between dimensions that can be walked as one.
void joinOnes(const plan::EntryBounds &bounds, const plan::Operand &out,
              std::vector<int64_t> &masks) {
  auto isOne = [&](size_t d) {
    return bounds[out.dims[d]].lower == 1 && bounds[out.dims[d]].upper == 1;
  };
  auto copyBits = [&](size_t from, size_t to) {
    for (int64_t &mask : masks) {
      int64_t bit = mask >> from & 1;
      mask = (mask & ~(int64_t(1) << to)) | bit << to;
    }
  };
  // From the last dimension with elements forwards, then what lies behind it.
  size_t rank = out.dims.size();
  size_t last = rank;
  for (size_t d = rank; d-- > 0;) {
    if (!isOne(d)) {
      last = d;
      break;
    }
  }
  if (last == rank) {
    return;
  }
  for (size_t d = last + 1; d < rank; ++d) {
    copyBits(last, d);
  }
  size_t known = last;
  for (size_t d = last; d-- > 0;) {
    if (isOne(d)) {
      copyBits(known, d);
    } else {
      known = d;
    }
  }
}

std::string textOf(const Region &region) {
  std::string text;
  const plan::CodeFunction &signature = region.signature;
  for (size_t i = 0; i < signature.operands.size(); ++i) {
    const plan::CodeOperand &operand = signature.operands[i];
    text += i == 0 ? "" : i == signature.numInputs ? " -> " : ", ";
    text += std::string(name(operand.dtype)) + (operand.step ? "[]" : "");
  }
  for (const Instruction &instruction : region.instructions) {
    const OpInfo *info = infoOf(static_cast<int64_t>(instruction.op));
    text += std::string("; ") + info->name + (instruction.isBool ? ".b" : "");
    if (instruction.op == PointwiseOp::Const) {
      // Bits as well as digits: equal texts are equal values.
      char digits[64];
      std::snprintf(
          digits, sizeof(digits), " %.9g:%08x", instruction.value,
          std::bit_cast<uint32_t>(static_cast<float>(instruction.value)));
      text += digits;
    }
    for (int i = 0; i < info->operands; ++i) {
      text += " " + std::to_string(instruction.operands[i]);
    }
  }
  return text;
}

} // namespace

std::variant<RegionLaunch, std::string>
regionOf(const plan::EntryBounds &bounds, const plan::Step &step) {
  RegionLaunch launch;
  Region &region = launch.region;
  auto inputs = static_cast<size_t>(step.ints[0]);
  auto instructions = static_cast<size_t>(step.ints[1]);
  if (inputs + 1 > plan::kMaxCodeOperands) {
    return "more than " + std::to_string(plan::kMaxCodeOperands) + " operands";
  }
  const plan::Operand &out = step.operands[inputs];
  for (const plan::Operand &operand : step.operands) {
    if (!isStored(operand.dtype)) {
      return "an operand is " + std::string(name(operand.dtype)) +
             "; f32, f16, bf16 and bool are generated";
    }
    if (operand.packing != plan::Packing::Raw) {
      return std::string("an operand is packed");
    }
  }
  for (size_t i = 0; i < inputs; ++i) {
    std::optional<int64_t> mask = maskOf(bounds, step.operands[i], out);
    if (!mask) {
      return "the dimensions of operand " + std::to_string(i) +
             " are not known to be those of the result";
    }
    launch.masks.push_back(*mask);
  }
  joinOnes(bounds, out, launch.masks);
  for (size_t i = 0; i <= inputs; ++i) {
    bool moves =
        i == inputs ||
        (!out.dims.empty() && (launch.masks[i] >> (out.dims.size() - 1) & 1));
    region.signature.operands.push_back(
        {step.operands[i].dtype, static_cast<uint8_t>(moves ? 1 : 0)});
  }
  region.signature.numInputs = static_cast<uint8_t>(inputs);

  constexpr int64_t kF32 = 0, kBool = 3;
  std::vector<bool> isBool;
  for (size_t i = 0; i < inputs; ++i) {
    isBool.push_back(step.operands[i].dtype == DType::Bool);
  }
  region.cost = 60 * static_cast<int64_t>(inputs + 1);
  for (size_t i = 0; i < instructions; ++i) {
    const int64_t *code = &step.ints[2 + 5 * i];
    const OpInfo *info = infoOf(code[0]);
    if (!info) {
      auto op = static_cast<PointwiseOp>(code[0]);
      return (op == PointwiseOp::Tan   ? "tan"
              : op == PointwiseOp::Mod ? "mod"
              : op == PointwiseOp::FMod
                  ? "fmod"
                  : "operation " + std::to_string(code[0])) +
             std::string(" is not generated");
    }
    if (code[1] != kF32 && code[1] != kBool) {
      return std::string(info->name) + " works in " +
             (code[1] == 1 ? "f64" : "integers");
    }
    Instruction instruction;
    instruction.op = info->op;
    instruction.isBool = code[1] == kBool;
    for (int r = 0; r < info->operands; ++r) {
      instruction.operands[r] = static_cast<int>(code[2 + r]);
    }
    if (info->op == PointwiseOp::Const) {
      instruction.value = instruction.isBool
                              ? double(code[2] != 0)
                              : step.floats[static_cast<size_t>(code[2])];
    }
    bool makesBool =
        isCompare(info->op) || info->op == PointwiseOp::IsNan ||
        info->op == PointwiseOp::IsInf || info->op == PointwiseOp::Not ||
        info->op == PointwiseOp::And || info->op == PointwiseOp::Or ||
        info->op == PointwiseOp::Xor;
    bool eitherWay =
        info->op == PointwiseOp::Const || info->op == PointwiseOp::Cast ||
        info->op == PointwiseOp::Select || info->op == PointwiseOp::Add ||
        info->op == PointwiseOp::Mul || info->op == PointwiseOp::Min ||
        info->op == PointwiseOp::Max;
    if (!eitherWay && makesBool != instruction.isBool) {
      return std::string(info->name) + " of this class is not generated";
    }
    if (info->op == PointwiseOp::Pow) {
      // A power that is known, of the few that are products and roots.
      int exponent = instruction.operands[1] - static_cast<int>(inputs);
      const Instruction *power =
          exponent >= 0 ? &region.instructions[size_t(exponent)] : nullptr;
      constexpr double kKnown[] = {2, 3, 1, 0.5, -1, -0.5};
      if (!power || power->op != PointwiseOp::Const ||
          std::find(std::begin(kKnown), std::end(kKnown), power->value) ==
              std::end(kKnown)) {
        return std::string("pow with this exponent is not generated");
      }
    }
    region.cost += info->cost;
    region.instructions.push_back(instruction);
    isBool.push_back(instruction.isBool);
  }
  region.signature.text = textOf(region);
  return launch;
}

} // namespace llmc::codegen
