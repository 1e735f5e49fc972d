//===- GeneratedCode.h - The plan's machine code, executable ---*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Pages are writable or executable, never both: the best variant for this
// processor is copied, compared with its hash, and then made read-only and
// executable. Nothing is allocated afterwards.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_GENERATEDCODE_H
#define LLMC_RUNTIME_CORE_GENERATEDCODE_H

#include "runtime/plan/Plan.h"
#include "runtime/support/Result.h"

#include <memory>

namespace llmc {

class GeneratedCode {
public:
  /// Errors: PlanTarget (no variant for a processor of `level`: found, needed,
  /// remedy), PlanChecksum (the bytes are not those that were hashed),
  /// OutOfMemory (no executable memory). nullptr if the plan has no code. Of
  /// the variants, the best of at most `preferred` is taken if there is one.
  static Result<std::unique_ptr<GeneratedCode>> load(const plan::Plan &plan,
                                                     int level, int preferred);
  ~GeneratedCode();
  GeneratedCode(const GeneratedCode &) = delete;
  GeneratedCode &operator=(const GeneratedCode &) = delete;

  /// Where function `index` of the plan begins; nullptr if there is none.
  const void *function(uint64_t index) const {
    return index < entries.size() ? base + entries[index] : nullptr;
  }
  const std::string &arch() const { return archText; }
  /// The mapping.
  const uint8_t *data() const { return base; }
  size_t size() const { return mapped; }

private:
  GeneratedCode() = default;
  uint8_t *base = nullptr;
  size_t mapped = 0;
  std::vector<uint64_t> entries;
  std::string archText;
};

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_GENERATEDCODE_H
