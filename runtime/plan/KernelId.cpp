//===- KernelId.cpp - Names of the kernels --------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelId.h"

namespace llmc::plan {

std::string_view name(KernelId id) {
  switch (id) {
  case KernelId::Pointwise:
    return "pointwise";
  case KernelId::Linear:
    return "linear";
  case KernelId::LinearQuant:
    return "linear_quant";
  case KernelId::MatMul:
    return "matmul";
  case KernelId::MatMulInteger:
    return "matmul_integer";
  case KernelId::DynamicQuantizeLinear:
    return "dynamic_quantize_linear";
  case KernelId::DequantizeLinear:
    return "dequantize_linear";
  case KernelId::QuantizeLinear:
    return "quantize_linear";
  case KernelId::Reduce:
    return "reduce";
  case KernelId::ArgReduce:
    return "arg_reduce";
  case KernelId::Softmax:
    return "softmax";
  case KernelId::LayerNorm:
    return "layer_norm";
  case KernelId::RmsNorm:
    return "rms_norm";
  case KernelId::Rope:
    return "rope";
  case KernelId::Attention:
    return "attention";
  case KernelId::KvAppend:
    return "kv_append";
  case KernelId::KvRead:
    return "kv_read";
  case KernelId::StridedCopy:
    return "strided_copy";
  case KernelId::Fill:
    return "fill";
  case KernelId::Iota:
    return "iota";
  case KernelId::Gather:
    return "gather";
  case KernelId::GatherQuant:
    return "gather_quant";
  case KernelId::GatherElements:
    return "gather_elements";
  case KernelId::GatherND:
    return "gather_nd";
  case KernelId::ScatterND:
    return "scatter_nd";
  case KernelId::ScatterElements:
    return "scatter_elements";
  case KernelId::CumSum:
    return "cumsum";
  case KernelId::TopK:
    return "topk";
  case KernelId::Conv:
    return "conv";
  case KernelId::Cast:
    return "cast";
  case KernelId::Pool:
    return "pool";
  case KernelId::Lrn:
    return "lrn";
  case KernelId::Generated:
    return "generated";
  case KernelId::LinearAdd:
    return "linear_add";
  case KernelId::LinearGated:
    return "linear_gated";
  case KernelId::LinearSplit:
    return "linear_split";
  }
  return "unknown"; // a number outside the enumeration
}

} // namespace llmc::plan
