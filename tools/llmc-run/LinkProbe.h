//===- LinkProbe.h - How fast the weights file can be read -----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_LINKPROBE_H
#define LLMC_TOOLS_LLMC_RUN_LINKPROBE_H

#include "runtime/io/WeightsSource.h"

namespace llmc::tool {

/// Bytes per second of the best plain way to read the weights: buffered and
/// direct reads, small and huge pages, one, two and four at a time. Each way
/// reads for about a tenth of a second. 0 if there is nothing to read.
double probeLink(const WeightsSource &source, uint64_t bytes);

} // namespace llmc::tool

#endif // LLMC_TOOLS_LLMC_RUN_LINKPROBE_H
