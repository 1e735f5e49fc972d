//===- llmc-synthetic-plan.cpp - A plan of any number of buffers ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   llmc-synthetic-plan BUFFERS OUT.plan
//
// Writes a well-formed plan (Validate.h) with that many buffers of all kinds
// and tiers, two entries, long names and names that try to be markup. No two
// live buffers overlap: the addresses come from first fit over time. The
// kernels' operands make no sense, so the plan is there to be looked at, not
// to be run. The same arguments give the same bytes.
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Peak.h"
#include "runtime/plan/PlanWriter.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

using namespace llmc;
using namespace llmc::plan;

namespace {

/// A range of addresses in use until `end`.
struct Held {
  uint64_t offset, size;
  uint32_t end;
};

class Generator {
public:
  explicit Generator(uint32_t count) : count(count) {
    plan.producer = "llmc-synthetic-plan";
    plan.modelName = "synthetic-" + std::to_string(count);
    plan.arch = "x86-64-v3";
    plan.options = "--vram 24G";
    plan.weightsFile = "synthetic.weights";
    plan.context = 4096;
    plan.vocabulary = 32000;
  }

  Plan run() {
    const uint32_t lasting = count / 20;
    for (uint32_t i = 0; i < lasting; ++i) {
      addLasting(i, lasting);
    }
    const uint64_t base = top[0];
    const uint32_t passing = count - lasting;
    for (const char *entry : {"prefill", "decode"}) {
      uint32_t share = passing * 3 / 5;
      addEntry(entry, plan.entries.empty() ? share : passing - passing * 3 / 5,
               base);
    }
    fillTotals(base);
    return std::move(plan);
  }

private:
  static uint64_t aligned(uint64_t bytes) { return (bytes + 63) / 64 * 64; }
  uint32_t below(uint32_t limit) { return uint32_t(random() % limit); }

  /// Sizes over several orders of magnitude, as in real models.
  uint64_t someSize(int low, int high) {
    int bits = low + int(below(uint32_t(high - low + 1)));
    return (uint64_t(1) << bits) + below(1u << std::min(bits, 30)) / 64 * 64;
  }

  Buffer &addBuffer(std::string name, BufferKind kind) {
    Buffer &buffer = plan.buffers.emplace_back();
    buffer.name = std::move(name);
    buffer.kind = kind;
    return buffer;
  }

  void addLasting(uint32_t i, uint32_t all) {
    std::string layer = "/model/layers." + std::to_string(i / 8) + "/";
    BufferKind kind = i % 8 == 7   ? BufferKind::State
                      : i % 40 < 1 ? BufferKind::Constant
                                   : BufferKind::Weight;
    Buffer &buffer =
        addBuffer(layer + (i == 1 ? "</script><b>bold</b>&amp;\"quoted\""
                                  : "self_attn/projection_" +
                                        std::to_string(i) + "/weight.panel64"),
                  kind);
    Tier tier = kind == BufferKind::Weight && i % 5 == 3   ? Tier::Host
                : kind == BufferKind::Weight && i % 5 == 4 ? Tier::Disk
                                                           : Tier::Device;
    buffer.tier = tier;
    buffer.offset = top[size_t(tier)];
    buffer.size = kind == BufferKind::Constant ? 64 : someSize(12, 16);
    top[size_t(tier)] += aligned(buffer.size);
  }

  /// First fit among what is still held at `start`.
  uint64_t place(std::vector<Held> &held, uint32_t start, uint32_t end,
                 uint64_t size, uint64_t base) {
    std::erase_if(held, [&](const Held &h) { return h.end <= start; });
    uint64_t at = base;
    auto next = held.begin();
    for (; next != held.end() && next->offset < at + aligned(size); ++next) {
      at = next->offset + aligned(next->size);
    }
    held.insert(next, {at, size, end});
    return at;
  }

  void addEntry(const std::string &name, uint32_t buffers, uint64_t base) {
    const auto index = uint32_t(plan.entries.size());
    Entry &entry = plan.entries.emplace_back();
    entry.name = name;
    entry.boundBy = "memory";
    entry.predictedSeconds = 0.0125;
    const uint32_t steps = std::max(2u, buffers / 2);
    std::vector<Held> held;
    for (uint32_t step = 0; step < steps; ++step) {
      Step &made = entry.steps.emplace_back();
      made.name = "/model/layers." + std::to_string(step / 24) +
                  "/a_rather_long_path_to_a_module/with_many_parts/node_" +
                  std::to_string(step);
      made.kernel = KernelId(step % 7);
      const uint32_t until = (step + 1) * uint64_t(buffers) / steps;
      for (; made_ < until; ++made_) {
        const bool longLived = below(40) == 0;
        const uint32_t life = 1 + below(longLived ? steps / 8 + 1 : 24);
        const uint32_t end = std::min(steps, step + life);
        const uint32_t dice = below(10);
        Buffer &buffer = addBuffer(name + "." + made.name + "/output_" +
                                       std::to_string(made_),
                                   made_ == 0  ? BufferKind::Input
                                   : dice == 0 ? BufferKind::Staging
                                   : dice == 1 ? BufferKind::Workspace
                                               : BufferKind::Activation);
        buffer.entry = index;
        buffer.start = step;
        buffer.end = buffer.kind == BufferKind::Workspace ? step + 1 : end;
        buffer.size = someSize(8, longLived ? 12 : 18);
        buffer.offset = place(held, step, buffer.end, buffer.size, base);
        top[0] = std::max(top[0], buffer.offset + aligned(buffer.size));
        Operand operand;
        operand.buffer = uint32_t(plan.buffers.size() - 1);
        operand.access = Access::Write;
        made.operands.push_back(operand);
      }
    }
    made_ = 0;
  }

  void fillTotals(uint64_t base) {
    Totals &t = plan.totals;
    for (const Buffer &buffer : plan.buffers) {
      if (buffer.tier == Tier::Device) {
        (buffer.kind == BufferKind::Weight     ? t.residentWeightBytes
         : buffer.kind == BufferKind::State    ? t.stateBytes
         : buffer.kind == BufferKind::Constant ? t.constantBytes
                                               : unused) +=
            aligned(buffer.size);
      }
    }
    t.activationPeakBytes = top[0] - base;
    t.arenaBytes = top[0];
    t.reserveBytes = 1 << 20;
    t.deviceBytes = t.arenaBytes + t.reserveBytes;
    t.hostBytes = top[1];
    t.diskBytes = top[2];
    t.budgetBytes = t.deviceBytes + t.deviceBytes / 8;
    t.minimumBytes = t.deviceBytes / 2;
    for (uint32_t i = 0; i < plan.entries.size(); ++i) {
      plan.entries[i].peakLiveBytes = findPeak(plan, i).bytes;
    }
    t.lowerBoundBytes = liveLowerBound(plan) - base;
  }

  Plan plan;
  uint32_t count;
  uint32_t made_ = 0;
  uint64_t top[3] = {}, unused = 0;
  std::mt19937_64 random{20260};
};

} // namespace

int main(int argc, char **argv) {
  const int count = argc == 3 ? std::atoi(argv[1]) : 0;
  if (count < 100) {
    std::fprintf(stderr, "usage: llmc-synthetic-plan BUFFERS OUT.plan\n");
    return 2;
  }
  Plan plan = Generator(uint32_t(count)).run();
  Result<void> done = validate(plan);
  if (done) {
    done = writePlan(plan, argv[2]);
  }
  if (!done) {
    std::fprintf(stderr, "llmc: error: %s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
