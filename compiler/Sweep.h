//===- Sweep.h - Budgets against predicted speed ---------------*- C++ -*-===//
//
// `llmc sweep`: the model is imported and scheduled once per context; every
// budget is then only placed, on a copy, exactly as a compile would. Nothing is
// written and nothing runs.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_SWEEP_H
#define LLMC_COMPILER_SWEEP_H

#include "compiler/Compile.h"

#include <optional>
#include <string>
#include <vector>

namespace llmc::compiler {

/// One end of --vram LO..HI.
struct SweepEnd {
  enum class Kind : uint8_t {
    Open,   // the smallest budget; what everything resident takes
    Bytes,  // value
    Percent // value hundredths of a percent of the weights' bytes
  };
  Kind kind = Kind::Open;
  uint64_t value = 0;
};

struct SweepRange {
  SweepEnd low;
  SweepEnd high;
  /// Budgets from low to high, both included; at least 2.
  int steps = 16;
  bool contexts = true; // look for the largest context of each budget
};

struct SweepReport {
  std::string model;
  std::string hardware;     // of the profile; empty: the reference CPU
  std::string options;      // as a plan would record them
  int64_t context = 0;      // tokens that speeds are predicted for; 0: no state
  int64_t contextLimit = 0; // the largest that is considered
  int64_t batch = 1;
  uint64_t weightsBytes = 0;
  uint64_t minimumBytes = 0;  // the smallest budget, at `context`
  uint64_t residentBytes = 0; // nothing streams from here on, at `context`
  bool geometric = false;     // how the budgets are spaced, else evenly

  struct Entry {
    std::string name;
    double tokens = 0; // of a run, all sequences; 0: it is not about tokens
    double seconds = 0;
    std::string boundBy;
    uint64_t streamedBytes = 0;
    plan::Prediction parts;

    double tokensPerSecond() const {
      return seconds > 0 ? tokens / seconds : 0;
    }
    double streamedBytesPerToken() const {
      return tokens > 0 ? double(streamedBytes) / tokens : 0;
    }
  };
  struct Row {
    uint64_t budgetBytes = 0;
    std::string mark;  // "minimum", "resident" or empty: a step of the range
    bool fits = false; // at SweepReport::context; the next three only then
    uint64_t deviceBytes = 0;
    uint64_t residentWeightBytes = 0;
    std::vector<Entry> entries;
    // Tokens; 0: none fits, or they were not asked for.
    int64_t largestContext = 0;
    int64_t largestResidentContext = 0; // at which nothing streams
  };
  std::vector<Row> rows; // by budget
  size_t contextsScheduled = 0;
  std::vector<std::string> warnings;
};

Result<SweepReport> sweep(const CompileOptions &options,
                          const SweepRange &range);

/// The budgets of a range, ascending and each once, and whether they are spaced
/// geometrically (from a factor of 4 on). Budgets are whole pages, except for
/// the ends themselves.
std::vector<uint64_t> sweepBudgets(uint64_t low, uint64_t high, int steps,
                                   bool &geometric);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_SWEEP_H
