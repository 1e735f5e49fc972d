//===- MutationOracle.cpp - Whether a plan does harm, by brute force ------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/tools/MutationOracle.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

using namespace llmc::plan;

namespace llmc::mutation {

namespace {

/// Thrown by the first harm found.
struct Harm {
  std::string why, where;
};

/// Bytes [begin, end) of a buffer.
struct Piece {
  uint32_t buffer;
  uint64_t begin, end;
  bool write;
  size_t operand;
};

using Values = std::vector<int64_t>;

int64_t floorDivide(int64_t a, int64_t b) {
  int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

/// The values of an entry's expressions for these symbols.
Values evaluate(const Entry &entry, const Values &symbols) {
  Values out;
  for (const ExprNode &e : entry.exprs) {
    int64_t a = e.op > ExprOp::Symbol ? out[e.a] : 0;
    int64_t b = e.op > ExprOp::Symbol ? out[e.b] : 0;
    int64_t v = 0;
    bool bad = false;
    switch (e.op) {
    case ExprOp::Constant:
      v = e.value;
      break;
    case ExprOp::Symbol:
      v = symbols[e.a];
      break;
    case ExprOp::Add:
      bad = __builtin_add_overflow(a, b, &v);
      break;
    case ExprOp::Mul:
      bad = __builtin_mul_overflow(a, b, &v);
      break;
    case ExprOp::FloorDiv:
    case ExprOp::CeilDiv:
    case ExprOp::Mod:
      bad = b <= 0;
      if (!bad) {
        int64_t q = floorDivide(a, b);
        v = e.op == ExprOp::FloorDiv  ? q
            : e.op == ExprOp::CeilDiv ? q + int64_t(q * b != a)
                                      : a - q * b;
      }
      break;
    case ExprOp::Min:
      v = std::min(a, b);
      break;
    case ExprOp::Max:
      v = std::max(a, b);
      break;
    }
    if (bad) {
      throw Harm{"an expression overflows or divides by zero", entry.name};
    }
    out.push_back(v);
  }
  return out;
}

/// Operands that a kernel takes before its results, as KernelId.h lists them;
/// nullopt: a kernel that this oracle does not know in detail.
std::optional<size_t> inputsOf(const Step &step) {
  auto flag = [&](size_t i) -> size_t {
    return i < step.ints.size() && step.ints[i] != 0;
  };
  switch (step.kernel) {
  case KernelId::Pointwise:
    return step.ints.empty() || step.ints[0] < 0 || step.ints[0] > 64
               ? 64 // the kernel refuses
               : size_t(step.ints[0]);
  case KernelId::Generated:
    return step.ints.size() < 3 || step.ints[1] < 0 || step.ints[1] > 64
               ? 64
               : size_t(step.ints[1]);
  case KernelId::Linear:
    return 2 + flag(0);
  case KernelId::LinearAdd:
    return 3 + flag(0);
  case KernelId::LinearGated:
    return 2;
  case KernelId::LinearSplit:
    return 2 + flag(0);
  case KernelId::LinearQuant:
    return 3 + flag(4) + flag(5) + flag(6);
  case KernelId::MatMulInteger:
    return 2 + flag(0) + flag(1);
  case KernelId::DequantizeLinear:
  case KernelId::QuantizeLinear:
    return 2 + flag(2);
  case KernelId::LayerNorm:
    return 1 + flag(1) + flag(2);
  case KernelId::RmsNorm:
    return 1 + flag(1);
  case KernelId::Attention: // before the result of a last part, the carry
    return 3 + flag(4) + flag(5) +
           (step.ints.size() == 13 ? flag(12) : size_t{0});
  case KernelId::Conv:
    return 2 + flag(2);
  case KernelId::GatherQuant:
    return 3 + flag(4);
  case KernelId::Fill:
  case KernelId::Iota:
    return 0;
  case KernelId::MatMul:
  case KernelId::Gather:
  case KernelId::GatherElements:
  case KernelId::GatherND:
    return 2;
  case KernelId::Rope:
  case KernelId::ScatterND:
  case KernelId::ScatterElements:
    return 3;
  case KernelId::DynamicQuantizeLinear:
  case KernelId::Reduce:
  case KernelId::ArgReduce:
  case KernelId::Softmax:
  case KernelId::KvAppend:
  case KernelId::KvRead:
  case KernelId::StridedCopy:
  case KernelId::CumSum:
  case KernelId::TopK:
  case KernelId::Cast:
    return 1;
  default:
    return std::nullopt;
  }
}

size_t resultsOf(const Step &step) {
  switch (step.kernel) {
  case KernelId::DynamicQuantizeLinear:
    return 3;
  case KernelId::TopK:
    return 2;
  case KernelId::LinearSplit: // one per part, which the kernel compares
    return step.ints.size() < 3 || step.ints[2] < 1 || step.ints[2] > 8
               ? 9
               : size_t(step.ints[2]);
  default:
    return 1;
  }
}

bool overwrites(KernelId kernel, size_t operand) {
  static const std::set<KernelId> first = {
      KernelId::Softmax, KernelId::LayerNorm, KernelId::RmsNorm,
      KernelId::Rope,    KernelId::Attention, KernelId::CumSum,
      KernelId::Cast,    KernelId::ScatterND, KernelId::ScatterElements};
  return kernel == KernelId::Pointwise || kernel == KernelId::Generated ||
         (operand == 0 && first.count(kernel) != 0) ||
         (operand == 2 && kernel == KernelId::LinearAdd);
}

class Simulation {
public:
  Simulation(const Plan &plan, uint32_t index)
      : plan(plan), index(index), entry(plan.entries[index]) {}

  void orderSteps();
  void run(const Values &symbols);

private:
  [[noreturn]] void harm(const char *why, const std::string &where) const {
    std::string at = "entry " + entry.name + ", " + where + ";";
    for (size_t i = 0; i < entry.symbols.size() && i < symbolValues.size();
         ++i) {
      at += " " + entry.symbols[i].name + " " + std::to_string(symbolValues[i]);
    }
    throw Harm{why, at};
  }
  std::string stepName(size_t i) const {
    return "step " + std::to_string(i) + " '" + entry.steps[i].name + "'";
  }
  uint64_t denseBytes(const Operand &operand) const;
  uint64_t elements(const std::vector<uint32_t> &dims) const;
  bool pieces(size_t step, std::vector<Piece> &out) const;
  bool copyPieces(const Step &step, std::vector<Piece> &out) const;
  bool statePieces(const Step &step, std::vector<Piece> &out) const;
  /// Of `slices` equal parts of the outer dimensions the one of that index.
  void tokens(uint32_t buffer, const std::vector<int64_t> &dims,
              size_t tokenAxis, int64_t block, int64_t width, int64_t from,
              int64_t to, bool write, size_t operand, std::vector<Piece> &out,
              int64_t slice = 0, int64_t slices = 1) const;
  bool attentionPieces(const Step &step, std::vector<Piece> &out) const;
  bool generatedFits(const Step &step, size_t index) const;
  /// Where a token of a state with `ring` lies.
  static int64_t placeOf(int64_t token, int64_t block, int64_t sinkBlocks,
                         int64_t ringBlocks);
  bool moves(const Step &step, uint64_t &begin, uint64_t &end) const;
  void move(size_t index);
  void appended(const Step &step);
  void seen(size_t index);
  void swap(size_t index);
  void load();
  void fillInputs();
  void forgetDead(size_t step);
  void readPiece(const Piece &piece, const std::string &where);
  void writePiece(const Piece &piece, const std::string &where,
                  bool lasts = false);
  void hazards(size_t step, const std::vector<Piece> &all) const;
  void finish();
  void loadCarried();
  void finishCarried();

  const Plan &plan;
  uint32_t index;
  const Entry &entry;
  Values symbolValues, values;
  int64_t past = 0;
  // Per byte of the device: the buffer it was written for, plus one; whether
  // it must outlive the entry.
  std::vector<uint16_t> owner;
  std::vector<uint8_t> guarded;
  std::vector<uint8_t> dirty; // buffers that own bytes
  std::vector<std::vector<Piece>> stepPieces;

  // Of each spilled state, per token: what lies below is that token.
  std::vector<std::vector<uint8_t>> below;
  /// What a slot holds of a spilled state.
  struct Slot {
    uint32_t state = 0;
    int64_t firstToken = 0;
    std::vector<uint8_t> good; // per token
  };
  std::map<uint32_t, Slot> slots;         // by buffer
  std::vector<std::vector<int64_t>> ring; // of each state: the token per place

  /// A byte of the spill file: the buffer of the disk tier that it was written
  /// for, plus one, and the byte of the activation that it was.
  struct FileByte {
    uint32_t owner = 0;
    uint64_t position = 0;
  };
  std::vector<FileByte> file;
  bool isBefore(size_t i, size_t j) const { // i is done when j starts
    return (before[i][j / 64] >> (j % 64) & 1) != 0;
  }
  std::vector<std::vector<uint64_t>> before; // rows of bits
};

uint64_t Simulation::elements(const std::vector<uint32_t> &dims) const {
  __extension__ using Wide = unsigned __int128;
  Wide n = 1;
  for (uint32_t dim : dims) {
    if (values[dim] < 0) {
      harm("a dimension is negative", "");
    }
    n *= uint64_t(values[dim]);
    if (n > (Wide(1) << 50)) {
      harm("a size overflows", "");
    }
  }
  return uint64_t(n);
}

/// Whether the runtime calls the function at all; harm if that then walks more
/// elements than an input has, or wider ones.
bool Simulation::generatedFits(const Step &step, size_t index) const {
  const auto &functions = plan.code.functions;
  if (step.ints.size() < 5 || step.ints[0] < 0 ||
      step.ints[0] >= int64_t(functions.size())) {
    return false; // the load refuses
  }
  const CodeFunction &function = functions[size_t(step.ints[0])];
  size_t inputs = *inputsOf(step);
  if (step.operands.size() != function.operands.size()) {
    return false; // the kernel compares them
  }
  if (inputs >= step.operands.size() || step.ints.size() < 5 + inputs) {
    harm("the kernel takes operands that are not there", stepName(index));
  }
  const std::vector<uint32_t> &space = step.operands[inputs].dims;
  for (size_t o = 0; o < step.operands.size(); ++o) {
    const Operand &operand = step.operands[o];
    uint64_t walked = 1;
    for (size_t d = 0; d < space.size(); ++d) {
      if (o >= inputs || (step.ints[5 + o] >> d & 1) != 0) {
        walked *= uint64_t(values[space[d]]);
      }
    }
    bool last = !space.empty() && o < inputs &&
                (step.ints[5 + o] >> (space.size() - 1) & 1) == 0;
    // A function that moves along columns where the launch stays.
    if (last && function.operands[o].step != 0) {
      walked *= uint64_t(values[space.back()]);
    }
    if (elements(space) != 0 &&
        walked * bitWidth(function.operands[o].dtype) >
            elements(operand.dims) * bitWidth(operand.dtype)) {
      harm("a generated function walks beyond an operand", stepName(index));
    }
  }
  return true;
}

uint64_t Simulation::denseBytes(const Operand &operand) const {
  uint64_t n = elements(operand.dims);
  if (operand.packing == Packing::Panel64 && operand.dims.size() == 2) {
    n = (uint64_t(values[operand.dims[0]]) + 63) / 64 * 64 *
        uint64_t(values[operand.dims[1]]);
  }
  return (n * bitWidth(operand.dtype) + 7) / 8;
}

void Simulation::tokens(uint32_t buffer, const std::vector<int64_t> &dims,
                        size_t tokenAxis, int64_t block, int64_t width,
                        int64_t from, int64_t to, bool write, size_t operand,
                        std::vector<Piece> &out, int64_t slice,
                        int64_t slices) const {
  int64_t outer = 1, inner = width;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i != tokenAxis) {
      (i < tokenAxis ? outer : inner) *= dims[i];
    }
  }
  int64_t run = outer / slices;
  for (int64_t o = slice * run; o < (slice + 1) * run; ++o) {
    for (int64_t t = from; t < to; ++t) {
      int64_t at = ((t / block * outer + o) * block + t % block) * inner;
      auto begin = uint64_t(at), end = uint64_t(at + inner);
      if (!out.empty() && out.back().buffer == buffer &&
          out.back().operand == operand && out.back().end == begin &&
          out.back().write == write) {
        out.back().end = end;
      } else {
        out.push_back({buffer, begin, end, write, operand});
      }
    }
  }
}

/// KvAppend, KvRead and Attention. False: the kernel refuses.
bool Simulation::statePieces(const Step &step, std::vector<Piece> &out) const {
  auto dims = [&](size_t i) {
    std::vector<int64_t> list;
    for (uint32_t dim : step.operands[i].dims) {
      list.push_back(values[dim]);
    }
    return list;
  };
  auto width = [&](size_t i) {
    return int64_t(bitWidth(step.operands[i].dtype) / 8);
  };
  auto dense = [&](size_t i, bool write) {
    const Operand &operand = step.operands[i];
    out.push_back({operand.buffer, operand.offset,
                   operand.offset + denseBytes(operand), write, i});
  };
  if (step.params.empty() || step.ints.size() < 2) {
    return false;
  }
  int64_t count = values[step.params[0]];
  if (step.kernel == KernelId::Attention &&
      (step.ints.size() == 13 || step.ints.size() == 12)) {
    return attentionPieces(step, out);
  }
  if (step.kernel == KernelId::Attention) {
    if (step.ints.size() < 7 || step.operands.size() < 4) {
      return false;
    }
    bool sliced = step.ints.size() == 10;
    size_t lead = sliced ? 1 : 0;
    auto k = dims(1), v = dims(2);
    if (k.size() != 4 + lead || v.size() != k.size() || count < 0 ||
        count > k[lead + 2] ||
        !std::equal(k.begin(), k.end() - 1, v.begin(), v.end() - 1)) {
      return false;
    }
    int64_t slices = sliced ? step.ints[7] : 1;
    if (sliced && (step.ints[1] == 0 || k[0] != slices)) {
      return false;
    }
    int64_t block =
        step.ints[1] != 0 ? step.ints[6] : std::max<int64_t>(k[lead + 2], 1);
    if (block <= 0) {
      return false;
    }
    for (size_t i : {size_t(1), size_t(2)}) {
      int64_t slice = sliced ? step.ints[7 + i] : 0;
      if (slice < 0 || slice >= slices) {
        return false;
      }
      size_t first = out.size();
      tokens(step.operands[i].buffer, dims(i), lead + 2, block, width(i), 0,
             count, false, i, out, slice, slices);
      for (size_t p = first; p < out.size(); ++p) {
        out[p].begin += step.operands[i].offset;
        out[p].end += step.operands[i].offset;
      }
    }
    size_t last = 3 + size_t(step.ints[4] != 0) + size_t(step.ints[5] != 0);
    for (size_t i = 0; i <= last; ++i) {
      if (i != 1 && i != 2) {
        dense(i, i == last);
      }
    }
    return true;
  }
  bool isAppend = step.kernel == KernelId::KvAppend;
  size_t state = isAppend ? 1 : 0, other = isAppend ? 0 : 1;
  auto s = dims(state), d = dims(other);
  int64_t axis = step.ints[1], block = step.ints[0];
  if (axis < 0 || axis >= int64_t(s.size()) || s.size() != d.size() ||
      block <= 0) {
    return false;
  }
  for (size_t i = 0; i < s.size(); ++i) {
    if (int64_t(i) != axis && s[i] != d[i]) {
      return false;
    }
  }
  int64_t added = d[size_t(axis)], capacity = s[size_t(axis)];
  if (isAppend && (step.ints.size() == 3 || step.ints.size() == 4)) {
    const Operand &into = step.operands[state];
    bool isPart = step.ints.size() == 3;
    int64_t first = isPart ? step.ints[2] : 0;
    int64_t sinks = isPart ? 0 : step.ints[3];
    int64_t places = capacity / block;
    if (count < 0 || first < 0 || first % block != 0 || sinks < 0 ||
        (!isPart && (capacity % block != 0 || sinks >= places ||
                     added > (places - sinks) * block))) {
      return false;
    }
    int64_t from = isPart ? std::max(count, first) : count;
    int64_t to =
        isPart ? std::min(count + added, first + capacity) : count + added;
    size_t before = out.size();
    for (int64_t t = from; t < to; ++t) {
      int64_t at =
          isPart ? t - first : placeOf(t, block, sinks, places - sinks);
      tokens(into.buffer, s, size_t(axis), block, width(state), at, at + 1,
             true, state, out);
    }
    for (size_t p = before; p < out.size(); ++p) {
      out[p].begin += into.offset;
      out[p].end += into.offset;
    }
    dense(other, false);
    return true;
  }
  if (isAppend ? count < 0 || added > capacity - count
               : count < 0 || count > capacity || count > added) {
    return false;
  }
  size_t first = out.size();
  tokens(step.operands[state].buffer, s, size_t(axis), block, width(state),
         isAppend ? count : 0, isAppend ? count + added : count, isAppend,
         state, out);
  for (size_t p = first; p < out.size(); ++p) {
    out[p].begin += step.operands[state].offset;
    out[p].end += step.operands[state].offset;
  }
  if (isAppend) {
    dense(other, false);
    return true;
  }
  // Rows of `added` tokens, of which the first `count` are written.
  std::vector<int64_t> row = d;
  first = out.size();
  tokens(step.operands[other].buffer, row, size_t(axis),
         std::max<int64_t>(added, 1), width(other), 0, count, true, other, out);
  for (size_t p = first; p < out.size(); ++p) {
    out[p].begin += step.operands[other].offset;
    out[p].end += step.operands[other].offset;
  }
  return true;
}

int64_t Simulation::placeOf(int64_t token, int64_t block, int64_t sinkBlocks,
                            int64_t ringBlocks) {
  int64_t b = token / block;
  b = b < sinkBlocks ? b : sinkBlocks + (b - sinkBlocks) % ringBlocks;
  return b * block + token % block;
}

/// A part of an attention, or one over states that forget.
bool Simulation::attentionPieces(const Step &step,
                                 std::vector<Piece> &out) const {
  bool isPart = step.ints.size() == 13;
  bool isFirst = !isPart || step.ints[11] != 0;
  bool isLast = !isPart || step.ints[12] != 0;
  int64_t slices = std::max<int64_t>(step.ints[7], 1);
  size_t lead = step.ints[7] != 0 ? 1 : 0;
  int64_t total = values[step.params[0]], block = step.ints[6];
  size_t flags = size_t(step.ints[4] != 0) + size_t(step.ints[5] != 0);
  size_t carry = 3 + flags, result = carry + size_t(isPart && isLast);
  if (step.operands.size() <= result) {
    harm("the kernel takes operands that are not there", step.name);
  }
  auto dims = [&](size_t i) {
    std::vector<int64_t> list;
    for (uint32_t dim : step.operands[i].dims) {
      list.push_back(values[dim]);
    }
    return list;
  };
  auto q = dims(0), k = dims(1), v = dims(2);
  if (step.ints[1] == 0 || block <= 0 || q.size() != 4 ||
      k.size() != 4 + lead || v.size() != k.size() || total < 0 ||
      !std::equal(k.begin(), k.end() - 1, v.begin(), v.end() - 1) ||
      (isPart && isFirst && isLast) || (lead != 0 && k[0] != slices)) {
    return false;
  }
  int64_t held = k[lead + 2], rows = q[step.ints[0] != 0 ? 1 : 2];
  std::vector<int64_t> seen; // in the operands
  if (isPart) {
    int64_t first = step.ints[10];
    if (first < 0 || first % 64 != 0 || held % 64 != 0) {
      return false;
    }
    for (int64_t t = first; t < std::min(total, first + held); ++t) {
      seen.push_back(t - first);
    }
  } else {
    int64_t window = step.ints[3], sinks = step.ints[10];
    int64_t sinkBlocks = step.ints[11];
    int64_t ringBlocks = (held + block - 1) / block - sinkBlocks;
    if (window <= 0 || sinks < 0 || sinkBlocks < 0 || ringBlocks <= 0 ||
        sinks > sinkBlocks * block) {
      return false;
    }
    for (int64_t t = 0; t < total; ++t) {
      if (t < sinks || t > total - rows - window) {
        seen.push_back(placeOf(t, block, sinkBlocks, ringBlocks));
      }
    }
  }
  for (size_t i : {size_t(1), size_t(2)}) {
    int64_t slice = lead != 0 ? step.ints[7 + i] : 0;
    if (slice < 0 || slice >= slices) {
      return false;
    }
    const Operand &operand = step.operands[i];
    size_t first = out.size();
    for (int64_t at : seen) {
      tokens(operand.buffer, dims(i), lead + 2, block,
             int64_t(bitWidth(operand.dtype) / 8), at, at + 1, false, i, out,
             slice, slices);
    }
    for (size_t p = first; p < out.size(); ++p) {
      out[p].begin += operand.offset;
      out[p].end += operand.offset;
    }
  }
  auto dense = [&](size_t i, bool write) {
    const Operand &operand = step.operands[i];
    out.push_back({operand.buffer, operand.offset,
                   operand.offset + denseBytes(operand), write, i});
  };
  dense(0, false);
  for (size_t i = 3; i < 3 + flags; ++i) {
    dense(i, false);
  }
  if (isPart) {
    if (elements(step.operands[carry].dims) !=
        uint64_t(q[0] * q[1] * q[2] * (v.back() + 2))) {
      return false;
    }
    if (!isFirst) {
      dense(carry, false);
    }
    if (!isLast) {
      dense(carry, true);
    }
  }
  if (isLast) {
    dense(result, true);
  }
  return true;
}

/// The blocks of a Restore or Spill that move, counted from its first.
bool Simulation::moves(const Step &step, uint64_t &begin, uint64_t &end) const {
  const State &state = plan.states[step.state];
  uint64_t width = bitWidth(state.dtype) / 8;
  uint64_t bytes = uint64_t(state.blockTokens) * width;
  for (const std::vector<int64_t> *dims : {&state.outer, &state.inner}) {
    for (int64_t dim : *dims) {
      bytes *= uint64_t(dim);
    }
  }
  int64_t added = entry.newTokens == kNone ? 0 : values[entry.newTokens];
  int64_t block = state.blockTokens;
  bool isSpill = step.kind == StepKind::Spill;
  if (state.spill == kNone || bytes == 0 || step.bytes % bytes != 0 ||
      int64_t(step.firstBlock) < state.residentBlocks ||
      step.firstBlock + step.bytes / bytes >
          uint64_t((state.capacity + block - 1) / block)) {
    harm("moves blocks that are not below", step.name);
  }
  uint64_t low = step.firstBlock, high = low + step.bytes / bytes;
  uint64_t from = isSpill ? uint64_t(past / block) : 0;
  uint64_t to = uint64_t(((isSpill ? past + added : past) + block - 1) / block);
  begin = (std::clamp(from, low, high) - low) * bytes;
  end = std::max(begin, (std::clamp(to, low, high) - low) * bytes);
  return begin < end;
}

/// A Restore or Spill, token by token.
void Simulation::move(size_t index) {
  const Step &step = entry.steps[index];
  const State &state = plan.states[step.state];
  const Buffer &buffer = plan.buffers[step.buffer];
  std::string where = stepName(index);
  uint64_t begin = 0, end = 0;
  moves(step, begin, end);
  if (step.bytes > buffer.size || buffer.tier != Tier::Device) {
    harm("touches bytes outside of a buffer", where);
  }
  int64_t block = state.blockTokens, first = int64_t(step.firstBlock) * block;
  std::vector<int64_t> dims = state.outer;
  uint64_t bytes = bitWidth(state.dtype) / 8 * uint64_t(block);
  for (const std::vector<int64_t> *list : {&state.outer, &state.inner}) {
    for (int64_t dim : *list) {
      bytes *= uint64_t(dim);
    }
  }
  auto numTokens = int64_t(step.bytes / bytes) * block;
  dims.push_back(numTokens);
  dims.insert(dims.end(), state.inner.begin(), state.inner.end());
  auto movedFrom = int64_t(begin / bytes) * block;
  auto movedTo = int64_t(end / bytes) * block;
  std::vector<uint8_t> &lies = below[step.state];
  if (step.kind == StepKind::Restore) {
    Slot slot{step.state, first,
              std::vector<uint8_t>(static_cast<size_t>(numTokens))};
    if (begin < end) {
      writePiece({step.buffer, begin, end, true, 0}, where);
    }
    for (int64_t t = movedFrom; t < movedTo; ++t) {
      bool good = first + t < past && lies[size_t(first + t)] != 0;
      slot.good[size_t(t)] = good;
      if (!good) { // something lies there
        std::vector<Piece> list;
        tokens(step.buffer, dims, state.outer.size(), block,
               int64_t(bitWidth(state.dtype) / 8), t, t + 1, true, 0, list);
        for (const Piece &piece : list) {
          for (uint64_t b = piece.begin; b < piece.end; ++b) {
            owner[buffer.offset + b] = 0;
          }
        }
      }
    }
    slots[step.buffer] = std::move(slot);
    return;
  }
  auto slot = slots.find(step.buffer);
  int64_t added = entry.newTokens == kNone ? 0 : values[entry.newTokens];
  for (int64_t t = movedFrom; t < movedTo; ++t) {
    bool good = slot != slots.end() && slot->second.state == step.state &&
                slot->second.firstToken == first &&
                t < int64_t(slot->second.good.size()) &&
                slot->second.good[size_t(t)] != 0;
    std::vector<Piece> list;
    tokens(step.buffer, dims, state.outer.size(), block,
           int64_t(bitWidth(state.dtype) / 8), t, t + 1, false, 0, list);
    for (const Piece &piece : list) {
      for (uint64_t b = piece.begin; b < piece.end; ++b) {
        good = good && owner[buffer.offset + b] == step.buffer + 1;
      }
    }
    if (first + t < past && !good) {
      harm("a spill destroys tokens of earlier runs", where);
    }
    if (first + t < past + added && first + t < int64_t(lies.size())) {
      lies[size_t(first + t)] = good;
    }
  }
}

/// After an append: which tokens a slot or a ring holds.
void Simulation::appended(const Step &step) {
  if (step.kind != StepKind::Launch || step.kernel != KernelId::KvAppend ||
      step.ints.size() < 3) {
    return;
  }
  const Operand &into = step.operands[1];
  int64_t axis = step.ints[1], block = step.ints[0];
  int64_t from = values[step.params[0]];
  int64_t to = from + values[step.operands[0].dims[size_t(axis)]];
  int64_t held = values[into.dims[size_t(axis)]];
  if (step.ints.size() == 4) {
    for (size_t i = 0; i < plan.states.size(); ++i) {
      for (int64_t t = from; plan.states[i].buffer == into.buffer && t < to;
           ++t) {
        auto at = size_t(
            placeOf(t, block, step.ints[3], held / block - step.ints[3]));
        if (at < ring[i].size()) {
          ring[i][at] = t;
        }
      }
    }
    return;
  }
  auto slot = slots.find(into.buffer);
  if (slot == slots.end()) {
    return;
  }
  bool same = slot->second.firstToken == step.ints[2] &&
              int64_t(slot->second.good.size()) == held &&
              plan.states[slot->second.state].blockTokens == block;
  for (int64_t t = std::max(from, step.ints[2]);
       t < std::min(to, step.ints[2] + held); ++t) {
    auto at = size_t(t - step.ints[2]);
    if (at < slot->second.good.size()) {
      // A token of an earlier run is not what is appended.
      slot->second.good[at] = same && t >= past && t - past == t - from;
    }
  }
}

/// Whether an attention sees the tokens that it takes them for.
void Simulation::seen(size_t index) {
  const Step &step = entry.steps[index];
  if (step.kind != StepKind::Launch || step.kernel != KernelId::Attention ||
      step.ints.size() < 12) {
    return;
  }
  int64_t total = values[step.params[0]], block = step.ints[6];
  size_t lead = step.ints[7] != 0 ? 1 : 0;
  for (size_t n : {size_t(1), size_t(2)}) {
    const Operand &operand = step.operands[n];
    int64_t held = values[operand.dims[lead + 2]];
    if (step.ints.size() == 13) {
      auto slot = slots.find(operand.buffer);
      if (slot == slots.end()) {
        continue; // the resident part, or bytes of nobody
      }
      for (int64_t t = step.ints[10]; t < std::min(total, step.ints[10] + held);
           ++t) {
        int64_t at = t - slot->second.firstToken;
        if (at < 0 || at >= int64_t(slot->second.good.size()) ||
            slot->second.good[size_t(at)] == 0 ||
            slot->second.firstToken != step.ints[10]) {
          harm("attention takes a slot for tokens that it does not hold",
               stepName(index));
        }
      }
      continue;
    }
    int64_t rows = values[step.operands[0].dims[step.ints[0] != 0 ? 1 : 2]];
    for (size_t i = 0; i < plan.states.size(); ++i) {
      if (plan.states[i].buffer != operand.buffer || ring[i].empty()) {
        continue;
      }
      for (int64_t t = 0; t < total; ++t) {
        if (t >= step.ints[10] && t <= total - rows - step.ints[3]) {
          continue;
        }
        auto at = size_t(
            placeOf(t, block, step.ints[11], held / block - step.ints[11]));
        if (at >= ring[i].size() || ring[i][at] != t) {
          harm("attention takes a ring for tokens that it does not hold",
               stepName(index));
        }
      }
    }
  }
}

/// The tokens of a state that any entry may read when there are `tokens`: its
/// window, beside its first ones. All of them where nothing limits it.
static bool isNeeded(const Plan &plan, const State &state, int64_t token,
                     int64_t tokens) {
  if (state.ringBlocks == 0) {
    return true;
  }
  for (const Entry &entry : plan.entries) {
    for (const Step &step : entry.steps) {
      if (step.kind != StepKind::Launch || step.kernel != KernelId::Attention ||
          step.operands.size() < 3 || step.ints.size() != 12 ||
          (step.operands[1].buffer != state.buffer &&
           step.operands[2].buffer != state.buffer)) {
        continue;
      }
      if (token < step.ints[10] || token > tokens - step.ints[3]) {
        return true;
      }
    }
  }
  return false;
}

bool Simulation::copyPieces(const Step &step, std::vector<Piece> &out) const {
  if (step.ints.empty() || step.ints[0] < 0 || step.ints[0] > 8 ||
      step.params.size() != 2 + 3 * size_t(step.ints[0]) ||
      step.operands[0].dtype != step.operands[1].dtype) {
    return false;
  }
  auto r = size_t(step.ints[0]);
  int64_t width = int64_t(bitWidth(step.operands[0].dtype)) / 8;
  for (size_t i = 0; i < r; ++i) {
    if (values[step.params[2 + i]] <= 0) {
      return true;
    }
  }
  for (size_t side = 0; side < 2; ++side) {
    const Operand &operand = step.operands[side];
    std::vector<int64_t> at(r);
    for (bool more = true; more;) {
      int64_t element = values[step.params[side]];
      for (size_t i = 0; i < r; ++i) {
        element += at[i] * values[step.params[2 + r * (1 + side) + i]];
      }
      int64_t begin = int64_t(operand.offset) + element * width;
      if (begin < 0) {
        harm("touches bytes outside of a buffer", step.name);
      }
      if (!out.empty() && out.back().operand == side &&
          out.back().end == uint64_t(begin)) {
        out.back().end += uint64_t(width);
      } else {
        out.push_back({operand.buffer, uint64_t(begin), uint64_t(begin + width),
                       side == 1, side});
      }
      more = false;
      for (size_t i = r; i-- > 0 && !more;) {
        if (++at[i] < values[step.params[2 + i]]) {
          more = true;
        } else {
          at[i] = 0;
        }
      }
    }
  }
  return true;
}

/// What a step touches; false if its kernel refuses to run.
bool Simulation::pieces(size_t i, std::vector<Piece> &out) const {
  const Step &step = entry.steps[i];
  if (step.kind == StepKind::Copy) {
    if (!step.operands.empty()) {
      // Indices of rows. More than fit are refused; all of `bytes` is written.
      const Operand &indices = step.operands[0];
      if ((indices.dtype != DType::I64 && indices.dtype != DType::I32) ||
          step.ints.size() != 2 || step.ints[1] <= 0) {
        return false;
      }
      if (elements(indices.dims) > step.bytes / uint64_t(step.ints[1])) {
        return false;
      }
      out.push_back({indices.buffer, indices.offset,
                     indices.offset + denseBytes(indices), false, 0});
    }
    out.push_back({step.buffer, step.targetOffset,
                   step.targetOffset + step.bytes, true, step.operands.size()});
    return true;
  }
  if (step.kind == StepKind::Restore || step.kind == StepKind::Spill) {
    bool isSpill = step.kind == StepKind::Spill;
    if (isSpill && step.stream != Stream::Compute) {
      return false; // the load refuses
    }
    uint64_t begin = 0, end = 0;
    if (moves(step, begin, end)) {
      const State &state = plan.states[step.state];
      uint64_t block = plan.buffers[state.spill].size /
                       uint64_t((state.capacity + state.blockTokens - 1) /
                                    state.blockTokens -
                                state.residentBlocks);
      uint64_t from =
          (step.firstBlock - uint64_t(state.residentBlocks)) * block;
      out.push_back({step.buffer, begin, end, !isSpill, 0});
      out.push_back({state.spill, from + begin, from + end, isSpill, 1});
    }
    return true;
  }
  if (step.kind != StepKind::Launch) {
    return true;
  }
  std::optional<size_t> inputs = inputsOf(step);
  if (inputs && step.kernel == KernelId::Pointwise &&
      step.operands.size() != *inputs + 1) {
    return false; // the kernel compares them
  }
  if (inputs && step.operands.size() < *inputs + resultsOf(step)) {
    harm("the kernel takes operands that are not there", stepName(i));
  }
  switch (step.kernel) {
  case KernelId::Generated:
    if (!generatedFits(step, i)) {
      return false;
    }
    break;
  case KernelId::StridedCopy:
    return copyPieces(step, out);
  case KernelId::KvAppend:
  case KernelId::KvRead:
  case KernelId::Attention:
    return statePieces(step, out);
  default:
    break;
  }
  for (size_t o = 0; o < step.operands.size(); ++o) {
    const Operand &operand = step.operands[o];
    bool write = inputs ? o >= *inputs : operand.access != Access::Read;
    if (inputs && o >= *inputs + resultsOf(step)) {
      break;
    }
    out.push_back({operand.buffer, operand.offset,
                   operand.offset + denseBytes(operand), write, o});
  }
  return true;
}

void Simulation::readPiece(const Piece &piece, const std::string &where) {
  const Buffer &buffer = plan.buffers[piece.buffer];
  if (piece.begin >= piece.end) {
    return;
  }
  if (piece.end > buffer.size || buffer.tier != Tier::Device) {
    harm("touches bytes outside of a buffer", where);
  }
  auto first = owner.begin() + ptrdiff_t(buffer.offset + piece.begin);
  auto last = owner.begin() + ptrdiff_t(buffer.offset + piece.end);
  auto wanted = static_cast<uint16_t>(piece.buffer + 1);
  auto wrong =
      std::find_if(first, last, [wanted](uint16_t o) { return o != wanted; });
  if (wrong != last) {
    harm(*wrong == 0 ? "reads bytes that nothing has written"
                     : "reads bytes that another buffer has overwritten",
         where + ", buffer " + buffer.name + " byte " +
             std::to_string(piece.begin + uint64_t(wrong - first)));
  }
}

void Simulation::writePiece(const Piece &piece, const std::string &where,
                            bool lasts) {
  const Buffer &buffer = plan.buffers[piece.buffer];
  if (piece.begin >= piece.end) {
    return;
  }
  if (piece.end > buffer.size || buffer.tier != Tier::Device) {
    harm("touches bytes outside of a buffer", where);
  }
  for (uint64_t b = buffer.offset + piece.begin; b < buffer.offset + piece.end;
       ++b) {
    if (guarded[b]) {
      harm("overwrites what must last", where + ", buffer " + buffer.name);
    }
    owner[b] = static_cast<uint16_t>(piece.buffer + 1);
    guarded[b] = lasts;
  }
  dirty[piece.buffer] = 1;
}

/// An activation leaves or comes back, byte by byte: what was not written then
/// is not there now.
void Simulation::swap(size_t index) {
  const Step &step = entry.steps[index];
  const Buffer &buffer = plan.buffers[step.buffer];
  const Buffer &below = plan.buffers[step.below];
  bool out = step.kind == StepKind::SwapOut;
  if (step.targetOffset + step.bytes > buffer.size ||
      buffer.tier != Tier::Device || step.bytes > below.size ||
      below.tier != Tier::Disk || below.offset + step.bytes > file.size()) {
    harm("touches bytes outside of a buffer", stepName(index));
  }
  if (out && step.stream != Stream::Compute) {
    harm("a write to the spill file on the copy stream", stepName(index));
  }
  stepPieces[index] = {
      {step.buffer, step.targetOffset, step.targetOffset + step.bytes, !out, 0},
      {step.below, 0, step.bytes, out, 1}};
  if (!out) {
    writePiece(stepPieces[index][0], stepName(index));
  }
  for (uint64_t i = 0; i < step.bytes; ++i) {
    uint16_t &there = owner[buffer.offset + step.targetOffset + i];
    FileByte &saved = file[below.offset + i];
    uint64_t position = step.targetOffset + i;
    if (out) {
      bool written = there == step.buffer + 1;
      saved = {written ? step.below + 1 : 0, position};
    } else if (saved.owner != step.below + 1 || saved.position != position) {
      there = 0;
    }
  }
}

/// What is there before any entry runs, and `past` tokens.
void Simulation::load() {
  uint64_t fileEnd = 0;
  for (const Buffer &buffer : plan.buffers) {
    if (buffer.tier == Tier::Disk && buffer.kind == BufferKind::Activation) {
      fileEnd = std::max(fileEnd, buffer.offset + buffer.size);
    }
  }
  if (fileEnd > plan.totals.diskBytes) {
    harm("touches bytes outside of the spill file", entry.name);
  }
  file.assign(fileEnd, {});
  owner.assign(plan.totals.arenaBytes, 0);
  guarded.assign(plan.totals.arenaBytes, 0);
  dirty.assign(plan.buffers.size(), 0);
  for (uint32_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer &buffer = plan.buffers[b];
    if (buffer.kind == BufferKind::Weight && buffer.segment != kNone &&
        buffer.tier == Tier::Device) {
      writePiece({b, 0, plan.segments[buffer.segment].size, true, 0},
                 "loading weights", true);
    }
  }
  for (const Plan::ConstantData &constant : plan.constants) {
    writePiece({constant.buffer, 0, constant.bytes.size(), true, 0},
               "loading constants", true);
  }
  below.assign(plan.states.size(), {});
  ring.assign(plan.states.size(), {});
  slots.clear();
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const State &state = plan.states[i];
    std::vector<int64_t> dims = state.outer;
    dims.push_back(state.capacity);
    dims.insert(dims.end(), state.inner.begin(), state.inner.end());
    int64_t block = state.blockTokens;
    if (state.spill != kNone) {
      below[i].assign(size_t(state.capacity), 0);
      std::fill_n(below[i].begin(), past, uint8_t(1));
    }
    if (state.ringBlocks != 0) {
      ring[i].assign(size_t((state.sinkBlocks + state.ringBlocks) * block), -1);
    }
    for (int64_t t = 0; t < past; ++t) {
      int64_t at = t;
      if (state.spill != kNone && t >= state.residentBlocks * block) {
        break;
      }
      if (state.ringBlocks != 0) {
        at = placeOf(t, block, state.sinkBlocks, state.ringBlocks);
        ring[i][size_t(at)] = t;
      }
      std::vector<Piece> list;
      tokens(state.buffer, dims, state.outer.size(), block,
             bitWidth(state.dtype) / 8, at, at + 1, true, 0, list);
      for (const Piece &piece : list) {
        // In a ring a later token takes the place of this one.
        bool lasts = isNeeded(plan, state, t, past);
        for (uint64_t b = piece.begin; !lasts && b < piece.end; ++b) {
          uint64_t byte = plan.buffers[piece.buffer].offset + b;
          guarded[std::min<uint64_t>(byte, guarded.size() - 1)] = 0;
        }
        writePiece(piece, "the state of earlier runs", lasts);
      }
    }
  }
}

/// The carried slots, as the load or an earlier run has left them.
void Simulation::loadCarried() {
  for (size_t i = 0; i < plan.carried.size(); ++i) {
    const CarriedSlot &slot = plan.carried[i];
    std::string where = "carried slot " + std::to_string(i);
    if (slot.sourceOffset + slot.bytes > plan.segments[slot.segment].size) {
      harm("touches bytes outside of a segment", where);
    }
    if (slot.offset + slot.bytes > owner.size()) {
      harm("touches bytes outside of the arena", where);
    }
    for (uint64_t b = slot.offset; b < slot.offset + slot.bytes; ++b) {
      if (guarded[b] || owner[b] != 0) {
        harm("overwrites what must last", where);
      }
      owner[b] = static_cast<uint16_t>(entry.carried[i].first + 1);
    }
    dirty[entry.carried[i].first] = 1;
  }
}

/// The carried slots are what the next run takes them for.
void Simulation::finishCarried() {
  for (size_t i = 0; i < plan.carried.size(); ++i) {
    const CarriedSlot &slot = plan.carried[i];
    std::string where = "carried slot " + std::to_string(i);
    uint32_t last = entry.carried[i].last;
    for (uint64_t b = slot.offset; b < slot.offset + slot.bytes; ++b) {
      if (owner[b] != last + 1) {
        harm("a carried slot is not filled again", where);
      }
    }
    for (const Step &step : entry.steps) {
      bool writes = step.kind == StepKind::Copy && step.buffer == last;
      if (writes &&
          (step.segment != slot.segment ||
           step.sourceOffset - step.targetOffset != slot.sourceOffset)) {
        harm("a carried slot holds other bytes", where);
      }
      for (const Operand &operand : step.operands) {
        if (operand.buffer == last && operand.access != Access::Read) {
          harm("a carried slot holds other bytes", where);
        }
      }
    }
  }
}

void Simulation::fillInputs() {
  std::vector<bool> filled(plan.buffers.size());
  for (const Port &port : entry.inputs) {
    if (port.role == PortRole::State) {
      continue;
    }
    uint64_t bytes = (elements(port.dims) * bitWidth(port.dtype) + 7) / 8;
    const Buffer &buffer = plan.buffers[port.buffer];
    if (bytes > buffer.size || buffer.tier != Tier::Device) {
      harm("touches bytes outside of a buffer", "input " + port.name);
    }
    for (uint64_t b = buffer.offset; b < buffer.offset + bytes; ++b) {
      uint16_t o = owner[b];
      if (o != 0 && plan.buffers[o - 1].entry != kNone) {
        harm("inputs overwrite each other", "input " + port.name);
      }
    }
    writePiece({port.buffer, 0, bytes, true, 0}, "input " + port.name);
  }
}

/// As the executor's poison mode: what is in no live buffer is lost.
void Simulation::forgetDead(size_t step) {
  for (uint32_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer &buffer = plan.buffers[b];
    bool live =
        buffer.entry == kNone ||
        (buffer.entry == index && buffer.start <= step && step < buffer.end);
    if (!dirty[b] || live) {
      continue;
    }
    for (uint64_t i = buffer.offset; i < buffer.offset + buffer.size; ++i) {
      if (owner[i] == b + 1) {
        owner[i] = 0;
      }
    }
    dirty[b] = 0;
  }
}

/// A launch must not write what it still reads.
void Simulation::hazards(size_t i, const std::vector<Piece> &all) const {
  const Step &step = entry.steps[i];
  if (step.kind == StepKind::Copy && all.size() == 2) {
    uint64_t read = plan.buffers[all[0].buffer].offset;
    uint64_t written = plan.buffers[all[1].buffer].offset;
    if (read + all[0].begin < written + all[1].end &&
        written + all[1].begin < read + all[0].end) {
      harm("a copy overwrites the indices that it reads", stepName(i));
    }
  }
  if (step.kind != StepKind::Launch) {
    return;
  }
  auto dims = [&](size_t operand) {
    std::vector<int64_t> list;
    for (uint32_t dim : step.operands[operand].dims) {
      if (!list.empty() || values[dim] != 1) {
        list.push_back(values[dim]);
      }
    }
    return list;
  };
  std::optional<size_t> inputs = inputsOf(step);
  for (const Piece &w : all) {
    for (const Piece &r : all) {
      uint64_t a = plan.buffers[w.buffer].offset;
      uint64_t b = plan.buffers[r.buffer].offset;
      if (!w.write || w.operand == r.operand || a + w.begin >= b + r.end ||
          b + r.begin >= a + w.end || w.begin >= w.end || r.begin >= r.end) {
        continue;
      }
      const Operand &out = step.operands[w.operand];
      const Operand &in = step.operands[r.operand];
      bool same = out.buffer == in.buffer && out.offset == in.offset &&
                  bitWidth(out.dtype) == bitWidth(in.dtype) &&
                  dims(w.operand) == dims(r.operand);
      if (!same || r.write || (inputs && w.operand != *inputs) ||
          !overwrites(step.kernel, r.operand)) {
        harm("a launch overwrites what it still reads", stepName(i));
      }
    }
  }
}

/// Program order and events, closed transitively.
void Simulation::orderSteps() {
  size_t n = entry.steps.size();
  before.assign(n, std::vector<uint64_t>((n + 63) / 64));
  auto put = [&](size_t i, size_t j) {
    before[i][j / 64] |= uint64_t(1) << (j % 64);
  };
  std::vector<std::vector<size_t>> signals(entry.numEvents);
  size_t last[2] = {SIZE_MAX, SIZE_MAX};
  for (size_t i = 0; i < n; ++i) {
    const Step &step = entry.steps[i];
    size_t &previous = last[size_t(step.stream)];
    if (previous != SIZE_MAX) {
      put(previous, i);
    }
    previous = i;
    if (step.kind == StepKind::Signal) {
      signals[step.event].push_back(i);
    }
    if (step.kind == StepKind::Launch && step.stream != Stream::Compute) {
      harm("a launch on the copy stream", stepName(i));
    }
  }
  for (size_t i = 0; i < n; ++i) {
    const Step &step = entry.steps[i];
    if (step.kind != StepKind::Wait) {
      continue;
    }
    const std::vector<size_t> &by = signals[step.event];
    if (by.empty()) {
      harm("waits for ever", stepName(i));
    }
    // With several signals the first to come counts, and only on one stream
    // is it known which that is.
    bool oneStream = std::all_of(by.begin(), by.end(), [&](size_t s) {
      return entry.steps[s].stream == entry.steps[by[0]].stream;
    });
    if (oneStream) {
      put(by[0], i);
    }
  }
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < n; ++i) {
      if (isBefore(i, k)) {
        for (size_t w = 0; w < before[i].size(); ++w) {
          before[i][w] |= before[k][w];
        }
      }
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (isBefore(i, i)) {
      harm("waits for ever", stepName(i));
    }
  }
}

void Simulation::finish() {
  for (const Port &port : entry.outputs) {
    if (port.role != PortRole::State) {
      uint64_t bytes = (elements(port.dims) * bitWidth(port.dtype) + 7) / 8;
      readPiece({port.buffer, 0, bytes, false, 0}, "output " + port.name);
    }
  }
  int64_t added = entry.newTokens == kNone ? 0 : values[entry.newTokens];
  std::vector<Piece> list;
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const State &state = plan.states[i];
    std::vector<int64_t> dims = state.outer;
    dims.push_back(state.capacity);
    dims.insert(dims.end(), state.inner.begin(), state.inner.end());
    for (int64_t t = 0; t < past + added; ++t) {
      int64_t at = t;
      if (state.spill != kNone &&
          t >= state.residentBlocks * state.blockTokens) {
        if (below[i][size_t(t)] == 0) {
          harm("what was appended is not spilled", "state " + state.name);
        }
        continue;
      }
      if (state.ringBlocks != 0) {
        at = placeOf(t, state.blockTokens, state.sinkBlocks, state.ringBlocks);
        if (!isNeeded(plan, state, t, past + added)) {
          continue;
        }
        if (ring[i][size_t(at)] != t) {
          harm("a ring has lost tokens", "state " + state.name);
        }
      }
      tokens(state.buffer, dims, state.outer.size(), state.blockTokens,
             bitWidth(state.dtype) / 8, at, at + 1, false, 0, list);
    }
  }
  for (const Piece &piece : list) {
    readPiece(piece, "the state of the next run");
  }
  finishCarried();
  // Steps of different streams.
  for (size_t i = 0; i < stepPieces.size(); ++i) {
    for (size_t j = i + 1; j < stepPieces.size(); ++j) {
      if (entry.steps[i].stream == entry.steps[j].stream || isBefore(i, j)) {
        continue;
      }
      for (const Piece &a : stepPieces[i]) {
        for (const Piece &b : stepPieces[j]) {
          uint64_t at = plan.buffers[a.buffer].offset;
          uint64_t bt = plan.buffers[b.buffer].offset;
          if (plan.buffers[a.buffer].tier != plan.buffers[b.buffer].tier) {
            continue;
          }
          if ((a.write || b.write) && at + a.begin < bt + b.end &&
              bt + b.begin < at + a.end && a.begin < a.end && b.begin < b.end) {
            harm("two streams touch the same bytes in no order",
                 stepName(i) + " and " + stepName(j));
          }
        }
      }
    }
  }
}

void Simulation::run(const Values &symbols) {
  symbolValues = symbols;
  values = evaluate(entry, symbols);
  past = 0;
  for (size_t i = 0; i < entry.symbols.size(); ++i) {
    past = entry.symbols[i].isPast ? symbols[i] : past;
  }
  load();
  loadCarried();
  fillInputs();
  stepPieces.assign(entry.steps.size(), {});
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    const Step &step = entry.steps[i];
    forgetDead(i);
    if (step.kind == StepKind::SwapOut || step.kind == StepKind::SwapIn) {
      swap(i);
      continue;
    }
    std::vector<Piece> &list = stepPieces[i];
    if (!pieces(i, list)) {
      return; // the kernel refuses, the entry stops here
    }
    bool gathers = !step.operands.empty();
    if (step.kind == StepKind::Copy &&
        step.sourceOffset +
                (gathers ? uint64_t(step.ints[0] * step.ints[1]) : step.bytes) >
            plan.segments[step.segment].size) {
      harm("touches bytes outside of a segment", stepName(i));
    }
    if (step.kind == StepKind::Restore || step.kind == StepKind::Spill) {
      move(i);
      continue;
    }
    for (const Piece &piece : list) {
      if (!piece.write) {
        readPiece(piece, stepName(i));
      }
    }
    seen(i);
    hazards(i, list);
    for (const Piece &piece : list) {
      if (piece.write) {
        writePiece(piece, stepName(i));
      }
    }
    appended(step);
  }
  finish();
}

/// The corners of the symbols' ranges and the middle, as far as the state
/// holds them.
std::vector<Values> assignments(const Plan &plan, const Entry &entry) {
  int64_t capacity = INT64_MAX;
  for (const State &state : plan.states) {
    capacity = std::min(capacity, state.capacity);
  }
  std::set<Values> found;
  size_t n = entry.symbols.size();
  for (size_t pick = 0; pick <= 2 * n + 2; ++pick) {
    Values symbols;
    for (size_t i = 0; i < n; ++i) {
      const Symbol &s = entry.symbols[i];
      bool odd = pick == 2 * i + 3 || pick == 2 * i + 4;
      bool up = (pick == 1) != (odd && pick == 2 * i + 3) &&
                !(odd && pick == 2 * i + 4);
      symbols.push_back(pick == 2 ? s.lower + (s.upper - s.lower) / 2
                        : odd && pick == 2 * i + 4
                            ? s.lower + std::min<int64_t>(1, s.upper - s.lower)
                        : up ? s.upper
                             : s.lower);
    }
    Values values = evaluate(entry, symbols);
    bool holds = true;
    for (size_t i = 0; i < n; ++i) {
      if (entry.symbols[i].isPast && entry.newTokens != kNone) {
        int64_t added = values[entry.newTokens];
        symbols[i] = std::min(symbols[i], capacity - added);
        holds = added >= 0 && symbols[i] >= entry.symbols[i].lower;
      }
    }
    if (holds) {
      found.insert(symbols);
    }
  }
  return {found.begin(), found.end()};
}

void judgeTotals(const Plan &plan) {
  const Totals &t = plan.totals;
  if (t.arenaBytes > t.budgetBytes ||
      t.reserveBytes > t.budgetBytes - t.arenaBytes) {
    throw Harm{"takes more than the budget", "totals"};
  }
  if (t.arenaBytes + t.reserveBytes != t.deviceBytes) {
    throw Harm{"takes other device memory than it says", "totals"};
  }
  for (const Buffer &buffer : plan.buffers) {
    uint64_t room = buffer.tier == Tier::Device ? t.arenaBytes
                    : buffer.tier == Tier::Host ? t.hostBytes
                                                : UINT64_MAX;
    if (buffer.offset > room || buffer.size > room - buffer.offset) {
      throw Harm{"a buffer lies outside of the arena", buffer.name};
    }
    if (buffer.offset % kBufferAlignment != 0) {
      throw Harm{"a buffer is not aligned", buffer.name};
    }
  }
}

} // namespace

Verdict judge(const Plan &plan, const std::vector<uint32_t> &entries) {
  try {
    judgeTotals(plan);
    for (uint32_t index : entries) {
      Simulation simulation(plan, index);
      simulation.orderSteps();
      for (const Values &symbols : assignments(plan, plan.entries[index])) {
        simulation.run(symbols);
      }
    }
  } catch (const Harm &found) {
    return {true, found.why, found.where};
  }
  return {};
}

} // namespace llmc::mutation
