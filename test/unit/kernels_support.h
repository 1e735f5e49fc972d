//===- kernels_support.h - Tensors for the kernel tests --------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A Data holds a tensor as its encoded bytes between two guards. References
// are computed in double from decode(); conversions here share nothing with
// the library's.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_KERNELS_SUPPORT_H
#define LLMC_TEST_UNIT_KERNELS_SUPPORT_H

#include "runtime/kernels/Kernel.h"
#include "runtime/kernels/ThreadPool.h"

#include "gtest/gtest.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace llmc::kernels::testing {

using plan::DType;
using plan::KernelId;
using Dims = std::vector<int64_t>;
using Values = std::vector<double>;

inline int64_t product(const Dims &dims) {
  int64_t n = 1;
  for (int64_t d : dims) {
    n *= d;
  }
  return n;
}

inline uint16_t encodeHalf(double value) {
  return std::bit_cast<uint16_t>(
      static_cast<_Float16>(static_cast<float>(value)));
}
inline double decodeHalf(uint16_t bits) {
  return static_cast<double>(std::bit_cast<_Float16>(bits));
}
inline uint16_t encodeBfloat(double value) {
  auto f = static_cast<float>(value);
  if (std::isnan(f)) {
    return 0x7fc0;
  }
  auto bits = std::bit_cast<uint32_t>(f);
  uint32_t low = bits & 0xffff;
  uint32_t high = bits >> 16;
  if (low > 0x8000 || (low == 0x8000 && (high & 1))) {
    ++high;
  }
  return static_cast<uint16_t>(high);
}

class Data {
public:
  /// Filled with 0xAB until something is stored.
  Data(DType dtype, Dims dims, plan::Packing packing = plan::Packing::Raw)
      : dtype(dtype), dims(std::move(dims)), packing(packing) {
    int64_t elements = product(this->dims);
    if (packing == plan::Packing::Panel64) {
      elements = (this->dims[0] + 63) / 64 * 64 * this->dims[1];
    }
    bytes = (elements * plan::bitWidth(dtype) + 7) / 8;
    storage.resize(bytes / 64 + 3);
    std::memset(storage.data(), 0xAB, storage.size() * 64);
  }
  Data(DType dtype, Dims dims, const Values &values)
      : Data(dtype, std::move(dims)) {
    EXPECT_EQ(static_cast<int64_t>(values.size()), product(this->dims));
    for (size_t i = 0; i < values.size(); ++i) {
      set(i, values[i]);
    }
  }
  /// A weight [N, K] in panels, zero padded.
  static Data panels(DType dtype, int64_t n, int64_t k, const Values &values) {
    Data result(dtype, {n, k}, plan::Packing::Panel64);
    std::memset(result.raw(), 0, result.bytes);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < k; ++j) {
        result.set(((i / 64) * k + j) * 64 + i % 64, values[i * k + j]);
      }
    }
    return result;
  }

  std::byte *raw() { return storage[1].bytes; }

  Tensor view() {
    Tensor tensor;
    tensor.data = raw();
    tensor.dtype = dtype;
    tensor.packing = packing;
    tensor.rank = static_cast<int>(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) {
      tensor.dims[i] = dims[i];
    }
    return tensor;
  }

  template <class T> void put(int64_t i, T value) {
    std::memcpy(raw() + i * sizeof(T), &value, sizeof(T));
  }
  template <class T> T at(int64_t i) {
    T value;
    std::memcpy(&value, raw() + i * sizeof(T), sizeof(T));
    return value;
  }

  void set(int64_t i, double v) {
    switch (dtype) {
    case DType::F32:
      return put(i, static_cast<float>(v));
    case DType::F64:
      return put(i, v);
    case DType::F16:
      return put(i, encodeHalf(v));
    case DType::BF16:
      return put(i, encodeBfloat(v));
    case DType::I8:
      return put(i, static_cast<int8_t>(v));
    case DType::U8:
    case DType::Bool:
      return put(i, static_cast<uint8_t>(v));
    case DType::I16:
      return put(i, static_cast<int16_t>(v));
    case DType::U16:
      return put(i, static_cast<uint16_t>(v));
    case DType::I32:
      return put(i, static_cast<int32_t>(v));
    case DType::U32:
      return put(i, static_cast<uint32_t>(v));
    case DType::I64:
      return put(i, static_cast<int64_t>(v));
    case DType::U64:
      return put(i, static_cast<uint64_t>(v));
    case DType::I4:
    case DType::U4: {
      auto nibble = static_cast<unsigned>(static_cast<int>(v)) & 15;
      auto old = static_cast<unsigned>(at<uint8_t>(i / 2));
      unsigned fresh = i % 2 ? (old & 15) | nibble << 4 : (old & 240) | nibble;
      return put(i / 2, static_cast<uint8_t>(fresh));
    }
    }
  }

  double get(int64_t i) {
    switch (dtype) {
    case DType::F32:
      return at<float>(i);
    case DType::F64:
      return at<double>(i);
    case DType::F16:
      return decodeHalf(at<uint16_t>(i));
    case DType::BF16:
      return std::bit_cast<float>(uint32_t{at<uint16_t>(i)} << 16);
    case DType::I8:
      return at<int8_t>(i);
    case DType::U8:
    case DType::Bool:
      return at<uint8_t>(i);
    case DType::I16:
      return at<int16_t>(i);
    case DType::U16:
      return at<uint16_t>(i);
    case DType::I32:
      return at<int32_t>(i);
    case DType::U32:
      return at<uint32_t>(i);
    case DType::I64:
      return static_cast<double>(at<int64_t>(i));
    case DType::U64:
      return static_cast<double>(at<uint64_t>(i));
    case DType::I4: {
      int nibble = (at<uint8_t>(i / 2) >> (i % 2 * 4)) & 15;
      return nibble > 7 ? nibble - 16 : nibble;
    }
    case DType::U4:
      return (at<uint8_t>(i / 2) >> (i % 2 * 4)) & 15;
    }
    return 0;
  }

  Values decode() {
    Values values(product(dims));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = get(i);
    }
    return values;
  }

  std::vector<std::byte> contents() { return {raw(), raw() + bytes}; }

  bool guardsIntact() {
    const std::byte *end = storage.data()->bytes + storage.size() * 64;
    for (const std::byte *p = storage.data()->bytes; p < end; ++p) {
      p = p == raw() ? p + bytes : p;
      if (*p != std::byte{0xAB}) {
        return false;
      }
    }
    return true;
  }

  DType dtype;
  Dims dims;
  plan::Packing packing;
  int64_t bytes = 0;

private:
  struct Line {
    alignas(64) std::byte bytes[64];
  };
  std::vector<Line> storage;
};

/// Uniform values; integers for low and high that are.
class Random {
public:
  explicit Random(unsigned seed) : engine(seed) {}
  Values reals(int64_t n, double low = -1, double high = 1) {
    std::uniform_real_distribution<double> distribution(low, high);
    Values values(n);
    for (double &value : values) {
      value = distribution(engine);
    }
    return values;
  }
  Values integers(int64_t n, int64_t low, int64_t high) {
    std::uniform_int_distribution<int64_t> distribution(low, high);
    Values values(n);
    for (double &value : values) {
      value = static_cast<double>(distribution(engine));
    }
    return values;
  }
  Data tensor(DType dtype, Dims dims, double low = -1, double high = 1) {
    int64_t n = product(dims);
    return Data(dtype, std::move(dims), reals(n, low, high));
  }

private:
  std::mt19937 engine;
};

struct Call {
  std::vector<int64_t> params;
  std::vector<int64_t> ints;
  std::vector<double> floats;
};

/// Runs one launch on a pool of `threads`, looks after the guards.
inline Status launch(KernelId id, std::vector<Data *> operands,
                     const Call &call, int threads = 1) {
  static ThreadPool one(1);
  static ThreadPool three(3);
  std::vector<Tensor> tensors;
  tensors.reserve(operands.size());
  for (Data *operand : operands) {
    tensors.push_back(operand->view());
  }
  KernelFn kernel = lookupHostKernel(id);
  if (!kernel) {
    return "no such kernel";
  }
  Launch args;
  args.operands = tensors;
  args.params = call.params;
  args.ints = call.ints;
  args.floats = call.floats;
  args.pool = threads == 1 ? &one : &three;
  Status status = kernel(args);
  for (size_t i = 0; i < operands.size(); ++i) {
    EXPECT_TRUE(operands[i]->guardsIntact()) << "operand " << i;
  }
  return status;
}

#define ASSERT_LAUNCH(...)                                                     \
  do {                                                                         \
    ::llmc::kernels::Status status = launch(__VA_ARGS__);                      \
    ASSERT_EQ(status, nullptr) << status;                                      \
  } while (false)

/// |got - want| <= absolute + relative * |want|; NaN and infinities equal.
inline void expectNear(const Values &got, const Values &want, double absolute,
                       double relative, const std::string &what = "") {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << what << " at " << i << ": " << got[i];
    } else if (std::isinf(want[i])) {
      ASSERT_EQ(got[i], want[i]) << what << " at " << i;
    } else {
      ASSERT_LE(std::abs(got[i] - want[i]),
                absolute + relative * std::abs(want[i]))
          << what << " at " << i << ": got " << got[i] << ", want " << want[i];
    }
  }
}

/// Half a unit in the last place, relative.
inline double unitOf(DType type) {
  return type == DType::F16    ? 0x1p-11
         : type == DType::BF16 ? 0x1p-8
         : type == DType::F64  ? 0x1p-53
                               : 0x1p-24;
}

/// Runs `body` once for each instruction set this machine has.
inline void forEachIsa(const std::function<void()> &body) {
  std::string before = hostIsa();
  int levels = 0;
  for (const char *isa : {"v2", "v3", "v4", "v4-bf16"}) {
    if (setHostIsa(isa)) {
      SCOPED_TRACE(isa);
      body();
      ++levels;
      if (::testing::Test::HasFatalFailure()) {
        break;
      }
    }
  }
  EXPECT_GT(levels, 0);
  setHostIsa(before.c_str());
}

} // namespace llmc::kernels::testing

#endif // LLMC_TEST_UNIT_KERNELS_SUPPORT_H
