//===- ConfigJson.cpp - tokenizer_config.json -----------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/ConfigJson.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace llmc::tokenizer {

namespace {

using nlohmann::json;

int32_t findToken(const Spec &spec, std::string_view content) {
  for (const AddedToken &token : spec.added) {
    if (token.content == content) {
      return token.id;
    }
  }
  for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.pieces[id] == content &&
        spec.kinds[id] != static_cast<uint8_t>(PieceKind::Absent)) {
      return static_cast<int32_t>(id);
    }
  }
  return kNoToken;
}

/// The id of a token named as a string or as an object with its content.
int32_t namedToken(const json &config, const char *key, const Spec &spec) {
  auto it = config.find(key);
  if (it == config.end()) {
    return kNoToken;
  }
  const json *content = &*it;
  if (it->is_object()) {
    auto inner = it->find("content");
    if (inner == it->end()) {
      return kNoToken;
    }
    content = &*inner;
  }
  return content->is_string()
             ? findToken(spec, content->get_ref<const std::string &>())
             : kNoToken;
}

/// Puts the token into the list or takes it out of it, where the config says
/// either.
void applySwitch(const json &config, const char *key, int32_t token,
                 std::vector<int32_t> &list) {
  auto it = config.find(key);
  if (it == config.end() || !it->is_boolean() || token == kNoToken) {
    return;
  }
  std::erase(list, token);
  if (it->get<bool>()) {
    list.push_back(token);
  }
}

/// Llama's and Gemma's classes build their post-processor from the switches;
/// the others take it from tokenizer.json.
bool obeysSwitches(const json &config, const Spec &spec) {
  if (spec.isSentencePiece()) {
    return true;
  }
  auto it = config.find("tokenizer_class");
  if (it == config.end() || !it->is_string()) {
    return false;
  }
  const std::string &name = it->get_ref<const std::string &>();
  return name.starts_with("Llama") || name.starts_with("CodeLlama") ||
         name.starts_with("Gemma");
}

void guessTokens(Spec &spec) {
  if (spec.bos == kNoToken && !spec.prefix.empty()) {
    spec.bos = spec.prefix.front();
  }
  auto special = [&](std::string_view name) {
    auto it = std::find_if(spec.added.begin(), spec.added.end(),
                           [&](const AddedToken &token) {
                             return token.special && token.content == name;
                           });
    return it == spec.added.end() ? kNoToken : it->id;
  };
  for (const char *name : {"<s>", "<|begin_of_text|>", "<bos>",
                           "<|startoftext|>", "<|endoftext|>"}) {
    if (spec.bos == kNoToken) {
      spec.bos = special(name);
    }
  }
  if (!spec.eos.empty()) {
    return;
  }
  for (const char *name :
       {"</s>", "<|end_of_text|>", "<|eot_id|>", "<|endoftext|>", "<|im_end|>",
        "<eos>", "<end_of_turn>", "<|end|>"}) {
    if (int32_t id = special(name); id != kNoToken) {
      spec.eos.push_back(id);
    }
  }
}

} // namespace

Result<void> applyConfig(std::string_view configJson, Spec &spec) {
  if (!configJson.empty()) {
    json config =
        json::parse(configJson.begin(), configJson.end(), nullptr, false);
    if (config.is_discarded() || !config.is_object()) {
      return Error{ErrorCode::TokenizerMalformed,
                   "tokenizer_config.json is not a JSON object"};
    }
    if (int32_t bos = namedToken(config, "bos_token", spec); bos != kNoToken) {
      spec.bos = bos;
    }
    if (int32_t eos = namedToken(config, "eos_token", spec); eos != kNoToken) {
      spec.eos = {eos};
    }
    if (obeysSwitches(config, spec)) {
      applySwitch(config, "add_bos_token", spec.bos, spec.prefix);
      applySwitch(config, "add_eos_token",
                  spec.eos.empty() ? kNoToken : spec.eos.front(), spec.suffix);
    }
  }
  guessTokens(spec);
  return {};
}

} // namespace llmc::tokenizer
