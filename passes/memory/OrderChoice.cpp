//===- OrderChoice.cpp - The order of an entry's steps ---------*- C++ -*-===//

#include "passes/memory/OrderChoice.h"

#include "passes/memory/Layout.h"

#include <numeric>

namespace llmc::memory {

using planir::Kind;

namespace {

/// A touch in the coordinates of the buffer it ended up in.
struct Placed {
  uint32_t step;
  uint32_t buffer; // the original one
  uint64_t begin, end;
  bool reads, writes;
  bool dropped;
};

/// Whether `later` must stay behind `earlier`. A dropped copy moves nothing:
/// it only separates what makes its operand from what reads its result.
bool depends(const Placed &earlier, const Placed &later) {
  if (earlier.begin >= later.end || later.begin >= earlier.end) {
    return false;
  }
  bool realWrite =
      (earlier.writes && !earlier.dropped) || (later.writes && !later.dropped);
  bool throughCopy = (earlier.dropped || later.dropped) &&
                     earlier.buffer == later.buffer &&
                     (earlier.writes || later.writes);
  return realWrite || throughCopy;
}

} // namespace

solver::ScheduleProblem scheduleProblem(const StepModel &model,
                                        const InPlaceChoice &choice,
                                        bool takeovers) {
  solver::ScheduleProblem problem;
  problem.steps = static_cast<uint32_t>(model.steps.size());
  std::vector<std::vector<Placed>> touches(model.buffers.size());
  std::vector<bool> isInput(model.buffers.size());
  std::vector<bool> isOutput(model.buffers.size());
  for (size_t i = 0; i < model.buffers.size(); ++i) {
    uint32_t root = choice.places[i].root;
    isInput[root] = isInput[root] || model.buffers[i].kind == Kind::Input;
    isOutput[root] = isOutput[root] || model.buffers[i].kind == Kind::Output;
  }
  for (const Step &step : model.steps) {
    for (const Touch &touch : step.touches) {
      InPlaceChoice::Place place = choice.places[touch.buffer];
      touches[place.root].push_back({touch.step, touch.buffer,
                                     touch.begin + place.offset,
                                     touch.end + place.offset, touch.reads,
                                     touch.writes, choice.dropped[touch.step]});
    }
  }
  std::vector<uint32_t> number(model.buffers.size(), UINT32_MAX);
  for (size_t root = 0; root < model.buffers.size(); ++root) {
    const std::vector<Placed> &uses = touches[root];
    bool written = llvm::any_of(uses, [](const Placed &p) { return p.writes; });
    for (size_t later = 0; written && later < uses.size(); ++later) {
      for (size_t earlier = 0; earlier < later; ++earlier) {
        if (uses[earlier].step != uses[later].step &&
            depends(uses[earlier], uses[later])) {
          problem.edges.push_back({uses[earlier].step, uses[later].step});
        }
      }
    }
    if (model.buffers[root].isShared() || choice.places[root].root != root) {
      continue;
    }
    solver::ScheduleBuffer buffer;
    buffer.size = padded(choice.sizes[root]);
    buffer.liveAtStart = isInput[root];
    buffer.liveAtEnd = isOutput[root];
    for (const Placed &use : uses) {
      if (!use.dropped &&
          (buffer.steps.empty() || buffer.steps.back() != use.step)) {
        buffer.steps.push_back(use.step);
      }
    }
    number[root] = static_cast<uint32_t>(problem.buffers.size());
    problem.buffers.push_back(std::move(buffer));
  }
  llvm::sort(problem.edges);
  problem.edges.erase(llvm::unique(problem.edges), problem.edges.end());

  for (uint32_t i = 0; takeovers && i < problem.steps; ++i) {
    const Step &step = model.steps[i];
    for (const TakeoverCandidate &candidate : step.takeovers) {
      const Touch &in = step.touches[candidate.operand];
      const Touch &result = step.touches[candidate.result];
      InPlaceChoice::Place a = choice.places[in.buffer];
      InPlaceChoice::Place b = choice.places[result.buffer];
      uint32_t from = number[a.root], into = number[b.root];
      // The result's whole group must find room where the operand lies.
      uint64_t lowest = a.offset + in.begin;
      uint64_t above = b.offset + result.begin;
      if (!candidate.obstacle.empty() || from == UINT32_MAX ||
          into == UINT32_MAX || from == into || above > lowest ||
          lowest - above + choice.sizes[b.root] > choice.sizes[a.root] ||
          isOutput[a.root] || (isInput[a.root] && isOutput[b.root])) {
        continue;
      }
      problem.takeovers.push_back({i, from, into});
    }
  }
  return problem;
}

OrderChoice chooseOrder(const StepModel &model, uint64_t nodes, bool inPlace) {
  OrderChoice out;
  out.order.resize(model.steps.size());
  std::iota(out.order.begin(), out.order.end(), 0);
  InPlaceOptions none{/*takeovers=*/false, /*copies=*/false};
  InPlaceOptions all = inPlace ? InPlaceOptions{} : none;
  out.modelPeak = out.peak = chooseInPlace(model, all).peakAfter;
  solver::ScheduleLimits limits;
  if (nodes != 0) {
    limits.nodes = nodes;
  }
  // What helps in one form of the problem may mislead the search in another:
  // the fewer the ways to save memory, the simpler it is.
  struct Form {
    bool copies, takeovers;
  };
  for (Form form : {Form{true, true}, {false, true}, {false, false}}) {
    if (!inPlace && (form.copies || form.takeovers)) {
      continue;
    }
    InPlaceChoice merged =
        chooseInPlace(model, {/*takeovers=*/false, form.copies});
    solver::ScheduleProblem problem =
        scheduleProblem(model, merged, form.takeovers);
    solver::ScheduleResult result = solver::schedule(problem, limits);
    if (std::is_sorted(result.order.begin(), result.order.end())) {
      continue;
    }
    uint64_t peak = chooseInPlace(model.reordered(result.order), all).peakAfter;
    if (peak < out.peak) {
      out.order = std::move(result.order);
      out.peak = peak;
      out.moved = true;
    }
  }
  return out;
}

} // namespace llmc::memory
