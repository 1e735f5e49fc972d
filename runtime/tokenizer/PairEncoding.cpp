//===- PairEncoding.cpp - Byte-pair encoding ------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Models.h"
#include "runtime/tokenizer/Unicode.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace llmc::tokenizer {

namespace {

/// A doubly linked list in an array: merging is O(1) and keeps positions.
struct Links {
  int64_t previous;
  int64_t next;
};

struct MergeSymbol {
  int32_t id;
  bool gone;
  Links at;
};

struct MergeCandidate {
  uint32_t rank;
  int32_t merged;
  int64_t left;
  /// Greater is better in std::push_heap: the lowest rank, then the leftmost.
  bool operator<(const MergeCandidate &other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

struct ScoreSymbol {
  std::string_view text;
  bool frozen; // a user-defined symbol is never merged
  Links at;
};

struct ScoreCandidate {
  double score;
  int64_t left;
  int64_t right;
  size_t size;
  bool operator<(const ScoreCandidate &other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

template <class Candidate> class Heap {
public:
  void push(Candidate candidate) {
    items.push_back(candidate);
    std::push_heap(items.begin(), items.end());
  }
  Candidate pop() {
    std::pop_heap(items.begin(), items.end());
    Candidate top = items.back();
    items.pop_back();
    return top;
  }
  bool empty() const { return items.empty(); }

private:
  std::vector<Candidate> items;
};

/// Takes `right` out of the list.
template <class Symbol>
void unlink(std::vector<Symbol> &symbols, int64_t left, int64_t right) {
  symbols[left].at.next = symbols[right].at.next;
  if (symbols[right].at.next >= 0) {
    symbols[symbols[right].at.next].at.previous = left;
  }
}

} // namespace

int32_t Model::findCharacter(std::string_view character, bool isFirst,
                             bool isLast) const {
  bool prefixed = !isFirst && !spec->continuingPrefix.empty();
  bool suffixed = isLast && !spec->endOfWordSuffix.empty();
  if (!prefixed && !suffixed) {
    return find(character);
  }
  std::string spelled = prefixed ? spec->continuingPrefix : std::string();
  spelled += character;
  if (suffixed) {
    spelled += spec->endOfWordSuffix;
  }
  return find(spelled);
}

void Model::encodeMerges(std::string_view word,
                         std::vector<int32_t> &out) const {
  if (spec->ignoreMerges) {
    if (int32_t id = find(word); id != kNoToken) {
      out.push_back(id);
      return;
    }
  }
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  bool unknownWaits = false;
  for (size_t at = 0; at < word.size();) {
    size_t length = utf8LengthByLead(static_cast<unsigned char>(word[at]));
    std::string_view character = word.substr(at, length);
    bool isLast = at + length >= word.size();
    int32_t id = findCharacter(character, at == 0, isLast);
    at += length;
    if (id != kNoToken) {
      if (std::exchange(unknownWaits, false)) {
        ids.push_back(spec->unknown);
      }
      ids.push_back(id);
      continue;
    }
    // The original does not write a waiting unknown out before byte tokens
    // either: it comes after them.
    if (spec->byteFallback && appendBytes(character, ids)) {
      continue;
    }
    if (spec->unknown != kNoToken) {
      if (unknownWaits && !spec->fuseUnknown) {
        ids.push_back(spec->unknown);
      }
      unknownWaits = true;
    }
  }
  if (unknownWaits) {
    ids.push_back(spec->unknown);
  }
  if (ids.size() < 2) {
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }

  std::vector<MergeSymbol> symbols(ids.size());
  Heap<MergeCandidate> heap;
  auto offer = [&](int64_t left, int64_t right) {
    if (left < 0 || right < 0) {
      return;
    }
    if (const MergeIndex::Entry *entry =
            merges.find(symbols[left].id, symbols[right].id)) {
      heap.push(
          {entry->rank, static_cast<int32_t>(entry->mergedPlusOne - 1), left});
    }
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t here = static_cast<int64_t>(i);
    symbols[i] = {
        ids[i], false, {here - 1, i + 1 < ids.size() ? here + 1 : -1}};
  }
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    offer(static_cast<int64_t>(i), static_cast<int64_t>(i + 1));
  }
  while (!heap.empty()) {
    MergeCandidate top = heap.pop();
    int64_t right = symbols[top.left].at.next;
    if (symbols[top.left].gone || right < 0) {
      continue;
    }
    // Stale if the neighbours have changed since it was offered.
    const MergeIndex::Entry *entry =
        merges.find(symbols[top.left].id, symbols[right].id);
    if (!entry ||
        static_cast<int32_t>(entry->mergedPlusOne - 1) != top.merged) {
      continue;
    }
    symbols[top.left].id = top.merged;
    symbols[right].gone = true;
    unlink(symbols, top.left, right);
    offer(symbols[top.left].at.previous, top.left);
    offer(top.left, symbols[top.left].at.next);
  }
  for (int64_t i = 0; i >= 0; i = symbols[i].at.next) {
    out.push_back(symbols[i].id);
  }
}

void Model::encodeScores(std::string_view text,
                         std::vector<Segment> &out) const {
  std::vector<ScoreSymbol> symbols;
  symbols.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    uint32_t ignored = 0;
    size_t length = userDefinedPieces.longestPrefix(text.substr(at), ignored);
    bool frozen = length != 0;
    if (!frozen) {
      length = std::min<size_t>(
          utf8LengthByLead(static_cast<unsigned char>(text[at])),
          text.size() - at);
    }
    int64_t here = static_cast<int64_t>(symbols.size());
    bool isLast = at + length == text.size();
    symbols.push_back({text.substr(at, length),
                       frozen,
                       {here - 1, isLast ? int64_t(-1) : here + 1}});
    at += length;
  }
  if (symbols.empty()) {
    return;
  }

  Heap<ScoreCandidate> heap;
  // How an unused piece was made, to take it apart again.
  std::unordered_map<std::string_view,
                     std::pair<std::string_view, std::string_view>>
      parts;
  auto offer = [&](int64_t left, int64_t right) {
    if (left < 0 || right < 0 || symbols[left].frozen ||
        symbols[right].frozen) {
      return;
    }
    std::string_view joined(symbols[left].text.data(),
                            symbols[left].text.size() +
                                symbols[right].text.size());
    int32_t id = normal.find(joined);
    if (id == kNoToken) {
      return;
    }
    heap.push({spec->scores[id], left, right, joined.size()});
    if (hasUnused && kind(id) == PieceKind::Unused) {
      parts[joined] = {symbols[left].text, symbols[right].text};
    }
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    offer(static_cast<int64_t>(i), static_cast<int64_t>(i + 1));
  }
  while (!heap.empty()) {
    ScoreCandidate top = heap.pop();
    ScoreSymbol &left = symbols[top.left], &right = symbols[top.right];
    if (left.text.empty() || right.text.empty() ||
        left.text.size() + right.text.size() != top.size) {
      continue;
    }
    left.text = {left.text.data(), top.size};
    right.text = {};
    unlink(symbols, top.left, top.right);
    offer(left.at.previous, top.left);
    offer(top.left, left.at.next);
  }

  std::vector<std::string_view> todo;
  for (int64_t i = 0; i >= 0; i = symbols[i].at.next) {
    todo.push_back(symbols[i].text);
    while (!todo.empty()) {
      std::string_view piece = todo.back();
      todo.pop_back();
      int32_t id = find(piece);
      if (id != kNoToken && kind(id) == PieceKind::Unused) {
        if (auto it = parts.find(piece); it != parts.end()) {
          todo.push_back(it->second.second);
          todo.push_back(it->second.first);
          continue;
        }
      }
      out.push_back({piece, id == kNoToken ? spec->unknown : id});
    }
  }
}

} // namespace llmc::tokenizer
