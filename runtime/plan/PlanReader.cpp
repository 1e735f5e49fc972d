//===- PlanReader.cpp - From a plan file to the plan ----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/PlanReader.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/PlanFormat.h"
#include "runtime/plan/Validate.h"
#include "runtime/plan/schema_generated.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace llmc::plan {

namespace {

Error malformed(std::string message) {
  return {ErrorCode::PlanMalformed, "damaged plan: " + std::move(message)};
}

template <class T> bool isAligned(const T *data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(T) == 0;
}

/// A vector of the table, read from front to back in counted pieces. After the
/// first piece that is too long it stays empty and remembers the failure.
template <class T> class Cursor {
public:
  /// The verifier of FlatBuffers 2.0 does not look at the alignment of a
  /// vector's structs; a misaligned vector counts as damaged.
  Cursor(const char *name, const T *data, uint64_t size)
      : name(name), data(data), left(size), size(size),
        misaligned(size != 0 && !isAligned(data)) {
    if (misaligned) {
      left = 0;
    }
  }

  std::span<const T> take(uint64_t count) {
    if (count > left) {
      if (overrun == 0) {
        overrun = count - left;
      }
      left = 0;
      return {};
    }
    std::span<const T> piece(data, count);
    data += count;
    left -= count;
    return piece;
  }

  std::span<const T> takeAll() { return take(left); }

  bool good() const { return overrun == 0 && left == 0 && !misaligned; }
  Error error() const {
    if (misaligned) {
      return malformed(std::string(name) + " are misaligned");
    }
    std::string text = std::string(name) + " has " + std::to_string(size) +
                       " elements, the records that refer to it need ";
    return malformed(overrun != 0 ? text + std::to_string(overrun) + " more"
                                  : text + std::to_string(size - left));
  }

private:
  const char *name;
  const T *data;
  uint64_t left;
  uint64_t size;
  uint64_t overrun = 0;
  bool misaligned;
};

template <class T>
Cursor<T> scalars(const char *name, const flatbuffers::Vector<T> *vector) {
  return vector == nullptr ? Cursor<T>(name, nullptr, 0)
                           : Cursor<T>(name, vector->data(), vector->size());
}
template <class T>
Cursor<T> records(const char *name,
                  const flatbuffers::Vector<const T *> *vector) {
  return vector == nullptr
             ? Cursor<T>(name, nullptr, 0)
             : Cursor<T>(name, reinterpret_cast<const T *>(vector->Data()),
                         vector->size());
}

class Decoder {
public:
  explicit Decoder(const fb::PlanTable &table)
      : table(table), segments(records("segments", table.segments())),
        buffers(records("buffers", table.buffers())),
        carried(records("carried", table.carried())),
        states(records("states", table.states())),
        entries(records("entries", table.entries())),
        symbols(records("symbols", table.symbols())),
        exprs(records("exprs", table.exprs())),
        ports(records("ports", table.ports())),
        derived(records("derived", table.derived())),
        steps(records("steps", table.steps())),
        operands(records("operands", table.operands())),
        constants(records("constants", table.constants())),
        indices(scalars("indices", table.indices())),
        ints(scalars("ints", table.ints())),
        floats(scalars("floats", table.floats())),
        text(scalars("text", table.text())) {}

  Result<Plan> run(std::span<const uint8_t> constantBytes,
                   std::span<const uint8_t> tokenizerBytes, Code code);

private:
  std::string takeText(uint32_t bytes) {
    std::span<const uint8_t> part = text.take(bytes);
    return std::string(part.begin(), part.end());
  }
  std::vector<uint32_t> takeIndices(uint32_t count) {
    std::span<const uint32_t> part = indices.take(count);
    return {part.begin(), part.end()};
  }
  std::vector<int64_t> takeInts(uint32_t count) {
    std::span<const int64_t> part = ints.take(count);
    return {part.begin(), part.end()};
  }

  void decodeModel(Plan &plan);
  void decodeTotals(Totals &totals) const;
  void decodeEntry(const fb::EntryRecord &record, Entry &entry);
  void decodePort(const fb::PortRecord &record, Port &port);
  void decodeStep(const fb::StepRecord &record, Step &step);

  const fb::PlanTable &table;
  Cursor<fb::SegmentRecord> segments;
  Cursor<fb::BufferRecord> buffers;
  Cursor<fb::CarriedRecord> carried;
  Cursor<fb::StateRecord> states;
  Cursor<fb::EntryRecord> entries;
  Cursor<fb::SymbolRecord> symbols;
  Cursor<fb::ExprRecord> exprs;
  Cursor<fb::PortRecord> ports;
  Cursor<fb::DerivedRecord> derived;
  Cursor<fb::StepRecord> steps;
  Cursor<fb::OperandRecord> operands;
  Cursor<fb::ConstantRecord> constants;
  Cursor<uint32_t> indices;
  Cursor<int64_t> ints;
  Cursor<double> floats;
  Cursor<uint8_t> text;
};

} // namespace

void Decoder::decodeModel(Plan &plan) {
  const fb::ModelRecord &model = *table.model();
  plan.weightsId = {model.weights_id_low(), model.weights_id_high()};
  plan.context = model.context();
  plan.batch = model.batch();
  plan.vocabulary = model.vocabulary();
  plan.bosToken = model.bos_token();
  plan.eosTokens = takeInts(model.num_eos());
  plan.producer = takeText(model.producer_bytes());
  plan.modelName = takeText(model.model_name_bytes());
  plan.target = takeText(model.target_bytes());
  plan.arch = takeText(model.arch_bytes());
  plan.options = takeText(model.options_bytes());
  plan.weightsFile = takeText(model.weights_file_bytes());
}

void Decoder::decodeTotals(Totals &totals) const {
  const fb::TotalsRecord &record = *table.totals();
  totals.budgetBytes = record.budget_bytes();
  totals.deviceBytes = record.device_bytes();
  totals.arenaBytes = record.arena_bytes();
  totals.residentWeightBytes = record.resident_weight_bytes();
  totals.stateBytes = record.state_bytes();
  totals.stagingBytes = record.staging_bytes();
  totals.workspaceBytes = record.workspace_bytes();
  totals.activationPeakBytes = record.activation_peak_bytes();
  totals.constantBytes = record.constant_bytes();
  totals.reserveBytes = record.reserve_bytes();
  totals.lowerBoundBytes = record.lower_bound_bytes();
  totals.minimumBytes = record.minimum_bytes();
  totals.hostBytes = record.host_bytes();
  totals.diskBytes = record.disk_bytes();
  totals.weightsBytes = record.weights_bytes();
}

void Decoder::decodePort(const fb::PortRecord &record, Port &port) {
  port.name = takeText(record.name_bytes());
  port.role = static_cast<PortRole>(record.role());
  port.dtype = static_cast<DType>(record.dtype());
  port.buffer = record.buffer();
  port.dims = takeIndices(record.num_dims());
  port.state = record.state();
}

void Decoder::decodeStep(const fb::StepRecord &record, Step &step) {
  step.kind = static_cast<StepKind>(record.kind());
  step.stream = static_cast<Stream>(record.stream());
  step.name = takeText(record.name_bytes());
  step.kernel = static_cast<KernelId>(record.kernel());
  std::span<const fb::OperandRecord> views =
      operands.take(record.num_operands());
  step.operands.reserve(views.size());
  for (const fb::OperandRecord &view : views) {
    Operand &operand = step.operands.emplace_back();
    operand.buffer = view.buffer();
    operand.access = static_cast<Access>(view.access());
    operand.dtype = static_cast<DType>(view.dtype());
    operand.packing = static_cast<Packing>(view.packing());
    operand.offset = view.offset();
    operand.dims = takeIndices(view.num_dims());
  }
  step.params = takeIndices(record.num_params());
  step.ints = takeInts(record.num_ints());
  std::span<const double> values = floats.take(record.num_floats());
  step.floats.assign(values.begin(), values.end());
  step.segment = record.segment();
  step.sourceOffset = record.source_offset();
  step.buffer = record.buffer();
  step.targetOffset = record.target_offset();
  step.bytes = record.bytes();
  step.event = record.event();
  if (step.kind == StepKind::Restore || step.kind == StepKind::Spill) {
    std::swap(step.state, step.segment);
    std::swap(step.firstBlock, step.sourceOffset);
  }
  if (step.kind == StepKind::SwapOut || step.kind == StepKind::SwapIn) {
    std::swap(step.below, step.segment);
  }
}

void Decoder::decodeEntry(const fb::EntryRecord &record, Entry &entry) {
  entry.name = takeText(record.name_bytes());
  entry.boundBy = takeText(record.bound_by_bytes());
  entry.peakLiveBytes = record.peak_live_bytes();
  entry.streamedBytes = record.streamed_bytes();
  entry.predictedSeconds = record.predicted_seconds();
  entry.numEvents = record.num_events();
  entry.newTokens = record.new_tokens();
  for (const fb::SymbolRecord &symbol : symbols.take(record.num_symbols())) {
    entry.symbols.push_back({takeText(symbol.name_bytes()), symbol.lower(),
                             symbol.upper(), symbol.is_past() != 0});
  }
  for (const fb::ExprRecord &node : exprs.take(record.num_exprs())) {
    entry.exprs.push_back(
        {static_cast<ExprOp>(node.op()), node.a(), node.b(), node.value()});
  }
  for (const fb::PortRecord &port : ports.take(record.num_inputs())) {
    decodePort(port, entry.inputs.emplace_back());
  }
  for (const fb::PortRecord &port : ports.take(record.num_outputs())) {
    decodePort(port, entry.outputs.emplace_back());
  }
  for (const fb::DerivedRecord &input : derived.take(record.num_derived())) {
    entry.derived.push_back(
        {takeText(input.name_bytes()), static_cast<DerivedKind>(input.kind())});
  }
  std::span<const fb::StepRecord> schedule = steps.take(record.num_steps());
  entry.steps.reserve(schedule.size());
  for (const fb::StepRecord &step : schedule) {
    decodeStep(step, entry.steps.emplace_back());
  }
}

Result<Plan> Decoder::run(std::span<const uint8_t> constantBytes,
                          std::span<const uint8_t> tokenizerBytes, Code code) {
  if (table.model() == nullptr || table.totals() == nullptr) {
    return malformed("the table lacks its model or totals record");
  }
  if (!isAligned(table.model()) || !isAligned(table.totals())) {
    return malformed("its model or totals record is misaligned");
  }
  Plan plan;
  decodeModel(plan);
  decodeTotals(plan.totals);
  for (const auto &record : segments.takeAll()) {
    Segment &segment = plan.segments.emplace_back();
    segment.name = takeText(record.name_bytes());
    segment.offset = record.offset();
    segment.size = record.size();
    segment.hash = {record.hash_low(), record.hash_high()};
  }
  for (const auto &record : buffers.takeAll()) {
    Buffer &buffer = plan.buffers.emplace_back();
    buffer.name = takeText(record.name_bytes());
    buffer.kind = static_cast<BufferKind>(record.kind());
    buffer.tier = static_cast<Tier>(record.tier());
    buffer.offset = record.offset();
    buffer.size = record.size();
    buffer.entry = record.entry();
    buffer.start = record.start();
    buffer.end = record.end();
    buffer.segment = record.segment();
  }
  for (const auto &record : states.takeAll()) {
    State &state = plan.states.emplace_back();
    state.name = takeText(record.name_bytes());
    state.outputName = takeText(record.output_bytes());
    state.dtype = static_cast<DType>(record.dtype());
    state.outer = takeInts(record.num_outer());
    state.inner = takeInts(record.num_inner());
    state.capacity = record.capacity();
    state.blockTokens = record.block_tokens();
    state.buffer = record.buffer();
    state.spill = record.spill();
    state.residentBlocks = record.resident_blocks();
    state.sinkBlocks = record.sink_blocks();
    state.ringBlocks = record.ring_blocks();
  }
  for (const auto &record : carried.takeAll()) {
    plan.carried.push_back({record.segment(), record.source_offset(),
                            record.bytes(), record.offset()});
  }
  for (const auto &record : entries.takeAll()) {
    decodeEntry(record, plan.entries.emplace_back());
    for (size_t i = 0; i < plan.carried.size(); ++i) {
      std::span<const uint32_t> pair = indices.take(2);
      if (pair.empty()) {
        break; // reported below
      }
      plan.entries.back().carried.push_back({pair[0], pair[1]});
    }
  }
  Cursor<uint8_t> data("constant section", constantBytes.data(),
                       constantBytes.size());
  for (const auto &record : constants.takeAll()) {
    std::span<const uint8_t> part = data.take(record.bytes());
    plan.constants.push_back({record.buffer(), {part.begin(), part.end()}});
  }
  plan.tokenizer.assign(tokenizerBytes.begin(), tokenizerBytes.end());
  plan.code = std::move(code);

  Result<void> used;
  auto require = [&](const auto &cursor) {
    if (used && !cursor.good()) {
      used = cursor.error();
    }
  };
  require(segments);
  require(buffers);
  require(carried);
  require(states);
  require(entries);
  require(constants);
  require(symbols);
  require(exprs);
  require(ports);
  require(derived);
  require(steps);
  require(operands);
  require(data);
  require(indices);
  require(ints);
  require(floats);
  require(text);
  if (!used) {
    return used.error();
  }
  if (Result<void> valid = validate(plan); !valid) {
    return valid.error();
  }
  return plan;
}

/// Everything that page 0 says, against a file of `actual` bytes.
static Result<void> checkPage(const PlanPage &page, uint64_t actual) {
  if (page.version != kPlanFormatVersion) {
    return Error{ErrorCode::PlanVersion,
                 "plan format version " + std::to_string(page.version) +
                     ", this program reads version " +
                     std::to_string(kPlanFormatVersion) +
                     "; compile the model again"};
  }
  Hash128 expected(page.pageHash[0], page.pageHash[1]);
  Hash128 found = hashOfPage(&page);
  if (found != expected) {
    return Error{ErrorCode::PlanChecksum,
                 "checksum mismatch in page 0: found " + found.text() +
                     ", expected " + expected.text()};
  }
  if (page.pageBytes != kPageBytes) {
    return malformed("page 0 says it has " + std::to_string(page.pageBytes) +
                     " bytes, expected " + std::to_string(kPageBytes));
  }
  if (actual < page.fileBytes) {
    return Error{ErrorCode::PlanTruncated,
                 "truncated: " + std::to_string(actual) + " bytes, expected " +
                     std::to_string(page.fileBytes)};
  }
  if (actual > page.fileBytes) {
    return malformed(std::to_string(actual) + " bytes, expected " +
                     std::to_string(page.fileBytes));
  }
  for (uint32_t i = 0; i < kNumPlanSections; ++i) {
    const SectionRecord &section = page.sections[i];
    if (section.offset < kPageBytes ||
        section.offset % kSectionAlignment != 0 || section.offset > actual ||
        section.size > actual - section.offset) {
      return malformed("section " + std::to_string(i) + " [" +
                       std::to_string(section.offset) + ", +" +
                       std::to_string(section.size) +
                       ") does not lie in the file of " +
                       std::to_string(actual) + " bytes");
    }
  }
  if (page.target[sizeof(page.target) - 1] != 0 ||
      page.arch[sizeof(page.arch) - 1] != 0) {
    return malformed("target or arch in page 0 has no end");
  }
  return {};
}

static Result<Plan> decodeAligned(std::span<const uint8_t> bytes) {
  if (bytes.size() < sizeof(kPlanMagic) ||
      std::memcmp(bytes.data(), kPlanMagic, sizeof(kPlanMagic)) != 0) {
    return Error{ErrorCode::PlanMalformed,
                 "not a plan file: it does not begin with LLMCPLAN"};
  }
  if (bytes.size() < kPageBytes) {
    return Error{ErrorCode::PlanTruncated,
                 "truncated: " + std::to_string(bytes.size()) +
                     " bytes, page 0 alone has " + std::to_string(kPageBytes)};
  }
  PlanPage page;
  std::memcpy(&page, bytes.data(), sizeof(page));
  if (Result<void> good = checkPage(page, bytes.size()); !good) {
    return good.error();
  }
  std::span<const uint8_t> body = bytes.subspan(kPageBytes);
  Hash128 expected(page.bodyHash[0], page.bodyHash[1]);
  Hash128 found = hash128(body);
  if (found != expected) {
    return Error{ErrorCode::PlanChecksum, "checksum mismatch in bytes [4096, " +
                                              std::to_string(bytes.size()) +
                                              "): found " + found.text() +
                                              ", expected " + expected.text()};
  }
  if (std::strcmp(page.target, "cpu") != 0 &&
      std::strcmp(page.target, "cuda") != 0) {
    return Error{ErrorCode::PlanTarget,
                 "made for target '" + std::string(page.target) +
                     "', this program knows cpu and cuda"};
  }
  auto sectionBytes = [&](PlanSection section) {
    return bytes.subspan(page.sections[section].offset,
                         page.sections[section].size);
  };
  std::span<const uint8_t> tableBytes = sectionBytes(kTableSection);
  flatbuffers::Verifier verifier(tableBytes.data(), tableBytes.size());
  // FlatBuffers itself asserts on larger ones.
  if (tableBytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE ||
      !fb::VerifyPlanTableBuffer(verifier)) {
    return malformed("its table is not a well-formed FlatBuffer");
  }
  Result<Code> code = decodeCode(sectionBytes(kCodeSection));
  if (!code) {
    return code.error();
  }
  Result<Plan> plan =
      Decoder(*fb::GetPlanTable(tableBytes.data()))
          .run(sectionBytes(kConstantSection), sectionBytes(kTokenizerSection),
               std::move(*code));
  if (plan && (plan->target != page.target ||
               plan->arch.substr(0, sizeof(page.arch) - 1) != page.arch)) {
    return malformed("page 0 says " + std::string(page.target) + " " +
                     page.arch + ", the table says " + plan->target + " " +
                     plan->arch);
  }
  return plan;
}

Result<Plan> decodePlan(std::span<const uint8_t> bytes) try {
  // The table is read in place, which needs aligned words.
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint64_t) != 0) {
    std::vector<uint8_t> copy(bytes.begin(), bytes.end());
    return decodeAligned(copy);
  }
  return decodeAligned(bytes);
} catch (const std::bad_alloc &) {
  return Error{ErrorCode::OutOfMemory,
               "not enough memory to decode a plan of " +
                   std::to_string(bytes.size()) + " bytes"};
}

Result<Plan> readPlan(const std::string &path) try {
  Result<InputFile> file = InputFile::open(path);
  if (!file) {
    return file.error();
  }
  // Look at page 0 first: a weights file or a model given by mistake may have
  // many gigabytes.
  std::vector<uint8_t> bytes(std::min(file->size(), kPageBytes));
  if (Result<void> read = file->read(0, bytes.size(), bytes.data()); !read) {
    return read.error();
  }
  if (bytes.size() == kPageBytes &&
      std::memcmp(bytes.data(), kPlanMagic, sizeof(kPlanMagic)) == 0) {
    PlanPage page;
    std::memcpy(&page, bytes.data(), sizeof(page));
    if (Result<void> good = checkPage(page, file->size()); !good) {
      return Error{good.error().code, path + ": " + good.error().message};
    }
    bytes.resize(page.fileBytes);
    if (Result<void> read = file->read(kPageBytes, bytes.size() - kPageBytes,
                                       bytes.data() + kPageBytes);
        !read) {
      return read.error();
    }
  }
  Result<Plan> plan = decodePlan(bytes);
  if (!plan) {
    return Error{plan.error().code, path + ": " + plan.error().message};
  }
  return plan;
} catch (const std::bad_alloc &) {
  return Error{ErrorCode::OutOfMemory, path + ": not enough memory to read it"};
}

} // namespace llmc::plan
