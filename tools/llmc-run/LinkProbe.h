//===- LinkProbe.h - How fast the weights file can be read -----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_LINKPROBE_H
#define LLMC_TOOLS_LLMC_RUN_LINKPROBE_H

#include "runtime/io/TransferEngine.h"

namespace llmc::tool {

/// Bytes per second of the best plain way to read the weights, see DiskRate.h;
/// each way reads for about a tenth of a second. Where the plan's own reads
/// trust the page cache, so does the probe. 0 if there is nothing to read.
double probeLink(const WeightsSource &source, uint64_t bytes,
                 io::Method method);

} // namespace llmc::tool

#endif // LLMC_TOOLS_LLMC_RUN_LINKPROBE_H
