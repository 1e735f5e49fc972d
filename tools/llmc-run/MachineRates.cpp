//===- MachineRates.cpp ---------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/MachineRates.h"

#include "runtime/core/Arena.h"
#include "runtime/core/Profiler.h"
#include "runtime/kernels/Kernel.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>

using namespace llmc;
using namespace llmc::plan;
using kernels::ThreadPool;

//===----------------------------------------------------------------------===//
// Compute
//===----------------------------------------------------------------------===//

/// Calls `work` until the time is up, at least twice; the shortest call in
/// seconds.
template <class Work> static double shortest(double seconds, const Work &work) {
  double best = 1e30;
  const uint64_t begin = nowNanoseconds();
  for (int i = 0;
       i < 2 || static_cast<double>(nowNanoseconds() - begin) / 1e9 < seconds;
       ++i) {
    const uint64_t from = nowNanoseconds();
    work();
    best = std::min(best, static_cast<double>(nowNanoseconds() - from) / 1e9);
  }
  return best;
}

namespace {
struct Product {
  const char *name;
  DType type;          // I8: codes with scales, blocks of 32
  uint16_t pattern[2]; // one weight of 1 / 64, as 16-bit words
};
} // namespace

static kernels::Tensor view(void *data, DType type, int64_t rows,
                            int64_t columns, Packing packing = Packing::Raw) {
  kernels::Tensor t;
  t.data = data;
  t.dtype = type;
  t.packing = packing;
  t.rank = 2;
  t.dims[0] = rows;
  t.dims[1] = columns;
  return t;
}

/// Floating-point operations per second, nothing if it cannot be run.
static std::optional<double> productRate(ThreadPool &pool,
                                         const Product &product, int64_t rows,
                                         int64_t n, int64_t k, double seconds) {
  constexpr int64_t kBlock = 32;
  const bool quantized = product.type == DType::I8;
  const auto weightBytes =
      static_cast<uint64_t>(n * k) * bitWidth(product.type) / 8;
  const uint64_t scaleBytes =
      quantized ? static_cast<uint64_t>(n * k / kBlock) * 4 : 0;
  const auto inBytes = static_cast<uint64_t>(rows * k) * 4;
  const auto outBytes = static_cast<uint64_t>(rows * n) * 4;
  Result<Arena> arena = Arena::create(
      weightBytes + scaleBytes + inBytes + outBytes + 4 * 64, "probe");
  const kernels::KernelFn kernel = kernels::lookupHostKernel(
      quantized ? KernelId::LinearQuant : KernelId::Linear);
  if (!arena || !kernel) {
    return std::nullopt;
  }
  uint8_t *at = arena->data();
  const auto take = [&](uint64_t bytes) {
    uint8_t *here = at;
    at += (bytes + 63) / 64 * 64;
    return here;
  };
  uint8_t *weights = take(weightBytes);
  uint8_t *scales = take(scaleBytes);
  uint8_t *in = take(inBytes);
  uint8_t *out = take(outBytes);
  for (uint64_t i = 0; i < weightBytes; i += 4) {
    std::memcpy(weights + i, product.pattern, 4);
  }
  for (uint64_t i = 0; i < inBytes + scaleBytes; i += 4) {
    const float value = i < inBytes ? 0.5F : 0.01F;
    std::memcpy(i < inBytes ? in + i : scales + (i - inBytes), &value, 4);
  }
  std::vector<kernels::Tensor> operands = {view(in, DType::F32, rows, k)};
  std::vector<int64_t> ints;
  if (quantized) {
    operands.push_back(view(weights, DType::U8, n, k));
    operands.push_back(view(scales, DType::F32, n, k / kBlock));
    ints = {n, k, 8, kBlock, 0, 0, 0, 0, 128};
  } else {
    operands.push_back(view(weights, product.type, n, k, Packing::Panel64));
    ints = {0, 0};
  }
  operands.push_back(view(out, DType::F32, rows, n));
  kernels::Launch launch;
  launch.operands = operands;
  launch.ints = ints;
  launch.pool = &pool;
  if (kernel(launch)) {
    return std::nullopt;
  }
  const double time = shortest(seconds, [&] { kernel(launch); });
  return 2.0 * static_cast<double>(rows) * static_cast<double>(n) *
         static_cast<double>(k) / time;
}

std::map<std::string, ComputeRate>
tool::measureCompute(ThreadPool &pool, double seconds, bool quick) {
  static constexpr Product products[] = {
      {"f32", DType::F32, {0x0000, 0x3C80}},
      {"bf16", DType::BF16, {0x3C80, 0x3C80}},
      {"f16", DType::F16, {0x2400, 0x2400}},
      {"int8", DType::I8, {0x8281, 0x7F80}},
  };
  std::map<std::string, ComputeRate> rates;
  for (const Product &product : products) {
    ComputeRate &rate = rates[product.name];
    // One row: more weights than any cache holds.
    rate.oneRow =
        productRate(pool, product, 1, quick ? 4096 : 8192, 8192, seconds);
    rate.manyRows = productRate(pool, product, 256, 2048, 2048, seconds);
  }
  return rates;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

MemoryRates tool::measureMemory(ThreadPool &pool, int threads, uint64_t bytes,
                                double seconds) {
  MemoryRates rates;
  constexpr uint64_t kLine = 64;
  const uint64_t share =
      bytes / 2 / static_cast<uint64_t>(threads) / kLine * kLine;
  const uint64_t half = share * static_cast<uint64_t>(threads);
  Result<Arena> arena = Arena::create(half * 2, "probe");
  if (!arena || half == 0) {
    return rates;
  }
  uint8_t *base = arena->data();
  // One task for each thread; the cost keeps them from being joined.
  const auto each = [&](const auto &body) {
    return shortest(seconds, [&] {
      pool.parallelFor(
          threads,
          [&](int64_t task, int) { body(static_cast<uint64_t>(task) * share); },
          int64_t(1) << 30);
    });
  };
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  const double readTime = each([&](uint64_t from) {
    // Both halves, as eight running sums.
    std::array<uint64_t, 8> lanes{};
    for (uint8_t *part : {base + from, base + half + from}) {
      const auto *words = reinterpret_cast<const uint64_t *>(part);
      for (uint64_t i = 0; i < share / 8; i += 8) {
        for (size_t lane = 0; lane < 8; ++lane) {
          lanes[lane] += words[i + lane];
        }
      }
    }
    uint64_t sum = 0;
    for (uint64_t lane : lanes) {
      sum += lane;
    }
    sums[from / share] += sum;
  });
  rates.read = static_cast<double>(half) * 2 / readTime;
  const double writeTime = each([&](uint64_t from) {
    for (uint8_t *part : {base + from, base + half + from}) {
      std::memset(part, static_cast<int>(sums[from / share] & 1), share);
    }
  });
  rates.write = static_cast<double>(half) * 2 / writeTime;
  const double copyTime = each([&](uint64_t from) {
    std::memcpy(base + half + from, base + from, share);
  });
  rates.copy = static_cast<double>(half) / copyTime;
  return rates;
}

//===----------------------------------------------------------------------===//
// Topology
//===----------------------------------------------------------------------===//

namespace fs = std::filesystem;

static std::string firstLine(const fs::path &path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\n')) {
    line.pop_back();
  }
  return line;
}

/// A number from 0; nothing if the file says -1 or does not exist.
static std::optional<int64_t> nodeIn(const fs::path &path) {
  const std::string line = firstLine(path);
  if (line.empty() || line[0] < '0' || line[0] > '9') {
    return std::nullopt;
  }
  return std::strtoll(line.c_str(), nullptr, 10);
}

std::vector<NumaNode> tool::findNumaNodes() {
  std::vector<NumaNode> nodes;
  std::error_code code;
  for (const auto &item :
       fs::directory_iterator("/sys/devices/system/node", code)) {
    const std::string name = item.path().filename();
    if (!name.starts_with("node") || name.size() == 4) {
      continue;
    }
    NumaNode node;
    node.node = std::strtoll(name.c_str() + 4, nullptr, 10);
    node.cpus = firstLine(item.path() / "cpulist");
    std::ifstream info(item.path() / "meminfo");
    // "Node 0 MemTotal:  1234 kB" comes first.
    std::string line;
    std::getline(info, line);
    const size_t colon = line.find("MemTotal:");
    if (colon != std::string::npos) {
      node.memoryBytes =
          std::strtoull(line.c_str() + colon + 9, nullptr, 10) * 1024;
    }
    if (node.memoryBytes) {
      nodes.push_back(node);
    }
  }
  std::sort(
      nodes.begin(), nodes.end(),
      [](const NumaNode &a, const NumaNode &b) { return a.node < b.node; });
  return nodes;
}

std::optional<int64_t> tool::numaNodeOfDisk(const std::string &folder) {
  struct stat info{};
  if (stat(folder.c_str(), &info) != 0) {
    return std::nullopt;
  }
  std::error_code code;
  fs::path at =
      fs::canonical("/sys/dev/block/" + std::to_string(major(info.st_dev)) +
                        ":" + std::to_string(minor(info.st_dev)),
                    code);
  // A partition lies below its disk, the disk below its controller.
  for (; !code && at.has_relative_path() && at != "/sys";
       at = at.parent_path()) {
    if (fs::exists(at / "numa_node", code)) {
      return nodeIn(at / "numa_node");
    }
    if (fs::exists(at / "device" / "numa_node", code)) {
      return nodeIn(at / "device" / "numa_node");
    }
  }
  return std::nullopt;
}

std::vector<GpuHardware> tool::findGpus() {
  std::vector<GpuHardware> gpus;
  std::error_code code;
  for (const auto &item :
       fs::directory_iterator("/sys/bus/pci/devices", code)) {
    const fs::path &path = item.path();
    const std::string kind = firstLine(path / "class");
    // Display and 3D controllers of NVIDIA.
    if (!(kind.starts_with("0x0300") || kind.starts_with("0x0302")) ||
        firstLine(path / "vendor") != "0x10de") {
      continue;
    }
    GpuHardware gpu;
    gpu.name = "NVIDIA device " + firstLine(path / "device");
    std::ifstream driver("/proc/driver/nvidia/gpus/" +
                         path.filename().string() + "/information");
    for (std::string line; std::getline(driver, line);) {
      if (line.starts_with("Model:")) {
        const size_t text = line.find_first_not_of(" \t", 6);
        gpu.name = text == std::string::npos ? gpu.name : line.substr(text);
      }
    }
    const double transfers =
        std::strtod(firstLine(path / "max_link_speed").c_str(), nullptr);
    const uint64_t lanes =
        std::strtoull(firstLine(path / "max_link_width").c_str(), nullptr, 10);
    constexpr double speeds[] = {2.5, 5, 8, 16, 32, 64};
    for (size_t i = 0; i < std::size(speeds); ++i) {
      if (transfers == speeds[i] && lanes > 0 && lanes <= 32) {
        gpu.pcieGeneration = i + 1;
        gpu.pcieLanes = lanes;
        // 8b/10b coding up to generation 2, 128b/130b after.
        gpu.linkBytesPerSecond = transfers * 1e9 / 8 *
                                 (i < 2 ? 0.8 : 128.0 / 130.0) *
                                 static_cast<double>(lanes);
      }
    }
    gpu.numaNode = nodeIn(path / "numa_node");
    gpus.push_back(gpu);
  }
  return gpus;
}

std::string tool::findCpuName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      return colon == std::string::npos ? "unknown" : line.substr(colon + 2);
    }
  }
  return "unknown";
}
