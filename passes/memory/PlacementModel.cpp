//===- PlacementModel.cpp - What plan-place decides about ------*- C++ -*-===//

#include "passes/memory/PlacementModel.h"

#include "passes/memory/Layout.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace llmc::memory {

using planir::BufferOp;
using planir::Kind;

static bool alwaysStays(BufferOp buffer, const SymbolTable &symbols) {
  if (buffer.getSize() <= PlacementModel::kTinyWeight) {
    return true;
  }
  auto segment = symbols.lookup<planir::SegmentOp>(*buffer.getSegment());
  auto kind =
      segment ? segment.getPacking().getAs<StringAttr>("kind") : StringAttr();
  bool isMatrix = kind && (kind == "panel64" || kind == "q_codes");
  return buffer.getSize() <= PlacementModel::kSmallWeight && !isMatrix;
}

PlacementModel::PlacementModel(ModuleOp module) {
  SymbolTable symbols(module);
  llvm::DenseMap<StringAttr, uint32_t> weightIndex;
  llvm::DenseMap<StringAttr, uint64_t> weightSize;
  llvm::DenseMap<StringAttr, BufferOp> buffers;
  for (auto buffer : module.getOps<BufferOp>()) {
    buffers[buffer.getSymNameAttr()] = buffer;
    if (buffer.getEntry()) {
      continue;
    }
    if (buffer.getKind() == Kind::Weight) {
      weightSize[buffer.getSymNameAttr()] = buffer.getSize();
      if (!alwaysStays(buffer, symbols)) {
        weightIndex[buffer.getSymNameAttr()] =
            static_cast<uint32_t>(weights.size());
        weights.push_back({buffer, buffer.getSize()});
        continue;
      }
    }
    fixedBytes += padded(buffer.getSize());
  }
  for (auto op : module.getOps<planir::EntryOp>()) {
    EntryInfo entry;
    entry.op = op;
    for (Operation &step : op.getBody().front()) {
      std::vector<uint32_t> read;
      if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
        for (planir::ViewAttr view : launch.operandViews()) {
          StringAttr name = view.getBuffer().getAttr();
          entry.readBytes += weightSize.lookup(name);
          auto it = weightIndex.find(name);
          if (it != weightIndex.end() &&
              !llvm::is_contained(read, it->second)) {
            read.push_back(it->second);
          }
        }
      }
      entry.readers.push_back(std::move(read));
    }
    entry.steps = static_cast<uint32_t>(entry.readers.size());
    // Lifetimes of inputs and outputs reach beyond the steps that touch them;
    // region() adds that again, in the numbers of the new list.
    uint32_t index = 0;
    llvm::DenseMap<StringAttr, std::pair<uint32_t, uint32_t>> touches;
    for (Operation &step : op.getBody().front()) {
      if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
        for (planir::ViewAttr view : launch.operandViews()) {
          auto [it, isNew] = touches.try_emplace(view.getBuffer().getAttr(),
                                                 std::pair(index, index));
          it->second.second = index;
        }
      }
      ++index;
    }
    for (auto buffer : module.getOps<BufferOp>()) {
      if (buffer.getEntry() != op.getSymName()) {
        continue;
      }
      ActivationInfo info;
      info.op = buffer;
      info.size = buffer.getSize();
      auto it = touches.find(buffer.getSymNameAttr());
      if (it != touches.end()) {
        info.touched = true;
        info.first = it->second.first;
        info.last = it->second.second;
      }
      entry.activations.push_back(info);
    }
    entries.push_back(std::move(entry));
  }
}

const EntryInfo *PlacementModel::mainEntry() const {
  for (const EntryInfo &entry : entries) {
    if (planir::EntryOp(entry.op).getSymName() == "decode") {
      return &entry;
    }
  }
  return entries.empty() ? nullptr : &entries.front();
}

StreamSchedule PlacementModel::schedule(const EntryInfo &entry,
                                        const Choice &choice) const {
  StreamSchedule out;
  // The ranges that the previous step with streamed readers left open.
  llvm::SmallDenseMap<uint32_t, std::pair<size_t, size_t>> open;
  for (uint32_t step = 0; step < entry.steps; ++step) {
    llvm::SmallDenseMap<uint32_t, std::pair<size_t, size_t>> now;
    bool streams = false;
    for (uint32_t weight : entry.readers[step]) {
      if (choice.resident[weight]) {
        continue;
      }
      streams = true;
      auto it = open.find(weight);
      if (it != open.end()) {
        auto [group, range] = it->second;
        out.groups[group].ranges[range].last = step;
        now[weight] = it->second;
        continue;
      }
      if (out.groups.empty() || out.groups.back().reader != step) {
        out.groups.push_back({step, step, {}});
      }
      out.groups.back().ranges.push_back({weight, step, step});
      now[weight] = {out.groups.size() - 1,
                     out.groups.back().ranges.size() - 1};
    }
    if (streams) {
      open = std::move(now);
    }
  }
  for (size_t i = 0; choice.depth > 0 && i < out.groups.size(); ++i) {
    out.groups[i].issue =
        i < choice.depth ? 0 : out.groups[i - choice.depth].reader;
  }

  // The new list, in the order in which plan-place writes it.
  uint32_t index = 0;
  size_t issued = 0;
  size_t waited = 0;
  for (uint32_t step = 0; step < entry.steps; ++step) {
    while (issued < out.groups.size() && out.groups[issued].issue == step) {
      index += 2; // signal, wait
      for (size_t i = 0; i < out.groups[issued].ranges.size(); ++i) {
        out.copyIndex.push_back(index++);
      }
      ++index; // signal
      ++issued;
    }
    if (waited < out.groups.size() && out.groups[waited].reader == step) {
      ++index; // wait
      ++waited;
    }
    out.newIndex.push_back(index++);
  }
  out.newSteps = index;
  return out;
}

std::vector<solver::Buffer>
PlacementModel::region(const EntryInfo &entry,
                       const StreamSchedule &schedule) const {
  std::vector<solver::Buffer> buffers;
  for (const ActivationInfo &info : entry.activations) {
    uint32_t start = info.touched ? schedule.newIndex[info.first] : 0;
    uint32_t end = info.touched ? schedule.newIndex[info.last] + 1 : 0;
    Kind kind = BufferOp(info.op).getKind();
    if (kind == Kind::Input) {
      start = 0;
      end = std::max(end, 1u);
    } else if (kind == Kind::Output) {
      end = std::max(schedule.newSteps, 1u);
    }
    buffers.push_back(regionBuffer(info.size, start, end));
  }
  size_t copy = 0;
  for (const StreamGroup &group : schedule.groups) {
    for (const StreamRange &range : group.ranges) {
      buffers.push_back(regionBuffer(weights[range.weight].size,
                                     schedule.copyIndex[copy++],
                                     schedule.newIndex[range.last] + 1));
    }
  }
  return buffers;
}

Evaluation PlacementModel::evaluate(const Choice &choice) const {
  Evaluation out;
  out.shared = fixedBytes;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (choice.resident[i]) {
      out.shared += padded(weights[i].size);
    }
  }
  for (const EntryInfo &entry : entries) {
    StreamSchedule plan = schedule(entry, choice);
    out.region = std::max(out.region, solveRegion(region(entry, plan)).extent);
    uint64_t streamed = 0;
    for (const StreamGroup &group : plan.groups) {
      for (const StreamRange &range : group.ranges) {
        streamed += weights[range.weight].size;
      }
    }
    out.streamed.push_back(streamed);
  }
  out.arena = out.shared + out.region;
  return out;
}

} // namespace llmc::memory
