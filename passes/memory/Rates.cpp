//===- Rates.cpp - What a machine does per second --------------*- C++ -*-===//

#include "passes/memory/Rates.h"

#include <algorithm>
#include <cmath>

namespace llmc::memory {

double ProductRate::seconds(double operations, double rows) const {
  if (operations <= 0) {
    return 0;
  }
  rows = std::max(rows, 1.0);
  // Per weight: fixed + rows * each, with fixed + each = 2 / oneRow.
  double each = 2 / manyRows;
  double fixed = std::max(0.0, 2 / oneRow - each);
  return operations / 2 / rows * (fixed + rows * each);
}

const ProductRate &Rates::product(plan::DType element) const {
  switch (element) {
  case plan::DType::F16:
    return f16;
  case plan::DType::BF16:
    return bf16;
  case plan::DType::I8:
  case plan::DType::U8:
    return int8;
  case plan::DType::I4:
  case plan::DType::U4:
    return int4;
  default:
    return f32;
  }
}

static double arithmetic(const Work &work, const Rates &rates) {
  switch (work.kind) {
  case WorkKind::Move:
    return 0;
  case WorkKind::Elementwise:
    return work.operations / rates.elementwise;
  case WorkKind::Product:
    return rates.product(work.element).seconds(work.operations, work.rows);
  case WorkKind::Attention:
    return rates.attention.seconds(work.operations, work.rows) +
           work.scores * rates.scoreSeconds;
  case WorkKind::Convolution:
    return rates.convolution.seconds(work.operations, work.rows);
  }
  return 0;
}

/// The part of `bytes` that a cache of `size` does not hold when they are
/// scanned again: all from twice its size on.
static double missing(double bytes, uint64_t size) {
  if (size == 0) {
    return 1;
  }
  auto cache = static_cast<double>(size);
  return std::clamp((bytes - cache) / cache, 0.0, 1.0);
}

/// Seconds to move the bytes: what is not in the cache comes from memory.
static double traffic(const Work &work, double workingSet, const Rates &rates) {
  double farShare = missing(workingSet, rates.cacheBytes);
  // The step before has just written what is warm; but where weights pass
  // through the shared cache, it survives in the cores' own only.
  double warmShare = farShare * missing(work.warmBytes, rates.coreCacheBytes);
  double far = work.coldBytes * farShare;
  double farWarm = work.warmBytes * warmShare;
  double near = work.bytes() - far - farWarm;
  bool isScattered = work.kind == WorkKind::Attention;
  return far / (isScattered ? rates.scattered : rates.memory) +
         farWarm / rates.memory + near / rates.cache;
}

LaunchTime timeOf(const Work &work, double workingSet, const Rates &rates) {
  double compute = arithmetic(work, rates);
  double memory = traffic(work, workingSet, rates);
  double shared = std::max(compute, memory);
  auto threads = static_cast<double>(std::max(rates.threads, 1u));
  // The pieces that the busiest thread gets.
  double busiest = std::ceil(work.tasks / threads) * threads / work.tasks;
  double alone = shared * threads;
  double time = alone;
  double overhead = rates.launchSeconds;
  if (threads > 1 && alone > rates.shareFromSeconds) {
    time = shared * std::min(busiest, threads);
    overhead += rates.handOverSeconds;
  }
  LaunchTime out;
  out.seconds = overhead + time;
  out.bound = overhead > time     ? Bound::Overhead
              : compute >= memory ? Bound::Compute
                                  : Bound::Memory;
  return out;
}

CopyTime copyTime(uint64_t bytes, uint64_t fileBytes, const Rates &rates) {
  auto count = static_cast<double>(bytes);
  if (fileBytes <= rates.cachedFileBytes || bytes < rates.smallCopyBytes) {
    return {rates.cachedLinkSeconds + count / rates.cachedLink, 0};
  }
  return {rates.copySeconds + count / rates.link, rates.linkSeconds};
}

double copySeconds(uint64_t bytes, uint64_t fileBytes, const Rates &rates) {
  CopyTime time = copyTime(bytes, fileBytes, rates);
  return time.seconds + time.latency;
}

} // namespace llmc::memory
