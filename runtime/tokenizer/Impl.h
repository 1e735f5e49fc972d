//===- Impl.h - A tokenizer's parts -----------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_IMPL_H
#define LLMC_RUNTIME_TOKENIZER_IMPL_H

#include "runtime/tokenizer/Decoder.h"
#include "runtime/tokenizer/Models.h"
#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/PreTokenizer.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Tokenizer.h"

namespace llmc::tokenizer {

/// A set of added tokens to look for in a text.
struct AddedSet {
  StringTable contents;
  std::vector<uint32_t> tokens; // index into Spec::added, per content
  PrefixIndex index;

  void add(std::string_view content, uint32_t token) {
    contents.push(content);
    tokens.push_back(token);
  }
  void finish();
};

struct Tokenizer::Impl {
  /// Checks everything in `spec` that later code relies on.
  static Result<std::shared_ptr<const Impl>> build(Spec spec);

  Impl() = default;
  Impl(const Impl &) = delete; // parts point at each other
  Impl &operator=(const Impl &) = delete;

  Spec spec;
  uint32_t size = 0; // greatest id + 1
  Model model;
  Normalizer normalizer;
  SentencePieceNormalizer sentencePiece;
  PreTokenizer preTokenizer;
  TokenTexts texts;
  AddedSet rawAdded;        // sought in the text as given
  AddedSet normalizedAdded; // sought after normalization
  StringTable addedContents;
  VocabularyIndex addedIndex; // all added tokens by content
  std::optional<Pattern> wordCharacter;

  void encodeText(std::string_view text, std::vector<int32_t> &out) const;

private:
  Result<void> check() const;
  template <class Plain, class Token>
  void scanAdded(std::string_view text, const AddedSet &set, Plain plain,
                 Token token) const;
  bool touchesWord(std::string_view text, size_t begin, size_t end) const;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_IMPL_H
