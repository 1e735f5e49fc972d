//===- Elementwise.cpp - Element-wise operators ---------------------------===//

#include "compiler/import/NodeContext.h"

#include <cmath>
#include <limits>

namespace llmc::import {

namespace {

/// The graph.unary or graph.binary kind of an operator that is exactly one.
const char *kindOf(const std::string &op) {
  static const std::pair<const char *, const char *> kinds[] = {
      {"Abs", "abs"},
      {"Neg", "neg"},
      {"Exp", "exp"},
      {"Log", "log"},
      {"Sqrt", "sqrt"},
      {"Reciprocal", "reciprocal"},
      {"Sin", "sin"},
      {"Cos", "cos"},
      {"Tan", "tan"},
      {"Tanh", "tanh"},
      {"Erf", "erf"},
      {"Sigmoid", "sigmoid"},
      {"Relu", "relu"},
      {"Floor", "floor"},
      {"Ceil", "ceil"},
      {"Round", "round"},
      {"Not", "not"},
      {"IsNaN", "is_nan"},
      {"Sign", "sign"},
      {"Softplus", "softplus"},
      {"Add", "add"},
      {"Sub", "sub"},
      {"Mul", "mul"},
      {"Div", "div"},
      {"Pow", "pow"},
      {"And", "and"},
      {"Or", "or"},
      {"Xor", "xor"},
      {"Equal", "eq"},
      {"Less", "lt"},
      {"LessOrEqual", "le"},
      {"Greater", "gt"},
      {"GreaterOrEqual", "ge"},
      {"Min", "min"},
      {"Max", "max"},
      {"BitwiseAnd", "and"},
      {"BitwiseOr", "or"},
      {"BitwiseXor", "xor"},
  };
  for (auto [name, kind] : kinds) {
    if (op == name) {
      return kind;
    }
  }
  return "";
}

bool importUnary(NodeContext &n) {
  return n.out(n.emit.unary(kindOf(n.node.op_type()), n.in(0)));
}

bool importBinary(NodeContext &n) {
  return n.out(n.emit.binary(kindOf(n.node.op_type()), n.in(0), n.in(1)));
}

/// Min, Max, Sum, Mean of any number of operands.
bool importVariadic(NodeContext &n) {
  std::string op = n.node.op_type();
  bool sum = op == "Sum" || op == "Mean";
  Val result = n.in(0);
  for (size_t i = 1; i < n.numInputs(); ++i) {
    result = n.emit.binary(sum ? "add" : kindOf(op), result, n.in(i));
  }
  if (op == "Mean" && result) {
    result = n.emit.binary("div", result,
                           n.emit.scalar(result->type, n.numInputs()));
  }
  return n.out(result);
}

bool importMod(NodeContext &n) {
  return n.out(
      n.emit.binary(n.integer("fmod", 0) ? "fmod" : "mod", n.in(0), n.in(1)));
}

bool importIsInf(NodeContext &n) {
  bool positive = n.integer("detect_positive", 1) != 0;
  bool negative = n.integer("detect_negative", 1) != 0;
  Val x = n.in(0);
  if (positive && negative) {
    return n.out(n.emit.unary("is_inf", x));
  }
  if (!positive && !negative) {
    return n.out(n.emit.splat(DataType::Bool, x->dims, 0));
  }
  double infinity = std::numeric_limits<double>::infinity();
  return n.out(n.emit.binary(
      "eq", x, n.emit.scalar(x->type, positive ? infinity : -infinity)));
}

bool importWhere(NodeContext &n) {
  return n.out(n.emit.select(n.in(0), n.in(1), n.in(2)));
}

bool importCast(NodeContext &n) {
  auto type = static_cast<DataType>(n.integer("to", 0));
  if (!isSupported(type)) {
    return n.fail("element type " + name(type) + " is not supported");
  }
  return n.out(n.emit.cast(n.in(0), type));
}

bool importCastLike(NodeContext &n) {
  return n.out(n.emit.cast(n.in(0), n.in(1)->type));
}

bool importIdentity(NodeContext &n) { return n.out(n.in(0)); }

/// At inference it passes its input on; the mask is all true.
bool importDropout(NodeContext &n) {
  if (n.wants(1)) {
    n.out(1, n.emit.splat(DataType::Bool, n.in(0)->dims, 1));
  }
  return n.out(n.in(0));
}

/// Bounds as attributes (6) or inputs (11).
bool importClip(NodeContext &n) {
  Val x = n.in(0);
  Val low = n.in(1), high = n.in(2);
  if (n.attribute("min")) {
    low = n.emit.scalar(x->type, n.number("min", 0));
  }
  if (n.attribute("max")) {
    high = n.emit.scalar(x->type, n.number("max", 0));
  }
  x = low ? n.emit.binary("max", x, low) : x;
  x = high ? n.emit.binary("min", x, high) : x;
  return n.out(x);
}

bool importGelu(NodeContext &n) {
  bool tanh = n.text("approximate", "none") == "tanh";
  return n.out(n.emit.unary(tanh ? "gelu_tanh" : "gelu_erf", n.in(0)));
}

/// x * sigmoid(alpha * x)
bool importSwish(NodeContext &n) {
  double alpha = n.number("alpha", 1.0);
  Val x = n.in(0);
  if (alpha == 1.0) {
    return n.out(n.emit.unary("silu", x));
  }
  Val scaled = n.emit.mul(x, n.emit.scalar(x->type, alpha));
  return n.out(n.emit.mul(x, n.emit.unary("sigmoid", scaled)));
}

bool importLeakyRelu(NodeContext &n) {
  Val x = n.in(0);
  Val zero = n.emit.scalar(x->type, 0);
  Val slope = n.emit.scalar(x->type, n.number("alpha", 0.01));
  return n.out(
      n.emit.select(n.emit.binary("lt", x, zero), n.emit.mul(x, slope), x));
}

bool importPRelu(NodeContext &n) {
  Val x = n.in(0);
  return n.out(n.emit.select(n.emit.binary("lt", x, n.emit.scalar(x->type, 0)),
                             n.emit.mul(x, n.in(1)), x));
}

/// Elu, Selu, Celu: scale * (x > 0 ? x : alpha * (exp(x / divisor) - 1)).
bool importElu(NodeContext &n) {
  Val x = n.in(0);
  std::string op = n.node.op_type();
  double alpha =
      n.number("alpha", op == "Selu" ? 1.67326319217681884765625 : 1.0);
  double gamma =
      op == "Selu" ? n.number("gamma", 1.05070102214813232421875) : 1.0;
  auto constant = [&](double value) { return n.emit.scalar(x->type, value); };
  Val inner = op == "Celu" ? n.emit.binary("div", x, constant(alpha)) : x;
  Val low =
      n.emit.mul(n.emit.binary("sub", n.emit.unary("exp", inner), constant(1)),
                 constant(alpha));
  Val result = n.emit.select(n.emit.binary("gt", x, constant(0)), x, low);
  return n.out(gamma == 1.0 ? result : n.emit.mul(result, constant(gamma)));
}

/// max(0, min(1, alpha * x + beta)); HardSwish multiplies it by x.
bool importHardSigmoid(NodeContext &n) {
  Val x = n.in(0);
  bool swish = n.node.op_type() == "HardSwish";
  auto constant = [&](double value) { return n.emit.scalar(x->type, value); };
  Val y = n.emit.mul(x, constant(swish ? 1.0 / 6 : n.number("alpha", 0.2)));
  y = n.emit.add(y, constant(swish ? 0.5 : n.number("beta", 0.5)));
  y = n.emit.binary("max", constant(0), n.emit.binary("min", constant(1), y));
  return n.out(swish ? n.emit.mul(x, y) : y);
}

bool importSoftsign(NodeContext &n) {
  Val x = n.in(0);
  Val below = n.emit.add(n.emit.scalar(x->type, 1), n.emit.unary("abs", x));
  return n.out(n.emit.binary("div", x, below));
}

bool importMish(NodeContext &n) {
  Val x = n.in(0);
  return n.out(
      n.emit.mul(x, n.emit.unary("tanh", n.emit.unary("softplus", x))));
}

const Handler table[] = {
    {"", "Abs", 1, importUnary},
    {"", "Neg", 1, importUnary},
    {"", "Exp", 1, importUnary},
    {"", "Log", 1, importUnary},
    {"", "Sqrt", 1, importUnary},
    {"", "Reciprocal", 1, importUnary},
    {"", "Sin", 1, importUnary},
    {"", "Cos", 1, importUnary},
    {"", "Tan", 1, importUnary},
    {"", "Tanh", 1, importUnary},
    {"", "Erf", 1, importUnary},
    {"", "Sigmoid", 1, importUnary},
    {"", "Relu", 1, importUnary},
    {"", "Floor", 1, importUnary},
    {"", "Ceil", 1, importUnary},
    {"", "Round", 1, importUnary},
    {"", "Not", 1, importUnary},
    {"", "IsNaN", 1, importUnary},
    {"", "Sign", 1, importUnary},
    {"", "Softplus", 1, importUnary},
    {"", "IsInf", 1, importIsInf},
    {"", "Add", 7, importBinary, 2},
    {"", "Sub", 7, importBinary, 2},
    {"", "Mul", 7, importBinary, 2},
    {"", "Div", 7, importBinary, 2},
    {"", "Pow", 7, importBinary, 2},
    {"", "And", 7, importBinary, 2},
    {"", "Or", 7, importBinary, 2},
    {"", "Xor", 7, importBinary, 2},
    {"", "BitwiseAnd", 18, importBinary, 2},
    {"", "BitwiseOr", 18, importBinary, 2},
    {"", "BitwiseXor", 18, importBinary, 2},
    {"", "Equal", 7, importBinary, 2},
    {"", "Less", 7, importBinary, 2},
    {"", "LessOrEqual", 7, importBinary, 2},
    {"", "Greater", 7, importBinary, 2},
    {"", "GreaterOrEqual", 7, importBinary, 2},
    {"", "Min", 6, importVariadic},
    {"", "Max", 6, importVariadic},
    {"", "Sum", 6, importVariadic},
    {"", "Mean", 6, importVariadic},
    {"", "Mod", 10, importMod, 2},
    {"", "Where", 9, importWhere, 3},
    {"", "Cast", 6, importCast},
    {"", "CastLike", 15, importCastLike, 2},
    {"", "Identity", 1, importIdentity},
    {"", "Dropout", 7, importDropout},
    {"", "Clip", 6, importClip},
    {"", "Gelu", 20, importGelu},
    {"", "Swish", 24, importSwish},
    {"", "LeakyRelu", 6, importLeakyRelu},
    {"", "PRelu", 7, importPRelu, 2},
    {"", "Elu", 6, importElu},
    {"", "Selu", 6, importElu},
    {"", "Celu", 12, importElu},
    {"", "HardSigmoid", 6, importHardSigmoid},
    {"", "HardSwish", 14, importHardSigmoid},
    {"", "Softsign", 1, importSoftsign},
    {"", "Mish", 18, importMish},
};

} // namespace

std::span<const Handler> elementwiseHandlers() { return table; }

} // namespace llmc::import
