//===- Models.cpp - What the models share, and the unigram model ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Models.h"

#include "runtime/tokenizer/Unicode.h"

#include <algorithm>
#include <cstdio>
#include <limits>

namespace llmc::tokenizer {

void Model::build(const Spec &source) {
  spec = &source;
  std::vector<uint32_t> normalIds, reservedIds, userIds;
  // Extremes are those of the pieces that compete by score.
  minScore = std::numeric_limits<float>::max();
  maxScore = std::numeric_limits<float>::lowest();
  for (uint32_t id = 0; id < spec->pieces.size(); ++id) {
    PieceKind pieceKind = kind(id);
    switch (pieceKind) {
    case PieceKind::Absent:
      continue;
    case PieceKind::Unknown:
    case PieceKind::Control:
    case PieceKind::Byte:
      reservedIds.push_back(id);
      break;
    case PieceKind::UserDefined:
      userIds.push_back(id);
      normalIds.push_back(id);
      break;
    case PieceKind::Unused:
      hasUnused = true;
      normalIds.push_back(id);
      break;
    case PieceKind::Normal:
      normalIds.push_back(id);
      break;
    }
    if (pieceKind == PieceKind::Normal && !spec->scores.empty()) {
      minScore = std::min(minScore, spec->scores[id]);
      maxScore = std::max(maxScore, spec->scores[id]);
    }
  }
  normal.build(spec->pieces, normalIds);
  reserved.build(spec->pieces, reservedIds);
  userDefinedPieces.build(spec->pieces, userIds);
  if (spec->model == ModelKind::MergeBpe) {
    merges.build(spec->merges);
  }
  if (spec->model == ModelKind::Unigram ||
      spec->model == ModelKind::SentencePieceUnigram) {
    prefixes.build(spec->pieces, normalIds);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    byteIds[byte] = find(name);
  }
}

int32_t Model::find(std::string_view piece) const {
  int32_t id = reserved.find(piece);
  return id != kNoToken ? id : normal.find(piece);
}

bool Model::appendBytes(std::string_view text,
                        std::vector<int32_t> &out) const {
  for (unsigned char byte : text) {
    if (byteIds[byte] == kNoToken) {
      return false;
    }
  }
  for (unsigned char byte : text) {
    out.push_back(byteIds[byte]);
  }
  return true;
}

void Model::encode(std::string_view word, std::vector<int32_t> &out) const {
  if (word.empty()) {
    return;
  }
  std::vector<Segment> segments;
  switch (spec->model) {
  case ModelKind::MergeBpe:
    encodeMerges(word, out);
    return;
  case ModelKind::ScoreBpe:
    encodeScores(word, segments);
    emitSentencePiece(segments, out);
    return;
  case ModelKind::Unigram:
    viterbi<double>(word, segments);
    emitUnigram(segments, out);
    return;
  case ModelKind::SentencePieceUnigram:
    viterbi<float>(word, segments);
    emitSentencePiece(segments, out);
    return;
  }
}

/// The best path through all segmentations. `Float` is the type the original
/// keeps its sums in; with another one, ties fall differently.
template <class Float>
void Model::viterbi(std::string_view text, std::vector<Segment> &out) const {
  struct Node {
    int32_t id = kNoToken;
    Float score = 0;
    size_t begin = std::string_view::npos;
  };
  constexpr double kUnknownPenalty = 10.0;
  const Float unknownScore =
      static_cast<Float>(minScore) - static_cast<Float>(kUnknownPenalty);
  std::vector<Node> bestAt(text.size() + 1);
  auto relax = [&](size_t begin, size_t length, int32_t id, Float score) {
    Node &node = bestAt[begin + length];
    Float candidate = score + bestAt[begin].score;
    if (node.begin == std::string_view::npos || candidate > node.score) {
      node = {id, candidate, begin};
    }
  };
  for (size_t begin = 0; begin < text.size();) {
    size_t character = std::min<size_t>(
        utf8LengthByLead(static_cast<unsigned char>(text[begin])),
        text.size() - begin);
    bool single = false;
    prefixes.forEachPrefix(text.substr(begin), [&](uint32_t id, size_t length) {
      if (kind(id) == PieceKind::Unused) {
        return;
      }
      // A user-defined piece always wins: the bonus grows with its length.
      double score = kind(id) == PieceKind::UserDefined
                         ? static_cast<double>(length) * maxScore - 0.1
                         : spec->scores[id];
      relax(begin, length, static_cast<int32_t>(id), static_cast<Float>(score));
      single |= length == character;
    });
    if (!single) {
      relax(begin, character, spec->unknown, unknownScore);
    }
    begin += character;
  }
  size_t first = out.size();
  for (size_t end = text.size(); end > 0;) {
    const Node &node = bestAt[end];
    out.push_back({text.substr(node.begin, end - node.begin), node.id});
    end = node.begin;
  }
  std::reverse(out.begin() + first, out.end());
}

void Model::emitSentencePiece(const std::vector<Segment> &segments,
                              std::vector<int32_t> &out) const {
  bool previousUnknown = false;
  for (const Segment &segment : segments) {
    bool isUnknown = segment.id == spec->unknown;
    if (!isUnknown) {
      out.push_back(segment.id);
    } else if (spec->byteFallback && appendBytes(segment.text, out)) {
      // The bytes stand for it.
    } else if (!previousUnknown && spec->unknown != kNoToken) {
      out.push_back(spec->unknown); // a run of unknowns is one token
    }
    previousUnknown = isUnknown;
  }
}

void Model::emitUnigram(const std::vector<Segment> &segments,
                        std::vector<int32_t> &out) const {
  for (size_t i = 0; i < segments.size(); ++i) {
    std::string_view text = segments[i].text;
    if (segments[i].id == spec->unknown) {
      // A run of unknowns is one token; its text may still be a piece.
      while (spec->fuseUnknown && i + 1 < segments.size() &&
             segments[i + 1].id == spec->unknown) {
        ++i;
        text = {text.data(), text.size() + segments[i].text.size()};
      }
    }
    if (int32_t id = find(text); id != kNoToken) {
      out.push_back(id);
    } else if (spec->byteFallback && appendBytes(text, out)) {
      // The bytes stand for it.
    } else if (spec->unknown != kNoToken) {
      out.push_back(spec->unknown);
    }
  }
}

} // namespace llmc::tokenizer
