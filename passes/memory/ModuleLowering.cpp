//===- ModuleLowering.cpp - Segments, weights, constants, states -*- C++
//-*-===//

#include "passes/memory/Lowering.h"

#include "dialects/graph/CacheLimits.h"

#include "runtime/plan/Plan.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace llmc::lowering {

using planir::Kind;

/// Bytes of a static tensor.
static FailureOr<uint64_t> staticBytes(Operation *user, RankedTensorType type,
                                       StringRef what) {
  std::optional<plan::DType> dtype = toDType(type.getElementType());
  if (!dtype || !type.hasStaticShape()) {
    return user->emitOpError() << "cannot hold " << what << " of type " << type;
  }
  uint64_t bits = plan::bitWidth(*dtype);
  for (int64_t extent : type.getShape()) {
    if (__builtin_mul_overflow(bits, static_cast<uint64_t>(extent), &bits)) {
      return user->emitOpError()
             << what << " of type " << type << " exceeds 64 bits";
    }
  }
  return bits / 8 + (bits % 8 != 0);
}

static graph::Dims staticDims(RankedTensorType type) {
  return graph::Dims(type.getShape().begin(), type.getShape().end());
}

ModuleLowering::ModuleLowering(ModuleOp module)
    : module(module), builder(OpBuilder::atBlockEnd(module.getBody())),
      symbols(module) {
  for (Operation &op : *module.getBody()) {
    if (auto symbol = dyn_cast<SymbolOpInterface>(op)) {
      names.insert(symbol.getName());
    }
  }
}

void ModuleLowering::finish() {
  Block *body = module.getBody();
  auto moveToEnd = [&](auto wanted) {
    SmallVector<Operation *> ops;
    for (Operation &op : *body) {
      if (wanted(&op)) {
        ops.push_back(&op);
      }
    }
    for (Operation *op : ops) {
      op->moveBefore(body, body->end());
    }
  };
  auto isShared = [](planir::BufferOp op) { return !op.getEntry(); };
  moveToEnd([](Operation *op) { return isa<planir::SegmentOp>(op); });
  moveToEnd([](Operation *op) { return isa<planir::StateOp>(op); });
  moveToEnd([&](Operation *op) {
    auto buffer = dyn_cast<planir::BufferOp>(op);
    return buffer && isShared(buffer);
  });
  moveToEnd([&](Operation *op) {
    auto buffer = dyn_cast<planir::BufferOp>(op);
    return buffer && !isShared(buffer);
  });
  moveToEnd([](Operation *op) { return isa<planir::EntryOp>(op); });
}

std::string ModuleLowering::uniqueName(const Twine &name) {
  std::string base = name.str();
  std::string candidate = base;
  for (unsigned i = 1; !names.insert(candidate).second; ++i) {
    candidate = base + "." + std::to_string(i);
  }
  return candidate;
}

planir::BufferOp ModuleLowering::makeBuffer(const Twine &name, Kind kind,
                                            uint64_t size, StringRef entry,
                                            planir::SegmentOp segment,
                                            ElementsAttr data) {
  MLIRContext *context = module.getContext();
  auto optionalRef = [&](StringRef symbol) {
    return symbol.empty() ? FlatSymbolRefAttr()
                          : FlatSymbolRefAttr::get(context, symbol);
  };
  return planir::BufferOp::create(
      builder, module.getLoc(), builder.getStringAttr(uniqueName(name)),
      planir::KindAttr::get(context, kind),
      planir::TierAttr::get(context, planir::Tier::Device),
      builder.getI64IntegerAttr(std::max<uint64_t>(size, 1)),
      /*offset=*/IntegerAttr(), /*start=*/IntegerAttr(), /*end=*/IntegerAttr(),
      optionalRef(entry),
      segment ? optionalRef(segment.getSymName()) : FlatSymbolRefAttr(), data);
}

graph::WeightOp ModuleLowering::weightOf(Value value) const {
  auto load = value.getDefiningOp<graph::LoadWeightOp>();
  return load ? symbols.lookup<graph::WeightOp>(load.getWeight())
              : graph::WeightOp();
}

graph::StateOp ModuleLowering::stateNamed(StringRef name) const {
  return symbols.lookup<graph::StateOp>(name);
}

void ModuleLowering::collectWeightUses() {
  module.walk([&](graph::LinearOp op) {
    graph::WeightOp weight = weightOf(op.getWeight());
    if (weight && op.getWeightLayout() == "nk") {
      panelTables.insert(weight);
    }
  });
}

FailureOr<planir::SegmentOp> ModuleLowering::segment(const Twine &name,
                                                     uint64_t size,
                                                     DictionaryAttr packing,
                                                     graph::WeightOp source,
                                                     ElementsAttr value) {
  ArrayAttr sources;
  if (source) {
    sources =
        builder.getArrayAttr({FlatSymbolRefAttr::get(source.getSymNameAttr())});
  }
  return segmentOf(name, size, packing, sources, value);
}

planir::SegmentOp ModuleLowering::segmentOf(const Twine &name, uint64_t size,
                                            DictionaryAttr packing,
                                            ArrayAttr sources,
                                            ElementsAttr value) {
  return planir::SegmentOp::create(
      builder, module.getLoc(),
      builder.getStringAttr(uniqueName("segment." + name)),
      builder.getI64IntegerAttr(size), packing, sources, value,
      /*by_rows=*/FlatSymbolRefAttr());
}

planir::SegmentOp ModuleLowering::rawSegment(const Twine &name, uint64_t size,
                                             graph::WeightOp source,
                                             ElementsAttr value) {
  planir::SegmentOp &made = rawSegments[name.str()];
  if (!made) {
    auto packing = builder.getDictionaryAttr(
        builder.getNamedAttr("kind", builder.getStringAttr("raw")));
    made = *segment(name, std::max<uint64_t>(size, 1), packing, source, value);
  }
  return made;
}

FailureOr<View> ModuleLowering::raw(Operation *user, const Twine &name,
                                    RankedTensorType type,
                                    graph::WeightOp weight,
                                    ElementsAttr value) {
  FailureOr<uint64_t> size = staticBytes(user, type, "a weight");
  if (failed(size)) {
    return failure();
  }
  planir::BufferOp &buffer = weightBuffers[(name + ":raw").str()];
  if (!buffer) {
    buffer = makeBuffer("weight." + name, Kind::Weight, *size, "",
                        rawSegment(name, *size, weight, value));
  }
  return View{buffer, 0, *toDType(type.getElementType()), staticDims(type)};
}

FailureOr<View> ModuleLowering::panels(Operation *user, const Twine &name,
                                       RankedTensorType type, StringRef layout,
                                       graph::WeightOp weight,
                                       ElementsAttr value) {
  std::optional<plan::DType> dtype = toDType(type.getElementType());
  bool isFloat = dtype == plan::DType::F32 || dtype == plan::DType::F16 ||
                 dtype == plan::DType::BF16;
  if (!isFloat || type.getRank() != 2 || !type.hasStaticShape() ||
      type.getNumElements() == 0) {
    return user->emitOpError()
           << "cannot pack weight @" << name.str() << " of type " << type
           << ": a static matrix of f32, f16 or bf16 is needed";
  }
  bool kn = layout == "kn";
  int64_t n = type.getDimSize(kn ? 1 : 0);
  int64_t k = type.getDimSize(kn ? 0 : 1);
  planir::BufferOp &buffer = weightBuffers[(name + ":panel64:" + layout).str()];
  if (!buffer) {
    auto packed =
        RankedTensorType::get({(n + 63) / 64 * 64, k}, type.getElementType());
    FailureOr<uint64_t> size = staticBytes(user, packed, "a packed weight");
    if (failed(size)) {
      return failure();
    }
    Builder &b = builder;
    auto packing = b.getDictionaryAttr(
        {b.getNamedAttr("kind", b.getStringAttr("panel64")),
         b.getNamedAttr("layout", b.getStringAttr(layout)),
         b.getNamedAttr("n", b.getI64IntegerAttr(n)),
         b.getNamedAttr("k", b.getI64IntegerAttr(k)),
         b.getNamedAttr("dtype", b.getStringAttr(plan::name(*dtype)))});
    FailureOr<planir::SegmentOp> filled =
        segment(name + ".panel64", *size, packing, weight, value);
    buffer = makeBuffer("weight." + name + ".panel64", Kind::Weight, *size, "",
                        *filled);
  }
  View view{buffer, 0, *dtype, {n, k}};
  view.panel64 = true;
  return view;
}

FailureOr<View> ModuleLowering::packedTogether(Operation *user,
                                               ArrayRef<Part> parts,
                                               bool interleaved) {
  SmallVector<Attribute> sources, shapes;
  std::string name;
  std::optional<plan::DType> dtype;
  int64_t outputs = 0, depth = 0;
  for (const Part &part : parts) {
    graph::WeightOp weight = part.weight;
    auto type = cast<RankedTensorType>(weight.getType());
    bool kn = part.layout == "kn";
    int64_t n = type.getDimSize(kn ? 1 : 0), k = type.getDimSize(kn ? 0 : 1);
    std::optional<plan::DType> element = toDType(type.getElementType());
    if (!type.hasStaticShape() || type.getNumElements() == 0 || !element ||
        (dtype &&
         (*element != *dtype || k != depth || (interleaved && n != outputs)))) {
      return user->emitOpError() << "cannot pack @" << weight.getSymName()
                                 << " of type " << type << " with @" << name;
    }
    dtype = element;
    depth = k;
    outputs = interleaved ? n : outputs + (n + 63) / 64 * 64;
    name += (name.empty() ? "" : "+") + weight.getSymName().str();
    sources.push_back(FlatSymbolRefAttr::get(weight.getSymNameAttr()));
    shapes.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("layout", builder.getStringAttr(part.layout)),
         builder.getNamedAttr("n", builder.getI64IntegerAttr(n)),
         builder.getNamedAttr("k", builder.getI64IntegerAttr(k))}));
  }
  auto count = static_cast<int64_t>(parts.size());
  StringRef kind = interleaved ? "panel64_interleaved" : "panel64_joined";
  int64_t packedDepth = interleaved ? depth * count : depth;
  auto packing = builder.getDictionaryAttr(
      {builder.getNamedAttr("kind", builder.getStringAttr(kind)),
       builder.getNamedAttr("dtype", builder.getStringAttr(plan::name(*dtype))),
       builder.getNamedAttr("parts", builder.getArrayAttr(shapes))});
  std::string key;
  llvm::raw_string_ostream(key) << name << ":" << packing;
  planir::BufferOp &buffer = weightBuffers[key];
  if (!buffer) {
    int64_t panels = (outputs + 63) / 64;
    auto packed = RankedTensorType::get(
        {panels * 64, packedDepth},
        cast<RankedTensorType>(graph::WeightOp(parts.front().weight).getType())
            .getElementType());
    FailureOr<uint64_t> size = staticBytes(user, packed, "a packed weight");
    if (failed(size)) {
      return failure();
    }
    buffer =
        makeBuffer("weight." + name + ".panel64", Kind::Weight, *size, "",
                   segmentOf(name + ".panel64", *size, packing,
                             builder.getArrayAttr(sources), ElementsAttr()));
  }
  View view{buffer, 0, *dtype, {outputs, packedDepth}};
  view.panel64 = true;
  return view;
}

FailureOr<View> ModuleLowering::joinedWeight(Operation *user,
                                             ArrayRef<Part> parts) {
  return packedTogether(user, parts, /*interleaved=*/false);
}

FailureOr<View> ModuleLowering::interleavedWeight(Operation *user,
                                                  ArrayRef<Part> parts) {
  return packedTogether(user, parts, /*interleaved=*/true);
}

FailureOr<View> ModuleLowering::joinedVector(Operation *user,
                                             ArrayRef<graph::WeightOp> parts) {
  SmallVector<Attribute> sources;
  std::string name;
  int64_t elements = 0;
  uint64_t bytes = 0;
  Type element;
  for (graph::WeightOp part : parts) {
    auto type = cast<RankedTensorType>(part.getType());
    FailureOr<uint64_t> size = staticBytes(user, type, "a weight");
    if (failed(size)) {
      return failure();
    }
    if (element && element != type.getElementType()) {
      return user->emitOpError("vectors of different types");
    }
    element = type.getElementType();
    elements += type.getNumElements();
    bytes += *size;
    name += (name.empty() ? "" : "+") + part.getSymName().str();
    sources.push_back(FlatSymbolRefAttr::get(part.getSymNameAttr()));
  }
  planir::BufferOp &buffer = weightBuffers[name + ":raw"];
  if (!buffer) {
    auto packing = builder.getDictionaryAttr(
        builder.getNamedAttr("kind", builder.getStringAttr("raw")));
    buffer =
        makeBuffer("weight." + name, Kind::Weight, bytes, "",
                   segmentOf(name, bytes, packing,
                             builder.getArrayAttr(sources), ElementsAttr()));
  }
  return View{buffer, 0, *toDType(element), {elements}};
}

FailureOr<View> ModuleLowering::rawWeight(Operation *user, graph::WeightOp op) {
  return raw(user, op.getSymName(), cast<RankedTensorType>(op.getType()), op,
             {});
}

FailureOr<View> ModuleLowering::panelWeight(Operation *user, graph::WeightOp op,
                                            StringRef layout) {
  return panels(user, op.getSymName(), cast<RankedTensorType>(op.getType()),
                layout, op, {});
}

LogicalResult ModuleLowering::addRows(Operation *user, graph::WeightOp op,
                                      const View &view, StringRef layout) {
  FailureOr<uint64_t> size =
      staticBytes(user, cast<RankedTensorType>(op.getType()), "a table");
  if (failed(size)) {
    return failure();
  }
  if (*size > kSmallTable) {
    planir::BufferOp buffer = view.buffer;
    auto packed = cast<planir::SegmentOp>(
        SymbolTable::lookupSymbolIn(module, *buffer.getSegment()));
    if (packed.getByRows()) {
      return success();
    }
    planir::SegmentOp rows;
    if (layout == "kn") {
      SmallVector<NamedAttribute> packing(packed.getPacking().getValue());
      for (NamedAttribute &field : packing) {
        if (field.getName() == "kind") {
          field.setValue(builder.getStringAttr("rows"));
        }
      }
      rows = *segment(op.getSymName() + ".rows", *size,
                      builder.getDictionaryAttr(packing), op, {});
    } else {
      rows = rawSegment(op.getSymName(), *size, op, {});
    }
    packed.setByRowsAttr(FlatSymbolRefAttr::get(rows.getSymNameAttr()));
  }
  return success();
}

/// `splat.f32.3f000000.64x32`: what it holds, so that a weights file may keep
/// it for another plan.
static std::string splatName(DenseElementsAttr value, ArrayRef<int64_t> shape) {
  APInt bits = isa<FloatType>(value.getElementType())
                   ? value.getSplatValue<APFloat>().bitcastToAPInt()
                   : value.getSplatValue<APInt>();
  std::string name;
  llvm::raw_string_ostream out(name);
  std::optional<plan::DType> dtype = toDType(value.getElementType());
  out << "splat." << (dtype ? plan::name(*dtype) : "unknown") << "."
      << llvm::toString(bits, 16, /*Signed=*/false) << ".";
  llvm::interleave(shape, out, "x");
  return name;
}

FailureOr<View> ModuleLowering::rawSplat(Operation *user,
                                         DenseElementsAttr value) {
  // Of one value, any shape is the same bytes.
  auto type = cast<RankedTensorType>(value.getType());
  int64_t count = type.getNumElements();
  auto flat = RankedTensorType::get({count}, type.getElementType());
  FailureOr<View> view =
      raw(user, splatName(value, {count}), flat, {}, value.resizeSplat(flat));
  if (succeeded(view)) {
    view->dims = staticDims(type);
  }
  return view;
}

FailureOr<View> ModuleLowering::panelSplat(Operation *user,
                                           DenseElementsAttr value,
                                           StringRef layout) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() == 2 && layout == "kn") {
    type = RankedTensorType::get({type.getDimSize(1), type.getDimSize(0)},
                                 type.getElementType());
  }
  return panels(user, splatName(value, type.getShape()), type, "nk", {},
                value.resizeSplat(type));
}

FailureOr<View> ModuleLowering::quantPart(Operation *user, Value source,
                                          StringRef kind,
                                          DictionaryAttr packing, uint64_t size,
                                          plan::DType dtype, graph::Dims dims) {
  graph::WeightOp weight = weightOf(source);
  auto constant = source.getDefiningOp<graph::ConstantOp>();
  if (!weight && !constant) {
    return user->emitOpError()
           << "the parts of a quantized weight must be weights or constants";
  }
  // A constant's parts are named after the op that uses them, and not shared.
  std::string base =
      weight ? weight.getSymName().str() : graph::nodeName(user) + ".constant";
  std::string key;
  llvm::raw_string_ostream(key) << base << ":" << packing;
  planir::BufferOp &buffer = weightBuffers[key];
  if (!buffer || constant) {
    std::string name = base + "." + kind.str();
    FailureOr<planir::SegmentOp> filled =
        segment(name, size, packing, weight,
                constant ? constant.getValue() : ElementsAttr());
    buffer = makeBuffer("weight." + name, Kind::Weight, size, "", *filled);
  }
  return View{buffer, 0, dtype, std::move(dims)};
}

FailureOr<View> ModuleLowering::constant(Operation *user,
                                         DenseElementsAttr value) {
  auto type = cast<RankedTensorType>(value.getType());
  FailureOr<uint64_t> size = staticBytes(user, type, "a constant");
  if (failed(size)) {
    return failure();
  }
  planir::BufferOp &buffer = constants[value];
  if (!buffer) {
    buffer = makeBuffer("constant." + Twine(constants.size() - 1),
                        Kind::Constant, *size, "", {}, value);
  }
  return View{buffer, 0, *toDType(type.getElementType()), staticDims(type)};
}

FailureOr<View> ModuleLowering::state(Operation *user, graph::StateOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  std::optional<plan::DType> stored = toDType(type.getElementType());
  FailureOr<uint64_t> size = staticBytes(user, type, "a state");
  if (failed(size)) {
    return failure();
  }
  auto axis = static_cast<size_t>(op.getAxis());
  auto blockTokens = static_cast<int64_t>(op.getBlockTokens());
  int64_t capacity = type.getDimSize(axis);
  auto &[made, buffer] = states[op];
  std::optional<graph::CacheRing> ring = graph::getCacheRing(op);
  graph::Dims dims = staticDims(type);
  int64_t blocks = (capacity + blockTokens - 1) / blockTokens;
  if (ring) {
    blocks = ring->sinkBlocks + ring->ringBlocks;
    dims[axis] = blocks * blockTokens;
  }
  if (!made) {
    uint64_t perToken = *size / static_cast<uint64_t>(capacity);
    buffer =
        makeBuffer("state." + op.getSymName(), Kind::State,
                   perToken * static_cast<uint64_t>(blocks * blockTokens), "");
    ArrayRef<int64_t> shape = type.getShape();
    made = planir::StateOp::create(
        builder, module.getLoc(),
        builder.getStringAttr(uniqueName("kv." + op.getSymName())),
        FlatSymbolRefAttr::get(buffer.getSymNameAttr()),
        builder.getStringAttr(plan::name(*stored)),
        builder.getDenseI64ArrayAttr(shape.take_front(axis)),
        builder.getI64IntegerAttr(capacity),
        builder.getI64IntegerAttr(blockTokens),
        builder.getDenseI64ArrayAttr(shape.drop_front(axis + 1)),
        op.getInputNameAttr(), op.getOutputNameAttr(), FlatSymbolRefAttr(),
        IntegerAttr(), op->getAttrOfType<DenseI64ArrayAttr>(graph::kRingAttr));
  }
  return View{buffer, 0, *stored, std::move(dims)};
}

} // namespace llmc::lowering
