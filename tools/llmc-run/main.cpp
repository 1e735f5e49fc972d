//===- main.cpp - llmc-run: plans without the compiler --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// llmc-run run|generate|bench|verify PLAN, llmc-run probe. A copy of this
// program that carries a plan (`llmc compile --emit=exe`) takes the options of
// `generate` directly, and all subcommands without PLAN.
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/Commands.h"

#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>

using namespace llmc;
using namespace llmc::tool;

int main(int argc, char **argv) {
  // A full disk or a closed pipe is an error of write, not a signal.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  constexpr const char *self = "/proc/self/exe";
  const std::optional<EmbeddedPlan> embedded = readEmbeddedPlan(self);

  CLI::App app("Runs the static execution plans that llmc compile writes.",
               embedded ? "" : "llmc");
  Job job;
  addRun(app, embedded, job);
  addGenerate(app, embedded, job);
  addBench(app, embedded, job);
  addVerify(app, embedded, job);
  addProbe(app, job);
  if (embedded) {
    // Without a subcommand, this is `generate`.
    app.require_subcommand(0, 1);
    addGenerateOptions(app, embedded, job);
  } else {
    app.require_subcommand(1);
  }
  app.set_version_flag("--version", "llmc 0.1.0");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &shown) {
    return app.exit(shown); // --help, --version
  } catch (const CLI::ParseError &error) {
    std::fprintf(stderr, "llmc: error: %s\n", error.what());
    return kUsage;
  }
  try {
    return job();
  } catch (const std::bad_alloc &) {
    return fail({ErrorCode::OutOfMemory, "out of memory"});
  } catch (const std::exception &error) {
    return fail({ErrorCode::Internal, error.what()});
  }
}
