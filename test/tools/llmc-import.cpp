//===- llmc-import.cpp - Prints what the importer makes of a model --------===//
//
// For tests of the importer alone: the module on stdout, what the sidecars say
// on stderr with --info. Exit 1 and one line on an error.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"
#include "passes/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace llmc;

static llvm::cl::opt<std::string>
    model(llvm::cl::Positional, llvm::cl::desc("MODEL"), llvm::cl::Required);
static llvm::cl::opt<int64_t> ctx("ctx", llvm::cl::init(-1));
static llvm::cl::opt<int64_t> batch("batch", llvm::cl::init(1));
static llvm::cl::opt<int64_t> chunk("prefill-chunk", llvm::cl::init(128));
static llvm::cl::list<std::string> dims("dim",
                                        llvm::cl::desc("NAME=N or LO..HI"));
static llvm::cl::opt<bool> printInfo("info",
                                     llvm::cl::desc("what else is known"));
static llvm::cl::opt<bool> quiet("q",
                                 llvm::cl::desc("do not print the module"));

static llvm::cl::opt<std::string>
    passes("passes", llvm::cl::desc("a pass pipeline to run first, such as "
                                    "llmc-graph{quantize=int8}"));
static llvm::cl::opt<std::string>
    dumpTo("dump", llvm::cl::desc("write FOLDER/graph.json and the weights' "
                                  "bytes, for test/import/reference.py"));

/// Attributes as JSON; dense elements as {type, hex bytes of the elements}.
static llvm::json::Value toJson(mlir::Attribute attribute) {
  using namespace mlir;
  return llvm::TypeSwitch<Attribute, llvm::json::Value>(attribute)
      .Case([](StringAttr a) { return a.getValue().str(); })
      .Case([](BoolAttr a) { return a.getValue(); })
      .Case([](IntegerAttr a) { return a.getInt(); })
      .Case([](FloatAttr a) { return a.getValueAsDouble(); })
      .Case([](SymbolRefAttr a) { return a.getLeafReference().str(); })
      .Case([](TypeAttr a) {
        std::string text;
        llvm::raw_string_ostream(text) << a.getValue();
        return text;
      })
      .Case([](DenseI64ArrayAttr a) {
        llvm::json::Array list;
        for (int64_t i : a.asArrayRef()) {
          list.push_back(i);
        }
        return list;
      })
      .Case([](DenseI32ArrayAttr a) {
        llvm::json::Array list;
        for (int32_t i : a.asArrayRef()) {
          list.push_back(i);
        }
        return list;
      })
      .Case([](ArrayAttr a) {
        llvm::json::Array list;
        for (Attribute element : a) {
          list.push_back(toJson(element));
        }
        return list;
      })
      .Case([](DictionaryAttr a) {
        llvm::json::Object object;
        for (NamedAttribute entry : a) {
          object[entry.getName().getValue()] = toJson(entry.getValue());
        }
        return object;
      })
      .Case([](DenseElementsAttr a) -> llvm::json::Value {
        llvm::json::Array list;
        Type element = a.getElementType();
        if (isa<FloatType>(element)) {
          for (llvm::APFloat value : a.getValues<llvm::APFloat>()) {
            bool lossy;
            value.convert(llvm::APFloat::IEEEdouble(),
                          llvm::APFloat::rmNearestTiesToEven, &lossy);
            double number = value.convertToDouble();
            if (std::isfinite(number)) {
              list.push_back(number);
            } else {
              list.push_back(number > 0 ? "inf" : number < 0 ? "-inf" : "nan");
            }
            if (a.isSplat()) {
              break;
            }
          }
        } else {
          bool isSigned = !element.isUnsignedInteger() && !element.isInteger(1);
          for (llvm::APInt value : a.getValues<llvm::APInt>()) {
            list.push_back(isSigned
                               ? value.getSExtValue()
                               : static_cast<int64_t>(value.getZExtValue()));
            if (a.isSplat()) {
              break;
            }
          }
        }
        return llvm::json::Object{{"values", std::move(list)},
                                  {"splat", a.isSplat()}};
      })
      .Default([](Attribute) { return nullptr; });
}

/// The ops of a block; `id` numbers the values.
static llvm::json::Array opsToJson(mlir::Block &block,
                                   llvm::function_ref<int64_t(mlir::Value)> id);

static std::string typeText(mlir::Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

static llvm::json::Array
opsToJson(mlir::Block &block, llvm::function_ref<int64_t(mlir::Value)> id) {
  llvm::json::Array ops;
  for (mlir::Operation &inner : block) {
    llvm::json::Array operands, outs, types;
    for (mlir::Value v : inner.getOperands()) {
      operands.push_back(id(v));
    }
    for (mlir::Value v : inner.getResults()) {
      outs.push_back(id(v));
      types.push_back(typeText(v.getType()));
    }
    llvm::json::Object op{{"op", inner.getName().getStringRef()},
                          {"operands", std::move(operands)},
                          {"results", std::move(outs)},
                          {"types", std::move(types)},
                          {"attributes", toJson(inner.getAttrDictionary())}};
    if (inner.getNumRegions() == 1) { // graph.fused
      mlir::Block &body = inner.getRegion(0).front();
      llvm::json::Array arguments;
      for (mlir::Value v : body.getArguments()) {
        arguments.push_back(id(v));
      }
      llvm::json::Object attributes = *op["attributes"].getAsObject();
      attributes["arguments"] = std::move(arguments);
      attributes["body"] = opsToJson(body, id);
      op["attributes"] = std::move(attributes);
    }
    ops.push_back(std::move(op));
  }
  return ops;
}

static int dump(const import::ImportedModel &model, const std::string &folder) {
  llvm::sys::fs::create_directories(folder);
  std::error_code error;
  llvm::raw_fd_ostream bytes(folder + "/weights.bin", error);
  llvm::json::Object weights, entries, states;
  uint64_t offset = 0;
  for (mlir::Operation &op : *model.module.get().getBody()) {
    if (auto name = op.getAttrOfType<mlir::StringAttr>("sym_name");
        op.getName().getStringRef() == "graph.weight") {
      std::span<const std::byte> data = model.weights.bytes(name.getValue());
      bytes.write(reinterpret_cast<const char *>(data.data()), data.size());
      weights[name.getValue()] =
          llvm::json::Object{{"type", toJson(op.getAttr("type"))},
                             {"offset", offset},
                             {"size", data.size()}};
      offset += data.size();
    }
    if (op.getName().getStringRef() == "graph.state") {
      auto name = op.getAttrOfType<mlir::StringAttr>("sym_name");
      states[name.getValue()] = toJson(op.getAttrDictionary());
    }
    auto function = llvm::dyn_cast<mlir::func::FuncOp>(op);
    if (!function) {
      continue;
    }
    llvm::DenseMap<mlir::Value, int64_t> ids;
    auto id = [&](mlir::Value v) {
      return ids.try_emplace(v, ids.size()).first->second;
    };
    llvm::json::Array arguments, ops, results;
    for (mlir::BlockArgument argument : function.getArguments()) {
      arguments.push_back(llvm::json::Object{
          {"id", id(argument)},
          {"type", typeText(argument.getType())},
          {"attributes",
           toJson(function.getArgAttrDict(argument.getArgNumber()))}});
    }
    ops = opsToJson(function.getBody().front(), id);
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      results.push_back(toJson(function.getResultAttrDict(i)));
    }
    entries[function.getName()] = llvm::json::Object{
        {"arguments", std::move(arguments)},
        {"ops", std::move(ops)},
        {"results", std::move(results)},
        {"attributes", toJson(function->getAttrDictionary())}};
  }
  llvm::raw_fd_ostream out(folder + "/graph.json", error);
  out << llvm::json::Value(llvm::json::Object{{"weights", std::move(weights)},
                                              {"states", std::move(states)},
                                              {"entries", std::move(entries)}});
  return error ? 1 : 0;
}

int main(int argc, char **argv) {
  registerLlmcPasses();
  registerPipelines();
  llvm::cl::ParseCommandLineOptions(argc, argv);
  import::ImportOptions options;
  options.batch = batch;
  options.prefillChunk = chunk;
  if (ctx >= 0) {
    options.context = ctx;
  }
  for (const std::string &text : dims) {
    llvm::StringRef name, bounds, low, high;
    std::tie(name, bounds) = llvm::StringRef(text).rsplit('=');
    std::tie(low, high) = bounds.split("..");
    graph::Interval interval;
    if (low.getAsInteger(10, interval.lower) ||
        (high.empty() ? low : high).getAsInteger(10, interval.upper)) {
      llvm::errs() << "llmc-import: --dim " << text << '\n';
      return 2;
    }
    options.dims[name.str()] = interval;
  }
  mlir::MLIRContext context;
  Result<import::ImportedModel> result =
      import::importModel(context, model, options);
  if (!result) {
    llvm::errs() << "error: " << result.error().message << '\n';
    return 1;
  }
  if (printInfo) {
    const import::ModelInfo &info = result->info;
    llvm::errs() << "name " << info.name << ", context " << info.context
                 << ", vocabulary " << info.vocabulary << ", bos "
                 << info.bosToken << ", eos";
    for (int64_t token : info.eosTokens) {
      llvm::errs() << ' ' << token;
    }
    llvm::errs() << ", tokenizer '" << info.tokenizerPath << "'\n";
    for (const std::string &warning : info.warnings) {
      llvm::errs() << "warning: " << warning << '\n';
    }
  }
  if (!passes.empty()) {
    mlir::PassManager manager(&context);
    if (mlir::failed(mlir::parsePassPipeline(passes, manager)) ||
        mlir::failed(manager.run(*result->module))) {
      return 1;
    }
  }
  if (!dumpTo.empty()) {
    return dump(*result, dumpTo);
  }
  if (!quiet) {
    result->module->print(llvm::outs());
  }
  return 0;
}
