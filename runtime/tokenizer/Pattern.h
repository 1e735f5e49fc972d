//===- Pattern.h - Regular expressions and literals -------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Tokenizer files write their patterns for Oniguruma; PCRE2 reads the same
// language but for a few classes, which compile() translates. A literal is
// searched without PCRE2.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_PATTERN_H
#define LLMC_RUNTIME_TOKENIZER_PATTERN_H

#include "runtime/support/Result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::tokenizer {

/// A byte range [begin, end).
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

class Pattern {
public:
  /// A pattern that finds `text` as it stands; `text` must not be empty.
  static Pattern literal(std::string text);

  /// Compiles a regular expression, in UTF-8 with Unicode classes.
  static Result<Pattern> compile(std::string_view regex);

  /// Appends the matches in valid UTF-8 `text`, left to right, not
  /// overlapping. Empty matches are included.
  void findAll(std::string_view text, std::vector<Range> &matches) const;

private:
  struct Code; // owns the compiled PCRE2 pattern
  std::string needle;
  std::shared_ptr<const Code> code;
};

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_PATTERN_H
