//===- Session.h - A loaded plan and its state -----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   Result<std::unique_ptr<Session>> session = Session::load("model.plan", {});
//   Result<std::span<const float>> row = (*session)->prefill(prompt);
//   while (row) {
//     row = (*session)->decode(argmax(*row));
//   }
//
// load() reads the plan, proves it (Checker.h), compares it with the machine,
// takes all memory and reads the resident weights. After that prefill() and
// decode() allocate nothing unless they fail. A session is used by one thread
// at a time. After any error but a failed load it is sound: the state is as it
// was before the piece of the prompt (or the token) that failed.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_SESSION_H
#define LLMC_RUNTIME_CORE_SESSION_H

#include "runtime/core/Arena.h"
#include "runtime/core/Executor.h"
#include "runtime/core/Profiler.h"
#include "runtime/core/SpillFile.h"
#include "runtime/kernels/ThreadPool.h"
#include "runtime/plan/Plan.h"
#include "runtime/plan/WeightsFile.h"
#include "runtime/support/Result.h"

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace llmc {

struct SessionOptions {
  int threads = 0;         // 0: all cores this process may use
  std::string weightsPath; // in place of what the plan names
  bool checksum = true;    // compare segments with their hashes at first use
  bool poison = false;     // see Executor::create
  bool profile = false;    // times per step
  size_t traceEvents = 0;  // room for a trace, in events
  /// Told what is no error but should be known; may be null.
  void (*warn)(const std::string &) = nullptr;
  io::IoOptions io;                // how weights are read
  std::string spillFolder;         // of the spill file; empty: $TMPDIR, or /tmp
  SpillFile::WriteHook spillWrite; // for tests: stands in for pwrite
  // The plan (and its weights) inside `path`, at these bytes; size 0: the
  // whole file, with weights in a file of their own.
  uint64_t planOffset = 0;
  uint64_t planSize = 0;
  uint64_t weightsOffset = 0;
  uint64_t weightsSize = 0;
};

/// Reads the plan that `options` point at; errors name `path`.
Result<plan::Plan> readPlanAt(const std::string &path,
                              const SessionOptions &options);

/// Opens the weights file of a plan and checks that it is the right one.
Result<plan::WeightsFile> openWeightsOf(const plan::Plan &plan,
                                        const std::string &path,
                                        const SessionOptions &options);

/// A dense row-major tensor given to run().
struct TensorView {
  std::string name;
  plan::DType dtype = plan::DType::F32;
  std::vector<int64_t> dims;
  const uint8_t *data = nullptr;
};

/// A dense row-major tensor that run() gives back.
struct NamedTensor {
  std::string name;
  plan::DType dtype = plan::DType::F32;
  std::vector<int64_t> dims;
  std::vector<uint8_t> data;
};

class Session {
public:
  static Result<std::unique_ptr<Session>> load(const std::string &planPath,
                                               const SessionOptions &options);
  ~Session();

  const plan::Plan &plan() const { return thePlan; }
  const std::string &weightsPath() const { return weights.path; }
  const WeightsSource &weightsSource() const { return weights; }
  /// What reads the weights; nullptr for a plan without any.
  const io::TransferEngine *transfers() const { return engine.get(); }
  double loadSeconds() const { return secondsToLoad; }
  int threads() const { return pool->numThreads(); }
  Profiler *profiler() { return profile.get(); }

  /// Feeds tokens (at least one) and returns the logits of the last one:
  /// `vocabulary` floats, valid until the next call.
  Result<std::span<const float>> prefill(std::span<const int64_t> tokens);

  /// Feeds one token; as prefill() with one token.
  Result<std::span<const float>> decode(int64_t token);

  /// Tokens in the state.
  int64_t past() const { return pastTokens; }
  /// Tokens that the state can hold.
  int64_t context() const { return contextTokens; }
  /// Width of a row of logits.
  int64_t vocabulary() const { return static_cast<int64_t>(row.size()); }
  /// Token ids are below this: the rows of the embedding, which need not be
  /// the width of the logits.
  int64_t tokenLimit() const {
    return thePlan.vocabulary > 0 ? thePlan.vocabulary : vocabulary();
  }

  /// Empties the state.
  void reset();

  /// The state that prefill() and decode() built so far, under the names of
  /// the model's outputs, past() tokens long.
  Result<std::vector<NamedTensor>> states() const;

  /// Nothing if the plan can generate, else why not.
  Result<void> canGenerate() const;

  /// When set and true, prefill() stops between pieces with
  /// ErrorCode::Cancelled.
  void setCancelFlag(const std::atomic<bool> *flag) { cancel = flag; }

  /// The entry that run() takes by default.
  const plan::Entry &defaultEntry() const;

  /// Runs one entry once from the empty state (what prefill() and decode()
  /// built is lost). Every input that the plan does not derive must be there.
  /// Returns the outputs in the plan's order, final states included.
  Result<std::vector<NamedTensor>> run(const std::string &entry,
                                       std::span<const TensorView> inputs);

private:
  /// An entry that takes tokens and gives logits, looked up at load.
  struct TokenEntry {
    uint32_t entry = plan::kNone;
    uint8_t *tokens = nullptr;
    plan::DType tokensType = plan::DType::I64;
    const uint8_t *logits = nullptr;
    plan::DType logitsType = plan::DType::F32;
    uint32_t logitsRows = plan::kNone; // expr
    uint32_t seqSymbol = plan::kNone;
    uint32_t pastSymbol = plan::kNone;
    int64_t seqLower = 0;
    int64_t seqUpper = 0;
    int64_t pastUpper = 0;
    int64_t batch = 1;
    bool exists() const { return entry != plan::kNone; }
  };

  Session() = default;
  Result<void> openWeights(const SessionOptions &options);
  Result<void> openSpill(const SessionOptions &options);
  Result<void> takeMemory(void (*warn)(const std::string &));
  Result<void> fillArena();
  Result<void> loadResident();
  Result<void> compareRest();
  Result<void> prepareGeneration();
  Result<TokenEntry> prepareEntry(uint32_t entry);
  Result<std::span<const float>> step(const TokenEntry &entry,
                                      std::span<const int64_t> tokens);
  Result<void> checkTokens(std::span<const int64_t> tokens) const;
  Result<void> bindInputs(uint32_t entry, std::span<const TensorView> inputs);
  Result<void> writeInput(uint32_t entry, const plan::Port &port,
                          const TensorView &input);
  Result<void> checkDerived(uint32_t entry, const plan::DerivedInput &derived,
                            const TensorView &input) const;
  Result<NamedTensor> gatherState(uint32_t entry, const plan::Port &port,
                                  int64_t tokens) const;

  plan::Plan thePlan;
  std::string path;
  std::optional<plan::WeightsFile> weightsFile; // owns the descriptor
  WeightsSource weights;
  Arena device;
  Arena host;
  TierMemory memory;
  std::unique_ptr<SpillFile> spill; // outlives what reads it
  std::unique_ptr<io::TransferEngine> spillEngine;
  std::unique_ptr<io::TransferEngine> engine; // ends its reads before the arena
  std::unique_ptr<FirstUse> firstUse;
  std::unique_ptr<kernels::ThreadPool> pool;
  std::unique_ptr<Profiler> profile;
  std::unique_ptr<GeneratedCode> code; // outlives what calls it
  std::unique_ptr<Executor> executor;
  TokenEntry prefillEntry;
  TokenEntry decodeEntry;
  Error whyNoGeneration;
  std::vector<float> row;
  int64_t contextTokens = 0;
  int64_t pastTokens = 0;
  uint32_t lastEntry = plan::kNone; // that built the state
  bool poison = false;
  double secondsToLoad = 0;
  const std::atomic<bool> *cancel = nullptr;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_SESSION_H
