//===- llmc-count-allocations.cpp - What decoding a plan allocates --------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   llmc-count-allocations PLAN [STEPS [THREADS]]
//
// Loads a plan, feeds a prompt of a few tokens, decodes 8 tokens to warm up
// and STEPS (64) more, and prints as JSON what any thread allocated since the
// load and the page faults of the process in the STEPS. Exit status 1 if there
// was any of either.
//
//===----------------------------------------------------------------------===//

#include "test/tools/CountAllocations.h"

#include "runtime/core/Sampler.h"
#include "runtime/core/Session.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/resource.h>
#include <unistd.h>

using namespace llmc;

namespace {

constexpr int kWarmUp = 8;

/// Of all threads. A minor fault is a page's first touch, a major one a read
/// from disk (of code, since no data is mapped from files).
struct Faults {
  long minor = 0;
  long major = 0;

  static Faults now() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return {usage.ru_minflt, usage.ru_majflt};
  }
};

/// Pages of the process that are in memory, in bytes.
uint64_t residentBytes() {
  unsigned long long total = 0;
  unsigned long long resident = 0;
  if (FILE *file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%llu %llu", &total, &resident) != 2) {
      resident = 0;
    }
    std::fclose(file);
  }
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: llmc-count-allocations PLAN [STEPS [THREADS]]\n");
    return 2;
  }
  const int steps = argc > 2 ? std::atoi(argv[2]) : 64;
  SessionOptions options;
  options.threads = argc > 3 ? std::atoi(argv[3]) : 3;
  const uint64_t residentBefore = residentBytes();
  auto loaded = Session::load(argv[1], options);
  if (!loaded) {
    std::fprintf(stderr, "llmc: error: %s\n", loaded.error().message.c_str());
    return 1;
  }
  Session &session = **loaded;
  const uint64_t residentAtLoad = residentBytes() - residentBefore;
  Sampler sampler({}, session.vocabulary());
  std::vector<int64_t> prompt(
      static_cast<size_t>(std::clamp<int64_t>(session.context() - 1, 1, 5)));
  for (size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = static_cast<int64_t>(i) % session.vocabulary();
  }

  const tools::AllocationCount before = tools::AllocationCount::now();
  const Faults atLoad = Faults::now();
  Faults warm;
  int done = -kWarmUp;
  Result<std::span<const float>> row = session.prefill(prompt);
  while (row && done < steps) {
    if (session.past() == session.context()) {
      session.reset();
      row = session.prefill(prompt);
      continue;
    }
    if (done == 0) {
      warm = Faults::now();
    }
    row = session.decode(sampler.choose(*row));
    ++done;
  }
  const Faults last = Faults::now();
  const tools::AllocationCount after = tools::AllocationCount::now();

  if (!row) {
    std::fprintf(stderr, "llmc: error: %s\n", row.error().message.c_str());
    return 1;
  }
  const long calls = after.calls - before.calls;
  const bool same =
      after.heapTop == before.heapTop && after.mappings == before.mappings;
  const long minor = last.minor - warm.minor;
  const long major = last.major - warm.major;
  std::printf("{\"steps\": %d, \"allocations\": %ld, "
              "\"heap_and_mappings_unchanged\": %s, \"counted_at_load\": %ld, "
              "\"minor_faults\": %ld, \"major_faults\": %ld, "
              "\"minor_faults_warming_up\": %ld, \"load_seconds\": %.3f, "
              "\"load_resident_bytes\": %llu}\n",
              done, calls, same ? "true" : "false", before.calls, minor, major,
              warm.minor - atLoad.minor, session.loadSeconds(),
              static_cast<unsigned long long>(residentAtLoad));
  // A counter that saw nothing at load would see nothing later either.
  return calls == 0 && same && before.calls > 0 && minor == 0 && major == 0 &&
                 atLoad.minor > 0
             ? 0
             : 1;
}
