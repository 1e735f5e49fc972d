//===- EntryImporter.cpp - One entry function from the ONNX graph ---------===//

#include "compiler/import/EntryImporter.h"

#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <algorithm>
#include <set>

namespace llmc::import {

static mlir::func::FuncOp makeFunction(mlir::ModuleOp module,
                                       const std::string &name) {
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(module.getBody());
  auto function = mlir::func::FuncOp::create(
      builder, builder.getUnknownLoc(), name, builder.getFunctionType({}, {}));
  function.addEntryBlock();
  return function;
}

EntryImporter::EntryImporter(OnnxModel &source, const Ports &ports,
                             const EntryShape &shape, mlir::ModuleOp module,
                             WeightTable &weights)
    : source(source), ports(ports), shape(shape),
      function(makeFunction(module, shape.name)),
      emit(mlir::OpBuilder::atBlockEnd(&function.getBody().front()),
           shape.bounds, weights) {}

bool EntryImporter::failModel(ErrorCode code, const std::string &message) {
  failure = {code, source.path().string() + ": " + message};
  return false;
}

static std::string nodeTitle(const onnx::NodeProto &node) {
  if (!node.name().empty()) {
    return node.name();
  }
  return node.output_size() > 0 ? node.output(0) : "";
}

bool EntryImporter::failNode(const onnx::NodeProto &node,
                             const std::string &message) {
  return failModel(ErrorCode::Unsupported, "node '" + nodeTitle(node) + "' (" +
                                               node.op_type() +
                                               "): " + message);
}

const onnx::AttributeProto *
EntryImporter::functionAttribute(const std::string &name) const {
  for (const Scope *scope = current; scope; scope = scope->parent) {
    if (scope->attributes) {
      auto it = scope->attributes->find(name);
      return it == scope->attributes->end() ? nullptr : it->second;
    }
  }
  return nullptr;
}

void EntryImporter::notePositionTable(const Val &data, const Val &indices,
                                      int64_t axis) {
  if (axis >= data->rank() || !data->constant) {
    return;
  }
  std::optional<int64_t> rows = data->dims[axis].asConstant();
  std::optional<Affine> affine = emit.affineOf(indices);
  if (!rows || !affine) {
    return;
  }
  std::vector<std::string> symbols;
  affine->start.collectSymbols(symbols);
  if (std::find(symbols.begin(), symbols.end(), "past") != symbols.end()) {
    notePositionLimit(*rows);
  }
}

int64_t EntryImporter::stateOf(const Val &v) const {
  auto it = pastInputs.find(v.get());
  return it == pastInputs.end() ? -1 : it->second;
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

std::optional<Dims> EntryImporter::dimsOf(const InputPort &port) {
  Dims dims;
  for (int axis = 0; axis < port.shape->dim_size(); ++axis) {
    DeclaredDim declared = declaredDim(port, axis);
    if (port.role == InputPort::Role::Past && axis == port.axis) {
      dims.push_back(shape.past);
      continue;
    }
    if (declared.value) {
      dims.push_back(*declared.value);
      continue;
    }
    if (auto it = shape.dims.find(declared.name); it != shape.dims.end()) {
      dims.push_back(it->second);
      continue;
    }
    // "past_sequence_length + sequence_length", "2*batch".
    std::optional<DimExpr> e = DimExpr::parse(declared.name);
    std::vector<std::string> symbols;
    if (e) {
      e->collectSymbols(symbols);
    }
    bool known = e.has_value();
    for (const std::string &symbol : symbols) {
      known &= shape.dims.count(symbol) > 0;
    }
    if (!known) {
      failModel(ErrorCode::InvalidArgument,
                "dimension '" + declared.name + "' of input '" + port.name +
                    "' has no bound; give --dim " + declared.name + "=LO..HI");
      return std::nullopt;
    }
    dims.push_back(e->substitute(shape.dims));
  }
  return dims;
}

Val EntryImporter::derived(const InputPort &port, const Dims &dims) {
  using Role = InputPort::Role;
  switch (port.role) {
  case Role::Ones:
    return emit.splat(port.type, dims, 1);
  case Role::Zeros:
    return emit.splat(port.type, dims, 0);
  case Role::PastLength:
    return emit.ramp(port.type, dims, {shape.past, 0, 0});
  case Role::TotalLength:
    return emit.ramp(port.type, dims, {shape.past + shape.seq, 0, 0});
  case Role::Positions:
    return emit.ramp(
        port.type, dims,
        {shape.past, dims.empty() ? 0 : 1,
         std::max<int64_t>(0, static_cast<int64_t>(dims.size()) - 1)});
  default:
    return nullptr;
  }
}

bool EntryImporter::addInputs(Scope &scope) {
  using Role = InputPort::Role;
  mlir::OpBuilder &builder = emit.builder;
  for (const InputPort &port : ports.inputs) {
    bool isMask = port.role == Role::Ones && port.shape->dim_size() == 2;
    bool isPositions = port.role == Role::Positions;
    if (isMask || isPositions) {
      // Their declared names tell less than what they are.
      Dims dims(port.shape->dim_size(), shape.batch);
      if (dims.size() == 3) {
        dims[0] = declaredDim(port, 0).value.value_or(3);
      }
      if (!dims.empty()) {
        dims.back() = isMask ? shape.past + shape.seq : shape.seq;
      }
      scope.values[port.name] = derived(port, dims);
    } else {
      std::optional<Dims> dims = dimsOf(port);
      if (!dims) {
        return false;
      }
      if (Val known = derived(port, *dims)) {
        scope.values[port.name] = known;
      } else {
        mlir::Value argument = function.getBody().front().addArgument(
            graph::tensorType(*dims, emit.elementType(port.type)),
            builder.getUnknownLoc());
        unsigned index = function.getBody().front().getNumArguments() - 1;
        function.setType(builder.getFunctionType(
            function.getBody().front().getArgumentTypes(), {}));
        if (!cast<mlir::RankedTensorType>(argument.getType())
                 .hasStaticShape()) {
          graph::setArgDims(function, index, *dims);
        }
        graph::Port attribute;
        attribute.name = port.name;
        if (port.role == Role::Tokens) {
          attribute.role = "tokens";
        } else if (port.role == Role::Past) {
          attribute.role = "past";
          attribute.state = port.state;
          attribute.axis = port.axis;
        }
        function.setArgAttr(index, graph::kPortAttr,
                            graph::portToAttr(builder.getContext(), attribute));
        Val value = emit.fromMlir(port.type, *dims, argument);
        if (port.role == Role::Past) {
          pastInputs[value.get()] = port.state;
        }
        scope.values[port.name] = value;
        continue;
      }
    }
    const char *kind = port.role == Role::Ones          ? "ones"
                       : port.role == Role::Positions   ? "positions"
                       : port.role == Role::PastLength  ? "past_length"
                       : port.role == Role::TotalLength ? "total_length"
                                                        : "zeros";
    derivedInputs.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("name", builder.getStringAttr(port.name)),
         builder.getNamedAttr("kind", builder.getStringAttr(kind))}));
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

Val EntryImporter::lookup(Scope &scope, const std::string &name) {
  for (Scope *s = &scope; s; s = s->parent) {
    if (auto it = s->values.find(name); it != s->values.end()) {
      return it->second;
    }
    if (auto it = s->initializers.find(name); it != s->initializers.end()) {
      Result<Val> made = source.constant(*it->second);
      if (!made) {
        failure = made.error();
        return nullptr;
      }
      return s->values[name] = *made;
    }
  }
  return nullptr;
}

/// The names that a node reads, those read inside its branches included.
static void collectInputs(const onnx::NodeProto &node,
                          std::vector<std::string> &names) {
  for (const std::string &input : node.input()) {
    if (!input.empty()) {
      names.push_back(input);
    }
  }
  for (const onnx::AttributeProto &attribute : node.attribute()) {
    if (!attribute.has_g()) {
      continue;
    }
    std::set<std::string> inner;
    std::vector<std::string> read;
    for (const onnx::NodeProto &child : attribute.g().node()) {
      inner.insert(child.output().begin(), child.output().end());
      collectInputs(child, read);
    }
    for (const onnx::TensorProto &tensor : attribute.g().initializer()) {
      inner.insert(tensor.name());
    }
    for (const onnx::ValueInfoProto &output : attribute.g().output()) {
      read.push_back(output.name());
    }
    for (const std::string &name : read) {
      if (!inner.count(name)) {
        names.push_back(name);
      }
    }
  }
}

const onnx::FunctionProto *
EntryImporter::findFunction(const onnx::NodeProto &node) const {
  for (const onnx::FunctionProto &f : source.proto().functions()) {
    if (f.name() == node.op_type() && f.domain() == node.domain()) {
      return &f;
    }
  }
  return nullptr;
}

static int64_t versionFor(const OnnxModel &model, const onnx::NodeProto &node) {
  int64_t version = model.opset(node.domain());
  return version != 0 ? version : 1;
}

/// All unknown operators at once.
template <class Nodes> bool EntryImporter::checkOperators(const Nodes &nodes) {
  std::map<std::string, std::vector<std::string>> unknown;
  for (const onnx::NodeProto *node : nodes) {
    int64_t version = versionFor(source, *node);
    if (!findFunction(*node) &&
        !findHandler(node->domain(), node->op_type(), version)) {
      std::string domain = node->domain().empty() ? "ai.onnx" : node->domain();
      unknown[domain + ":" + node->op_type() + " (version " +
              std::to_string(version) + ")"]
          .push_back(nodeTitle(*node));
    }
  }
  if (unknown.empty()) {
    return true;
  }
  std::string list;
  for (const auto &[op, where] : unknown) {
    list += (list.empty() ? "" : "; ") + op + " at ";
    for (size_t i = 0; i < where.size() && i < 4; ++i) {
      list += (i ? ", '" : "'") + where[i] + "'";
    }
    if (where.size() > 4) {
      list += " and " + std::to_string(where.size() - 4) + " more";
    }
  }
  return failModel(ErrorCode::Unsupported,
                   std::to_string(unknown.size()) + " unsupported operator" +
                       (unknown.size() > 1 ? "s: " : ": ") + list);
}

template <class Nodes, class Names>
bool EntryImporter::importNodes(Scope &scope, const Nodes &nodes,
                                const Names &wanted) {
  // Only what the outputs need, in topological order whatever the file's.
  std::unordered_map<std::string, const onnx::NodeProto *> producers;
  for (const onnx::NodeProto &node : nodes) {
    for (const std::string &output : node.output()) {
      if (output.empty()) {
        continue;
      }
      auto [it, fresh] = producers.emplace(output, &node);
      if (!fresh && it->second->op_type() == "Constant" &&
          node.op_type() == "Constant") {
        // onnxruntime takes the last of several constants of one name, and
        // there are such models.
        it->second = &node;
      } else if (!fresh) {
        return failModel(ErrorCode::FileMalformed,
                         "value '" + output + "' is defined twice");
      }
    }
  }
  enum class State { New, Open, Done };
  std::unordered_map<const onnx::NodeProto *, State> states;
  std::vector<const onnx::NodeProto *> order;
  struct Frame {
    const onnx::NodeProto *node;
    std::vector<std::string> inputs;
    size_t next = 0;
  };
  std::vector<Frame> stack;
  auto enter = [&](const onnx::NodeProto *node) {
    Frame frame{node, {}, 0};
    collectInputs(*node, frame.inputs);
    states[node] = State::Open;
    stack.push_back(std::move(frame));
  };
  for (const std::string &name : wanted) {
    auto producer = producers.find(name);
    if (producer == producers.end() || states[producer->second] != State::New) {
      continue;
    }
    enter(producer->second);
    while (!stack.empty()) {
      Frame &frame = stack.back();
      if (frame.next == frame.inputs.size()) {
        states[frame.node] = State::Done;
        order.push_back(frame.node);
        stack.pop_back();
        continue;
      }
      const std::string &input = frame.inputs[frame.next++];
      auto from = producers.find(input);
      if (from == producers.end()) {
        continue;
      }
      State &state = states[from->second];
      if (state == State::Open) {
        std::string path;
        bool inside = false;
        for (const Frame &open : stack) {
          inside |= open.node == from->second;
          if (inside) {
            path += "'" + nodeTitle(*open.node) + "' <- ";
          }
        }
        return failModel(ErrorCode::FileMalformed,
                         "the graph has a cycle: " + path + "'" +
                             nodeTitle(*from->second) + "'");
      }
      if (state == State::New) {
        enter(from->second);
      }
    }
  }
  // The file's own order where it is one, so that ops keep the model's order.
  std::unordered_map<const onnx::NodeProto *, size_t> place;
  size_t index = 0;
  for (const onnx::NodeProto &node : nodes) {
    ++index;
    place[&node] = node.op_type() == "Constant" ? 0 : index;
  }
  std::vector<const onnx::NodeProto *> byFile = order;
  std::stable_sort(
      byFile.begin(), byFile.end(),
      [&](const auto *a, const auto *b) { return place[a] < place[b]; });
  std::set<std::string> defined;
  bool sorted = true;
  for (const onnx::NodeProto *node : byFile) {
    std::vector<std::string> inputs;
    collectInputs(*node, inputs);
    for (const std::string &input : inputs) {
      sorted &= !producers.count(input) || defined.count(input) > 0;
    }
    defined.insert(node->output().begin(), node->output().end());
  }
  if (sorted) {
    order = byFile;
  }
  if (!checkOperators(order)) {
    return false;
  }
  for (const onnx::NodeProto *node : order) {
    if (!importNode(scope, *node)) {
      return false;
    }
  }
  return true;
}

bool EntryImporter::importNode(Scope &scope, const onnx::NodeProto &node) {
  if (const onnx::FunctionProto *f = findFunction(node)) {
    return importFunction(scope, node, *f);
  }
  std::vector<Val> inputs;
  for (const std::string &name : node.input()) {
    Val v = name.empty() ? nullptr : lookup(scope, name);
    if (!v && !name.empty()) {
      if (!failure.message.empty()) {
        return false;
      }
      return failNode(node, "it reads '" + name +
                                "', which no input, initializer or node "
                                "defines");
    }
    inputs.push_back(std::move(v));
  }
  int64_t version = versionFor(source, node);
  const Handler *handler = findHandler(node.domain(), node.op_type(), version);
  emit.setNode(nodeTitle(node));
  emit.clearError();
  NodeContext context(*this, emit, node, version, std::move(inputs));
  for (int i = 0; i < handler->minInputs; ++i) {
    if (!context.has(i)) {
      return failNode(node, "input " + std::to_string(i) + " is missing");
    }
  }
  Scope *before = current;
  current = &scope;
  bool imported = handler->fn(context);
  current = before;
  if (!failure.message.empty()) {
    return false;
  }
  if (!imported || !emit.error().empty()) {
    return failNode(node, emit.error().empty() ? "an input is missing"
                                               : emit.error());
  }
  for (int i = 0; i < node.output_size(); ++i) {
    if (!node.output(i).empty()) {
      if (Val v = context.results()[i]) {
        scope.values[node.output(i)] = v;
      }
    }
  }
  return true;
}

bool EntryImporter::importFunction(Scope &scope, const onnx::NodeProto &node,
                                   const onnx::FunctionProto &f) {
  if (++depth > 64) {
    return failNode(node, "functions call each other without end");
  }
  Scope inner;
  for (int i = 0; i < f.input_size(); ++i) {
    if (i < node.input_size() && !node.input(i).empty()) {
      Val v = lookup(scope, node.input(i));
      if (!v) {
        return !failure.message.empty()
                   ? false
                   : failNode(node, "'" + node.input(i) + "' is not defined");
      }
      inner.values[f.input(i)] = v;
    }
  }
  std::unordered_map<std::string, const onnx::AttributeProto *> attributes;
  for (const onnx::AttributeProto &a : node.attribute()) {
    const onnx::AttributeProto *actual =
        a.ref_attr_name().empty() ? &a : nullptr;
    if (!actual) {
      Scope *before = current;
      current = &scope;
      actual = functionAttribute(a.ref_attr_name());
      current = before;
    }
    if (actual) {
      attributes[a.name()] = actual;
    }
  }
  inner.attributes = &attributes;
  if (!importNodes(inner, f.node(), f.output())) {
    return false;
  }
  for (int i = 0; i < node.output_size() && i < f.output_size(); ++i) {
    if (Val v = lookup(inner, f.output(i)); v && !node.output(i).empty()) {
      scope.values[node.output(i)] = v;
    }
  }
  --depth;
  return true;
}

bool EntryImporter::importBranch(const onnx::GraphProto &graph,
                                 std::vector<Val> &outputs) {
  Scope inner;
  inner.parent = current;
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    inner.initializers[tensor.name()] = &tensor;
  }
  std::vector<std::string> wanted;
  for (const onnx::ValueInfoProto &output : graph.output()) {
    wanted.push_back(output.name());
  }
  if (!importNodes(inner, graph.node(), wanted)) {
    return false;
  }
  for (const std::string &name : wanted) {
    Val v = lookup(inner, name);
    if (!v) {
      return failure.message.empty()
                 ? failModel(ErrorCode::FileMalformed,
                             "output '" + name + "' of a branch is not defined")
                 : false;
    }
    outputs.push_back(v);
  }
  return true;
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

bool EntryImporter::finish(Scope &scope) {
  mlir::OpBuilder &builder = emit.builder;
  llvm::SmallVector<mlir::Value> results;
  std::vector<mlir::Attribute> attributes;
  for (const OutputPort &port : ports.outputs) {
    emit.setNode(port.name);
    emit.clearError();
    Val v = lookup(scope, port.name);
    mlir::Value value = emit.materialize(v);
    if (!value) {
      return failure.message.empty()
                 ? failModel(ErrorCode::FileMalformed,
                             "output '" + port.name + "': no node defines it" +
                                 emit.error())
                 : false;
    }
    results.push_back(value);
    graph::Port attribute;
    attribute.name = port.name;
    if (port.role == OutputPort::Role::Logits) {
      attribute.role = "logits";
    } else if (port.role == OutputPort::Role::Present) {
      attribute.role = "present";
      attribute.state = port.state;
      attribute.axis = port.axis;
    }
    attributes.push_back(graph::portToAttr(builder.getContext(), attribute));
  }
  mlir::func::ReturnOp::create(builder, builder.getUnknownLoc(), results);
  mlir::Block &body = function.getBody().front();
  llvm::SmallVector<mlir::Type> types;
  for (mlir::Value value : results) {
    types.push_back(value.getType());
  }
  function.setType(builder.getFunctionType(body.getArgumentTypes(), types));
  for (size_t i = 0; i < attributes.size(); ++i) {
    function.setResultAttr(i, graph::kPortAttr, attributes[i]);
  }
  function->setAttr(graph::kEntryAttr, builder.getUnitAttr());
  graph::setSymbolBounds(function, shape.bounds);
  if (!derivedInputs.empty()) {
    function->setAttr("graph.derived", builder.getArrayAttr(derivedInputs));
  }
  // Ops whose results only served shapes.
  for (mlir::Operation &op : llvm::make_early_inc_range(llvm::reverse(body))) {
    if (mlir::isOpTriviallyDead(&op)) {
      op.erase();
    }
  }
  return true;
}

Result<mlir::func::FuncOp> EntryImporter::run() {
  Scope scope;
  const onnx::GraphProto &graph = source.proto().graph();
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    scope.initializers[tensor.name()] = &tensor;
  }
  std::vector<std::string> wanted;
  for (const OutputPort &port : ports.outputs) {
    wanted.push_back(port.name);
  }
  if (!addInputs(scope) || !importNodes(scope, graph.node(), wanted) ||
      !finish(scope)) {
    return failure;
  }
  return function;
}

} // namespace llmc::import
