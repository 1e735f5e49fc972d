//===- CheckKernels.cpp - What each kernel may touch ----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckKernels.h"

#include "runtime/plan/KernelRules.h"
#include "runtime/plan/Validate.h"

#include <algorithm>
#include <span>

namespace llmc::plan {

static bool multiplyInto(uint64_t &product, uint64_t factor) {
  return !__builtin_mul_overflow(product, factor, &product);
}

/// Bytes of `elements` elements; nullopt if the bits overflow.
static std::optional<uint64_t> elementBytes(uint64_t elements, DType dtype) {
  if (!multiplyInto(elements, bitWidth(dtype)) || elements > INT64_MAX) {
    return std::nullopt;
  }
  return (elements + 7) / 8;
}

std::optional<uint64_t> tensorBytes(const EntryBounds &bounds, DType dtype,
                                    const std::vector<uint32_t> &dims) {
  uint64_t elements = 1;
  bool overflow = false;
  for (uint32_t dim : dims) {
    if (bounds[dim].lower < 0) {
      return std::nullopt;
    }
    overflow |= !multiplyInto(elements, uint64_t(bounds[dim].upper));
  }
  return overflow ? std::nullopt : elementBytes(elements, dtype);
}

std::optional<Polynomial> tensorSize(const EntryPolynomials &polynomials,
                                     DType dtype,
                                     const std::vector<uint32_t> &dims) {
  Polynomial size(1);
  for (uint32_t dim : dims) {
    std::optional<Polynomial> product =
        Polynomial::multiply(size, polynomials[dim]);
    if (!product) {
      return std::nullopt;
    }
    size = std::move(*product);
  }
  int64_t bits = bitWidth(dtype);
  if (size.isConstant()) {
    std::optional<uint64_t> bytes =
        elementBytes(uint64_t(size.constant()), dtype);
    return bytes ? std::optional(Polynomial(int64_t(*bytes))) : std::nullopt;
  }
  return bits % 8 == 0 ? Polynomial::multiply(size, Polynomial(bits / 8))
                       : std::nullopt;
}

uint64_t blocksOf(const State &state) {
  return state.capacity == 0
             ? 0
             : (uint64_t(state.capacity) - 1) / uint64_t(state.blockTokens) + 1;
}

uint64_t placesOf(const State &state) {
  return state.ringBlocks == 0
             ? blocksOf(state)
             : uint64_t(state.sinkBlocks) + uint64_t(state.ringBlocks);
}

int64_t tokensOf(const State &state) {
  return state.ringBlocks == 0 ? state.capacity
                               : int64_t(placesOf(state)) * state.blockTokens;
}

static std::optional<uint64_t> bytesOfBlocks(const State &state,
                                             uint64_t blocks) {
  uint64_t elements = blocks;
  bool good = multiplyInto(elements, uint64_t(state.blockTokens));
  for (const std::vector<int64_t> *dims : {&state.outer, &state.inner}) {
    for (int64_t dim : *dims) {
      good = good && multiplyInto(elements, uint64_t(dim));
    }
  }
  return good ? elementBytes(elements, state.dtype) : std::nullopt;
}

std::optional<uint64_t> blockBytes(const State &state) {
  return bytesOfBlocks(state, 1);
}

std::optional<uint64_t> stateBytes(const State &state) {
  return bytesOfBlocks(state, state.spill == kNone
                                  ? placesOf(state)
                                  : uint64_t(state.residentBlocks) + 1);
}

std::optional<uint64_t> spilledBytes(const State &state) {
  return bytesOfBlocks(state, blocksOf(state) - uint64_t(state.residentBlocks));
}

bool worksOnWindows(const Step &step) {
  return step.kind == StepKind::Launch &&
         ((step.kernel == KernelId::KvAppend && step.ints.size() == 3) ||
          (step.kernel == KernelId::Attention && step.ints.size() == 13));
}

bool windowOperand(const Step &step, size_t index) {
  return worksOnWindows(step) &&
         (step.kernel == KernelId::KvAppend ? index == 1
                                            : index == 1 || index == 2);
}

int64_t firstTokenOf(const Step &step) {
  return step.kernel == KernelId::KvAppend ? step.ints[2] : step.ints[10];
}

/// Whole panels of 64 rows.
static std::optional<uint64_t> panelBytes(const EntryBounds &bounds,
                                          const Operand &operand) {
  if (operand.dims.size() != 2) {
    return std::nullopt;
  }
  Interval n = bounds[operand.dims[0]], k = bounds[operand.dims[1]];
  if (n.lower < 0 || k.lower < 0 || n.upper > INT64_MAX - 64) {
    return std::nullopt;
  }
  uint64_t elements = (uint64_t(n.upper) + 63) / 64 * 64;
  return multiplyInto(elements, uint64_t(k.upper))
             ? elementBytes(elements, operand.dtype)
             : std::nullopt;
}

/// Whether two tensors have the same dimensions in every run, but for leading
/// ones.
static bool sameDims(const EntryBounds &bounds, const Operand &a,
                     const Operand &b) {
  auto dims = [&](const Operand &operand) {
    auto first = std::find_if(
        operand.dims.begin(), operand.dims.end(), [&](uint32_t dim) {
          return bounds[dim].lower != 1 || bounds[dim].upper != 1;
        });
    return std::span(first, operand.dims.end());
  };
  return std::ranges::equal(dims(a), dims(b), [&](uint32_t x, uint32_t y) {
    return bounds.same(x, y);
  });
}

namespace {
struct CopyAxis {
  Polynomial extent, stride;
};
} // namespace

/// Multiplies `length` by the extents of the axes that continue it: first the
/// one whose stride is `length`, and so on. These are removed.
static bool chain(std::vector<CopyAxis> &axes, Polynomial &length) {
  for (size_t i = 0; i < axes.size();) {
    if (axes[i].stride != length) {
      ++i;
      continue;
    }
    std::optional<Polynomial> longer =
        Polynomial::multiply(length, axes[i].extent);
    if (!longer) {
      return false;
    }
    length = std::move(*longer);
    axes.erase(axes.begin() + static_cast<ptrdiff_t>(i));
    i = 0;
  }
  return true;
}

/// What a StridedCopy writes: one run, or one run in each row.
static std::optional<Writing> writtenByCopy(const EntryPolynomials &sizes,
                                            const Step &step) {
  const Operand &out = step.operands[1];
  size_t rank = static_cast<size_t>(step.ints[0]);
  int64_t bits = bitWidth(out.dtype);
  std::vector<CopyAxis> axes;
  for (size_t i = 0; i < rank; ++i) {
    CopyAxis axis{sizes[step.params[2 + i]],
                  sizes[step.params[2 + 2 * rank + i]]};
    if (axis.extent != Polynomial(1)) {
      axes.push_back(std::move(axis));
    }
  }
  Polynomial run(1);
  if (bits % 8 != 0 || !chain(axes, run)) {
    return std::nullopt;
  }
  Polynomial width(bits / 8);
  auto bytes = [&](const Polynomial &elements, uint64_t from) {
    std::optional<Polynomial> scaled = Polynomial::multiply(elements, width);
    return scaled ? Polynomial::add(*scaled, Polynomial(int64_t(from)))
                  : std::nullopt;
  };
  uint64_t from = axes.empty() ? out.offset : 0;
  std::optional<Polynomial> end = Polynomial::add(sizes[step.params[1]], run);
  std::optional<Polynomial> begin = bytes(sizes[step.params[1]], from);
  end = end ? bytes(*end, from) : std::nullopt;
  if (!begin || !end) {
    return std::nullopt;
  }
  if (axes.empty()) {
    return Writing{std::move(*begin), std::move(*end)};
  }
  for (const CopyAxis &row : axes) {
    std::vector<CopyAxis> rest = axes;
    Polynomial whole = row.stride;
    if (!chain(rest, whole) || !rest.empty()) {
      continue;
    }
    Polynomial count(1);
    for (const CopyAxis &axis : axes) {
      std::optional<Polynomial> more = Polynomial::multiply(count, axis.extent);
      if (!more) {
        return std::nullopt;
      }
      count = std::move(*more);
    }
    std::optional<Polynomial> period = bytes(row.stride, 0);
    if (period) {
      return Writing{std::move(*begin), std::move(*end),    true,
                     out.offset,        std::move(*period), std::move(count)};
    }
  }
  return std::nullopt;
}

/// What a product in pieces writes: some columns of each row.
static std::optional<Writing>
writtenColumns(const EntryPolynomials &sizes, const Operand &out,
               const LaunchRules::Columns &columns) {
  int64_t bits = bitWidth(out.dtype);
  Polynomial rows(1);
  for (size_t i = 0; i + 1 < out.dims.size(); ++i) {
    std::optional<Polynomial> more =
        Polynomial::multiply(rows, sizes[out.dims[i]]);
    if (!more) {
      return std::nullopt;
    }
    rows = std::move(*more);
  }
  // The rules hold first + count <= total, which is a dimension of a tensor
  // whose bytes have been multiplied out before.
  auto bytes = [&](uint64_t elements) {
    return static_cast<int64_t>(elements) * bits / 8;
  };
  Polynomial begin(static_cast<int64_t>(out.offset) + bytes(columns.first));
  Polynomial end(static_cast<int64_t>(out.offset) +
                 bytes(columns.first + columns.count));
  if (bits % 8 != 0) {
    return std::nullopt;
  }
  if (rows == Polynomial(1)) {
    return Writing{std::move(begin), std::move(end)};
  }
  return Writing{Polynomial(bytes(columns.first)),
                 Polynomial(bytes(columns.first + columns.count)),
                 true,
                 out.offset,
                 Polynomial(bytes(columns.total)),
                 std::move(rows)};
}

/// One past the last byte, counted from the view's first, that a StridedCopy
/// reads in a run; nullopt if that cannot be followed.
static std::optional<Polynomial> readByCopy(const EntryBounds &bounds,
                                            const EntryPolynomials &sizes,
                                            const Step &step) {
  size_t rank = static_cast<size_t>(step.ints[0]);
  std::optional<Polynomial> end =
      Polynomial::add(sizes[step.params[0]], Polynomial(1));
  for (size_t i = 0; end && i < rank; ++i) {
    uint32_t stride = step.params[2 + rank + i];
    if (bounds[stride].upper <= 0) {
      continue; // its first element is the last one
    }
    std::optional<Polynomial> further =
        Polynomial::add(sizes[step.params[2 + i]], Polynomial(-1));
    further = further && bounds[stride].lower >= 0
                  ? Polynomial::multiply(*further, sizes[stride])
                  : std::nullopt;
    end = further ? Polynomial::add(*end, *further) : std::nullopt;
  }
  int64_t bits = bitWidth(step.operands[0].dtype);
  return end && bits % 8 == 0 ? Polynomial::multiply(*end, Polynomial(bits / 8))
                              : std::nullopt;
}

Result<std::vector<TouchedRange>>
checkLaunch(const Plan &plan, const Entry &entry, const EntryBounds &bounds,
            const EntryPolynomials &sizes, size_t stepIndex) {
  const Step &step = entry.steps[stepIndex];
  auto unsafe = [&](std::string what) {
    return Error{ErrorCode::PlanUnsafe,
                 describeStep(entry, stepIndex) + ": " + std::move(what)};
  };
  auto label = [&](size_t i) {
    return "operand " + std::to_string(i) + " (buffer '" +
           plan.buffers[step.operands[i].buffer].name + "')";
  };

  // Dimensions first: the rules below multiply them.
  std::vector<TouchedRange> touched(step.operands.size());
  for (size_t i = 0; i < step.operands.size(); ++i) {
    const Operand &operand = step.operands[i];
    const Buffer &buffer = plan.buffers[operand.buffer];
    bool isState = buffer.kind == BufferKind::State;
    std::optional<uint64_t> bytes;
    if (isState) {
      // LaunchRules::stateOf compares the operand with it.
      auto state = std::find_if(
          plan.states.begin(), plan.states.end(),
          [&](const State &s) { return s.buffer == operand.buffer; });
      bytes = state == plan.states.end() ? std::nullopt : stateBytes(*state);
    } else if (operand.packing == Packing::Panel64) {
      bytes = panelBytes(bounds, operand);
    } else {
      bytes = tensorBytes(bounds, operand.dtype, operand.dims);
    }
    uint64_t end;
    if (!bytes || __builtin_add_overflow(operand.offset, *bytes, &end)) {
      return unsafe(label(i) + ": its dimensions may be negative or its size " +
                    "overflows");
    }
    if (end > buffer.size) {
      return unsafe(label(i) + " needs bytes [" +
                    std::to_string(operand.offset) + ", " +
                    std::to_string(end) + "), the buffer has " +
                    std::to_string(buffer.size));
    }
    if (operand.offset * 8 % bitWidth(operand.dtype) != 0) {
      return unsafe(label(i) + " starts at byte " +
                    std::to_string(operand.offset) + ", inside an element of " +
                    std::string(name(operand.dtype)));
    }
    if (buffer.tier != Tier::Device) {
      return unsafe(label(i) + " does not lie on the device");
    }
    bool mayBeState =
        (step.kernel == KernelId::KvAppend && i == 1) ||
        (step.kernel == KernelId::KvRead && i == 0) ||
        (step.kernel == KernelId::Attention && (i == 1 || i == 2));
    if (isState && !mayBeState) {
      return unsafe(label(i) + ": this kernel does not know the state's " +
                    "block layout there");
    }
    bool isProduct = step.kernel == KernelId::Linear ||
                     step.kernel == KernelId::LinearAdd ||
                     step.kernel == KernelId::LinearGated ||
                     step.kernel == KernelId::LinearSplit;
    bool mayBePanels =
        (isProduct && i == 1) || (step.kernel == KernelId::Gather && i == 0);
    if (operand.packing == Packing::Panel64 && !mayBePanels) {
      return unsafe(label(i) + " is packed in panels, which this kernel does " +
                    "not read there");
    }
    TouchedRange &range = touched[i];
    range.buffer = operand.buffer;
    range.bytes = {operand.offset, end};
    range.reads = operand.access != Access::Write;
    range.writes = operand.access != Access::Read;
    range.holdsTokens = !isState && windowOperand(step, i);
    if (!isState && operand.packing == Packing::Raw) {
      range.size = tensorSize(sizes, operand.dtype, operand.dims);
    }
    Polynomial begin(int64_t(operand.offset));
    std::optional<Polynomial> last =
        range.size ? Polynomial::add(begin, *range.size) : std::nullopt;
    if (range.writes && last && !range.holdsTokens) {
      range.written = Writing{std::move(begin), std::move(*last)};
    }
  }

  LaunchRules rules(plan, entry, bounds, step);
  if (!rules.check()) {
    return unsafe(rules.problem);
  }
  if (step.kernel == KernelId::Attention && step.ints[1] == 0) {
    for (size_t i : {size_t(1), size_t(2)}) {
      if (plan.buffers[step.operands[i].buffer].kind == BufferKind::State) {
        return unsafe(label(i) + " is a state, but fromState is 0");
      }
    }
  }

  for (size_t i = 0; i < step.operands.size(); ++i) {
    const Operand &operand = step.operands[i];
    bool isOutput = i >= rules.firstOutput;
    // A kernel reads what it is given and writes its results, whatever the
    // plan says about access.
    if (isOutput != (operand.access != Access::Read)) {
      return unsafe(label(i) + (isOutput ? " is a result, but marked as read"
                                         : " is an input, but marked as " +
                                               std::string("written")));
    }
    BufferKind kind = plan.buffers[operand.buffer].kind;
    if (isOutput &&
        (kind == BufferKind::Weight || kind == BufferKind::Constant)) {
      return unsafe(label(i) + " is a weight or constant and must not be " +
                    "written");
    }
    if (kind == BufferKind::State && isOutput &&
        step.kernel != KernelId::KvAppend) {
      return unsafe(label(i) + ": only kv_append writes a state");
    }
  }
  if (step.kernel == KernelId::StridedCopy) {
    // The rule holds at the bounds. In a run the view may be smaller than what
    // the copy reads: then all that it may read must have been written.
    TouchedRange &in = touched[0];
    std::optional<Polynomial> last = readByCopy(bounds, sizes, step);
    if (in.size && !in.size->isConstant() &&
        (!last || !sizes.atMost(*last, *in.size))) {
      in.size = std::nullopt;
    }
    TouchedRange &out = touched[1];
    bool partial = step.operands[1].access == Access::ReadWrite;
    // What it leaves alone may be unwritten yet.
    out.reads = false;
    out.written = writtenByCopy(sizes, step);
    if (partial) {
      out.bytes = {out.bytes.begin + rules.copied->begin,
                   out.bytes.begin + rules.copied->end};
    }
  }

  for (size_t i = 0; i < rules.columns.size(); ++i) {
    const LaunchRules::Columns &columns = rules.columns[i];
    TouchedRange &out = touched[rules.firstOutput + i];
    out.reads = false;
    if (columns.count != columns.total) {
      out.written =
          writtenColumns(sizes, step.operands[rules.firstOutput + i], columns);
    }
  }

  // Results must not lie over other operands, except where the kernel reads an
  // element before it writes the same one. The bounds being equal is not
  // enough for that: an operand that is smaller at run time is broadcast.
  for (size_t out = rules.firstOutput; out < touched.size(); ++out) {
    for (size_t i = 0; i < out; ++i) {
      const TouchedRange &a = touched[i], &b = touched[out];
      if (a.buffer != b.buffer || a.bytes.begin >= b.bytes.end ||
          b.bytes.begin >= a.bytes.end) {
        continue;
      }
      bool same = a.bytes.begin == b.bytes.begin &&
                  a.bytes.end == b.bytes.end &&
                  bitWidth(step.operands[i].dtype) ==
                      bitWidth(step.operands[out].dtype) &&
                  sameDims(bounds, step.operands[i], step.operands[out]);
      if (!same || i >= rules.firstOutput || out != rules.firstOutput ||
          !mayWriteOver(step.kernel, i)) {
        return unsafe("its result " + label(out) + " overwrites " + label(i) +
                      " at bytes [" +
                      std::to_string(std::max(a.bytes.begin, b.bytes.begin)) +
                      ", " +
                      std::to_string(std::min(a.bytes.end, b.bytes.end)) + ")");
      }
    }
  }
  return touched;
}

} // namespace llmc::plan
