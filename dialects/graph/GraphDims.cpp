//===- GraphDims.cpp - Dimensions of values in the IR ----------*- C++ -*-===//

#include "dialects/graph/GraphDims.h"

#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;

namespace llmc::graph {

static std::optional<DimExpr> dimFromAttr(Attribute attr) {
  if (auto integer = dyn_cast<IntegerAttr>(attr)) {
    return DimExpr(integer.getInt());
  }
  if (auto text = dyn_cast<StringAttr>(attr)) {
    return DimExpr::parse(text.getValue());
  }
  return std::nullopt;
}

/// The attribute with the dimensions of this value, or null.
static ArrayAttr attachedDims(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto func =
        dyn_cast_or_null<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!func || argument.getOwner() != &func.getBody().front()) {
      return {};
    }
    return func.getArgAttrOfType<ArrayAttr>(argument.getArgNumber(),
                                            kArgDimsAttr);
  }
  auto result = cast<OpResult>(value);
  auto lists = result.getOwner()->getAttrOfType<ArrayAttr>(kDimsAttr);
  if (!lists || result.getResultNumber() >= lists.size()) {
    return {};
  }
  return dyn_cast<ArrayAttr>(lists[result.getResultNumber()]);
}

Dims getDims(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  ArrayAttr attached =
      type.hasStaticShape() ? ArrayAttr() : attachedDims(value);
  Dims dims;
  for (auto [index, extent] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(extent)) {
      dims.push_back(extent);
      continue;
    }
    std::optional<DimExpr> known;
    if (attached && index < attached.size()) {
      known = dimFromAttr(attached[index]);
    }
    if (!known) {
      auto id = reinterpret_cast<uintptr_t>(value.getAsOpaquePointer());
      known = DimExpr::symbol("?" + std::to_string(id) + "." +
                              std::to_string(index));
    }
    dims.push_back(*known);
  }
  return dims;
}

DimExpr getDim(Value value, unsigned index) { return getDims(value)[index]; }

RankedTensorType tensorType(const Dims &dims, Type elementType) {
  SmallVector<int64_t> shape;
  for (DimExpr dim : dims) {
    shape.push_back(dim.asConstant().value_or(ShapedType::kDynamic));
  }
  return RankedTensorType::get(shape, elementType);
}

ArrayAttr dimsToAttr(MLIRContext *context, const Dims &dims) {
  SmallVector<Attribute> list;
  for (DimExpr dim : dims) {
    if (std::optional<int64_t> value = dim.asConstant()) {
      list.push_back(IntegerAttr::get(IntegerType::get(context, 64), *value));
    } else {
      list.push_back(StringAttr::get(context, dim.str()));
    }
  }
  return ArrayAttr::get(context, list);
}

std::optional<Dims> dimsFromAttr(Attribute attr) {
  auto list = dyn_cast_or_null<ArrayAttr>(attr);
  if (!list) {
    return std::nullopt;
  }
  Dims dims;
  for (Attribute element : list) {
    std::optional<DimExpr> dim = dimFromAttr(element);
    if (!dim) {
      return std::nullopt;
    }
    dims.push_back(*dim);
  }
  return dims;
}

void setDims(Operation *op, unsigned result, const Dims &dims) {
  MLIRContext *context = op->getContext();
  // Read the other results' lists first: changing a type changes what they say.
  SmallVector<Attribute> lists;
  bool allStatic = true;
  for (OpResult other : op->getResults()) {
    auto type = dyn_cast<RankedTensorType>(other.getType());
    if (!type) {
      lists.push_back(ArrayAttr::get(context, {}));
      continue;
    }
    Dims these = other.getResultNumber() == result ? dims : getDims(other);
    if (other.getResultNumber() == result) {
      other.setType(tensorType(dims, type.getElementType()));
    }
    allStatic &= cast<RankedTensorType>(other.getType()).hasStaticShape();
    lists.push_back(dimsToAttr(context, these));
  }
  if (allStatic) {
    op->removeAttr(kDimsAttr);
  } else {
    op->setAttr(kDimsAttr, ArrayAttr::get(context, lists));
  }
}

void setArgDims(func::FuncOp func, unsigned argument, const Dims &dims) {
  BlockArgument value = func.getArgument(argument);
  Type element = cast<RankedTensorType>(value.getType()).getElementType();
  value.setType(tensorType(dims, element));
  SmallVector<Type> inputs(func.getArgumentTypes());
  inputs[argument] = value.getType();
  func.setType(FunctionType::get(func.getContext(), inputs,
                                 func.getFunctionType().getResults()));
  func.setArgAttr(argument, kArgDimsAttr, dimsToAttr(func.getContext(), dims));
}

DimExpr exprAttr(StringRef text) {
  if (std::optional<DimExpr> expr = DimExpr::parse(text)) {
    return *expr;
  }
  return DimExpr::symbol("?" + text.str());
}

StringAttr exprToAttr(MLIRContext *context, DimExpr expr) {
  return StringAttr::get(context, expr.str());
}

SymbolBounds symbolBounds(func::FuncOp entry) {
  SymbolBounds bounds;
  auto symbols = entry->getAttrOfType<DictionaryAttr>(kSymbolsAttr);
  if (!symbols) {
    return bounds;
  }
  for (NamedAttribute symbol : symbols) {
    auto pair = cast<ArrayAttr>(symbol.getValue());
    bounds[symbol.getName().str()] = {cast<IntegerAttr>(pair[0]).getInt(),
                                      cast<IntegerAttr>(pair[1]).getInt()};
  }
  return bounds;
}

void setSymbolBounds(func::FuncOp entry, const SymbolBounds &bounds) {
  Builder builder(entry.getContext());
  SmallVector<NamedAttribute> symbols;
  for (const auto &[name, interval] : bounds) {
    symbols.push_back(builder.getNamedAttr(
        name, builder.getI64ArrayAttr({interval.lower, interval.upper})));
  }
  entry->setAttr(kSymbolsAttr, builder.getDictionaryAttr(symbols));
}

std::optional<Dims> broadcastDims(const Dims &a, const Dims &b) {
  const Dims &longer = a.size() >= b.size() ? a : b;
  const Dims &shorter = a.size() >= b.size() ? b : a;
  Dims result = longer;
  size_t skip = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    DimExpr x = longer[skip + i], y = shorter[i];
    if (x == y || y == DimExpr(1)) {
      continue;
    }
    if (x == DimExpr(1)) {
      result[skip + i] = y;
    } else if (x.isConstant() && y.isConstant()) {
      return std::nullopt;
    } else if (y.isConstant()) {
      result[skip + i] = y;
    } else if (!x.isConstant()) {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<Port> getPort(Attribute attr) {
  auto dictionary = dyn_cast_or_null<DictionaryAttr>(attr);
  if (!dictionary) {
    return std::nullopt;
  }
  Port port;
  if (auto name = dictionary.getAs<StringAttr>("name")) {
    port.name = name.str();
  }
  if (auto role = dictionary.getAs<StringAttr>("role")) {
    port.role = role.str();
  }
  if (auto state = dictionary.getAs<IntegerAttr>("state")) {
    port.state = state.getInt();
  }
  if (auto axis = dictionary.getAs<IntegerAttr>("axis")) {
    port.axis = axis.getInt();
  }
  return port;
}

std::optional<Port> getArgPort(func::FuncOp func, unsigned argument) {
  return getPort(func.getArgAttr(argument, kPortAttr));
}

std::optional<Port> getResultPort(func::FuncOp func, unsigned result) {
  return getPort(func.getResultAttr(result, kPortAttr));
}

DictionaryAttr portToAttr(MLIRContext *context, const Port &port) {
  Builder builder(context);
  SmallVector<NamedAttribute> fields;
  fields.push_back(
      builder.getNamedAttr("name", builder.getStringAttr(port.name)));
  fields.push_back(
      builder.getNamedAttr("role", builder.getStringAttr(port.role)));
  if (port.state) {
    fields.push_back(
        builder.getNamedAttr("state", builder.getI64IntegerAttr(*port.state)));
  }
  if (port.axis) {
    fields.push_back(
        builder.getNamedAttr("axis", builder.getI64IntegerAttr(*port.axis)));
  }
  return builder.getDictionaryAttr(fields);
}

std::string nodeName(Operation *op) {
  if (auto name = op->getAttrOfType<StringAttr>(kNameAttr)) {
    return name.str();
  }
  return op->getName().getStringRef().str();
}

} // namespace llmc::graph
