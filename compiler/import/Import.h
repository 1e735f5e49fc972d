//===- Import.h - ONNX to the graph dialect --------------------*- C++ -*-===//
//
// importModel() reads an ONNX protobuf with its external data and gives a
// module with one func.func per entry ("prefill" and "decode" for a model with
// state, else "main"), specialised by the bounds of its symbols.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_IMPORT_H
#define LLMC_COMPILER_IMPORT_IMPORT_H

#include "compiler/import/WeightStore.h"
#include "dialects/graph/DimExpr.h"
#include "runtime/support/Result.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace llmc::import {

struct ImportOptions {
  /// --dim NAME=N|LO..HI, by the model's own symbol names.
  graph::SymbolBounds dims;
  int64_t batch = 1;
  /// --ctx: tokens of state. Unset: the model's own context (sidecars, or the
  /// extent of its position tables), else 2048.
  std::optional<int64_t> context;
  /// Largest number of tokens of one prefill run.
  int64_t prefillChunk = 128;
};

/// What the sidecars and the graph say about the model.
struct ModelInfo {
  std::string name;    // stem of the .onnx file
  std::string path;    // the .onnx file
  int64_t context = 0; // 0: no state
  int64_t vocabulary = 0;
  int64_t bosToken = -1;
  std::vector<int64_t> eosTokens;
  std::string tokenizerPath; // tokenizer.json or tokenizer.model, or empty
  std::vector<std::string> warnings;
  /// How often each operator occurs in the main graph, with its domain unless
  /// that is ai.onnx: "MatMul", "com.microsoft:MatMulNBits".
  std::map<std::string, int64_t> operators;
};

struct ImportedModel {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  WeightStore weights;
  ModelInfo info;
};

/// `path` is a file, or a folder with one .onnx in it (or the one that its
/// genai_config.json names). Errors carry one clear line.
Result<ImportedModel> importModel(mlir::MLIRContext &context,
                                  const std::string &path,
                                  const ImportOptions &options);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_IMPORT_H
