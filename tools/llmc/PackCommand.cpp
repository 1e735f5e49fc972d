//===- PackCommand.cpp - llmc pack ----------------------------------------===//

#include "passes/solver/Infeasible.h"
#include "passes/solver/Pack.h"
#include "runtime/support/Size.h"
#include "tools/llmc/Commands.h"
#include "tools/llmc/PackFile.h"
#include "tools/llmc/WriteText.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <memory>

namespace llmc::tools {

namespace {

using Clock = std::chrono::steady_clock;

struct PackFlags {
  std::string input;
  std::string capacity;
  double timeLimit = 30;
  std::string output;
  bool json = false;
};

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Exit status 3: the capacity cannot be met, or no way was found in time.
int reportFailure(const PackFile &file, const solver::PackResult &result,
                  const PackFlags &flags, double seconds) {
  uint64_t capacity = *file.problem.capacity;
  std::optional<solver::InfeasibleSubset> subset;
  if (result.proved) {
    solver::PackOptions options;
    Clock::time_point start = Clock::now();
    options.stop = [&, start] { return secondsSince(start) > flags.timeLimit; };
    subset = solver::findInfeasibleSubset(file.problem, options);
  }
  if (flags.json) {
    nlohmann::ordered_json out;
    out["error"] = result.proved ? "impossible" : "not found";
    out["capacity"] = capacity;
    out["lower_bound"] = result.lowerBound;
    out["seconds"] = seconds;
    out["nodes"] = result.nodes;
    if (subset) {
      out["infeasible_subset"] = nlohmann::ordered_json::array();
      for (size_t i : subset->buffers) {
        out["infeasible_subset"].push_back(
            {{"id", file.names[i]}, {"size", file.problem.buffers[i].size}});
      }
      out["irreducible"] = subset->irreducible;
    }
    std::printf("%s\n", out.dump(2).c_str());
  }
  if (subset) {
    std::string text = describe(
        file.problem, *subset, [&](size_t i) { return file.names[i]; },
        [&](solver::Step step) { return std::to_string(file.time(step)); });
    std::fprintf(stderr, "llmc: error: %s: %s", flags.input.c_str(),
                 text.c_str());
  } else if (result.proved) {
    std::fprintf(stderr,
                 "llmc: error: %s: the capacity of %llu bytes cannot be met "
                 "(proved)\n",
                 flags.input.c_str(),
                 static_cast<unsigned long long>(capacity));
  } else {
    std::fprintf(stderr,
                 "llmc: error: %s: no packing into %llu bytes was found in "
                 "%.2f s; whether there is one is not known (no packing needs "
                 "less than %llu)\n",
                 flags.input.c_str(), static_cast<unsigned long long>(capacity),
                 seconds, static_cast<unsigned long long>(result.lowerBound));
  }
  return kExitBudget;
}

int runPack(const PackFlags &flags) {
  Result<PackFile> file = readPackFile(flags.input);
  if (!file) {
    return fail(file.error());
  }
  if (!flags.capacity.empty()) {
    file->problem.capacity = parseSize(flags.capacity);
    if (!file->problem.capacity) {
      std::fprintf(stderr,
                   "llmc: error: --capacity: found '%s', expected a size such "
                   "as 1048576 or 2M\n",
                   flags.capacity.c_str());
      return kExitUsage;
    }
  }
  Clock::time_point start = Clock::now();
  solver::PackOptions options;
  options.effort = UINT64_MAX;
  options.stop = [&] { return secondsSince(start) > flags.timeLimit; };
  solver::PackResult result = solver::pack(file->problem, options);
  double seconds = secondsSince(start);
  if (!result.solution) {
    return reportFailure(*file, result, flags, seconds);
  }
  // What is printed is what the independent check has seen.
  if (std::string wrong = check(file->problem, *result.solution);
      !wrong.empty()) {
    return fail({ErrorCode::Internal, "the packing is wrong: " + wrong});
  }
  if (!flags.output.empty()) {
    if (Result<void> done =
            writeText(flags.output, packedCsv(*file, *result.solution));
        !done) {
      return fail(done.error());
    }
  }
  uint64_t peak = result.solution->extent;
  double ratio =
      result.lowerBound ? double(peak) / double(result.lowerBound) : 1;
  if (flags.json) {
    nlohmann::ordered_json out;
    out["buffers"] = file->problem.buffers.size();
    out["peak"] = peak;
    out["lower_bound"] = result.lowerBound;
    out["ratio"] = ratio;
    if (file->problem.capacity) {
      out["capacity"] = *file->problem.capacity;
    }
    out["algorithm"] = result.algorithm;
    out["optimal"] = result.proved;
    out["nodes"] = result.nodes;
    out["seconds"] = seconds;
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
  }
  std::printf("%s\n", flags.input.c_str());
  std::printf("  buffers      %12zu\n", file->problem.buffers.size());
  std::printf("  peak         %12llu bytes (%s)\n",
              static_cast<unsigned long long>(peak), formatSize(peak).c_str());
  std::printf("  lower bound  %12llu bytes, ratio %.4f%s\n",
              static_cast<unsigned long long>(result.lowerBound), ratio,
              result.proved ? ", optimal" : "");
  std::printf("  algorithm    %s\n", result.algorithm.c_str());
  std::printf("  time         %12.3f s, %llu nodes\n", seconds,
              static_cast<unsigned long long>(result.nodes));
  return 0;
}

} // namespace

Action addPackCommand(CLI::App &app) {
  CLI::App *command = app.add_subcommand(
      "pack", "Pack buffers with lifetimes into one address range");
  auto flags = std::make_shared<PackFlags>();
  command
      ->add_option("file", flags->input,
                   "CSV: id,lower,upper,size[,alignment,gaps,offset]")
      ->required()
      ->type_name("FILE.csv");
  command
      ->add_option("--capacity", flags->capacity,
                   "Stop at the first packing that fits into this "
                   "[the smallest that is found]")
      ->type_name("SIZE");
  command
      ->add_option("--time-limit", flags->timeLimit,
                   "Seconds to search for at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("S");
  command
      ->add_option("-o,--output", flags->output,
                   "Write id,lower,upper,size,offset")
      ->type_name("OUT.csv");
  command->add_flag("--json", flags->json, "Report as JSON");
  return [flags]() -> int { return runPack(*flags); };
}

} // namespace llmc::tools
