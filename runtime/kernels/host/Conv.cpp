//===- Conv.cpp - Direct convolution --------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

struct ConvArgs {
  const Tensor *x, *w, *bias, *out;
  int spatial;
  int64_t groupIn, groupOut; // channels per group
  const int64_t *strides, *dilations, *pads;
};

/// One output channel of one image.
template <class T, class W>
void channel(const ConvArgs &a, int64_t image, int64_t m) {
  using C = Compute<T>;
  int64_t inSize = count(*a.x, 2, a.x->rank);
  int64_t outSize = count(*a.out, 2, a.out->rank);
  int64_t kernelSize = count(*a.w, 2, a.w->rank);
  int64_t group = m / a.groupOut;
  const T *x =
      data<const T>(*a.x) + (image * a.x->dims[1] + group * a.groupIn) * inSize;
  const W *w = data<const W>(*a.w) + m * a.groupIn * kernelSize;
  int64_t first = (image * a.out->dims[1] + m) * outSize;
  C bias = 0;
  if constexpr (std::is_same_v<C, double>) {
    bias = a.bias ? data<const double>(*a.bias)[m] : 0.0;
  } else if (a.bias) {
    bias = loadFloat(a.bias->dtype, a.bias->data, m);
  }
  for (int64_t i = 0; i < outSize; ++i) {
    int64_t corner[kMaxRank];
    int64_t rest = i;
    for (int d = a.spatial - 1; d >= 0; --d) {
      corner[d] = rest % a.out->dims[2 + d] * a.strides[d] - a.pads[d];
      rest /= a.out->dims[2 + d];
    }
    C sum = 0;
    for (int64_t tap = 0; tap < kernelSize; ++tap) {
      int64_t left = tap;
      int64_t at = 0;
      int64_t stride = 1;
      bool inside = true;
      for (int d = a.spatial - 1; d >= 0; --d) {
        int64_t position = corner[d] + left % a.w->dims[2 + d] * a.dilations[d];
        left /= a.w->dims[2 + d];
        inside &= position >= 0 && position < a.x->dims[2 + d];
        at += position * stride;
        stride *= a.x->dims[2 + d];
      }
      if (!inside) {
        continue;
      }
      for (int64_t c = 0; c < a.groupIn; ++c) {
        sum += C(x[c * inSize + at]) * C(w[c * kernelSize + tap]);
      }
    }
    if constexpr (std::is_same_v<C, double>) {
      data<double>(*a.out)[first + i] = sum + bias;
    } else {
      storeFloat(a.out->dtype, a.out->data, first + i, sum + bias);
    }
  }
}

} // namespace

Status conv(const Launch &launch) {
  ConvArgs a;
  bool hasBias = launch.ints[2] != 0;
  a.x = &launch.operands[0];
  a.w = &launch.operands[1];
  a.bias = hasBias ? &launch.operands[2] : nullptr;
  a.out = &launch.operands[hasBias ? 3 : 2];
  int64_t spatial = launch.ints[0];
  int64_t groups = launch.ints[1];
  if (spatial < 1 || spatial > kMaxRank - 2 || groups < 1 ||
      launch.ints.size() < 3 + 4 * static_cast<size_t>(spatial) ||
      a.x->rank != spatial + 2 || a.w->rank != spatial + 2 ||
      a.out->rank != spatial + 2) {
    return kBadShape;
  }
  a.spatial = static_cast<int>(spatial);
  a.strides = launch.ints.data() + 3;
  a.dilations = a.strides + spatial;
  a.pads = a.dilations + spatial;
  a.groupIn = a.w->dims[1];
  int64_t outputs = a.w->dims[0];
  if (a.groupIn * groups != a.x->dims[1] || outputs % groups != 0 ||
      a.out->dims[1] != outputs || a.out->dims[0] != a.x->dims[0] ||
      (hasBias && count(*a.bias) != outputs)) {
    return kBadShape;
  }
  for (int d = 0; d < a.spatial; ++d) {
    int64_t room = a.x->dims[2 + d] + a.pads[d] + a.pads[spatial + d] -
                   a.dilations[d] * (a.w->dims[2 + d] - 1) - 1;
    if (a.strides[d] < 1 || a.dilations[d] < 1 ||
        a.out->dims[2 + d] != (room < 0 ? 0 : room / a.strides[d] + 1)) {
      return kBadShape;
    }
  }
  // Float types may be mixed, doubles only among themselves.
  for (const Tensor *tensor :
       {a.x, a.w, a.bias, static_cast<const Tensor *>(a.out)}) {
    if (tensor && (!isFloat(tensor->dtype) || (tensor->dtype == DType::F64) !=
                                                  (a.x->dtype == DType::F64))) {
      return kUnsupported;
    }
  }
  if (outputs == 0) {
    return nullptr;
  }
  a.groupOut = outputs / groups;
  auto run = [&](auto tag, auto weightTag) {
    launch.pool->parallelFor(
        a.x->dims[0] * outputs,
        [&](int64_t task, int) {
          channel<decltype(tag), decltype(weightTag)>(a, task / outputs,
                                                      task % outputs);
        },
        count(*a.out, 2, a.out->rank) * count(*a.w, 1, a.w->rank));
  };
  if (a.x->dtype == DType::F64) {
    run(double{}, double{});
    return nullptr;
  }
  dispatchFloat(a.x->dtype, [&](auto tag) {
    dispatchFloat(a.w->dtype, [&](auto weightTag) { run(tag, weightTag); });
  });
  return nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
