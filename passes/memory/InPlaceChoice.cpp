//===- InPlaceChoice.cpp - Which buffers become one ------------*- C++ -*-===//

#include "passes/memory/InPlaceChoice.h"

#include "passes/memory/Layout.h"
#include "passes/memory/LivePeak.h"

using namespace mlir;

namespace llmc::memory {

using planir::Kind;

namespace {

/// A touch in the coordinates of its group.
struct Use {
  uint32_t step = 0;
  uint32_t operand = 0;
  uint32_t buffer = 0; // whose value is meant
  uint64_t begin = 0;
  uint64_t end = 0;
  bool reads = false;
  bool writes = false;
  /// Of a dropped copy: nothing happens, but here `buffer` is defined from
  /// (write) or expected by (read) the bytes that lie there.
  bool dropped = false;
};

struct Group {
  std::vector<std::pair<uint32_t, uint64_t>> members; // buffer, place
  std::vector<Use> uses;                              // by step
  uint64_t size = 0;                                  // bytes
  uint32_t kinds = 0; // bit per planir::Kind of the members

  bool has(Kind kind) const { return kinds >> unsigned(kind) & 1; }
  /// Inputs, outputs and constants: each keeps its own buffer.
  bool isPort() const {
    return has(Kind::Input) || has(Kind::Output) || has(Kind::Constant);
  }
};

/// Steps in which a group is live, half-open.
struct Life {
  uint32_t start = 0;
  uint32_t end = 0;
};

class Chooser {
public:
  Chooser(const StepModel &model, const InPlaceOptions &options)
      : model(model), options(options), groups(model.buffers.size()),
        live(static_cast<uint32_t>(std::max<size_t>(model.steps.size(), 1))) {
    out.dropped.resize(model.steps.size());
    for (uint32_t i = 0; i < groups.size(); ++i) {
      out.places.push_back({i, 0});
      groups[i].members = {{i, 0}};
      groups[i].size = model.buffers[i].size;
      groups[i].kinds = 1u << unsigned(model.buffers[i].kind);
    }
    for (const Step &step : model.steps) {
      for (const Touch &touch : step.touches) {
        groups[touch.buffer].uses.push_back(
            {touch.step, touch.operand, touch.buffer, touch.begin, touch.end,
             touch.reads, touch.writes});
      }
    }
    for (uint32_t i = 0; i < groups.size(); ++i) {
      count(groups[i], +1);
    }
    out.peakBefore = static_cast<uint64_t>(live.peak());
  }

  InPlaceChoice run() {
    for (uint32_t i = 0; i < model.steps.size(); ++i) {
      const Step &step = model.steps[i];
      limit = live.peak();
      if (step.copy && options.copies) {
        InPlaceDecision decision{i, 0, Rewrite::Copy, false, {}};
        decision.reason = tryCopy(i, step);
        decision.taken = decision.reason.empty();
        out.decisions.push_back(std::move(decision));
      }
      limit = live.peak();
      for (const TakeoverCandidate &candidate : step.takeovers) {
        if (!options.takeovers) {
          break;
        }
        InPlaceDecision decision{
            i, candidate.operand, Rewrite::Takeover, false, {}};
        decision.reason = tryTakeover(i, step, candidate);
        decision.taken = decision.reason.empty();
        out.decisions.push_back(std::move(decision));
      }
    }
    out.peakAfter = static_cast<uint64_t>(live.peak());
    for (const Group &group : groups) {
      out.sizes.push_back(group.size);
    }
    return std::move(out);
  }

private:
  //===-- Lifetimes -------------------------------------------------------===//

  /// As in PlanLiveness.cpp; touches of dropped copies do not count.
  Life lifeOf(const Group &group) const {
    auto isReal = [](const Use &use) { return !use.dropped; };
    auto first = llvm::find_if(group.uses, isReal);
    auto last = llvm::find_if(llvm::reverse(group.uses), isReal);
    Life life;
    if (first != group.uses.end()) {
      life = {first->step, last->step + 1};
    }
    return withPorts(life, group.kinds);
  }

  Life withPorts(Life life, uint32_t kinds) const {
    if (kinds >> unsigned(Kind::Input) & 1) {
      life = {0, std::max(life.end, 1u)};
    }
    if (kinds >> unsigned(Kind::Output) & 1) {
      life.end = static_cast<uint32_t>(std::max<size_t>(model.steps.size(), 1));
    }
    return life;
  }

  static bool isShared(uint32_t kinds) {
    return kinds & ((1u << unsigned(Kind::Input)) - 1);
  }

  void count(Life life, uint64_t size, uint32_t kinds, int sign) {
    if (!isShared(kinds)) {
      live.add(life.start, life.end, sign * static_cast<int64_t>(padded(size)));
    }
  }
  void count(const Group &group, int sign) {
    count(lifeOf(group), group.size, group.kinds, sign);
  }

  //===-- Alias analysis --------------------------------------------------===//

  struct Expectation {
    int64_t defined = INT64_MAX; // step; -1: before the entry
    int64_t last = -1;           // step of the last touch
  };

  /// When the bytes [begin, end) of `buffer`, in its group's coordinates, get
  /// their value and are touched for the last time.
  Expectation expectation(const Group &group, uint32_t buffer, uint64_t begin,
                          uint64_t end) const {
    Expectation out;
    for (const Use &use : group.uses) {
      if (use.buffer != buffer || use.begin >= end || begin >= use.end) {
        continue;
      }
      if (use.writes) {
        out.defined = std::min<int64_t>(out.defined, use.step);
      }
      out.last = std::max<int64_t>(out.last, use.step);
    }
    Kind kind = model.buffers[buffer].kind;
    if (kind <= Kind::Input) {
      out.defined = -1;
    }
    if (kind == Kind::Output) {
      out.last = INT64_MAX;
    }
    return out;
  }

  std::string stepName(uint32_t step) const {
    auto launch = dyn_cast_or_null<planir::LaunchOp>(model.steps[step].op);
    return "step " + std::to_string(step) +
           (launch ? " '" + launch.getName().str() + "'" : "");
  }

  std::string bufferName(uint32_t buffer) const {
    planir::BufferOp op = model.buffers[buffer].op;
    return op ? "@" + op.getSymName().str() : std::to_string(buffer);
  }

  /// Whether a write in `group`, moved up by `shift`, destroys what a buffer
  /// of `other`, moved up by `otherShift`, expects. `link` is the takeover
  /// that is being tried: at this step its operand and result may coincide.
  std::string conflict(const Group &group, uint64_t shift, const Group &other,
                       uint64_t otherShift, const TakeoverCandidate *link,
                       uint32_t linkStep) const {
    for (const Use &write : group.uses) {
      if (!write.writes || write.dropped) {
        continue;
      }
      uint64_t begin = write.begin + shift, end = write.end + shift;
      uint64_t low = begin > otherShift ? begin - otherShift : 0;
      uint64_t high = end > otherShift ? end - otherShift : 0;
      auto destroys = [&](uint32_t buffer) -> std::string {
        Expectation expected = expectation(other, buffer, low, high);
        if (expected.defined >= write.step || expected.last <= write.step) {
          return {};
        }
        return stepName(write.step) + " would write over " +
               bufferName(buffer) + ", which is " +
               (expected.last == INT64_MAX
                    ? "an output"
                    : "needed by " +
                          stepName(static_cast<uint32_t>(expected.last)));
      };
      if (low < high && other.has(Kind::Output)) {
        std::string problem = destroys(other.members.front().first);
        if (!problem.empty()) {
          return problem;
        }
      }
      for (const Use &use : llvm::reverse(other.uses)) {
        if (use.step < write.step) {
          break;
        }
        if (use.begin >= high || low >= use.end) {
          continue;
        }
        if (use.step > write.step) {
          std::string problem = destroys(use.buffer);
          if (!problem.empty()) {
            return problem;
          }
          continue;
        }
        // Both at one step: only where the kernel allows it. The same operand
        // may come twice (x + x).
        bool allowed = link && write.step == linkStep && !use.writes &&
                       write.operand == link->result && use.begin == low &&
                       use.end == high && mayCoincide(use.step, use.operand);
        if (!use.dropped && !allowed) {
          return stepName(write.step) + " reads " + bufferName(use.buffer) +
                 " while it writes";
        }
      }
    }
    return {};
  }

  bool mayCoincide(uint32_t step, uint32_t operand) const {
    return llvm::any_of(
        model.steps[step].takeovers, [&](const TakeoverCandidate &candidate) {
          return candidate.operand == operand && candidate.obstacle.empty();
        });
  }

  //===-- Merging ---------------------------------------------------------===//

  /// Lets byte `inA` of a's group be byte `inB` of b's. Returns why not.
  std::string merge(uint32_t a, uint64_t inA, uint32_t b, uint64_t inB,
                    const TakeoverCandidate *link, uint32_t linkStep) {
    if (a == b) {
      return inA == inB ? "" : "both are parts of one buffer already";
    }
    Group &groupA = groups[a];
    Group &groupB = groups[b];
    // The one that lies lower begins at 0.
    uint64_t shiftA = inB > inA ? inB - inA : 0;
    uint64_t shiftB = inA > inB ? inA - inB : 0;
    uint64_t size = std::max(groupA.size + shiftA, groupB.size + shiftB);
    if (size > std::max(groupA.size, groupB.size)) {
      return "neither buffer has room for the other";
    }
    for (const Group *group : {&groupA, &groupB}) {
      if (group->has(Kind::Weight) || group->has(Kind::State)) {
        uint32_t buffer = group->members.front().first;
        return bufferName(buffer) + " is a " +
               planir::stringifyKind(model.buffers[buffer].kind).str();
      }
    }
    if (groupA.isPort() && groupB.isPort()) {
      return "an input, output or constant has a buffer of its own";
    }
    for (auto [group, shift] :
         {std::pair(&groupA, shiftA), {&groupB, shiftB}}) {
      if (group->isPort() && (shift != 0 || size > group->size)) {
        uint32_t buffer = group->members.front().first;
        return planir::stringifyKind(model.buffers[buffer].kind).str() + " " +
               bufferName(buffer) + " must keep its " +
               std::to_string(group->size) + " bytes";
      }
    }
    // Constants must stay what they are, and as large as they are.
    for (auto [group, other] :
         {std::pair(&groupA, &groupB), {&groupB, &groupA}}) {
      if (group->has(Kind::Constant) &&
          (other->size > group->size ||
           llvm::any_of(other->uses, [](const Use &use) {
             return use.writes && !use.dropped;
           }))) {
        return bufferName(group->members.front().first) + " is a constant";
      }
    }
    std::string problem =
        conflict(groupA, shiftA, groupB, shiftB, link, linkStep);
    if (problem.empty()) {
      problem = conflict(groupB, shiftB, groupA, shiftA, link, linkStep);
    }
    if (!problem.empty()) {
      return problem;
    }
    return commit(a, shiftA, b, shiftB, size, link != nullptr);
  }

  /// Makes the groups one, unless that raises the peak. A `takeover` saves
  /// nothing but memory, so it must not hold more of it for longer either.
  std::string commit(uint32_t a, uint64_t shiftA, uint32_t b, uint64_t shiftB,
                     uint64_t size, bool takeover) {
    // Ports stay what they are; else the larger one stays.
    bool rootIsA = groups[a].isPort() ||
                   (!groups[b].isPort() && groups[a].size >= groups[b].size);
    uint32_t root = rootIsA ? a : b;
    uint32_t gone = rootIsA ? b : a;
    uint64_t rootShift = rootIsA ? shiftA : shiftB;
    uint64_t goneShift = rootIsA ? shiftB : shiftA;
    Group &into = groups[root];
    Group &from = groups[gone];

    Life lives[] = {lifeOf(into), lifeOf(from)};
    Life merged = lives[0];
    if (lives[0].start >= lives[0].end) {
      merged = lives[1];
    } else if (lives[1].start < lives[1].end) {
      merged = {std::min(lives[0].start, lives[1].start),
                std::max(lives[0].end, lives[1].end)};
    }
    uint32_t kinds = into.kinds | from.kinds;
    merged = withPorts(merged, kinds);
    count(lives[0], into.size, into.kinds, -1);
    count(lives[1], from.size, from.kinds, -1);
    count(merged, size, kinds, +1);
    int64_t after = live.peak();
    auto held = [](Life life, uint64_t bytes) {
      return static_cast<unsigned __int128>(life.end - life.start) * bytes;
    };
    bool wastes = takeover && after == limit &&
                  held(merged, size) >
                      held(lives[0], into.size) + held(lives[1], from.size);
    if (after > limit || wastes) {
      count(merged, size, kinds, -1);
      count(lives[0], into.size, into.kinds, +1);
      count(lives[1], from.size, from.kinds, +1);
      return wastes ? "it would keep " + std::to_string(size) +
                          " bytes alive for a smaller result"
                    : "the peak would grow from " + std::to_string(limit) +
                          " to " + std::to_string(after) + " bytes";
    }

    auto shiftUses = [](std::vector<Use> &uses, uint64_t shift) {
      for (Use &use : uses) {
        use.begin += shift;
        use.end += shift;
      }
    };
    if (rootShift != 0) {
      shiftUses(into.uses, rootShift);
      for (auto &[buffer, place] : into.members) {
        place += rootShift;
        out.places[buffer] = {root, place};
      }
    }
    shiftUses(from.uses, goneShift);
    for (auto &[buffer, place] : from.members) {
      place += goneShift;
      out.places[buffer] = {root, place};
    }
    into.members.insert(into.members.end(), from.members.begin(),
                        from.members.end());
    // Mostly one is used up before the other begins.
    bool sorted = into.uses.empty() || from.uses.empty() ||
                  into.uses.back().step <= from.uses.front().step;
    if (sorted) {
      into.uses.insert(into.uses.end(), from.uses.begin(), from.uses.end());
    } else {
      std::vector<Use> uses;
      std::merge(into.uses.begin(), into.uses.end(), from.uses.begin(),
                 from.uses.end(), std::back_inserter(uses),
                 [](const Use &a, const Use &b) { return a.step < b.step; });
      into.uses = std::move(uses);
    }
    into.size = size;
    into.kinds = kinds;
    from = {};
    return {};
  }

  /// The group of a touch and where the touch begins in it.
  std::pair<uint32_t, uint64_t> locate(const Touch &touch,
                                       uint64_t byte) const {
    InPlaceChoice::Place place = out.places[touch.buffer];
    return {place.root, place.offset + byte};
  }

  std::string tryTakeover(uint32_t number, const Step &step,
                          const TakeoverCandidate &candidate) {
    if (!candidate.obstacle.empty()) {
      return candidate.obstacle;
    }
    const Touch &in = step.touches[candidate.operand];
    const Touch &result = step.touches[candidate.result];
    auto [a, inA] = locate(in, in.begin);
    auto [b, inB] = locate(result, result.begin);
    return merge(a, inA, b, inB, &candidate, number);
  }

  std::string tryCopy(uint32_t number, const Step &step) {
    if (!step.copy->obstacle.empty()) {
      return step.copy->obstacle;
    }
    auto [a, inA] = locate(step.touches[0], step.copy->from);
    auto [b, inB] = locate(step.touches[1], step.copy->to);
    // A buffer taken over piece by piece only fits as a whole.
    SmallVector<uint32_t> together = alike(a, inA, b, inB);
    if (together.size() > 1 && dropCopies(together, a, inA, b, inB).empty()) {
      return {};
    }
    return dropCopies({number}, a, inA, b, inB);
  }

  /// The copies that would be dropped as well if byte `inA` of a's group were
  /// byte `inB` of b's.
  SmallVector<uint32_t> alike(uint32_t a, uint64_t inA, uint32_t b,
                              uint64_t inB) const {
    SmallVector<uint32_t> steps;
    for (const Use &use : groups[b].uses) {
      const Step &step = model.steps[use.step];
      if (!use.writes || use.dropped || !step.copy ||
          !step.copy->obstacle.empty()) {
        continue;
      }
      auto [from, inFrom] = locate(step.touches[0], step.copy->from);
      auto [to, inTo] = locate(step.touches[1], step.copy->to);
      if (from == a && to == b && inFrom + inB == inTo + inA) {
        steps.push_back(use.step);
      }
    }
    return steps;
  }

  std::string dropCopies(ArrayRef<uint32_t> steps, uint32_t a, uint64_t inA,
                         uint32_t b, uint64_t inB) {
    // As if the copies were gone: they define and expect, but move nothing.
    setDropped(steps, a, b, true);
    std::string problem = merge(a, inA, b, inB, nullptr, steps.front());
    if (!problem.empty()) {
      setDropped(steps, a, b, false);
    }
    for (uint32_t step : steps) {
      out.dropped[step] = problem.empty();
    }
    return problem;
  }

  void setDropped(ArrayRef<uint32_t> steps, uint32_t a, uint32_t b,
                  bool dropped) {
    SmallVector<uint32_t, 2> both = {a};
    if (a != b) {
      both.push_back(b);
    }
    for (uint32_t group : both) {
      count(groups[group], -1);
      for (Use &use : groups[group].uses) {
        if (llvm::is_contained(steps, use.step)) {
          use.dropped = dropped;
        }
      }
      count(groups[group], +1);
    }
  }

  const StepModel &model;
  const InPlaceOptions &options;
  std::vector<Group> groups; // by root; empty if merged away
  LivePeak live;
  int64_t limit = 0; // that the peak must not exceed
  InPlaceChoice out;
};

} // namespace

InPlaceChoice chooseInPlace(const StepModel &model,
                            const InPlaceOptions &options) {
  return Chooser(model, options).run();
}

} // namespace llmc::memory
