//===- StepModel.cpp - An entry as steps and byte ranges -------*- C++ -*-===//

#include "passes/memory/StepModel.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;

namespace llmc::memory {

using planir::Access;
using planir::ViewAttr;

/// The operands that the kernel's result, `result`, may lie over. This is the
/// planner's table; the checker has one of its own.
static SmallVector<uint32_t> operandsToWriteOver(plan::KernelId kernel,
                                                 size_t operands) {
  using plan::KernelId;
  switch (kernel) {
  case KernelId::Pointwise: {
    SmallVector<uint32_t> all;
    for (uint32_t i = 0; i + 1 < operands; ++i) {
      all.push_back(i);
    }
    return all;
  }
  case KernelId::Softmax:
  case KernelId::LayerNorm:
  case KernelId::RmsNorm:
  case KernelId::Rope:
  case KernelId::Attention: // q
  case KernelId::CumSum:
  case KernelId::Cast:
  case KernelId::ScatterND:
  case KernelId::ScatterElements:
    return {0};
  case KernelId::LinearAdd: // the residual
    return {2};
  default:
    return {};
  }
}

static std::vector<TakeoverCandidate> takeovers(planir::LaunchOp launch) {
  std::vector<TakeoverCandidate> candidates;
  std::optional<plan::KernelId> kernel =
      planir::parseKernel(launch.getKernel());
  SmallVector<ViewAttr> views(launch.operandViews());
  if (!kernel || views.size() < 2 ||
      views.back().getAccess() != Access::Write) {
    return candidates;
  }
  auto result = static_cast<uint32_t>(views.size() - 1);
  ViewAttr out = views[result];
  for (uint32_t i : operandsToWriteOver(*kernel, views.size())) {
    ViewAttr in = views[i];
    TakeoverCandidate candidate{i, result, {}};
    auto bits = [](ViewAttr view) {
      return plan::bitWidth(*plan::parseDType(view.getDtype().getValue()));
    };
    if (in.getAccess() != Access::Read || in.getPanel64()) {
      continue;
    }
    if (bits(in) != bits(out)) {
      candidate.obstacle = "its elements have " + std::to_string(bits(in)) +
                           " bits, those of the result " +
                           std::to_string(bits(out));
    } else if (in.getDims() != out.getDims()) {
      // Leading units do not broadcast.
      SmallVector<Attribute> a(in.getDims().getValue());
      SmallVector<Attribute> b(out.getDims().getValue());
      auto one = IntegerAttr::get(IntegerType::get(launch.getContext(), 64), 1);
      auto strip = [&](SmallVector<Attribute> &dims) {
        while (!dims.empty() && dims.front() == one) {
          dims.erase(dims.begin());
        }
      };
      strip(a);
      strip(b);
      if (a != b || *kernel != plan::KernelId::Pointwise) {
        candidate.obstacle = "it is broadcast";
      }
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

static std::optional<int64_t> constantParam(planir::LaunchOp launch,
                                            size_t index) {
  ArrayAttr params = launch.getParamsAttr();
  if (!params || index >= params.size()) {
    return std::nullopt;
  }
  std::optional<graph::DimExpr> expr = planir::toExpr(params[index]);
  return expr ? expr->asConstant() : std::nullopt;
}

/// Narrows the touches of a contiguous copy to what it moves.
static CopyCandidate copyCandidate(planir::LaunchOp launch, Step &step,
                                   const graph::SymbolBounds &bounds) {
  CopyCandidate copy;
  SmallVector<ViewAttr> views(launch.operandViews());
  std::optional<int64_t> offsetIn = constantParam(launch, 0);
  std::optional<int64_t> offsetOut = constantParam(launch, 1);
  bool dense = launch.getInts() == ArrayRef<int64_t>{1} &&
               constantParam(launch, 3) == 1 && constantParam(launch, 4) == 1;
  if (!dense) {
    copy.obstacle = "it does not move one contiguous piece";
    return copy;
  }
  if (!offsetIn || !offsetOut) {
    copy.obstacle = "its place depends on run-time sizes";
    return copy;
  }
  std::optional<graph::DimExpr> extent =
      planir::toExpr((*launch.getParams())[2]);
  graph::Interval interval =
      extent ? extent->bounds(bounds) : graph::Interval();
  auto bytes = static_cast<uint64_t>(plan::bitWidth(
                   *plan::parseDType(views[0].getDtype().getValue()))) /
               8;
  copy.from = step.touches[0].begin + static_cast<uint64_t>(*offsetIn) * bytes;
  copy.to = step.touches[1].begin + static_cast<uint64_t>(*offsetOut) * bytes;
  uint64_t size = 0;
  if (!interval.hasUpper() ||
      __builtin_mul_overflow(
          static_cast<uint64_t>(std::max<int64_t>(interval.upper, 0)), bytes,
          &size)) {
    copy.obstacle = "its size has no bound";
    return copy;
  }
  for (auto [touch, begin] :
       {std::pair(&step.touches[0], copy.from), {&step.touches[1], copy.to}}) {
    touch->begin = begin;
    touch->end = std::min(begin + size, touch->end);
  }
  step.touches[1].reads = false;
  return copy;
}

StepModel::StepModel(planir::EntryOp entry, const SymbolTable &symbols) {
  graph::SymbolBounds bounds = planir::getBounds(entry);
  llvm::DenseMap<StringAttr, uint32_t> index;
  auto add = [&](planir::BufferOp buffer) {
    auto [it, isNew] =
        index.try_emplace(buffer.getSymNameAttr(), buffers.size());
    if (isNew) {
      buffers.push_back({buffer, buffer.getSize(), buffer.getKind()});
    }
    return it->second;
  };
  auto module = entry->getParentOfType<ModuleOp>();
  for (auto buffer : module.getOps<planir::BufferOp>()) {
    if (buffer.getEntry() == entry.getSymName()) {
      add(buffer);
    }
  }
  for (Operation &op : entry.getBody().front()) {
    Step step;
    step.op = &op;
    auto launch = dyn_cast<planir::LaunchOp>(op);
    if (launch) {
      auto number = static_cast<uint32_t>(steps.size());
      for (auto [i, view] : llvm::enumerate(launch.operandViews())) {
        auto buffer =
            symbols.lookup<planir::BufferOp>(view.getBuffer().getValue());
        Touch touch{number, static_cast<uint32_t>(i), add(buffer)};
        // Without a bound: everything from there on.
        touch.begin = std::min(static_cast<uint64_t>(view.getOffset()),
                               uint64_t(buffer.getSize()));
        std::optional<uint64_t> bytes = buffer.getKind() == planir::Kind::State
                                            ? std::nullopt
                                            : planir::boundBytes(view, bounds);
        touch.end =
            bytes ? std::min<uint64_t>(touch.begin + *bytes, buffer.getSize())
                  : uint64_t(buffer.getSize());
        touch.reads = view.getAccess() != Access::Write;
        touch.writes = view.getAccess() != Access::Read;
        step.touches.push_back(touch);
      }
      step.takeovers = takeovers(launch);
      if (planir::parseKernel(launch.getKernel()) ==
          plan::KernelId::StridedCopy) {
        step.copy = copyCandidate(launch, step, bounds);
      }
    }
    steps.push_back(std::move(step));
  }
}

StepModel StepModel::reordered(ArrayRef<uint32_t> order) const {
  StepModel out = *this;
  for (auto [place, from] : llvm::enumerate(order)) {
    out.steps[place] = steps[from];
    for (Touch &touch : out.steps[place].touches) {
      touch.step = static_cast<uint32_t>(place);
    }
  }
  return out;
}

} // namespace llmc::memory
