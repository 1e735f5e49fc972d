//===- LinearJoined.cpp - Products with what stands around them -----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Products.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

/// Sets x, w and the sizes. `factors`: panels of w per panel of outputs. An
/// error, or nullptr.
Status setWeight(const Launch &launch, int64_t factors, ProductArgs &a) {
  a.x = &launch.operands[0];
  a.w = &launch.operands[1];
  if (a.w->rank != 2 || a.x->rank < 1) {
    return kBadShape;
  }
  a.depth = a.x->dims[a.x->rank - 1];
  if (a.w->dims[1] != a.depth * factors) {
    return kBadShape;
  }
  if (a.w->packing != plan::Packing::Panel64) {
    return "products need a weight in 64-output panels";
  }
  for (const Tensor &operand : launch.operands) {
    if (&operand != a.w && !isFloat32Like(operand.dtype)) {
      return kUnsupported;
    }
  }
  a.rows = count(*a.x, 0, a.x->rank - 1);
  return nullptr;
}

/// The only product of a launch, a piece if its ints go on after `usual`.
Status setResult(const Launch &launch, const Tensor &out, size_t usual,
                 ProductArgs &a) {
  if (out.rank < 1) {
    return kBadShape;
  }
  bool isPiece = launch.ints.size() > usual;
  int64_t outputs = a.w->dims[0];
  int64_t total = out.dims[out.rank - 1];
  int64_t first = isPiece ? launch.ints[usual] : 0;
  if (first < 0 || first + outputs > total || (!isPiece && outputs != total)) {
    return kBadShape;
  }
  a.products[0] = {0, outputs, &out, total, first};
  return nullptr;
}

} // namespace

Status linearAdd(const Launch &launch) {
  bool hasBias = launch.ints[0] != 0;
  ProductArgs a;
  a.activation = static_cast<plan::Activation>(launch.ints[1]);
  a.residual = &launch.operands[2];
  a.bias = hasBias ? &launch.operands[3] : nullptr;
  const Tensor &out = launch.operands[hasBias ? 4 : 3];
  if (Status bad = setWeight(launch, 1, a)) {
    return bad;
  }
  if (Status bad = setResult(launch, out, 2, a)) {
    return bad;
  }
  if (count(*a.residual) != a.rows * a.products[0].total) {
    return kBadShape;
  }
  return runProducts(launch, a);
}

Status linearGated(const Launch &launch) {
  ProductArgs a;
  a.activation = static_cast<plan::Activation>(launch.ints[0]);
  a.isGated = true;
  if (Status bad = setWeight(launch, 2, a)) {
    return bad;
  }
  if (Status bad = setResult(launch, launch.operands[2], 1, a)) {
    return bad;
  }
  return runProducts(launch, a);
}

Status linearSplit(const Launch &launch) {
  bool hasBias = launch.ints[0] != 0;
  ProductArgs a;
  a.activation = static_cast<plan::Activation>(launch.ints[1]);
  a.bias = hasBias ? &launch.operands[2] : nullptr;
  a.numProducts = launch.ints[2];
  if (Status bad = setWeight(launch, 1, a)) {
    return bad;
  }
  size_t firstOut = hasBias ? 3 : 2;
  auto parts = static_cast<size_t>(a.numProducts);
  if (a.numProducts <= 0 || a.numProducts > kMaxProducts ||
      launch.operands.size() != firstOut + parts ||
      launch.ints.size() != 3 + 2 * parts) {
    return kBadShape;
  }
  int64_t panel = 0;
  for (size_t i = 0; i < parts; ++i) {
    const Tensor &out = launch.operands[firstOut + i];
    int64_t n = launch.ints[3 + 2 * i];
    int64_t first = launch.ints[4 + 2 * i];
    int64_t total = out.rank < 1 ? 0 : out.dims[out.rank - 1];
    if (n <= 0 || first < 0 || first + n > total) {
      return kBadShape;
    }
    a.products[i] = {panel, n, &out, total, first};
    panel += ceilDiv(n, kPanel);
  }
  return panel == ceilDiv(a.w->dims[0], kPanel) ? runProducts(launch, a)
                                                : kBadShape;
}

} // namespace llmc::kernels::LLMC_ISA_NS
