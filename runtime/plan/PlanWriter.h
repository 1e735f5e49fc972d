//===- PlanWriter.h - From a plan to its file ------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PLANWRITER_H
#define LLMC_RUNTIME_PLAN_PLANWRITER_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan {

/// The bytes of the plan file: a function of the plan's fields alone. The
/// plan must pass validate() (Validate.h).
std::vector<uint8_t> encodePlan(const Plan &plan);

/// Encodes the plan and writes the file as a whole (AtomicFile.h): the name
/// holds either what it held before or the complete new plan.
Result<void> writePlan(const Plan &plan, const std::string &path);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PLANWRITER_H
