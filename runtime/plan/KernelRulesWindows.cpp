//===- KernelRulesWindows.cpp - Rules of pooling --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelRules.h"

#include <algorithm>

namespace llmc::plan {

bool LaunchRules::pool() {
  if (!require(step.ints.size() >= 4, "no attributes")) {
    return false;
  }
  int64_t kind = step.ints[0], spatial = step.ints[1];
  if (!require(kind >= 0 && kind <= static_cast<int64_t>(PoolKind::Average),
               "unknown kind of pool") ||
      !require(spatial >= 1 && spatial <= 6, "a spatial rank out of range") ||
      !ints(static_cast<size_t>(4 + 5 * spatial)) || !flag(2) || !flag(3) ||
      !operands(1, 1)) {
    return false;
  }
  size_t s = static_cast<size_t>(spatial);
  bool isMax = kind == static_cast<int64_t>(PoolKind::Max);
  if (!isRank(0, s + 2) || !isRank(1, s + 2) || !sameDims(0, 0, 1, 0, 2)) {
    return false;
  }
  DType in = step.operands[0].dtype, out = step.operands[1].dtype;
  if (isMax ? !sameType(0, 1) ||
                  !require(bitWidth(in) >= 8, "elements of less than a byte")
            : !isFloat(0) || !isFloat(1) ||
                  !require((in == DType::F64) == (out == DType::F64),
                           "f64 and another type")) {
    return false;
  }
  constexpr int64_t limit = int64_t(1) << 31;
  for (size_t i = 0; i < s; ++i) {
    int64_t kernel = step.ints[4 + i], stride = step.ints[4 + s + i],
            dilation = step.ints[4 + 2 * s + i],
            begin = step.ints[4 + 3 * s + i], end = step.ints[4 + 4 * s + i];
    int64_t size = upper(0, 2 + i);
    if (!require(std::min({kernel, stride, dilation}) >= 1 &&
                     std::max({kernel, stride, dilation}) < limit,
                 "a kernel, stride or dilation out of range") ||
        !require(begin >= 0 && begin < limit && end >= 0 && end < limit &&
                     size < limit,
                 "padding or size out of range")) {
      return false;
    }
    // Windows start at multiples of the stride in the padded axis.
    int64_t last = size + begin + end - (kernel - 1) * dilation - 1;
    int64_t windows = last < 0 ? 0 : last / stride + 1;
    if (step.ints[2] != 0 && last >= 0 && last % stride != 0 &&
        windows * stride < size + begin) {
      ++windows;
    }
    if (!require(upper(1, 2 + i) == windows,
                 "the result has another spatial size")) {
      return false;
    }
  }
  return true;
}

bool LaunchRules::lrn() {
  return ints(1) && floats(3) && operands(1, 1) && minRank(0, 2) &&
         sameShape(0, 1) && isFloat(0) && isFloat(1) &&
         require((step.operands[0].dtype == DType::F64) ==
                     (step.operands[1].dtype == DType::F64),
                 "f64 and another type") &&
         require(step.ints[0] >= 1 && step.ints[0] < (int64_t(1) << 31),
                 "a size out of range");
}

} // namespace llmc::plan
