//===- Packing.h - How weights lie in their segments -----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Apart from Plan.h, which kernels need not know.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PACKING_H
#define LLMC_RUNTIME_PLAN_PACKING_H

#include <cstdint>

namespace llmc::plan {

/// How a weight's bytes lie in its segment.
enum class Packing : uint8_t {
  Raw = 0,     // as in the model, row-major
  Panel64 = 1, // [ceil(N/64)][K][64]: 64 outputs side by side, zero padded
};

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PACKING_H
