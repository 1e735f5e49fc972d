//===- PlanWriter.cpp - From a plan to its file ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/PlanWriter.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/PlanFormat.h"
#include "runtime/plan/Validate.h"
#include "runtime/plan/schema_generated.h"

#include <algorithm>
#include <cstring>

namespace llmc::plan {

namespace {

/// Fills the pools in the order in which the reader's cursors walk them.
class Encoder {
public:
  explicit Encoder(const Plan &plan) : plan(plan) {}
  std::vector<uint8_t> run();

private:
  uint32_t addText(const std::string &part) {
    text.insert(text.end(), part.begin(), part.end());
    return static_cast<uint32_t>(part.size());
  }
  uint32_t addIndices(const std::vector<uint32_t> &part) {
    indices.insert(indices.end(), part.begin(), part.end());
    return static_cast<uint32_t>(part.size());
  }
  uint32_t addInts(const std::vector<int64_t> &part) {
    ints.insert(ints.end(), part.begin(), part.end());
    return static_cast<uint32_t>(part.size());
  }
  uint32_t addFloats(const std::vector<double> &part) {
    floats.insert(floats.end(), part.begin(), part.end());
    return static_cast<uint32_t>(part.size());
  }
  template <class E> static uint32_t count(const std::vector<E> &part) {
    return static_cast<uint32_t>(part.size());
  }

  fb::ModelRecord encodeModel();
  fb::TotalsRecord encodeTotals() const;
  void encodeEntry(const Entry &entry);
  void encodePort(const Port &port);
  void encodeStep(const Step &step);
  void encodeTable(flatbuffers::FlatBufferBuilder &builder);

  const Plan &plan;
  std::vector<fb::SegmentRecord> segments;
  std::vector<fb::BufferRecord> buffers;
  std::vector<fb::CarriedRecord> carried;
  std::vector<fb::StateRecord> states;
  std::vector<fb::EntryRecord> entries;
  std::vector<fb::SymbolRecord> symbols;
  std::vector<fb::ExprRecord> exprs;
  std::vector<fb::PortRecord> ports;
  std::vector<fb::DerivedRecord> derived;
  std::vector<fb::StepRecord> steps;
  std::vector<fb::OperandRecord> operands;
  std::vector<fb::ConstantRecord> constants;
  std::vector<uint32_t> indices;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<uint8_t> text;
};

} // namespace

fb::ModelRecord Encoder::encodeModel() {
  // One statement each: the order of evaluation is the order of the pools.
  uint32_t eos = addInts(plan.eosTokens);
  uint32_t producer = addText(plan.producer);
  uint32_t modelName = addText(plan.modelName);
  uint32_t target = addText(plan.target);
  uint32_t arch = addText(plan.arch);
  uint32_t options = addText(plan.options);
  uint32_t weightsFile = addText(plan.weightsFile);
  return fb::ModelRecord(plan.weightsId[0], plan.weightsId[1], plan.context,
                         plan.batch, plan.vocabulary, plan.bosToken, eos,
                         producer, modelName, target, arch, options,
                         weightsFile);
}

fb::TotalsRecord Encoder::encodeTotals() const {
  const Totals &t = plan.totals;
  return fb::TotalsRecord(
      t.budgetBytes, t.deviceBytes, t.arenaBytes, t.residentWeightBytes,
      t.stateBytes, t.stagingBytes, t.workspaceBytes, t.activationPeakBytes,
      t.constantBytes, t.reserveBytes, t.lowerBoundBytes, t.minimumBytes,
      t.hostBytes, t.diskBytes, t.weightsBytes);
}

void Encoder::encodePort(const Port &port) {
  uint32_t nameBytes = addText(port.name);
  uint32_t numDims = addIndices(port.dims);
  ports.emplace_back(nameBytes, port.buffer, numDims, port.state,
                     static_cast<uint8_t>(port.role),
                     static_cast<uint8_t>(port.dtype));
}

void Encoder::encodeStep(const Step &step) {
  uint32_t nameBytes = addText(step.name);
  for (const Operand &operand : step.operands) {
    addIndices(operand.dims);
    operands.emplace_back(operand.offset, operand.buffer,
                          static_cast<uint8_t>(operand.access),
                          static_cast<uint8_t>(operand.dtype),
                          static_cast<uint8_t>(operand.packing),
                          static_cast<uint8_t>(operand.dims.size()));
  }
  uint32_t numParams = addIndices(step.params);
  uint32_t numInts = addInts(step.ints);
  uint32_t numFloats = addFloats(step.floats);
  bool moves = step.kind == StepKind::Restore || step.kind == StepKind::Spill;
  bool swaps = step.kind == StepKind::SwapOut || step.kind == StepKind::SwapIn;
  steps.emplace_back(
      moves ? step.firstBlock : step.sourceOffset, step.targetOffset,
      step.bytes, nameBytes, count(step.operands), numParams, numInts,
      numFloats,
      moves   ? step.state
      : swaps ? step.below
              : step.segment,
      step.buffer, step.event, static_cast<uint16_t>(step.kernel),
      static_cast<uint8_t>(step.kind), static_cast<uint8_t>(step.stream));
}

void Encoder::encodeEntry(const Entry &entry) {
  uint32_t nameBytes = addText(entry.name);
  uint32_t boundByBytes = addText(entry.boundBy);
  for (const Symbol &symbol : entry.symbols) {
    uint32_t symbolBytes = addText(symbol.name);
    symbols.emplace_back(symbol.lower, symbol.upper, symbolBytes,
                         symbol.isPast ? 1 : 0);
  }
  for (const ExprNode &node : entry.exprs) {
    exprs.emplace_back(node.value, node.a, node.b,
                       static_cast<uint8_t>(node.op));
  }
  for (const Port &port : entry.inputs) {
    encodePort(port);
  }
  for (const Port &port : entry.outputs) {
    encodePort(port);
  }
  for (const DerivedInput &input : entry.derived) {
    uint32_t derivedBytes = addText(input.name);
    derived.emplace_back(derivedBytes, static_cast<uint8_t>(input.kind));
  }
  for (const Step &step : entry.steps) {
    encodeStep(step);
  }
  for (const CarriedUse &use : entry.carried) {
    indices.push_back(use.first);
    indices.push_back(use.last);
  }
  entries.emplace_back(
      entry.peakLiveBytes, entry.streamedBytes, entry.predictedSeconds,
      nameBytes, boundByBytes, count(entry.symbols), count(entry.exprs),
      count(entry.inputs), count(entry.outputs), count(entry.derived),
      count(entry.steps), entry.numEvents, entry.newTokens);
}

void Encoder::encodeTable(flatbuffers::FlatBufferBuilder &builder) {
  fb::ModelRecord model = encodeModel();
  fb::TotalsRecord totals = encodeTotals();
  for (const Segment &segment : plan.segments) {
    uint32_t nameBytes = addText(segment.name);
    segments.emplace_back(segment.offset, segment.size, segment.hash[0],
                          segment.hash[1], nameBytes);
  }
  for (const Buffer &buffer : plan.buffers) {
    uint32_t nameBytes = addText(buffer.name);
    buffers.emplace_back(buffer.offset, buffer.size, nameBytes, buffer.entry,
                         buffer.start, buffer.end, buffer.segment,
                         static_cast<uint8_t>(buffer.kind),
                         static_cast<uint8_t>(buffer.tier));
  }
  for (const State &state : plan.states) {
    uint32_t nameBytes = addText(state.name);
    uint32_t outputBytes = addText(state.outputName);
    uint32_t numOuter = addInts(state.outer);
    uint32_t numInner = addInts(state.inner);
    states.emplace_back(state.capacity, state.blockTokens, state.residentBlocks,
                        state.sinkBlocks, state.ringBlocks, nameBytes,
                        outputBytes, state.buffer, numOuter, numInner,
                        state.spill, static_cast<uint8_t>(state.dtype));
  }
  for (const CarriedSlot &slot : plan.carried) {
    carried.emplace_back(slot.sourceOffset, slot.bytes, slot.offset,
                         slot.segment);
  }
  for (const Entry &entry : plan.entries) {
    encodeEntry(entry);
  }
  for (const Plan::ConstantData &constant : plan.constants) {
    constants.emplace_back(constant.bytes.size(), constant.buffer);
  }
  // Children first, the table last, as FlatBuffers wants it.
  auto segmentsAt = builder.CreateVectorOfStructs(segments);
  auto buffersAt = builder.CreateVectorOfStructs(buffers);
  auto statesAt = builder.CreateVectorOfStructs(states);
  auto entriesAt = builder.CreateVectorOfStructs(entries);
  auto symbolsAt = builder.CreateVectorOfStructs(symbols);
  auto exprsAt = builder.CreateVectorOfStructs(exprs);
  auto portsAt = builder.CreateVectorOfStructs(ports);
  auto derivedAt = builder.CreateVectorOfStructs(derived);
  auto stepsAt = builder.CreateVectorOfStructs(steps);
  auto operandsAt = builder.CreateVectorOfStructs(operands);
  auto constantsAt = builder.CreateVectorOfStructs(constants);
  auto indicesAt = builder.CreateVector(indices);
  auto intsAt = builder.CreateVector(ints);
  auto floatsAt = builder.CreateVector(floats);
  auto textAt = builder.CreateVector(text);
  auto carriedAt = builder.CreateVectorOfStructs(carried);
  builder.Finish(fb::CreatePlanTable(
      builder, &model, &totals, segmentsAt, buffersAt, statesAt, entriesAt,
      symbolsAt, exprsAt, portsAt, derivedAt, stepsAt, operandsAt, constantsAt,
      indicesAt, intsAt, floatsAt, textAt, carriedAt));
}

std::vector<uint8_t> Encoder::run() {
  flatbuffers::FlatBufferBuilder builder(1 << 16);
  encodeTable(builder);

  std::vector<uint8_t> file(kPageBytes);
  PlanPage page;
  auto addSection = [&](PlanSection section, const void *data, size_t size) {
    while (file.size() % kSectionAlignment != 0) {
      file.push_back(0);
    }
    page.sections[section] = {file.size(), size};
    const auto *bytes = static_cast<const uint8_t *>(data);
    file.insert(file.end(), bytes, bytes + size);
  };
  addSection(kTableSection, builder.GetBufferPointer(), builder.GetSize());
  std::vector<uint8_t> data;
  for (const Plan::ConstantData &constant : plan.constants) {
    data.insert(data.end(), constant.bytes.begin(), constant.bytes.end());
  }
  addSection(kConstantSection, data.data(), data.size());
  addSection(kTokenizerSection, plan.tokenizer.data(), plan.tokenizer.size());
  std::vector<uint8_t> code = encodeCode(plan.code);
  addSection(kCodeSection, code.data(), code.size());

  std::memcpy(page.magic, kPlanMagic, sizeof(kPlanMagic));
  page.version = kPlanFormatVersion;
  page.pageBytes = kPageBytes;
  page.fileBytes = file.size();
  Hash128 body = hash128(file.data() + kPageBytes, file.size() - kPageBytes);
  page.bodyHash[0] = body.low;
  page.bodyHash[1] = body.high;
  std::copy_n(plan.target.data(),
              std::min(plan.target.size(), sizeof(page.target) - 1),
              page.target);
  std::copy_n(plan.arch.data(),
              std::min(plan.arch.size(), sizeof(page.arch) - 1), page.arch);
  Hash128 head = hashOfPage(&page);
  page.pageHash[0] = head.low;
  page.pageHash[1] = head.high;
  std::memcpy(file.data(), &page, sizeof(page));
  return file;
}

std::vector<uint8_t> encodePlan(const Plan &plan) {
  return Encoder(plan).run();
}

Result<void> writePlan(const Plan &plan, const std::string &path) {
  // What the reader would refuse is not written.
  if (Result<void> valid = validate(plan); !valid) {
    return Error{valid.error().code, path + ": " + valid.error().message};
  }
  std::vector<uint8_t> bytes = encodePlan(plan);
  Result<AtomicFile> file = AtomicFile::create(path, bytes.size());
  if (!file) {
    return file.error();
  }
  if (Result<void> written = file->write(0, bytes); !written) {
    return written;
  }
  return file->commit();
}

} // namespace llmc::plan
