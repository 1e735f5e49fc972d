//===- Options.h - What `llmc compile` was asked for -----------*- C++ -*-===//

#ifndef LLMC_COMPILER_OPTIONS_H
#define LLMC_COMPILER_OPTIONS_H

#include "passes/memory/Rates.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace llmc::compiler {

/// --prefill-chunk auto does not go beyond this: products of more rows are
/// hardly faster.
constexpr int64_t kLargestAutoChunk = 512;

/// --vram. Unbounded plans keep everything on the device.
struct Budget {
  enum class Kind : uint8_t { Unbounded, Auto, Bytes };
  Kind kind = Kind::Unbounded;
  uint64_t bytes = UINT64_MAX;
};

/// The bounds of --dim NAME=N or NAME=LO..HI.
struct DimBounds {
  int64_t lower = 0;
  int64_t upper = 0;
};

enum class Emit : uint8_t { Plan, Exe, Graph, PlanIR };
enum class Quantize : uint8_t { None, Int8 };
enum class Policy : uint8_t { Planned, Naive };

struct CompileOptions {
  std::string model;
  std::string output;  // empty: MODEL with .plan
  std::string weights; // empty: <model name>.weights in the plan's folder
  Budget budget;
  std::string target = "cpu";
  /// Processors whose code the plan carries: see codegen/Processor.h.
  std::vector<std::string> archs = {"native"};
  /// Whether fused regions become machine code, else they are interpreted.
  bool codegen = true;
  bool explainCodegen = false; // a warning for each launch that is not
  std::string hardware; // --hardware: a profile; empty: the reference CPU
  /// Of `hardware`, once it has been read: see readHardware().
  memory::Rates rates;
  std::string hardwareId; // name and checksum
  std::optional<int64_t> context;
  int64_t batch = 1;
  int64_t prefillChunk = 128;
  /// Where the budget cannot be met with this chunk, the largest that can.
  bool autoChunk = false;
  std::map<std::string, DimBounds> dims;
  bool allLogits = false;
  std::string tokenizer;
  std::string kvType = "auto"; // auto, f32, f16 or bf16
  /// Tokens of each KV cache that stay on the device, or all of them; or all of
  /// them unless the budget cannot be met that way, then the most that can.
  static constexpr int64_t kKeepAll = -1, kKeepWhatFits = -2;
  int64_t kvResident = kKeepAll;
  /// Tokens that attention sees: the last ones and, beside these, the first
  /// ones. 0: all, none.
  int64_t kvWindow = 0;
  int64_t kvSink = 0;
  Quantize quantize = Quantize::None;
  Policy policy = Policy::Planned;
  bool reorder = true; // false: steps stay in the model's own order
  bool fusion = true;  // false: norms, rotations, sums apart, as in the model
  bool inPlace = true; // false: every value has a buffer of its own
  bool swap = true;    // false: activations stay from first use to last
  Emit emit = Emit::Plan;
  std::string untilAfter;
  std::string dumpStages;

  /// The options that shape the plan, one line, recorded in it.
  std::string str() const;
};

/// Reads options.hardware, if there is one, into rates and hardwareId.
Result<void> readHardware(CompileOptions &options);

} // namespace llmc::compiler

#endif // LLMC_COMPILER_OPTIONS_H
