//===- Validate.h - Every index of a plan leads somewhere ------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_VALIDATE_H
#define LLMC_RUNTIME_PLAN_VALIDATE_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

namespace llmc::plan {

/// The largest rank of an operand or port.
constexpr size_t kMaxOperandRank = 8;

/// Form, not meaning: enumerations are known values, every index is in its
/// range (or kNone where that is allowed), expressions refer to earlier ones,
/// sums of offsets and sizes do not wrap, names are of sane length. What
/// passes can be walked without further range checks. PlanMalformed
/// otherwise.
Result<void> validate(const Plan &plan);

/// "step 12 (linear, /model/layers.0/q_proj)": how messages name a step.
std::string describeStep(const Entry &entry, size_t step);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_VALIDATE_H
