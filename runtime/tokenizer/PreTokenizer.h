//===- PreTokenizer.h - Text into words -------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_PRETOKENIZER_H
#define LLMC_RUNTIME_TOKENIZER_PRETOKENIZER_H

#include "runtime/tokenizer/Pattern.h"
#include "runtime/tokenizer/Spec.h"

#include <optional>
#include <string>
#include <vector>

namespace llmc::tokenizer {

/// A text cut into words, in order. What lies between them is dropped.
struct Words {
  struct Word {
    Range range;
    bool startsText; ///< begins where the original text begins
  };
  std::string text;
  std::vector<Word> words;
};

class PreTokenizer {
public:
  static Result<PreTokenizer> create(const std::vector<PreTokenizerOp> &ops);

  /// Cuts `text`; `startsText` tells whether it begins the whole input.
  Words apply(std::string text, bool startsText) const;

private:
  struct Step {
    PreTokenizerOp op;
    std::optional<Pattern> pattern;
  };
  std::vector<Step> steps;
};

/// Cuts [0, size) by `matches` (ordered, not overlapping) as the original
/// does; appends the pieces that are not empty.
void splitBy(const std::vector<Range> &matches, size_t size, bool invert,
             SplitBehavior behavior, std::vector<Range> &pieces);

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_PRETOKENIZER_H
