//===- TextStream.h - Text as it comes, up to a stop -----------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Turns tokens to text, writes what is certain to a file and looks for stop
// strings. Text that may be the beginning of a stop is held back until it is
// clear. Without a tokenizer the ids themselves are shown.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_RUN_TEXTSTREAM_H
#define LLMC_TOOLS_LLMC_RUN_TEXTSTREAM_H

#include "runtime/tokenizer/Tokenizer.h"

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace llmc::tool {

class TextStream {
public:
  /// `out` nullptr: only collects. `tokens` is how many to make room for.
  TextStream(const tokenizer::Tokenizer *tokenizer,
             std::vector<std::string> stops, std::FILE *out, int64_t tokens);

  /// Returns true if a stop string is complete; the text then ends before it.
  bool push(int64_t token);

  /// Writes what was held back.
  void finish();

  /// Ends the line if anything was written.
  void endLine();

  const std::string &text() const { return all; }

private:
  bool append(std::string_view piece);
  void write(size_t upTo);

  std::optional<tokenizer::StreamDecoder> decoder;
  std::vector<std::string> stops;
  std::FILE *out;
  std::string all;
  size_t longestStop = 0;
  size_t written = 0;
  int64_t count = 0;
  bool stopped = false;
};

} // namespace llmc::tool

#endif // LLMC_TOOLS_LLMC_RUN_TEXTSTREAM_H
