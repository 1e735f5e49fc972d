//===- Pointwise.cpp - Fused element-wise programs ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An interpreter whose registers hold a block of up to 256 elements. Values
// that do not vary (constants, one-element inputs and what follows from them)
// are computed for the first block only. The output may be an input of the
// same shape and width: a block is read before it is written.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Block.h"
#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/PointwiseOps.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int64_t kBlock = 256;
constexpr int kMaxInputs = 64;
constexpr int kMaxRegisters = 512;
constexpr int kTemporaries = 3;

/// An input's strides over the output's collapsed dimensions.
struct Input {
  enum Kind : uint8_t { Flat, Scalar, Broadcast } kind;
  int64_t strides[kMaxRank];
};

struct Program {
  const Launch *launch;
  int numInputs, numInstructions, numRegisters;
  const int64_t *code; // five per instruction
  const Tensor *out;
  int64_t elements;
  int64_t block; // elements per block
  int rank;
  int64_t dims[kMaxRank];
  Input inputs[kMaxInputs];
};

struct Register {
  const void *data;
  Class cls;
  bool uniform; // the same for all elements
};

struct Machine {
  const Program &program;
  std::byte *storage; // a slot per register, then the temporaries
  Register registers[kMaxRegisters]; // filled by run() as far as used

  Machine(const Program &program, void *scratch)
      : program(program), storage(static_cast<std::byte *>(scratch)) {}

  void *slot(int index) {
    return storage + index * program.block * sizeof(int64_t);
  }

  /// Register `index` in class `cls`, converted into temporary `t` if need be.
  const void *as(Class cls, int64_t index, int t, int64_t n) {
    const Register &reg = registers[index];
    if (reg.cls == cls) {
      return reg.data;
    }
    void *out = slot(program.numRegisters + t);
    convertBlock(reg.cls, reg.data, cls, out, n);
    return out;
  }

  void loadInput(int index, int64_t first, int64_t n);
  bool execute(int index, int64_t n);
  bool run(int64_t begin, int64_t end);
};

void Machine::loadInput(int index, int64_t first, int64_t n) {
  const Tensor &tensor = program.launch->operands[index];
  const Input &input = program.inputs[index];
  Register &reg = registers[index];
  if (input.kind == Input::Flat) {
    if (tensor.dtype == DType::F32) {
      reg.data = data<const float>(tensor) + first;
    } else if (tensor.dtype == DType::I64) {
      reg.data = data<const int64_t>(tensor) + first;
    } else {
      loadRun(tensor.dtype, tensor.data, first, 1, n, slot(index));
    }
    return;
  }
  int64_t position[kMaxRank];
  int64_t offset = 0;
  int64_t rest = first;
  for (int i = program.rank - 1; i >= 0; --i) {
    position[i] = rest % program.dims[i];
    rest /= program.dims[i];
    offset += position[i] * input.strides[i];
  }
  int last = program.rank - 1;
  int64_t width = reg.cls == Class::F32 ? 4 : reg.cls == Class::Bool ? 1 : 8;
  auto *to = static_cast<std::byte *>(slot(index));
  while (n > 0) {
    int64_t run = minimum(n, program.dims[last] - position[last]);
    loadRun(tensor.dtype, tensor.data, offset, input.strides[last], run, to);
    n -= run;
    to += run * width;
    position[last] += run;
    offset += run * input.strides[last];
    for (int i = last; i > 0 && position[i] == program.dims[i]; --i) {
      offset += input.strides[i - 1] - position[i] * input.strides[i];
      position[i] = 0;
      ++position[i - 1];
    }
  }
}

bool Machine::execute(int index, int64_t n) {
  const int64_t *code = program.code + 5 * index;
  auto op = static_cast<PointwiseOp>(code[0]);
  auto cls = static_cast<Class>(code[1]);
  const int64_t *operand = code + 2;
  void *out = slot(program.numInputs + index);
  switch (op) {
  case PointwiseOp::Const:
    dispatchClass(cls, [&](auto tag) {
      using T = decltype(tag);
      T value;
      if constexpr (std::is_floating_point_v<T>) {
        value = static_cast<T>(program.launch->floats[operand[0]]);
      } else {
        value = convertValue<T>(operand[0]);
      }
      map1<T, T>(out, out, n, [value](T) { return value; });
    });
    return true;
  case PointwiseOp::Cast:
    convertBlock(registers[operand[0]].cls, registers[operand[0]].data, cls,
                 out, n);
    return true;
  case PointwiseOp::IsNan:
  case PointwiseOp::IsInf: {
    if (cls != Class::Bool) {
      return false;
    }
    const Register &a = registers[operand[0]];
    bool nan = op == PointwiseOp::IsNan;
    dispatchClass(a.cls, [&](auto tag) {
      using T = decltype(tag);
      if constexpr (std::is_floating_point_v<T>) {
        map1<T, uint8_t>(a.data, out, n, [nan](T x) {
          return uint8_t(nan ? x != x : x == T(INFINITY) || x == T(-INFINITY));
        });
      } else {
        std::memset(out, 0, n);
      }
    });
    return true;
  }
  case PointwiseOp::Select: {
    auto *which =
        static_cast<const uint8_t *>(as(Class::Bool, operand[0], 0, n));
    const void *b = as(cls, operand[1], 1, n);
    const void *c = as(cls, operand[2], 2, n);
    dispatchClass(cls, [&](auto tag) {
      using T = decltype(tag);
      auto *yes = static_cast<const T *>(b);
      auto *no = static_cast<const T *>(c);
      auto *__restrict to = static_cast<T *>(out);
      for (int64_t i = 0; i < n; ++i) {
        to[i] = which[i] ? yes[i] : no[i];
      }
    });
    return true;
  }
  default:
    break;
  }
  if (isCompare(op)) {
    if (cls != Class::Bool) {
      return false;
    }
    Class in = common(registers[operand[0]].cls, registers[operand[1]].cls);
    const void *a = as(in, operand[0], 0, n);
    const void *b = as(in, operand[1], 1, n);
    bool known = false;
    dispatchClass(in, [&](auto tag) {
      known = compare<decltype(tag)>(op, a, b, out, n);
    });
    return known;
  }
  const void *a = as(cls, operand[0], 0, n);
  if (isUnary(op)) {
    switch (cls) {
    case Class::F32:
      return unaryFloat<float>(op, a, out, n);
    case Class::F64:
      return unaryFloat<double>(op, a, out, n);
    case Class::I64:
      return unaryInt(op, a, out, n);
    case Class::Bool:
      if (op != PointwiseOp::Not) {
        return false;
      }
      map1<uint8_t, uint8_t>(a, out, n, [](uint8_t x) { return x ^ 1; });
      return true;
    }
    return false;
  }
  const void *b = as(cls, operand[1], 1, n);
  switch (cls) {
  case Class::F32:
    return binaryFloat<float>(op, a, b, registers[operand[1]].uniform, out, n);
  case Class::F64:
    return binaryFloat<double>(op, a, b, registers[operand[1]].uniform, out, n);
  case Class::I64:
    return binaryInt(op, a, b, out, n);
  case Class::Bool:
    return binaryBool(op, a, b, out, n);
  }
  return false;
}

bool Machine::run(int64_t begin, int64_t end) {
  for (int i = 0; i < program.numInputs; ++i) {
    registers[i] = {slot(i), classOf(program.launch->operands[i].dtype),
                    program.inputs[i].kind == Input::Scalar};
  }
  for (int i = 0; i < program.numInstructions; ++i) {
    const int64_t *code = program.code + 5 * i;
    bool uniform = true;
    int operands = numOperands(static_cast<PointwiseOp>(code[0]));
    for (int j = 0; j < operands; ++j) {
      uniform &= registers[code[2 + j]].uniform;
    }
    registers[program.numInputs + i] = {slot(program.numInputs + i),
                                        static_cast<Class>(code[1]), uniform};
  }
  const Register &last = registers[program.numRegisters - 1];
  for (int64_t first = begin; first < end; first += program.block) {
    int64_t n = minimum(program.block, end - first);
    bool fresh = first == begin;
    for (int i = 0; i < program.numInputs; ++i) {
      if (fresh || !registers[i].uniform) {
        loadInput(i, first, n);
      }
    }
    for (int i = 0; i < program.numInstructions; ++i) {
      if ((fresh || !registers[program.numInputs + i].uniform) &&
          !execute(i, n)) {
        return false;
      }
    }
    if (!storeRun(last.cls, last.data, program.out->dtype, program.out->data,
                  first, n)) {
      return false;
    }
  }
  return true;
}

/// Aligns an input's shape with the output's.
bool broadcastStrides(const Tensor &in, const Tensor &out, int64_t *strides) {
  if (in.rank > out.rank) {
    // Leading ones are no dimensions.
    for (int i = 0; i < in.rank - out.rank; ++i) {
      if (in.dims[i] != 1) {
        return false;
      }
    }
  }
  int64_t stride = 1;
  for (int i = out.rank - 1, j = in.rank - 1; i >= 0; --i, --j) {
    int64_t size = j >= 0 ? in.dims[j] : 1;
    if (size != 1 && size != out.dims[i]) {
      return false;
    }
    strides[i] = size == 1 ? 0 : stride;
    stride *= size;
  }
  return true;
}

/// Merges dimensions that every input walks through evenly.
void collapse(Program &p) {
  int64_t strides[kMaxInputs][kMaxRank];
  int64_t dims[kMaxRank];
  int rank = 0;
  for (int i = 0; i < p.out->rank; ++i) {
    if (p.out->dims[i] == 1) {
      continue;
    }
    bool merge = rank > 0;
    for (int n = 0; merge && n < p.numInputs; ++n) {
      merge = strides[n][rank - 1] == p.inputs[n].strides[i] * p.out->dims[i];
    }
    if (merge) {
      dims[rank - 1] *= p.out->dims[i];
    } else {
      dims[rank++] = p.out->dims[i];
    }
    for (int n = 0; n < p.numInputs; ++n) {
      strides[n][rank - 1] = p.inputs[n].strides[i];
    }
  }
  if (rank == 0) {
    dims[rank++] = 1;
    for (int n = 0; n < p.numInputs; ++n) {
      strides[n][0] = 0;
    }
  }
  p.rank = rank;
  std::memcpy(p.dims, dims, sizeof(dims));
  for (int n = 0; n < p.numInputs; ++n) {
    Input &input = p.inputs[n];
    bool flat = true;
    bool scalar = true;
    int64_t expected = 1;
    for (int i = rank - 1; i >= 0; --i) {
      input.strides[i] = strides[n][i];
      flat &= strides[n][i] == expected;
      scalar &= strides[n][i] == 0;
      expected *= dims[i];
    }
    input.kind = scalar ? Input::Scalar : flat ? Input::Flat : Input::Broadcast;
  }
}

Status prepare(const Launch &launch, Program &p) {
  p.launch = &launch;
  if (launch.ints.size() < 2) {
    return "pointwise program is malformed";
  }
  int64_t inputs = launch.ints[0];
  int64_t instructions = launch.ints[1];
  if (inputs < 0 || inputs > kMaxInputs || instructions < 0 ||
      inputs + instructions < 1 || inputs + instructions > kMaxRegisters) {
    return "pointwise program is too large";
  }
  if (launch.operands.size() != static_cast<size_t>(inputs) + 1 ||
      launch.ints.size() < 2 + 5 * static_cast<size_t>(instructions)) {
    return "pointwise program is malformed";
  }
  p.numInputs = static_cast<int>(inputs);
  p.numInstructions = static_cast<int>(instructions);
  p.numRegisters = p.numInputs + p.numInstructions;
  p.code = launch.ints.data() + 2;
  for (int i = 0; i < p.numInstructions; ++i) {
    const int64_t *code = p.code + 5 * i;
    auto op = static_cast<PointwiseOp>(code[0]);
    int operands = code[0] < 0 || code[0] > 90 ? -1 : numOperands(op);
    if (operands < 0 || code[1] < 0 || code[1] > 3) {
      return "unknown pointwise instruction";
    }
    for (int j = 0; j < operands; ++j) {
      if (code[2 + j] < 0 || code[2 + j] >= p.numInputs + i) {
        return "pointwise operand is not defined";
      }
    }
    if (op == PointwiseOp::Const && code[1] <= 1 &&
        (code[2] < 0 ||
         code[2] >= static_cast<int64_t>(launch.floats.size()))) {
      return "pointwise constant is not defined";
    }
  }
  p.out = &launch.operands[p.numInputs];
  p.elements = count(*p.out);
  for (int i = 0; i < p.numInputs; ++i) {
    if (!broadcastStrides(launch.operands[i], *p.out, p.inputs[i].strides)) {
      return kBadShape;
    }
  }
  collapse(p);
  p.block = kBlock;
  while ((p.numRegisters + kTemporaries) * p.block * sizeof(int64_t) >
         ThreadPool::kScratchBytes) {
    p.block /= 2;
  }
  return nullptr;
}

} // namespace

Status pointwise(const Launch &launch) {
  Program program;
  if (Status error = prepare(launch, program)) {
    return error;
  }
  if (program.elements == 0) {
    return nullptr;
  }
  // Chunks are whole blocks: where a block begins does not depend on threads.
  int64_t blocks = ceilDiv(program.elements, program.block);
  int64_t perTask =
      maximum(1, minimum(32, blocks / (4 * launch.pool->numThreads())));
  int64_t tasks = ceilDiv(blocks, perTask);
  bool failed = false; // the same on every thread: it depends on types only
  launch.pool->parallelFor(
      tasks,
      [&](int64_t task, int thread) {
        Machine machine(program, launch.pool->scratch(thread));
        int64_t begin = task * perTask * program.block;
        if (!machine.run(begin, minimum(program.elements,
                                        begin + perTask * program.block))) {
          __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
        }
      },
      perTask * program.block * program.numRegisters / 4);
  return failed ? "pointwise instruction has no meaning for its class"
                : nullptr;
}

Status cast(const Launch &launch) {
  const Tensor &x = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int64_t n = count(x);
  if (count(out) != n) {
    return kBadShape;
  }
  int64_t blocks = ceilDiv(n, kBlock);
  int64_t perTask =
      maximum(1, minimum(64, blocks / (4 * launch.pool->numThreads())));
  bool failed = false;
  launch.pool->parallelFor(
      ceilDiv(blocks, perTask),
      [&](int64_t task, int) {
        alignas(64) std::byte block[kBlock * sizeof(int64_t)];
        int64_t end = minimum(n, (task + 1) * perTask * kBlock);
        for (int64_t i = task * perTask * kBlock; i < end; i += kBlock) {
          int64_t length = minimum(kBlock, end - i);
          loadRun(x.dtype, x.data, i, 1, length, block);
          if (!storeRun(classOf(x.dtype), block, out.dtype, out.data, i,
                        length)) {
            __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
            return;
          }
        }
      },
      perTask * kBlock / 4);
  return failed ? kUnsupported : nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
