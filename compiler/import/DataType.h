//===- DataType.h - Element types of ONNX tensors ---------------*- C++ -*-===//
//
// The numbers are those of onnx.TensorProto.DataType, newer ones included: the
// .proto of ONNX 1.12 stores data_type as a plain int, so INT4 and UINT4 come
// through as numbers.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_DATATYPE_H
#define LLMC_COMPILER_IMPORT_DATATYPE_H

#include "mlir/IR/Types.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace llmc::import {

enum class DataType : int32_t {
  Undefined = 0,
  Float = 1,
  UInt8 = 2,
  Int8 = 3,
  UInt16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  String = 8,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  UInt32 = 12,
  UInt64 = 13,
  BFloat16 = 16,
  UInt4 = 21,
  Int4 = 22,
};

/// True for the types that a graph value may have.
bool isSupported(DataType type);
/// "float16", "int4", "type 17" for one that is not known.
std::string name(DataType type);
bool isFloat(DataType type);
bool isInteger(DataType type); // bool is not an integer
bool isUnsigned(DataType type);

/// Bits of an element in memory: 8 for bool, 4 for int4 and uint4.
unsigned bitWidth(DataType type);
/// Bytes of `elements` elements, the last byte padded; nullopt-free: the
/// caller has checked that elements * bits does not overflow.
uint64_t byteSize(DataType type, uint64_t elements);

/// uint8 -> ui8, int8 -> i8, bool -> i1, float16 -> f16 and so on.
mlir::Type toMlir(mlir::MLIRContext *context, DataType type);

/// Reads element `index` of packed little-endian data.
double readFloat(DataType type, const std::byte *data, size_t index);
int64_t readInt(DataType type, const std::byte *data, size_t index);
/// Writes element `index`, rounding to the type (integers wrap).
void writeFloat(DataType type, std::byte *data, size_t index, double value);
void writeInt(DataType type, std::byte *data, size_t index, int64_t value);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_DATATYPE_H
