//===- llmc-tokenize.cpp - The tokenizer library for comparisons ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// llmc-tokenize FILE reads one JSON request per line and answers each with one
// line:
//
//   {"text": "...", "special": true}  ->  {"ids": [...]}
//   {"ids": [...], "skip": true}      ->  {"text": "...", "stream": [...]}
//   {"info": true}                    ->  {"size": N, "bos": N, "eos": [...]}
//
// The tokenizer goes through its table first, as in a plan file.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Tokenizer.h"

#include <nlohmann/json.hpp>

#include <iostream>

using nlohmann::json;
using namespace llmc;
using tokenizer::StreamDecoder;
using tokenizer::Tokenizer;

static json answer(const Tokenizer &tokenizer, const json &request) {
  if (request.contains("text")) {
    return {{"ids", tokenizer.encode(request["text"].get<std::string>(),
                                     request.value("special", false))}};
  }
  if (request.contains("ids")) {
    auto ids = request["ids"].get<std::vector<int32_t>>();
    bool skip = request.value("skip", true);
    json stream = json::array();
    StreamDecoder decoder(tokenizer, skip);
    for (int32_t id : ids) {
      stream.push_back(std::string(decoder.push(id)));
    }
    stream.push_back(std::string(decoder.finish()));
    return {{"text", tokenizer.decode(ids, skip)}, {"stream", stream}};
  }
  auto eos = tokenizer.eosIds();
  return {{"size", tokenizer.vocabSize()},
          {"bos", tokenizer.bosId()},
          {"eos", std::vector<int32_t>(eos.begin(), eos.end())}};
}

int main(int argc, char **argv) {
  if (argc != 2) {
    std::cerr << "usage: llmc-tokenize FILE < requests\n";
    return 2;
  }
  Result<Tokenizer> imported = Tokenizer::fromFile(argv[1]);
  if (!imported) {
    std::cerr << "llmc-tokenize: " << imported.error().message << "\n";
    return 1;
  }
  Result<Tokenizer> tokenizer = Tokenizer::deserialize(imported->serialize());
  if (!tokenizer) {
    std::cerr << "llmc-tokenize: " << tokenizer.error().message << "\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    json request = json::parse(line, nullptr, false);
    if (!request.is_object()) {
      std::cerr << "llmc-tokenize: not a request: " << line << "\n";
      return 1;
    }
    std::cout << answer(*tokenizer, request).dump() << std::endl;
  }
  return 0;
}
