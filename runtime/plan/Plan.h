//===- Plan.h - The static execution plan in memory ------------*- C++ -*-===//
//
// What `model.plan` holds once decoded. The compiler's emission fills it, the
// writer (PlanWriter.h) encodes it as FlatBuffers, the reader (PlanReader.h)
// decodes and validates it, the checker (Checker.h) proves it, the executor
// walks it. FORMAT.md describes the bytes.
//
// All lifetimes are half-open step ranges [start, end) of one entry. All
// offsets and sizes are bytes, 64 bits. Indices refer to the vectors below.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PLAN_H
#define LLMC_RUNTIME_PLAN_PLAN_H

#include "runtime/plan/Code.h"
#include "runtime/plan/DType.h"
#include "runtime/plan/KernelId.h"
#include "runtime/plan/Packing.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan {

constexpr uint32_t kNone = UINT32_MAX;
/// Every placed buffer starts at a multiple of this in its tier.
constexpr uint64_t kBufferAlignment = 64;
/// Segments of the weights file start at a multiple of this.
constexpr uint64_t kSegmentAlignment = 4096;

enum class Tier : uint8_t { Device = 0, Host = 1, Disk = 2 };

enum class BufferKind : uint8_t {
  Weight = 0,     // a resident weight, loaded once, live in every entry
  State = 1,      // KV cache, live in every entry
  Constant = 2,   // small constants kept in the plan file itself
  Input = 3,      // written by the caller before step 0
  Output = 4,     // read by the caller after the last step
  Activation = 5, // written and read by steps
  Staging = 6,    // a slot that something is copied into
  Workspace = 7,  // scratch of one launch
};

/// One contiguous range of a tier. Weight, State and Constant buffers belong
/// to no entry (entry == kNone) and are live throughout; others are live in
/// [start, end) of their entry. Different entries share the arena.
struct Buffer {
  std::string name;
  BufferKind kind = BufferKind::Activation;
  Tier tier = Tier::Device;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t entry = kNone;
  uint32_t start = 0;
  uint32_t end = 0;
  uint32_t segment = kNone; // Weight: the segment that fills it at load
};

/// A piece of the weights file. `hash` is the checksum of its packed bytes.
struct Segment {
  std::string name;
  uint64_t offset = 0; // multiple of kSegmentAlignment
  uint64_t size = 0;
  std::array<uint64_t, 2> hash{};
};

/// A node of an entry's expression table. `a` and `b` index earlier nodes, so
/// one forward pass evaluates (or bounds) all of them.
enum class ExprOp : uint8_t {
  Constant = 0, // value
  Symbol = 1,   // a = index into Entry::symbols
  Add = 2,
  Mul = 3,
  FloorDiv = 4,
  CeilDiv = 5,
  Mod = 6,
  Min = 7,
  Max = 8,
};
struct ExprNode {
  ExprOp op = ExprOp::Constant;
  uint32_t a = 0;
  uint32_t b = 0;
  int64_t value = 0;
};

/// A run-time integer with proved bounds. `past` is the number of tokens in
/// the state before the entry runs and is set by the executor (isPast); all
/// others are bound from the shapes of the inputs whose dimension is exactly
/// that symbol.
struct Symbol {
  std::string name;
  int64_t lower = 0;
  int64_t upper = 0;
  bool isPast = false;
};

enum class Access : uint8_t { Read = 0, Write = 1, ReadWrite = 2 };

/// A typed view of a buffer: a dense row-major tensor that starts at byte
/// `offset` of the buffer. Its dimensions are expressions; the bytes it may
/// touch are those at the expressions' upper bounds. For a weight with
/// packing Panel64, dims are [N, K] and the bytes are those of the panels. For
/// a State buffer, dims are [outer..., capacity, inner...] in block layout (see
/// State).
struct Operand {
  uint32_t buffer = 0;
  Access access = Access::Read;
  DType dtype = DType::F32;
  Packing packing = Packing::Raw;
  uint64_t offset = 0;
  std::vector<uint32_t> dims; // indices into Entry::exprs
};

enum class StepKind : uint8_t {
  Launch = 0,
  Copy = 1,
  Signal = 2,
  Wait = 3,
  Restore = 4, // blocks of a spilled state into a slot
  Spill = 5,   // and what was appended to them out of it, on the compute stream
  SwapOut = 6, // bytes of a buffer to the disk tier, on the compute stream
  SwapIn = 7,  // and back, into another buffer
};
enum class Stream : uint8_t { Compute = 0, Copy = 1 };

/// One step of an entry's linear schedule. Steps of the same stream run in
/// order; different streams are ordered only by signal and wait. Every event
/// is signalled at most once per run of an entry. The end of an entry waits
/// for both streams.
struct Step {
  StepKind kind = StepKind::Launch;
  Stream stream = Stream::Compute;
  std::string name; // node of the model it stems from

  // Launch. The operand, param, int and float lists of every kernel are
  // described in KernelId.h.
  KernelId kernel{};
  std::vector<Operand> operands;
  std::vector<uint32_t> params; // indices into Entry::exprs
  std::vector<int64_t> ints;
  std::vector<double> floats;

  // Copy: `bytes` from byte `sourceOffset` of weights segment `segment` to
  // byte `targetOffset` of `buffer`.
  //
  // A copy with an operand gathers rows of a table. The operand (I64 or I32,
  // dense, on the device) holds indices, ints are rows, rowBytes: row i is
  // bytes [sourceOffset + i * rowBytes, + rowBytes) of the segment, and a
  // negative index counts from the end. The rows that the indices name are
  // written in their order from targetOffset on, zeros behind them up to
  // `bytes`, which is rowBytes times the bound of the number of indices.
  uint32_t segment = kNone;
  uint64_t sourceOffset = 0;
  uint32_t buffer = kNone;
  uint64_t targetOffset = 0;
  uint64_t bytes = 0;

  // Restore, Spill: the blocks of `state` from `firstBlock` on that `bytes` of
  // `buffer`, from its beginning, have room for. Restore brings those that hold
  // tokens below `past`; Spill takes those that hold any of the tokens
  // [past, past + newTokens), as whole blocks. So what moves is at most
  // `bytes`, and often nothing.
  uint32_t state = kNone;
  uint64_t firstBlock = 0;

  // SwapOut: bytes [targetOffset, targetOffset + bytes) of `buffer` to the
  // beginning of `below`, an Activation of the disk tier, once per run. SwapIn:
  // the same bytes, at the same place of `buffer`, which nothing has touched.
  uint32_t below = kNone;

  uint32_t event = kNone; // Signal, Wait: an index below Entry::numEvents

  bool gathersRows() const {
    return kind == StepKind::Copy && !operands.empty();
  }
};

enum class PortRole : uint8_t {
  Generic = 0,
  Tokens = 1, // [batch, seq] token ids
  Logits = 2, // [batch, rows, vocabulary]; rows is 1 or seq
  State = 3,  // output only: final state, read by `run` from `state`
};

/// An input or output of an entry.
struct Port {
  std::string name;
  PortRole role = PortRole::Generic;
  DType dtype = DType::F32;
  uint32_t buffer = kNone;
  std::vector<uint32_t> dims; // indices into Entry::exprs
  uint32_t state = kNone;     // role State
};

/// An input of the model that the plan computes itself: an attention mask of
/// ones or positions past, past + 1, ...; a caller may leave it out, and what
/// it passes must be equal to that.
enum class DerivedKind : uint8_t { Ones = 0, Positions = 1, Empty = 2 };
struct DerivedInput {
  std::string name;
  DerivedKind kind = DerivedKind::Ones;
};

/// A slot whose contents outlast a run: at the start and at the end of every
/// entry it holds bytes [sourceOffset, sourceOffset + bytes) of a segment. So
/// the copies of what the next run needs first are made beside the end of this
/// one. The load fills it, and so does the executor after a run that stopped
/// early. In between an entry may use its bytes for something else.
struct CarriedSlot {
  uint32_t segment = kNone;
  uint64_t sourceOffset = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0; // in the device tier
};

/// The staging buffers that have a carried slot's place in one entry: `first`
/// from step 0 on, `last` to the end. `last` is filled by one copy of the whole
/// slot; if it is `first`, nothing writes it.
struct CarriedUse {
  uint32_t first = kNone;
  uint32_t last = kNone;
};

struct Entry {
  std::string name; // "prefill", "decode" or "main"
  std::vector<Symbol> symbols;
  std::vector<ExprNode> exprs;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<DerivedInput> derived;
  std::vector<Step> steps;
  uint32_t numEvents = 0;
  uint32_t newTokens = kNone;      // expr: tokens added to the state by one run
  std::vector<CarriedUse> carried; // one per Plan::carried
  // Reported figures.
  uint64_t peakLiveBytes = 0;
  uint64_t streamedBytes = 0;
  double predictedSeconds = 0;
  std::string boundBy; // "compute", "memory", "link" or "overhead"
};

/// State kept between runs (a key or value cache): logically a tensor
/// [outer..., capacity, inner...] that grows along its token axis. Stored as
/// ceil(capacity / blockTokens) blocks, each one contiguous
/// [outer..., blockTokens, inner...], so that a block can be moved as a whole.
/// With `spill`, `buffer` holds the first `residentBlocks` of them and, behind
/// these, one more block for the executor, the one below that is being filled;
/// `spill`, a State buffer of the disk tier, holds the others: its offset
/// counts from the beginning of the spill file. They are worked on in slots,
/// see StepKind. With a ring, only sinkBlocks + ringBlocks blocks are there:
/// block b lies at place b below sinkBlocks, at sinkBlocks + (b - sinkBlocks) %
/// ringBlocks from there on, over the block that many places before it.
struct State {
  std::string name;       // the model's input, e.g. past_key_values.0.key
  std::string outputName; // the model's output, e.g. present.0.key
  DType dtype = DType::F32;
  std::vector<int64_t> outer;
  std::vector<int64_t> inner;
  int64_t capacity = 0; // tokens
  int64_t blockTokens = 0;
  uint32_t buffer = kNone;
  uint32_t spill = kNone;
  int64_t residentBlocks = 0; // with spill: at least 1, not all
  int64_t sinkBlocks = 0;
  int64_t ringBlocks = 0; // 0: no ring
};

/// One budget item; device_bytes is their sum.
struct Totals {
  uint64_t budgetBytes = UINT64_MAX; // UINT64_MAX: unbounded
  uint64_t deviceBytes = 0;          // arena + reserve
  uint64_t arenaBytes = 0;
  uint64_t residentWeightBytes = 0;
  uint64_t stateBytes = 0;
  uint64_t stagingBytes = 0;
  uint64_t workspaceBytes = 0;
  uint64_t activationPeakBytes = 0;
  uint64_t constantBytes = 0;
  uint64_t reserveBytes = 0;
  uint64_t lowerBoundBytes = 0;
  uint64_t minimumBytes = 0;
  uint64_t hostBytes = 0;
  uint64_t diskBytes = 0;
  uint64_t weightsBytes = 0;
};

struct Plan {
  std::string producer;  // "llmc 0.1.0"
  std::string modelName; // stem of the model's file name
  std::string target = "cpu";
  std::string arch;                    // x86-64-v3, x86-64-v4 or a CPU name
  std::string options;                 // the options that made it, one line
  std::string weightsFile;             // relative to the plan's folder
  std::array<uint64_t, 2> weightsId{}; // identity of the weights file's table
  int64_t context = 0;                 // tokens, 0 for a model without state
  int64_t batch = 1;
  int64_t vocabulary = 0;
  int64_t bosToken = -1;
  std::vector<int64_t> eosTokens;
  std::vector<Segment> segments;
  std::vector<Buffer> buffers;
  std::vector<State> states;
  std::vector<CarriedSlot> carried;
  std::vector<Entry> entries;
  /// Contents of Constant buffers: (buffer, bytes).
  struct ConstantData {
    uint32_t buffer = kNone;
    std::vector<uint8_t> bytes;
  };
  std::vector<ConstantData> constants;
  std::string tokenizer; // serialized table (runtime/tokenizer), may be empty
  Code code;             // of Generated launches, may be empty
  Totals totals;
};

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PLAN_H
