//===- PlanDialect.cpp - Registration, attributes, helpers -----*- C++ -*-===//

#include "dialects/plan/PlanDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "dialects/plan/PlanDialect.cpp.inc"
#include "dialects/plan/PlanEnums.cpp.inc"

namespace llmc::planir {

/// Defined beside the ops, which print views inline.
ParseResult parseView(AsmParser &parser, ViewAttr &view);
void printView(AsmPrinter &printer, ViewAttr view);

Attribute ViewAttr::parse(AsmParser &parser, Type) {
  ViewAttr view;
  if (parser.parseLess() || parseView(parser, view) || parser.parseGreater()) {
    return {};
  }
  return view;
}

void ViewAttr::print(AsmPrinter &printer) const {
  printer << "<";
  printView(printer, *this);
  printer << ">";
}

} // namespace llmc::planir

#define GET_ATTRDEF_CLASSES
#include "dialects/plan/PlanAttrs.cpp.inc"

namespace llmc::planir {

void PlanDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/plan/PlanAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/plan/PlanOps.cpp.inc"
      >();
}

std::optional<graph::DimExpr> toExpr(Attribute attribute) {
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attribute)) {
    return graph::DimExpr(integer.getInt());
  }
  if (auto text = dyn_cast_or_null<StringAttr>(attribute)) {
    return graph::DimExpr::parse(text.getValue());
  }
  return std::nullopt;
}

Attribute toAttr(MLIRContext *context, graph::DimExpr expr) {
  if (std::optional<int64_t> constant = expr.asConstant()) {
    return IntegerAttr::get(IntegerType::get(context, 64), *constant);
  }
  return StringAttr::get(context, expr.str());
}

ArrayAttr toAttr(MLIRContext *context, const graph::Dims &dims) {
  SmallVector<Attribute> elements;
  for (graph::DimExpr dim : dims) {
    elements.push_back(toAttr(context, dim));
  }
  return ArrayAttr::get(context, elements);
}

graph::SymbolBounds getBounds(EntryOp entry) {
  graph::SymbolBounds bounds;
  for (NamedAttribute symbol : entry.getSymbols()) {
    auto pair = dyn_cast<ArrayAttr>(symbol.getValue());
    if (pair && pair.size() == 2 && isa<IntegerAttr>(pair[0]) &&
        isa<IntegerAttr>(pair[1])) {
      bounds[symbol.getName().str()] = {cast<IntegerAttr>(pair[0]).getInt(),
                                        cast<IntegerAttr>(pair[1]).getInt()};
    }
  }
  return bounds;
}

std::optional<plan::KernelId> parseKernel(StringRef name) {
  for (unsigned i = 0; i < plan::kNumKernels; ++i) {
    auto id = static_cast<plan::KernelId>(i);
    if (name == StringRef(plan::name(id))) {
      return id;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> boundBytes(ViewAttr view,
                                   const graph::SymbolBounds &bounds) {
  auto dtype = plan::parseDType(view.getDtype().getValue());
  if (!dtype) {
    return std::nullopt;
  }
  uint64_t bits = plan::bitWidth(*dtype);
  size_t index = 0;
  for (Attribute attribute : view.getDims()) {
    std::optional<graph::DimExpr> dim = toExpr(attribute);
    if (!dim) {
      return std::nullopt;
    }
    graph::Interval interval = dim->bounds(bounds);
    if (!interval.hasUpper()) {
      return std::nullopt;
    }
    auto extent = static_cast<uint64_t>(std::max<int64_t>(interval.upper, 0));
    if (view.getPanel64() && index == 0) {
      extent = (extent + 63) / 64 * 64;
    }
    if (__builtin_mul_overflow(bits, extent, &bits)) {
      return std::nullopt;
    }
    ++index;
  }
  return bits / 8 + (bits % 8 != 0);
}

std::optional<plan::DType> toDType(mlir::Type type) {
  if (type.isF32()) {
    return plan::DType::F32;
  }
  if (type.isF16()) {
    return plan::DType::F16;
  }
  if (type.isBF16()) {
    return plan::DType::BF16;
  }
  if (type.isF64()) {
    return plan::DType::F64;
  }
  auto integer = mlir::dyn_cast<mlir::IntegerType>(type);
  if (!integer) {
    return std::nullopt;
  }
  bool isUnsigned = integer.isUnsigned();
  switch (integer.getWidth()) {
  case 1:
    return plan::DType::Bool;
  case 4:
    return isUnsigned ? plan::DType::U4 : plan::DType::I4;
  case 8:
    return isUnsigned ? plan::DType::U8 : plan::DType::I8;
  case 16:
    return isUnsigned ? plan::DType::U16 : plan::DType::I16;
  case 32:
    return isUnsigned ? plan::DType::U32 : plan::DType::I32;
  case 64:
    return isUnsigned ? plan::DType::U64 : plan::DType::I64;
  default:
    return std::nullopt;
  }
}

} // namespace llmc::planir
