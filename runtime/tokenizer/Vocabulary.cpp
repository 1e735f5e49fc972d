//===- Vocabulary.cpp - Looking pieces up ---------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Vocabulary.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace llmc::tokenizer {

static size_t tableSize(size_t count) {
  return std::bit_ceil(std::max<size_t>(8, count * 2));
}

size_t VocabularyIndex::slotOf(std::string_view text) const {
  size_t mask = slots.size() - 1;
  size_t slot = std::hash<std::string_view>()(text) & mask;
  while (slots[slot] != 0 && (*strings)[slots[slot] - 1] != text) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

void VocabularyIndex::build(const StringTable &table,
                            const std::vector<uint32_t> &ids) {
  strings = &table;
  slots.assign(tableSize(ids.size()), 0);
  for (uint32_t id : ids) {
    slots[slotOf(table[id])] = id + 1;
  }
}

int32_t VocabularyIndex::find(std::string_view text) const {
  if (slots.empty()) {
    return kNoToken;
  }
  return static_cast<int32_t>(slots[slotOf(text)]) - 1;
}

void PrefixIndex::build(const StringTable &table, std::vector<uint32_t> ids) {
  strings = &table;
  std::erase_if(ids, [&](uint32_t id) { return table[id].empty(); });
  std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
    int order = table[a].compare(table[b]);
    return order != 0 ? order < 0 : a < b;
  });
  sorted = std::move(ids);
  first.fill(0);
  for (uint32_t id : sorted) {
    ++first[static_cast<unsigned char>(table[id][0]) + 1];
  }
  for (size_t i = 1; i < first.size(); ++i) {
    first[i] += first[i - 1];
  }
}

void PrefixIndex::narrow(unsigned char byte, size_t depth, uint32_t &low,
                         uint32_t &high) const {
  auto byteAt = [&](uint32_t id) {
    return static_cast<unsigned char>((*strings)[id][depth]);
  };
  auto begin = sorted.begin() + low, end = sorted.begin() + high;
  auto lower =
      std::lower_bound(begin, end, byte, [&](uint32_t id, unsigned char value) {
        return byteAt(id) < value;
      });
  auto upper =
      std::upper_bound(lower, end, byte, [&](unsigned char value, uint32_t id) {
        return value < byteAt(id);
      });
  low = static_cast<uint32_t>(lower - sorted.begin());
  high = static_cast<uint32_t>(upper - sorted.begin());
}

void MergeIndex::build(const std::vector<Merge> &merges) {
  entries.assign(tableSize(merges.size()), Entry());
  size_t mask = entries.size() - 1;
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const Merge &merge = merges[rank];
    uint64_t key = uint64_t(merge.left) << 32 | merge.right;
    size_t slot = hash(key);
    while (entries[slot].mergedPlusOne != 0 && entries[slot].key != key) {
      slot = (slot + 1) & mask;
    }
    // A pair listed twice keeps its last rank, as in the original.
    entries[slot] = {key, rank, merge.merged + 1};
  }
}

} // namespace llmc::tokenizer
