//===- FirstUse.h - Checksums of weights as they arrive --------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A segment is compared with its checksum the first time it is read whole:
// at load if it is resident, else during the first run that streams it, before
// anything waits for its last bytes. From then on it is trusted. A run that
// meets a damaged segment fails, and the next one compares again.
//
// Copies of parts of a segment (panels) are summed up if every entry copies
// them in order from the segment's beginning to its end; other segments are the
// loader's to compare, and so are those of which a part is in a carried slot,
// since that is used before the run copies it. So is a table whose rows are
// gathered: it is read whole at load, once, since its checksum says nothing
// about a row. A segment that nothing reads (the rows of a table that is
// resident in another layout) is not compared.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_FIRSTUSE_H
#define LLMC_RUNTIME_CORE_FIRSTUSE_H

#include "runtime/core/Schedule.h"
#include "runtime/io/WeightsSource.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Hash.h"

#include <vector>

namespace llmc {

class FirstUse {
public:
  /// With `enabled` false nothing is ever compared. `plan` must outlive this.
  FirstUse(const plan::Plan &plan, bool enabled);

  /// To be called at load for the schedule of every entry.
  void expect(const Schedule &schedule);

  /// Whether an entry streams the segment, in an order that arrived() can sum
  /// up.
  bool deferred(uint32_t segment) const {
    return segments[segment].streamed && segments[segment].inOrder;
  }

  /// Whether an entry copies anything of the segment.
  bool streamed(uint32_t segment) const { return segments[segment].streamed; }

  /// Whether the segment has still to be compared.
  bool pending(uint32_t segment) const { return segments[segment].pending; }

  /// The loader has compared it.
  void trust(uint32_t segment) { segments[segment].pending = false; }

  /// A part of a segment is in memory; parts come in order. False if that
  /// completes the segment and its checksum is wrong.
  bool arrived(uint32_t segment, uint64_t sourceOffset, const uint8_t *data,
               uint64_t bytes);
  /// The same for a copy that is complete.
  bool arrived(const Action &copy) {
    return copy.indices || !segments[copy.segment].pending ||
           arrived(copy.segment, copy.sourceOffset, copy.target, copy.bytes);
  }

  /// The message for a segment that was found damaged last.
  Error mismatch(const WeightsSource &source, uint32_t segment) const;

private:
  struct State {
    bool pending = false;
    bool streamed = false;
    bool inOrder = true;
    uint64_t next = 0; // bytes summed up
    Hasher hasher;
  };
  const plan::Plan &plan;
  std::vector<State> segments;
  Hash128 found; // of the segment found damaged last
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_FIRSTUSE_H
