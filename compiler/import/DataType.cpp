//===- DataType.cpp - Element types of ONNX tensors -----------------------===//

#include "compiler/import/DataType.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/APInt.h"
#include "llvm/Support/ErrorHandling.h"

#include <cmath>
#include <cstring>

namespace llmc::import {

std::string name(DataType type) {
  switch (type) {
  case DataType::Undefined:
    return "undefined";
  case DataType::Float:
    return "float32";
  case DataType::UInt8:
    return "uint8";
  case DataType::Int8:
    return "int8";
  case DataType::UInt16:
    return "uint16";
  case DataType::Int16:
    return "int16";
  case DataType::Int32:
    return "int32";
  case DataType::Int64:
    return "int64";
  case DataType::String:
    return "string";
  case DataType::Bool:
    return "bool";
  case DataType::Float16:
    return "float16";
  case DataType::Double:
    return "float64";
  case DataType::UInt32:
    return "uint32";
  case DataType::UInt64:
    return "uint64";
  case DataType::BFloat16:
    return "bfloat16";
  case DataType::UInt4:
    return "uint4";
  case DataType::Int4:
    return "int4";
  }
  return "type " + std::to_string(static_cast<int32_t>(type));
}

bool isFloat(DataType type) {
  return type == DataType::Float || type == DataType::Float16 ||
         type == DataType::Double || type == DataType::BFloat16;
}

bool isUnsigned(DataType type) {
  switch (type) {
  case DataType::UInt8:
  case DataType::UInt16:
  case DataType::UInt32:
  case DataType::UInt64:
  case DataType::UInt4:
    return true;
  default:
    return false;
  }
}

bool isInteger(DataType type) {
  switch (type) {
  case DataType::Int8:
  case DataType::Int16:
  case DataType::Int32:
  case DataType::Int64:
  case DataType::Int4:
    return true;
  default:
    return isUnsigned(type);
  }
}

bool isSupported(DataType type) {
  return isFloat(type) || isInteger(type) || type == DataType::Bool;
}

unsigned bitWidth(DataType type) {
  switch (type) {
  case DataType::UInt4:
  case DataType::Int4:
    return 4;
  case DataType::UInt8:
  case DataType::Int8:
  case DataType::Bool:
    return 8;
  case DataType::UInt16:
  case DataType::Int16:
  case DataType::Float16:
  case DataType::BFloat16:
    return 16;
  case DataType::Float:
  case DataType::Int32:
  case DataType::UInt32:
    return 32;
  default:
    return 64;
  }
}

uint64_t byteSize(DataType type, uint64_t elements) {
  return type == DataType::UInt4 || type == DataType::Int4
             ? (elements + 1) / 2
             : elements * (bitWidth(type) / 8);
}

mlir::Type toMlir(mlir::MLIRContext *context, DataType type) {
  mlir::Builder b(context);
  switch (type) {
  case DataType::Float:
    return b.getF32Type();
  case DataType::Double:
    return b.getF64Type();
  case DataType::Float16:
    return b.getF16Type();
  case DataType::BFloat16:
    return b.getBF16Type();
  case DataType::Bool:
    return b.getI1Type();
  default:
    break;
  }
  if (isUnsigned(type)) {
    return b.getIntegerType(bitWidth(type), /*isSigned=*/false);
  }
  return b.getIntegerType(bitWidth(type));
}

namespace {

template <class T> T load(const std::byte *data, size_t index) {
  T value;
  std::memcpy(&value, data + index * sizeof(T), sizeof(T));
  return value;
}

template <class T> void store(std::byte *data, size_t index, T value) {
  std::memcpy(data + index * sizeof(T), &value, sizeof(T));
}

const llvm::fltSemantics &semantics(DataType type) {
  return type == DataType::Float16 ? llvm::APFloat::IEEEhalf()
                                   : llvm::APFloat::BFloat();
}

double readSmallFloat(DataType type, uint16_t bits) {
  llvm::APFloat value(semantics(type), llvm::APInt(16, bits));
  bool inexact;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven,
                &inexact);
  return value.convertToDouble();
}

uint16_t toSmallFloat(DataType type, double number) {
  llvm::APFloat value(number);
  bool inexact;
  value.convert(semantics(type), llvm::APFloat::rmNearestTiesToEven, &inexact);
  return static_cast<uint16_t>(value.bitcastToAPInt().getZExtValue());
}

} // namespace

int64_t readInt(DataType type, const std::byte *data, size_t index) {
  switch (type) {
  case DataType::UInt4:
  case DataType::Int4: {
    unsigned nibble = (std::to_integer<unsigned>(data[index / 2]) >>
                       (index % 2 == 0 ? 0 : 4)) &
                      15u;
    return type == DataType::Int4 && nibble > 7 ? int64_t(nibble) - 16
                                                : int64_t(nibble);
  }
  case DataType::Bool:
    return data[index] != std::byte{0};
  case DataType::UInt8:
    return load<uint8_t>(data, index);
  case DataType::Int8:
    return load<int8_t>(data, index);
  case DataType::UInt16:
    return load<uint16_t>(data, index);
  case DataType::Int16:
    return load<int16_t>(data, index);
  case DataType::Int32:
    return load<int32_t>(data, index);
  case DataType::UInt32:
    return load<uint32_t>(data, index);
  case DataType::Int64:
  case DataType::UInt64:
    return load<int64_t>(data, index);
  default:
    return static_cast<int64_t>(readFloat(type, data, index));
  }
}

double readFloat(DataType type, const std::byte *data, size_t index) {
  switch (type) {
  case DataType::Float:
    return load<float>(data, index);
  case DataType::Double:
    return load<double>(data, index);
  case DataType::Float16:
  case DataType::BFloat16:
    return readSmallFloat(type, load<uint16_t>(data, index));
  default:
    return static_cast<double>(readInt(type, data, index));
  }
}

void writeInt(DataType type, std::byte *data, size_t index, int64_t value) {
  switch (type) {
  case DataType::UInt4:
  case DataType::Int4: {
    std::byte &slot = data[index / 2];
    unsigned shift = index % 2 == 0 ? 0 : 4;
    slot &= std::byte(0xf0 >> shift);
    slot |= std::byte((value & 15) << shift);
    return;
  }
  case DataType::Bool:
    data[index] = std::byte(value != 0);
    return;
  case DataType::UInt8:
  case DataType::Int8:
    store<int8_t>(data, index, static_cast<int8_t>(value));
    return;
  case DataType::UInt16:
  case DataType::Int16:
    store<int16_t>(data, index, static_cast<int16_t>(value));
    return;
  case DataType::Int32:
  case DataType::UInt32:
    store<int32_t>(data, index, static_cast<int32_t>(value));
    return;
  case DataType::Int64:
  case DataType::UInt64:
    store<int64_t>(data, index, value);
    return;
  default:
    writeFloat(type, data, index, static_cast<double>(value));
  }
}

void writeFloat(DataType type, std::byte *data, size_t index, double value) {
  switch (type) {
  case DataType::Float:
    store<float>(data, index, static_cast<float>(value));
    return;
  case DataType::Double:
    store<double>(data, index, value);
    return;
  case DataType::Float16:
  case DataType::BFloat16:
    store<uint16_t>(data, index, toSmallFloat(type, value));
    return;
  case DataType::Bool:
    data[index] = std::byte(value != 0);
    return;
  default:
    // A conversion outside int64 is undefined in C++: saturate instead.
    if (std::isnan(value)) {
      writeInt(type, data, index, 0);
    } else if (value >= 0x1p63) {
      writeInt(type, data, index, INT64_MAX);
    } else if (value < -0x1p63) {
      writeInt(type, data, index, INT64_MIN);
    } else {
      writeInt(type, data, index, static_cast<int64_t>(value));
    }
  }
}

} // namespace llmc::import
