//===- Commands.h - The subcommands of llmc --------------------*- C++ -*-===//
//
// One file each. A command registers its options with the CLI11 app and
// returns what main runs when it was chosen: a function that gives the exit
// status (0 done, 1 error, 2 usage, 3 the budget cannot be met).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_COMMANDS_H
#define LLMC_TOOLS_LLMC_COMMANDS_H

#include "runtime/support/Result.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace llmc::tools {

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;
constexpr int kExitBudget = 3;

using Action = std::function<int()>;

Action addCompileCommand(CLI::App &app);
Action addCheckCommand(CLI::App &app);
Action addInspectCommand(CLI::App &app);
Action addPackCommand(CLI::App &app);
Action addSweepCommand(CLI::App &app);

/// Whether `name` is a command of llmc-run.
bool isRuntimeCommand(const std::string &name);
/// Registers the runtime's commands, for --help only.
void addRuntimeCommands(CLI::App &app);
/// Replaces this process by llmc-run beside this executable; returns the exit
/// status only when that fails.
int execRuntime(char **argv);

/// Prints `llmc: error: MESSAGE` to stderr; gives kExitError.
int fail(const Error &error);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_COMMANDS_H
