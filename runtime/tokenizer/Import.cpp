//===- Import.cpp - Tokenizers from the files of models -------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Apart from Tokenizer.cpp, so that programs that only deserialize do not link
// the readers nor JSON.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Spec.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace llmc::tokenizer {

static Result<std::string> readFile(const std::filesystem::path &path) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) {
    return Error{ErrorCode::FileNotFound, path.string() + ": not found"};
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  if (std::filesystem::is_directory(path, code) || !in ||
      !(out << in.rdbuf())) {
    return Error{ErrorCode::FileUnreadable,
                 path.string() + ": cannot be read, or is empty"};
  }
  return std::move(out).str();
}

Result<Tokenizer> Tokenizer::fromTokenizerJson(std::string_view json,
                                               std::string_view configJson) {
  Result<Spec> spec = readTokenizerJson(json, configJson);
  if (!spec) {
    return spec.error();
  }
  return fromSpec(*std::move(spec));
}

Result<Tokenizer> Tokenizer::fromSentencePiece(std::string_view modelBytes,
                                               std::string_view configJson) {
  Result<Spec> spec = readSentencePiece(modelBytes, configJson);
  if (!spec) {
    return spec.error();
  }
  return fromSpec(*std::move(spec));
}

Result<Tokenizer> Tokenizer::fromFile(const std::string &path) {
  Result<std::string> bytes = readFile(path);
  if (!bytes) {
    return bytes.error();
  }
  std::filesystem::path sidecar =
      std::filesystem::path(path).parent_path() / "tokenizer_config.json";
  std::error_code code;
  std::string config;
  if (std::filesystem::exists(sidecar, code)) {
    Result<std::string> text = readFile(sidecar);
    if (!text) {
      return text.error();
    }
    config = *std::move(text);
  }
  // A sentencepiece model may by chance begin like JSON, but it has zero bytes.
  size_t start = bytes->find_first_not_of(" \t\r\n");
  bool isJson = start != std::string::npos && (*bytes)[start] == '{' &&
                std::string_view(*bytes).substr(0, 65536).find('\0') ==
                    std::string_view::npos;
  Result<Tokenizer> tokenizer = isJson ? fromTokenizerJson(*bytes, config)
                                       : fromSentencePiece(*bytes, config);
  if (!tokenizer) {
    return Error{tokenizer.error().code,
                 path + ": " + tokenizer.error().message};
  }
  return tokenizer;
}

} // namespace llmc::tokenizer
