//===- GraphDialect.cpp - Registration and attribute checks ----*- C++ -*-===//

#include "dialects/graph/GraphDialect.h"
#include "dialects/graph/CacheLimits.h"
#include "dialects/graph/CacheSlices.h"
#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "dialects/graph/GraphDialect.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/graph/GraphTypes.cpp.inc"

namespace llmc::graph {

void GraphDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/graph/GraphTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/graph/GraphOps.cpp.inc"
      >();
}

Operation *GraphDialect::materializeConstant(OpBuilder &builder,
                                             Attribute value, Type type,
                                             Location loc) {
  auto elements = dyn_cast<ElementsAttr>(value);
  if (!elements || elements.getType() != type) {
    return nullptr;
  }
  return ConstantOp::create(builder, loc, type, elements);
}

/// The list agrees with the type: same rank, constants where static.
static LogicalResult verifyDimList(Operation *op, Type type, Attribute attr,
                                   const Twine &what) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  std::optional<Dims> dims = dimsFromAttr(attr);
  if (!dims) {
    return op->emitOpError() << what << " is not a list of integers and "
                             << "dimension expressions: " << attr;
  }
  if (!tensor) {
    return success();
  }
  if (static_cast<int64_t>(dims->size()) != tensor.getRank()) {
    return op->emitOpError()
           << what << " has " << dims->size() << " dimensions, the type "
           << type << " has " << tensor.getRank();
  }
  for (auto [index, dim] : llvm::enumerate(*dims)) {
    int64_t extent = tensor.getDimSize(index);
    std::optional<int64_t> constant = dim.asConstant();
    if (constant && *constant < 0) {
      return op->emitOpError()
             << what << "[" << index << "] is negative: " << *constant;
    }
    if (constant ? extent != *constant : !ShapedType::isDynamic(extent)) {
      return op->emitOpError() << what << "[" << index << "] is " << dim.str()
                               << ", the type says " << type;
    }
  }
  return success();
}

LogicalResult verifyDims(Operation *op) {
  Attribute attr = op->getAttr(kDimsAttr);
  if (!attr) {
    for (Type type : op->getResultTypes()) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      // The body of a fused op is rank 0, so this asks nothing of it.
      if (tensor && !tensor.hasStaticShape()) {
        return op->emitOpError() << "has a result that is not static, " << type
                                 << ", and no 'dims' attribute";
      }
    }
    return success();
  }
  auto lists = dyn_cast<ArrayAttr>(attr);
  if (!lists || lists.size() != op->getNumResults()) {
    return op->emitOpError() << "'dims' must hold one list for each of "
                             << op->getNumResults() << " results: " << attr;
  }
  for (auto [index, list] : llvm::enumerate(lists)) {
    if (failed(verifyDimList(op, op->getResult(index).getType(), list,
                             "'dims'[" + Twine(index) + "]"))) {
      return failure();
    }
  }
  return success();
}

LogicalResult verifyCacheSlices(Operation *op, Attribute attr) {
  auto attention = dyn_cast<AttentionOp>(op);
  if (!attention || !isa<CacheType>(attention.getK().getType()) ||
      !isa<CacheType>(attention.getV().getType())) {
    return op->emitOpError(
        "'graph.slices' is an attribute of a graph.attention over caches");
  }
  auto slices = dyn_cast<DenseI64ArrayAttr>(attr);
  if (!slices || slices.size() != 2 || slices[0] < 0 || slices[1] < 0) {
    return op->emitOpError("'graph.slices' must be array<i64: K, V>, the "
                           "indices of k and v, found ")
           << attr;
  }
  return success();
}

LogicalResult verifyCacheLimits(Operation *op, StringRef name, Attribute attr) {
  bool isRing = name == kRingAttr;
  auto attention = dyn_cast<AttentionOp>(op);
  if (isRing ? !isa<StateOp>(op)
             : !attention || !isa<CacheType>(attention.getK().getType()) ||
                   attention.getWindow() < 1) {
    return op->emitOpError()
           << "'" << name << "' is an attribute of "
           << (isRing ? "a graph.state"
                      : "a graph.attention over caches with a window");
  }
  auto pair = dyn_cast<DenseI64ArrayAttr>(attr);
  if (!pair || pair.size() != 2 || pair[0] < 0 || pair[1] < (isRing ? 1 : 0)) {
    return op->emitOpError() << "'" << name << "' must be array<i64: "
                             << (isRing ? "BLOCKS, RING" : "SINKS, BLOCKS")
                             << ">, found " << attr;
  }
  return success();
}

LogicalResult GraphDialect::verifyOperationAttribute(Operation *op,
                                                     NamedAttribute attr) {
  StringRef name = attr.getName();
  if (name == kEntryAttr) {
    if (!isa<func::FuncOp>(op) || !isa<UnitAttr>(attr.getValue())) {
      return op->emitOpError(
          "'graph.entry' is a unit attribute of a func.func");
    }
    return success();
  }
  if (name == kSymbolsAttr) {
    auto symbols = dyn_cast<DictionaryAttr>(attr.getValue());
    if (!symbols || !isa<func::FuncOp>(op)) {
      return op->emitOpError(
          "'graph.symbols' is a dictionary attribute of a func.func");
    }
    for (NamedAttribute symbol : symbols) {
      auto pair = dyn_cast<ArrayAttr>(symbol.getValue());
      bool valid = pair && pair.size() == 2 && isa<IntegerAttr>(pair[0]) &&
                   isa<IntegerAttr>(pair[1]);
      if (!valid || cast<IntegerAttr>(pair[0]).getInt() >
                        cast<IntegerAttr>(pair[1]).getInt()) {
        return op->emitOpError()
               << "bounds of symbol '" << symbol.getName().getValue()
               << "' must be [lower, upper] with lower <= upper, found "
               << symbol.getValue();
      }
    }
    return success();
  }
  if (name == kContextAttr) {
    auto context = dyn_cast<IntegerAttr>(attr.getValue());
    if (!isa<ModuleOp>(op) || !context || context.getInt() < 1) {
      return op->emitOpError(
          "'graph.context' is a positive integer attribute of the module");
    }
    return success();
  }
  if (name == kSlicesAttr) {
    return verifyCacheSlices(op, attr.getValue());
  }
  if (name == kLimitAttr || name == kRingAttr) {
    return verifyCacheLimits(op, name, attr.getValue());
  }
  if (name == kNameAttr && !isa<StringAttr>(attr.getValue())) {
    return op->emitOpError("'graph.name' must be a string");
  }
  return success();
}

static LogicalResult verifyPort(Operation *op, Attribute attr, bool isResult) {
  auto dictionary = dyn_cast<DictionaryAttr>(attr);
  if (!dictionary || !dictionary.getAs<StringAttr>("name") ||
      !dictionary.getAs<StringAttr>("role")) {
    return op->emitOpError()
           << "'graph.port' must be {name = \"..\", role = \"..\"}: " << attr;
  }
  StringRef role = dictionary.getAs<StringAttr>("role").getValue();
  bool isState = role == (isResult ? "present" : "past");
  bool known =
      isState || role == "generic" || role == (isResult ? "logits" : "tokens");
  if (!known) {
    return op->emitOpError()
           << "unknown role '" << role << "' of "
           << (isResult ? "a result" : "an argument") << ": " << attr;
  }
  if (isState && (!dictionary.getAs<IntegerAttr>("state") ||
                  !dictionary.getAs<IntegerAttr>("axis"))) {
    return op->emitOpError()
           << "role '" << role
           << "' needs the integers 'state' and 'axis': " << attr;
  }
  return success();
}

LogicalResult GraphDialect::verifyRegionArgAttribute(Operation *op,
                                                     unsigned region,
                                                     unsigned argument,
                                                     NamedAttribute attr) {
  if (attr.getName() == kPortAttr) {
    return verifyPort(op, attr.getValue(), /*isResult=*/false);
  }
  if (attr.getName() == kArgDimsAttr) {
    auto func = dyn_cast<func::FuncOp>(op);
    if (!func) {
      return op->emitOpError("'graph.dims' belongs to a func.func");
    }
    return verifyDimList(op, func.getArgumentTypes()[argument], attr.getValue(),
                         "'graph.dims' of argument " + Twine(argument));
  }
  return success();
}

LogicalResult GraphDialect::verifyRegionResultAttribute(Operation *op,
                                                        unsigned region,
                                                        unsigned result,
                                                        NamedAttribute attr) {
  if (attr.getName() == kPortAttr) {
    return verifyPort(op, attr.getValue(), /*isResult=*/true);
  }
  if (attr.getName() == kArgDimsAttr) {
    auto func = dyn_cast<func::FuncOp>(op);
    if (!func) {
      return op->emitOpError("'graph.dims' belongs to a func.func");
    }
    return verifyDimList(op, func.getResultTypes()[result], attr.getValue(),
                         "'graph.dims' of result " + Twine(result));
  }
  return success();
}

} // namespace llmc::graph
