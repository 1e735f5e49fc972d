//===- CopyStream.h - The transfer thread of the disk link -----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// One thread walks the copy stream of the entry that runs: begins reads into
// their slots, signals when they are complete, waits. Several copies are in
// flight at once; they complete in order, as the plan says.
//
// A compute stream that has to wait for a copy that nobody has begun makes it
// itself: handing small copies to a thread that may not be running costs more
// than the copies. Whoever holds `turn` walks the stream, in order.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_COPYSTREAM_H
#define LLMC_RUNTIME_CORE_COPYSTREAM_H

#include "runtime/core/Events.h"
#include "runtime/core/FirstUse.h"
#include "runtime/core/Profiler.h"
#include "runtime/core/Schedule.h"
#include "runtime/core/SpillFile.h"
#include "runtime/io/TransferEngine.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace llmc {

/// What copies read from: the weights file and the spill file; nullptr for what
/// the plan has not.
struct CopySources {
  io::TransferEngine *weights = nullptr;
  io::TransferEngine *spilled = nullptr;
  SpillFile *spill = nullptr; // behind `spilled`

  bool any() const { return weights || spilled; }
  io::TransferEngine *of(const Action &action) const {
    return action.kind == plan::StepKind::Copy ? weights : spilled;
  }
  /// Gives up all reads.
  void drain() const {
    for (io::TransferEngine *engine : {weights, spilled}) {
      if (engine) {
        engine->drain();
      }
    }
  }
};

/// Why a copy failed: the read, the checksum of the segment it completed, or an
/// index without a row.
struct CopyFailure {
  io::ReadFailure read;
  bool below = false;                 // the read was of the spill file
  uint32_t damaged = plan::kNone;     // segment
  const Action *outOfRange = nullptr; // the copy
  bool failed() const {
    return read.failed || damaged != plan::kNone || outOfRange;
  }
};

class CopyStream {
public:
  /// `longest` is the number of actions of the longest copy stream. All
  /// references must outlive the stream.
  CopyStream(const CopySources &sources, FirstUse &firstUse, Events &events,
             Profiler *profiler, size_t longest);
  ~CopyStream();
  CopyStream(const CopyStream &) = delete;
  CopyStream &operator=(const CopyStream &) = delete;

  /// Starts the copy stream of one run. `entry` is the schedule's index.
  void start(const Schedule &schedule, uint32_t entry, uint32_t epoch);

  /// Called by the compute stream when it has signalled: begins what may begin
  /// now, unless the thread is at it. The scheduler may keep the thread waiting
  /// for milliseconds while all cores compute, and the link would idle.
  void nudge(uint32_t epoch);

  /// Called by the compute stream before it waits for `event`: walks the copy
  /// stream up to there, unless the thread is at it.
  void help(uint32_t event, uint32_t epoch);

  /// Ends that run's copy stream: it is walked to its end, or the run was
  /// aborted, and neither the thread nor a read in flight will touch memory for
  /// it any more.
  CopyFailure finish(uint32_t epoch);

  /// Makes one copy of the compute stream, now.
  CopyFailure copyNow(const Action &action);

private:
  void loop();
  /// Walks on from where the stream is until `until` is signalled (kNone: to
  /// the end) or an event is missing, which is returned; kNone if there is
  /// nothing more to do. The caller holds `turn`.
  uint32_t advance(uint32_t until);
  /// Which reads may go on: all, or those that take no time of this thread.
  enum class Reads : uint8_t { All, InBackground };
  /// Begins what can be begun; returns the event that it cannot go beyond, or
  /// kNone.
  uint32_t issue(Reads reads);
  /// Ends what is complete, in order: signals. False if that failed.
  bool retire();

  /// An action between issue and retirement.
  struct Pending {
    uint64_t transfer = 0; // Copy, Restore: its number, that of its last one
    bool isEmpty = false;  // nothing to read
    uint64_t begin = 0;    // nanoseconds, for the profiler
  };
  /// Both files go on.
  void pump(Reads reads);
  /// How far a copy has been given to its engine.
  enum class Begun : uint8_t { All, Part, OutOfRange };
  /// Begins what of a copy can begin. `rows`: of one that gathers, how many
  /// have (0 at first).
  Begun tryBegin(const Action &action, uint64_t &rows, Pending &pending);
  Begun beginRows(const Action &action, uint64_t &rows, Pending &pending);
  bool blocked(const Action &action) const;
  void begin(const Action &action, Pending &pending);
  bool complete(const Action &action, const Pending &pending) const;
  /// Whether a read has failed, which `failure` then names.
  bool readFailed(CopyFailure &failure) const;

  CopySources sources;
  FirstUse &firstUse;
  Events &events;
  Profiler *profiler;
  std::mutex turn; // guards the next nine
  const Schedule *schedule = nullptr;
  uint32_t entry = 0;
  uint32_t current = 0;         // epoch
  size_t issued = 0;            // in copyOrder
  uint64_t rowsBegun = 0;       // of the copy at `issued`
  size_t retired = 0;           // in copyOrder
  std::vector<Pending> pending; // by position in copyOrder
  CopyFailure failure;
  std::atomic<uint32_t> requested{0};
  std::atomic<bool> quit{false};
  std::atomic<bool> started{false};
  std::thread thread;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_COPYSTREAM_H
