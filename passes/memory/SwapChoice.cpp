//===- SwapChoice.cpp - Which activations leave for a while ----*- C++ -*-===//

#include "passes/memory/SwapChoice.h"

#include "passes/memory/Layout.h"

#include <algorithm>

namespace llmc::memory {

namespace {

struct Hull {
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  void add(uint64_t from, uint64_t to) {
    begin = std::min(begin, from);
    end = std::max(end, to);
  }
};

/// All that one step does to one buffer.
struct Use {
  uint32_t step = 0;
  Hull reads, writes;
};

std::vector<std::vector<Use>> usesOf(const StepModel &model) {
  std::vector<std::vector<Use>> uses(model.buffers.size());
  for (const Step &step : model.steps) {
    for (const Touch &touch : step.touches) {
      std::vector<Use> &list = uses[touch.buffer];
      if (list.empty() || list.back().step != touch.step) {
        list.push_back({touch.step, {}, {}});
      }
      if (touch.reads) {
        list.back().reads.add(touch.begin, touch.end);
      }
      if (touch.writes) {
        list.back().writes.add(touch.begin, touch.end);
      }
    }
  }
  return uses;
}

/// Whether the launch at `step` can be made again in front of `at`, instead of
/// keeping bytes [begin, end) of `buffer`: it alone has written them, and what
/// it reads is still there, unchanged.
bool canRepeat(const SwapProblem &problem,
               const std::vector<std::vector<Use>> &uses, uint32_t buffer,
               uint32_t step, uint32_t at, uint64_t begin, uint64_t end) {
  if (!problem.again[step]) {
    return false;
  }
  const Step &made = problem.model.steps[step];
  bool all = false;
  for (const Touch &touch : made.touches) {
    if (touch.buffer == buffer) {
      if (touch.reads) {
        return false;
      }
      all |= touch.begin <= begin && end <= touch.end;
      continue;
    }
    if (touch.writes) {
      return false;
    }
    const StepBuffer &operand = problem.model.buffers[touch.buffer];
    if (operand.kind == planir::Kind::State) {
      return false;
    }
    if (operand.isShared()) {
      continue;
    }
    auto [start, last] = problem.lifetimes[touch.buffer];
    if (at < start || at >= last) {
      return false;
    }
    for (const Use &use : uses[touch.buffer]) {
      if (use.step > step && use.step <= at && use.writes.end != 0) {
        return false;
      }
    }
  }
  return all;
}

} // namespace

std::vector<Move> possibleMoves(const SwapProblem &problem) {
  std::vector<Move> moves;
  std::vector<std::vector<Use>> uses = usesOf(problem.model);
  for (uint32_t b = 0; b < uses.size(); ++b) {
    const StepBuffer &buffer = problem.model.buffers[b];
    const std::vector<Use> &list = uses[b];
    if (!problem.movable[b] || padded(buffer.size) < problem.smallest) {
      continue;
    }
    std::vector<Hull> later(list.size() + 1); // what is read from here on
    for (size_t i = list.size(); i-- > 0;) {
      later[i] = later[i + 1];
      if (list[i].reads.end != 0) {
        later[i].add(list[i].reads.begin, list[i].reads.end);
      }
    }
    Hull written;
    uint32_t writers = 0, writer = 0;
    if (buffer.kind == planir::Kind::Input) {
      written.add(0, buffer.size);
      writers = 2; // nothing to make again
    }
    for (size_t i = 0; i + 1 < list.size(); ++i) {
      if (list[i].writes.end != 0) {
        written.add(list[i].writes.begin, list[i].writes.end);
        ++writers;
        writer = list[i].step;
      }
      Move move;
      move.buffer = b;
      move.after = list[i].step;
      move.before = move.issue = list[i + 1].step;
      move.begin = std::max(written.begin, later[i + 1].begin);
      move.end = std::min(written.end, later[i + 1].end);
      if (move.before - move.after < 2 || move.begin >= move.end) {
        continue;
      }
      move.seconds = 2 * (problem.swapSeconds +
                          static_cast<double>(move.end - move.begin) /
                              problem.bytesPerSecond);
      moves.push_back(move);
      if (writers == 1 && canRepeat(problem, uses, b, writer, move.before,
                                    move.begin, move.end)) {
        move.again = writer;
        move.seconds = *problem.again[writer];
        moves.push_back(move);
      }
    }
  }
  return moves;
}

int64_t lowestLevel(const SwapProblem &problem,
                    const std::vector<Move> &possible) {
  std::vector<int64_t> change(problem.levels.size() + 1);
  for (const Move &move : possible) {
    if (!move.again) {
      auto size =
          static_cast<int64_t>(padded(problem.model.buffers[move.buffer].size));
      change[move.after + 1] -= size;
      change[move.before] += size;
    }
  }
  int64_t lowest = 0, away = 0;
  for (size_t step = 0; step < problem.levels.size(); ++step) {
    away += change[step];
    lowest = std::max(lowest, problem.levels[step] + away);
  }
  return lowest;
}

namespace {

class Chooser {
public:
  Chooser(const SwapProblem &problem, const std::vector<Move> &possible,
          int64_t bound)
      : problem(problem), possible(possible), bound(bound),
        levels(problem.levels), taken(possible.size()) {}

  std::optional<std::vector<Move>> run() {
    for (;;) {
      auto highest = std::max_element(levels.begin(), levels.end());
      if (highest == levels.end() || *highest <= bound) {
        break;
      }
      std::optional<size_t> best =
          bestAt(static_cast<uint32_t>(highest - levels.begin()));
      if (!best) {
        return std::nullopt;
      }
      taken[*best] = true;
      order.push_back(*best);
      away(possible[*best], -1);
    }
    dropUnneeded();
    std::vector<Move> out;
    for (size_t i = 0; i < possible.size(); ++i) {
      if (taken[i]) {
        out.push_back(possible[i]);
      }
    }
    issueEarly(out);
    return out;
  }

private:
  int64_t sizeOf(const Move &move) const {
    return static_cast<int64_t>(
        padded(problem.model.buffers[move.buffer].size));
  }

  /// Takes the activation off the levels of its gap, or back.
  void away(const Move &move, int64_t sign) {
    for (uint32_t step = move.after + 1; step < move.before; ++step) {
      levels[step] += sign * sizeOf(move);
    }
  }

  static bool covers(const Move &move, uint32_t step) {
    return move.after < step && step < move.before;
  }

  /// A launch that is made again at `at` reads operands that must be there.
  bool needs(const Move &again, const Move &other) const {
    if (!again.again || !covers(other, again.before)) {
      return false;
    }
    for (const Touch &touch : problem.model.steps[*again.again].touches) {
      if (touch.buffer == other.buffer && touch.buffer != again.buffer) {
        return true;
      }
    }
    return false;
  }

  bool isPossible(size_t index) const {
    const Move &move = possible[index];
    for (size_t other : order) {
      const Move &chosen = possible[other];
      bool sameGap = chosen.buffer == move.buffer && chosen.after == move.after;
      if (sameGap || needs(move, chosen) || needs(chosen, move)) {
        return false;
      }
    }
    return true;
  }

  std::optional<size_t> bestAt(uint32_t step) const {
    std::optional<size_t> best;
    double bestGain = 0;
    for (size_t i = 0; i < possible.size(); ++i) {
      const Move &move = possible[i];
      if (taken[i] || !covers(move, step) || !isPossible(i)) {
        continue;
      }
      double bytes = 0;
      for (uint32_t at = move.after + 1; at < move.before; ++at) {
        bytes += static_cast<double>(
            std::clamp<int64_t>(levels[at] - bound, 0, sizeOf(move)));
      }
      double gain = bytes / std::max(move.seconds, 1e-9);
      if (!best || gain > bestGain) {
        best = i;
        bestGain = gain;
      }
    }
    return best;
  }

  void dropUnneeded() {
    std::vector<size_t> dearest = order;
    std::stable_sort(dearest.begin(), dearest.end(), [&](size_t a, size_t b) {
      return possible[a].seconds > possible[b].seconds;
    });
    for (size_t i : dearest) {
      const Move &move = possible[i];
      away(move, 1);
      bool needed = std::any_of(levels.begin() + move.after + 1,
                                levels.begin() + move.before,
                                [&](int64_t level) { return level > bound; });
      if (needed) {
        away(move, -1);
      } else {
        taken[i] = false;
      }
    }
  }

  void issueEarly(std::vector<Move> &moves) {
    for (Move &move : moves) {
      double beside = 0;
      while (!move.again && move.issue > move.after + 1 &&
             beside < move.seconds / 2 &&
             levels[move.issue - 1] + sizeOf(move) <= bound) {
        --move.issue;
        levels[move.issue] += sizeOf(move);
        beside += problem.seconds[move.issue];
      }
    }
  }

  const SwapProblem &problem;
  const std::vector<Move> &possible;
  int64_t bound;
  std::vector<int64_t> levels;
  std::vector<bool> taken;
  std::vector<size_t> order;
};

} // namespace

std::optional<std::vector<Move>> chooseMoves(const SwapProblem &problem,
                                             const std::vector<Move> &possible,
                                             int64_t bound) {
  return Chooser(problem, possible, bound).run();
}

} // namespace llmc::memory
