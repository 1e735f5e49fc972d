//===- Decoder.cpp - What each token adds to the text ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Decoder.h"

#include "runtime/tokenizer/Normalizer.h"

#include <algorithm>

namespace llmc::tokenizer {

namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81"; // U+2581
constexpr size_t kMaxTextBytes = 256u << 20;

std::string replaceAll(std::string_view text, std::string_view pattern,
                       std::string_view content) {
  std::string out;
  size_t last = 0;
  for (size_t at = text.find(pattern); at != std::string_view::npos;
       at = text.find(pattern, last)) {
    out += text.substr(last, at - last);
    out += content;
    last = at + pattern.size();
  }
  out += text.substr(last);
  return out;
}

/// The value of "<0xHH>", or -1.
int byteValue(std::string_view token) {
  auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>' ||
      digit(token[3]) < 0 || digit(token[4]) < 0) {
    return -1;
  }
  return digit(token[3]) * 16 + digit(token[4]);
}

/// Applies the rules before Fuse to one token. `isByte` becomes true if it
/// stands for a byte.
std::string applyRules(const std::vector<DecoderOp> &ops,
                       std::string_view token, bool isFirst, bool &isByte) {
  std::string text(token);
  for (const DecoderOp &op : ops) {
    switch (op.kind) {
    case DecoderKind::ByteMap: {
      std::string bytes;
      appendByteUnmapped(bytes, text);
      text = std::move(bytes);
      break;
    }
    case DecoderKind::Metaspace:
      text = replaceAll(text, op.pattern,
                        isFirst && op.dropFirst ? std::string_view() : " ");
      break;
    case DecoderKind::Replace:
      text = replaceAll(text, op.pattern, op.content);
      break;
    case DecoderKind::ByteFallback:
      if (int value = byteValue(text); value >= 0) {
        isByte = true;
        return std::string(1, static_cast<char>(value));
      }
      break;
    case DecoderKind::Fuse:
      return text;
    case DecoderKind::Strip:
      for (uint32_t i = 0; i < op.count && text.starts_with(op.pattern); ++i) {
        text.erase(0, op.pattern.size());
      }
      break;
    }
  }
  return text;
}

} // namespace

void TokenTexts::decodeSentencePiece(const Spec &spec, uint32_t id) {
  std::string_view piece = spec.pieces[id];
  switch (static_cast<PieceKind>(spec.kinds[id])) {
  case PieceKind::Control:
    kinds[id] = Kind::Special;
    middle.push(piece);
    return;
  case PieceKind::Unknown:
    middle.push(spec.sentencePiece.unknownSurface);
    return;
  case PieceKind::Byte:
    if (int value = byteValue(piece); value >= 0) {
      kinds[id] = Kind::Byte;
      byteFallback = true;
      middle.push(std::string(1, static_cast<char>(value)));
      return;
    }
    break;
  default:
    break;
  }
  middle.push(replaceAll(piece, kSpaceSymbol, " "));
}

Result<TokenTexts> TokenTexts::create(const Spec &spec, uint32_t size) {
  TokenTexts texts;
  std::vector<const AddedToken *> added(size, nullptr);
  for (const AddedToken &token : spec.added) {
    added[token.id] = &token;
  }
  bool hasStart = false, fused = false;
  for (const DecoderOp &op : spec.decoders) {
    hasStart |= op.kind == DecoderKind::Metaspace && op.dropFirst;
    texts.byteFallback |= op.kind == DecoderKind::ByteFallback;
    if (fused) {
      if (op.kind != DecoderKind::Strip || texts.stripCount != 0) {
        return Error{ErrorCode::TokenizerUnsupported,
                     "a tokenizer decoder with more than one Strip after Fuse"};
      }
      texts.stripCount = op.count;
      texts.stripText = op.pattern;
    }
    fused |= op.kind == DecoderKind::Fuse;
  }
  texts.joinWithSpaces = spec.joinWithSpaces;
  if (spec.isSentencePiece()) {
    texts.leadingSpace =
        spec.sentencePiece.removeExtraWhitespaces ? LeadingSpace::AllDropped
        : spec.sentencePiece.addDummyPrefix       ? LeadingSpace::OneDropped
                                                  : LeadingSpace::Kept;
  }

  texts.kinds.assign(size, Kind::Text);
  size_t total = 0;
  for (uint32_t id = 0; id < size; ++id) {
    bool exists = id < spec.pieces.size() &&
                  spec.kinds[id] != static_cast<uint8_t>(PieceKind::Absent);
    if (!exists && !added[id]) {
      texts.kinds[id] = Kind::None;
      texts.spellings.push({});
      texts.middle.push({});
      texts.start.push({});
      continue;
    }
    std::string_view spelling =
        added[id] ? std::string_view(added[id]->content) : spec.pieces[id];
    texts.spellings.push(spelling);
    if (spec.isSentencePiece() && exists) {
      texts.decodeSentencePiece(spec, id);
    } else {
      bool isByte = false;
      texts.middle.push(applyRules(spec.decoders, spelling, false, isByte));
      if (hasStart) {
        texts.start.push(applyRules(spec.decoders, spelling, true, isByte));
      }
      if (isByte) {
        texts.kinds[id] = Kind::Byte;
      }
    }
    if (added[id] && added[id]->special) {
      texts.kinds[id] = Kind::Special;
    }
    texts.longest = std::max(texts.longest, texts.middle[id].size());
    total += texts.middle[id].size() + spelling.size();
    if (total > kMaxTextBytes) {
      return Error{ErrorCode::TokenizerUnsupported,
                   "the tokenizer's texts exceed " +
                       std::to_string(kMaxTextBytes) + " bytes"};
    }
  }
  if (!hasStart) {
    texts.start = StringTable();
  }
  return texts;
}

} // namespace llmc::tokenizer
