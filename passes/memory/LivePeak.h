//===- LivePeak.h - The largest sum of live bytes, kept current -*- C++ -*-===//

#ifndef LLMC_PASSES_MEMORY_LIVEPEAK_H
#define LLMC_PASSES_MEMORY_LIVEPEAK_H

#include <algorithm>
#include <cstdint>
#include <vector>

namespace llmc::memory {

/// Live bytes per step under changes of lifetimes: adding a buffer and asking
/// for the peak take O(log steps) and O(1). A segment tree whose nodes hold
/// what covers all their steps (`add`) and the largest sum below (`peak`).
class LivePeak {
public:
  explicit LivePeak(uint32_t steps) {
    while (leaves < steps) {
      leaves *= 2;
    }
    nodes.resize(2 * size_t(leaves));
  }

  /// `bytes` more (or, negative, fewer) at the steps [start, end).
  void add(uint32_t start, uint32_t end, int64_t bytes) {
    if (start < end) {
      add(1, 0, leaves, start, end, bytes);
    }
  }

  int64_t peak() const { return nodes[1].peak; }

private:
  struct Node {
    int64_t add = 0;
    int64_t peak = 0; // `add` included
  };

  void add(uint32_t node, uint32_t low, uint32_t high, uint32_t start,
           uint32_t end, int64_t bytes) {
    if (start <= low && high <= end) {
      nodes[node].add += bytes;
      nodes[node].peak += bytes;
      return;
    }
    uint32_t middle = low + (high - low) / 2;
    if (start < middle) {
      add(2 * node, low, middle, start, end, bytes);
    }
    if (end > middle) {
      add(2 * node + 1, middle, high, start, end, bytes);
    }
    nodes[node].peak = nodes[node].add +
                       std::max(nodes[2 * node].peak, nodes[2 * node + 1].peak);
  }

  uint32_t leaves = 1;
  std::vector<Node> nodes;
};

} // namespace llmc::memory

#endif // LLMC_PASSES_MEMORY_LIVEPEAK_H
