//===- HtmlReport.h - A plan as one page to look at ------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_INSPECT_HTMLREPORT_H
#define LLMC_TOOLS_LLMC_INSPECT_HTMLREPORT_H

#include "runtime/plan/Plan.h"

#include <string>

namespace llmc::tools {

/// A complete HTML document that needs nothing else: style, scripts and the
/// plan's buffers, steps and totals are inside, and its own policy forbids it
/// the network. Names are data: none can end the script or become markup.
/// The plan must have passed validate().
std::string htmlReport(const plan::Plan &plan);

/// The data alone, as the page's model.js reads it: columns of buffers, steps
/// per entry with their operands as `buffer * 4 + access`, and the summary of
/// `inspect --json`. No character of it is '<'.
std::string htmlReportData(const plan::Plan &plan);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_INSPECT_HTMLREPORT_H
