//===- Kernel.h - How the executor calls a kernel --------------*- C++ -*-===//
//
// Kernels never allocate. What each one expects is in runtime/plan/KernelId.h.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_KERNEL_H
#define LLMC_RUNTIME_KERNELS_KERNEL_H

#include "runtime/plan/Code.h"
#include "runtime/plan/DType.h"
#include "runtime/plan/KernelId.h"
#include "runtime/plan/Packing.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace llmc::kernels {

constexpr int kMaxRank = 8;

/// A pool of worker threads owned by the executor; the caller is thread 0.
class ThreadPool;

/// A view of a tensor with this step's dimensions.
struct Tensor {
  void *data = nullptr;
  plan::DType dtype = plan::DType::F32;
  plan::Packing packing = plan::Packing::Raw;
  int rank = 0;
  int64_t dims[kMaxRank] = {};

  int64_t numElements() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) {
      n *= dims[i];
    }
    return n;
  }
};

/// The arguments of one launch, all lists in the order KernelId.h gives.
struct Launch {
  std::span<const Tensor> operands;
  std::span<const int64_t> params; // evaluated
  std::span<const int64_t> ints;
  std::span<const double> floats;
  /// Generated: the function to call, and what it asks of its operands.
  const void *code = nullptr;
  const plan::CodeFunction *function = nullptr;
  ThreadPool *pool = nullptr;
};

/// nullptr on success, else a static text such as "index out of range".
using Status = const char *;
using KernelFn = Status (*)(const Launch &);

/// The host kernel for `id`, nullptr if this build has none.
KernelFn lookupHostKernel(plan::KernelId id);

/// The instruction set that lookupHostKernel() now chooses for: "x86-64-v2",
/// "x86-64-v3", "x86-64-v4" or "x86-64-v4-bf16" (which has AVX512-BF16 too);
/// the best of this machine unless the environment variable LLMC_ISA ("v2",
/// "v3", "v4", "v4-bf16") asks for less. Results may differ between levels in
/// the last bits, never between runs on one level.
const char *hostIsa();

/// Chooses for lookups from now on; false if the machine lacks it.
bool setHostIsa(const char *isa);

} // namespace llmc::kernels

#endif // LLMC_RUNTIME_KERNELS_KERNEL_H
