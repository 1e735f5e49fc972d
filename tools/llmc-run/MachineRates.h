//===- MachineRates.h - How fast this machine computes ---------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_MACHINERATES_H
#define LLMC_TOOLS_LLMC_RUN_MACHINERATES_H

#include "runtime/kernels/ThreadPool.h"
#include "runtime/plan/HardwareProfile.h"

namespace llmc::tool {

/// Products of the runtime's own kernels with weights of each dtype, one row
/// and many. `seconds` is for each.
std::map<std::string, plan::ComputeRate>
measureCompute(kernels::ThreadPool &pool, double seconds, bool quick);

/// Passes over `bytes` bytes of memory (far more than the caches hold) by
/// `threads` of the pool's threads.
plan::MemoryRates measureMemory(kernels::ThreadPool &pool, int threads,
                                uint64_t bytes, double seconds);

/// What sysfs says: the nodes, the node of the disk that holds `folder`, the
/// GPUs on the PCI bus.
std::vector<plan::NumaNode> findNumaNodes();
std::optional<int64_t> numaNodeOfDisk(const std::string &folder);
std::vector<plan::GpuHardware> findGpus();
std::string findCpuName();

} // namespace llmc::tool

#endif // LLMC_TOOLS_LLMC_RUN_MACHINERATES_H
