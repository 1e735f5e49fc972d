//===- Component.cpp - One component, in units -----------------*- C++ -*-===//

#include "passes/solver/Search.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace llmc::solver {

namespace {

/// The largest unit of which all sizes and fixed offsets are multiples, and
/// that every alignment divides or is a multiple of.
uint64_t commonUnit(const Problem &problem,
                    const std::vector<uint32_t> &members) {
  uint64_t unit = 0;
  for (uint32_t member : members) {
    const Buffer &buffer = problem.buffers[member];
    unit = std::gcd(unit, buffer.size);
    unit = std::gcd(unit, buffer.fixed.value_or(0));
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t member : members) {
      uint64_t alignment = problem.buffers[member].alignment;
      if (unit % alignment != 0 && alignment % unit != 0) {
        unit = std::gcd(unit, alignment);
        changed = true;
      }
    }
  }
  return unit;
}

} // namespace

Component::Component(const Problem &problem, const Timeline &timeline,
                     std::vector<uint32_t> ofProblem)
    : members(std::move(ofProblem)), unit(commonUnit(problem, members)) {
  size_t count = members.size();
  uint32_t firstSection = UINT32_MAX;
  uint32_t endSection = 0;
  for (uint32_t member : members) {
    firstSection = std::min(firstSection, timeline.ranges(member)[0].begin);
    endSection = std::max(endSection, timeline.ranges(member).back().end);
  }
  sections = endSection - firstSection;

  std::vector<std::vector<uint32_t>> starting(sections);
  std::vector<std::vector<uint32_t>> covering(sections);
  std::vector<Units> load(sections, 0);
  using Key = std::tuple<Units, Units, std::vector<std::pair<int, int>>>;
  std::map<Key, uint32_t> firstOfKind;
  for (uint32_t i = 0; i < count; ++i) {
    const Buffer &buffer = problem.buffers[members[i]];
    size.push_back(Units(buffer.size / unit));
    alignment.push_back(Units(std::max<uint64_t>(1, buffer.alignment / unit)));
    fixed.push_back(buffer.fixed ? Units(*buffer.fixed / unit) : -1);
    Units steps = Units(buffer.end) - Units(buffer.start);
    length.push_back(steps);
    ranges.emplace_back();
    Key key{size[i], alignment[i], {}};
    for (SectionRange range : timeline.ranges(members[i])) {
      range.begin -= firstSection;
      range.end -= firstSection;
      ranges[i].push_back(range);
      std::get<2>(key).push_back({int(range.begin), int(range.end)});
      for (uint32_t s = range.begin; s < range.end; ++s) {
        load[s] += size[i];
        bound = std::max(bound, load[s]);
        covering[s].push_back(i);
      }
      starting[range.begin].push_back(i);
    }
    if (buffer.fixed) {
      bound = std::max(bound, fixed[i] + size[i]);
      twinOf.push_back(i);
    } else {
      twinOf.push_back(firstOfKind.emplace(std::move(key), i).first->second);
    }
  }

  neighbours.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    std::vector<uint32_t> &list = neighbours[i];
    for (const SectionRange &range : ranges[i]) {
      list.insert(list.end(), covering[range.begin].begin(),
                  covering[range.begin].end());
      for (uint32_t s = range.begin + 1; s < range.end; ++s) {
        list.insert(list.end(), starting[s].begin(), starting[s].end());
      }
    }
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    list.erase(std::find(list.begin(), list.end(), i));
  }
}

} // namespace llmc::solver
