//===- StreamDecoder.cpp - Token ids to text ------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Impl.h"
#include "runtime/tokenizer/Unicode.h"

#include <algorithm>

namespace llmc::tokenizer {

static constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81"; // U+2581

StreamDecoder::StreamDecoder(const Tokenizer &tokenizer, bool skip)
    : impl(tokenizer.impl), skipSpecial(skip) {
  // Three bytes may wait, a space may join, and any byte may become U+FFFD.
  size_t input = impl->texts.longest + 4;
  pending.reserve(input);
  text.reserve(input * kReplacementCharacter.size());
  reset();
}

void StreamDecoder::reset() {
  text.clear();
  pending.clear();
  first = true;
  atStart = true;
  toStrip = impl->texts.stripCount;
}

/// Moves whole characters from `pending` to `text`; `all`: the rest too.
void StreamDecoder::drain(bool all) {
  // Byte fallback replaces each stray byte by itself; byte-level models
  // replace each maximal subpart, as Rust's from_utf8_lossy does.
  bool single = impl->texts.byteFallback;
  size_t at = 0;
  while (at < pending.size()) {
    Utf8Step step = readUtf8(pending, at);
    if (step.kind == Utf8Step::Kind::Valid) {
      text.append(pending, at, step.length);
      at += step.length;
      continue;
    }
    if (step.kind == Utf8Step::Kind::Incomplete && !all) {
      break;
    }
    text += kReplacementCharacter;
    at += single ? 1 : step.length;
  }
  pending.erase(0, at);
}

/// What a Strip after Fuse takes off the beginning of the whole text.
void StreamDecoder::stripLeft() {
  while (toStrip != 0 && !text.empty()) {
    if (!text.starts_with(impl->texts.stripText)) {
      toStrip = 0;
      return;
    }
    text.erase(0, impl->texts.stripText.size());
    --toStrip;
  }
}

std::string_view StreamDecoder::push(int32_t token) {
  const TokenTexts &texts = impl->texts;
  text.clear();
  if (!texts.has(token)) {
    return text;
  }
  TokenTexts::Kind kind = texts.kind(token);
  bool hidden = kind == TokenTexts::Kind::Special && skipSpecial;
  bool sentencePiece = impl->spec.isSentencePiece();
  if (texts.byteFallback && kind != TokenTexts::Kind::Byte &&
      (!hidden || sentencePiece)) {
    drain(true); // no character spans byte tokens and others
    atStart &= text.empty();
  }
  if (hidden) {
    return text;
  }
  std::string_view bytes = first ? texts.firstBytes(token) : texts.bytes(token);
  if (texts.joinWithSpaces && !first) {
    pending += ' ';
  }
  first = false;
  if (atStart && sentencePiece &&
      texts.leadingSpace != TokenTexts::LeadingSpace::Kept &&
      bytes.starts_with(' ') &&
      texts.spelling(token).starts_with(kSpaceSymbol)) {
    bytes.remove_prefix(1);
    atStart = texts.leadingSpace == TokenTexts::LeadingSpace::AllDropped;
  }
  pending += bytes;
  drain(false);
  atStart &= text.empty() && pending.empty();
  stripLeft();
  return text;
}

std::string_view StreamDecoder::finish() {
  text.clear();
  drain(true);
  stripLeft();
  return text;
}

/// tokenizer.json's byte fallback takes or replaces a run of byte tokens as a
/// whole: all of it is UTF-8, or every byte of it becomes U+FFFD.
void StreamDecoder::pushRun(std::span<const int32_t> run, std::string &out) {
  std::string bytes;
  for (int32_t token : run) {
    bytes += impl->texts.bytes(token);
  }
  if (isValidUtf8(bytes)) {
    for (int32_t token : run) {
      out += push(token);
    }
    return;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    out += kReplacementCharacter;
  }
  first = false;
  toStrip = 0;
}

std::string Tokenizer::decode(std::span<const int32_t> tokens,
                              bool skipSpecial) const {
  const TokenTexts &texts = impl->texts;
  StreamDecoder decoder(*this, skipSpecial);
  std::string out;
  bool wholeRuns = texts.byteFallback && !impl->spec.isSentencePiece();
  std::vector<int32_t> run;
  for (int32_t token : tokens) {
    if (!texts.has(token) ||
        (skipSpecial && isSpecial(token) && !impl->spec.isSentencePiece())) {
      continue;
    }
    if (wholeRuns && texts.kind(token) == TokenTexts::Kind::Byte) {
      run.push_back(token);
      continue;
    }
    decoder.pushRun(run, out);
    run.clear();
    out += decoder.push(token);
  }
  decoder.pushRun(run, out);
  out += decoder.finish();
  return out;
}

} // namespace llmc::tokenizer
