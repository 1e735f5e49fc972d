//===- TextStream.cpp -----------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/TextStream.h"

#include <algorithm>

using namespace llmc;
using namespace llmc::tool;

TextStream::TextStream(const tokenizer::Tokenizer *tokenizer,
                       std::vector<std::string> stops, std::FILE *out,
                       int64_t tokens)
    : stops(std::move(stops)), out(out) {
  if (tokenizer) {
    decoder.emplace(*tokenizer);
  }
  std::erase(this->stops, std::string());
  for (const std::string &stop : this->stops) {
    longestStop = std::max(longestStop, stop.size());
  }
  all.reserve(static_cast<size_t>(std::min<int64_t>(tokens, 1 << 16)) * 16);
}

bool TextStream::push(int64_t token) {
  if (decoder) {
    return append(decoder->push(static_cast<int32_t>(token)));
  }
  if (out) {
    std::fprintf(out, "%s%lld", count++ ? "," : "",
                 static_cast<long long>(token));
    std::fflush(out);
  }
  return false;
}

bool TextStream::append(std::string_view piece) {
  if (stopped || piece.empty()) {
    return stopped;
  }
  const size_t before = all.size();
  all += piece;
  // A stop may begin in what came before, but not so early that it would
  // have been complete then.
  const size_t from = before - std::min(before, longestStop);
  size_t end = std::string::npos;
  for (const std::string &stop : stops) {
    end = std::min(end, all.find(stop, from));
  }
  if (end != std::string::npos) {
    all.resize(end);
    write(all.size());
    stopped = true;
    return true;
  }
  size_t certain = all.size();
  for (const std::string &stop : stops) {
    for (size_t n = std::min(stop.size() - 1, all.size()); n > 0; --n) {
      if (all.compare(all.size() - n, n, stop, 0, n) == 0) {
        certain = std::min(certain, all.size() - n);
        break;
      }
    }
  }
  write(certain);
  return false;
}

void TextStream::write(size_t upTo) {
  if (out && upTo > written) {
    std::fwrite(all.data() + written, 1, upTo - written, out);
    std::fflush(out);
  }
  written = std::max(written, upTo);
}

void TextStream::finish() {
  if (decoder && !stopped) {
    append(decoder->finish());
  }
  write(all.size());
}

void TextStream::endLine() {
  if (out && (written || count)) {
    std::fputc('\n', out);
    std::fflush(out);
  }
}
