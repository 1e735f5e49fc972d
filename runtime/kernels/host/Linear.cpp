//===- Linear.cpp - Products with packed weights --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Products.h"

namespace llmc::kernels::LLMC_ISA_NS {

Status linear(const Launch &launch) {
  bool hasBias = launch.ints[0] != 0;
  ProductArgs a;
  a.x = &launch.operands[0];
  a.w = &launch.operands[1];
  a.bias = hasBias ? &launch.operands[2] : nullptr;
  a.activation = static_cast<plan::Activation>(launch.ints[1]);
  const Tensor &out = launch.operands[hasBias ? 3 : 2];
  if (a.w->rank != 2 || a.x->rank < 1 || out.rank < 1 ||
      a.x->dims[a.x->rank - 1] != a.w->dims[1]) {
    return kBadShape;
  }
  bool isPiece = launch.ints.size() > 2;
  int64_t total = out.dims[out.rank - 1];
  int64_t first = isPiece ? launch.ints[2] : 0;
  if (first < 0 || first + a.w->dims[0] > total ||
      (!isPiece && a.w->dims[0] != total)) {
    return kBadShape;
  }
  if (a.w->packing != plan::Packing::Panel64) {
    return "linear needs a weight in 64-output panels";
  }
  if (!isFloat32Like(a.x->dtype) || !isFloat32Like(out.dtype) ||
      (hasBias && !isFloat32Like(a.bias->dtype))) {
    return kUnsupported;
  }
  a.depth = a.w->dims[1];
  a.rows = count(*a.x, 0, a.x->rank - 1);
  a.products[0] = {0, a.w->dims[0], &out, total, first};
  return runProducts(launch, a);
}

} // namespace llmc::kernels::LLMC_ISA_NS
