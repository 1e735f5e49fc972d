//===- Normalizer.h - Text before it is split -------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_NORMALIZER_H
#define LLMC_RUNTIME_TOKENIZER_NORMALIZER_H

#include "runtime/tokenizer/Pattern.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Vocabulary.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// GPT-2's map from bytes to printable characters and back.
/// Appends the characters for `bytes`.
void appendByteMapped(std::string &out, std::string_view bytes);
/// Appends the bytes `mapped` stands for, or `mapped` itself if a character of
/// it stands for none.
void appendByteUnmapped(std::string &out, std::string_view mapped);

/// sentencepiece's precompiled map: a double-array trie (Darts-clone's format)
/// followed by the replacements, each ended by a zero byte.
class CharacterMap {
public:
  static Result<CharacterMap> parse(std::string_view blob);

  struct Match {
    size_t length; ///< bytes of the text that it replaces; 0 for no match
    std::string_view replacement;
  };
  Match shortestPrefix(std::string_view text) const {
    return prefix(text, true);
  }
  Match longestPrefix(std::string_view text) const {
    return prefix(text, false);
  }

private:
  Match prefix(std::string_view text, bool shortest) const;
  std::vector<uint32_t> units;
  std::string replacements;
};

/// The chain of a tokenizer.json's normalizers.
class Normalizer {
public:
  static Result<Normalizer> create(const std::vector<NormalizerOp> &ops);
  std::string apply(std::string text) const;

private:
  struct Step {
    NormalizerOp op;
    std::optional<Pattern> pattern;
    std::optional<CharacterMap> map;
  };
  std::vector<Step> steps;
};

/// sentencepiece's one normalizer (its normalizer.cc, in the same order).
class SentencePieceNormalizer {
public:
  static Result<SentencePieceNormalizer> create(const SentencePieceSpec &spec);
  std::string apply(std::string_view text,
                    const PrefixIndex &userDefined) const;

private:
  SentencePieceSpec spec;
  std::optional<CharacterMap> map;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_NORMALIZER_H
