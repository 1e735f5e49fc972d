//===- DType.h - Element types of plan buffers -----------------*- C++ -*-===//

#ifndef LLMC_RUNTIME_PLAN_DTYPE_H
#define LLMC_RUNTIME_PLAN_DTYPE_H

#include <cstdint>
#include <optional>
#include <string_view>

namespace llmc::plan {

/// Values are part of the plan format: append only.
enum class DType : uint8_t {
  F32 = 0,
  F16 = 1,
  BF16 = 2,
  F64 = 3,
  I8 = 4,
  U8 = 5,
  I16 = 6,
  U16 = 7,
  I32 = 8,
  U32 = 9,
  I64 = 10,
  U64 = 11,
  Bool = 12, // one byte, 0 or 1
  I4 = 13,   // two to a byte, low nibble first
  U4 = 14,
};
constexpr int kNumDTypes = 15;

/// Bits per element (4 for I4 and U4).
constexpr unsigned bitWidth(DType type) {
  constexpr unsigned widths[kNumDTypes] = {32, 16, 16, 64, 8, 8, 16, 16,
                                           32, 32, 64, 64, 8, 4, 4};
  return widths[static_cast<unsigned>(type)];
}

constexpr std::string_view name(DType type) {
  constexpr std::string_view names[kNumDTypes] = {
      "f32", "f16", "bf16", "f64", "i8",   "u8", "i16", "u16",
      "i32", "u32", "i64",  "u64", "bool", "i4", "u4"};
  return names[static_cast<unsigned>(type)];
}

constexpr std::optional<DType> parseDType(std::string_view text) {
  for (int i = 0; i < kNumDTypes; ++i) {
    if (name(static_cast<DType>(i)) == text) {
      return static_cast<DType>(i);
    }
  }
  return std::nullopt;
}

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_DTYPE_H
