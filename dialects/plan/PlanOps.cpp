//===- PlanOps.cpp - Syntax and verifiers of the plan ops ------*- C++ -*-===//
//
// Each verifier looks at its own op only; what ties ops together (symbols,
// bounds, overlap, events) is verified by the verify-plan pass.
//
//===----------------------------------------------------------------------===//

#include "dialects/plan/PlanDialect.h"

#include "runtime/plan/Plan.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace llmc::planir {

//===-- Syntax of views ---------------------------------------------------===//

ParseResult parseView(AsmParser &parser, ViewAttr &view) {
  MLIRContext *context = parser.getContext();
  SMLoc loc = parser.getCurrentLocation();
  StringRef keyword;
  if (parser.parseKeyword(&keyword)) {
    return failure();
  }
  std::optional<Access> access = symbolizeAccess(keyword);
  if (!access) {
    return parser.emitError(loc, "expected 'read', 'write' or 'update', found ")
           << "'" << keyword << "'";
  }
  StringAttr buffer;
  if (parser.parseSymbolName(buffer)) {
    return failure();
  }
  int64_t offset = 0;
  if (succeeded(parser.parseOptionalPlus()) && parser.parseInteger(offset)) {
    return failure();
  }
  SMLoc typeLoc;
  StringRef dtype;
  if (parser.parseColon() || parser.getCurrentLocation(&typeLoc) ||
      parser.parseKeyword(&dtype)) {
    return failure();
  }
  if (!plan::parseDType(dtype)) {
    return parser.emitError(typeLoc, "unknown element type '") << dtype << "'";
  }
  SmallVector<Attribute> dims;
  auto parseDim = [&]() -> ParseResult {
    int64_t value = 0;
    OptionalParseResult integer = parser.parseOptionalInteger(value);
    if (integer.has_value()) {
      dims.push_back(IntegerAttr::get(IntegerType::get(context, 64), value));
      return *integer;
    }
    std::string text;
    if (parser.parseString(&text)) {
      return failure();
    }
    dims.push_back(StringAttr::get(context, text));
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseDim)) {
    return failure();
  }
  bool panel64 = succeeded(parser.parseOptionalKeyword("panel64"));
  view = ViewAttr::get(context, FlatSymbolRefAttr::get(buffer), *access,
                       StringAttr::get(context, dtype),
                       ArrayAttr::get(context, dims), panel64, offset);
  return success();
}

void printView(AsmPrinter &printer, ViewAttr view) {
  printer << stringifyAccess(view.getAccess()) << " ";
  printer.printSymbolName(view.getBuffer().getValue());
  if (view.getOffset() != 0) {
    printer << " + " << view.getOffset();
  }
  printer << " : " << view.getDtype().getValue() << "[";
  llvm::interleaveComma(view.getDims(), printer, [&](Attribute dim) {
    if (auto integer = dyn_cast<IntegerAttr>(dim)) {
      printer << integer.getInt();
    } else {
      printer << dim;
    }
  });
  printer << "]";
  if (view.getPanel64()) {
    printer << " panel64";
  }
}

static ParseResult parseViews(OpAsmParser &parser, ArrayAttr &views) {
  SmallVector<Attribute> elements;
  auto parseOne = [&]() -> ParseResult {
    ViewAttr view;
    if (parseView(parser, view)) {
      return failure();
    }
    elements.push_back(view);
    return success();
  };
  if (parser.parseCommaSeparatedList(parseOne)) {
    return failure();
  }
  views = parser.getBuilder().getArrayAttr(elements);
  return success();
}

static void printViews(OpAsmPrinter &printer, Operation *, ArrayAttr views) {
  llvm::interleaveComma(views.getAsRange<ViewAttr>(), printer,
                        [&](ViewAttr view) { printView(printer, view); });
}

/// As an array of f64, but exact, and infinities can be read back.
static ParseResult parseFloats(OpAsmParser &parser, DenseF64ArrayAttr &floats) {
  SmallVector<double> values;
  auto parseOne = [&]() -> ParseResult {
    APFloat value(0.0);
    if (parser.parseFloat(APFloat::IEEEdouble(), value)) {
      return failure();
    }
    values.push_back(value.convertToDouble());
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne)) {
    return failure();
  }
  floats = parser.getBuilder().getDenseF64ArrayAttr(values);
  return success();
}

static void printFloats(OpAsmPrinter &printer, Operation *,
                        DenseF64ArrayAttr floats) {
  printer << "[";
  llvm::interleaveComma(floats.asArrayRef(), printer, [&](double value) {
    printer.printFloat(APFloat(value));
  });
  printer << "]";
}

/// `{ }` is an entry without steps, not a region without a block.
static ParseResult parseSteps(OpAsmParser &parser, Region &body) {
  if (parser.parseRegion(body, /*arguments=*/{})) {
    return failure();
  }
  if (body.empty()) {
    body.emplaceBlock();
  }
  return success();
}

static void printSteps(OpAsmPrinter &printer, Operation *, Region &body) {
  printer.printRegion(body, /*printEntryBlockArgs=*/false);
}

//===-- Module level ------------------------------------------------------===//

LogicalResult SegmentOp::verify() {
  if (getSize() == 0) {
    return emitOpError("has no bytes");
  }
  if (getSources().has_value() == getValue().has_value()) {
    return emitOpError("needs either sources or a value");
  }
  auto kind = getPacking().getAs<StringAttr>("kind");
  if (!kind) {
    return emitOpError("packing has no 'kind'");
  }
  bool known =
      llvm::StringSwitch<bool>(kind.getValue())
          .Cases({"raw", "panel64", "panel64_joined", "panel64_interleaved",
                  "rows", "q_codes", "q_scales", "q_zero", "q_gidx"},
                 true)
          .Default(false);
  if (!known) {
    return emitOpError("unknown packing ") << kind;
  }
  if (kind.getValue() == "panel64_joined" ||
      kind.getValue() == "panel64_interleaved") {
    auto parts = getPacking().getAs<ArrayAttr>("parts");
    size_t sources = getSources() ? getSources()->size() : 0;
    if (!parts || parts.size() != sources) {
      return emitOpError("packing ") << kind << " needs one of 'parts' for "
                                     << "each of its " << sources << " sources";
    }
    for (Attribute part : parts) {
      auto dict = dyn_cast<DictionaryAttr>(part);
      if (!dict || !dict.getAs<StringAttr>("layout") ||
          !dict.getAs<IntegerAttr>("n") || !dict.getAs<IntegerAttr>("k")) {
        return emitOpError("part ") << part << " needs layout, n and k";
      }
    }
    return success();
  }
  if (kind.getValue() == "raw") {
    return success();
  }
  for (StringRef key : {"n", "k"}) {
    if (!getPacking().getAs<IntegerAttr>(key)) {
      return emitOpError("packing ")
             << kind << " needs the integer '" << key << "'";
    }
  }
  auto dtype = getPacking().getAs<StringAttr>("dtype");
  if (!dtype || !plan::parseDType(dtype.getValue())) {
    return emitOpError("packing ") << kind << " needs a 'dtype'";
  }
  return success();
}

LogicalResult BufferOp::verify() {
  if (getSize() == 0) {
    return emitOpError("has no bytes");
  }
  if (getOffset() && *getOffset() % plan::kBufferAlignment != 0) {
    return emitOpError("offset ") << *getOffset() << " is not a multiple of "
                                  << plan::kBufferAlignment;
  }
  Kind kind = getKind();
  bool shared =
      kind == Kind::Weight || kind == Kind::State || kind == Kind::Constant;
  if (shared == getEntry().has_value()) {
    return emitOpError("of kind ")
           << stringifyKind(kind)
           << (shared ? " belongs to no entry" : " needs an entry");
  }
  if ((kind == Kind::Weight) != getSegment().has_value()) {
    return emitOpError("a segment belongs to kind weight, and only to that");
  }
  if ((kind == Kind::Constant) != getData().has_value()) {
    return emitOpError("data belongs to kind constant, and only to that");
  }
  if (getStart() && shared) {
    return emitOpError("of kind ")
           << stringifyKind(kind) << " is live throughout";
  }
  if (getStart() && *getStart() > *getEnd()) {
    return emitOpError("lifetime [")
           << *getStart() << ", " << *getEnd() << ") ends before it starts";
  }
  return success();
}

LogicalResult StateOp::verify() {
  if (!plan::parseDType(getDtype())) {
    return emitOpError("unknown element type '") << getDtype() << "'";
  }
  auto positive = [](int64_t value) { return value > 0; };
  if (!llvm::all_of(getOuter(), positive) ||
      !llvm::all_of(getInner(), positive) || !positive(getCapacity()) ||
      !positive(getBlockTokens())) {
    return emitOpError("dimensions must be positive");
  }
  if (std::optional<ArrayRef<int64_t>> ring = getRing();
      ring && (ring->size() != 2 || (*ring)[0] < 0 || (*ring)[1] < 1)) {
    return emitOpError("a ring is the number of blocks before it and in it");
  }
  return success();
}

LogicalResult CarriedOp::verify() {
  if (getBytes() == 0) {
    return emitOpError("has no bytes");
  }
  if (getOffset() && *getOffset() % plan::kBufferAlignment != 0) {
    return emitOpError("offset ") << *getOffset() << " is not a multiple of "
                                  << plan::kBufferAlignment;
  }
  return success();
}

//===-- Entries and steps -------------------------------------------------===//

LogicalResult EntryOp::verify() {
  for (NamedAttribute symbol : getSymbols()) {
    auto pair = dyn_cast<ArrayAttr>(symbol.getValue());
    if (!pair || pair.size() != 2 || !isa<IntegerAttr>(pair[0]) ||
        !isa<IntegerAttr>(pair[1]) ||
        cast<IntegerAttr>(pair[0]).getInt() >
            cast<IntegerAttr>(pair[1]).getInt()) {
      return emitOpError("bounds of symbol '")
             << symbol.getName().getValue()
             << "' must be [lower, upper] with lower <= upper, found "
             << symbol.getValue();
    }
  }
  if (getPast() && !getSymbols().get(*getPast())) {
    return emitOpError("past '") << *getPast() << "' is not one of the symbols";
  }
  for (ArrayAttr ports : {getInputs(), getOutputs()}) {
    for (Attribute port : ports) {
      auto dictionary = dyn_cast<DictionaryAttr>(port);
      if (!dictionary || !dictionary.getAs<StringAttr>("name") ||
          !dictionary.getAs<StringAttr>("role") ||
          !dictionary.getAs<StringAttr>("dtype")) {
        return emitOpError("a port needs name, role and dtype, found ") << port;
      }
    }
  }
  for (NamedAttribute derived : getDerived()) {
    auto kind = dyn_cast<StringAttr>(derived.getValue());
    if (!kind || (kind != "ones" && kind != "positions" && kind != "empty")) {
      return emitOpError("derived input '")
             << derived.getName().getValue()
             << "' must be \"ones\", \"positions\" or \"empty\", found "
             << derived.getValue();
    }
  }
  return success();
}

LogicalResult EntryOp::verifyRegions() {
  for (Operation &step : getBody().front()) {
    if (!isa<LaunchOp, CopyOp, RestoreOp, SpillOp, SwapOutOp, SwapInOp,
             SignalOp, WaitOp>(step)) {
      return step.emitOpError("is not a step of a plan");
    }
  }
  return success();
}

LogicalResult LaunchOp::verify() {
  if (!parseKernel(getKernel())) {
    return emitOpError("unknown kernel '") << getKernel() << "'";
  }
  for (Attribute attribute : getViews()) {
    auto view = dyn_cast<ViewAttr>(attribute);
    if (!view) {
      return emitOpError("operand is not a view: ") << attribute;
    }
    for (Attribute dim : view.getDims()) {
      if (!toExpr(dim)) {
        return emitOpError("dimension ")
               << dim << " of " << view.getBuffer() << " is not an expression";
      }
    }
    if (view.getPanel64() && view.getDims().size() != 2) {
      return emitOpError("panel64 operand ")
             << view.getBuffer() << " must have two dimensions";
    }
    if (view.getOffset() < 0) {
      return emitOpError("operand ")
             << view.getBuffer() << " has a negative offset";
    }
  }
  if (ArrayAttr params = getParamsAttr()) {
    for (Attribute param : params) {
      if (!toExpr(param)) {
        return emitOpError("param ") << param << " is not an expression";
      }
    }
  }
  return success();
}

LogicalResult CopyOp::verify() {
  if (static_cast<int64_t>(getBytes()) <= 0 ||
      static_cast<int64_t>(getSourceOffset()) < 0 ||
      static_cast<int64_t>(getTargetOffset()) < 0) {
    return emitOpError("needs a positive number of bytes and offsets of at "
                       "least 0");
  }
  if (getRows().has_value() != getIndices().has_value() ||
      getRows().has_value() != getRowBytes().has_value()) {
    return emitOpError("needs all of rows, row_bytes and indices, or none");
  }
  if (getIndices()) {
    if (static_cast<int64_t>(*getRows()) <= 0 ||
        static_cast<int64_t>(*getRowBytes()) <= 0 ||
        getBytes() % *getRowBytes() != 0) {
      return emitOpError("of ") << getBytes() << " bytes does not hold rows of "
                                << *getRowBytes() << " bytes";
    }
    StringRef dtype = getIndices()->getDtype().getValue();
    if ((dtype != "i64" && dtype != "i32") ||
        getIndices()->getAccess() != Access::Read) {
      return emitOpError("indices must be i64 or i32 and read, found ")
             << *getIndices();
    }
  }
  return success();
}

} // namespace llmc::planir

#define GET_OP_CLASSES
#include "dialects/plan/PlanOps.cpp.inc"
