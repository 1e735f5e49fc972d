//===- StreamSchedule.cpp - When what is copied, in an entry ---*- C++ -*-===//

#include "passes/memory/StreamSchedule.h"

#include "passes/memory/Layout.h"
#include "passes/memory/PlacementModel.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace llmc::memory {

/// Into how many pieces the step is cut, given what of it streams.
static uint64_t piecesOf(const StepInfo &info,
                         const std::vector<bool> &resident, uint64_t tile) {
  uint64_t unitBytes = 0;
  for (const WeightUse &use : info.uses) {
    unitBytes += resident[use.weight] ? 0 : use.unitBytes;
  }
  if (unitBytes == 0) {
    return 1;
  }
  uint64_t units =
      (info.outputs + PlacementModel::kUnit - 1) / PlacementModel::kUnit;
  uint64_t perPiece = std::max<uint64_t>(tile / unitBytes, 1);
  return (units + perPiece - 1) / perPiece;
}

std::vector<const StreamGroup *> StreamSchedule::all() const {
  std::vector<const StreamGroup *> list;
  for (const StreamGroup &group : gathers) {
    list.push_back(&group);
  }
  for (const StreamGroup &group : groups) {
    list.push_back(&group);
  }
  llvm::stable_sort(list, [](const StreamGroup *a, const StreamGroup *b) {
    return a->reader < b->reader;
  });
  return list;
}

/// What the group takes of the window.
static uint64_t slotBytes(const StreamGroup &group) {
  uint64_t bytes = 0;
  for (const StreamRange &range : group.ranges) {
    bytes += padded(range.bytes);
  }
  return bytes;
}

StreamSchedule PlacementModel::scheduleOnce(
    const EntryInfo &entry, const std::vector<bool> &resident,
    Prefetch prefetch, Prefetch main, ArrayRef<StreamRange> carried) const {
  StreamSchedule out;
  llvm::SmallDenseSet<uint32_t> carriedWeights;
  for (const StreamRange &range : carried) {
    carriedWeights.insert(range.weight);
  }
  auto tileOf = [&](const StepInfo &info) {
    bool isCarried = llvm::any_of(info.uses, [&](const WeightUse &use) {
      return carriedWeights.contains(use.weight);
    });
    return isCarried ? main.tile : prefetch.tile;
  };
  // The ranges that the previous step with streamed readers left open.
  llvm::SmallDenseMap<uint32_t, std::pair<size_t, size_t>> open;
  for (uint32_t step = 0; step < entry.steps; ++step) {
    const StepInfo &info = entry.stepInfos[step];
    auto first = static_cast<uint32_t>(out.pieces.size());
    out.firstPiece.push_back(first);
    if (info.restoredBytes != 0) {
      // Keys and values come together.
      bool follows = !out.pieces.empty() && out.pieces.back().isRestore;
      out.pieces.push_back({step, 0, 0, true});
      if (!follows) {
        out.groups.push_back({first, first, {}});
      }
      out.groups.back().ranges.push_back(
          {0, 0, info.restoredBytes, first, first, std::nullopt, true});
      continue;
    }
    uint64_t count = piecesOf(info, resident, tileOf(info));
    uint64_t units = (info.outputs + kUnit - 1) / kUnit;
    auto last = static_cast<uint32_t>(first + count - 1);
    llvm::SmallDenseMap<uint32_t, std::pair<size_t, size_t>> now;
    bool streams = false;
    auto add = [&](uint32_t reader, StreamRange range) {
      if (out.groups.empty() || out.groups.back().reader != reader) {
        out.groups.push_back({reader, reader, {}});
      }
      out.groups.back().ranges.push_back(range);
    };
    for (uint64_t i = 0; i < count; ++i) {
      auto piece = static_cast<uint32_t>(first + i);
      uint64_t begin = units * i / count, end = units * (i + 1) / count;
      uint64_t output = begin * kUnit;
      out.pieces.push_back(
          {step, output, std::min(end * kUnit, info.outputs) - output});
      for (const WeightUse &use : info.uses) {
        if (resident[use.weight] || use.byRows) {
          continue;
        }
        streams = true;
        uint64_t size = weights[use.weight].size;
        if (count > 1 && use.unitBytes != 0) {
          uint64_t from = begin * use.unitBytes;
          uint64_t to = std::min(end * use.unitBytes, size);
          add(piece, {use.weight, from, to - from, piece, piece});
          continue;
        }
        if (i != 0) {
          continue;
        }
        auto it = open.find(use.weight);
        if (it != open.end()) {
          auto [group, range] = it->second;
          out.groups[group].ranges[range].last = last;
          now[use.weight] = it->second;
          continue;
        }
        add(piece, {use.weight, 0, size, piece, last});
        now[use.weight] = {out.groups.size() - 1,
                           out.groups.back().ranges.size() - 1};
      }
    }
    if (info.gathers(resident)) {
      StreamGroup group{first, first, {}};
      for (uint32_t i = 0; i < info.gather.tables.size(); ++i) {
        const RowTable &table = info.gather.tables[i];
        group.ranges.push_back({table.weight, 0,
                                table.rowBytes * info.gather.maxRows, first,
                                first, i});
      }
      out.gathers.push_back(std::move(group));
    }
    if (streams) {
      open = std::move(now);
    }
  }
  out.firstPiece.push_back(static_cast<uint32_t>(out.pieces.size()));

  // As early as the window allows: the groups from `oldest` on are held.
  uint64_t held = 0;
  size_t oldest = 0;
  for (size_t i = 0; i < out.groups.size(); ++i) {
    held += slotBytes(out.groups[i]);
    while (oldest < i && held > prefetch.window) {
      held -= slotBytes(out.groups[oldest++]);
    }
    bool fits = held <= prefetch.window;
    out.groups[i].issue = !fits         ? out.groups[i].reader
                          : oldest == 0 ? 0
                                        : out.groups[oldest - 1].reader + 1;
  }
  return out;
}

/// The number of groups at the beginning that the window can hold.
static uint32_t countCarried(const StreamSchedule &schedule, uint64_t window) {
  uint64_t held = 0;
  uint32_t count = 0;
  for (const StreamGroup &group : schedule.groups) {
    held += slotBytes(group);
    if (held > window || group.ranges.front().isRestore) {
      return count;
    }
    ++count;
  }
  return 0; // all of it: that would be resident in disguise
}

/// Whether the groups at the beginning copy just these ranges; how many do.
static std::optional<uint32_t> matching(const StreamSchedule &schedule,
                                        ArrayRef<StreamRange> ranges) {
  uint32_t group = 0;
  for (size_t i = 0; i < ranges.size(); ++group) {
    if (group == schedule.groups.size()) {
      return std::nullopt;
    }
    for (const StreamRange &range : schedule.groups[group].ranges) {
      if (i == ranges.size() || range.isRestore ||
          range.weight != ranges[i].weight || range.begin != ranges[i].begin ||
          range.bytes != ranges[i].bytes) {
        return std::nullopt;
      }
      ++i;
    }
  }
  return group;
}

/// Issues the carried groups for the next run: the window's rule goes on behind
/// the last group.
static void addRefills(StreamSchedule &out, uint64_t window) {
  uint64_t held = 0;
  size_t oldest = out.groups.size();
  while (oldest > 0 && held + slotBytes(out.groups[oldest - 1]) <= window) {
    held += slotBytes(out.groups[--oldest]);
  }
  uint32_t issue = out.groups.back().issue;
  for (uint32_t i = 0; i < out.carried; ++i) {
    held += slotBytes(out.groups[i]);
    while (oldest < out.groups.size() && held > window) {
      held -= slotBytes(out.groups[oldest++]);
    }
    // Not before its own slots are free.
    issue = std::max(issue, out.groups[i].reader + 1);
    for (const StreamRange &range : out.groups[i].ranges) {
      issue = std::max(issue, range.last + 1);
    }
    if (oldest > 0) {
      issue = std::max(issue, out.groups[oldest - 1].reader + 1);
    }
    out.refills.push_back({i, issue});
  }
}

namespace {

/// The places in the new list.
struct Numbering {
  StreamSchedule &out;
  std::vector<uint32_t> refillIndex = {};
  uint32_t index = 0;

  void at(uint32_t) {}
  void copies(const StreamGroup &group, std::vector<uint32_t> &places) {
    index += 2; // signal, wait
    for (const StreamRange &range : group.ranges) {
      if (range.isRestore) {
        out.newIndex[range.first] = index;
      }
      places.push_back(index++);
    }
  }
  void gather(uint32_t i) {
    copies(out.gathers[i], out.gatherIndex);
    ++index; // signal
  }
  void copy(uint32_t i) {
    copies(out.groups[i], out.copyIndex);
    ++index; // signal
  }
  void refill(uint32_t i) {
    copies(out.groups[out.refills[i].group], refillIndex);
  }
  void waitForGather(uint32_t) { ++index; }
  void waitForCopy(uint32_t) { ++index; }
  void launch(uint32_t piece) {
    if (!out.pieces[piece].isRestore) {
      out.newIndex[piece] = index++;
    }
  }
};

} // namespace

static void number(StreamSchedule &out) {
  out.newIndex.resize(out.pieces.size());
  Numbering numbering{out};
  walk(out, numbering);
  llvm::append_range(out.copyIndex, numbering.refillIndex);
  out.newSteps = numbering.index;
}

Streaming PlacementModel::stream(const Choice &choice) const {
  Streaming out;
  if (entries.empty()) {
    return out;
  }
  Prefetch main = choice.prefetches[mainEntry()];
  if (choice.wraps) {
    StreamSchedule plan = scheduleOnce(entries[mainEntry()], choice.resident,
                                       main, main, out.carried);
    uint32_t count = countCarried(plan, main.window);
    for (uint32_t i = 0; i < count; ++i) {
      llvm::append_range(out.carried, plan.groups[i].ranges);
    }
  }
  for (auto [entry, prefetch] : llvm::zip_equal(entries, choice.prefetches)) {
    StreamSchedule plan =
        scheduleOnce(entry, choice.resident, prefetch, main, out.carried);
    if (std::optional<uint32_t> groups = matching(plan, out.carried)) {
      plan.carried = *groups;
      if (plan.carried != 0) {
        addRefills(plan, prefetch.window);
      }
    } else {
      plan.kept = out.carried;
    }
    number(plan);
    out.schedules.push_back(std::move(plan));
  }
  return out;
}

} // namespace llmc::memory
