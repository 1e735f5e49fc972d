//===- Tokenizer.cpp - Text to token ids ----------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Tokenizer.h"

#include "runtime/tokenizer/Impl.h"
#include "runtime/tokenizer/Unicode.h"

#include <algorithm>
#include <cmath>

namespace llmc::tokenizer {

void AddedSet::finish() {
  std::vector<uint32_t> all(contents.size());
  for (uint32_t i = 0; i < all.size(); ++i) {
    all[i] = i;
  }
  index.build(contents, std::move(all));
}

//===----------------------------------------------------------------------===//
// Building from untrusted content
//===----------------------------------------------------------------------===//

Result<void> Tokenizer::Impl::check() const {
  auto fail = [](const std::string &what) {
    return Error{ErrorCode::TokenizerMalformed, "the tokenizer has " + what};
  };
  constexpr size_t kMaxRules = 64;
  uint32_t pieces = spec.pieces.size();
  bool scored = spec.model != ModelKind::MergeBpe;
  if (pieces > kMaxVocabulary || spec.kinds.size() != pieces ||
      spec.scores.size() != (scored ? pieces : 0)) {
    return fail("a vocabulary whose parts differ in length");
  }
  for (double score : spec.scores) {
    if (!std::isfinite(score)) {
      return fail("a score that is not finite");
    }
  }
  for (const Merge &merge : spec.merges) {
    if (merge.left >= pieces || merge.right >= pieces ||
        merge.merged >= pieces) {
      return fail("a merge of tokens outside its vocabulary");
    }
  }
  if (spec.unknown < kNoToken || spec.unknown >= int64_t(pieces)) {
    return fail("an unknown token outside its vocabulary");
  }
  if (spec.continuingPrefix.size() > kMaxRuleText ||
      spec.endOfWordSuffix.size() > kMaxRuleText) {
    return fail("a prefix or suffix that is too long");
  }
  auto sound = [](const std::string &text) {
    return text.size() <= kMaxRuleText && isValidUtf8(text);
  };
  if (spec.normalizers.size() > kMaxRules ||
      spec.preTokenizers.size() > kMaxRules ||
      spec.decoders.size() > kMaxRules) {
    return fail("more than " + std::to_string(kMaxRules) + " rules of a kind");
  }
  for (const NormalizerOp &op : spec.normalizers) {
    bool binary = op.kind == NormalizerKind::Precompiled;
    if ((op.kind == NormalizerKind::ReplaceLiteral && op.pattern.empty()) ||
        !isValidUtf8(op.pattern) || (!binary && !sound(op.content))) {
      return fail("a normalizer rule with an unusable text");
    }
  }
  for (const PreTokenizerOp &op : spec.preTokenizers) {
    bool needsText = op.kind == PreTokenizerKind::SplitLiteral ||
                     op.kind == PreTokenizerKind::Metaspace;
    if ((needsText && op.pattern.empty()) || !isValidUtf8(op.pattern) ||
        (op.kind == PreTokenizerKind::Metaspace && op.pattern.size() > 16)) {
      return fail("a pre-tokenizer rule with an unusable text");
    }
  }
  for (const DecoderOp &op : spec.decoders) {
    bool needsText = op.kind == DecoderKind::Metaspace ||
                     op.kind == DecoderKind::Replace ||
                     op.kind == DecoderKind::Strip;
    if ((needsText && op.pattern.empty()) || !sound(op.pattern) ||
        !sound(op.content)) {
      return fail("a decoder rule with an unusable text");
    }
  }
  if (!sound(spec.sentencePiece.unknownSurface)) {
    return fail("an unusable text for unknown tokens");
  }
  for (const AddedToken &token : spec.added) {
    if (token.id < 0 || token.id >= int64_t(kMaxVocabulary) ||
        !isValidUtf8(token.content)) {
      return fail("the added token \"" + token.content + "\" with id " +
                  std::to_string(token.id));
    }
  }
  auto inVocabulary = [&](int32_t id) { return id >= 0 && id < int64_t(size); };
  for (const auto *list : {&spec.prefix, &spec.suffix, &spec.eos}) {
    if (!std::all_of(list->begin(), list->end(), inVocabulary)) {
      return fail("a begin or end token outside its vocabulary");
    }
  }
  if (spec.bos != kNoToken && !inVocabulary(spec.bos)) {
    return fail("a begin token outside its vocabulary");
  }
  return {};
}

Result<std::shared_ptr<const Tokenizer::Impl>>
Tokenizer::Impl::build(Spec source) {
  auto impl = std::make_shared<Impl>();
  Spec &spec = impl->spec;
  spec = std::move(source);
  int64_t size = spec.pieces.size();
  for (const AddedToken &token : spec.added) {
    size = std::max(size, int64_t(token.id) + 1);
  }
  impl->size = static_cast<uint32_t>(size);
  if (Result<void> checked = impl->check(); !checked) {
    return checked.error();
  }
  impl->model.build(spec);
  Result<Normalizer> normalizer = Normalizer::create(spec.normalizers);
  if (!normalizer) {
    return normalizer.error();
  }
  impl->normalizer = *std::move(normalizer);
  Result<SentencePieceNormalizer> sentencePiece =
      SentencePieceNormalizer::create(spec.sentencePiece);
  if (!sentencePiece) {
    return sentencePiece.error();
  }
  impl->sentencePiece = *std::move(sentencePiece);
  Result<PreTokenizer> preTokenizer = PreTokenizer::create(spec.preTokenizers);
  if (!preTokenizer) {
    return preTokenizer.error();
  }
  impl->preTokenizer = *std::move(preTokenizer);
  Result<TokenTexts> texts = TokenTexts::create(spec, impl->size);
  if (!texts) {
    return texts.error();
  }
  impl->texts = *std::move(texts);

  std::vector<uint32_t> all;
  bool needsWords = false;
  for (uint32_t i = 0; i < spec.added.size(); ++i) {
    const AddedToken &token = spec.added[i];
    all.push_back(i);
    impl->addedContents.push(token.content);
    needsWords |= token.singleWord;
    if (token.normalized) {
      impl->normalizedAdded.add(impl->normalizer.apply(token.content), i);
    } else {
      impl->rawAdded.add(token.content, i);
    }
  }
  impl->addedIndex.build(impl->addedContents, all);
  impl->rawAdded.finish();
  impl->normalizedAdded.finish();
  if (needsWords) {
    Result<Pattern> word = Pattern::compile("[\\w\\x{200C}\\x{200D}]");
    if (!word) {
      return word.error();
    }
    impl->wordCharacter = *std::move(word);
  }
  return std::shared_ptr<const Impl>(std::move(impl));
}

//===----------------------------------------------------------------------===//
// Encoding
//===----------------------------------------------------------------------===//

/// The first byte of the character that ends before `end`.
static size_t previousCharacter(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) {
    --at;
  }
  return at;
}

bool Tokenizer::Impl::touchesWord(std::string_view text, size_t begin,
                                  size_t end) const {
  auto isWord = [&](size_t at) {
    std::vector<Range> matches;
    wordCharacter->findAll(text.substr(at, readUtf8(text, at).length), matches);
    return !matches.empty();
  };
  return (begin > 0 && isWord(previousCharacter(text, begin))) ||
         (end < text.size() && isWord(end));
}

/// Calls plain(begin, end) for the text between added tokens and token(id) for
/// those, in order. The leftmost, longest token wins.
template <class Plain, class Token>
void Tokenizer::Impl::scanAdded(std::string_view text, const AddedSet &set,
                                Plain plain, Token token) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    uint32_t content = 0;
    size_t length = set.index.mayBegin(text[at])
                        ? set.index.longestPrefix(text.substr(at), content)
                        : 0;
    if (length == 0) {
      ++at;
      continue;
    }
    const AddedToken &added = spec.added[set.tokens[content]];
    size_t begin = at, end = at + length;
    at = end;
    if (added.singleWord && touchesWord(text, begin, end)) {
      continue;
    }
    if (added.lstrip) {
      while (begin > done) {
        size_t before = previousCharacter(text, begin);
        if (!isWhiteSpace(readUtf8(text, before).code)) {
          break;
        }
        begin = before;
      }
    }
    if (added.rstrip) {
      while (end < text.size()) {
        Utf8Step step = readUtf8(text, end);
        if (!isWhiteSpace(step.code)) {
          break;
        }
        end += step.length;
      }
    }
    if (begin > done) {
      plain(done, begin);
    }
    token(added.id);
    done = std::max(done, end);
  }
  if (done < text.size()) {
    plain(done, text.size());
  }
}

void Tokenizer::Impl::encodeText(std::string_view text,
                                 std::vector<int32_t> &out) const {
  if (spec.isSentencePiece()) {
    model.encode(sentencePiece.apply(text, model.userDefined()), out);
    return;
  }
  std::string repaired;
  if (!isValidUtf8(text)) {
    repaired = toValidUtf8(text);
    text = repaired;
  }
  auto emit = [&](int32_t id) { out.push_back(id); };
  auto raw = [&](size_t begin, size_t end) {
    std::string normalized =
        normalizer.apply(std::string(text.substr(begin, end - begin)));
    auto plain = [&](size_t from, size_t to) {
      Words words = preTokenizer.apply(normalized.substr(from, to - from),
                                       begin == 0 && from == 0);
      for (const Words::Word &word : words.words) {
        model.encode(
            std::string_view(words.text)
                .substr(word.range.begin, word.range.end - word.range.begin),
            out);
      }
    };
    scanAdded(normalized, normalizedAdded, plain, emit);
  };
  scanAdded(text, rawAdded, raw, emit);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text,
                                       bool addSpecial) const {
  std::vector<int32_t> out;
  out.reserve(text.size() / 3 + 8);
  if (addSpecial) {
    out = impl->spec.prefix;
  }
  impl->encodeText(text, out);
  if (addSpecial) {
    out.insert(out.end(), impl->spec.suffix.begin(), impl->spec.suffix.end());
  }
  return out;
}

//===----------------------------------------------------------------------===//
// The rest of the interface
//===----------------------------------------------------------------------===//

Tokenizer::Tokenizer(std::shared_ptr<const Impl> shared)
    : impl(std::move(shared)) {}

Result<Tokenizer> Tokenizer::fromSpec(Spec spec) {
  Result<std::shared_ptr<const Impl>> built = Impl::build(std::move(spec));
  if (!built) {
    return built.error();
  }
  return Tokenizer(*std::move(built));
}

std::string Tokenizer::serialize() const { return writeTable(impl->spec); }

Result<Tokenizer> Tokenizer::deserialize(std::string_view bytes) {
  Result<Spec> spec = readTable(bytes);
  if (!spec) {
    return spec.error();
  }
  return fromSpec(*std::move(spec));
}

std::string_view Tokenizer::tokenBytes(int32_t id) const {
  return impl->texts.has(id) ? impl->texts.bytes(id) : std::string_view();
}

std::string_view Tokenizer::tokenText(int32_t id) const {
  return impl->texts.has(id) ? impl->texts.spelling(id) : std::string_view();
}

int32_t Tokenizer::findToken(std::string_view tokenText) const {
  int32_t added = impl->addedIndex.find(tokenText);
  return added != kNoToken ? impl->spec.added[added].id
                           : impl->model.find(tokenText);
}

bool Tokenizer::isSpecial(int32_t id) const {
  return impl->texts.has(id) &&
         impl->texts.kind(id) == TokenTexts::Kind::Special;
}

int32_t Tokenizer::vocabSize() const {
  return static_cast<int32_t>(impl->size);
}

int32_t Tokenizer::bosId() const { return impl->spec.bos; }

std::span<const int32_t> Tokenizer::eosIds() const { return impl->spec.eos; }

std::span<const AddedToken> Tokenizer::addedTokens() const {
  return impl->spec.added;
}

} // namespace llmc::tokenizer
