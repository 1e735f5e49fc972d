//===- StreamSimulation.h - Two streams with signals and waits -*- C++ -*-===//
//
// How long a schedule takes when compute and copies run beside each other.
// Each stream runs its steps in their order; a wait holds its stream until the
// event was signalled; the run ends when both streams are through. That is what
// runtime/core/Executor does.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_MEMORY_STREAMSIMULATION_H
#define LLMC_PASSES_MEMORY_STREAMSIMULATION_H

#include <cstdint>
#include <optional>
#include <vector>

namespace llmc::memory {

struct SimulatedStep {
  enum class Kind : uint8_t { Work, Signal, Wait };
  enum class Stream : uint8_t { Compute, Copy };
  Kind kind = Kind::Work;
  Stream stream = Stream::Compute;
  double seconds = 0; // Work, with its stream alone
  double latency = 0; // Work: more, if the stream was idle before
  uint32_t event = 0; // Signal, Wait

  static SimulatedStep work(Stream stream, double seconds, double latency = 0) {
    return {Kind::Work, stream, seconds, latency, 0};
  }
  static SimulatedStep signal(Stream stream, uint32_t event) {
    return {Kind::Signal, stream, 0, 0, event};
  }
  static SimulatedStep wait(Stream stream, uint32_t event) {
    return {Kind::Wait, stream, 0, 0, event};
  }
};

struct SimulatedRun {
  double seconds = 0;
  double computeSeconds = 0; // the compute stream works
  double linkSeconds = 0;    // the copy stream works
  double stallSeconds = 0;   // the compute stream waits, at the end too
};

/// `computeWhileCopying` in (0, 1]: the speed of compute while a copy runs.
/// nullopt if a wait is never satisfied.
std::optional<SimulatedRun> simulate(const std::vector<SimulatedStep> &steps,
                                     double computeWhileCopying = 1.0);

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_STREAMSIMULATION_H
