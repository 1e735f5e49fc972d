//===- Decoder.h - What each token adds to the text -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_DECODER_H
#define LLMC_RUNTIME_TOKENIZER_DECODER_H

#include "runtime/tokenizer/Spec.h"

#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// The decoder's rules, applied to every token once, at load: decoding is then
/// a matter of copying bytes.
class TokenTexts {
public:
  /// `size` is the number of ids. Fails if the texts grow out of bounds.
  static Result<TokenTexts> create(const Spec &spec, uint32_t size);

  enum class Kind : uint8_t {
    None,    ///< no such id
    Text,    ///< whole characters, or bytes of a byte-level model
    Byte,    ///< one byte of byte fallback
    Special, ///< left out by default
  };

  bool has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < kinds.size() &&
           kinds[id] != Kind::None;
  }
  Kind kind(int32_t id) const { return kinds[id]; }
  /// In the middle of a text.
  std::string_view bytes(int32_t id) const { return middle[id]; }
  /// As the first token of a text.
  std::string_view firstBytes(int32_t id) const {
    return start.size() != 0 ? start[id] : middle[id];
  }
  /// The token as its file spells it.
  std::string_view spelling(int32_t id) const { return spellings[id]; }

  /// Byte tokens occur: what is no UTF-8 is replaced byte by byte.
  bool byteFallback = false;
  /// sentencepiece: leading spaces are not part of the text; how many.
  enum class LeadingSpace : uint8_t { Kept, OneDropped, AllDropped };
  LeadingSpace leadingSpace = LeadingSpace::Kept;
  /// tokenizer.json: Strip after Fuse.
  std::string_view stripText;
  uint32_t stripCount = 0;
  bool joinWithSpaces = false;
  size_t longest = 0; ///< of bytes()

private:
  void decodeSentencePiece(const Spec &spec, uint32_t id);
  StringTable middle, start, spellings;
  std::vector<Kind> kinds;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_DECODER_H
