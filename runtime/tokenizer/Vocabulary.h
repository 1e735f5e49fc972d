//===- Vocabulary.h - Looking pieces up -------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_VOCABULARY_H
#define LLMC_RUNTIME_TOKENIZER_VOCABULARY_H

#include "runtime/tokenizer/Spec.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// Text to id: open addressing over a StringTable that outlives it. Of equal
/// strings the one inserted last is found.
class VocabularyIndex {
public:
  void build(const StringTable &strings, const std::vector<uint32_t> &ids);
  /// The id, or kNoToken.
  int32_t find(std::string_view text) const;

private:
  size_t slotOf(std::string_view text) const;
  const StringTable *strings = nullptr;
  std::vector<uint32_t> slots; // id + 1, 0 is free; a power of two of them
};

/// All strings of a set that are prefixes of a text, shortest first.
class PrefixIndex {
public:
  void build(const StringTable &strings, std::vector<uint32_t> ids);
  bool empty() const { return sorted.empty(); }

  /// True if some string begins with this byte.
  bool mayBegin(char byte) const {
    unsigned char c = static_cast<unsigned char>(byte);
    return first[c] != first[c + 1];
  }

  /// Calls `found(id, length)` for each string that `text` begins with.
  template <class Function>
  void forEachPrefix(std::string_view text, Function found) const {
    if (text.empty()) {
      return;
    }
    unsigned char c = static_cast<unsigned char>(text[0]);
    uint32_t low = first[c], high = first[c + 1];
    for (size_t depth = 1; low < high; ++depth) {
      // All of [low, high) share the text's first `depth` bytes.
      if ((*strings)[sorted[low]].size() == depth) {
        // Equal strings: the greatest id counts.
        uint32_t id = sorted[low];
        while (low < high && (*strings)[sorted[low]].size() == depth) {
          id = sorted[low++];
        }
        found(id, depth);
      }
      if (depth >= text.size()) {
        return;
      }
      narrow(static_cast<unsigned char>(text[depth]), depth, low, high);
    }
  }

  /// The longest such string's length, 0 if there is none; its id in `id`.
  size_t longestPrefix(std::string_view text, uint32_t &id) const {
    size_t longest = 0;
    forEachPrefix(text, [&](uint32_t candidate, size_t length) {
      id = candidate;
      longest = length;
    });
    return longest;
  }

private:
  void narrow(unsigned char byte, size_t depth, uint32_t &low,
              uint32_t &high) const;
  const StringTable *strings = nullptr;
  std::vector<uint32_t> sorted;         // by bytes, then by id
  std::array<uint32_t, 257> first = {}; // by first byte
};

/// (left, right) to (rank, merged): open addressing on the pair.
class MergeIndex {
public:
  struct Entry {
    uint64_t key = 0;
    uint32_t rank = 0;
    uint32_t mergedPlusOne = 0; // 0: a free slot
  };
  void build(const std::vector<Merge> &merges);
  const Entry *find(uint32_t left, uint32_t right) const {
    if (entries.empty()) {
      return nullptr;
    }
    uint64_t key = uint64_t(left) << 32 | right;
    for (size_t slot = hash(key);; slot = (slot + 1) & (entries.size() - 1)) {
      const Entry &entry = entries[slot];
      if (entry.mergedPlusOne == 0) {
        return nullptr;
      }
      if (entry.key == key) {
        return &entry;
      }
    }
  }

private:
  size_t hash(uint64_t key) const {
    return (key * 0x9E3779B97F4A7C15u >> 32) & (entries.size() - 1);
  }
  std::vector<Entry> entries;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_VOCABULARY_H
