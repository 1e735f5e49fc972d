//===- SpillFile.h - States and activations that lie below -----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An unlinked temporary file, gone with the process, whose room is reserved
// when it is made. Full blocks are written to it once, when their last token
// comes; a block that is not full yet, the tail of its state, is kept in the
// last block of the state's buffer, so that a token costs a copy of one block
// and no write.
//
// What may be in the file or a tail beyond `past` is of no use to anybody: a
// block is whole there as soon as `past` has moved beyond it.
//
// Activations that are swapped out are written when the plan says so, as they
// are, at the place of their buffer of the disk tier.
//
// Spills and restores of one state are ordered by the plan
// (CheckTransitions.h): no lock is needed although they come from two threads.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_SPILLFILE_H
#define LLMC_RUNTIME_CORE_SPILLFILE_H

#include "runtime/core/Schedule.h"
#include "runtime/io/WeightsSource.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace llmc {

/// A write that failed: where in the file, and errno.
struct WriteFailure {
  bool failed = false;
  uint64_t offset = 0;
  int error = 0;
};

class SpillFile {
public:
  /// For tests: stands in for pwrite.
  using WriteHook =
      std::function<ssize_t(int fd, const void *data, size_t, off_t)>;

  /// Makes the file in `folder` (empty: $TMPDIR, or /tmp) with room for all
  /// states that spill and activations that are swapped; nullptr if there are
  /// none. `memory` must outlive it.
  /// PlanUnsafe if a state's buffer lies outside of it. NoSpace with the bytes
  /// needed and available if the disk has no room.
  static Result<std::unique_ptr<SpillFile>> create(const plan::Plan &plan,
                                                   const TierMemory &memory,
                                                   const std::string &folder,
                                                   WriteHook hook);
  ~SpillFile();
  SpillFile(const SpillFile &) = delete;
  SpillFile &operator=(const SpillFile &) = delete;

  /// To read from; blocks of the same state follow each other.
  const WeightsSource &source() const { return file; }

  /// What a restore has to read: `bytes` from `offset` of the file; the tail is
  /// copied right away.
  struct Piece {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  Piece restore(const Action &action) const;

  /// Where a restore's first block lies in the file.
  uint64_t offsetOf(const Action &action) const {
    const State &state = states[action.state];
    return state.offset +
           (action.firstBlock - state.firstBlock) * state.blockBytes;
  }

  /// Takes the blocks of a Spill out of its slot, or the bytes of a SwapOut out
  /// of their buffer.
  WriteFailure take(const Action &action);

  /// The message for a failed write.
  Error describe(const WriteFailure &failure) const;

  /// Block `block` of a state, which must be spilled, into `target`.
  Result<void> read(uint32_t state, uint64_t block, uint8_t *target) const;

private:
  struct State {
    uint64_t offset = 0; // of the first spilled block
    uint64_t firstBlock = 0;
    uint64_t blockBytes = 0;
    uint64_t tokens = 0; // per block
    uint64_t tailBlock = UINT64_MAX;
    uint8_t *tail = nullptr; // a block
  };

  SpillFile() = default;
  WriteFailure spill(const Action &action);
  WriteFailure write(uint64_t offset, const uint8_t *data, uint64_t bytes);

  WeightsSource file;
  std::vector<State> states; // of the plan; blockBytes 0: not spilled
  WriteHook writeSome;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_SPILLFILE_H
