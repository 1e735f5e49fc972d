//===- Executor.h - Walks the steps of a plan ------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Runs one entry: the compute stream on the caller (kernels use the pool), the
// copy stream on the transfer thread. A run that fails drains the transfer
// thread before it returns, so the next run starts from a clean slate.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_EXECUTOR_H
#define LLMC_RUNTIME_CORE_EXECUTOR_H

#include "runtime/core/CopyStream.h"
#include "runtime/core/Events.h"
#include "runtime/core/Profiler.h"
#include "runtime/core/Schedule.h"

#include <memory>

namespace llmc {

class Executor {
public:
  /// All arguments but `pool` must outlive the executor; `profiler` may be
  /// nullptr, and so may any of `sources` that no entry copies from. What the
  /// entries copy and `firstUse` cannot compare as it arrives is left to the
  /// caller: see FirstUse::deferred(). With `poison` every run first fills what
  /// is not live with signalling NaNs, again after each step that ends a
  /// lifetime, and runs both streams one after the other in the plan's order.
  static Result<std::unique_ptr<Executor>>
  create(const plan::Plan &plan, const TierMemory &memory,
         const WeightsSource &source, const CopySources &sources,
         FirstUse &firstUse, kernels::ThreadPool *pool, Profiler *profiler,
         bool poison, const GeneratedCode *code = nullptr);

  Schedule &schedule(uint32_t entry) { return schedules[entry]; }
  const Schedule &schedule(uint32_t entry) const { return schedules[entry]; }

  /// Runs an entry whose schedule is bound and whose inputs are written.
  /// Allocates only on failure.
  Result<void> run(uint32_t entry);

private:
  Executor(const plan::Plan &plan, const TierMemory &memory,
           const WeightsSource &source, const CopySources &sources,
           FirstUse &firstUse, Profiler *profiler, bool poison);

  Result<void> runStreams(uint32_t entry);
  Result<void> runSerially(uint32_t entry);
  /// Reads what the carried slots hold between runs. The load has done it once.
  Result<void> fillCarried();
  void poisonAtStep(uint32_t entry, uint32_t step);
  Error kernelError(uint32_t entry, const Action &action,
                    kernels::Status status) const;
  Error copyError(uint32_t entry, const CopyFailure &failure) const;

  const plan::Plan &plan;
  const TierMemory &memory;
  const WeightsSource &source;
  CopySources sources;
  FirstUse &firstUse;
  Profiler *profiler;
  bool poison;
  std::vector<Schedule> schedules;
  std::unique_ptr<Events> events;
  std::unique_ptr<CopyStream> copies; // none if no entry copies
  uint32_t epoch = 0;
  bool stale = false; // the carried slots hold anything
};

/// Fills `bytes` bytes with a pattern that is a NaN as f32 (signalling), f16
/// and bf16, and a large number as an integer.
void fillPoison(uint8_t *data, uint64_t bytes);

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_EXECUTOR_H
