//===- tokenizer_parts_test.cpp - Unicode, patterns, splits ---------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/Pattern.h"
#include "runtime/tokenizer/PreTokenizer.h"
#include "runtime/tokenizer/Unicode.h"

#include <gtest/gtest.h>

namespace llmc::tokenizer {
namespace {

using Kind = Utf8Step::Kind;

TEST(Utf8, ReadsOneCharacter) {
  auto expect = [](std::string_view text, Kind kind, int length) {
    Utf8Step step = readUtf8(text, 0);
    EXPECT_EQ(step.kind, kind) << text;
    EXPECT_EQ(step.length, length) << text;
  };
  expect("a", Kind::Valid, 1);
  expect("é", Kind::Valid, 2);
  expect("▁", Kind::Valid, 3);
  expect("🙂", Kind::Valid, 4);
  expect("\x80", Kind::Invalid, 1);
  expect("\xC0\x80", Kind::Invalid, 1);         // overlong
  expect("\xE0\x80\x80", Kind::Invalid, 1);     // overlong
  expect("\xED\xA0\x80", Kind::Invalid, 1);     // a surrogate
  expect("\xF4\x90\x80\x80", Kind::Invalid, 1); // above U+10FFFF
  expect("\xF0\x9F\x99g", Kind::Invalid, 3);
  expect("\xF0\x9F\x99", Kind::Incomplete, 3);
  expect("\xC3", Kind::Incomplete, 1);
  EXPECT_EQ(readUtf8("🙂", 0).code, 0x1F642u);
  EXPECT_EQ(toValidUtf8("a\xF0\x9F"
                        "b\xFF"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

TEST(NormalForms, Examples) {
  // Unicode Standard Annex #15, figures 3 to 6.
  EXPECT_EQ(normalize("\u212B", NormalForm::C), "\u00C5");
  EXPECT_EQ(normalize("\u1E0B\u0323", NormalForm::C), "\u1E0D\u0307");
  EXPECT_EQ(normalize("\u1E0B\u0323", NormalForm::D), "d\u0323\u0307");
  EXPECT_EQ(normalize("\uFB01", NormalForm::C), "\uFB01");
  EXPECT_EQ(normalize("\uFB01", NormalForm::KC), "fi");
  EXPECT_EQ(normalize("2\u2075", NormalForm::KD), "25");
  EXPECT_EQ(normalize("\u0958", NormalForm::C), "\u0915\u093C"); // excluded
  EXPECT_EQ(normalize("\u1100\u1161\u11A8", NormalForm::C), "\uAC01");
  EXPECT_EQ(normalize("\uAC01", NormalForm::D), "\u1100\u1161\u11A8");
  // A mark of the same class blocks the one behind it.
  EXPECT_EQ(normalize("a\u0301\u0300", NormalForm::C), "\u00E1\u0300");
  EXPECT_EQ(lowercase("ÀΣİ"), "àσi\u0307");
}

std::vector<std::string> find(std::string_view regex, std::string_view text) {
  Result<Pattern> pattern = Pattern::compile(regex);
  if (!pattern) {
    return {pattern.error().message};
  }
  std::vector<Range> matches;
  pattern->findAll(text, matches);
  std::vector<std::string> out;
  for (const Range &match : matches) {
    out.emplace_back(text.substr(match.begin, match.end - match.begin));
  }
  return out;
}

TEST(PatternTest, OnigurumaClasses) {
  using Strings = std::vector<std::string>;
  // U+180E has not been white space since Unicode 6.3.
  EXPECT_EQ(find("\\s+", "a \u3000b\u180Ec"), Strings({" \u3000"}));
  EXPECT_EQ(find("[^\\s]+", "a \u180Eb"), Strings({"a", "\u180Eb"}));
  EXPECT_EQ(find("\\w+", "e\u0301a_1 ß-"), Strings({"e\u0301a_1", "ß"}));
  EXPECT_EQ(find("\\h+", "xyz0aF"), Strings({"0aF"}));
  EXPECT_EQ(find("[]x]+", "a]xb"), Strings({"]x"}));
  EXPECT_EQ(find("[^]x]+", "a]xb"), Strings({"a", "b"}));
  EXPECT_EQ(find("\\u0041+", "xAAy"), Strings({"AA"}));
  EXPECT_EQ(find("x*", "axb"), Strings({"", "x", ""}));
  EXPECT_NE(find("[a[b]]", "a")[0].find("set inside"), std::string::npos);
}

TEST(SplitBy, Behaviours) {
  // "aXbXXc" at the X.
  std::vector<Range> matches = {{1, 2}, {3, 4}, {4, 5}};
  auto split = [&](SplitBehavior behavior, bool invert = false) {
    std::vector<Range> pieces;
    splitBy(matches, 6, invert, behavior, pieces);
    std::string out;
    for (const Range &piece : pieces) {
      out += std::string_view("aXbXXc").substr(piece.begin,
                                               piece.end - piece.begin);
      out += '|';
    }
    return out;
  };
  EXPECT_EQ(split(SplitBehavior::Isolated), "a|X|b|X|X|c|");
  EXPECT_EQ(split(SplitBehavior::Removed), "a|b|c|");
  EXPECT_EQ(split(SplitBehavior::Removed, true), "X|X|X|");
  EXPECT_EQ(split(SplitBehavior::Contiguous), "a|X|b|XX|c|");
  EXPECT_EQ(split(SplitBehavior::MergedWithPrevious), "aX|bX|X|c|");
  EXPECT_EQ(split(SplitBehavior::MergedWithNext), "a|Xb|X|Xc|");
}

TEST(ByteMap, RoundTrips) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) {
    all += static_cast<char>(byte);
  }
  std::string mapped, back;
  appendByteMapped(mapped, all);
  EXPECT_TRUE(isValidUtf8(mapped));
  appendByteUnmapped(back, mapped);
  EXPECT_EQ(back, all);
  // A character that stands for no byte leaves the whole token as it is.
  back.clear();
  appendByteUnmapped(back, "Ġ中");
  EXPECT_EQ(back, "Ġ中");
}

TEST(CharacterMap, RefusesMalformedBlobs) {
  EXPECT_FALSE(CharacterMap::parse(""));
  EXPECT_FALSE(CharacterMap::parse("abc"));
  EXPECT_FALSE(
      CharacterMap::parse(std::string_view("\xFF\xFF\xFF\xFF....", 8)));
  EXPECT_FALSE(CharacterMap::parse(std::string_view("\x03\0\0\0....", 8)));
  // A trie of one unit that points outside itself matches nothing.
  Result<CharacterMap> map =
      CharacterMap::parse(std::string_view("\x04\0\0\0\0\xFF\xFF\xFF", 8));
  ASSERT_TRUE(map);
  EXPECT_EQ(map->longestPrefix("abc").length, 0u);
}

TEST(NormalizerGrowth, IsBounded) {
  // Each rule multiplies the text by 1024; together they must not exhaust
  // memory.
  std::vector<NormalizerOp> ops;
  for (int i = 0; i < 20; ++i) {
    ops.push_back({NormalizerKind::ReplaceLiteral, false, false, "a",
                   std::string(1024, 'a')});
  }
  Result<Normalizer> normalizer = Normalizer::create(ops);
  ASSERT_TRUE(normalizer);
  EXPECT_LT(normalizer->apply("aaaa").size(), size_t(64) << 20);
}

} // namespace
} // namespace llmc::tokenizer
