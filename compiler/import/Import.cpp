//===- Import.cpp - ONNX to the graph dialect -----------------------------===//

#include "compiler/import/Import.h"

#include "compiler/import/EntryImporter.h"
#include "compiler/import/OnnxModel.h"
#include "compiler/import/Ports.h"
#include "compiler/import/Sidecars.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/JSON.h"

#include <algorithm>
#include <set>

namespace llmc::import {

namespace {

/// The context of a model that does not say its own.
constexpr int64_t kDefaultContext = 2048;

class ModelImporter {
public:
  ModelImporter(mlir::MLIRContext &context, const ImportOptions &options)
      : context(context), options(options) {}

  Result<ImportedModel> run(const std::string &path);

private:
  Result<void> resolveBatch();
  Result<void> resolveMain(EntryShape &entry);
  Result<void> resolveContext();
  EntryShape statefulEntry(const std::string &name, int64_t contextLength);
  Error error(ErrorCode code, const std::string &message) const {
    return {code, model->path().string() + ": " + message};
  }
  /// The bounds that --dim gives to a name.
  const graph::Interval *given(const std::string &name) const {
    auto it = options.dims.find(name);
    return it == options.dims.end() ? nullptr : &it->second;
  }
  /// The input whose dimensions are [batch, sequence, ..].
  const InputPort *sequenceInput() const;
  std::optional<int64_t> fixedSequence() const;

  mlir::MLIRContext &context;
  const ImportOptions &options;
  std::unique_ptr<OnnxModel> model;
  Ports ports;
  ModelInfo info;
  int64_t batch = 1;
};

const InputPort *ModelImporter::sequenceInput() const {
  if (const InputPort *tokens = ports.tokens()) {
    return tokens;
  }
  for (const InputPort &port : ports.inputs) {
    if (port.role == InputPort::Role::Generic && port.shape->dim_size() == 3 &&
        (port.name.find("embed") != std::string::npos ||
         port.name.find("hidden") != std::string::npos)) {
      return &port;
    }
  }
  return nullptr;
}

std::optional<int64_t> ModelImporter::fixedSequence() const {
  const InputPort *port = sequenceInput();
  return port && port->shape->dim_size() >= 2 ? declaredDim(*port, 1).value
                                              : std::nullopt;
}

Result<void> ModelImporter::resolveBatch() {
  batch = options.batch;
  const InputPort *port = sequenceInput();
  if (!port || port->shape->dim_size() < 2) {
    return {};
  }
  DeclaredDim declared = declaredDim(*port, 0);
  if (declared.value && options.batch != 1 &&
      *declared.value != options.batch) {
    return error(ErrorCode::InvalidArgument,
                 "the model is made for batch " +
                     std::to_string(*declared.value) + ", --batch is " +
                     std::to_string(options.batch));
  }
  batch = declared.value.value_or(options.batch);
  if (const graph::Interval *bounds = given(declared.name);
      bounds && bounds->lower == bounds->upper) {
    batch = bounds->lower;
  }
  return {};
}

/// A name as a symbol: other characters than names may have become '_'.
DimExpr symbolFor(std::string name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) {
    name = "d" + name;
  }
  for (char &c : name) {
    bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
    c = fine ? c : '_';
  }
  return DimExpr::symbol(name);
}

bool isBatchName(const std::string &name, int axis) {
  return axis == 0 && (name.rfind("batch", 0) == 0 || name == "N" ||
                       name == "B" || name == "b" || name == "bs");
}

/// The symbols of a model without state, and their bounds.
Result<void> ModelImporter::resolveMain(EntryShape &entry) {
  std::vector<std::string> unbounded;
  const InputPort *sequence = sequenceInput();
  // Plain names first: expressions are made of them.
  for (bool expressions : {false, true}) {
    for (const InputPort &port : ports.inputs) {
      for (int axis = 0; axis < port.shape->dim_size(); ++axis) {
        DeclaredDim declared = declaredDim(port, axis);
        const std::string &name = declared.name;
        if (declared.value || entry.dims.count(name)) {
          continue;
        }
        std::optional<DimExpr> parsed = DimExpr::parse(name);
        bool composed = parsed && !parsed->asSymbol() && !parsed->isConstant();
        if (composed != expressions) {
          continue;
        }
        if (composed) {
          std::vector<std::string> symbols;
          parsed->collectSymbols(symbols);
          if (std::all_of(symbols.begin(), symbols.end(),
                          [&](auto &s) { return entry.dims.count(s) > 0; })) {
            entry.dims[name] = parsed->substitute(entry.dims);
            continue;
          }
        }
        graph::Interval bounds;
        if (const graph::Interval *bound = given(name)) {
          bounds = *bound;
        } else if (isBatchName(name, axis)) {
          bounds = {batch, batch};
        } else if (&port == sequence && axis == 1 && options.context) {
          bounds = {1, *options.context};
        }
        if (!bounds.hasUpper() || !bounds.hasLower() || bounds.lower < 0 ||
            bounds.upper < bounds.lower) {
          if (std::find(unbounded.begin(), unbounded.end(), name) ==
              unbounded.end()) {
            unbounded.push_back(name);
          }
          continue;
        }
        if (bounds.lower == bounds.upper) {
          entry.dims[name] = bounds.lower;
          continue;
        }
        DimExpr symbol = symbolFor(name);
        entry.dims[name] = symbol;
        entry.bounds[*symbol.asSymbol()] = bounds;
      }
    }
  }
  if (unbounded.empty()) {
    return {};
  }
  std::string list, how;
  for (const std::string &name : unbounded) {
    list += (list.empty() ? "'" : ", '") + name + "'";
    how += " --dim " + name + "=LO..HI";
  }
  if (sequence && sequence->shape->dim_size() > 1) {
    const std::string name = declaredDim(*sequence, 1).name;
    if (std::find(unbounded.begin(), unbounded.end(), name) !=
        unbounded.end()) {
      how += " (or --ctx N for " + name + ")";
    }
  }
  return error(
      ErrorCode::InvalidArgument,
      std::string(unbounded.size() > 1 ? "dimensions " : "dimension ") + list +
          (unbounded.size() > 1 ? " have" : " has") + " no bound; give" + how);
}

EntryShape ModelImporter::statefulEntry(const std::string &name,
                                        int64_t contextLength) {
  EntryShape entry;
  entry.name = name;
  entry.batch = batch;
  entry.past = DimExpr::symbol("past");
  int64_t longest = 1;
  if (name == "prefill") {
    // At most half of the context: a prompt is cut into pieces that start at
    // multiples of the chunk, and `past` keeps more than one value.
    int64_t chunk = std::min(options.prefillChunk, (contextLength + 1) / 2);
    longest = fixedSequence().value_or(std::max<int64_t>(1, chunk));
    if (fixedSequence() || longest == 1) {
      entry.seq = longest;
    } else {
      entry.seq = DimExpr::symbol("seq");
      entry.bounds["seq"] = {1, longest};
    }
  }
  entry.bounds["past"] = {0, std::max<int64_t>(0, contextLength - longest)};

  for (const auto &[dimension, bounds] : options.dims) {
    if (bounds.lower == bounds.upper) {
      entry.dims[dimension] = bounds.lower;
    }
  }
  for (const InputPort &port : ports.inputs) {
    for (int axis = 0; axis < port.shape->dim_size(); ++axis) {
      const std::string dimension = declaredDim(port, axis).name;
      if (dimension.empty()) {
        continue;
      }
      bool isSequence = &port == sequenceInput();
      if (isSequence && axis <= 1) {
        entry.dims[dimension] = axis == 0 ? entry.batch : entry.seq;
      } else if (port.role == InputPort::Role::Past) {
        entry.dims.emplace(dimension,
                           axis == port.axis ? entry.past : entry.batch);
      } else if (port.role == InputPort::Role::Ones && axis == 1) {
        entry.dims.emplace(dimension, entry.past + entry.seq);
      } else if (isBatchName(dimension, axis)) {
        entry.dims.emplace(dimension, entry.batch);
      }
    }
  }
  return entry;
}

/// Without --ctx the context is the model's own; a table that is indexed by
/// positions bounds both.
Result<void> ModelImporter::resolveContext() {
  int64_t wanted = options.context.value_or(info.context > 0 ? info.context
                                                             : kDefaultContext);
  if (wanted < 1) {
    return error(ErrorCode::InvalidArgument,
                 "a context of " + std::to_string(wanted) + " tokens");
  }
  // A state that the model declares with a size of its own (TensorScatter).
  int64_t holds = INT64_MAX;
  for (const InputPort &port : ports.inputs) {
    if (port.role == InputPort::Role::Past) {
      int64_t size =
          declaredDim(port, static_cast<int>(port.axis)).value.value_or(0);
      holds = size > 0 ? std::min(holds, size) : holds;
    }
  }
  if (options.context && *options.context > holds) {
    return error(ErrorCode::InvalidArgument,
                 "--ctx is " + std::to_string(*options.context) +
                     ", the model's state holds " + std::to_string(holds) +
                     " tokens");
  }
  wanted = std::min(wanted, holds);
  // A trial walk finds such tables. Its errors come again in the real one.
  mlir::OwningOpRef<mlir::ModuleOp> trial =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  WeightStore store;
  WeightTable weights(*trial, store, /*hashes=*/false);
  EntryShape entry = statefulEntry("decode", wanted);
  if (fixedSequence().value_or(1) != 1) {
    entry = statefulEntry("prefill", wanted);
  }
  EntryImporter importer(*model, ports, entry, *trial, weights);
  (void)importer.run();
  int64_t limit = importer.positionLimit();
  if (options.context && *options.context > limit) {
    return error(ErrorCode::InvalidArgument,
                 "--ctx is " + std::to_string(*options.context) +
                     ", the model's position table has " +
                     std::to_string(limit) + " rows");
  }
  info.context = std::min(wanted, limit);
  return {};
}

/// The number of token ids: the rows of the table that they index, else the
/// width of the logits (a model may end in hidden states). 0 if neither tells.
static int64_t vocabularyOf(mlir::func::FuncOp function) {
  int64_t width = 0;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    std::optional<graph::Port> port = graph::getArgPort(function, i);
    if (!port || port->role != "tokens") {
      continue;
    }
    llvm::SmallVector<mlir::Value> indices = {function.getArgument(i)};
    for (size_t at = 0; at < indices.size(); ++at) {
      for (mlir::Operation *user : indices[at].getUsers()) {
        if (auto gather = mlir::dyn_cast<graph::GatherOp>(user);
            gather && gather.getAxis() == 0 &&
            gather.getIndices() == indices[at]) {
          auto table =
              mlir::cast<mlir::RankedTensorType>(gather.getData().getType());
          if (table.getRank() == 2 && !table.isDynamicDim(0)) {
            return table.getDimSize(0);
          }
        } else if (auto gather = mlir::dyn_cast<graph::QuantGatherOp>(user)) {
          return static_cast<int64_t>(gather.getN());
        } else if (mlir::isa<graph::CastOp, graph::ReshapeOp>(user)) {
          indices.push_back(user->getResult(0));
        }
      }
    }
  }
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    std::optional<graph::Port> port = graph::getResultPort(function, i);
    auto type =
        mlir::dyn_cast<mlir::RankedTensorType>(function.getResultTypes()[i]);
    if (port && port->role == "logits" && type && type.getRank() > 0 &&
        !type.isDynamicDim(type.getRank() - 1)) {
      width = type.getDimSize(type.getRank() - 1);
    }
  }
  return width;
}

Result<ImportedModel> ModelImporter::run(const std::string &path) {
  Result<std::filesystem::path> file = findModelFile(path);
  if (!file) {
    return file.error();
  }
  Result<std::unique_ptr<OnnxModel>> loaded = OnnxModel::load(*file);
  if (!loaded) {
    return loaded.error();
  }
  model = std::move(*loaded);
  NameTemplates templates;
  info = readSidecars(*file, templates);
  Result<Ports> found = findPorts(*model, templates);
  if (!found) {
    return found.error();
  }
  ports = std::move(*found);
  if (Result<void> resolved = resolveBatch(); !resolved) {
    return resolved.error();
  }

  std::vector<EntryShape> entries;
  if (ports.states > 0) {
    if (Result<void> resolved = resolveContext(); !resolved) {
      return resolved.error();
    }
    // A model that takes one token at a time has no prefill; one with a fixed
    // larger number has no decode.
    int64_t fixed = fixedSequence().value_or(0);
    if (fixed > info.context) {
      return error(ErrorCode::InvalidArgument,
                   "the model takes " + std::to_string(fixed) +
                       " tokens at a time, the context is " +
                       std::to_string(info.context));
    }
    if (fixed != 1) {
      entries.push_back(statefulEntry("prefill", info.context));
    }
    if (fixed <= 1) {
      entries.push_back(statefulEntry("decode", info.context));
    }
  } else {
    EntryShape entry;
    entry.name = "main";
    entry.batch = batch;
    if (Result<void> resolved = resolveMain(entry); !resolved) {
      return resolved.error();
    }
    info.context = 0;
    entries.push_back(std::move(entry));
  }

  ImportedModel result;
  result.module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  mlir::ModuleOp module = *result.module;
  if (info.context > 0) {
    module->setAttr(graph::kContextAttr,
                    mlir::IntegerAttr::get(mlir::IntegerType::get(&context, 64),
                                           info.context));
  }
  WeightTable weights(module, result.weights);
  for (const EntryShape &entry : entries) {
    EntryImporter importer(*model, ports, entry, module, weights);
    Result<mlir::func::FuncOp> function = importer.run();
    if (!function) {
      return function.error();
    }
    if (info.vocabulary == 0) {
      info.vocabulary = vocabularyOf(*function);
    }
  }
  // What a handler did not look at shows here, with the node's name.
  std::string invalid;
  mlir::ScopedDiagnosticHandler handler(
      &context, [&](mlir::Diagnostic &diagnostic) {
        if (invalid.empty()) {
          auto name = mlir::dyn_cast<mlir::NameLoc>(diagnostic.getLocation());
          invalid = (name ? "node '" + name.getName().str() + "': " : "") +
                    diagnostic.str();
        }
        return mlir::success();
      });
  if (mlir::failed(mlir::verify(module))) {
    return error(ErrorCode::FileMalformed, invalid);
  }
  for (const onnx::NodeProto &node : model->proto().graph().node()) {
    bool isStandard = node.domain().empty() || node.domain() == "ai.onnx";
    ++info.operators[isStandard ? node.op_type()
                                : node.domain() + ":" + node.op_type()];
  }
  result.info = info;
  return result;
}

} // namespace

Result<ImportedModel> importModel(mlir::MLIRContext &context,
                                  const std::string &path,
                                  const ImportOptions &options) {
  context.loadDialect<graph::GraphDialect, mlir::func::FuncDialect>();
  Result<ImportedModel> result = ModelImporter(context, options).run(path);
  if (result) {
    return result;
  }
  // Names come from the file: one line of valid text, whatever they hold.
  std::string message = llvm::json::fixUTF8(result.error().message);
  for (char &c : message) {
    c = static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return Error{result.error().code, message};
}

} // namespace llmc::import
