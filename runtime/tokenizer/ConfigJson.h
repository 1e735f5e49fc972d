//===- ConfigJson.h - tokenizer_config.json ---------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_TOKENIZER_CONFIGJSON_H
#define LLMC_RUNTIME_TOKENIZER_CONFIGJSON_H

#include "runtime/tokenizer/Spec.h"

namespace llmc::tokenizer {

/// Sets the begin and end tokens from tokenizer_config.json's text, or, where
/// it is empty or silent, from the tokens' customary names. Applies
/// add_bos_token and add_eos_token for the tokenizer classes that obey them.
Result<void> applyConfig(std::string_view configJson, Spec &spec);

} // namespace llmc::tokenizer

#endif // LLMC_RUNTIME_TOKENIZER_CONFIGJSON_H
