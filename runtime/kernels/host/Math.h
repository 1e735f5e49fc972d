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

LLMC_INLINE double geluErf(double x) {
  return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
}
LLMC_INLINE double geluTanh(double x) {
  return 0.5 * x *
         (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
/// tanh within 2 ulp: a polynomial near zero (Cephes), else from e^2x.
LLMC_INLINE VF vtanh(VF x) {
  VF magnitude = vcopysign(x, vset(1.0f));
  VF square = vmul(x, x);
  VF p = vset(-5.70498872745e-3f);
  p = vfma(p, square, vset(2.06390887954e-2f));
  p = vfma(p, square, vset(-5.37397155531e-2f));
  p = vfma(p, square, vset(1.33314422036e-1f));
  p = vfma(p, square, vset(-3.33332819422e-1f));
  VF small = vfma(vmul(p, square), x, x);
  VF one = vset(1.0f);
  VF e = vexp(vadd(magnitude, magnitude));
  VF large = vsub(one, vdiv(vset(2.0f), vadd(e, one)));
  // NaN is not less: it comes from e^2x.
  return vselectLess(magnitude, vset(0.625f), small, vcopysign(large, x));
}

/// erf within 2 ulp: polynomials by N. Juffa.
LLMC_INLINE VF verf(VF x) {
  VF t = vcopysign(x, vset(1.0f));
  VF s = vmul(x, x);
  VF r = vset(-5.96761703e-4f);
  r = vfma(r, s, vset(4.99119423e-3f));
  r = vfma(r, s, vset(-2.67681349e-2f));
  r = vfma(r, s, vset(1.12819925e-1f));
  r = vfma(r, s, vset(-3.76125336e-1f));
  r = vfma(r, s, vset(1.28379166e-1f));
  VF small = vfma(r, x, x);
  VF u = vfma(vset(-3.88396438e-3f), t, vset(2.42546219e-2f));
  VF q = vfma(vset(-1.72853470e-5f), t, vset(3.83197126e-4f));
  q = vfma(q, s, u);
  q = vfma(q, t, vset(-1.06777877e-1f));
  q = vfma(q, t, vset(-6.34846687e-1f));
  q = vfma(q, t, vset(-1.28717512e-1f));
  q = vfma(q, t, vsub(vzero(), t));
  VF large = vsub(vset(1.0f), vexp(q));
  return vselectLess(t, vset(0.927734375f), small, vcopysign(large, x));
}

LLMC_INLINE VF vgeluErf(VF x) {
  VF half = vmul(vset(0.5f), x);
  return vmul(half, vadd(vset(1.0f), verf(vmul(x, vset(0.70710678f)))));
}
LLMC_INLINE VF vgeluTanh(VF x) {
  VF half = vmul(vset(0.5f), x);
  VF cube = vmul(vmul(x, x), x);
  VF inner = vmul(vset(0.7978845608f), vfma(vset(0.044715f), cube, x));
  return vmul(half, vadd(vset(1.0f), vtanh(inner)));
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
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vtanh(a); });
    break;
  case plan::Activation::GeluErf:
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vgeluErf(a); });
    break;
  case plan::Activation::GeluTanh:
    vmap(v, v, n, [](VF a) LLMC_INLINE_LAMBDA { return vgeluTanh(a); });
    break;
  }
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_MATH_H
