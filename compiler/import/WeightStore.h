//===- WeightStore.h - Bytes of a model's weights --------------*- C++ -*-===//
//
// Maps the names of graph.weight ops to bytes: ranges of mapped external data
// files, or memory owned here (protobuf raw data, typed fields converted to
// raw little-endian). Nothing is copied that can be mapped, so that compiling
// a 100 GB model takes little more memory than its largest tensor.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_WEIGHTSTORE_H
#define LLMC_COMPILER_IMPORT_WEIGHTSTORE_H

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llmc::import {

class WeightStore {
public:
  /// The raw little-endian row-major bytes, i4/u4 two to a byte. Empty span if
  /// unknown.
  std::span<const std::byte> bytes(std::string_view name) const;

  /// `keepAlive` owns the bytes (a mapping, a parsed protobuf, a vector).
  void add(std::string name, std::span<const std::byte> bytes,
           std::shared_ptr<const void> keepAlive);

  /// The same for a range of a read-only file mapping, which release() may
  /// drop from memory.
  void addMapped(std::string name, std::span<const std::byte> bytes,
                 std::shared_ptr<const void> mapping);

  /// Tells the kernel that these bytes are not needed soon (MADV_DONTNEED on
  /// mapped ranges), to hold down the resident size while packing.
  void release(std::string_view name) const;

private:
  struct Item {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> keepAlive;
    bool mapped = false;
  };
  std::map<std::string, Item, std::less<>> items;
};

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_WEIGHTSTORE_H
