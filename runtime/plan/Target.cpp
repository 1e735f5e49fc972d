//===- Target.cpp - Can this machine run that plan? -----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Target.h"

namespace llmc::plan {

HostTarget hostTarget() {
  HostTarget host;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")) {
    host.level = 2;
    // Compilers name F16C, LZCNT and MOVBE unevenly; every AVX2 machine with
    // FMA and BMI2 has them.
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) {
      host.level = 3;
      if (__builtin_cpu_supports("avx512f") &&
          __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512cd") &&
          __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl")) {
        host.level = 4;
      }
    }
  }
  return host;
}

std::string archName(int level) {
  return level <= 1 ? "x86-64" : "x86-64-v" + std::to_string(level);
}

int archLevel(const std::string &arch) {
  for (int level = 1; level <= 4; ++level) {
    if (arch == archName(level)) {
      return level;
    }
  }
  return 0;
}

Result<void> checkTarget(const Plan &plan, const HostTarget &host) {
  if (plan.target == "cuda" && !host.hasCuda) {
    return Error{ErrorCode::PlanTarget,
                 "the plan is for target cuda, which this machine or build "
                 "lacks; compile the model again with --target cpu"};
  }
  if (plan.target != "cuda" && plan.target != "cpu") {
    return Error{ErrorCode::PlanTarget,
                 "the plan is for target '" + plan.target +
                     "', this program knows cpu and cuda"};
  }
  int needed = archLevel(plan.arch);
  std::string remedy = "; compile the model again with --arch " +
                       archName(host.level) + ", or here with --arch native";
  if (needed == 0) {
    return Error{ErrorCode::PlanTarget, "the plan is for architecture '" +
                                            plan.arch + "', this machine is " +
                                            archName(host.level) + remedy};
  }
  if (needed > host.level) {
    return Error{ErrorCode::PlanTarget, "the plan needs a CPU of level " +
                                            plan.arch + ", this machine is " +
                                            archName(host.level) + remedy};
  }
  return {};
}

} // namespace llmc::plan
