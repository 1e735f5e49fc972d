//===- Unicode.cpp - UTF-8 and normal forms -------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Unicode.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace llmc::tokenizer {

namespace {

struct Decomposition {
  uint32_t code;
  uint16_t offset;
  uint8_t length;
};
struct ClassRange {
  uint32_t first;
  uint32_t last;
  uint8_t value;
};
struct Composition {
  uint32_t first;
  uint32_t second;
  uint32_t composed;
};
struct CaseMapping {
  uint32_t code;
  uint32_t lower;
};

#include "unicode_tables.inc"

// Hangul syllables are (de)composed by arithmetic (Unicode 15, 3.12).
constexpr uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161,
                   kTBase = 0x11A7, kLCount = 19, kVCount = 21, kTCount = 28,
                   kSCount = kLCount * kVCount * kTCount;

unsigned combiningClass(uint32_t code) {
  auto it = std::upper_bound(std::begin(kCombiningClasses),
                             std::end(kCombiningClasses), code,
                             [](uint32_t value, const ClassRange &range) {
                               return value < range.first;
                             });
  if (it == std::begin(kCombiningClasses)) {
    return 0;
  }
  --it;
  return code <= it->last ? it->value : 0;
}

template <size_t N>
const Decomposition *findDecomposition(const Decomposition (&table)[N],
                                       uint32_t code) {
  auto it = std::lower_bound(std::begin(table), std::end(table), code,
                             [](const Decomposition &entry, uint32_t value) {
                               return entry.code < value;
                             });
  return it != std::end(table) && it->code == code ? it : nullptr;
}

void decompose(uint32_t code, bool compatibility, std::vector<uint32_t> &out) {
  if (code < 0x80) {
    out.push_back(code);
    return;
  }
  if (code - kSBase < kSCount) {
    uint32_t index = code - kSBase;
    out.push_back(kLBase + index / (kVCount * kTCount));
    out.push_back(kVBase + index % (kVCount * kTCount) / kTCount);
    if (index % kTCount != 0) {
      out.push_back(kTBase + index % kTCount);
    }
    return;
  }
  const Decomposition *entry = compatibility
                                   ? findDecomposition(kCompatibility, code)
                                   : findDecomposition(kCanonical, code);
  if (!entry) {
    out.push_back(code);
    return;
  }
  const uint32_t *pool = compatibility ? kCompatibilityPool : kCanonicalPool;
  out.insert(out.end(), pool + entry->offset,
             pool + entry->offset + entry->length);
}

/// The primary composite of two characters, or 0.
uint32_t compose(uint32_t first, uint32_t second) {
  if (first - kLBase < kLCount && second - kVBase < kVCount) {
    return kSBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
  }
  if (first - kSBase < kSCount && (first - kSBase) % kTCount == 0 &&
      second > kTBase && second < kTBase + kTCount) {
    return first + (second - kTBase);
  }
  auto it = std::lower_bound(
      std::begin(kCompositions), std::end(kCompositions),
      std::pair<uint32_t, uint32_t>(first, second),
      [](const Composition &entry, const std::pair<uint32_t, uint32_t> &key) {
        return std::pair(entry.first, entry.second) < key;
      });
  if (it != std::end(kCompositions) && it->first == first &&
      it->second == second) {
    return it->composed;
  }
  return 0;
}

/// Canonical ordering: by class, stable, within each run of non-starters.
void orderMarks(std::vector<uint32_t> &codes) {
  struct Mark {
    unsigned value;
    size_t position;
    uint32_t code;
  };
  std::vector<Mark> run;
  for (size_t i = 0; i < codes.size();) {
    run.clear();
    for (size_t at = i; at < codes.size(); ++at) {
      unsigned value = combiningClass(codes[at]);
      if (value == 0) {
        break;
      }
      run.push_back({value, at, codes[at]});
    }
    std::sort(run.begin(), run.end(), [](const Mark &a, const Mark &b) {
      return a.value != b.value ? a.value < b.value : a.position < b.position;
    });
    for (const Mark &mark : run) {
      codes[i++] = mark.code;
    }
    ++i;
  }
}

void composeAll(std::vector<uint32_t> &codes) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone, out = 0;
  unsigned lastClass = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    uint32_t code = codes[i];
    unsigned value = combiningClass(code);
    // A character is blocked from the starter by one between them whose class
    // is 0 or not lower than its own.
    bool adjacent = starter != kNone && out == starter + 1;
    if (starter != kNone &&
        (adjacent || (lastClass != 0 && lastClass < value))) {
      if (uint32_t composed = compose(codes[starter], code)) {
        codes[starter] = composed;
        continue;
      }
    }
    if (value == 0) {
      starter = out;
    }
    lastClass = value;
    codes[out++] = code;
  }
  codes.resize(out);
}

} // namespace

Utf8Step readUtf8(std::string_view text, size_t at) {
  using Kind = Utf8Step::Kind;
  auto byte = [&](size_t i) {
    return static_cast<unsigned char>(text[at + i]);
  };
  size_t left = text.size() - at;
  unsigned char lead = byte(0);
  if (lead < 0x80) {
    return {Kind::Valid, 1, lead};
  }
  unsigned length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) {
    return {Kind::Invalid, 1, 0};
  }
  // The second byte's range excludes overlong forms, surrogates and values
  // above U+10FFFF.
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  uint32_t code = lead & (0x7Fu >> length);
  for (unsigned i = 1; i < length; ++i) {
    if (i >= left) {
      return {Kind::Incomplete, static_cast<uint8_t>(i), 0};
    }
    if (byte(i) < low || byte(i) > high) {
      return {Kind::Invalid, static_cast<uint8_t>(i), 0};
    }
    code = code << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {Kind::Valid, static_cast<uint8_t>(length), code};
}

void appendUtf8(std::string &out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

bool isValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    Utf8Step step = readUtf8(text, at);
    if (step.kind != Utf8Step::Kind::Valid) {
      return false;
    }
    at += step.length;
  }
  return true;
}

bool isAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
}

std::string toValidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    Utf8Step step = readUtf8(text, at);
    out += step.kind == Utf8Step::Kind::Valid ? text.substr(at, step.length)
                                              : kReplacementCharacter;
    at += step.length;
  }
  return out;
}

std::string normalize(std::string_view text, NormalForm form) {
  if (isAscii(text)) {
    return std::string(text);
  }
  bool compatibility = form == NormalForm::KC || form == NormalForm::KD;
  std::vector<uint32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    Utf8Step step = readUtf8(text, at);
    decompose(step.code, compatibility, codes);
    at += step.length;
  }
  orderMarks(codes);
  if (form == NormalForm::C || form == NormalForm::KC) {
    composeAll(codes);
  }
  std::string out;
  out.reserve(text.size());
  for (uint32_t code : codes) {
    appendUtf8(out, code);
  }
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    Utf8Step step = readUtf8(text, at);
    at += step.length;
    if (step.code == 0x130) { // the one unconditional entry of SpecialCasing
      out += "i\xCC\x87";
      continue;
    }
    auto it = std::lower_bound(std::begin(kLowercase), std::end(kLowercase),
                               step.code,
                               [](const CaseMapping &entry, uint32_t value) {
                                 return entry.code < value;
                               });
    bool found = it != std::end(kLowercase) && it->code == step.code;
    appendUtf8(out, found ? it->lower : step.code);
  }
  return out;
}

bool isWhiteSpace(uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

} // namespace llmc::tokenizer
