//===- Schedule.h - An entry, flattened for execution ----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What the executor walks: pointers instead of buffer indices, kernels instead
// of kernel ids, one list of actions per stream. Everything is allocated by
// build(); bind() evaluates the entry's expressions in one forward pass and
// writes the dimensions that depend on symbols into the launches in place.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_SCHEDULE_H
#define LLMC_RUNTIME_CORE_SCHEDULE_H

#include "runtime/core/GeneratedCode.h"
#include "runtime/kernels/Kernel.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <array>
#include <vector>

namespace llmc {

/// Where each tier's arena starts and how large it is.
struct TierMemory {
  std::array<uint8_t *, 3> base{};
  std::array<uint64_t, 3> size{};
};

/// One step with everything looked up.
struct Action {
  plan::StepKind kind = plan::StepKind::Launch;
  plan::Stream stream = plan::Stream::Compute;
  uint32_t step = 0;  // index into Entry::steps
  uint32_t event = 0; // Signal, Wait
  kernels::KernelFn kernel = nullptr;
  kernels::Launch launch;
  uint8_t *target = nullptr;      // Copy; swaps: the bytes on the device
  uint64_t fileOffset = 0;        // Copy: from the start of the weights file;
                                  // swaps: of the spill file
  uint64_t bytes = 0;             // Copy
  uint32_t segment = plan::kNone; // Copy
  uint64_t sourceOffset = 0;      // Copy: from the start of the segment
  uint32_t state = plan::kNone;   // Restore, Spill
  uint64_t firstBlock = 0;        // Restore, Spill
  // Restore, Spill: blocks of the window that move in this run, from its first
  // on.
  uint64_t moveBegin = 0;
  uint64_t moveEnd = 0;
  uint64_t tokens = 0; // in the state after this run
  // Copy that gathers rows: see plan::Step. fileOffset is that of row 0.
  const kernels::Tensor *indices = nullptr;
  int64_t rows = 0;
  uint64_t rowBytes = 0;
};

class Schedule {
public:
  /// Flattens `entry`; `plan`, and `code` if it launches any of it, must
  /// outlive the schedule.
  static Result<Schedule> build(const plan::Plan &plan, uint32_t entry,
                                const TierMemory &memory,
                                kernels::ThreadPool *pool,
                                const GeneratedCode *code = nullptr);

  const plan::Entry &entry() const { return *source; }

  /// The symbols' values, in the order of Entry::symbols; set, then bind().
  std::vector<int64_t> &symbols() { return symbolValues; }

  /// Evaluates all expressions and fills in dimensions and params. Fails if a
  /// symbol is outside its proved bounds, or if past + newTokens exceeds the
  /// capacity of a state (ContextExceeded; the checker relies on that).
  /// Allocates only on failure.
  Result<void> bind();

  /// The value of an expression under the last bind().
  int64_t value(uint32_t expr) const { return values[expr]; }

  /// All actions in plan order, and those of each stream as indices.
  std::vector<Action> actions;
  std::vector<uint32_t> computeOrder;
  std::vector<uint32_t> copyOrder;

private:
  struct Patch {
    int64_t *target;
    uint32_t expr;
  };

  const plan::Entry *source = nullptr;
  uint32_t pastSymbol = plan::kNone;
  int64_t capacity = INT64_MAX; // the smallest of all states
  std::vector<int64_t> symbolValues;
  std::vector<int64_t> values;
  std::vector<kernels::Tensor> tensors;
  std::vector<int64_t> params;
  std::vector<Patch> patches;
  std::vector<uint32_t> moves; // the actions that restore or spill
  const plan::Plan *owner = nullptr;
};

/// The address of `buffer`, or nullptr if it does not lie in its arena.
uint8_t *bufferAddress(const plan::Plan &plan, uint32_t buffer,
                       const TierMemory &memory);

/// The index of the symbol that expression `expr` consists of, or kNone.
uint32_t symbolOf(const plan::Entry &entry, uint32_t expr);

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_SCHEDULE_H
