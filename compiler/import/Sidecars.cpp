//===- Sidecars.cpp - Files beside the model ------------------------------===//

#include "compiler/import/Sidecars.h"

#include <nlohmann/json.hpp>

#include <fstream>

namespace fs = std::filesystem;
using nlohmann::json;

namespace llmc::import {

namespace {

int64_t integer(const json &object, std::initializer_list<const char *> keys) {
  for (const char *key : keys) {
    auto it = object.find(key);
    if (it != object.end() && it->is_number_integer()) {
      return it->get<int64_t>();
    }
  }
  return -1;
}

void readTokens(const json &object, ModelInfo &info) {
  int64_t bos = integer(object, {"bos_token_id"});
  info.bosToken = bos >= 0 ? bos : info.bosToken;
  auto eos = object.find("eos_token_id");
  std::vector<int64_t> list;
  if (eos != object.end() && eos->is_number_integer()) {
    list.push_back(eos->get<int64_t>());
  } else if (eos != object.end() && eos->is_array()) {
    for (const json &token : *eos) {
      if (token.is_number_integer()) {
        list.push_back(token.get<int64_t>());
      }
    }
  }
  if (!list.empty()) {
    info.eosTokens = list;
  }
}

/// An object, or null if there is no such file.
json readObject(const fs::path &path, ModelInfo &info) {
  std::ifstream stream(path);
  if (!stream) {
    return {};
  }
  json value = json::parse(stream, nullptr, false);
  if (!value.is_object()) {
    info.warnings.push_back(path.string() + ": not a JSON object, ignored");
    return {};
  }
  return value;
}

} // namespace

ModelInfo readSidecars(const fs::path &model, NameTemplates &templates) {
  ModelInfo info;
  info.name = model.stem();
  info.path = model;
  fs::path folder = model.parent_path();
  // Optimum and transformers.js put the graph into an onnx/ folder below.
  auto find = [&](const char *name) {
    std::error_code ignored;
    fs::path beside = folder / name;
    if (!fs::exists(beside, ignored) && folder.filename() == "onnx") {
      return folder.parent_path() / name;
    }
    return beside;
  };
  // Later files know better: config, generation_config, genai_config.
  json config = readObject(find("config.json"), info);
  if (config.is_object()) {
    const json &text =
        config.contains("text_config") && config["text_config"].is_object()
            ? config["text_config"]
            : config;
    info.context = std::max<int64_t>(
        0, integer(text, {"max_position_embeddings", "n_positions", "n_ctx",
                          "max_sequence_length", "seq_length"}));
    info.vocabulary = std::max<int64_t>(0, integer(text, {"vocab_size"}));
    readTokens(text, info);
  }
  json generation = readObject(find("generation_config.json"), info);
  if (generation.is_object()) {
    readTokens(generation, info);
  }
  json genai = readObject(find("genai_config.json"), info);
  if (genai.is_object() && genai.contains("model") &&
      genai["model"].is_object()) {
    const json &section = genai["model"];
    int64_t context = integer(section, {"context_length"});
    info.context = context > 0 ? context : info.context;
    int64_t vocabulary = integer(section, {"vocab_size"});
    info.vocabulary = vocabulary > 0 ? vocabulary : info.vocabulary;
    readTokens(section, info);
    auto inputs = "/decoder/inputs"_json_pointer;
    auto outputs = "/decoder/outputs"_json_pointer;
    if (section.contains(inputs) && section.contains(outputs)) {
      for (auto [from, to] :
           {std::pair("past_key_names", "present_key_names"),
            std::pair("past_value_names", "present_value_names"),
            std::pair("past_names", "present_names")}) {
        const json &in = section[inputs], &out = section[outputs];
        if (in.contains(from) && in[from].is_string() && out.contains(to) &&
            out[to].is_string()) {
          templates.emplace_back(in[from].get<std::string>(),
                                 out[to].get<std::string>());
        }
      }
    }
  }
  for (const char *name : {"tokenizer.json", "tokenizer.model"}) {
    std::error_code ignored;
    fs::path path = find(name);
    if (info.tokenizerPath.empty() && fs::exists(path, ignored)) {
      info.tokenizerPath = path;
    }
  }
  return info;
}

} // namespace llmc::import
