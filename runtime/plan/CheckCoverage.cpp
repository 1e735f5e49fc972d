//===- CheckCoverage.cpp - What has been written --------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/CheckCoverage.h"

#include "runtime/plan/CheckSwaps.h"
#include "runtime/plan/Validate.h"

#include <algorithm>

namespace llmc::plan {

static Error unsafe(std::string what) {
  return {ErrorCode::PlanUnsafe, std::move(what)};
}

void ByteSet::add(ByteRange range) {
  if (range.begin >= range.end) {
    return;
  }
  auto it = ranges.upper_bound(range.begin);
  if (it != ranges.begin() && std::prev(it)->second >= range.begin) {
    --it;
  }
  while (it != ranges.end() && it->first <= range.end) {
    range.begin = std::min(range.begin, it->first);
    range.end = std::max(range.end, it->second);
    it = ranges.erase(it);
  }
  ranges.emplace(range.begin, range.end);
}

uint64_t ByteSet::endOf(uint64_t byte) const {
  auto it = ranges.upper_bound(byte);
  return it == ranges.begin() ? byte : std::max(byte, std::prev(it)->second);
}

ByteSet ByteSet::within(ByteRange bytes) const {
  ByteSet out;
  for (auto [begin, end] : ranges) {
    out.add({std::max(begin, bytes.begin), std::min(end, bytes.end)});
  }
  return out;
}

Coverage Coverage::within(ByteRange bytes,
                          const EntryPolynomials &polynomials) const {
  Coverage out;
  out.sure = sure.within(bytes);
  Polynomial first(static_cast<int64_t>(bytes.begin));
  Polynomial last(static_cast<int64_t>(bytes.end));
  for (const Range &range : ranges) {
    if (polynomials.atMost(first, range.begin) &&
        polynomials.atMost(range.end, last)) {
      out.ranges.push_back(range);
    }
  }
  for (const Rows &row : rows) {
    std::optional<Polynomial> size =
        Polynomial::multiply(row.period, row.count);
    std::optional<Polynomial> end =
        size
            ? Polynomial::add(Polynomial(static_cast<int64_t>(row.base)), *size)
            : std::nullopt;
    if (end && row.base >= bytes.begin && polynomials.atMost(*end, last)) {
      out.rows.push_back(row);
    }
  }
  return out;
}

void Coverage::addRange(Range range, const EntryPolynomials &polynomials) {
  // What is written in every run, whatever the symbols are.
  std::optional<int64_t> begin = polynomials.upper(range.begin);
  std::optional<int64_t> end = polynomials.lower(range.end);
  if (begin && end && *begin >= 0 && *begin < *end) {
    sure.add({uint64_t(*begin), uint64_t(*end)});
  }
  bool fixed = range.begin.isConstant() && range.end.isConstant();
  if (!fixed &&
      std::find(ranges.begin(), ranges.end(), range) == ranges.end()) {
    ranges.push_back(std::move(range));
  }
}

void Coverage::addRow(const Writing &writing,
                      const EntryPolynomials &polynomials) {
  auto it = std::find_if(rows.begin(), rows.end(), [&](const Rows &r) {
    return r.base == writing.base && r.period == writing.period &&
           r.count == writing.count;
  });
  if (it == rows.end()) {
    it = rows.insert(rows.end(), {writing.base, writing.period, writing.count});
  }
  it->apart.push_back({writing.begin, writing.end});
  // From the start of a row on, as far as the pieces reach.
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t i = 0; i < it->apart.size(); ++i) {
      Range &piece = it->apart[i];
      bool isInside = polynomials.atMost(piece.end, it->reached);
      if (isInside || (polynomials.atMost(piece.begin, it->reached) &&
                       polynomials.atMost(it->reached, piece.end))) {
        it->reached = isInside ? it->reached : std::move(piece.end);
        it->apart.erase(it->apart.begin() + static_cast<ptrdiff_t>(i));
        moved = true;
        break;
      }
    }
  }
  if (polynomials.atMost(it->period, it->reached)) {
    std::optional<Polynomial> size =
        Polynomial::multiply(it->period, it->count);
    Polynomial base(static_cast<int64_t>(it->base));
    std::optional<Polynomial> end =
        size ? Polynomial::add(base, *size) : std::nullopt;
    if (end) {
      addRange({base, std::move(*end)}, polynomials);
    }
  }
}

void Coverage::add(const Writing &writing,
                   const EntryPolynomials &polynomials) {
  if (writing.inRows) {
    addRow(writing, polynomials);
  } else {
    addRange({writing.begin, writing.end}, polynomials);
  }
}

std::optional<Polynomial>
Coverage::missing(uint64_t begin, const Polynomial &size,
                  const EntryPolynomials &polynomials) const {
  Polynomial reached(static_cast<int64_t>(begin));
  std::optional<Polynomial> target = Polynomial::add(reached, size);
  if (!target) {
    return reached;
  }
  std::vector<bool> used(ranges.size());
  for (bool moved = true; moved;) {
    if (polynomials.atMost(*target, reached)) {
      return std::nullopt;
    }
    moved = false;
    // All bytes that `reached` may stand for, and what follows them.
    std::optional<int64_t> low = polynomials.lower(reached);
    std::optional<int64_t> high = polynomials.upper(reached);
    if (low && high && *low >= 0) {
      uint64_t end = sure.endOf(uint64_t(*low));
      if (end > uint64_t(*high)) {
        reached = Polynomial(static_cast<int64_t>(end));
        moved = true;
        continue;
      }
    }
    for (bool toTheEnd : {true, false}) {
      for (size_t i = 0; i < ranges.size() && !moved; ++i) {
        if (!used[i] && polynomials.atMost(ranges[i].begin, reached) &&
            polynomials.atMost(toTheEnd ? *target : reached, ranges[i].end)) {
          reached = ranges[i].end;
          used[i] = moved = true;
        }
      }
    }
  }
  return reached;
}

Result<void> checkInitialized(const Plan &plan, uint32_t entryIndex,
                              const EntryPolynomials &polynomials,
                              const StepRanges &ranges) {
  const Entry &entry = plan.entries[entryIndex];
  std::vector<Coverage> written(plan.buffers.size());
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const Buffer &buffer = plan.buffers[i];
    if (buffer.kind == BufferKind::Weight && buffer.segment != kNone) {
      written[i].add({0, plan.segments[buffer.segment].size});
    }
  }
  for (const Plan::ConstantData &constant : plan.constants) {
    written[constant.buffer].add({0, constant.bytes.size()});
  }
  for (size_t i = 0; i < plan.carried.size(); ++i) {
    written[entry.carried[i].first].add({0, plan.carried[i].bytes});
  }
  auto sizeOf = [&](const Port &port) {
    return tensorSize(polynomials, port.dtype, port.dims)
        .value_or(Polynomial(INT64_MAX)); // never written as a whole
  };
  for (const Port &port : entry.inputs) {
    if (port.role != PortRole::State) {
      written[port.buffer].add(Writing{{}, sizeOf(port)}, polynomials);
    }
  }
  for (size_t i = 0; i < entry.steps.size(); ++i) {
    for (const TouchedRange &range : ranges[i]) {
      const Buffer &buffer = plan.buffers[range.buffer];
      if (!range.reads || range.holdsTokens || isSwap(entry.steps[i]) ||
          buffer.kind == BufferKind::State) {
        continue;
      }
      Polynomial atBound(
          static_cast<int64_t>(range.bytes.end - range.bytes.begin));
      std::optional<Polynomial> at = written[range.buffer].missing(
          range.bytes.begin, range.size.value_or(atBound), polynomials);
      if (at) {
        return unsafe(describeStep(entry, i) + ": reads bytes [" +
                      std::to_string(range.bytes.begin) + ", " +
                      std::to_string(range.bytes.end) + ") of buffer '" +
                      buffer.name + "', but byte " + polynomials.text(*at) +
                      " was never written");
      }
    }
    const Step &step = entry.steps[i];
    if (isSwap(step)) {
      // Whatever was written comes along, and nothing else: checkSwaps() has
      // seen that nothing was in the place before.
      uint32_t from = step.buffer, to = step.below;
      if (step.kind == StepKind::SwapIn) {
        std::swap(from, to);
      }
      written[to] = written[from].within(
          {step.targetOffset, step.targetOffset + step.bytes}, polynomials);
      continue;
    }
    for (const TouchedRange &range : ranges[i]) {
      if (range.written) {
        written[range.buffer].add(*range.written, polynomials);
      }
    }
  }
  for (const Port &port : entry.outputs) {
    if (port.role == PortRole::State) {
      continue;
    }
    std::optional<Polynomial> at =
        written[port.buffer].missing(0, sizeOf(port), polynomials);
    if (at) {
      return unsafe("entry '" + entry.name + "': byte " +
                    polynomials.text(*at) + " of output '" + port.name +
                    "' (buffer '" + plan.buffers[port.buffer].name +
                    "') is never written");
    }
  }
  return {};
}

} // namespace llmc::plan
