//===- HardwareRates.cpp - The rates of a hardware profile -----*- C++ -*-===//

#include "passes/memory/HardwareRates.h"

#include <algorithm>

namespace llmc::memory {

namespace {

/// A one-row product at this share of the memory's rate is bound by memory and
/// says nothing about the arithmetic.
constexpr double kMemoryBound = 0.6;

/// Shares of a data sheet's figures that real GPUs reach
/// (runtime/hardware/README.md); products of large matrices.
constexpr double kSheetLink = 0.82;
constexpr double kSheetMemory = 0.9;
constexpr double kSheetFlops = 0.6;

double bytesPerWeight(const std::string &dtype) {
  return dtype == "f32" ? 4 : dtype == "int8" ? 1 : 2;
}

ProductRate scaled(ProductRate rate, double factor) {
  return {rate.oneRow * factor, rate.manyRows * factor};
}

/// Everything that no profile speaks of, as much faster as the products are.
void scaleRest(Rates &rates, double factor) {
  rates.attention = scaled(rates.attention, factor);
  rates.convolution = scaled(rates.convolution, factor);
  rates.scoreSeconds /= factor;
  rates.elementwise *= factor;
}

Rates ofHost(const plan::HostHardware &host) {
  Rates rates;
  const Rates reference;
  rates.threads = static_cast<unsigned>(
      std::min<uint64_t>(std::max<uint64_t>(host.threads, 1), 4096));
  rates.memory = host.memory.read;
  rates.cache = reference.cache * rates.threads / reference.threads;
  // As fast as the products themselves read memory, if they were measured.
  double found = 0;
  for (const auto &[dtype, rate] : host.compute) {
    found =
        std::max(found, rate.oneRow.value_or(0) / 2 * bytesPerWeight(dtype));
  }
  if (found > kMemoryBound * rates.memory) {
    rates.memory = std::min(rates.memory, found);
  }
  rates.scattered = reference.scattered / reference.memory * rates.memory;
  // A copy from the page cache is one of memory; pread gives most of it.
  if (host.memoryOneThread) {
    rates.cachedLink = 0.8 * host.memoryOneThread->copy;
  }
  double factor = 1;
  auto f32 = host.compute.find("f32");
  if (f32 != host.compute.end() && f32->second.manyRows) {
    factor = *f32->second.manyRows / reference.f32.manyRows;
  }
  struct Item {
    const char *dtype;
    ProductRate *rate;
  };
  for (Item item : {Item{"f32", &rates.f32},
                    {"f16", &rates.f16},
                    {"bf16", &rates.bf16},
                    {"int8", &rates.int8},
                    {"int8", &rates.int4}}) {
    *item.rate = scaled(*item.rate, factor);
    auto it = host.compute.find(item.dtype);
    if (it == host.compute.end()) {
      continue;
    }
    const plan::ComputeRate &measured = it->second;
    if (measured.manyRows) {
      item.rate->manyRows = *measured.manyRows;
    }
    if (measured.oneRow && *measured.oneRow / 2 * bytesPerWeight(item.dtype) <
                               kMemoryBound * rates.memory) {
      item.rate->oneRow = *measured.oneRow;
    }
    item.rate->oneRow = std::min(item.rate->oneRow, item.rate->manyRows);
  }
  scaleRest(rates, factor);
  return rates;
}

Rates ofGpu(const plan::GpuHardware &gpu) {
  Rates rates;
  const Rates reference;
  auto flops = [&](const char *dtype) {
    auto it = gpu.flops.find(dtype);
    double sheet = it != gpu.flops.end() ? it->second : 0;
    // Weights of an unknown type are multiplied as f32.
    auto f32 = gpu.flops.find("f32");
    double least =
        f32 != gpu.flops.end() ? f32->second : reference.f32.manyRows;
    return std::max(sheet, least) * kSheetFlops;
  };
  for (auto [rate, dtype] : {std::pair(&rates.f32, "f32"),
                             {&rates.f16, "f16"},
                             {&rates.bf16, "bf16"},
                             {&rates.int8, "int8"},
                             {&rates.int4, "int8"}}) {
    *rate = {flops(dtype), flops(dtype)};
  }
  scaleRest(rates, rates.f32.manyRows / reference.f32.manyRows);
  rates.memory = gpu.memoryBytesPerSecond * kSheetMemory;
  rates.scattered = rates.memory;
  rates.cache = rates.memory * 3;
  rates.cacheBytes = uint64_t(40) << 20;
  rates.threads = 1; // a launch always has the whole device
  rates.launchSeconds = 3e-6;
  rates.link = gpu.linkBytesPerSecond * kSheetLink;
  rates.linkSeconds = 10e-6;
  rates.cachedFileBytes = 0; // from pinned memory, whatever its size
  rates.smallCopyBytes = 0;
  rates.computeWhileCopying =
      std::max(0.5, 1 - rates.link / std::max(rates.memory, 1.0));
  return rates;
}

} // namespace

Result<Rates> ratesOf(const plan::HardwareProfile &profile,
                      const std::string &target) {
  bool isGpu = target == "cuda";
  if (isGpu ? profile.gpus.empty() : !profile.host) {
    return Error{ErrorCode::InvalidArgument,
                 "the hardware profile '" + profile.name + "' describes no " +
                     (isGpu ? "GPU" : "processor ('host')") +
                     ", which --target " + target + " needs"};
  }
  if (isGpu) {
    return ofGpu(profile.gpus.front());
  }
  Rates rates = ofHost(*profile.host);
  if (profile.disk) {
    rates.link = plan::streamingRate(*profile.disk);
    rates.linkSeconds =
        profile.disk->latencySeconds.value_or(rates.linkSeconds);
  }
  // What is read from the disk is written to memory meanwhile.
  rates.computeWhileCopying =
      std::max(0.5, 1 - rates.link / std::max(rates.memory, 1.0));
  return rates;
}

} // namespace llmc::memory
