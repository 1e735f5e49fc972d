//===- Target.h - Can this machine run that plan? --------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A plan names its target (cpu or cuda) and the processor its kernels need, as
// one of the x86-64 psABI levels: x86-64, x86-64-v2, x86-64-v3 (AVX2, FMA,
// F16C), x86-64-v4 (AVX-512 F, BW, CD, DQ, VL). Any machine can inspect any
// plan; running one asks checkTarget() first.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_TARGET_H
#define LLMC_RUNTIME_PLAN_TARGET_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <string>

namespace llmc::plan {

/// What this machine and this build offer.
struct HostTarget {
  int level = 1;        // the psABI level, 1 to 4
  bool hasCuda = false; // built with CUDA and a device is there
};
HostTarget hostTarget();

/// "x86-64" for 1, "x86-64-v3" for 3.
std::string archName(int level);
/// The level that `arch` names, 0 if it names none.
int archLevel(const std::string &arch);

/// PlanTarget, with what was found, what is needed and the command that makes
/// a fitting plan, if `host` cannot run `plan`.
Result<void> checkTarget(const Plan &plan, const HostTarget &host);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_TARGET_H
