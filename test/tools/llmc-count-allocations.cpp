//===- llmc-count-allocations.cpp - What decoding a plan allocates --------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   llmc-count-allocations PLAN [STEPS [THREADS]]
//
// Loads a plan, feeds a prompt of a few tokens, decodes STEPS (64) tokens and
// prints what was allocated in between by any thread, as JSON. Exit status 1
// if that is anything at all.
//
//===----------------------------------------------------------------------===//

#include "test/tools/CountAllocations.h"

#include "runtime/core/Sampler.h"
#include "runtime/core/Session.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

using namespace llmc;

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: llmc-count-allocations PLAN [STEPS [THREADS]]\n");
    return 2;
  }
  const int steps = argc > 2 ? std::atoi(argv[2]) : 64;
  SessionOptions options;
  options.threads = argc > 3 ? std::atoi(argv[3]) : 3;
  auto loaded = Session::load(argv[1], options);
  if (!loaded) {
    std::fprintf(stderr, "llmc: error: %s\n", loaded.error().message.c_str());
    return 1;
  }
  Session &session = **loaded;
  Sampler sampler({}, session.vocabulary());
  std::vector<int64_t> prompt(
      static_cast<size_t>(std::clamp<int64_t>(session.context() - 1, 1, 5)));
  for (size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = static_cast<int64_t>(i) % session.vocabulary();
  }

  const tools::AllocationCount before = tools::AllocationCount::now();
  int done = 0;
  Result<std::span<const float>> row = session.prefill(prompt);
  while (row && done < steps) {
    if (session.past() == session.context()) {
      session.reset();
      row = session.prefill(prompt);
    } else {
      row = session.decode(sampler.choose(*row));
      ++done;
    }
  }
  const tools::AllocationCount after = tools::AllocationCount::now();

  if (!row) {
    std::fprintf(stderr, "llmc: error: %s\n", row.error().message.c_str());
    return 1;
  }
  const long calls = after.calls - before.calls;
  const bool same =
      after.heapTop == before.heapTop && after.mappings == before.mappings;
  std::printf("{\"steps\": %d, \"allocations\": %ld, \"heap_and_mappings_"
              "unchanged\": %s, \"counted_at_load\": %ld}\n",
              done, calls, same ? "true" : "false", before.calls);
  // A counter that saw nothing at load would see nothing later either.
  return calls == 0 && same && before.calls > 0 ? 0 : 1;
}
