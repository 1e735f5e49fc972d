//===- Tokenizer.h - Text to token ids and back -----------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Reads Hugging Face's tokenizer.json (BPE and Unigram models) and
// sentencepiece's .model (BPE and unigram) and gives the same ids and the same
// text as their own libraries. The compiler imports a file and stores
// serialize() in the plan; the runtime only deserializes, needs no JSON, and
// treats those bytes as untrusted.
//
//   Result<Tokenizer> tokenizer = Tokenizer::deserialize(bytes);
//   std::vector<int32_t> ids = tokenizer->encode("Once upon", true);
//   StreamDecoder decoder(*tokenizer);
//   for (int32_t id : generated) { write(decoder.push(id)); }
//   write(decoder.finish());
//
// Errors have codes 4xx (or 1xx for files) and name what was found. A
// Tokenizer is immutable: copies are cheap and share it, threads may use it at
// once.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_TOKENIZER_H
#define LLMC_RUNTIME_TOKENIZER_TOKENIZER_H

#include "runtime/support/Result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

struct Spec;

/// In place of an id where there is none.
inline constexpr int32_t kNoToken = -1;

/// A token found in the text before the model sees it.
struct AddedToken {
  int32_t id = kNoToken;
  std::string content;
  bool special = false;    ///< not part of decoded text by default
  bool lstrip = false;     ///< takes the white space at its left along
  bool rstrip = false;     ///< takes the white space at its right along
  bool singleWord = false; ///< not inside a word
  bool normalized = false; ///< sought in the normalized text
};

class Tokenizer {
public:
  /// Reads tokenizer.json. `configJson` is the tokenizer_config.json beside
  /// it, or empty: it names the begin and end tokens.
  static Result<Tokenizer> fromTokenizerJson(std::string_view json,
                                             std::string_view configJson = {});

  /// Reads a sentencepiece model (a protobuf).
  static Result<Tokenizer> fromSentencePiece(std::string_view modelBytes,
                                             std::string_view configJson = {});

  /// Reads either, told apart by their first bytes, with the
  /// tokenizer_config.json of the same folder where there is one.
  static Result<Tokenizer> fromFile(const std::string &path);

  /// The table for the plan file, and the tokenizer from one.
  std::string serialize() const;
  static Result<Tokenizer> deserialize(std::string_view bytes);

  /// Token ids of `text`; what is not UTF-8 in it counts as U+FFFD. Added
  /// tokens inside the text are recognised. `addSpecial` puts begin and end
  /// tokens where the tokenizer's own files say so.
  std::vector<int32_t> encode(std::string_view text, bool addSpecial) const;

  /// The text of a whole sequence. Ids that do not exist are passed over.
  std::string decode(std::span<const int32_t> tokens,
                     bool skipSpecial = true) const;

  /// The bytes a token adds in the middle of a text: perhaps a part of a
  /// character, empty for ids that do not exist.
  std::string_view tokenBytes(int32_t id) const;

  /// The token as its file spells it ("Ġthe", "▁the", "<0x0A>", "<s>").
  std::string_view tokenText(int32_t id) const;

  /// The id of a token as its file spells it, or kNoToken.
  int32_t findToken(std::string_view tokenText) const;

  /// True for ids that decode() leaves out by default.
  bool isSpecial(int32_t id) const;

  /// Greatest id + 1.
  int32_t vocabSize() const;
  int32_t bosId() const;                   ///< or kNoToken
  std::span<const int32_t> eosIds() const; ///< perhaps none
  std::span<const AddedToken> addedTokens() const;

private:
  friend class StreamDecoder;
  struct Impl;
  static Result<Tokenizer> fromSpec(Spec spec);
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl;
};

/// Turns tokens to text as they come, whole UTF-8 characters only. The pieces
/// together are decode()'s text, but for one case: where a tokenizer.json with
/// byte fallback meets a run of byte tokens that is not UTF-8 as a whole,
/// decode() replaces the whole run and the stream only the bytes at fault.
class StreamDecoder {
public:
  explicit StreamDecoder(const Tokenizer &tokenizer, bool skipSpecial = true);

  /// The text this token completes; valid until the next call. Never
  /// allocates: the buffer is reserved for the longest token.
  std::string_view push(int32_t token);

  /// What an unfinished character at the end is shown as; call once.
  std::string_view finish();

  /// Begins a new text.
  void reset();

private:
  friend class Tokenizer;
  void drain(bool all);
  void pushRun(std::span<const int32_t> run, std::string &out);
  void stripLeft();

  std::shared_ptr<const Tokenizer::Impl> impl;
  std::string text;    // what push() returns
  std::string pending; // between calls, a character's first bytes
  bool skipSpecial;
  bool first = true;    // no token yet
  bool atStart = true;  // no text yet (sentencepiece's leading space)
  uint32_t toStrip = 0; // characters the decoder still takes off the left
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_TOKENIZER_H
