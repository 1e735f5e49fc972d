//===- PlanReader.h - From a plan file to the plan -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Nothing in the file is trusted: sizes, checksums, the table's structure and
// every index are validated before use, and whatever is wrong comes back as
// one line. A plan that reads without error is well-formed (Validate.h), which
// is not yet safe to run: that is what check() (Checker.h) proves.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PLANREADER_H
#define LLMC_RUNTIME_PLAN_PLANREADER_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <span>
#include <string>

namespace llmc::plan {

/// Errors: PlanMalformed (not a plan file, or inconsistent), PlanTruncated,
/// PlanChecksum, PlanVersion, PlanTarget (a target this program does not
/// know; whether this machine can run it is checkTarget() in Target.h).
Result<Plan> decodePlan(std::span<const uint8_t> bytes);

/// Reads the whole file; messages begin with the path.
Result<Plan> readPlan(const std::string &path);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PLANREADER_H
