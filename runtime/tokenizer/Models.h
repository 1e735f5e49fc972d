//===- Models.h - Words to token ids ----------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The models proper: byte-pair encoding by ranked merges (Sennrich et al.
// 2016, as in Hugging Face's tokenizers) or by piece scores (sentencepiece),
// and the unigram language model (Kudo 2018). Both pair encodings keep their
// candidates in a heap: n log n in the length of a word.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_MODELS_H
#define LLMC_RUNTIME_TOKENIZER_MODELS_H

#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Vocabulary.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// Lookup structures over a Spec, which outlives them. Ids inside the Spec
/// have been checked to be in range.
class Model {
public:
  void build(const Spec &spec);

  /// Appends the ids of one word (tokenizer.json) or of a whole normalized
  /// text (sentencepiece). `word` is valid UTF-8.
  void encode(std::string_view word, std::vector<int32_t> &out) const;

  /// The id of a piece by its text, special pieces before normal ones.
  int32_t find(std::string_view piece) const;

  /// User-defined pieces of sentencepiece, which normalization leaves alone.
  const PrefixIndex &userDefined() const { return userDefinedPieces; }

private:
  struct Segment {
    std::string_view text;
    int32_t id;
  };

  void encodeMerges(std::string_view word, std::vector<int32_t> &out) const;
  void encodeScores(std::string_view text, std::vector<Segment> &out) const;
  template <class Float>
  void viterbi(std::string_view text, std::vector<Segment> &out) const;
  void emitSentencePiece(const std::vector<Segment> &segments,
                         std::vector<int32_t> &out) const;
  void emitUnigram(const std::vector<Segment> &segments,
                   std::vector<int32_t> &out) const;
  bool appendBytes(std::string_view text, std::vector<int32_t> &out) const;
  int32_t findCharacter(std::string_view character, bool isFirst,
                        bool isLast) const;
  PieceKind kind(uint32_t id) const {
    return static_cast<PieceKind>(spec->kinds[id]);
  }

  const Spec *spec = nullptr;
  VocabularyIndex reserved; // sentencepiece: control, unknown and byte pieces
  VocabularyIndex normal;
  MergeIndex merges;
  PrefixIndex prefixes; // unigram only
  PrefixIndex userDefinedPieces;
  std::array<int32_t, 256> byteIds{};
  bool hasUnused = false;
  double minScore = 0;
  double maxScore = 0;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_MODELS_H
