//===- tokenizer_test.cpp - Reading, encoding, decoding -------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Small tokenizers whose results can be worked out by hand. The comparison
// with the original libraries is test/tokenizer/compare.py.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Tokenizer.h"
#include "test/unit/tokenizer_fixtures.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>

// Counts allocations while asked to: StreamDecoder must make none.
static std::atomic<bool> counting = false;
static std::atomic<int> allocations = 0;

static void *allocate(std::size_t size) {
  if (counting) {
    ++allocations;
  }
  if (void *memory = std::malloc(size ? size : 1)) {
    return memory;
  }
  throw std::bad_alloc();
}
void *operator new(std::size_t size) { return allocate(size); }
void *operator new[](std::size_t size) { return allocate(size); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void *memory, std::size_t) noexcept {
  std::free(memory);
}

namespace llmc::tokenizer {
namespace {

using test::byteFallbackJson;
using test::byteLevelJson;
using test::sentencePieceModel;
using Ids = std::vector<int32_t>;

Tokenizer fromJson(std::string_view json, std::string_view config = {}) {
  Result<Tokenizer> tokenizer = Tokenizer::fromTokenizerJson(json, config);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    std::abort();
  }
  return *std::move(tokenizer);
}

Tokenizer fromModel(uint64_t type) {
  Result<Tokenizer> tokenizer =
      Tokenizer::fromSentencePiece(sentencePieceModel(type));
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    std::abort();
  }
  return *std::move(tokenizer);
}

/// `text` with every `from` replaced by `to`.
std::string edited(std::string text, std::string_view from,
                   std::string_view to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

void expectError(const Result<Tokenizer> &result, ErrorCode code,
                 std::string_view part) {
  ASSERT_FALSE(result) << "expected an error with: " << part;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(part), std::string::npos)
      << result.error().message;
}

//===----------------------------------------------------------------------===//
// Byte-level BPE
//===----------------------------------------------------------------------===//

TEST(ByteLevel, MergesByRank) {
  Tokenizer tokenizer = fromJson(byteLevelJson());
  EXPECT_EQ(tokenizer.encode("hello", false), Ids({10}));
  // "Ġ h" ranks below "h e": the space stays alone.
  EXPECT_EQ(tokenizer.encode(" hello", false), Ids({4, 10}));
  EXPECT_EQ(tokenizer.encode(" h", false), Ids({11}));
  EXPECT_EQ(tokenizer.encode("", false), Ids({}));
  EXPECT_EQ(tokenizer.encode("🙂", false), Ids({12, 13, 14, 15}));
}

TEST(ByteLevel, SpecialTokens) {
  Tokenizer tokenizer = fromJson(byteLevelJson());
  EXPECT_EQ(tokenizer.encode("hello", true), Ids({16, 10}));
  EXPECT_EQ(tokenizer.encode("hello<|end|>a", false), Ids({10, 16, 6}));
  EXPECT_EQ(tokenizer.decode(Ids({16, 10, 16})), "hello");
  EXPECT_EQ(tokenizer.decode(Ids({10, 16}), false), "hello<|end|>");
  EXPECT_TRUE(tokenizer.isSpecial(16));
  EXPECT_FALSE(tokenizer.isSpecial(10));
  EXPECT_EQ(tokenizer.bosId(), 16);
  EXPECT_EQ(Ids(tokenizer.eosIds().begin(), tokenizer.eosIds().end()),
            Ids({16}));
  EXPECT_EQ(tokenizer.vocabSize(), 17);
  EXPECT_EQ(tokenizer.findToken("Ġh"), 11);
  EXPECT_EQ(tokenizer.findToken("<|end|>"), 16);
  EXPECT_EQ(tokenizer.findToken("nothing"), kNoToken);
  EXPECT_EQ(tokenizer.tokenText(11), "Ġh");
  EXPECT_EQ(tokenizer.tokenBytes(11), " h");
}

TEST(ByteLevel, InvalidUtf8IsReplaced) {
  // U+FFFD is not in this small vocabulary, so it leaves nothing behind.
  Tokenizer tokenizer = fromJson(byteLevelJson());
  EXPECT_EQ(tokenizer.encode("he\xF0\x9Fllo", false), Ids({7, 8, 3}));
  EXPECT_EQ(tokenizer.decode(Ids({12, 13, 10})), "\xEF\xBF\xBDhello");
}

TEST(ByteLevel, IdsOutsideTheVocabularyArePassedOver) {
  Tokenizer tokenizer = fromJson(byteLevelJson());
  EXPECT_EQ(tokenizer.decode(Ids({-1, 10, 17, INT32_MAX, INT32_MIN})), "hello");
  EXPECT_EQ(tokenizer.tokenBytes(-1), "");
  EXPECT_EQ(tokenizer.tokenBytes(17), "");
}

TEST(ByteLevel, LongWordIsNotQuadratic) {
  // 400,000 symbols in one word: a quadratic merge would take minutes.
  Tokenizer tokenizer = fromJson(byteLevelJson());
  std::string word;
  for (int i = 0; i < 80000; ++i) {
    word += "hello";
  }
  EXPECT_EQ(tokenizer.encode(word, false), Ids(80000, 10));
}

TEST(ByteLevel, ConfigNamesTokens) {
  Tokenizer tokenizer = fromJson(
      byteLevelJson(), R"({"bos_token": {"content": "h"}, "eos_token": "a"})");
  EXPECT_EQ(tokenizer.bosId(), 0);
  EXPECT_EQ(tokenizer.eosIds()[0], 6);
}

//===----------------------------------------------------------------------===//
// Byte fallback
//===----------------------------------------------------------------------===//

TEST(ByteFallback, EncodesUnknownCharactersAsBytes) {
  Tokenizer tokenizer = fromJson(byteFallbackJson());
  EXPECT_EQ(tokenizer.encode("ab a", true), Ids({1, 3, 7, 6}));
  EXPECT_EQ(tokenizer.encode("é", false), Ids({3, 8, 9}));
  EXPECT_EQ(tokenizer.encode("ü", false), Ids({3, 0}));
  EXPECT_EQ(tokenizer.decode(Ids({1, 3, 7, 6})), "ab a");
  EXPECT_EQ(tokenizer.decode(Ids({3, 8, 9, 4})), "éa");
}

TEST(ByteFallback, RunsOfBytesAreReplacedAsAWhole) {
  Tokenizer tokenizer = fromJson(byteFallbackJson());
  EXPECT_EQ(tokenizer.decode(Ids({4, 8, 9, 8, 4})),
            "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
            "a");
}

TEST(ByteFallback, ConfigSwitchesBeginAndEnd) {
  Tokenizer tokenizer =
      fromJson(byteFallbackJson(),
               R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>",
          "eos_token": "</s>", "add_bos_token": false, "add_eos_token": true})");
  EXPECT_EQ(tokenizer.encode("a", true), Ids({6, 2}));
}

//===----------------------------------------------------------------------===//
// sentencepiece
//===----------------------------------------------------------------------===//

TEST(SentencePiece, Bpe) {
  Tokenizer tokenizer = fromModel(2);
  // "▁a" (-1) is merged before "ab" (-2).
  EXPECT_EQ(tokenizer.encode("ab", true), Ids({1, 3, 7}));
  EXPECT_EQ(tokenizer.encode("bab", false), Ids({5, 7, 4}));
  EXPECT_EQ(tokenizer.encode("a[u]b", false), Ids({3, 8, 7}));
  EXPECT_EQ(tokenizer.encode("é", false), Ids({5, 9, 10}));
  EXPECT_EQ(tokenizer.decode(Ids({1, 3, 7, 3})), "ab a");
  EXPECT_EQ(tokenizer.decode(Ids({0})), " \xE2\x81\x87 ");
  EXPECT_EQ(tokenizer.bosId(), 1);
  EXPECT_EQ(tokenizer.eosIds()[0], 2);
}

TEST(SentencePiece, Unigram) {
  Tokenizer tokenizer = fromModel(1);
  // "▁" + "ab" is -5, "▁a" + "b" is -6.
  EXPECT_EQ(tokenizer.encode("ab", false), Ids({5, 4}));
  EXPECT_EQ(tokenizer.encode("a[u]a", false), Ids({3, 8, 6}));
}

TEST(SentencePiece, Refusals) {
  auto read = [](const std::string &bytes) {
    return Tokenizer::fromSentencePiece(bytes);
  };
  expectError(read(sentencePieceModel(3)), ErrorCode::TokenizerUnsupported,
              "WORD");
  expectError(read(""), ErrorCode::TokenizerMalformed, "not a sentencepiece");
  expectError(read("hello world"), ErrorCode::TokenizerMalformed,
              "sentencepiece");
  std::string twice =
      sentencePieceModel(2) +
      test::Proto().text(1, test::Proto().text(1, "ab").bytes).bytes;
  expectError(read(twice), ErrorCode::TokenizerMalformed, "twice");
  std::string suffix =
      sentencePieceModel(2) +
      test::Proto().text(2, test::Proto().varint(24, 1).bytes).bytes;
  expectError(read(suffix), ErrorCode::TokenizerUnsupported, "suffix");
}

TEST(SentencePiece, TruncationsAndBitFlipsNeverCrash) {
  std::string model = sentencePieceModel(1);
  int refused = 0;
  for (size_t size = 0; size < model.size(); ++size) {
    refused += !Tokenizer::fromSentencePiece(model.substr(0, size));
  }
  EXPECT_GT(refused, static_cast<int>(model.size()) / 2);
  for (size_t bit = 0; bit < model.size() * 8; ++bit) {
    std::string flipped = model;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    if (Result<Tokenizer> tokenizer = Tokenizer::fromSentencePiece(flipped)) {
      tokenizer->decode(tokenizer->encode("ab a[u] é", true));
    }
  }
}

//===----------------------------------------------------------------------===//
// Streaming
//===----------------------------------------------------------------------===//

TEST(StreamDecoder, WholeCharactersOnly) {
  Tokenizer tokenizer = fromJson(byteLevelJson());
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(10), "hello");
  EXPECT_EQ(decoder.push(12), "");
  EXPECT_EQ(decoder.push(13), "");
  EXPECT_EQ(decoder.push(14), "");
  EXPECT_EQ(decoder.push(15), "🙂");
  EXPECT_EQ(decoder.push(12), "");
  EXPECT_EQ(decoder.push(10), "\xEF\xBF\xBDhello");
  EXPECT_EQ(decoder.push(12), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, StripsTheFirstSpaceOnly) {
  for (const Tokenizer &tokenizer : {fromJson(byteFallbackJson())}) {
    StreamDecoder decoder(tokenizer);
    EXPECT_EQ(decoder.push(1), "");
    EXPECT_EQ(decoder.push(6), "a");
    EXPECT_EQ(decoder.push(6), " a");
    decoder.reset();
    EXPECT_EQ(decoder.push(3), "");
    EXPECT_EQ(decoder.push(6), " a");
  }
  Tokenizer sentencePiece = fromModel(2);
  StreamDecoder decoder(sentencePiece);
  EXPECT_EQ(decoder.push(1), "");
  EXPECT_EQ(decoder.push(3), "a");
  EXPECT_EQ(decoder.push(3), " a");
  EXPECT_EQ(decoder.push(9), "");
  EXPECT_EQ(decoder.push(10), "é");
  EXPECT_EQ(decoder.push(9), "");
  EXPECT_EQ(decoder.push(6), "\xEF\xBF\xBD"
                             "a");
}

TEST(StreamDecoder, DoesNotAllocate) {
  for (const Tokenizer &tokenizer :
       {fromJson(byteLevelJson()), fromJson(byteFallbackJson()), fromModel(1),
        fromModel(2)}) {
    StreamDecoder decoder(tokenizer);
    size_t bytes = 0;
    allocations = 0;
    counting = true;
    for (int round = 0; round < 100; ++round) {
      for (int32_t id = -1; id <= tokenizer.vocabSize(); ++id) {
        bytes += decoder.push(id).size();
      }
    }
    bytes += decoder.finish().size();
    counting = false;
    EXPECT_EQ(allocations, 0);
    EXPECT_GT(bytes, 500u);
  }
}

//===----------------------------------------------------------------------===//
// tokenizer.json: what is refused, and how
//===----------------------------------------------------------------------===//

TEST(TokenizerJson, NamesWhatItDoesNotSupport) {
  auto read = [](const std::string &json) {
    return Tokenizer::fromTokenizerJson(json);
  };
  const std::string json = byteLevelJson();
  expectError(read(edited(json, R"("type": "BPE")", R"("type": "WordPiece")")),
              ErrorCode::TokenizerUnsupported, "WordPiece");
  expectError(read(edited(json, R"("NFC")", R"("Nmt")")),
              ErrorCode::TokenizerUnsupported, "Nmt");
  expectError(read(edited(json, R"("decoder": {"type": "ByteLevel")",
                          R"("decoder": {"type": "CTC")")),
              ErrorCode::TokenizerUnsupported, "CTC");
  expectError(read(edited(json, R"([^\\r\\n\\p{L}\\p{N}]?)", R"([a&&b])")),
              ErrorCode::TokenizerUnsupported, "&&");
  expectError(read(edited(json, R"([^\\r\\n\\p{L}\\p{N}]?)", "(")),
              ErrorCode::TokenizerUnsupported, "does not compile");
  expectError(
      read(edited(json, R"("ignore_merges": false)", R"("dropout": 0.1)")),
      ErrorCode::TokenizerUnsupported, "dropout");
}

TEST(TokenizerJson, NamesWhatIsMalformed) {
  auto read = [](const std::string &json) {
    return Tokenizer::fromTokenizerJson(json);
  };
  const std::string json = byteLevelJson();
  expectError(read(""), ErrorCode::TokenizerMalformed, "JSON");
  expectError(read("[]"), ErrorCode::TokenizerMalformed, "JSON");
  expectError(read("{}"), ErrorCode::TokenizerMalformed, "model");
  expectError(read(json.substr(0, json.size() - 3)),
              ErrorCode::TokenizerMalformed, "JSON");
  expectError(read(edited(json, R"("h": 0)", R"("h": -3)")),
              ErrorCode::TokenizerMalformed, "\"h\"");
  expectError(read(edited(json, R"("h": 0)", R"("h": 1)")),
              ErrorCode::TokenizerMalformed, "share an id");
  expectError(read(edited(json, R"("h": 0)", R"("h": 2000000000)")),
              ErrorCode::TokenizerMalformed, "limit");
  expectError(read(edited(json, R"("hell o")", R"("hell p")")),
              ErrorCode::TokenizerMalformed, "merge 3");
  expectError(read(edited(json, R"("ids": [16])", R"("ids": [99])")),
              ErrorCode::TokenizerMalformed, "begin or end token");
  std::string nested = R"({"type": "NFC"})";
  for (int i = 0; i < 100; ++i) {
    nested = R"({"type": "Sequence", "normalizers": [)" + nested + "]}";
  }
  expectError(read(edited(json, R"({"type": "NFC"})", nested)),
              ErrorCode::TokenizerMalformed, "nested");
}

TEST(TokenizerJson, FilesAreToldApart) {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "llmc-tokenizer-test";
  std::filesystem::create_directories(folder);
  auto write = [&](const char *name, const std::string &content) {
    std::ofstream(folder / name, std::ios::binary) << content;
    return (folder / name).string();
  };
  std::string config = write("tokenizer_config.json", R"({"eos_token": "a"})");
  Result<Tokenizer> json =
      Tokenizer::fromFile(write("tokenizer.json", byteLevelJson()));
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->eosIds()[0], 6);
  Result<Tokenizer> model =
      Tokenizer::fromFile(write("tokenizer.model", sentencePieceModel(2)));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->bosId(), 1);
  expectError(Tokenizer::fromFile((folder / "missing").string()),
              ErrorCode::FileNotFound, "missing");
  expectError(Tokenizer::fromFile(write("bad.model", "xyz")),
              ErrorCode::TokenizerMalformed, "bad.model");
  std::filesystem::remove_all(folder);
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

class Table : public ::testing::TestWithParam<int> {
protected:
  Tokenizer tokenizer() const {
    switch (GetParam()) {
    case 0:
      return fromJson(byteLevelJson());
    case 1:
      return fromJson(byteFallbackJson());
    default:
      return fromModel(GetParam() - 1);
    }
  }
};

TEST_P(Table, RoundTrips) {
  Tokenizer original = tokenizer();
  std::string bytes = original.serialize();
  Result<Tokenizer> copy = Tokenizer::deserialize(bytes);
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ(copy->serialize(), bytes);
  for (const char *text : {"hello a ab [u] é", "", " ", "<s>ab</s>", "🙂"}) {
    EXPECT_EQ(copy->encode(text, true), original.encode(text, true)) << text;
  }
  EXPECT_EQ(copy->vocabSize(), original.vocabSize());
  EXPECT_EQ(copy->bosId(), original.bosId());
  for (int32_t id = 0; id < copy->vocabSize(); ++id) {
    EXPECT_EQ(copy->tokenBytes(id), original.tokenBytes(id));
    EXPECT_EQ(copy->isSpecial(id), original.isSpecial(id));
  }
}

TEST_P(Table, EveryTruncationIsRefused) {
  std::string bytes = tokenizer().serialize();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Tokenizer::deserialize({bytes.data(), size})) << size;
  }
  EXPECT_FALSE(Tokenizer::deserialize(bytes + '\0'));
}

TEST_P(Table, BitFlipsNeverCrash) {
  std::string bytes = tokenizer().serialize();
  int refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    Result<Tokenizer> copy = Tokenizer::deserialize(flipped);
    if (!copy) {
      EXPECT_FALSE(copy.error().message.empty());
      ++refused;
      continue;
    }
    Ids ids = copy->encode("hello a<s> ab [u]12 é🙂\xFF", true);
    copy->decode(ids);
    StreamDecoder decoder(*copy);
    for (int32_t id : ids) {
      decoder.push(id);
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_P(Table, HostileNumbersAreRefused) {
  // Replacing any byte by a run of 0xFF makes huge counts, ids and lengths.
  std::string bytes = tokenizer().serialize();
  for (size_t at = 7; at < bytes.size(); ++at) {
    std::string hostile = bytes;
    hostile.replace(at, 1, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01");
    if (Result<Tokenizer> copy = Tokenizer::deserialize(hostile)) {
      copy->encode("hello ab", true);
    }
  }
  expectError(Tokenizer::deserialize("LLMCTOK\x02"), ErrorCode::TokenizerTable,
              "version 2");
  expectError(Tokenizer::deserialize("something else"),
              ErrorCode::TokenizerTable, "magic");
}

INSTANTIATE_TEST_SUITE_P(Kinds, Table, ::testing::Range(0, 4));

} // namespace
} // namespace llmc::tokenizer
