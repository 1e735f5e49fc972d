//===- StreamSimulation.cpp - Two streams with signals and waits ----------===//

#include "passes/memory/StreamSimulation.h"

#include <algorithm>

namespace llmc::memory {

namespace {

/// One stream: its steps, and how much of the current one is left.
struct Queue {
  std::vector<const SimulatedStep *> steps;
  size_t next = 0;
  double left = 0; // seconds of steps[next]; 0: not begun
  bool idle = true;

  bool isDone() const { return next == steps.size(); }
  const SimulatedStep &head() const { return *steps[next]; }
  bool works() const {
    return !isDone() && head().kind == SimulatedStep::Kind::Work;
  }

  /// Passes everything that takes no time. True if anything was passed.
  bool settle(std::vector<bool> &happened) {
    size_t before = next;
    for (; !isDone() && left == 0; ++next) {
      if (head().kind == SimulatedStep::Kind::Signal) {
        happened[head().event] = true;
      } else if (head().kind == SimulatedStep::Kind::Wait) {
        if (!happened[head().event]) {
          idle = true;
          break;
        }
      } else if (head().seconds > 0) {
        left = head().seconds + (idle ? head().latency : 0);
        idle = false;
        break;
      }
    }
    return next != before;
  }

  void advance(double seconds) {
    // What ends first ends exactly, whatever rounding says.
    left = left > seconds ? left - seconds : 0;
    if (left == 0) {
      ++next;
    }
  }
};

} // namespace

std::optional<SimulatedRun> simulate(const std::vector<SimulatedStep> &steps,
                                     double computeWhileCopying) {
  Queue compute;
  Queue copy;
  uint32_t events = 0;
  for (const SimulatedStep &step : steps) {
    (step.stream == SimulatedStep::Stream::Compute ? compute : copy)
        .steps.push_back(&step);
    if (step.kind != SimulatedStep::Kind::Work) {
      events = std::max(events, step.event + 1);
    }
  }
  std::vector<bool> happened(events, false);
  SimulatedRun run;
  for (;;) {
    // A signal of one stream may release the other.
    while (int(compute.settle(happened)) + int(copy.settle(happened)) > 0) {
    }
    if (compute.isDone() && copy.isDone()) {
      return run;
    }
    if (!compute.works() && !copy.works()) {
      return std::nullopt;
    }
    double speed = copy.works() ? computeWhileCopying : 1.0;
    double step = !compute.works() ? copy.left
                  : !copy.works()  ? compute.left
                                   : std::min(copy.left, compute.left / speed);
    run.seconds += step;
    (compute.works() ? run.computeSeconds : run.stallSeconds) += step;
    if (copy.works()) {
      run.linkSeconds += step;
    }
    bool computes = compute.works();
    if (copy.works()) {
      copy.advance(step);
    }
    if (computes) {
      // The end of a step that ends now must not hang on a rounding error.
      bool ends = step >= compute.left / speed;
      compute.advance(ends ? compute.left : step * speed);
    }
  }
}

} // namespace llmc::memory
