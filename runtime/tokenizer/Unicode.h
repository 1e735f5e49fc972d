//===- Unicode.h - UTF-8 and normal forms -----------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The small part of Unicode that tokenizers need: strict UTF-8, the four
// normal forms of UAX #15, and simple lowercase. Tables are made at build time
// from the Unicode Character Database.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_UNICODE_H
#define LLMC_RUNTIME_TOKENIZER_UNICODE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace llmc::tokenizer {

/// One step of reading UTF-8.
struct Utf8Step {
  enum class Kind : uint8_t {
    Valid,      ///< `code` is a scalar value of `length` bytes
    Invalid,    ///< `length` bytes form a maximal ill-formed subpart
    Incomplete, ///< the text ends inside a character, `length` bytes of it
  };
  Kind kind;
  uint8_t length;
  uint32_t code;
};

/// Reads the character at text[at]; `at` must be below text.size(). Overlong
/// forms, surrogates and values above U+10FFFF are invalid (RFC 3629).
Utf8Step readUtf8(std::string_view text, size_t at);

/// Appends `code` as UTF-8.
void appendUtf8(std::string &out, uint32_t code);

bool isValidUtf8(std::string_view text);
bool isAscii(std::string_view text);

/// Replaces every maximal ill-formed subpart by U+FFFD (Unicode 15, 3.9).
std::string toValidUtf8(std::string_view text);

/// Bytes of the character whose first byte is `lead`, without looking further:
/// 1 for stray continuation bytes, as sentencepiece counts.
inline unsigned utf8LengthByLead(unsigned char lead) {
  return "\1\1\1\1\1\1\1\1\1\1\1\1\2\2\3\4"[lead >> 4];
}

enum class NormalForm : uint8_t { C, D, KC, KD };

/// The normal form of valid UTF-8.
std::string normalize(std::string_view text, NormalForm form);

/// Every character's lowercase mapping, without context.
std::string lowercase(std::string_view text);

/// White_Space of the Unicode Character Database.
bool isWhiteSpace(uint32_t code);

/// The UTF-8 form of U+FFFD.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_UNICODE_H
