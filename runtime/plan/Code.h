//===- Code.h - Generated machine code in a plan ---------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A plan may carry machine code for KernelId::Generated: a list of functions,
// and for each of one or more levels of processor a blob with all of them
// (code and constants, position-independent, without relocations or undefined
// symbols). FORMAT.md describes the bytes of the section.
//
// All functions are called in one way:
//
//   void function(void *const *data, const int64_t *rowStrides, int64_t rows,
//                 int64_t columns, void *scratch)
//
// Operand i is touched at the elements data[i] + r * rowStrides[i] + c * step,
// r < rows, c < columns, of its dtype, and nowhere else: inputs are read,
// outputs written. The last operands are the outputs; their step is 1. An
// output may have the bytes of an input that walks as it does: an element is
// read for the last time before it is written.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_CODE_H
#define LLMC_RUNTIME_PLAN_CODE_H

#include "runtime/plan/DType.h"
#include "runtime/support/Hash.h"
#include "runtime/support/Result.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace llmc::plan {

/// Operands of one function, and of one launch of it.
constexpr size_t kMaxCodeOperands = 32;

/// How a function walks one operand.
struct CodeOperand {
  DType dtype = DType::F32;
  uint8_t step = 1; // elements from one column to the next: 0 or 1
  bool operator==(const CodeOperand &) const = default;
};

struct CodeFunction {
  std::string text; // what it computes, for people
  uint8_t numInputs = 0;
  /// Rows must be handed over whole, and be the last dimension: it is reduced.
  bool wholeRows = false;
  std::vector<CodeOperand> operands; // inputs, then outputs
};

/// All functions for processors of one level.
struct CodeVariant {
  std::string arch;              // x86-64-v3 or x86-64-v4
  Hash128 hash;                  // of bytes
  std::vector<uint64_t> entries; // of each function: where it starts in bytes
  std::vector<uint8_t> bytes;
};

struct Code {
  std::vector<CodeFunction> functions;
  std::vector<CodeVariant> variants;
  bool empty() const { return functions.empty() && variants.empty(); }
};

/// The section's bytes; none for empty code.
std::vector<uint8_t> encodeCode(const Code &code);
/// PlanMalformed for bytes that encodeCode() cannot have made.
Result<Code> decodeCode(std::span<const uint8_t> bytes);
/// Whether counts, steps and entries make sense; PlanMalformed.
Result<void> validateCode(const Code &code);

/// The best variant for a processor of `level` (plan/Target.h), the best of at
/// most `preferred` if there is one; nullptr if it can run none.
const CodeVariant *chooseVariant(const Code &code, int level, int preferred);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_CODE_H
