//===- Ports.h - What each input and output of a model is for ---*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_PORTS_H
#define LLMC_COMPILER_IMPORT_PORTS_H

#include "compiler/import/OnnxModel.h"
#include "compiler/import/Sidecars.h"

#include <string>
#include <vector>

namespace llmc::import {

struct InputPort {
  enum class Role {
    Tokens,
    Past,        // grows along `axis`, pair number `state`
    Ones,        // attention mask: all visible
    Positions,   // past, past + 1, ... along the last axis
    Zeros,       // token types and other inputs whose default is 0
    PastLength,  // every element is the number of tokens in the state
    TotalLength, // the same with this call's tokens
    Generic,
  };
  std::string name;
  DataType type = DataType::Undefined;
  Role role = Role::Generic;
  int64_t state = -1, axis = -1;
  const onnx::TensorShapeProto *shape = nullptr;
};

struct OutputPort {
  enum class Role { Logits, Present, Generic };
  std::string name;
  Role role = Role::Generic;
  int64_t state = -1, axis = -1;
};

struct Ports {
  std::vector<InputPort> inputs;
  std::vector<OutputPort> outputs;
  int64_t states = 0; // past/present pairs

  const InputPort *tokens() const;
};

/// Inputs that are initializers are left out. Pairs of state are found by the
/// templates of genai_config.json, then by names, then by structure: an input
/// that a Concat (or an attention operator) carries to an output.
Result<Ports> findPorts(const OnnxModel &model, const NameTemplates &templates);

/// A dimension as declared: its number, its name, or `<input>_<axis>` if it has
/// neither.
struct DeclaredDim {
  std::optional<int64_t> value;
  std::string name;
};
DeclaredDim declaredDim(const InputPort &port, int axis);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_PORTS_H
