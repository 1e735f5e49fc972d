//===- Math.h - Functions of one element -----------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_MATH_H
#define LLMC_RUNTIME_KERNELS_HOST_MATH_H

#include "runtime/kernels/host/Simd.h"

#include <math.h>

namespace llmc::kernels::LLMC_ISA_NS {

LLMC_INLINE float geluErf(float x) {
  return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}
LLMC_INLINE double geluErf(double x) {
  return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
}
LLMC_INLINE float geluTanh(float x) {
  return 0.5f * x *
         (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}
LLMC_INLINE double geluTanh(double x) {
  return 0.5 * x *
         (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
LLMC_INLINE VF vsilu(VF x) { return vmul(x, vsigmoid(x)); }
LLMC_INLINE VF vquickGelu(VF x) {
  return vmul(x, vsigmoid(vmul(x, vset(1.702f))));
}

/// v[i] = activation(v[i]) for i < n.
LLMC_INLINE void activate(plan::Activation kind, float *v, int64_t n) {
  switch (kind) {
  case plan::Activation::None:
    break;
  case plan::Activation::Relu:
    // NaN stays NaN.
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vmax(vzero(), a); });
    break;
  case plan::Activation::Silu:
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vsilu(a); });
    break;
  case plan::Activation::QuickGelu:
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vquickGelu(a); });
    break;
  case plan::Activation::Sigmoid:
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vsigmoid(a); });
    break;
  case plan::Activation::Tanh:
    for (int64_t i = 0; i < n; ++i) {
      v[i] = tanhf(v[i]);
    }
    break;
  case plan::Activation::GeluErf:
    for (int64_t i = 0; i < n; ++i) {
      v[i] = geluErf(v[i]);
    }
    break;
  case plan::Activation::GeluTanh:
    for (int64_t i = 0; i < n; ++i) {
      v[i] = geluTanh(v[i]);
    }
    break;
  }
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_MATH_H
