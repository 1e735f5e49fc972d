//===- TokenizerJson.cpp - Reading tokenizer.json -------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Follows what Hugging Face's tokenizers library serializes; see its
// src/{normalizers,pre_tokenizers,models,processors,decoders}. What is not
// understood is refused by name.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/ConfigJson.h"
#include "runtime/tokenizer/JsonFields.h"
#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Unicode.h"

namespace llmc::tokenizer {

namespace {

using nlohmann::json;

// GPT-2's words, as ByteLevel cuts them.
constexpr const char *kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// ASCII punctuation contains symbols that Unicode's class P does not.
constexpr const char *kPunctuation = R"([\p{P}$+<=>^`|~])";
// This one pattern is Rust's, where words also hold the two joiners.
constexpr const char *kWords =
    R"([\w\x{200C}\x{200D}]+|[^\w\s\x{200C}\x{200D}]+)";
constexpr int kMaxNesting = 8;

class Reader : JsonFields {
public:
  Result<Spec> read(const json &file);

private:
  bool enter(int depth) {
    if (depth > kMaxNesting) {
      malformed("sequences nested deeper than " + std::to_string(kMaxNesting));
    }
    return !failed;
  }

  void addedTokens(const json &file);
  void normalizer(const json &node, int depth);
  void preTokenizer(const json &node, int depth);
  void postProcessor(const json &node, int depth);
  void decoder(const json &node, int depth);
  bool pattern(const json &node, std::string &out);
  SplitBehavior behavior(const json &node, const char *fallback);
  PrependScheme prependScheme(const json &node);
  void addSplit(const std::string &regex, SplitBehavior splitBehavior,
                bool invert = false);

  Spec spec;
};

/// Bytes of base64; false if it is malformed.
bool decodeBase64(std::string_view text, std::string &out) {
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+'             ? 62
                : c == '/'             ? 63
                                       : -1;
    if (c == '=') {
      break;
    }
    if (value < 0) {
      return false;
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count);
    }
  }
  return true;
}

void Reader::addedTokens(const json &file) {
  if (!find(file, "added_tokens")) {
    return;
  }
  for (const json &node : list(file, "added_tokens")) {
    const json *id = find(node, "id");
    if (!id) {
      malformed("an added token without an id");
      return;
    }
    AddedToken token;
    token.id = static_cast<int32_t>(number(*id, "an added token's id"));
    token.content = text(node, "content");
    token.special = flag(node, "special", false);
    token.lstrip = flag(node, "lstrip", false);
    token.rstrip = flag(node, "rstrip", false);
    token.singleWord = flag(node, "single_word", false);
    token.normalized = flag(node, "normalized", !token.special);
    if (!token.content.empty()) {
      spec.added.push_back(std::move(token));
    }
  }
}

/// Reads {"String": ...} or {"Regex": ...}; true for a regular expression.
bool Reader::pattern(const json &node, std::string &out) {
  const json *value = find(node, "pattern");
  if (value && value->is_string()) { // an old form
    out = value->get<std::string>();
    return false;
  }
  if (value && find(*value, "Regex")) {
    out = text(*value, "Regex");
    return true;
  }
  if (!value || !find(*value, "String")) {
    malformed("a pattern that is neither String nor Regex");
    return false;
  }
  out = text(*value, "String");
  return false;
}

void Reader::normalizer(const json &node, int depth) {
  if (!enter(depth)) {
    return;
  }
  std::string type = text(node, "type");
  NormalizerOp op;
  if (type == "Sequence") {
    for (const json &member : list(node, "normalizers")) {
      normalizer(member, depth + 1);
    }
    return;
  }
  if (type == "NFC") {
    op.kind = NormalizerKind::Nfc;
  } else if (type == "NFD") {
    op.kind = NormalizerKind::Nfd;
  } else if (type == "NFKC") {
    op.kind = NormalizerKind::Nfkc;
  } else if (type == "NFKD") {
    op.kind = NormalizerKind::Nfkd;
  } else if (type == "Lowercase") {
    op.kind = NormalizerKind::Lowercase;
  } else if (type == "ByteLevel") {
    op.kind = NormalizerKind::ByteMap;
  } else if (type == "Strip") {
    op.kind = NormalizerKind::Strip;
    op.left = flag(node, "strip_left", true);
    op.right = flag(node, "strip_right", true);
  } else if (type == "Prepend") {
    op.kind = NormalizerKind::Prepend;
    op.content = text(node, "prepend");
  } else if (type == "Replace") {
    bool regex = pattern(node, op.pattern);
    op.kind =
        regex ? NormalizerKind::ReplaceRegex : NormalizerKind::ReplaceLiteral;
    op.content = text(node, "content");
  } else if (type == "Precompiled") {
    if (!find(node, "precompiled_charsmap")) {
      return;
    }
    op.kind = NormalizerKind::Precompiled;
    if (!decodeBase64(text(node, "precompiled_charsmap"), op.content)) {
      malformed("\"precompiled_charsmap\" is not base64");
    }
    if (op.content.empty()) {
      return;
    }
  } else {
    unsupported("a normalizer", type);
  }
  spec.normalizers.push_back(std::move(op));
}

SplitBehavior Reader::behavior(const json &node, const char *fallback) {
  std::string name = text(node, "behavior", fallback);
  constexpr std::pair<const char *, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::Removed},
      {"Isolated", SplitBehavior::Isolated},
      {"MergedWithPrevious", SplitBehavior::MergedWithPrevious},
      {"MergedWithNext", SplitBehavior::MergedWithNext},
      {"Contiguous", SplitBehavior::Contiguous}};
  for (const auto &[known, value] : kNames) {
    if (name == known) {
      return value;
    }
  }
  malformed("the split behavior \"" + name + "\" is unknown");
  return SplitBehavior::Isolated;
}

PrependScheme Reader::prependScheme(const json &node) {
  std::string scheme = text(node, "prepend_scheme", "always");
  if (!flag(node, "add_prefix_space", true) || scheme == "never") {
    return PrependScheme::Never;
  }
  if (scheme != "always" && scheme != "first") {
    malformed("the prepend_scheme \"" + scheme + "\" is unknown");
  }
  return scheme == "first" ? PrependScheme::First : PrependScheme::Always;
}

void Reader::addSplit(const std::string &regex, SplitBehavior splitBehavior,
                      bool invert) {
  PreTokenizerOp op;
  op.kind = PreTokenizerKind::SplitRegex;
  op.pattern = regex;
  op.behavior = splitBehavior;
  op.invert = invert;
  spec.preTokenizers.push_back(std::move(op));
}

void Reader::preTokenizer(const json &node, int depth) {
  if (!enter(depth)) {
    return;
  }
  std::string type = text(node, "type");
  PreTokenizerOp op;
  if (type == "Sequence") {
    for (const json &member : list(node, "pretokenizers")) {
      preTokenizer(member, depth + 1);
    }
  } else if (type == "ByteLevel") {
    if (flag(node, "add_prefix_space", true)) {
      op.kind = PreTokenizerKind::PrefixSpace;
      spec.preTokenizers.push_back(op);
    }
    if (flag(node, "use_regex", true)) {
      addSplit(kGpt2Words, SplitBehavior::Isolated);
    }
    op.kind = PreTokenizerKind::ByteMap;
    spec.preTokenizers.push_back(op);
  } else if (type == "Split") {
    op.kind = pattern(node, op.pattern) ? PreTokenizerKind::SplitRegex
                                        : PreTokenizerKind::SplitLiteral;
    op.behavior = behavior(node, nullptr);
    op.invert = flag(node, "invert", false);
    spec.preTokenizers.push_back(op);
  } else if (type == "Metaspace") {
    op.kind = PreTokenizerKind::Metaspace;
    op.pattern = text(node, "replacement");
    op.scheme = prependScheme(node);
    op.split = flag(node, "split", true);
    spec.preTokenizers.push_back(op);
  } else if (type == "Digits") {
    addSplit("\\p{N}", flag(node, "individual_digits", false)
                           ? SplitBehavior::Isolated
                           : SplitBehavior::Contiguous);
  } else if (type == "Punctuation") {
    addSplit(kPunctuation, behavior(node, "Isolated"));
  } else if (type == "Whitespace") {
    addSplit(kWords, SplitBehavior::Removed, true);
  } else if (type == "WhitespaceSplit") {
    addSplit("\\s", SplitBehavior::Removed);
  } else if (type == "CharDelimiterSplit") {
    op.kind = PreTokenizerKind::SplitLiteral;
    op.pattern = text(node, "delimiter");
    op.behavior = SplitBehavior::Removed;
    spec.preTokenizers.push_back(op);
  } else if (type == "BertPreTokenizer") {
    addSplit("\\s", SplitBehavior::Removed);
    addSplit(kPunctuation, SplitBehavior::Isolated);
  } else {
    unsupported("a pre-tokenizer", type);
  }
}

void Reader::postProcessor(const json &node, int depth) {
  if (!enter(depth)) {
    return;
  }
  std::string type = text(node, "type");
  if (type == "Sequence") {
    for (const json &member : list(node, "processors")) {
      postProcessor(member, depth + 1);
    }
  } else if (type == "ByteLevel") {
    // Changes offsets only.
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    for (const char *key : {"cls", "sep"}) {
      const json &pair = list(node, key);
      if (pair.size() != 2) {
        malformed(std::string("\"") + key + "\" is not a token and its id");
        return;
      }
      auto &ids = *key == 'c' ? spec.prefix : spec.suffix;
      ids.push_back(static_cast<int32_t>(number(pair[1], key)));
    }
  } else if (type == "TemplateProcessing") {
    const json *tokens = find(node, "special_tokens");
    bool afterText = false;
    std::vector<int32_t> before, after;
    for (const json &item : list(node, "single")) {
      if (find(item, "Sequence")) {
        afterText = true;
        continue;
      }
      const json *special = find(item, "SpecialToken");
      std::string name = special ? text(*special, "id") : std::string();
      const json *entry = tokens ? find(*tokens, name.c_str()) : nullptr;
      if (!entry) {
        malformed("the template's token \"" + name +
                  "\" is not among its "
                  "special_tokens");
        return;
      }
      for (const json &id : list(*entry, "ids")) {
        (afterText ? after : before)
            .push_back(static_cast<int32_t>(number(id, "a template's id")));
      }
    }
    spec.prefix.insert(spec.prefix.begin(), before.begin(), before.end());
    spec.suffix.insert(spec.suffix.end(), after.begin(), after.end());
  } else {
    unsupported("a post-processor", type);
  }
}

void Reader::decoder(const json &node, int depth) {
  if (!enter(depth)) {
    return;
  }
  std::string type = text(node, "type");
  DecoderOp op;
  if (type == "Sequence") {
    for (const json &member : list(node, "decoders")) {
      decoder(member, depth + 1);
    }
    return;
  }
  if (type == "ByteLevel") {
    op.kind = DecoderKind::ByteMap;
  } else if (type == "Metaspace") {
    op.kind = DecoderKind::Metaspace;
    op.pattern = text(node, "replacement");
    op.dropFirst = prependScheme(node) != PrependScheme::Never;
  } else if (type == "Replace") {
    op.kind = DecoderKind::Replace;
    if (pattern(node, op.pattern)) {
      unsupported("a decoder", "Replace with a regular expression");
    }
    op.content = text(node, "content");
  } else if (type == "ByteFallback") {
    op.kind = DecoderKind::ByteFallback;
  } else if (type == "Fuse") {
    op.kind = DecoderKind::Fuse;
  } else if (type == "Strip") {
    op.kind = DecoderKind::Strip;
    op.pattern = text(node, "content");
    const json *start = find(node, "start"), *stop = find(node, "stop");
    op.count = start ? static_cast<uint32_t>(number(*start, "\"start\"")) : 0;
    if (stop && number(*stop, "\"stop\"") != 0) {
      unsupported("a decoder", "Strip from the right");
    }
    if (op.count == 0) {
      return;
    }
  } else {
    unsupported("a decoder", type);
  }
  spec.decoders.push_back(std::move(op));
}

Result<Spec> Reader::read(const json &file) {
  const json *modelNode = find(file, "model");
  if (!modelNode) {
    malformed("there is no \"model\"");
    return error;
  }
  if (Result<void> model = readJsonModel(*modelNode, spec); !model) {
    return model.error();
  }
  addedTokens(file);
  if (const json *node = find(file, "normalizer")) {
    normalizer(*node, 0);
  }
  if (const json *node = find(file, "pre_tokenizer")) {
    preTokenizer(*node, 0);
  }
  if (const json *node = find(file, "post_processor")) {
    postProcessor(*node, 0);
  }
  if (const json *node = find(file, "decoder")) {
    decoder(*node, 0);
  } else {
    spec.joinWithSpaces = true;
  }
  if (failed) {
    return error;
  }
  return std::move(spec);
}

} // namespace

Result<Spec> readTokenizerJson(std::string_view text,
                               std::string_view configJson) {
  json file = json::parse(text.begin(), text.end(), nullptr, false);
  if (file.is_discarded() || !file.is_object()) {
    return Error{ErrorCode::TokenizerMalformed,
                 "tokenizer.json is not a JSON object"};
  }
  Result<Spec> spec = Reader().read(file);
  if (spec) {
    if (Result<void> applied = applyConfig(configJson, *spec); !applied) {
      return applied.error();
    }
  }
  return spec;
}

} // namespace llmc::tokenizer
