//===- tokenizer_fixtures.h - Small tokenizers, written by hand -*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_TOKENIZER_FIXTURES_H
#define LLMC_TEST_UNIT_TOKENIZER_FIXTURES_H

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace llmc::tokenizer::test {

/// Byte-level BPE with Llama-3's split. Ids: 0-6 characters, 7 "he", 8 "ll",
/// 9 "hell", 10 "hello", 11 "Ġh", then the bytes of U+1F642, F0 9F 99 82, in
/// GPT-2's spelling, 12-15, and an added special token, 16.
inline std::string byteLevelJson() {
  return R"({
  "added_tokens": [{"id": 16, "content": "<|end|>", "special": true,
    "single_word": false, "lstrip": false, "rstrip": false,
    "normalized": false}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+|[^\\s]"},
     "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [16],
                                   "tokens": ["<|end|>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "unk_token": null, "ignore_merges": false,
    "vocab": {"h": 0, "e": 1, "l": 2, "o": 3, "Ġ": 4, "Ċ": 5, "a": 6,
              "he": 7, "ll": 8, "hell": 9, "hello": 10, "Ġh": 11,
              "ð": 12, "Ł": 13, "Ļ": 14, "Ĥ": 15},
    "merges": ["h e", "l l", ["he", "ll"], "hell o", "Ġ h"]}
})";
}

/// Metaspace BPE with byte fallback, in Llama 2's old form. Ids: 0 <unk>,
/// 1 <s>, 2 </s>, 3 "▁", 4 "a", 5 "b", 6 "▁a", 7 "ab", then bytes C3 and A9
/// as 8 and 9.
inline std::string byteFallbackJson() {
  return R"({
  "added_tokens": [
    {"id": 0, "content": "<unk>", "special": true, "normalized": false},
    {"id": 1, "content": "<s>", "special": true, "normalized": false},
    {"id": 2, "content": "</s>", "special": true, "normalized": false}],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true,
    "byte_fallback": true,
    "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "b": 5,
              "▁a": 6, "ab": 7, "<0xC3>": 8, "<0xA9>": 9},
    "merges": ["a b", "▁ a"]}
})";
}

/// Writes protobuf's wire format.
class Proto {
public:
  std::string bytes;
  Proto &varint(uint32_t field, uint64_t value) {
    number(field << 3);
    number(value);
    return *this;
  }
  Proto &text(uint32_t field, std::string_view value) {
    number(field << 3 | 2);
    number(value.size());
    bytes += value;
    return *this;
  }
  Proto &real(uint32_t field, float value) {
    number(field << 3 | 5);
    uint32_t bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i) {
      bytes += static_cast<char>(bits >> (8 * i));
    }
    return *this;
  }

private:
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
      bytes += static_cast<char>(value | 0x80);
    }
    bytes += static_cast<char>(value);
  }
};

/// A sentencepiece model. `type` is 1 for unigram, 2 for BPE. Ids: 0 <unk>,
/// 1 <s>, 2 </s>, 3 "▁a" (-1), 4 "ab" (-2), 5 "▁" (-3), 6 "a" (-4), 7 "b"
/// (-5), 8 "[u]" user-defined, 9 and 10 bytes C3 and A9.
inline std::string sentencePieceModel(uint64_t type) {
  Proto model;
  auto piece = [&](std::string_view text, float score, uint64_t kind) {
    model.text(1, Proto().text(1, text).real(2, score).varint(3, kind).bytes);
  };
  piece("<unk>", 0, 2);
  piece("<s>", 0, 3);
  piece("</s>", 0, 3);
  piece("▁a", -1, 1);
  piece("ab", -2, 1);
  piece("▁", -3, 1);
  piece("a", -4, 1);
  piece("b", -5, 1);
  piece("[u]", 0, 4);
  piece("<0xC3>", 0, 6);
  piece("<0xA9>", 0, 6);
  model.text(2, Proto().varint(3, type).varint(35, 1).bytes);
  model.text(3, Proto().varint(3, 1).varint(4, 0).varint(5, 1).bytes);
  return model.bytes;
}

} // namespace llmc::tokenizer::test

#endif // LLMC_TEST_UNIT_TOKENIZER_FIXTURES_H
