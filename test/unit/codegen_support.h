//===- codegen_support.h - Generated against interpreted -------*- C++ -*-===//

#ifndef LLMC_TEST_UNIT_CODEGEN_SUPPORT_H
#define LLMC_TEST_UNIT_CODEGEN_SUPPORT_H

#include "compiler/codegen/Codegen.h"
#include "runtime/core/GeneratedCode.h"
#include "runtime/kernels/Kernel.h"
#include "runtime/kernels/ThreadPool.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/Target.h"
#include "test/unit/plan_one_launch.h"

#include "gtest/gtest.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace llmc::codegen::test {

using namespace llmc::plan;
using llmc::plan::test::OneLaunch;

struct Instr {
  PointwiseOp op;
  int64_t cls = 0;
  int64_t a = 0, b = 0, c = 0;
};

inline std::vector<int64_t> program(int64_t inputs,
                                    const std::vector<Instr> &code) {
  std::vector<int64_t> ints = {inputs, int64_t(code.size())};
  for (const Instr &i : code) {
    ints.insert(ints.end(), {int64_t(i.op), i.cls, i.a, i.b, i.c});
  }
  return ints;
}

/// A tensor with its own storage.
struct Data {
  DType dtype = DType::F32;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;

  Data(DType dtype, std::vector<int64_t> shape)
      : dtype(dtype), dims(std::move(shape)) {
    size_t n = bitWidth(dtype) / 8;
    for (int64_t d : dims) {
      n *= size_t(d);
    }
    bytes.resize(n);
  }
  size_t count() const { return bytes.size() / (bitWidth(dtype) / 8); }
  float *f32() { return reinterpret_cast<float *>(bytes.data()); }
  uint16_t *u16() { return reinterpret_cast<uint16_t *>(bytes.data()); }
  kernels::Tensor tensor() {
    kernels::Tensor t;
    t.data = bytes.data();
    t.dtype = dtype;
    t.rank = int(dims.size());
    std::copy(dims.begin(), dims.end(), t.dims);
    return t;
  }
};

/// The level that tests can run code of; they are skipped below the lowest.
inline int testLevel() { return hostTarget().level; }

/// A plan of one launch with operands of these dimensions, generated.
struct Built {
  OneLaunch one{KernelId::Pointwise};
  Report report;
  std::unique_ptr<GeneratedCode> code;

  Built(const std::vector<Data *> &operands, std::vector<int64_t> ints,
        std::vector<double> floats, int level = testLevel()) {
    for (size_t i = 0; i + 1 < operands.size(); ++i) {
      one.operand(operands[i]->dtype, operands[i]->dims);
    }
    one.out(operands.back()->dtype, operands.back()->dims);
    one.ints(std::move(ints)).floats(std::move(floats));
    Result<Report> done = generateKernels(one.plan, {{level, {}}}, {});
    EXPECT_TRUE(done) << done.error().message;
    report = *done;
    auto loaded = GeneratedCode::load(one.plan, testLevel(), testLevel());
    EXPECT_TRUE(loaded) << loaded.error().message;
    code = std::move(*loaded);
  }
  bool generated() const {
    return one.plan.entries[0].steps[0].kernel == KernelId::Generated;
  }
  /// Runs the launch, generated or not, on these operands.
  void run(const std::vector<Data *> &operands, int threads = 1) {
    const Step &step = one.plan.entries[0].steps[0];
    std::vector<kernels::Tensor> tensors;
    for (Data *operand : operands) {
      tensors.push_back(operand->tensor());
    }
    kernels::ThreadPool pool(threads);
    kernels::Launch launch;
    launch.operands = tensors;
    launch.ints = step.ints;
    launch.floats = step.floats;
    launch.pool = &pool;
    if (generated()) {
      launch.code = code->function(uint64_t(step.ints[0]));
      launch.function = &one.plan.code.functions[size_t(step.ints[0])];
    }
    kernels::Status status = kernels::lookupHostKernel(step.kernel)(launch);
    EXPECT_EQ(status, nullptr) << status;
  }
};

/// The same by the interpreter.
inline void interpret(const std::vector<Data *> &operands,
                      const std::vector<int64_t> &ints,
                      const std::vector<double> &floats) {
  std::vector<kernels::Tensor> tensors;
  for (Data *operand : operands) {
    tensors.push_back(operand->tensor());
  }
  kernels::ThreadPool pool(1);
  kernels::Launch launch;
  launch.operands = tensors;
  launch.ints = ints;
  launch.floats = floats;
  launch.pool = &pool;
  kernels::Status status =
      kernels::lookupHostKernel(KernelId::Pointwise)(launch);
  EXPECT_EQ(status, nullptr) << status;
}

#define SKIP_WITHOUT_AVX2()                                                    \
  if (testLevel() < kLowestLevel) {                                            \
    GTEST_SKIP() << "this machine runs no generated code";                     \
  }

} // namespace llmc::codegen::test

#endif // LLMC_TEST_UNIT_CODEGEN_SUPPORT_H
