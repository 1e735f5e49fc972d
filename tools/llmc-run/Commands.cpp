//===- Commands.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/Commands.h"

#include <climits>
#include <csignal>
#include <cstdio>
#include <unistd.h>

using namespace llmc;
using namespace llmc::tool;

std::atomic<bool> tool::interrupted{false};

int tool::fail(const Error &error) {
  std::fflush(stdout);
  std::fprintf(stderr, "llmc: error: %s\n", error.message.c_str());
  return error.code == ErrorCode::OutOfBudget ? kNoBudget : kFailed;
}

void PlanOptions::add(CLI::App &app) {
  if (embedded) {
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self));
    plan = length > 0 ? std::string(self, static_cast<size_t>(length))
                      : "/proc/self/exe";
  } else {
    app.add_option("PLAN", plan, "The plan file that llmc compile wrote")
        ->required();
    app.add_option("--weights", weights,
                   "The weights file, if not where the plan says");
  }
  app.add_option("--threads", threads, "Compute threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--no-checksum", noChecksum,
               "Do not compare the weights with their checksums at first "
               "use");
  app.add_option("--io", ioMethod,
                 "How to read the weights: auto, uring (io_uring past the page "
                 "cache), direct (threads past the page cache), buffered "
                 "(threads, page cache given back) or cached (page cache kept)")
      ->check(CLI::IsMember({"auto", "uring", "direct", "buffered", "cached"}));
  app.add_option("--spill-dir", spillFolder,
                 "Where the parts of KV caches that spill lie, in a file "
                 "without a name (default: $TMPDIR, or /tmp)");
  app.add_flag("--json", json, "Print the result as JSON");
}

SessionOptions PlanOptions::session() const {
  SessionOptions options;
  options.threads = threads;
  options.weightsPath = weights;
  options.checksum = !noChecksum;
  options.io.method = io::methodNamed(ioMethod).value_or(io::Method::Auto);
  options.spillFolder = spillFolder;
  options.warn = [](const std::string &message) {
    std::fprintf(stderr, "llmc: warning: %s\n", message.c_str());
  };
  if (embedded) {
    options.planOffset = embedded->planOffset;
    options.planSize = embedded->planSize;
    options.weightsOffset = embedded->weightsOffset;
    options.weightsSize = embedded->weightsSize;
  }
  return options;
}

static void onInterrupt(int) {
  interrupted.store(true, std::memory_order_relaxed);
}

void tool::watchInterrupts() {
  struct sigaction action{};
  action.sa_handler = onInterrupt;
  // The handler goes after the first signal: the second one kills.
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

Result<void> tool::reportProfile(Session &session, bool table,
                                 const std::string &tracePath) {
  if (table) {
    std::fflush(stdout);
    std::fputs(session.profiler()->table().c_str(), stderr);
  }
  if (!tracePath.empty()) {
    return session.profiler()->writeTrace(tracePath);
  }
  return {};
}
