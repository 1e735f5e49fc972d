//===- NodeContext.h - One ONNX node as its handler sees it -----*- C++ -*-===//
//
// A handler imports one operator:
//
//   static bool importRelu(NodeContext &n) {
//     return n.out(n.emit.unary("relu", n.in(0)));
//   }
//
// It returns false on an error; the emitter (or fail()) keeps the one line that
// says what is wrong, the importer adds file and node. Handlers are registered
// in the table of their family's file, by domain, operator and the version of
// the operator set from which on they hold.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_NODECONTEXT_H
#define LLMC_COMPILER_IMPORT_NODECONTEXT_H

#include "compiler/import/Emitter.h"
#include "compiler/import/Onnx.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace llmc::import {

class EntryImporter;

class NodeContext {
public:
  NodeContext(EntryImporter &importer, Emitter &emit,
              const onnx::NodeProto &node, int64_t version,
              std::vector<Val> inputs)
      : importer(importer), emit(emit), node(node), version(version),
        inputs(std::move(inputs)), outputs(node.output_size()) {}

  EntryImporter &importer;
  Emitter &emit;
  const onnx::NodeProto &node;
  /// Version of the node's operator set.
  int64_t version;

  //===-- Inputs and outputs ----------------------------------------------===//
  size_t numInputs() const { return inputs.size(); }
  bool has(size_t i) const { return i < inputs.size() && inputs[i]; }
  /// Null if left out.
  Val in(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  size_t numOutputs() const { return outputs.size(); }
  bool wants(size_t i) const {
    return i < outputs.size() && !node.output(static_cast<int>(i)).empty();
  }
  bool out(size_t i, Val v);
  bool out(Val v) { return out(0, std::move(v)); }
  const std::vector<Val> &results() const { return outputs; }

  /// Input `i`, if given, has one of these ranks; else fails.
  bool hasRank(size_t i, std::initializer_list<int64_t> ranks);

  bool fail(std::string text) {
    emit.fail(std::move(text));
    return false;
  }

  //===-- Attributes ------------------------------------------------------===//
  const onnx::AttributeProto *attribute(const std::string &name) const;
  int64_t integer(const std::string &name, int64_t otherwise) const;
  double number(const std::string &name, double otherwise) const;
  std::string text(const std::string &name, std::string otherwise) const;
  std::optional<std::vector<int64_t>> integers(const std::string &name) const;

  //===-- Both at once ----------------------------------------------------===//
  /// Axes given as attribute (older versions) or as constant input; each made
  /// non-negative for `rank`. nullopt if given nowhere; on an error fails.
  std::optional<std::vector<int64_t>> axes(const std::string &name,
                                           size_t input, int64_t rank);
  /// An axis made non-negative; -1 after an error.
  int64_t axis(int64_t axis, int64_t rank);
  /// A constant integer input; fails if it is not known.
  std::optional<std::vector<int64_t>> constantInts(size_t input,
                                                   const char *what);

private:
  std::vector<Val> inputs;
  std::vector<Val> outputs;
};

using HandlerFn = bool (*)(NodeContext &);

struct Handler {
  const char *domain; // "" is ONNX itself
  const char *op;
  int64_t since; // first version of the operator set that it holds for
  HandlerFn fn;
  int minInputs = 1; // inputs that may not be left out
};

// One table per family, in handlers/.
std::span<const Handler> elementwiseHandlers();
std::span<const Handler> shapeHandlers();
std::span<const Handler> layoutHandlers();
std::span<const Handler> indexHandlers();
std::span<const Handler> reduceHandlers();
std::span<const Handler> normHandlers();
std::span<const Handler> matmulHandlers();
std::span<const Handler> windowHandlers();
std::span<const Handler> attentionHandlers();
std::span<const Handler> quantizedHandlers();
std::span<const Handler> contribHandlers();
std::span<const Handler> contribAttentionHandlers();
std::span<const Handler> controlHandlers();

/// Null if there is none; `version` is that of the imported operator set.
const Handler *findHandler(const std::string &domain, const std::string &op,
                           int64_t version);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_NODECONTEXT_H
