//===- PreTokenizer.cpp - Text into words ---------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/PreTokenizer.h"

#include "runtime/tokenizer/Normalizer.h"

#include <algorithm>
#include <functional>

namespace llmc::tokenizer {

namespace {

struct Flagged {
  Range range;
  bool isMatch;
};

/// Joins each match to the piece before it in the order given: to the previous
/// one in text order, to the next one in reverse.
void mergeMatches(std::vector<Flagged> &pieces) {
  std::vector<Flagged> out;
  bool previousMatch = false;
  for (const Flagged &piece : pieces) {
    if (piece.isMatch && !previousMatch && !out.empty()) {
      out.back().range.begin =
          std::min(out.back().range.begin, piece.range.begin);
      out.back().range.end = std::max(out.back().range.end, piece.range.end);
    } else {
      out.push_back(piece);
    }
    previousMatch = piece.isMatch;
  }
  pieces = std::move(out);
}

/// Rewrites every word by `rewrite(word, startsText, out)`.
template <class Function> void rewriteWords(Words &words, Function rewrite) {
  std::string out;
  out.reserve(words.text.size() * 2);
  for (Words::Word &word : words.words) {
    size_t begin = out.size();
    rewrite(std::string_view(words.text)
                .substr(word.range.begin, word.range.end - word.range.begin),
            word.startsText, out);
    word.range = {begin, out.size()};
  }
  words.text = std::move(out);
}

/// Cuts every word at the matches of `pattern`.
void splitWords(Words &words, const Pattern &pattern, bool invert,
                SplitBehavior behavior) {
  std::vector<Words::Word> out;
  std::vector<Range> matches, pieces;
  for (const Words::Word &word : words.words) {
    size_t size = word.range.end - word.range.begin;
    matches.clear();
    pieces.clear();
    pattern.findAll(std::string_view(words.text).substr(word.range.begin, size),
                    matches);
    splitBy(matches, size, invert, behavior, pieces);
    for (const Range &piece : pieces) {
      out.push_back(
          {{word.range.begin + piece.begin, word.range.begin + piece.end},
           word.startsText && piece.begin == 0});
    }
  }
  words.words = std::move(out);
}

void applyMetaspace(Words &words, const PreTokenizerOp &op) {
  std::string_view mark = op.pattern;
  rewriteWords(
      words, [&](std::string_view word, bool startsText, std::string &out) {
        bool prepend = op.scheme == PrependScheme::Always ||
                       (op.scheme == PrependScheme::First && startsText);
        if (prepend && !word.starts_with(mark) && !word.starts_with(' ')) {
          out += mark;
        }
        for (char c : word) {
          if (c == ' ') {
            out += mark;
          } else {
            out += c;
          }
        }
      });
  if (op.split) {
    splitWords(words, Pattern::literal(op.pattern), false,
               SplitBehavior::MergedWithNext);
  }
}

} // namespace

void splitBy(const std::vector<Range> &matches, size_t size, bool invert,
             SplitBehavior behavior, std::vector<Range> &pieces) {
  std::vector<Flagged> all;
  size_t last = 0;
  for (const Range &match : matches) {
    if (last != match.begin) {
      all.push_back({{last, match.begin}, invert});
    }
    all.push_back({match, !invert});
    last = match.end;
  }
  if (last != size) {
    all.push_back({{last, size}, invert});
  }
  switch (behavior) {
  case SplitBehavior::Isolated:
    break;
  case SplitBehavior::Removed:
    std::erase_if(all, [](const Flagged &piece) { return piece.isMatch; });
    break;
  case SplitBehavior::Contiguous: {
    std::vector<Flagged> out;
    for (const Flagged &piece : all) {
      if (!out.empty() && out.back().isMatch == piece.isMatch) {
        out.back().range.end = piece.range.end;
      } else {
        out.push_back(piece);
      }
    }
    all = std::move(out);
    break;
  }
  case SplitBehavior::MergedWithPrevious:
    mergeMatches(all);
    break;
  case SplitBehavior::MergedWithNext:
    std::reverse(all.begin(), all.end());
    mergeMatches(all);
    std::reverse(all.begin(), all.end());
    break;
  }
  for (const Flagged &piece : all) {
    if (piece.range.begin != piece.range.end) {
      pieces.push_back(piece.range);
    }
  }
}

Result<PreTokenizer>
PreTokenizer::create(const std::vector<PreTokenizerOp> &ops) {
  PreTokenizer preTokenizer;
  for (const PreTokenizerOp &op : ops) {
    Step step{op, {}};
    if (op.kind == PreTokenizerKind::SplitLiteral) {
      step.pattern = Pattern::literal(op.pattern);
    } else if (op.kind == PreTokenizerKind::SplitRegex) {
      Result<Pattern> pattern = Pattern::compile(op.pattern);
      if (!pattern) {
        return pattern.error();
      }
      step.pattern = *std::move(pattern);
    }
    preTokenizer.steps.push_back(std::move(step));
  }
  return preTokenizer;
}

Words PreTokenizer::apply(std::string text, bool startsText) const {
  Words words;
  words.text = std::move(text);
  if (words.text.empty()) {
    return words;
  }
  words.words.push_back({{0, words.text.size()}, startsText});
  // Bounds what rules that each lengthen the text can do together.
  size_t limit = (size_t(1) << 20) + words.text.size() * 64;
  for (const Step &step : steps) {
    if (words.text.size() > limit) {
      break;
    }
    switch (step.op.kind) {
    case PreTokenizerKind::SplitLiteral:
    case PreTokenizerKind::SplitRegex:
      splitWords(words, *step.pattern, step.op.invert, step.op.behavior);
      break;
    case PreTokenizerKind::PrefixSpace:
      rewriteWords(words, [](std::string_view word, bool, std::string &out) {
        if (!word.starts_with(' ')) {
          out += ' ';
        }
        out += word;
      });
      break;
    case PreTokenizerKind::ByteMap:
      rewriteWords(words, [](std::string_view word, bool, std::string &out) {
        appendByteMapped(out, word);
      });
      break;
    case PreTokenizerKind::Metaspace:
      applyMetaspace(words, step.op);
      break;
    }
  }
  return words;
}

} // namespace llmc::tokenizer
