//===- Normalizer.cpp - Text before it is split ---------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Normalizer.h"

#include "runtime/tokenizer/Unicode.h"

#include <array>

namespace llmc::tokenizer {

namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81"; // U+2581

/// Printable bytes stand for themselves; the others, in order, for U+0100 and
/// up.
struct ByteMapTables {
  std::array<uint16_t, 256> codeOf{};
  std::array<int16_t, 0x180> byteOf{};
  ByteMapTables() {
    byteOf.fill(-1);
    uint16_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      bool printable = (byte >= 0x21 && byte <= 0x7E) ||
                       (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      codeOf[byte] = printable ? static_cast<uint16_t>(byte) : next++;
      byteOf[codeOf[byte]] = static_cast<int16_t>(byte);
    }
  }
};

const ByteMapTables &byteMap() {
  static const ByteMapTables tables;
  return tables;
}

/// How long a text may become under rules that each multiply it. No real
/// tokenizer comes near; where it is reached, the rest stays as it is.
size_t growthLimit(size_t inputBytes) {
  return (size_t(1) << 20) + inputBytes * 64;
}

/// Replaces every match of `pattern` by `content`, until `limit` is reached.
std::string replaceAll(std::string_view text, const Pattern &pattern,
                       std::string_view content, size_t limit) {
  std::vector<Range> matches;
  pattern.findAll(text, matches);
  std::string out;
  size_t last = 0;
  for (const Range &match : matches) {
    if (out.size() > limit) {
      break;
    }
    out += text.substr(last, match.begin - last);
    out += content;
    last = match.end;
  }
  out += text.substr(last);
  return out;
}

std::string strip(std::string_view text, bool left, bool right) {
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    Utf8Step step = readUtf8(text, at);
    if (!isWhiteSpace(step.code)) {
      begin = std::min(begin, at);
      end = at + step.length;
    }
    at += step.length;
  }
  if (begin == text.size()) {
    return left || right ? std::string() : std::string(text);
  }
  begin = left ? begin : 0;
  end = right ? end : text.size();
  return std::string(text.substr(begin, end - begin));
}

/// The form of this map in tokenizer.json works by grapheme clusters, and
/// takes the shortest entry that a cluster begins with for the whole of it.
std::string applyPrecompiled(std::string_view text, const CharacterMap &map,
                             const Pattern &grapheme, size_t limit) {
  std::vector<Range> clusters;
  grapheme.findAll(text, clusters);
  std::string out;
  for (const Range &range : clusters) {
    std::string_view cluster =
        text.substr(range.begin, range.end - range.begin);
    if (out.size() > limit) {
      out += cluster;
      continue;
    }
    if (cluster.size() < 6) {
      if (auto match = map.shortestPrefix(cluster); match.length != 0) {
        out += match.replacement;
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      std::string_view character =
          cluster.substr(at, readUtf8(cluster, at).length);
      auto match = map.shortestPrefix(character);
      out += match.length != 0 ? match.replacement : character;
      at += character.size();
    }
  }
  // Patterns come after this, and they rely on valid text.
  return isValidUtf8(out) ? out : toValidUtf8(out);
}

} // namespace

void appendByteMapped(std::string &out, std::string_view bytes) {
  for (unsigned char byte : bytes) {
    appendUtf8(out, byteMap().codeOf[byte]);
  }
}

void appendByteUnmapped(std::string &out, std::string_view mapped) {
  size_t start = out.size();
  for (size_t at = 0; at < mapped.size();) {
    Utf8Step step = readUtf8(mapped, at);
    int byte = step.kind == Utf8Step::Kind::Valid &&
                       step.code < byteMap().byteOf.size()
                   ? byteMap().byteOf[step.code]
                   : -1;
    if (byte < 0) {
      out.resize(start);
      out += mapped;
      return;
    }
    out += static_cast<char>(byte);
    at += step.length;
  }
}

Result<CharacterMap> CharacterMap::parse(std::string_view blob) {
  auto fail = [](const char *what) {
    return Error{ErrorCode::TokenizerMalformed,
                 std::string("the precompiled character map ") + what};
  };
  auto word = [&](size_t at) {
    auto byte = [&](size_t i) {
      return uint32_t(static_cast<unsigned char>(blob[at + i]));
    };
    return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  };
  if (blob.size() < 4) {
    return fail("has no header");
  }
  uint32_t trieBytes = word(0);
  if (trieBytes == 0 || trieBytes % 4 != 0 || trieBytes > blob.size() - 4) {
    return fail("has a trie of the wrong size");
  }
  CharacterMap map;
  map.units.reserve(trieBytes / 4);
  for (size_t i = 0; i < trieBytes; i += 4) {
    map.units.push_back(word(4 + i));
  }
  map.replacements = blob.substr(4 + size_t(trieBytes));
  return map;
}

CharacterMap::Match CharacterMap::prefix(std::string_view text,
                                         bool shortest) const {
  // A unit holds a label in its low byte, an offset to its children from bit
  // 10, and in bit 8 whether a value hangs below it.
  auto offsetOf = [](uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
  };
  Match best{0, {}};
  uint32_t position = offsetOf(units[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(text[i]);
    position ^= byte;
    if (position >= units.size()) {
      break;
    }
    uint32_t unit = units[position];
    if ((unit & (1u << 31 | 0xFF)) != byte) {
      break;
    }
    position ^= offsetOf(unit);
    if (position >= units.size()) {
      break;
    }
    if (unit >> 8 & 1) {
      uint32_t value = units[position] & ~(1u << 31);
      if (value >= replacements.size()) {
        break;
      }
      // No real entry is long; a bound keeps a hostile one from multiplying.
      std::string_view tail =
          std::string_view(replacements).substr(value, kMaxRuleText);
      best = {i + 1, tail.substr(0, tail.find('\0'))};
      if (shortest) {
        break;
      }
    }
  }
  return best;
}

Result<Normalizer> Normalizer::create(const std::vector<NormalizerOp> &ops) {
  Normalizer normalizer;
  for (const NormalizerOp &op : ops) {
    Step step;
    step.op = op;
    if (op.kind == NormalizerKind::ReplaceLiteral) {
      step.pattern = Pattern::literal(op.pattern);
    } else if (op.kind == NormalizerKind::ReplaceRegex ||
               op.kind == NormalizerKind::Precompiled) {
      bool regex = op.kind == NormalizerKind::ReplaceRegex;
      Result<Pattern> pattern =
          Pattern::compile(regex ? std::string_view(op.pattern) : "\\X");
      if (!pattern) {
        return pattern.error();
      }
      step.pattern = *std::move(pattern);
    }
    if (op.kind == NormalizerKind::Precompiled) {
      Result<CharacterMap> map = CharacterMap::parse(op.content);
      if (!map) {
        return map.error();
      }
      step.map = *std::move(map);
      step.op.content.clear();
    }
    normalizer.steps.push_back(std::move(step));
  }
  return normalizer;
}

std::string Normalizer::apply(std::string text) const {
  size_t limit = growthLimit(text.size());
  for (const Step &step : steps) {
    if (text.size() > limit) {
      break;
    }
    switch (step.op.kind) {
    case NormalizerKind::Nfc:
      text = normalize(text, NormalForm::C);
      break;
    case NormalizerKind::Nfd:
      text = normalize(text, NormalForm::D);
      break;
    case NormalizerKind::Nfkc:
      text = normalize(text, NormalForm::KC);
      break;
    case NormalizerKind::Nfkd:
      text = normalize(text, NormalForm::KD);
      break;
    case NormalizerKind::Lowercase:
      text = lowercase(text);
      break;
    case NormalizerKind::Strip:
      text = strip(text, step.op.left, step.op.right);
      break;
    case NormalizerKind::Prepend:
      if (!text.empty()) {
        text.insert(0, step.op.content);
      }
      break;
    case NormalizerKind::ReplaceLiteral:
    case NormalizerKind::ReplaceRegex:
      text = replaceAll(text, *step.pattern, step.op.content, limit);
      break;
    case NormalizerKind::ByteMap: {
      std::string mapped;
      appendByteMapped(mapped, text);
      text = std::move(mapped);
      break;
    }
    case NormalizerKind::Precompiled:
      text = applyPrecompiled(text, *step.map, *step.pattern, limit);
      break;
    }
  }
  return text;
}

Result<SentencePieceNormalizer>
SentencePieceNormalizer::create(const SentencePieceSpec &spec) {
  SentencePieceNormalizer normalizer;
  normalizer.spec = spec;
  if (!spec.charsmap.empty()) {
    Result<CharacterMap> map = CharacterMap::parse(spec.charsmap);
    if (!map) {
      return map.error();
    }
    normalizer.map = *std::move(map);
    normalizer.spec.charsmap.clear();
  }
  return normalizer;
}

std::string
SentencePieceNormalizer::apply(std::string_view text,
                               const PrefixIndex &userDefined) const {
  // The normal form of the text's beginning; `consumed` bytes of it.
  auto next = [&](std::string_view rest, size_t &consumed) {
    uint32_t ignored = 0;
    if (size_t length = userDefined.longestPrefix(rest, ignored)) {
      consumed = length;
      return rest.substr(0, length);
    }
    if (map) {
      if (auto match = map->longestPrefix(rest); match.length != 0) {
        consumed = match.length;
        return match.replacement;
      }
    }
    Utf8Step step = readUtf8(rest, 0);
    if (step.kind != Utf8Step::Kind::Valid) {
      consumed = 1; // each malformed byte by itself
      return kReplacementCharacter;
    }
    consumed = step.length;
    return rest.substr(0, step.length);
  };

  size_t consumed = 0;
  if (spec.removeExtraWhitespaces) {
    while (!text.empty() && next(text, consumed) == " ") {
      text.remove_prefix(consumed);
    }
  }
  if (text.empty()) {
    return {};
  }
  std::string_view space = spec.escapeWhitespaces ? kSpaceSymbol : " ";
  std::string out;
  out.reserve(text.size() * 2);
  if (spec.addDummyPrefix) {
    out += space;
  }
  size_t limit = growthLimit(text.size());
  bool afterSpace = spec.removeExtraWhitespaces;
  while (!text.empty() && out.size() <= limit) {
    std::string_view form = next(text, consumed);
    while (afterSpace && form.starts_with(' ')) {
      form.remove_prefix(1);
    }
    if (!form.empty()) {
      for (char c : form) {
        if (c == ' ') {
          out += space;
        } else {
          out += c;
        }
      }
      afterSpace = form.ends_with(' ');
    }
    text.remove_prefix(consumed);
    afterSpace &= spec.removeExtraWhitespaces;
  }
  if (spec.removeExtraWhitespaces) {
    while (out.ends_with(space)) {
      out.resize(out.size() - space.size());
    }
  }
  return out;
}

} // namespace llmc::tokenizer
