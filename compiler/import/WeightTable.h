//===- WeightTable.h - graph.weight ops, deduplicated -----------*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_WEIGHTTABLE_H
#define LLMC_COMPILER_IMPORT_WEIGHTTABLE_H

#include "compiler/import/Value.h"
#include "compiler/import/WeightStore.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <set>

namespace llmc::import {

/// Makes one graph.weight per distinct (content, type) and registers its bytes.
/// Bytes inside the model file are told apart by hash, external ones by where
/// they lie: hashing them would read the whole model at every compile.
class WeightTable {
public:
  /// Without `hashes` nothing is read and nothing deduplicated by content: for
  /// trial walks.
  WeightTable(mlir::ModuleOp module, WeightStore &store, bool hashes = true)
      : module(module), store(store), hashes(hashes) {}

  /// The symbol of the graph.weight for `data` seen as a tensor of `type`.
  std::string symbolFor(const ConstantData &data, mlir::RankedTensorType type);

private:
  mlir::ModuleOp module;
  WeightStore &store;
  bool hashes;
  std::map<std::string, std::string> byContent;
  std::set<std::string> names;
};

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_WEIGHTTABLE_H
