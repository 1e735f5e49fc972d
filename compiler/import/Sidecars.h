//===- Sidecars.h - Files beside the model ----------------------*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_SIDECARS_H
#define LLMC_COMPILER_IMPORT_SIDECARS_H

#include "compiler/import/Import.h"

#include <filesystem>
#include <utility>
#include <vector>

namespace llmc::import {

/// What genai_config.json says of the names of state: pairs of templates with
/// %d for the layer, as "past_key_values.%d.key" -> "present.%d.key".
using NameTemplates = std::vector<std::pair<std::string, std::string>>;

/// Fills name, path, context (0 if nothing tells it), vocabulary, tokens and
/// tokenizer from config.json, generation_config.json, genai_config.json,
/// tokenizer.json and tokenizer.model beside `model`. A `max_length` is never
/// taken for the context. Files that cannot be parsed give a warning.
ModelInfo readSidecars(const std::filesystem::path &model,
                       NameTemplates &templates);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_SIDECARS_H
