//===- main.cpp - The llmc command ----------------------------------------===//

#include "tools/llmc/Commands.h"

#include <cstdio>
#include <vector>

using namespace llmc::tools;

int main(int argc, char **argv) {
  // The runtime's commands never load the compiler's libraries for long: the
  // process becomes llmc-run before anything is set up.
  if (argc > 1 && isRuntimeCommand(argv[1])) {
    return execRuntime(argv);
  }

  CLI::App app{"llmc: compiles an ONNX model into a static plan that is proved "
               "to fit a memory budget, and runs it",
               "llmc"};
  app.set_version_flag("--version", "llmc " LLMC_VERSION);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");

  struct Command {
    CLI::App *app;
    Action run;
  };
  std::vector<Command> commands;
  auto add = [&](Action (*make)(CLI::App &)) {
    Action run = make(app);
    commands.push_back(
        {app.get_subcommands([](CLI::App *) { return true; }).back(), run});
  };
  add(addCompileCommand);
  add(addCheckCommand);
  add(addInspectCommand);
  add(addPackCommand);
  add(addSweepCommand);
  addRuntimeCommands(app);

  // CLI11 would only say that some command is missing.
  if (argc > 1 && argv[1][0] != '-' &&
      app.get_subcommands(
             [&](CLI::App *command) { return command->check_name(argv[1]); })
          .empty()) {
    std::fprintf(stderr,
                 "llmc: error: unknown command '%s' (see llmc --help)\n",
                 argv[1]);
    return kExitUsage;
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp &e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion &e) {
    return app.exit(e);
  } catch (const CLI::ParseError &e) {
    std::fprintf(stderr, "llmc: error: %s (see llmc --help)\n", e.what());
    return kExitUsage;
  }
  for (const Command &command : commands) {
    if (command.app->parsed()) {
      return command.run();
    }
  }
  return kExitUsage;
}
