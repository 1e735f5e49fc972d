//===- Code.cpp - Generated machine code in a plan ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Code.h"

#include "runtime/plan/Target.h"

#include <cstring>

namespace llmc::plan {

namespace {

/// Blobs start at a multiple of this in the section, and in memory.
constexpr size_t kCodeAlignment = 64;
constexpr size_t kMaxText = 1 << 16;

Error damaged(std::string what) {
  return {ErrorCode::PlanMalformed,
          "damaged plan: generated code: " + std::move(what)};
}

template <class T> void put(std::vector<uint8_t> &out, T value) {
  const auto *bytes = reinterpret_cast<const uint8_t *>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

void putText(std::vector<uint8_t> &out, const std::string &text) {
  put(out, static_cast<uint32_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

void pad(std::vector<uint8_t> &out) {
  out.resize((out.size() + kCodeAlignment - 1) / kCodeAlignment *
             kCodeAlignment);
}

/// Reads from front to back; `good` is false once anything is missing.
struct Cursor {
  std::span<const uint8_t> bytes;
  size_t at = 0;
  bool good = true;

  std::span<const uint8_t> take(uint64_t count) {
    if (!good || count > bytes.size() - at) {
      good = false;
      return {};
    }
    std::span<const uint8_t> part = bytes.subspan(at, count);
    at += count;
    return part;
  }
  template <class T> T get() {
    T value{};
    std::span<const uint8_t> part = take(sizeof(T));
    if (!part.empty()) {
      std::memcpy(&value, part.data(), sizeof(T));
    }
    return value;
  }
  std::string text() {
    uint32_t size = get<uint32_t>();
    std::span<const uint8_t> part = take(size);
    return std::string(part.begin(), part.end());
  }
  /// The gap must be zero, so that two encoders cannot differ.
  void align() {
    for (uint8_t byte :
         take((kCodeAlignment - at % kCodeAlignment) % kCodeAlignment)) {
      good &= byte == 0;
    }
  }
};

} // namespace

std::vector<uint8_t> encodeCode(const Code &code) {
  std::vector<uint8_t> out;
  if (code.empty()) {
    return out;
  }
  put(out, static_cast<uint32_t>(code.functions.size()));
  put(out, static_cast<uint32_t>(code.variants.size()));
  for (const CodeFunction &function : code.functions) {
    putText(out, function.text);
    put(out, function.numInputs);
    put(out, static_cast<uint8_t>(function.wholeRows));
    put(out, static_cast<uint16_t>(function.operands.size()));
    for (const CodeOperand &operand : function.operands) {
      put(out, static_cast<uint8_t>(operand.dtype));
      put(out, operand.step);
    }
  }
  for (const CodeVariant &variant : code.variants) {
    putText(out, variant.arch);
    put(out, variant.hash.low);
    put(out, variant.hash.high);
    put(out, static_cast<uint64_t>(variant.bytes.size()));
    for (uint64_t entry : variant.entries) {
      put(out, entry);
    }
    pad(out);
    out.insert(out.end(), variant.bytes.begin(), variant.bytes.end());
  }
  return out;
}

Result<Code> decodeCode(std::span<const uint8_t> bytes) {
  Code code;
  if (bytes.empty()) {
    return code;
  }
  Cursor cursor{bytes};
  uint32_t functions = cursor.get<uint32_t>();
  uint32_t variants = cursor.get<uint32_t>();
  // Counts grow with what has been read, never ahead of it.
  for (uint32_t i = 0; cursor.good && i < functions; ++i) {
    CodeFunction &function = code.functions.emplace_back();
    function.text = cursor.text();
    function.numInputs = cursor.get<uint8_t>();
    uint8_t whole = cursor.get<uint8_t>();
    cursor.good &= whole <= 1;
    function.wholeRows = whole != 0;
    uint16_t operands = cursor.get<uint16_t>();
    for (uint16_t o = 0; cursor.good && o < operands; ++o) {
      CodeOperand operand;
      operand.dtype = static_cast<DType>(cursor.get<uint8_t>());
      operand.step = cursor.get<uint8_t>();
      function.operands.push_back(operand);
    }
  }
  for (uint32_t i = 0; cursor.good && i < variants; ++i) {
    CodeVariant &variant = code.variants.emplace_back();
    variant.arch = cursor.text();
    variant.hash.low = cursor.get<uint64_t>();
    variant.hash.high = cursor.get<uint64_t>();
    uint64_t size = cursor.get<uint64_t>();
    for (uint32_t f = 0; cursor.good && f < functions; ++f) {
      variant.entries.push_back(cursor.get<uint64_t>());
    }
    cursor.align();
    std::span<const uint8_t> blob = cursor.take(size);
    variant.bytes.assign(blob.begin(), blob.end());
  }
  if (!cursor.good || cursor.at != bytes.size()) {
    return damaged("the section has " + std::to_string(bytes.size()) +
                   " bytes, which is not what its counts ask for");
  }
  if (code.empty()) {
    return damaged("the section is there, but empty");
  }
  return code;
}

Result<void> validateCode(const Code &code) {
  if (code.functions.empty() != code.variants.empty()) {
    return damaged("functions without a variant, or a variant without them");
  }
  for (size_t i = 0; i < code.functions.size(); ++i) {
    const CodeFunction &function = code.functions[i];
    std::string where = "function " + std::to_string(i);
    if (function.text.size() > kMaxText) {
      return damaged(where + ": its text is too long");
    }
    if (function.operands.size() > kMaxCodeOperands ||
        function.numInputs >= function.operands.size()) {
      return damaged(where + ": " + std::to_string(function.operands.size()) +
                     " operands, of them " +
                     std::to_string(function.numInputs) + " inputs");
    }
    for (size_t o = 0; o < function.operands.size(); ++o) {
      const CodeOperand &operand = function.operands[o];
      if (static_cast<int>(operand.dtype) >= kNumDTypes ||
          bitWidth(operand.dtype) % 8 != 0 || operand.step > 1 ||
          (o >= function.numInputs && operand.step != 1)) {
        return damaged(where + ": operand " + std::to_string(o) +
                       " of an unknown kind");
      }
    }
  }
  for (const CodeVariant &variant : code.variants) {
    std::string where = "variant '" + variant.arch + "'";
    if (archLevel(variant.arch) == 0) {
      return damaged(where + ": unknown architecture");
    }
    if (variant.entries.size() != code.functions.size()) {
      return damaged(where + ": " + std::to_string(variant.entries.size()) +
                     " entries for " + std::to_string(code.functions.size()) +
                     " functions");
    }
    for (uint64_t entry : variant.entries) {
      if (entry >= variant.bytes.size()) {
        return damaged(where + ": an entry at byte " + std::to_string(entry) +
                       " of " + std::to_string(variant.bytes.size()));
      }
    }
  }
  return {};
}

const CodeVariant *chooseVariant(const Code &code, int level, int preferred) {
  const CodeVariant *best = nullptr;
  for (int limit : {preferred < level ? preferred : level, level}) {
    for (const CodeVariant &variant : code.variants) {
      int needs = archLevel(variant.arch);
      if (needs <= limit && (!best || needs > archLevel(best->arch))) {
        best = &variant;
      }
    }
    if (best) {
      break;
    }
  }
  return best;
}

} // namespace llmc::plan
