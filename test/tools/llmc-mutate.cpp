//===- llmc-mutate.cpp - Does the checker reject damaged plans? -----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   llmc-mutate [--each N] [--least N] [--seed N] [--verbose] [--samples]
//               PLAN...
//
// --samples adds plans made by hand. Damages each plan N times in every way
// that Mutations.h knows, encodes it with valid checksums, reads it back and
// asks the checker. The oracle, which shares nothing with the checker, says
// whether the damage does harm. Prints a table, the reasons, and `N passed, N
// failed`. Fails if the checker accepts anything harmful, if it rejects an
// undamaged plan, if a way to damage plans never did harm, or if fewer than
// --least distinct plans were made.
//
//===----------------------------------------------------------------------===//

#include "test/tools/MutationOracle.h"
#include "test/tools/Mutations.h"
#include "test/unit/plan_samples.h"

#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/PlanWriter.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>
#include <string_view>

using namespace llmc;
using namespace llmc::plan;
using namespace llmc::mutation;

namespace {

struct Count {
  unsigned tried = 0, harmful = 0, accepted = 0, equal = 0, strict = 0;
};

/// What the checker said, without names and numbers.
std::string sortOf(const std::string &message) {
  static const std::pair<const char *, const char *> sorts[] = {
      {"are live at once and overlap", "lifetimes as stated overlap"},
      {"lies over", "lies over what lasts"},
      {"last and overlap", "lies over what lasts"},
      {"which is live in", "touched outside of its stated lifetime"},
      {"overwrites", "a result over an operand"},
      {"without waiting for", "streams not ordered"},
      {"never written", "read or returned before it is written"},
      {"are written by then", "tokens read before they are written"},
      {"is not the sum", "the totals do not add up"},
      {"is not arena", "the totals do not add up"},
      {"bytes, the plan says", "the totals do not add up"},
      {"exceeds the budget", "over the budget"},
      {"which no earlier step signals", "a signal after its wait"},
      {"a second time", "signalled twice"},
      {"tokens, but says", "tokens left by the entry"},
      {"must stay as they are", "tokens before past"},
      {"which is not a staging slot", "a copy not into a slot"},
      {"must not be written", "writes a weight or constant"},
      {"needs bytes", "a view larger than its buffer"},
      {"which has", "a range larger than what it is of"},
      {"of entry", "touches another entry's buffer"},
      {"marked as", "access does not fit the kernel"},
      {"does not start at a multiple", "not aligned"},
      {"does not lie in", "outside of the arena"},
      {"is filled by no", "contents do not fit"},
      {"does not fit", "contents do not fit"},
      {"do not fit buffer", "contents do not fit"}};
  for (auto [words, sort] : sorts) {
    if (message.find(words) != std::string::npos) {
      return sort;
    }
  }
  return "the kernel's contract (operands, dimensions, integers)";
}

uint64_t nameOf(const std::vector<uint8_t> &bytes) {
  return std::hash<std::string_view>()(
      {reinterpret_cast<const char *>(bytes.data()), bytes.size()});
}

} // namespace

int main(int argc, char **argv) {
  unsigned each = 10, least = 2000, failed = 0;
  uint64_t seed = 20260;
  bool verbose = false, samples = false;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    std::string_view arg = argv[i];
    if (arg == "--verbose") {
      verbose = true;
    } else if (arg == "--samples") {
      samples = true;
    } else if (arg.starts_with("--") && i + 1 < argc) {
      auto value = std::strtoull(argv[++i], nullptr, 10);
      each = arg == "--each" ? unsigned(value) : each;
      least = arg == "--least" ? unsigned(value) : least;
      seed = arg == "--seed" ? value : seed;
    } else {
      files.emplace_back(arg);
    }
  }
  std::vector<std::pair<std::string, Result<Plan>>> plans;
  if (samples) {
    plans.emplace_back("sample", plan::test::samplePlan());
    plans.emplace_back("two entries", plan::test::twoEntries());
    plans.emplace_back("carried slot", plan::test::carriedSlot());
    plans.emplace_back("rows", plan::test::rowsPlan());
  }
  for (const std::string &file : files) {
    plans.emplace_back(file, readPlan(file));
  }
  std::map<std::string, Count> counts;
  std::map<std::string, unsigned> harms, equals, stricter;
  std::set<uint64_t> seen;
  std::mt19937_64 random(seed);
  auto begin = std::chrono::steady_clock::now();
  for (const auto &[file, plan] : plans) {
    if (!plan) {
      std::printf("FAIL %s: %s\n", file.c_str(), plan.error().message.c_str());
      ++failed;
      continue;
    }
    std::vector<uint32_t> all(plan->entries.size());
    std::iota(all.begin(), all.end(), 0u);
    Verdict whole = judge(*plan, all);
    Result<Certificate> proof = check(*plan);
    if (!proof || whole.harmful) {
      std::printf("FAIL %s as it is: %s\n", file.c_str(),
                  whole.harmful ? (whole.why + ": " + whole.where).c_str()
                                : proof.error().message.c_str());
      ++failed;
      continue;
    }
    seen.insert(nameOf(encodePlan(*plan)));
    for (const Mutation &mutation : allMutations()) {
      Count &count = counts[mutation.name];
      unsigned made = 0;
      for (unsigned attempt = 0; made < each && attempt < each * 8; ++attempt) {
        Draft draft{*plan, random, "", {}};
        if (!mutation.apply(draft)) {
          continue;
        }
        std::vector<uint8_t> bytes = encodePlan(draft.plan);
        if (!seen.insert(nameOf(bytes)).second) {
          continue;
        }
        ++made;
        ++count.tried;
        Result<Plan> read = decodePlan(bytes);
        Result<Certificate> verdict =
            read ? check(*read) : Result<Certificate>(read.error());
        Verdict truth;
        if (read) {
          truth = judge(*read, draft.entries.empty() ? all : draft.entries);
        } else {
          truth = {true, "not a plan at all: the reader refuses", ""};
        }
        if (truth.harmful) {
          ++count.harmful;
          ++harms[truth.why];
          if (verdict) {
            ++count.accepted;
            ++failed;
            std::printf("FAIL accepted: %s, %s: %s; but %s (%s)\n",
                        file.c_str(), mutation.name, draft.what.c_str(),
                        truth.why.c_str(), truth.where.c_str());
          }
          continue;
        }
        ++count.equal;
        ++equals[mutation.harmless];
        if (!verdict) {
          ++count.strict;
          ++stricter[sortOf(verdict.error().message)];
          if (verbose) {
            std::printf("strict: %s, %s: %s: %s\n", file.c_str(), mutation.name,
                        draft.what.c_str(), verdict.error().message.c_str());
          }
        }
      }
    }
  }
  std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - begin;
  Count sum;
  std::printf("\n%-32s %6s %8s %9s %11s %9s\n", "damage", "plans", "harmful",
              "accepted", "equivalent", "rejected");
  for (const Mutation &mutation : allMutations()) {
    const Count &c = counts[mutation.name];
    std::printf("%-32s %6u %8u %9u %11u %9u\n", mutation.name, c.tried,
                c.harmful, c.accepted, c.equal, c.strict);
    sum.tried += c.tried;
    sum.harmful += c.harmful;
    sum.accepted += c.accepted;
    sum.equal += c.equal;
    sum.strict += c.strict;
    if (mutation.mayHarm && c.harmful == 0) {
      std::printf("FAIL '%s' never did harm\n", mutation.name);
      ++failed;
    }
  }
  std::printf("%-32s %6u %8u %9u %11u %9u\n", "all", sum.tried, sum.harmful,
              sum.accepted, sum.equal, sum.strict);
  auto list = [](const char *title, const std::map<std::string, unsigned> &of) {
    std::printf("\n%s\n", title);
    for (const auto &[words, n] : of) {
      std::printf("  %6u  %s\n", n, words.c_str());
    }
  };
  list("harmful (all must be rejected), by what the oracle met first:", harms);
  list("equivalent, by reason:", equals);
  list("of these rejected all the same, by what the checker said:", stricter);
  if (sum.tried < least) {
    std::printf("FAIL only %u damaged plans of %u\n", sum.tried, least);
    ++failed;
  }
  std::printf("\nseed %llu, %zu plans, %.1f s\n",
              static_cast<unsigned long long>(seed), plans.size(),
              seconds.count());
  std::printf("%u passed, %u failed\n", sum.tried - sum.accepted, failed);
  return failed == 0 && sum.tried > 0 ? 0 : 1;
}
