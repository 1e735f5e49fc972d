//===- Ports.cpp - What each input and output of a model is for -----------===//

#include "compiler/import/Ports.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace llmc::import {

const InputPort *Ports::tokens() const {
  for (const InputPort &port : inputs) {
    if (port.role == InputPort::Role::Tokens) {
      return &port;
    }
  }
  return nullptr;
}

DeclaredDim declaredDim(const InputPort &port, int axis) {
  const auto &dim = port.shape->dim(axis);
  DeclaredDim out;
  if (dim.has_dim_value() && dim.dim_value() >= 0) {
    out.value = dim.dim_value();
  } else if (dim.has_dim_param() && !dim.dim_param().empty()) {
    out.name = dim.dim_param();
  } else {
    out.name = port.name + "_" + std::to_string(axis);
    // A ':' or '/' in a value's name would not read well on the command line.
    for (char &c : out.name) {
      c = c == ':' || c == '/' ? '_' : c;
    }
  }
  return out;
}

namespace {

bool contains(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

std::string replaced(std::string text, const std::string &from,
                     const std::string &to) {
  size_t at = text.find(from);
  return at == std::string::npos ? std::string()
                                 : text.replace(at, from.size(), to);
}

/// Names that an output may have whose state comes in as `input`.
std::vector<std::string> presentNames(const std::string &input) {
  std::vector<std::string> names;
  for (auto [from, to] : {
           std::pair("past_key_values", "present"),
           std::pair("past_key_values", "present_key_values"),
           std::pair("past_key_values", "updated_key_values"),
           std::pair("past", "present"),
           std::pair("_in", "_out"),
           std::pair("key_cache", "key_cache_out"),
           std::pair("key_cache", "updated_key_cache"),
           std::pair("value_cache", "value_cache_out"),
           std::pair("value_cache", "updated_value_cache"),
       }) {
    std::string name = replaced(input, from, to);
    if (!name.empty()) {
      names.push_back(name);
      std::string out = replaced(name, "_in", "_out");
      if (!out.empty()) {
        names.push_back(out);
      }
    }
  }
  return names;
}

class PairFinder {
public:
  PairFinder(const OnnxModel &model, Ports &ports)
      : graph(model.proto().graph()), ports(ports) {
    for (size_t i = 0; i < ports.outputs.size(); ++i) {
      outputs[ports.outputs[i].name] = i;
    }
    for (size_t i = 0; i < ports.inputs.size(); ++i) {
      inputs[ports.inputs[i].name] = i;
    }
    for (const onnx::NodeProto &node : graph.node()) {
      if (node.output_size() == 0) {
        continue;
      }
      for (const std::string &input : node.input()) {
        consumers[input].push_back(&node);
      }
    }
  }

  void byTemplates(const NameTemplates &templates) {
    for (const auto &[from, to] : templates) {
      for (int layer = 0; layer < 1024; ++layer) {
        std::string number = std::to_string(layer);
        pair(replaced(from, "%d", number), replaced(to, "%d", number));
      }
    }
  }

  void byNames() {
    for (const InputPort &port : ports.inputs) {
      for (const std::string &name : presentNames(port.name)) {
        if (pair(port.name, name)) {
          break;
        }
      }
    }
  }

  void byStructure() {
    for (const InputPort &port : ports.inputs) {
      if (port.state < 0 && isCandidate(port)) {
        if (const std::string *output = follow(port.name)) {
          pair(port.name, *output);
        }
      }
    }
  }

private:
  bool isCandidate(const InputPort &port) const {
    return port.shape && port.shape->dim_size() >= 3 &&
           (isFloat(port.type) || port.type == DataType::Int8 ||
            port.type == DataType::UInt8);
  }

  bool pair(const std::string &input, const std::string &output) {
    auto in = inputs.find(input);
    auto out = outputs.find(output);
    if (in == inputs.end() || out == outputs.end()) {
      return false;
    }
    InputPort &from = ports.inputs[in->second];
    OutputPort &to = ports.outputs[out->second];
    if (from.state >= 0 || to.state >= 0 || !isCandidate(from)) {
      return false;
    }
    from.role = InputPort::Role::Past;
    to.role = OutputPort::Role::Present;
    from.state = to.state = ports.states++;
    from.axis = to.axis = growingAxis(from, out->second);
    return true;
  }

  /// The graph output that `input` is carried to by the op that appends to it.
  const std::string *follow(const std::string &input) const {
    auto list = consumers.find(input);
    if (list == consumers.end()) {
      return nullptr;
    }
    for (const onnx::NodeProto *node : list->second) {
      const std::string &op = node->op_type();
      if (op == "Concat" || op == "TensorScatter" || op == "ScatterND") {
        if (node->input(0) == input && outputs.count(node->output(0))) {
          return &node->output(0);
        }
        continue;
      }
      int past = -1, present = -1; // first of two inputs and outputs
      if (op == "GroupQueryAttention") {
        past = 3, present = 1;
      } else if (op == "MultiHeadAttention") {
        past = 6, present = 1;
      } else if (op == "Attention") {
        past = 4, present = 1;
      } else {
        continue;
      }
      for (int i = 0; i < 2; ++i) {
        if (past + i < node->input_size() && node->input(past + i) == input &&
            present + i < node->output_size() &&
            outputs.count(node->output(present + i))) {
          return &node->output(present + i);
        }
      }
    }
    return nullptr;
  }

  int64_t growingAxis(const InputPort &port, size_t output) const {
    int rank = port.shape->dim_size();
    // The appending Concat says it.
    auto list = consumers.find(port.name);
    if (list != consumers.end()) {
      for (const onnx::NodeProto *node : list->second) {
        if (node->op_type() == "Concat" && node->input(0) == port.name &&
            node->output(0) == ports.outputs[output].name) {
          for (const onnx::AttributeProto &a : node->attribute()) {
            int64_t axis = a.i() < 0 ? a.i() + rank : a.i();
            if (a.name() == "axis" && axis >= 0 && axis < rank) {
              return axis;
            }
          }
        }
      }
    }
    // Or the one dimension that is declared otherwise on the way out.
    for (const onnx::ValueInfoProto &info : graph.output()) {
      if (info.name() != ports.outputs[output].name ||
          info.type().tensor_type().shape().dim_size() != rank) {
        continue;
      }
      int64_t found = -1;
      for (int axis = 0; axis < rank; ++axis) {
        const auto &out = info.type().tensor_type().shape().dim(axis);
        DeclaredDim in = declaredDim(port, axis);
        bool same = in.value ? out.dim_value() == *in.value
                             : out.dim_param() == in.name;
        if (!same && out.has_dim_param() && found < 0) {
          found = axis;
        }
      }
      if (found >= 0) {
        return found;
      }
    }
    // [B, H, T, D], combined [2, B, H, T, D], or [B, T, H D].
    return rank - 2;
  }

  const onnx::GraphProto &graph;
  Ports &ports;
  std::unordered_map<std::string, size_t> inputs, outputs;
  std::unordered_map<std::string, std::vector<const onnx::NodeProto *>>
      consumers;
};

void classify(Ports &ports) {
  using Role = InputPort::Role;
  auto isIndex = [](const InputPort &port) {
    return port.type == DataType::Int64 || port.type == DataType::Int32;
  };
  InputPort *tokens = nullptr;
  for (const char *name :
       {"input_ids", "decoder_input_ids", "tokens", "input_ids"}) {
    for (InputPort &port : ports.inputs) {
      if (!tokens && isIndex(port) && port.name == name) {
        tokens = &port;
      }
    }
  }
  for (InputPort &port : ports.inputs) {
    bool candidate =
        isIndex(port) && port.shape->dim_size() == 2 &&
        (contains(port.name, "ids") || contains(port.name, "token") ||
         contains(port.name, "input")) &&
        !contains(port.name, "mask") && !contains(port.name, "position") &&
        !contains(port.name, "type");
    if (!tokens && candidate) {
      tokens = &port;
    }
  }
  if (tokens) {
    tokens->role = Role::Tokens;
  }
  bool embeds = false;
  for (const InputPort &port : ports.inputs) {
    embeds |= isFloat(port.type) && port.shape->dim_size() == 3 &&
              (contains(port.name, "embed") || contains(port.name, "hidden"));
  }
  if (!tokens && !embeds) {
    // Past and present of an operator alone, not of a language model.
    for (InputPort &port : ports.inputs) {
      port.role = Role::Generic;
      port.state = port.axis = -1;
    }
    for (OutputPort &port : ports.outputs) {
      port.role = OutputPort::Role::Generic;
      port.state = port.axis = -1;
    }
    ports.states = 0;
  }
  if (ports.states == 0) {
    return; // without state nothing is derived: the user gives it all
  }
  for (InputPort &port : ports.inputs) {
    if (port.role != Role::Generic) {
      continue;
    }
    int rank = port.shape->dim_size();
    if (contains(port.name, "mask") && rank == 2) {
      port.role = Role::Ones;
    } else if (contains(port.name, "position") && isIndex(port)) {
      port.role = Role::Positions;
    } else if (port.name == "use_cache_branch") {
      port.role = Role::Ones;
    } else if (contains(port.name, "token_type") ||
               contains(port.name, "num_logits_to_keep") ||
               contains(port.name, "segment")) {
      port.role = Role::Zeros;
    } else if (isIndex(port) && rank <= 1 &&
               (contains(port.name, "write_ind") ||
                contains(port.name, "past_len") ||
                contains(port.name, "past_seq"))) {
      port.role = Role::PastLength;
    } else if (isIndex(port) && rank <= 1 &&
               (contains(port.name, "nonpad_kv") ||
                contains(port.name, "total_seq"))) {
      port.role = Role::TotalLength;
    }
  }
}

} // namespace

Result<Ports> findPorts(const OnnxModel &model,
                        const NameTemplates &templates) {
  const onnx::GraphProto &graph = model.proto().graph();
  std::unordered_set<std::string> initializers;
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    initializers.insert(tensor.name());
  }
  Ports ports;
  for (const onnx::ValueInfoProto &info : graph.input()) {
    if (initializers.count(info.name())) {
      continue;
    }
    InputPort port;
    port.name = info.name();
    if (!info.type().has_tensor_type() ||
        !info.type().tensor_type().has_shape()) {
      return {ErrorCode::Unsupported, model.path().string() + ": input '" +
                                          info.name() +
                                          "' is not a tensor of known rank"};
    }
    port.type = static_cast<DataType>(info.type().tensor_type().elem_type());
    if (!isSupported(port.type)) {
      return {ErrorCode::Unsupported,
              model.path().string() + ": input '" + info.name() + "' is " +
                  import::name(port.type) + ", which is not supported"};
    }
    port.shape = &info.type().tensor_type().shape();
    ports.inputs.push_back(port);
  }
  for (const onnx::ValueInfoProto &info : graph.output()) {
    OutputPort port;
    port.name = info.name();
    ports.outputs.push_back(port);
  }
  PairFinder finder(model, ports);
  finder.byTemplates(templates);
  finder.byNames();
  finder.byStructure();
  classify(ports);

  // The logits: by name, else the one output of a model with state that is not
  // state.
  std::vector<OutputPort *> others;
  OutputPort *logits = nullptr;
  for (OutputPort &port : ports.outputs) {
    if (port.role == OutputPort::Role::Generic) {
      others.push_back(&port);
      if (!logits && contains(port.name, "logits")) {
        logits = &port;
      }
    }
  }
  if (!logits && ports.states > 0 && others.size() == 1) {
    logits = others[0];
  }
  if (logits) {
    logits->role = OutputPort::Role::Logits;
  }
  return ports;
}

} // namespace llmc::import
