//===- EntryImporter.h - One entry function from the ONNX graph -*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_ENTRYIMPORTER_H
#define LLMC_COMPILER_IMPORT_ENTRYIMPORTER_H

#include "compiler/import/Emitter.h"
#include "compiler/import/NodeContext.h"
#include "compiler/import/OnnxModel.h"
#include "compiler/import/Ports.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <map>
#include <string>
#include <unordered_map>

namespace llmc::import {

/// The dimensions that one entry stands for.
struct EntryShape {
  std::string name; // "prefill", "decode" or "main"
  graph::SymbolBounds bounds;
  /// Declared names of dimensions -> what they are here.
  std::map<std::string, DimExpr, std::less<>> dims;
  DimExpr batch{1}, seq{1}, past{0};
};

/// Walks the graph once with the symbols of one entry and makes its function.
class EntryImporter {
public:
  EntryImporter(OnnxModel &source, const Ports &ports, const EntryShape &shape,
                mlir::ModuleOp module, WeightTable &weights);

  Result<mlir::func::FuncOp> run();

  /// Rows of the smallest table that is indexed by positions: an upper bound of
  /// the context. INT64_MAX if there is none.
  int64_t positionLimit() const { return positions; }

  //===-- For handlers ----------------------------------------------------===//
  OnnxModel &model() { return source; }
  const EntryShape &entry() const { return shape; }
  const Ports &modelPorts() const { return ports; }
  const onnx::AttributeProto *functionAttribute(const std::string &name) const;
  /// Imports the nodes of a branch whose condition is known, in the scope of
  /// the calling node, and gives its outputs.
  bool importBranch(const onnx::GraphProto &graph, std::vector<Val> &outputs);
  /// `data` is gathered along `axis` with `indices`: if these are positions,
  /// its rows bound the context.
  void notePositionTable(const Val &data, const Val &indices, int64_t axis);
  void notePositionLimit(int64_t rows) {
    positions = std::min(positions, rows);
  }
  /// The pair number of an input with the role "past"; -1 for other values.
  int64_t stateOf(const Val &v) const;

private:
  struct Scope {
    std::unordered_map<std::string, Val> values;
    std::unordered_map<std::string, const onnx::TensorProto *> initializers;
    const std::unordered_map<std::string, const onnx::AttributeProto *>
        *attributes = nullptr;
    Scope *parent = nullptr; // null for a function's body
  };

  bool addInputs(Scope &scope);
  Val derived(const InputPort &port, const Dims &dims);
  std::optional<Dims> dimsOf(const InputPort &port);
  /// Null without an error if the name is not defined.
  Val lookup(Scope &scope, const std::string &name);
  template <class Nodes, class Names>
  bool importNodes(Scope &scope, const Nodes &nodes, const Names &wanted);
  template <class Nodes> bool checkOperators(const Nodes &nodes);
  bool importNode(Scope &scope, const onnx::NodeProto &node);
  bool importFunction(Scope &scope, const onnx::NodeProto &node,
                      const onnx::FunctionProto &function);
  const onnx::FunctionProto *findFunction(const onnx::NodeProto &node) const;
  bool finish(Scope &scope);
  bool failNode(const onnx::NodeProto &node, const std::string &message);
  bool failModel(ErrorCode code, const std::string &message);

  OnnxModel &source;
  const Ports &ports;
  const EntryShape &shape;
  mlir::func::FuncOp function;
  Emitter emit;
  Scope *current = nullptr;
  std::unordered_map<const Value *, int64_t> pastInputs;
  std::vector<mlir::Attribute> derivedInputs;
  int64_t positions = INT64_MAX;
  int depth = 0;
  Error failure;
};

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_ENTRYIMPORTER_H
