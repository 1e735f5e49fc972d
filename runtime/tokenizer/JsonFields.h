//===- JsonFields.h - Reading JSON with one error at the end ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_JSONFIELDS_H
#define LLMC_RUNTIME_TOKENIZER_JSONFIELDS_H

#include "runtime/tokenizer/Spec.h"

#include <nlohmann/json.hpp>

#include <string>

namespace llmc::tokenizer {

/// Keeps the first error and goes on with defaults, so that reading needs no
/// check after every field. Nothing in it throws.
class JsonFields {
public:
  using json = nlohmann::json;

protected:
  void fail(ErrorCode code, const std::string &message) {
    if (!failed) {
      failed = true;
      error = {code, "tokenizer.json: " + message};
    }
  }
  void malformed(const std::string &message) {
    fail(ErrorCode::TokenizerMalformed, message);
  }
  void unsupported(const char *part, const std::string &type) {
    fail(ErrorCode::TokenizerUnsupported,
         std::string(part) + " of type \"" + type + "\" is not supported");
  }

  static const json *find(const json &object, const char *key) {
    if (!object.is_object()) {
      return nullptr;
    }
    auto it = object.find(key);
    return it == object.end() || it->is_null() ? nullptr : &*it;
  }
  std::string text(const json &object, const char *key,
                   const char *fallback = nullptr) {
    const json *value = find(object, key);
    if (value && value->is_string()) {
      return value->get<std::string>();
    }
    if (value || !fallback) {
      malformed(std::string("\"") + key + "\" is not a string");
      return {};
    }
    return fallback;
  }
  bool flag(const json &object, const char *key, bool fallback) {
    const json *value = find(object, key);
    if (value && !value->is_boolean()) {
      malformed(std::string("\"") + key + "\" is not true or false");
    }
    return value && value->is_boolean() ? value->get<bool>() : fallback;
  }
  int64_t number(const json &value, const std::string &name) {
    if (!value.is_number_integer() || value < 0 || value > INT32_MAX) {
      malformed(name + " is not an id");
      return 0;
    }
    return value.get<int64_t>();
  }
  /// The members of a list; none if it is missing.
  const json &list(const json &object, const char *key) {
    static const json empty = json::array();
    const json *value = find(object, key);
    if (value && value->is_array()) {
      return *value;
    }
    malformed(std::string("\"") + key + "\" is not a list");
    return empty;
  }

  Error error;
  bool failed = false;
};

/// Reads the "model" of a tokenizer.json into `spec`.
Result<void> readJsonModel(const nlohmann::json &model, Spec &spec);

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_JSONFIELDS_H
