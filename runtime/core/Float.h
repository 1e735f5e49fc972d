//===- Float.h - Rows of floats to f32 -------------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_CORE_FLOAT_H
#define LLMC_RUNTIME_CORE_FLOAT_H

#include "runtime/plan/DType.h"

#include <cstddef>
#include <cstdint>

namespace llmc {

inline bool isFloat(plan::DType type) {
  return type == plan::DType::F32 || type == plan::DType::F16 ||
         type == plan::DType::BF16 || type == plan::DType::F64;
}

/// Any width, signed or not, but not bool and not the packed 4-bit types.
inline bool isInteger(plan::DType type) {
  return type >= plan::DType::I8 && type <= plan::DType::U64;
}

/// Converts `count` elements of a float type to f32.
void toFloat(const void *source, plan::DType type, float *target, size_t count);

/// Converts between integer types; false if a value does not fit.
bool convertIntegers(const void *source, plan::DType from, void *target,
                     plan::DType to, size_t count);

/// Element `index` of an integer, bool or float tensor as a double.
double elementAsDouble(const void *source, plan::DType type, size_t index);

} // namespace llmc

#endif // LLMC_RUNTIME_CORE_FLOAT_H
