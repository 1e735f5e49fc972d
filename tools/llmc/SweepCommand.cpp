//===- SweepCommand.cpp - llmc sweep --------------------------------------===//

#include "compiler/Sweep.h"
#include "tools/llmc/Commands.h"
#include "tools/llmc/CompileOptions.h"
#include "tools/llmc/WriteText.h"
#include "tools/llmc/sweep/SweepReport.h"

#include "runtime/support/Size.h"

#include <cmath>
#include <cstdio>
#include <memory>

namespace llmc::tools {

using namespace compiler;

namespace {

/// A size, a percentage of the weights, or nothing.
std::optional<SweepEnd> parseEnd(std::string_view text) {
  if (text.empty()) {
    return SweepEnd{};
  }
  if (text.back() == '%') {
    std::string digits(text.substr(0, text.size() - 1));
    char *end = nullptr;
    double percent = std::strtod(digits.c_str(), &end);
    if (digits.empty() ||
        digits.find_first_not_of("0123456789.") != std::string::npos ||
        *end != '\0' || percent > 1e6) {
      return std::nullopt;
    }
    return SweepEnd{SweepEnd::Kind::Percent,
                    uint64_t(std::llround(percent * 100))};
  }
  std::optional<uint64_t> bytes = parseSize(text);
  return bytes ? std::optional(SweepEnd{SweepEnd::Kind::Bytes, *bytes})
               : std::nullopt;
}

Result<SweepRange> parseRange(const std::string &text) {
  SweepRange range;
  size_t dots = text.find("..");
  std::optional<SweepEnd> low, high;
  if (dots != std::string::npos) {
    std::string_view view = text;
    low = parseEnd(view.substr(0, dots));
    high = parseEnd(view.substr(dots + 2));
  }
  if (!low || !high) {
    return Error{ErrorCode::InvalidArgument,
                 "--vram: found '" + text +
                     "', expected LO..HI, each a size (2G), a percentage of "
                     "the weights (10%) or nothing"};
  }
  range.low = *low;
  range.high = *high;
  return range;
}

} // namespace

Action addSweepCommand(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "sweep", "Predict speed and largest context over a range of budgets");
  struct Flags {
    CompileFlags compile;
    std::string range = "..";
    int steps = 16;
    bool noContexts = false;
    bool json = false;
    std::string html;
  };
  auto flags = std::make_shared<Flags>();
  addModelFlags(*command, flags->compile);
  command
      ->add_option("--vram", flags->range,
                   "Budgets from LO to HI: sizes, percentages of the weights, "
                   "or open (the smallest budget; all weights resident)")
      ->type_name("LO..HI")
      ->capture_default_str();
  command
      ->add_option("--steps", flags->steps,
                   "Budgets in the range; evenly spaced, from a factor of 4 on "
                   "geometrically")
      ->check(CLI::Range(2, 1000))
      ->type_name("N")
      ->capture_default_str();
  addPlanningFlags(*command, flags->compile);
  command->add_flag("--no-contexts", flags->noContexts,
                    "Do not look for the largest context of each budget");
  command->add_flag("--json", flags->json, "Print JSON");
  command
      ->add_option("--html", flags->html,
                   "Write one page with the curves: open it in a browser")
      ->type_name("FILE");
  return [flags]() -> int {
    Result<CompileOptions> options = toOptions(flags->compile);
    Result<SweepRange> range = parseRange(flags->range);
    for (const Error *error : {options ? nullptr : &options.error(),
                               range ? nullptr : &range.error()}) {
      if (error) {
        std::fprintf(stderr, "llmc: error: %s\n", error->message.c_str());
        return kExitUsage;
      }
    }
    range->steps = flags->steps;
    range->contexts = !flags->noContexts;
    Result<SweepReport> report = sweep(*options, *range);
    if (!report) {
      return fail(report.error());
    }
    for (const std::string &warning : report->warnings) {
      std::fprintf(stderr, "llmc: warning: %s\n", warning.c_str());
    }
    if (!flags->html.empty()) {
      if (Result<void> done = writeText(flags->html, sweepHtml(*report));
          !done) {
        return fail(done.error());
      }
    }
    if (flags->json) {
      std::printf("%s\n", sweepJson(*report).c_str());
    } else if (flags->html.empty()) {
      std::fputs(sweepText(*report).c_str(), stdout);
    }
    return 0;
  };
}

} // namespace llmc::tools
