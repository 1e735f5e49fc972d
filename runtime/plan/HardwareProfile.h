//===- HardwareProfile.h - What a machine can do ---------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// `llmc probe` measures one, `--hardware FILE` plans with one, and
// runtime/hardware/ has those of common GPUs from their data sheets.
// runtime/hardware/README.md describes the JSON, field by field. A part that
// a profile does not speak of is absent, never zero; every number that is there
// is positive and finite.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_HARDWAREPROFILE_H
#define LLMC_RUNTIME_PLAN_HARDWAREPROFILE_H

#include "runtime/support/Result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::plan {

/// Multiplications and additions per second, counted as two.
struct ComputeRate {
  std::optional<double> oneRow;   // products with a vector
  std::optional<double> manyRows; // products with a matrix of many rows
};

struct MemoryRates {
  double read = 0; // bytes per second
  double write = 0;
  double copy = 0; // bytes copied: each is read and written
};

struct HostHardware {
  std::string cpu;
  std::string isa; // "x86-64-v4"
  uint64_t threads = 0;
  uint64_t memoryBytes = 0;
  MemoryRates memory; // all threads
  std::optional<MemoryRates> memoryOneThread;
  std::map<std::string, ComputeRate> compute; // by dtype: f32 bf16 f16 int8
};

/// One way to read, and what it gave.
struct DiskWay {
  std::string method; // "buffered", "direct", "uring", "uring-registered"
  bool hugePages = false;
  uint64_t depth = 0;
  uint64_t requestBytes = 0;
  double bytesPerSecond = 0;
};

struct DiskHardware {
  std::string path;                     // the folder that was measured
  double bytesPerSecond = 0;            // of the best of `ways`, measured anew
  std::optional<double> latencySeconds; // of one read of 4 KiB
  std::optional<int64_t> numaNode;
  std::vector<DiskWay> ways;
};

/// Whether the transfer engine reads so unless it is told otherwise, or cannot
/// (runtime/io/TransferEngine.h: many requests of 2 MiB through io_uring).
bool isStreamingWay(const DiskWay &way);

/// What plans can count on: the rate of that way, which is steadier than the
/// best of all; else the best. Bytes per second.
double streamingRate(const DiskHardware &disk);

struct NumaNode {
  int64_t node = 0;
  std::string cpus; // "0-7,16-23"
  uint64_t memoryBytes = 0;
};

/// Zero: not known.
struct GpuHardware {
  std::string name;
  uint64_t memoryBytes = 0; // nominal; less is free
  double memoryBytesPerSecond = 0;
  uint64_t pcieGeneration = 0;
  uint64_t pcieLanes = 0;
  double linkBytesPerSecond = 0;       // each way
  std::map<std::string, double> flops; // dense, by dtype; int8: operations
  std::optional<int64_t> numaNode;
};

struct HardwareProfile {
  static constexpr int kVersion = 1;

  std::string name;
  std::string source; // "probe" or "data sheet"
  std::optional<HostHardware> host;
  std::optional<DiskHardware> disk;
  std::vector<NumaNode> numa;
  std::vector<GpuHardware> gpus;
  std::vector<std::string> remarks; // what will hold this machine back

  std::string json() const;

  /// Fills in `remarks` from the figures: a disk under 7 GB/s, memory under
  /// 50 GB/s, a GPU and the disk on different NUMA nodes.
  void remark();
};

/// Reads a profile. Errors: FileMalformed, naming `where` and the field that is
/// missing, unknown, of the wrong type or not a positive number.
Result<HardwareProfile> parseHardwareProfile(std::string_view text,
                                             const std::string &where);
Result<HardwareProfile> readHardwareProfile(const std::string &path);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_HARDWAREPROFILE_H
