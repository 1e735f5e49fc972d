//===- Spec.h - Everything a tokenizer's files say --------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The readers of tokenizer.json and of sentencepiece's .model fill a Spec; the
// table in the plan file is a Spec in bytes; Tokenizer is built from a Spec.
// So all checks of untrusted content stand in one place, Tokenizer.cpp's
// build().
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_SPEC_H
#define LLMC_RUNTIME_TOKENIZER_SPEC_H

#include "runtime/support/Result.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// Most ids a vocabulary may have; the largest known have about 262 thousand.
inline constexpr uint32_t kMaxVocabulary = 1u << 22;
/// Longest text that a rule may insert for one character, in bytes.
inline constexpr size_t kMaxRuleText = 1024;

/// Strings by index, in one block of memory.
class StringTable {
public:
  uint32_t size() const { return static_cast<uint32_t>(ends.size()); }
  std::string_view operator[](uint32_t index) const {
    uint64_t begin = index == 0 ? 0 : ends[index - 1];
    return std::string_view(bytes).substr(begin, ends[index] - begin);
  }
  void push(std::string_view text) {
    bytes += text;
    ends.push_back(bytes.size());
  }
  void reserve(size_t count, size_t length) {
    ends.reserve(count);
    bytes.reserve(length);
  }

private:
  std::string bytes;
  std::vector<uint64_t> ends;
};

enum class NormalizerKind : uint8_t {
  Nfc,
  Nfd,
  Nfkc,
  Nfkd,
  Lowercase,
  Strip,          ///< white space at the left / right end
  Prepend,        ///< `content` before text that is not empty
  ReplaceLiteral, ///< `pattern` by `content`
  ReplaceRegex,
  ByteMap,     ///< bytes to GPT-2's printable characters
  Precompiled, ///< `content` is sentencepiece's map, per grapheme
  Last = Precompiled,
};

struct NormalizerOp {
  NormalizerKind kind = NormalizerKind::Nfc;
  bool left = false;
  bool right = false;
  std::string pattern;
  std::string content;
};

enum class PreTokenizerKind : uint8_t {
  SplitLiteral,
  SplitRegex,
  PrefixSpace, ///< a space before each piece that has none
  ByteMap,
  Metaspace, ///< `pattern` is the character that stands for a space
  Last = Metaspace,
};

/// What becomes of the matches of a Split.
enum class SplitBehavior : uint8_t {
  Removed,
  Isolated,
  MergedWithPrevious,
  MergedWithNext,
  Contiguous,
  Last = Contiguous,
};

enum class PrependScheme : uint8_t { Always, First, Never, Last = Never };

struct PreTokenizerOp {
  PreTokenizerKind kind = PreTokenizerKind::SplitLiteral;
  SplitBehavior behavior = SplitBehavior::Isolated;
  PrependScheme scheme = PrependScheme::Never;
  bool invert = false; ///< split by what the pattern does not match
  bool split = false;  ///< Metaspace: pieces begin at the character
  std::string pattern;
};

enum class DecoderKind : uint8_t {
  ByteMap,      ///< GPT-2's printable characters back to bytes
  Metaspace,    ///< `pattern` to space; dropped in the first token
  Replace,      ///< `pattern` by `content`
  ByteFallback, ///< <0xHH> to a byte
  Fuse,         ///< what follows sees the whole text
  Strip,        ///< up to `count` times `pattern` from the left
  Last = Strip,
};

struct DecoderOp {
  DecoderKind kind = DecoderKind::Fuse;
  bool dropFirst = false; ///< Metaspace
  uint32_t count = 0;     ///< Strip
  std::string pattern;
  std::string content;
};

enum class ModelKind : uint8_t {
  MergeBpe,             ///< tokenizer.json: ranked pairs
  ScoreBpe,             ///< sentencepiece: the best-scored piece first
  Unigram,              ///< tokenizer.json
  SentencePieceUnigram, ///< single-precision scores, user-defined symbols
  Last = SentencePieceUnigram,
};

enum class PieceKind : uint8_t {
  Absent, ///< a hole in the numbering
  Normal,
  Unknown,
  Control,
  UserDefined,
  Unused,
  Byte,
  Last = Byte,
};

/// Two neighbours and what they become; the rank is the place in the list.
struct Merge {
  uint32_t left;
  uint32_t right;
  uint32_t merged;
};

/// What sentencepiece does to text before and after its model.
struct SentencePieceSpec {
  bool addDummyPrefix = true;
  bool removeExtraWhitespaces = true;
  bool escapeWhitespaces = true;
  std::string charsmap;       ///< empty: the identity
  std::string unknownSurface; ///< what an unknown token is printed as
};

struct Spec {
  ModelKind model = ModelKind::MergeBpe;
  StringTable pieces;           ///< by id
  std::vector<uint8_t> kinds;   ///< a PieceKind per piece
  std::vector<double> scores;   ///< per piece; empty for MergeBpe
  std::vector<Merge> merges;    ///< MergeBpe only, best first
  std::string continuingPrefix; ///< MergeBpe only
  std::string endOfWordSuffix;  ///< MergeBpe only
  int32_t unknown = kNoToken;
  bool byteFallback = false;
  bool ignoreMerges = false;
  bool fuseUnknown = false;

  std::vector<AddedToken> added;
  std::vector<NormalizerOp> normalizers;
  std::vector<PreTokenizerOp> preTokenizers;
  std::vector<DecoderOp> decoders;
  bool joinWithSpaces = false;     ///< no decoder: tokens are words
  SentencePieceSpec sentencePiece; ///< for the sentencepiece models

  std::vector<int32_t> prefix; ///< put before the text by addSpecial
  std::vector<int32_t> suffix;
  int32_t bos = kNoToken;
  std::vector<int32_t> eos;

  bool isSentencePiece() const {
    return model == ModelKind::ScoreBpe ||
           model == ModelKind::SentencePieceUnigram;
  }
};

/// The plan's table. The reader checks counts and enumerators against the
/// bytes that are there; relations between parts are checked by build().
std::string writeTable(const Spec &spec);
Result<Spec> readTable(std::string_view bytes);

/// The readers of the two file formats.
Result<Spec> readTokenizerJson(std::string_view json,
                               std::string_view configJson);
Result<Spec> readSentencePiece(std::string_view modelBytes,
                               std::string_view configJson);

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_SPEC_H
