//===- StreamSchedule.h - When what is copied, in an entry -----*- C++ -*-===//
//
// The streaming of one entry under a choice (PlacementModel.h, whose comment
// says how weights stream), and the order in which it ends up in the list.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_STREAMSCHEDULE_H
#define LLMC_PASSES_MEMORY_STREAMSCHEDULE_H

#include <cstdint>
#include <optional>
#include <vector>

namespace llmc::memory {

/// A launch of the new list: `step`, or outputs [first, first + count) of it.
struct Piece {
  uint32_t step = 0;
  uint64_t first = 0;
  uint64_t count = 0;
  /// A restore of blocks of a spilled state: a copy, which stands where its
  /// group is issued. What follows it reads what it brings.
  bool isRestore = false;
};

/// One staging buffer: bytes [begin, begin + bytes) of a weight's segment, read
/// by the pieces [first, last].
struct StreamRange {
  uint32_t weight = 0;
  uint64_t begin = 0;
  uint64_t bytes = 0;
  uint32_t first = 0;
  uint32_t last = 0;
  /// Not a range of `weight` but rows of a table of the step's gather.
  std::optional<uint32_t> table = std::nullopt;
  /// Nor this, but what the piece `first` restores, into a slot of its own.
  bool isRestore = false;
};

/// The copy of a carried group for the next run.
struct Refill {
  uint32_t group = 0;
  uint32_t issue = 0; // the copies stand before this piece, or at the end
};

struct StreamGroup {
  uint32_t reader = 0; // the piece that waits
  uint32_t issue = 0;  // the copies stand before this piece
  std::vector<StreamRange> ranges;
};

/// The streaming of one entry, and where everything ends up in the list.
struct StreamSchedule {
  std::vector<Piece> pieces;        // all launches in order
  std::vector<uint32_t> firstPiece; // per step, and one past the last
  std::vector<StreamGroup> groups;  // by reader, and by issue
  uint32_t carried = 0;             // groups before this one are not copied ...
  std::vector<Refill> refills;      // ... but here, each of them
  std::vector<StreamRange> kept; // carried ranges that the entry leaves alone
  std::vector<StreamGroup> gathers;  // of rows, by reader, which is where each
                                     // is issued
  std::vector<uint32_t> newIndex;    // per piece; of a restore, its copy's
  std::vector<uint32_t> copyIndex;   // per range, of groups, then of refills
  std::vector<uint32_t> gatherIndex; // per range of gathers
  uint32_t newSteps = 0;

  /// Groups and gathers, by reader.
  std::vector<const StreamGroup *> all() const;
};

/// Visits a schedule in the order of the new list. The numbering, the
/// simulation and the rewriting all follow it, so that they cannot differ:
///
///   at(p)             what follows stands before piece p, or at the end
///   gather(i)         the copies of gathers[i], with all their events
///   copy(i)           those of groups[i]
///   refill(i)         those of refills[i], which nobody waits for
///   waitForGather(i), waitForCopy(i)
///   launch(p)
template <typename Visitor>
void walk(const StreamSchedule &schedule, Visitor &visitor) {
  uint32_t gathered = 0;
  uint32_t issued = schedule.carried;
  uint32_t refilled = 0;
  uint32_t waited = schedule.carried;
  const std::vector<Piece> &pieces = schedule.pieces;
  const std::vector<StreamGroup> &groups = schedule.groups;
  for (uint32_t piece = 0; piece <= pieces.size(); ++piece) {
    visitor.at(piece);
    bool gathers = gathered < schedule.gathers.size() &&
                   schedule.gathers[gathered].reader == piece;
    if (gathers) {
      visitor.gather(gathered);
    }
    for (; issued < groups.size() && groups[issued].issue == piece; ++issued) {
      visitor.copy(issued);
    }
    for (; refilled < schedule.refills.size() &&
           schedule.refills[refilled].issue == piece;
         ++refilled) {
      visitor.refill(refilled);
    }
    if (piece == pieces.size()) {
      break;
    }
    if (gathers) {
      visitor.waitForGather(gathered++);
    }
    if (waited < groups.size() && groups[waited].reader == piece) {
      visitor.waitForCopy(waited++);
    }
    visitor.launch(piece);
  }
}

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_STREAMSCHEDULE_H
