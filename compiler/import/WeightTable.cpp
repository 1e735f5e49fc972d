//===- WeightTable.cpp - graph.weight ops, deduplicated -------------------===//

#include "compiler/import/WeightTable.h"

#include "dialects/graph/GraphOps.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

namespace llmc::import {

namespace {

std::string hashOf(const ConstantData &data) {
  llvm::XXH128_hash_t hash = llvm::xxh3_128bits(
      llvm::ArrayRef(reinterpret_cast<const uint8_t *>(data.data), data.size));
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (uint64_t word : {hash.high64, hash.low64}) {
    for (int shift = 60; shift >= 0; shift -= 4) {
      text += digits[(word >> shift) & 15];
    }
  }
  return text;
}

} // namespace

std::string WeightTable::symbolFor(const ConstantData &data,
                                   mlir::RankedTensorType type) {
  bool external = !data.file.empty();
  std::string hash = external || !hashes ? std::string() : hashOf(data);
  std::string key;
  llvm::raw_string_ostream stream(key);
  stream << type << '|' << hash << '|' << data.file << '|' << data.offset << '|'
         << data.size;
  if (!external && !hashes) {
    stream << '|' << data.data;
  }
  std::string &symbol = byContent[key];
  if (!symbol.empty()) {
    return symbol;
  }
  std::string base = data.name.empty() ? "constant" : data.name;
  symbol = base;
  for (int i = 1; !names.insert(symbol).second; ++i) {
    symbol = base + "." + std::to_string(i);
  }
  // Weights stand before the entries, in the order of their first use.
  mlir::OpBuilder builder(module.getContext());
  builder.setInsertionPointToStart(module.getBody());
  for (mlir::Operation &op : *module.getBody()) {
    if (!mlir::isa<graph::WeightOp>(op)) {
      builder.setInsertionPoint(&op);
      break;
    }
    builder.setInsertionPointAfter(&op);
  }
  graph::WeightOp::create(
      builder, builder.getUnknownLoc(), builder.getStringAttr(symbol),
      mlir::TypeAttr::get(type), builder.getStringAttr(data.file),
      builder.getI64IntegerAttr(data.offset),
      builder.getI64IntegerAttr(data.size), builder.getStringAttr(hash));
  std::span<const std::byte> bytes(data.data, data.size);
  if (external) {
    store.addMapped(symbol, bytes, data.owner);
  } else {
    store.add(symbol, bytes, data.owner);
  }
  return symbol;
}

} // namespace llmc::import
