//===- KernelRulesProducts.cpp - Rules of products, norms, state ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/KernelRules.h"

namespace llmc::plan {

bool LaunchRules::columnsOf(size_t out, int64_t count, size_t usual) {
  Interval total = dim(out, rank(out) - 1);
  if (step.ints.size() == usual) {
    return require(total.upper == count, "the result's last dim is not N");
  }
  int64_t first = step.ints[usual];
  if (!require(total.lower == total.upper && first >= 0 &&
                   first <= total.upper && count <= total.upper - first,
               "the piece does not lie in the result's columns")) {
    return false;
  }
  columns = {{uint64_t(first), uint64_t(count), uint64_t(total.upper)}};
  return true;
}

bool LaunchRules::panelProduct(size_t out, int64_t depth) {
  if (!minRank(0, 1) || !isRank(1, 2) || !minRank(out, 1) || !isFloat(0) ||
      !isFloat(out) || !oneOf(1, {DType::F32, DType::F16, DType::BF16}) ||
      !require(step.operands[1].packing == Packing::Panel64,
               "the weight is not packed in panels")) {
    return false;
  }
  Interval features = dim(0, rank(0) - 1), rows = dim(1, 1);
  int64_t wanted;
  bool overflow = __builtin_mul_overflow(features.upper, depth, &wanted);
  int64_t inputs = product(0, 0, rank(0) - 1);
  return require(!overflow && features.lower == features.upper &&
                     rows.lower == rows.upper && rows.upper == wanted,
                 "the weight's depth does not fit the input's last dim") &&
         require(inputs >= 0 && inputs == product(out, 0, rank(out) - 1),
                 "rows of input and result differ");
}

bool LaunchRules::linear() {
  if ((step.ints.size() != 3 && !ints(2)) || !flag(0) || !activationInt(1)) {
    return false;
  }
  bool hasBias = step.ints[0] != 0;
  size_t out = hasBias ? 3 : 2;
  if (!operands(out, 1) || !minRank(0, 1) || !isRank(1, 2) ||
      !minRank(out, 1) || !isFloat(0) || !isFloat(out) ||
      !oneOf(1, {DType::F32, DType::F16, DType::BF16}) ||
      !require(step.operands[1].packing == Packing::Panel64,
               "the weight is not packed in panels")) {
    return false;
  }
  int64_t rows = product(0, 0, rank(0) - 1);
  return sameDims(0, rank(0) - 1, 1, 1, 1) && columnsOf(out, upper(1, 0), 2) &&
         require(rows >= 0 && rows == product(out, 0, rank(out) - 1),
                 "rows of input and result differ") &&
         (!hasBias || (isFloat(2) && hasElements(2, upper(1, 0))));
}

bool LaunchRules::linearAdd() {
  if ((step.ints.size() != 3 && !ints(2)) || !flag(0) || !activationInt(1)) {
    return false;
  }
  bool hasBias = step.ints[0] != 0;
  size_t out = hasBias ? 4 : 3;
  return operands(out, 1) && panelProduct(out, 1) && isFloat(2) &&
         sameShape(2, out) && columnsOf(out, upper(1, 0), 2) &&
         (!hasBias || (isFloat(3) && hasElements(3, upper(1, 0))));
}

bool LaunchRules::linearGated() {
  return (step.ints.size() == 2 || ints(1)) && activationInt(0) &&
         operands(2, 1) && panelProduct(2, 2) && columnsOf(2, upper(1, 0), 1);
}

bool LaunchRules::linearSplit() {
  constexpr int64_t kPanel = 64;
  if (!require(step.ints.size() >= 5, "expected the numbers of a part") ||
      !flag(0) || !activationInt(1)) {
    return false;
  }
  bool hasBias = step.ints[0] != 0;
  size_t first = hasBias ? 3 : 2;
  uint64_t parts = static_cast<uint64_t>(step.ints[2]);
  constexpr uint64_t kMostParts = 8; // of the kernel
  if (!require(parts > 0 && parts <= kMostParts &&
                   step.ints.size() == 3 + 2 * parts,
               "the number of parts and their numbers do not agree") ||
      !operands(first, parts)) {
    return false;
  }
  int64_t outputs = 0;
  for (size_t i = 0; i < parts; ++i) {
    int64_t n = step.ints[3 + 2 * i], column = step.ints[4 + 2 * i];
    if (!panelProduct(first + i, 1)) {
      return false;
    }
    Interval total = dim(first + i, rank(first + i) - 1);
    if (!require(total.lower == total.upper && n > 0 && column >= 0 &&
                     column <= total.upper && n <= total.upper - column,
                 "a part does not lie in the columns of its result") ||
        !require(!__builtin_add_overflow(
                     outputs, (n - 1) / kPanel * kPanel + kPanel, &outputs),
                 "the parts overflow")) {
      return false;
    }
    columns.push_back({uint64_t(column), uint64_t(n), uint64_t(total.upper)});
  }
  return require(upper(1, 0) == outputs && dim(1, 0).lower == outputs,
                 "the weight does not have the outputs of the parts") &&
         (!hasBias || (isFloat(2) && hasElements(2, outputs)));
}

bool LaunchRules::linearQuant() {
  if ((step.ints.size() != 10 && !ints(9)) || !flag(4) || !flag(5) ||
      !flag(6) || !activationInt(7)) {
    return false;
  }
  int64_t n = step.ints[0], k = step.ints[1], bits = step.ints[2],
          blockSize = step.ints[3];
  if (!require(n > 0 && k > 0 && n < (int64_t(1) << 31) &&
                   k < (int64_t(1) << 31) && (bits == 4 || bits == 8) &&
                   blockSize > 0 && blockSize < (int64_t(1) << 31),
               "N, K, bits or block size out of range")) {
    return false;
  }
  size_t next = 3;
  size_t zeros = step.ints[4] != 0 ? next++ : 0;
  size_t groups = step.ints[5] != 0 ? next++ : 0;
  size_t bias = step.ints[6] != 0 ? next++ : 0;
  size_t out = next;
  if (!operands(out, 1) || !minRank(0, 1) || !minRank(out, 1)) {
    return false;
  }
  int64_t blocks = (k + blockSize - 1) / blockSize;
  int64_t codes, scales;
  bool overflow =
      __builtin_mul_overflow(n, (blocks * blockSize * bits + 7) / 8, &codes) ||
      __builtin_mul_overflow(n, blocks, &scales);
  int64_t rows = product(0, 0, rank(0) - 1);
  return require(!overflow, "N * K overflows") && isFloat(0) && isFloat(out) &&
         require(upper(0, rank(0) - 1) == k, "the input's last dim is not K") &&
         columnsOf(out, n, 9) &&
         require(rows >= 0 && rows == product(out, 0, rank(out) - 1),
                 "rows of input and result differ") &&
         oneOf(1, {DType::U8}) && hasElements(1, codes) &&
         oneOf(2, {DType::F32, DType::F16, DType::BF16}) &&
         hasElements(2, scales) &&
         (zeros == 0 ||
          (oneOf(zeros, {DType::U8, DType::F32, DType::F16, DType::BF16}) &&
           hasElements(zeros, scales))) &&
         (groups == 0 ||
          (oneOf(groups, {DType::I32}) && hasElements(groups, k))) &&
         (bias == 0 || (isFloat(bias) && hasElements(bias, n)));
}

bool LaunchRules::matMul(bool integer) {
  if (!ints(2) || !flag(0) || !flag(1)) {
    return false;
  }
  bool transA = !integer && step.ints[0] != 0;
  bool transB = !integer && step.ints[1] != 0;
  size_t zeroA = 0, zeroB = 0, out = 2;
  if (integer) {
    zeroA = step.ints[0] != 0 ? out++ : 0;
    zeroB = step.ints[1] != 0 ? out++ : 0;
  }
  if (!operands(out, 1) || !minRank(0, 2) || !minRank(1, 2) ||
      !minRank(out, 2) || (!integer && !floats(1))) {
    return false;
  }
  size_t ra = rank(0), rb = rank(1), ro = rank(out);
  if (!sameDims(0, ra - (transA ? 2 : 1), 1, rb - (transB ? 1 : 2), 1) ||
      !sameDims(out, ro - 2, 0, ra - (transA ? 1 : 2), 1) ||
      !sameDims(out, ro - 1, 1, rb - (transB ? 2 : 1), 1)) {
    return false;
  }
  for (size_t side : {size_t(0), size_t(1)}) {
    size_t leading = rank(side) - 2;
    if (!require(leading <= ro - 2, "more batch dimensions than the result")) {
      return false;
    }
    for (size_t i = 0; i < leading; ++i) {
      int64_t found = upper(side, i);
      if (!require(found == 1 || found == upper(out, ro - 2 - leading + i),
                   "batch dimensions do not broadcast to the result's")) {
        return false;
      }
    }
  }
  if (!integer) {
    return oneOf(0, {DType::F32, DType::F16, DType::BF16, DType::F64,
                     DType::I32, DType::I64}) &&
           oneOf(out, {DType::F32, DType::F16, DType::BF16, DType::F64,
                       DType::I32, DType::I64});
  }
  return oneOf(0, {DType::U8, DType::I8}) && oneOf(1, {DType::U8, DType::I8}) &&
         oneOf(out, {DType::I32}) &&
         (zeroA == 0 || (sameType(zeroA, 0) && isScalar(zeroA))) &&
         (zeroB == 0 ||
          (sameType(zeroB, 1) &&
           (elements(zeroB) == 1 || hasElements(zeroB, upper(1, rb - 1)))));
}

bool LaunchRules::dynamicQuantize() {
  return operands(1, 3) && oneOf(0, {DType::F32, DType::F16, DType::BF16}) &&
         oneOf(1, {DType::U8}) && hasElements(1, elements(0)) &&
         oneOf(2, {DType::F32}) && isScalar(2) && oneOf(3, {DType::U8}) &&
         isScalar(3);
}

bool LaunchRules::quantizeLinear(bool dequantize) {
  if (!ints(3) || !flag(2)) {
    return false;
  }
  bool hasZero = step.ints[2] != 0;
  size_t out = hasZero ? 3 : 2;
  if (!operands(out, 1) || !sameShape(0, out) || !isFloat(1)) {
    return false;
  }
  size_t quantized = dequantize ? 0 : out;
  if (!isFloat(dequantize ? out : 0) ||
      !oneOf(quantized, {DType::I8, DType::U8, DType::I4, DType::U4, DType::I16,
                         DType::U16, DType::I32}) ||
      (hasZero && (!sameType(2, quantized) || !hasElements(2, elements(1))))) {
    return false;
  }
  int64_t axis = step.ints[0], block = step.ints[1];
  if (axis == -1000) {
    return isScalar(1);
  }
  if (!axisInt(0, rank(0)) || !require(block >= 0, "negative block size")) {
    return false;
  }
  size_t at = static_cast<size_t>(axis);
  if (block == 0) {
    return elements(1) == 1 || hasElements(1, upper(0, at));
  }
  return isRank(1, rank(0)) && sameDims(1, 0, 0, 0, at) &&
         sameDims(1, at + 1, 0, at + 1, rank(0) - at - 1) &&
         require(upper(1, at) == (upper(0, at) + (block - 1)) / block,
                 "the scales do not have one value per block");
}

bool LaunchRules::norm(bool layerNorm) {
  if (!ints(layerNorm ? 3 : 2) || !floats(1) || !flag(1) ||
      (layerNorm && !flag(2))) {
    return false;
  }
  bool hasScale = step.ints[1] != 0;
  bool hasBias = layerNorm && step.ints[2] != 0;
  size_t out = 1 + size_t(hasScale) + size_t(hasBias);
  if (!operands(out, 1) || !isFloat(0) || !isFloat(out) || !sameShape(0, out) ||
      !require(step.ints[0] >= 1 &&
                   step.ints[0] <= static_cast<int64_t>(rank(0)),
               "more normalized dimensions than there are")) {
    return false;
  }
  int64_t row =
      product(0, rank(0) - static_cast<size_t>(step.ints[0]), rank(0));
  for (size_t i = 1; i < out; ++i) {
    if (!isFloat(i) || !hasElements(i, row)) {
      return false;
    }
  }
  return true;
}

bool LaunchRules::rope() {
  if (!ints(3) || !flag(0) || !flag(1) || !operands(3, 1) || !isRank(0, 4) ||
      !sameShape(0, 3) || !isFloat(0) || !isFloat(1) || !sameType(1, 2) ||
      !isFloat(3) || !sameShape(1, 2)) {
    return false;
  }
  int64_t rotary = step.ints[2];
  if (!require(rotary > 0 && rotary % 2 == 0 && rotary <= upper(0, 3),
               "R is odd or larger than the head") ||
      !require(rank(1) == 2 || rank(1) == 3, "cos must have rank 2 or 3")) {
    return false;
  }
  size_t last = rank(1) - 1;
  return require(upper(1, last) == rotary || upper(1, last) == rotary / 2,
                 "cos must have R or R/2 values per position") &&
         sameDims(1, last - 1, 0, step.ints[0] == 0 ? 2 : 1, 1) &&
         (rank(1) == 2 || upper(1, 0) == 1 || sameDims(1, 0, 0, 0, 1));
}

bool LaunchRules::attention() {
  bool isPart = step.ints.size() == 13;
  bool isLimited = step.ints.size() == 12;
  bool sliced =
      step.ints.size() == 10 || ((isPart || isLimited) && step.ints[7] != 0);
  if ((!sliced && !isPart && !isLimited && !ints(7)) || !params(1) ||
      !floats(2) || !flag(0) || !flag(1) || !flag(2) || !flag(4) || !flag(5)) {
    return false;
  }
  bool fromState = step.ints[1] != 0;
  if (isPart && (!flag(11) || !flag(12) ||
                 !require(fromState, "a part of k and v that are no states") ||
                 !require(step.ints[11] == 0 || step.ints[12] == 0,
                          "a part that is the first and the last"))) {
    return false;
  }
  if (!require(!sliced || fromState, "slices of k and v that are no states")) {
    return false;
  }
  if (isLimited) {
    // That the ring is long enough is checkRings' to say: it takes all entries.
    int64_t sinks = step.ints[10], blocks = step.ints[11];
    int64_t room = 0;
    if (!require(fromState && step.ints[3] > 0,
                 "limited, but k and v are no states or there is no window") ||
        !require(sinks >= 0 && blocks >= 0 && step.ints[6] > 0 &&
                     !__builtin_mul_overflow(blocks, step.ints[6], &room) &&
                     sinks <= room,
                 "its first tokens do not lie before the ring")) {
      return false;
    }
  }
  size_t lead = sliced ? 1 : 0; // before [B, Hkv, ..] of k and v
  size_t next = 3;
  size_t bias = step.ints[4] != 0 ? next++ : 0;
  size_t sinks = step.ints[5] != 0 ? next++ : 0;
  size_t carry = isPart ? next++ : 0;
  // Of a part that is not the last, the carry stands where out would.
  bool hasOut = !isPart || step.ints[12] != 0;
  size_t out = hasOut ? next : carry;
  if (!operands(out, 1) || !isRank(0, 4) || !isRank(1, 4 + lead) ||
      !isRank(2, 4 + lead) || !isRank(out, 4) || !isFloat(0) || !isFloat(1) ||
      !isFloat(2) || !isFloat(out) ||
      !require(step.ints[3] >= 0, "a negative attention window")) {
    return false;
  }
  if (sliced) {
    int64_t count = step.ints[7], k = step.ints[8], v = step.ints[9];
    if (!require(upper(1, 0) == count && upper(2, 0) == count,
                 "k and v have another number of slices") ||
        !require(k >= 0 && k < count && v >= 0 && v < count,
                 "no such slice of k or v")) {
      return false;
    }
  }
  size_t headAxis = step.ints[0] == 0 ? 1 : 2;
  size_t rowAxis = 3 - headAxis;
  int64_t heads = upper(0, headAxis), rows = upper(0, rowAxis);
  int64_t shared = upper(1, lead + 1), tokens = bounds[step.params[0]].upper;
  if (!require(bounds[step.params[0]].lower >= 0, "T may be negative") ||
      !sameDims(0, 0, out, 0, 3) ||
      (hasOut && !sameDims(out, 3, 2, lead + 3, 1)) ||
      !sameDims(0, 3, 1, lead + 3, 1) || !sameDims(0, 0, 1, lead, 1) ||
      !sameDims(1, lead, 2, lead, 3) ||
      !require(shared > 0 && heads % shared == 0,
               "the number of heads is not a multiple of that of k and v")) {
    return false;
  }
  if (isPart) {
    const Operand &first = step.operands[carry];
    Access access = step.ints[11] != 0   ? Access::Write
                    : step.ints[12] != 0 ? Access::Read
                                         : Access::ReadWrite;
    if (!isRank(carry, 4) || !sameDims(0, 0, carry, 0, 3) ||
        !oneOf(carry, {DType::F32}) ||
        !require(upper(carry, 3) == upper(2, lead + 3) + 2 &&
                     dim(carry, 3).lower == upper(carry, 3),
                 "the carry has not two more features than v") ||
        !require(first.access == access,
                 "the first part writes the carry, the last reads it, others "
                 "do both") ||
        !windowOf(1, lead + 2, step.ints[6], step.ints[10]) ||
        !windowOf(2, lead + 2, step.ints[6], step.ints[10])) {
      return false;
    }
  } else if (fromState) {
    int64_t ring = isLimited ? step.ints[11] : -1;
    const State *k = stateOf(1, step.ints[6], ring);
    const State *v = k == nullptr ? nullptr : stateOf(2, step.ints[6], ring);
    if (v == nullptr ||
        !require(k->outer.size() == lead + 2 && v->outer.size() == lead + 2,
                 "the token axis of k or v does not follow the heads") ||
        !withinCapacity(kNone, step.params[0], k->capacity) ||
        !withinCapacity(kNone, step.params[0], v->capacity)) {
      return false;
    }
  } else if (!require(tokens == upper(1, 2), "k has another length than T")) {
    return false;
  }
  if (bias != 0) {
    // Broadcasts to [B, H, S, T].
    int64_t full[4] = {upper(0, 0), heads, rows, tokens};
    if (!isFloat(bias) ||
        !require(rank(bias) <= 4, "the bias has more than four dimensions")) {
      return false;
    }
    for (size_t i = 0; i < rank(bias); ++i) {
      int64_t found = upper(bias, i);
      if (found != 1 && found != full[4 - rank(bias) + i]) {
        return fail(shape(bias) + " does not broadcast to the scores");
      }
    }
  }
  return sinks == 0 || (isFloat(sinks) && hasElements(sinks, heads));
}

bool LaunchRules::kvAppend() {
  bool isPart = step.ints.size() == 3;
  bool isRing = step.ints.size() == 4;
  if ((!isPart && !isRing && !ints(2)) || !params(1) || !operands(1, 1) ||
      !minRank(0, 1) || !isRank(1, rank(0)) || !axisInt(1, rank(0))) {
    return false;
  }
  if (isPart) {
    size_t tokens = static_cast<size_t>(step.ints[1]);
    return require(bounds[step.params[0]].lower >= 0,
                   "a token position may be negative") &&
           sameDims(0, 0, 1, 0, tokens) &&
           sameDims(0, tokens + 1, 1, tokens + 1, rank(0) - tokens - 1) &&
           windowOf(1, tokens, step.ints[0], step.ints[2]);
  }
  const State *state =
      stateOf(1, step.ints[0], isRing ? step.ints[3] : int64_t(-1));
  if (state == nullptr) {
    return false;
  }
  size_t axis = static_cast<size_t>(step.ints[1]);
  return require(axis == state->outer.size(), "not the state's token axis") &&
         require(!isRing || step.ints[2] == 0, "a ring from the first token") &&
         require(state->ringBlocks == 0 ||
                     upper(0, axis) <= state->ringBlocks * state->blockTokens,
                 "more tokens than the ring holds") &&
         sameDims(0, 0, 1, 0, axis) &&
         sameDims(0, axis + 1, 1, axis + 1, rank(0) - axis - 1) &&
         withinCapacity(step.params[0], step.operands[0].dims[axis],
                        state->capacity);
}

bool LaunchRules::kvRead() {
  if (!ints(2) || !params(1) || !operands(1, 1) || !minRank(1, 1) ||
      !isRank(0, rank(1)) || !axisInt(1, rank(1))) {
    return false;
  }
  const State *state = stateOf(0, step.ints[0]);
  if (state == nullptr) {
    return false;
  }
  size_t axis = static_cast<size_t>(step.ints[1]);
  return require(axis == state->outer.size(), "not the state's token axis") &&
         sameDims(1, 0, 0, 0, axis) &&
         sameDims(1, axis + 1, 0, axis + 1, rank(1) - axis - 1) &&
         require(bounds.same(step.params[0], step.operands[1].dims[axis]),
                 "the result has another length than T") &&
         withinCapacity(kNone, step.params[0], state->capacity);
}

} // namespace llmc::plan
