//===- Kernels.h - All host kernels ----------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Operands, params, ints and floats of each are in runtime/plan/KernelId.h.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_KERNELS_H
#define LLMC_RUNTIME_KERNELS_HOST_KERNELS_H

#include "runtime/kernels/Kernel.h"

namespace llmc::kernels {

/// Kernels compiled once per instruction set.
#define LLMC_PER_ISA_KERNELS(KERNEL)                                           \
  KERNEL(Pointwise, pointwise)                                                 \
  KERNEL(Linear, linear)                                                       \
  KERNEL(LinearAdd, linearAdd)                                                 \
  KERNEL(LinearGated, linearGated)                                             \
  KERNEL(LinearSplit, linearSplit)                                             \
  KERNEL(LinearQuant, linearQuant)                                             \
  KERNEL(MatMul, matMul)                                                       \
  KERNEL(MatMulInteger, matMulInteger)                                         \
  KERNEL(Softmax, softmax)                                                     \
  KERNEL(LayerNorm, layerNorm)                                                 \
  KERNEL(RmsNorm, rmsNorm)                                                     \
  KERNEL(Attention, attention)                                                 \
  KERNEL(GatherQuant, gatherQuant)                                             \
  KERNEL(Cast, cast)                                                           \
  KERNEL(Pool, pool)                                                           \
  KERNEL(Conv, conv)                                                           \
  KERNEL(Lrn, lrn)

/// Kernels compiled once, for x86-64-v2.
#define LLMC_COMMON_KERNELS(KERNEL)                                            \
  KERNEL(DynamicQuantizeLinear, dynamicQuantizeLinear)                         \
  KERNEL(DequantizeLinear, dequantizeLinear)                                   \
  KERNEL(QuantizeLinear, quantizeLinear)                                       \
  KERNEL(Reduce, reduce)                                                       \
  KERNEL(ArgReduce, argReduce)                                                 \
  KERNEL(Rope, rope)                                                           \
  KERNEL(KvAppend, kvAppend)                                                   \
  KERNEL(KvRead, kvRead)                                                       \
  KERNEL(StridedCopy, stridedCopy)                                             \
  KERNEL(Generated, generated)                                                 \
  KERNEL(Fill, fill)                                                           \
  KERNEL(Iota, iota)                                                           \
  KERNEL(Gather, gather)                                                       \
  KERNEL(GatherElements, gatherElements)                                       \
  KERNEL(GatherND, gatherND)                                                   \
  KERNEL(ScatterND, scatterND)                                                 \
  KERNEL(ScatterElements, scatterElements)                                     \
  KERNEL(CumSum, cumSum)                                                       \
  KERNEL(TopK, topK)

#define LLMC_DECLARE_KERNEL(id, function) Status function(const Launch &launch);
namespace v2 {
LLMC_PER_ISA_KERNELS(LLMC_DECLARE_KERNEL)
LLMC_COMMON_KERNELS(LLMC_DECLARE_KERNEL)
} // namespace v2
namespace v3 {
LLMC_PER_ISA_KERNELS(LLMC_DECLARE_KERNEL)
} // namespace v3
namespace v4 {
LLMC_PER_ISA_KERNELS(LLMC_DECLARE_KERNEL)
} // namespace v4
namespace v4_bf16 {
LLMC_PER_ISA_KERNELS(LLMC_DECLARE_KERNEL)
} // namespace v4_bf16
#undef LLMC_DECLARE_KERNEL

} // namespace llmc::kernels

#endif // LLMC_RUNTIME_KERNELS_HOST_KERNELS_H
