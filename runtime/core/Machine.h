//===- Machine.h - What this machine has -----------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_MACHINE_H
#define LLMC_RUNTIME_CORE_MACHINE_H

#include <cstdint>
#include <string>

namespace llmc {

/// FreeMemory::bytes of this process.
uint64_t availableMemory();

/// The process's largest resident set so far, in bytes (VmHWM).
uint64_t peakResidentBytes();

/// Threads to use: the cores this process may run on.
int defaultThreads();

/// Brings the code and data of this program and of its libraries (those below
/// 16 MiB) into memory, so that a step never faults on code that runs for the
/// first time. Does nothing on kernels before 5.14.
void touchProgram();

/// "12.3 MiB", for messages.
std::string formatBytes(uint64_t bytes);

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_MACHINE_H
