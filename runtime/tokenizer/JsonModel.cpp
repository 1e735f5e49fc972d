//===- JsonModel.cpp - The "model" of a tokenizer.json --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/JsonFields.h"

#include <algorithm>
#include <unordered_map>

namespace llmc::tokenizer {

namespace {

class ModelReader : JsonFields {
public:
  explicit ModelReader(Spec &target) : spec(target) {}
  Result<void> read(const json &node) {
    model(node);
    if (failed) {
      return error;
    }
    return {};
  }

private:
  void model(const json &node);
  void bpe(const json &node);
  void unigram(const json &node);

  Spec &spec;
};

void ModelReader::model(const json &node) {
  std::string type = text(node, "type", "");
  if (type.empty()) { // files older than the tag
    type = find(node, "merges")   ? "BPE"
           : find(node, "unk_id") ? "Unigram"
                                  : "unknown";
  }
  if (type == "BPE") {
    bpe(node);
  } else if (type == "Unigram") {
    unigram(node);
  } else {
    unsupported("a model", type);
  }
}

void ModelReader::bpe(const json &node) {
  spec.model = ModelKind::MergeBpe;
  const json *vocab = find(node, "vocab");
  if (!vocab || !vocab->is_object()) {
    malformed("the BPE model's \"vocab\" is not an object");
    return;
  }
  if (const json *dropout = find(node, "dropout");
      dropout && (!dropout->is_number() || *dropout != 0)) {
    fail(ErrorCode::TokenizerUnsupported,
         "a BPE model with dropout chooses at random");
    return;
  }
  int64_t size = 0;
  for (const auto &[piece, id] : vocab->items()) {
    size = std::max(size, number(id, "the id of \"" + piece + "\"") + 1);
  }
  if (size > int64_t(kMaxVocabulary)) {
    malformed("an id of " + std::to_string(size - 1) + "; the limit is " +
              std::to_string(kMaxVocabulary - 1));
  }
  if (failed) {
    return;
  }
  std::vector<const std::string *> byId(size, nullptr);
  std::unordered_map<std::string_view, uint32_t> ids;
  ids.reserve(vocab->size());
  for (const auto &[piece, id] : vocab->get_ref<const json::object_t &>()) {
    const std::string *&slot = byId[id.get<int64_t>()];
    if (slot) {
      malformed("\"" + *slot + "\" and \"" + piece + "\" share an id");
      return;
    }
    slot = &piece;
    ids.emplace(piece, id.get<uint32_t>());
  }
  for (const std::string *piece : byId) {
    spec.pieces.push(piece ? *piece : std::string_view());
    spec.kinds.push_back(
        static_cast<uint8_t>(piece ? PieceKind::Normal : PieceKind::Absent));
  }

  spec.continuingPrefix = text(node, "continuing_subword_prefix", "");
  spec.endOfWordSuffix = text(node, "end_of_word_suffix", "");
  spec.byteFallback = flag(node, "byte_fallback", false);
  spec.ignoreMerges = flag(node, "ignore_merges", false);
  spec.fuseUnknown = flag(node, "fuse_unk", false);
  if (std::string unknown = text(node, "unk_token", ""); !unknown.empty()) {
    auto it = ids.find(unknown);
    if (it == ids.end()) {
      malformed("the unk_token \"" + unknown + "\" is not in the vocabulary");
      return;
    }
    spec.unknown = static_cast<int32_t>(it->second);
  }

  const json &merges = list(node, "merges");
  spec.merges.reserve(merges.size());
  std::string joined;
  for (const json &merge : merges) {
    std::string_view left, right;
    if (merge.is_string()) {
      std::string_view both = merge.get_ref<const std::string &>();
      size_t space = both.find(' ');
      if (space != std::string_view::npos &&
          both.find(' ', space + 1) == std::string_view::npos) {
        left = both.substr(0, space);
        right = both.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get_ref<const std::string &>();
      right = merge[1].get_ref<const std::string &>();
    }
    joined = left;
    joined += right.substr(std::min(
        right.size(), left.empty() ? 0 : spec.continuingPrefix.size()));
    auto leftId = ids.find(left), rightId = ids.find(right),
         joinedId = ids.find(joined);
    if (leftId == ids.end() || rightId == ids.end() || joinedId == ids.end()) {
      malformed("merge " + std::to_string(spec.merges.size()) + ", " +
                merge.dump() + ", is not two tokens that make a third");
      return;
    }
    spec.merges.push_back({leftId->second, rightId->second, joinedId->second});
  }
}

void ModelReader::unigram(const json &node) {
  spec.model = ModelKind::Unigram;
  spec.fuseUnknown = true;
  spec.byteFallback = flag(node, "byte_fallback", false);
  for (const json &entry : list(node, "vocab")) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
        !entry[1].is_number() || spec.pieces.size() >= kMaxVocabulary) {
      malformed("entry " + std::to_string(spec.pieces.size()) +
                " of the Unigram vocabulary is not a piece and a score");
      return;
    }
    spec.pieces.push(entry[0].get_ref<const std::string &>());
    spec.scores.push_back(entry[1].get<double>());
    spec.kinds.push_back(static_cast<uint8_t>(PieceKind::Normal));
  }
  if (const json *unknown = find(node, "unk_id")) {
    spec.unknown = static_cast<int32_t>(number(*unknown, "\"unk_id\""));
  }
}

} // namespace

Result<void> readJsonModel(const nlohmann::json &model, Spec &spec) {
  return ModelReader(spec).read(model);
}

} // namespace llmc::tokenizer
