//===- Pattern.cpp - Regular expressions and literals ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Pattern.h"

#include "runtime/tokenizer/Unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace llmc::tokenizer {

namespace {

// Bounds on what a pattern from an untrusted file may cost.
constexpr size_t kMaxPatternBytes = 64 * 1024;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKiB = 256 * 1024;

/// Rewrites what Oniguruma and PCRE2 understand differently: \s, \w and \h
/// (white space with U+180E in PCRE2, words without marks, hex digits). Nested
/// sets and set intersections exist in Oniguruma only and are refused.
Result<std::string> translate(std::string_view regex) {
  auto fail = [&](std::string what) {
    return Error{ErrorCode::TokenizerUnsupported,
                 what + " in the pattern \"" + std::string(regex) + "\""};
  };
  std::string out;
  bool inSet = false;
  size_t setStart = 0;
  for (size_t i = 0; i < regex.size(); ++i) {
    char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      char next = regex[++i];
      switch (next) {
      case 's':
        out += "\\p{White_Space}";
        break;
      case 'S':
        out += "\\P{White_Space}";
        break;
      case 'w': {
        const char *word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
        out += inSet ? word : "[" + std::string(word) + "]";
        break;
      }
      case 'W':
        if (inSet) {
          return fail("\\W inside a set");
        }
        out += "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]";
        break;
      case 'h':
        out += inSet ? "0-9a-fA-F" : "[0-9a-fA-F]";
        break;
      case 'H':
        if (inSet) {
          return fail("\\H inside a set");
        }
        out += "[^0-9a-fA-F]";
        break;
      case 'u': // four hexadecimal digits follow
        if (i + 4 >= regex.size()) {
          return fail("an unfinished \\u");
        }
        out += "\\x{" + std::string(regex.substr(i + 1, 4)) + "}";
        i += 4;
        break;
      default:
        out += c;
        out += next;
      }
      continue;
    }
    if (inSet) {
      if (c == '&' && regex.substr(i, 2) == "&&") {
        return fail("a set intersection (&&)");
      }
      if (c == '[') {
        if (regex.substr(i, 2) != "[:") {
          return fail("a set inside a set");
        }
        size_t close = regex.find(":]", i);
        if (close == std::string_view::npos) {
          return fail("an unclosed [:");
        }
        out += regex.substr(i, close + 2 - i);
        i = close + 1;
        continue;
      }
      // A ] that stands first is a member of the set.
      if (c == ']' && i != setStart) {
        inSet = false;
      }
    } else if (c == '[') {
      inSet = true;
      out += c;
      if (regex.substr(i + 1, 1) == "^") {
        out += '^';
        ++i;
      }
      setStart = i + 1;
      continue;
    }
    out += c;
  }
  return out;
}

struct CompileContext {
  pcre2_compile_context *context = pcre2_compile_context_create(nullptr);
  ~CompileContext() { pcre2_compile_context_free(context); }
};

struct MatchState {
  pcre2_match_data *data;
  pcre2_match_context *context;
  explicit MatchState(const pcre2_code *code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    if (context) {
      pcre2_set_match_limit(context, kMatchLimit);
      pcre2_set_heap_limit(context, kHeapLimitKiB);
    }
  }
  ~MatchState() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

} // namespace

struct Pattern::Code {
  pcre2_code *code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.needle = std::move(text);
  return pattern;
}

Result<Pattern> Pattern::compile(std::string_view regex) {
  if (regex.size() > kMaxPatternBytes) {
    return Error{ErrorCode::TokenizerUnsupported,
                 "a pattern of " + std::to_string(regex.size()) +
                     " bytes; the limit is " +
                     std::to_string(kMaxPatternBytes)};
  }
  Result<std::string> translated = translate(regex);
  if (!translated) {
    return translated.error();
  }
  CompileContext compile;
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto owned = std::make_shared<Code>();
  // Lone anchors see the ends of the whole text, as Oniguruma's do not: its ^
  // and $ are those of lines.
  owned->code = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
      &offset, compile.context);
  if (!owned->code) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return Error{
        ErrorCode::TokenizerUnsupported,
        "the pattern \"" + std::string(regex) +
            "\" does not compile: " + reinterpret_cast<const char *>(message)};
  }
  Pattern pattern;
  pattern.code = std::move(owned);
  return pattern;
}

void Pattern::findAll(std::string_view text,
                      std::vector<Range> &matches) const {
  if (!code) {
    if (needle.empty()) {
      return;
    }
    for (size_t at = text.find(needle); at != std::string_view::npos;
         at = text.find(needle, at + needle.size())) {
      matches.push_back({at, at + needle.size()});
    }
    return;
  }
  MatchState state(code->code);
  if (!state.data || !state.context) {
    return;
  }
  const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(state.data);
  size_t at = 0;
  size_t lastEnd = static_cast<size_t>(-1);
  while (at <= text.size()) {
    int found = pcre2_match(
        code->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
        PCRE2_NO_UTF_CHECK, state.data, state.context);
    if (found < 0) {
      // No match, or the limits are reached: the rest is one piece. Only a
      // pattern made to do so comes there.
      return;
    }
    size_t begin = bounds[0], end = bounds[1];
    if (begin > end || end < at) { // \K in a lookaround
      return;
    }
    if (end > begin) {
      matches.push_back({begin, end});
      lastEnd = at = end;
      continue;
    }
    // An empty match may not touch the match before it.
    if (begin != lastEnd) {
      matches.push_back({begin, end});
    }
    if (begin >= text.size()) {
      return;
    }
    at = begin + readUtf8(text, begin).length;
  }
}

} // namespace llmc::tokenizer
