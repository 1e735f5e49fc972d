//===- RuntimeCommands.cpp - run, generate, bench, verify
//------------------===//

#include "tools/llmc/Commands.h"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string>

#include <unistd.h>

namespace llmc::tools {

namespace {

struct RuntimeCommand {
  const char *name;
  const char *help;
};
constexpr RuntimeCommand kCommands[] = {
    {"run", "Run one entry of a plan once, on .npy inputs"},
    {"generate", "Write text with a plan"},
    {"bench", "Measure a plan's speed and memory"},
    {"verify", "Prove that a plan is safe, or name the violation"},
    {"probe", "Measure this machine: compute, memory, disk"},
};

} // namespace

bool isRuntimeCommand(const std::string &name) {
  for (const RuntimeCommand &command : kCommands) {
    if (name == command.name) {
      return true;
    }
  }
  return false;
}

void addRuntimeCommands(CLI::App &app) {
  for (const RuntimeCommand &command : kCommands) {
    app.add_subcommand(command.name, command.help)->group("Runtime (llmc-run)");
  }
}

int execRuntime(char **argv) {
  char self[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  std::string path = "llmc-run";
  if (length > 0) {
    path = std::string(self, size_t(length));
    path = path.substr(0, path.rfind('/') + 1) + "llmc-run";
  }
  std::string name = "llmc-run";
  argv[0] = name.data();
  execv(path.c_str(), argv);
  std::fprintf(stderr, "llmc: error: cannot execute %s: %s\n", path.c_str(),
               std::strerror(errno));
  return kExitError;
}

int fail(const Error &error) {
  std::fprintf(stderr, "llmc: error: %s\n", error.message.c_str());
  return kExitError;
}

} // namespace llmc::tools
