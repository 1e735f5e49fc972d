//===- KernelRulesShapes.cpp - Rules of the other kernels -----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelRules.h"

#include <algorithm>

namespace llmc::plan {

/// The number of registers an instruction reads; -1 for an unknown one.
static int arity(int64_t op) {
  if (op == int64_t(PointwiseOp::Const)) {
    return 0;
  }
  if (op == int64_t(PointwiseOp::Cast) ||
      (op >= int64_t(PointwiseOp::Neg) && op <= int64_t(PointwiseOp::Square))) {
    return 1;
  }
  if ((op >= int64_t(PointwiseOp::Add) && op <= int64_t(PointwiseOp::Xor)) ||
      (op >= int64_t(PointwiseOp::Eq) && op <= int64_t(PointwiseOp::Ne))) {
    return 2;
  }
  return op == int64_t(PointwiseOp::Select) ? 3 : -1;
}

bool LaunchRules::pointwise() {
  if (!require(step.ints.size() >= 2, "no program") ||
      !require(step.ints[0] >= 0 && step.ints[0] <= 4096 && step.ints[1] >= 1 &&
                   step.ints[1] <= 4096,
               "the number of inputs or instructions is out of range")) {
    return false;
  }
  int64_t inputs = step.ints[0], instructions = step.ints[1];
  if (!ints(static_cast<size_t>(2 + 5 * instructions)) ||
      !operands(static_cast<size_t>(inputs), 1)) {
    return false;
  }
  size_t out = firstOutput;
  for (size_t i = 0; i < step.operands.size(); ++i) {
    if (!require(bitWidth(step.operands[i].dtype) >= 8,
                 "elements of less than a byte") ||
        !broadcasts(i, out)) {
      return false;
    }
  }
  for (int64_t i = 0; i < instructions; ++i) {
    const int64_t *code = &step.ints[static_cast<size_t>(2 + 5 * i)];
    int reads = arity(code[0]);
    if (!require(reads >= 0, "an unknown instruction") ||
        !require(code[1] >= 0 && code[1] <= 3, "an unknown dtype class")) {
      return false;
    }
    for (int r = 0; r < reads; ++r) {
      if (code[2 + r] < 0 || code[2 + r] >= inputs + i) {
        return fail("instruction " + std::to_string(i) + " reads register " +
                    std::to_string(code[2 + r]) + ", which is not yet written");
      }
    }
    bool isFloatConst = reads == 0 && code[1] <= 1;
    if (isFloatConst &&
        (code[2] < 0 || code[2] >= static_cast<int64_t>(step.floats.size()))) {
      return fail("instruction " + std::to_string(i) + " reads float " +
                  std::to_string(code[2]) + " of " +
                  std::to_string(step.floats.size()));
    }
  }
  return true;
}

bool LaunchRules::reduce() {
  if (!ints(2) || !operands(1, 1) ||
      !require(step.ints[0] >= 0 &&
                   step.ints[0] <= int64_t(ReduceKind::LogSumExp),
               "an unknown kind of reduction") ||
      !require(step.ints[1] >= 0 && step.ints[1] < (int64_t(1) << rank(0)),
               "reduced axes that the input does not have")) {
    return false;
  }
  int64_t kept = 1;
  for (size_t i = 0; i < rank(0); ++i) {
    if ((step.ints[1] >> i & 1) == 0 &&
        __builtin_mul_overflow(kept, upper(0, i), &kept)) {
      return fail("the result is too large");
    }
  }
  return hasElements(1, kept);
}

bool LaunchRules::argReduce() {
  if (!ints(3) || !operands(1, 1) || !axisInt(0, rank(0)) || !flag(1) ||
      !flag(2) || !oneOf(1, {DType::I64})) {
    return false;
  }
  size_t axis = static_cast<size_t>(step.ints[0]);
  int64_t before = product(0, 0, axis);
  int64_t after = product(0, axis + 1, rank(0));
  int64_t kept;
  return require(before >= 0 && after >= 0 &&
                     !__builtin_mul_overflow(before, after, &kept),
                 "the result is too large") &&
         hasElements(1, kept);
}

/// Softmax and CumSum: same shape, an axis, flags.
bool LaunchRules::softmaxLike(size_t numInts) {
  if (!ints(numInts) || !operands(1, 1) || !axisInt(0, rank(0)) ||
      !sameShape(0, 1)) {
    return false;
  }
  for (size_t i = 1; i < numInts; ++i) {
    if (!flag(i)) {
      return false;
    }
  }
  return true;
}

bool LaunchRules::stridedCopy() {
  if (!ints(1) || !operands(1, 1) ||
      !require(step.ints[0] >= 0 && step.ints[0] <= static_cast<int64_t>(8),
               "a rank out of range") ||
      !params(static_cast<size_t>(2 + 3 * step.ints[0])) || !sameType(0, 1)) {
    return false;
  }
  size_t r = static_cast<size_t>(step.ints[0]);
  bool empty = false;
  for (size_t i = 0; i < r; ++i) {
    const Interval &extent = bounds[step.params[2 + i]];
    empty |= extent.upper <= 0;
    if (!require(extent.lower >= 0, "an extent may be negative")) {
      return false;
    }
  }
  for (size_t side = 0; side < 2; ++side) {
    // First and last element: offset + the sum of (extent - 1) * stride, once
    // by intervals and once by terms, which knows what cancels.
    const Interval &offset = bounds[step.params[side]];
    __extension__ using Wide = __int128;
    Wide low = offset.lower, high = offset.upper;
    std::optional<Linear> first = bounds.linear(step.params[side]);
    std::optional<Linear> last = first;
    bool strideSigns = true;
    for (size_t i = 0; i < r; ++i) {
      uint32_t extentExpr = step.params[2 + i];
      uint32_t strideExpr = step.params[2 + r * (1 + side) + i];
      Wide most = std::max<Wide>(Wide(bounds[extentExpr].upper) - 1, 0);
      const Interval &stride = bounds[strideExpr];
      low += std::min<Wide>(0, most * stride.lower);
      high += std::max<Wide>(0, most * stride.upper);
      // With constant signs, one end of each axis is the extreme.
      std::optional<Linear> steps;
      if (bounds.linear(extentExpr) && bounds.linear(strideExpr)) {
        steps = add(*bounds.linear(extentExpr), Linear{-1, {}});
        steps = steps ? multiply(*steps, *bounds.linear(strideExpr)) : steps;
      }
      strideSigns &= stride.lower >= 0 || stride.upper <= 0;
      std::optional<Linear> &end = stride.lower >= 0 ? last : first;
      end = end && steps ? add(*end, *steps) : std::nullopt;
      // Bounds beyond 2^63 are refused; this also keeps the sums in range.
      if (low < INT64_MIN / 2 || high > INT64_MAX / 2) {
        return fail("strides are too large");
      }
    }
    if (strideSigns) {
      std::optional<int64_t> tightLow =
          first ? bounds.lower(*first) : std::nullopt;
      std::optional<int64_t> tightHigh =
          last ? bounds.upper(*last) : std::nullopt;
      low = tightLow ? std::max<Wide>(low, *tightLow) : low;
      high = tightHigh ? std::min<Wide>(high, *tightHigh) : high;
    }
    int64_t count = elements(side);
    if (!empty && (low < 0 || high >= count)) {
      return fail("elements [" + std::to_string(int64_t(low)) + ", " +
                  std::to_string(int64_t(high)) + "] of " + shape(side) +
                  ", which has " + std::to_string(count));
    }
    if (side == 1) {
      uint64_t bits = bitWidth(step.operands[1].dtype);
      copied = empty ? ByteRange{}
                     : ByteRange{uint64_t(low) * bits / 8,
                                 (uint64_t(high + 1) * bits + 7) / 8};
    }
  }
  return true;
}

bool LaunchRules::fill() {
  if (!operands(0, 1)) {
    return false;
  }
  DType type = step.operands[0].dtype;
  bool isFloating = type == DType::F32 || type == DType::F16 ||
                    type == DType::BF16 || type == DType::F64;
  return require(isFloating ? !step.floats.empty() : !step.ints.empty(),
                 "no value to fill with");
}

bool LaunchRules::iota() {
  return ints(1) && params(2) && operands(0, 1) &&
         oneOf(0, {DType::I64, DType::I32, DType::F32}) &&
         (rank(0) == 0 ? require(step.ints[0] == 0, "an axis of a scalar")
                       : axisInt(0, rank(0)));
}

bool LaunchRules::gather() {
  if (!ints(1) || !operands(2, 1) || !axisInt(0, rank(0)) || !isIndex(1)) {
    return false;
  }
  size_t axis = static_cast<size_t>(step.ints[0]);
  if (!require(step.operands[0].packing == Packing::Raw ||
                   (axis == 0 && rank(0) == 2),
               "a table packed in panels is gathered along its rows only") ||
      !isRank(2, rank(0) - 1 + rank(1)) || !sameDims(0, 0, 2, 0, axis) ||
      !sameDims(1, 0, 2, axis, rank(1)) ||
      !sameDims(0, axis + 1, 2, axis + rank(1), rank(0) - axis - 1)) {
    return false;
  }
  DType data = step.operands[0].dtype;
  bool widens = (data == DType::F16 || data == DType::BF16) &&
                step.operands[2].dtype == DType::F32;
  return widens || sameType(0, 2);
}

bool LaunchRules::gatherQuant() {
  if (!ints(6) || !flag(4)) {
    return false;
  }
  int64_t n = step.ints[0], k = step.ints[1], bits = step.ints[2],
          blockSize = step.ints[3];
  size_t indices = step.ints[4] != 0 ? 3 : 2;
  if (!require(n > 0 && k > 0 && n < (int64_t(1) << 31) &&
                   k < (int64_t(1) << 31) && (bits == 4 || bits == 8) &&
                   blockSize > 0 && blockSize < (int64_t(1) << 31),
               "N, K, bits or block size out of range") ||
      !operands(indices + 1, 1) || !isIndex(indices)) {
    return false;
  }
  size_t out = indices + 1;
  int64_t blocks = (k + blockSize - 1) / blockSize;
  int64_t codes, scales, result;
  bool overflow =
      __builtin_mul_overflow(n, (blocks * blockSize * bits + 7) / 8, &codes) ||
      __builtin_mul_overflow(n, blocks, &scales) || elements(indices) < 0 ||
      __builtin_mul_overflow(elements(indices), k, &result);
  return require(!overflow, "N * K overflows") && oneOf(0, {DType::U8}) &&
         hasElements(0, codes) &&
         oneOf(1, {DType::F32, DType::F16, DType::BF16}) &&
         hasElements(1, scales) &&
         (indices == 2 || (oneOf(2, {DType::U8}) && hasElements(2, scales))) &&
         isFloat(out) && hasElements(out, result);
}

bool LaunchRules::gatherElements() {
  return ints(1) && operands(2, 1) && axisInt(0, rank(0)) && isIndex(1) &&
         isRank(1, rank(0)) && sameShape(1, 2) && sameType(0, 2);
}

bool LaunchRules::gatherND() {
  if (!ints(1) || !operands(2, 1) || !isIndex(1) || !minRank(1, 1) ||
      !sameType(0, 2)) {
    return false;
  }
  Interval tuple = dim(1, rank(1) - 1);
  int64_t batch = step.ints[0];
  if (!require(tuple.lower == tuple.upper && tuple.lower >= 0,
               "the length of an index must be fixed") ||
      !require(batch >= 0 && batch < static_cast<int64_t>(rank(1)) &&
                   batch + tuple.upper <= static_cast<int64_t>(rank(0)),
               "an index has more dimensions than the data")) {
    return false;
  }
  size_t from = static_cast<size_t>(batch + tuple.upper);
  int64_t tuples = product(1, 0, rank(1) - 1);
  int64_t each = product(0, from, rank(0));
  int64_t result;
  return sameDims(0, 0, 1, 0, static_cast<size_t>(batch)) &&
         require(tuples >= 0 && each >= 0 &&
                     !__builtin_mul_overflow(tuples, each, &result),
                 "the result is too large") &&
         hasElements(2, result);
}

bool LaunchRules::scatterND() {
  if (!ints(1) || !scatterInt(0) || !operands(3, 1) || !sameShape(0, 3) ||
      !sameType(0, 3) || !sameType(0, 2) || !isIndex(1) || !minRank(1, 1)) {
    return false;
  }
  Interval tuple = dim(1, rank(1) - 1);
  if (!require(tuple.lower == tuple.upper && tuple.lower >= 0 &&
                   tuple.upper <= static_cast<int64_t>(rank(0)),
               "the length of an index must be fixed and fit the data")) {
    return false;
  }
  int64_t tuples = product(1, 0, rank(1) - 1);
  int64_t each = product(0, static_cast<size_t>(tuple.upper), rank(0));
  int64_t updates;
  return require(tuples >= 0 && each >= 0 &&
                     !__builtin_mul_overflow(tuples, each, &updates),
                 "the updates are too many") &&
         hasElements(2, updates);
}

bool LaunchRules::scatterElements() {
  return ints(2) && scatterInt(1) && operands(3, 1) && axisInt(0, rank(0)) &&
         sameShape(0, 3) && sameType(0, 3) && sameType(0, 2) && isIndex(1) &&
         isRank(1, rank(0)) && sameShape(1, 2);
}

bool LaunchRules::topK() {
  if (!ints(3) || !params(1) || !operands(1, 2) || !axisInt(0, rank(0)) ||
      !flag(1) || !flag(2) || !isRank(1, rank(0)) || !sameShape(1, 2) ||
      !sameType(0, 1) || !oneOf(2, {DType::I64})) {
    return false;
  }
  size_t axis = static_cast<size_t>(step.ints[0]);
  const Interval &k = bounds[step.params[0]];
  return sameDims(0, 0, 1, 0, axis) &&
         sameDims(0, axis + 1, 1, axis + 1, rank(0) - axis - 1) &&
         require(k.lower >= 0 && k.upper == upper(1, axis) &&
                     k.upper <= upper(0, axis),
                 "k is larger than the axis, or not what the results have");
}

bool LaunchRules::conv() {
  if (!require(step.ints.size() >= 3, "no attributes")) {
    return false;
  }
  int64_t spatial = step.ints[0], groups = step.ints[1];
  if (!require(spatial >= 1 && spatial <= 6, "a spatial rank out of range") ||
      !ints(static_cast<size_t>(3 + 4 * spatial)) || !flag(2)) {
    return false;
  }
  size_t s = static_cast<size_t>(spatial);
  bool hasBias = step.ints[2] != 0;
  size_t out = hasBias ? 3 : 2;
  if (!operands(out, 1) || !isRank(0, s + 2) || !isRank(1, s + 2) ||
      !isRank(out, s + 2) || !isFloat(0) || !isFloat(1) || !isFloat(out) ||
      !require(groups >= 1 && upper(0, 1) % groups == 0 &&
                   upper(1, 0) % groups == 0 &&
                   upper(1, 1) == upper(0, 1) / groups,
               "channels and groups do not fit together") ||
      !sameDims(0, 0, out, 0, 1) || !sameDims(1, 0, out, 1, 1)) {
    return false;
  }
  constexpr int64_t limit = int64_t(1) << 31;
  for (size_t i = 0; i < s; ++i) {
    int64_t stride = step.ints[3 + i], dilation = step.ints[3 + s + i];
    int64_t pads = 0;
    if (!require(stride >= 1 && stride < limit && dilation >= 1 &&
                     dilation < limit,
                 "a stride or dilation out of range") ||
        __builtin_add_overflow(step.ints[3 + 2 * s + i],
                               step.ints[3 + 3 * s + i], &pads) ||
        !require(pads > -limit && pads < limit && upper(0, 2 + i) < limit &&
                     upper(1, 2 + i) < limit,
                 "padding or size out of range")) {
      return fail("padding out of range");
    }
    int64_t reach = dilation * (upper(1, 2 + i) - 1) + 1;
    int64_t room = upper(0, 2 + i) + pads - reach;
    int64_t expected = room < 0 ? 0 : room / stride + 1;
    if (!require(upper(out, 2 + i) == expected,
                 "the result has another spatial size")) {
      return false;
    }
  }
  return !hasBias || (isFloat(2) && hasElements(2, upper(1, 0)));
}

bool LaunchRules::cast() {
  return operands(1, 1) && hasElements(1, elements(0)) &&
         require(bitWidth(step.operands[0].dtype) >= 8 &&
                     bitWidth(step.operands[1].dtype) >= 8,
                 "elements of less than a byte");
}

} // namespace llmc::plan
