//===- RunCommand.cpp - llmc run: one entry, once -------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/Commands.h"
#include "tools/llmc-run/Npy.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <iostream>
#include <map>

using namespace llmc;
using namespace llmc::tool;

namespace {
struct RunOptions {
  PlanOptions plan;
  std::vector<std::string> inputs;
  std::string outputDir;
  std::string entry;
  bool poison = false;
  bool profile = false;
  std::string trace;
};
} // namespace

static int run(const RunOptions &options) {
  std::vector<npy::Array> arrays;
  std::vector<TensorView> inputs;
  for (const std::string &text : options.inputs) {
    // Names may hold '=' and files too; the first one that splits wins.
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      std::fprintf(stderr,
                   "llmc: error: --input wants NAME=FILE.npy, found '%s'\n",
                   text.c_str());
      return kUsage;
    }
    Result<npy::Array> array = npy::read(text.substr(equals + 1));
    if (!array) {
      return fail(array.error());
    }
    arrays.push_back(std::move(*array));
    inputs.push_back({text.substr(0, equals), arrays.back().dtype,
                      arrays.back().dims, arrays.back().data.data()});
  }
  SessionOptions sessionOptions = options.plan.session();
  sessionOptions.poison = options.poison;
  sessionOptions.profile = options.profile || !options.trace.empty();
  sessionOptions.traceEvents = options.trace.empty() ? 0 : 1 << 18;
  auto session = Session::load(options.plan.plan, sessionOptions);
  if (!session) {
    return fail(session.error());
  }
  const std::string entry =
      options.entry.empty() ? (*session)->defaultEntry().name : options.entry;
  const uint64_t begin = nowNanoseconds();
  Result<std::vector<NamedTensor>> outputs = (*session)->run(entry, inputs);
  const double seconds = static_cast<double>(nowNanoseconds() - begin) / 1e9;
  if (!outputs) {
    return fail(outputs.error());
  }
  std::map<std::string, std::string> files;
  if (!options.outputDir.empty()) {
    Result<std::map<std::string, std::string>> wrote =
        writeTensors(options.outputDir, *outputs);
    if (!wrote) {
      return fail(wrote.error());
    }
    files = std::move(*wrote);
  }
  nlohmann::ordered_json json;
  json["entry"] = entry;
  json["seconds"] = seconds;
  json["outputs"] = nlohmann::ordered_json::array();
  for (const NamedTensor &output : *outputs) {
    nlohmann::ordered_json item;
    item["name"] = output.name;
    item["dtype"] = std::string(plan::name(output.dtype));
    item["shape"] = output.dims;
    if (files.count(output.name)) {
      item["file"] = files[output.name];
    }
    json["outputs"].push_back(item);
    if (!options.plan.json) {
      std::printf("%s: %s %s%s%s\n", output.name.c_str(),
                  std::string(plan::name(output.dtype)).c_str(),
                  nlohmann::json(output.dims).dump().c_str(),
                  files.count(output.name) ? " -> " : "",
                  files[output.name].c_str());
    }
  }
  if (options.plan.json) {
    std::cout << json.dump(2, ' ', false,
                           nlohmann::json::error_handler_t::replace)
              << std::endl;
  }
  if (Result<void> wrote =
          reportProfile(**session, options.profile, options.trace);
      !wrote) {
    return fail(wrote.error());
  }
  return kDone;
}

void tool::addRun(CLI::App &app, std::optional<EmbeddedPlan> embedded,
                  Job &job) {
  auto options = std::make_shared<RunOptions>();
  options->plan.embedded = embedded;
  CLI::App *sub = app.add_subcommand(
      "run", "Run one entry of a plan once, from the empty state");
  options->plan.add(*sub);
  sub->add_option("--input", options->inputs,
                  "NAME=FILE.npy, once per input; masks and positions that "
                  "the plan derives may be left out")
      ->allow_extra_args(false);
  sub->add_option("--output-dir", options->outputDir,
                  "Write each output as DIR/NAME.npy");
  sub->add_option("--entry", options->entry,
                  "The entry to run (default: main, prefill or decode)");
  sub->add_flag("--poison", options->poison,
                "Fill memory outside live buffers with NaNs at each step");
  sub->add_flag("--profile", options->profile, "Print time per kernel");
  sub->add_option("--trace", options->trace,
                  "Write a trace for chrome://tracing or Perfetto");
  sub->callback([options, &job] { job = [options] { return run(*options); }; });
}
