//===- Commands.h - What llmc-run's subcommands share ----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_COMMANDS_H
#define LLMC_TOOLS_LLMC_RUN_COMMANDS_H

#include "runtime/core/Session.h"
#include "runtime/plan/EmbeddedPlan.h"
#include "runtime/support/Result.h"

#include <CLI/CLI.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace llmc::tool {

enum ExitCode : int { kDone = 0, kFailed = 1, kUsage = 2, kNoBudget = 3 };

/// Prints `llmc: error: ...` and returns kFailed (kNoBudget for OutOfBudget).
int fail(const Error &error);

/// The options of every subcommand that loads a plan.
struct PlanOptions {
  std::string plan;
  std::string weights;
  int threads = 0;
  std::string spillFolder;
  bool noChecksum = false;
  std::string ioMethod = "auto";
  bool json = false;
  std::optional<EmbeddedPlan> embedded;

  /// Adds PLAN (left out if a plan is embedded), --weights, --threads,
  /// --no-checksum, --io, --spill-dir and --json.
  void add(CLI::App &app);
  SessionOptions session() const;
};

/// Set by SIGINT once watchInterrupts() was called; a second one ends the
/// process.
extern std::atomic<bool> interrupted;
void watchInterrupts();

/// Each adds its subcommand to `app`; when parsed, `job` is set to what
/// runs it. `embedded` is the plan inside this executable, if any.
using Job = std::function<int()>;
void addRun(CLI::App &app, std::optional<EmbeddedPlan> embedded, Job &job);
void addGenerate(CLI::App &app, std::optional<EmbeddedPlan> embedded, Job &job);
void addBench(CLI::App &app, std::optional<EmbeddedPlan> embedded, Job &job);
void addVerify(CLI::App &app, std::optional<EmbeddedPlan> embedded, Job &job);
void addProbe(CLI::App &app, Job &job);

/// Adds the options of `generate` to `app` itself: what an executable with an
/// embedded plan does.
void addGenerateOptions(CLI::App &app, std::optional<EmbeddedPlan> embedded,
                        Job &job);

/// Writes each tensor as DIR/NAME.npy, making DIR; characters of a name outside
/// [A-Za-z0-9._-] become '_'. Returns the file of each name.
Result<std::map<std::string, std::string>>
writeTensors(const std::string &dir, std::span<const NamedTensor> tensors);

/// Writes the profile's table to stderr and the trace to its file.
Result<void> reportProfile(Session &session, bool table,
                           const std::string &tracePath);

} // namespace llmc::tool

#endif // LLMC_TOOLS_LLMC_RUN_COMMANDS_H
