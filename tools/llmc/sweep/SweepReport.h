//===- SweepReport.h - A sweep as text, JSON and one page ------*- C++ -*-===//

#ifndef LLMC_TOOLS_LLMC_SWEEP_SWEEPREPORT_H
#define LLMC_TOOLS_LLMC_SWEEP_SWEEPREPORT_H

#include "compiler/Sweep.h"

#include <string>

namespace llmc::tools {

/// One line per budget.
std::string sweepText(const compiler::SweepReport &report);

/// Two-space indentation; units are in the names. What does not fit has null
/// for its sizes and no entries.
std::string sweepJson(const compiler::SweepReport &report);

/// One page that needs nothing beside itself: curves over the budget, drawn as
/// SVG, and the table of their points.
std::string sweepHtml(const compiler::SweepReport &report);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_SWEEP_SWEEPREPORT_H
