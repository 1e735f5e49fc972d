//===- GraphFolds.cpp - Folders --------------------------------*- C++ -*-===//
//
// What needs no new op: an operand instead of the result, or a constant.
// Patterns that make ops are in PatternsElementwise.cpp and PatternsLayout.cpp.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/ConstantFold.h"
#include "dialects/graph/GraphDims.h"
#include "dialects/graph/GraphOps.h"

using namespace mlir;

namespace llmc::graph {

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Same type and the same symbolic dimensions: one may stand for the other.
static bool sameTensor(Value a, Value b) {
  return a.getType() == b.getType() && getDims(a) == getDims(b);
}

/// All elements have this value.
static bool isSplatOf(Attribute attr, double value) {
  auto dense = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!dense || !dense.isSplat()) {
    return false;
  }
  std::optional<Elements> elements = readElements(attr);
  if (!elements) {
    return false;
  }
  return elements->isFloat
             ? elements->floats[0] == value
             : static_cast<double>(elements->integers[0]) == value;
}

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

OpFoldResult FillOp::fold(FoldAdaptor) {
  RankedTensorType type = typeOf(getResult());
  auto value = dyn_cast<DenseElementsAttr>(getValue());
  return type.hasStaticShape() && value ? value.resizeSplat(type)
                                        : OpFoldResult();
}

OpFoldResult DimValueOp::fold(FoldAdaptor) {
  Elements elements;
  for (Attribute expr : getExprs()) {
    std::optional<int64_t> value;
    if (auto integer = dyn_cast<IntegerAttr>(expr)) {
      value = integer.getInt();
    } else {
      value = exprAttr(cast<StringAttr>(expr)).asConstant();
    }
    if (!value) {
      return {};
    }
    elements.integers.push_back(*value);
  }
  RankedTensorType type = typeOf(getResult());
  if (elements.integers.empty() || !type.getElementType().isInteger()) {
    return {};
  }
  return makeElements(type, elements);
}

OpFoldResult UnaryOp::fold(FoldAdaptor adaptor) {
  if (auto inner = getX().getDefiningOp<UnaryOp>()) {
    bool involution = getKind() == "neg" || getKind() == "not";
    if (involution && inner.getKind() == getKind()) {
      return inner.getX();
    }
  }
  return foldUnary(getKind(), adaptor.getX(), typeOf(getResult()));
}

OpFoldResult BinaryOp::fold(FoldAdaptor adaptor) {
  StringRef kind = getKind();
  Attribute rhs = adaptor.getRhs(), lhs = adaptor.getLhs();
  if (rhs && sameTensor(getLhs(), getResult())) {
    bool isBool = typeOf(getLhs()).getElementType().isInteger(1);
    bool neutral = ((kind == "add" || kind == "sub") && isSplatOf(rhs, 0)) ||
                   ((kind == "mul" || kind == "div" || kind == "pow") &&
                    isSplatOf(rhs, 1)) ||
                   (isBool && kind == "and" && isSplatOf(rhs, 1)) ||
                   (isBool && kind == "or" && isSplatOf(rhs, 0));
    if (neutral) {
      return getLhs();
    }
  }
  return foldBinary(kind, lhs, rhs, typeOf(getResult()));
}

OpFoldResult SelectOp::fold(FoldAdaptor adaptor) {
  for (auto [value, choice] :
       {std::pair<double, Value>{1, getX()}, {0, getY()}}) {
    if (isSplatOf(adaptor.getCond(), value) &&
        sameTensor(choice, getResult())) {
      return choice;
    }
  }
  if (getX() == getY() && sameTensor(getX(), getResult())) {
    return getX();
  }
  return foldSelect(adaptor.getCond(), adaptor.getX(), adaptor.getY(),
                    typeOf(getResult()));
}

OpFoldResult CastOp::fold(FoldAdaptor adaptor) {
  if (getX().getType() == getType()) {
    return getX();
  }
  return foldCast(adaptor.getX(), typeOf(getResult()));
}

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (sameTensor(getX(), getResult())) {
    return getX();
  }
  auto dense = dyn_cast_or_null<DenseElementsAttr>(adaptor.getX());
  RankedTensorType type = typeOf(getResult());
  return dense && type.hasStaticShape() ? dense.reshape(type) : OpFoldResult();
}

OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  ArrayRef<int64_t> perm = getPerm();
  bool identity = true;
  for (size_t i = 0; i < perm.size(); ++i) {
    identity &= perm[i] == static_cast<int64_t>(i);
  }
  if (identity) {
    return getX();
  }
  ArrayRef<int64_t> shape = typeOf(getX()).getShape();
  return foldRearrange(adaptor.getX(), typeOf(getResult()),
                       [&](ArrayRef<int64_t> index) {
                         SmallVector<int64_t> from(index.size());
                         for (size_t i = 0; i < index.size(); ++i) {
                           from[perm[i]] = index[i];
                         }
                         int64_t position = 0;
                         for (size_t i = 0; i < index.size(); ++i) {
                           position = position * shape[i] + from[i];
                         }
                         return position;
                       });
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  if (sameTensor(getX(), getResult())) {
    return getX();
  }
  ArrayRef<int64_t> shape = typeOf(getX()).getShape();
  return foldRearrange(adaptor.getX(), typeOf(getResult()),
                       [&](ArrayRef<int64_t> index) {
                         int64_t position = 0;
                         size_t skip = index.size() - shape.size();
                         for (size_t i = 0; i < shape.size(); ++i) {
                           position = position * shape[i] +
                                      (shape[i] == 1 ? 0 : index[skip + i]);
                         }
                         return position;
                       });
}

OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  SmallVector<int64_t> starts;
  bool whole = sameTensor(getX(), getResult());
  for (auto [start, step] : llvm::zip(getStarts(), getSteps())) {
    std::optional<int64_t> value =
        exprAttr(cast<StringAttr>(start)).asConstant();
    starts.push_back(value.value_or(-1));
    whole &= step == 1 && value == 0;
  }
  if (whole) {
    return getX();
  }
  if (llvm::is_contained(starts, -1)) {
    return {};
  }
  ArrayRef<int64_t> shape = typeOf(getX()).getShape();
  return foldRearrange(adaptor.getX(), typeOf(getResult()),
                       [&](ArrayRef<int64_t> index) {
                         int64_t position = 0;
                         for (size_t i = 0; i < index.size(); ++i) {
                           int64_t at = starts[i] + getSteps()[i] * index[i];
                           if (at < 0 || at >= shape[i]) {
                             return int64_t(-1);
                           }
                           position = position * shape[i] + at;
                         }
                         return position;
                       });
}

OpFoldResult ConcatOp::fold(FoldAdaptor adaptor) {
  if (getInputs().size() == 1) {
    return getInputs()[0];
  }
  RankedTensorType type = typeOf(getResult());
  if (!type.hasStaticShape() || type.getNumElements() > kMaxFoldedElements) {
    return {};
  }
  // Gather all inputs into one list, each part behind the other.
  Elements all;
  SmallVector<int64_t> offsets;
  for (auto [attr, input] : llvm::zip(adaptor.getInputs(), getInputs())) {
    std::optional<Elements> part = readElements(attr);
    if (!part) {
      return {};
    }
    offsets.push_back(all.size());
    all.isFloat = part->isFloat;
    int64_t repeat = part->isSplat ? typeOf(input).getNumElements() : 1;
    for (int64_t i = 0; i < repeat; ++i) {
      all.floats.insert(all.floats.end(), part->floats.begin(),
                        part->floats.end());
      all.integers.insert(all.integers.end(), part->integers.begin(),
                          part->integers.end());
    }
  }
  if (all.size() != static_cast<size_t>(type.getNumElements())) {
    return {};
  }
  auto flat = makeElements(
      RankedTensorType::get({type.getNumElements()}, type.getElementType()),
      all);
  if (!flat) {
    return {};
  }
  int64_t axis = getAxis();
  return foldRearrange(flat, type, [&](ArrayRef<int64_t> index) {
    int64_t along = index[axis];
    size_t which = 0;
    while (along >= typeOf(getInputs()[which]).getDimSize(axis)) {
      along -= typeOf(getInputs()[which]).getDimSize(axis);
      ++which;
    }
    ArrayRef<int64_t> shape = typeOf(getInputs()[which]).getShape();
    int64_t position = 0;
    for (size_t i = 0; i < index.size(); ++i) {
      position = position * shape[i] +
                 (static_cast<int64_t>(i) == axis ? along : index[i]);
    }
    return offsets[which] + position;
  });
}

OpFoldResult GatherOp::fold(FoldAdaptor adaptor) {
  std::optional<Elements> indices = readElements(adaptor.getIndices());
  if (!indices || indices->isFloat) {
    return {};
  }
  ArrayRef<int64_t> shape = typeOf(getData()).getShape();
  ArrayRef<int64_t> indexShape = typeOf(getIndices()).getShape();
  size_t axis = getAxis();
  return foldRearrange(
      adaptor.getData(), typeOf(getResult()), [&](ArrayRef<int64_t> index) {
        int64_t at = 0;
        for (size_t i = 0; i < indexShape.size(); ++i) {
          at = at * indexShape[i] + index[axis + i];
        }
        int64_t along = indices->integers[indices->isSplat ? 0 : at];
        along = along < 0 ? along + shape[axis] : along;
        if (along < 0 || along >= shape[axis]) {
          return int64_t(-1);
        }
        int64_t position = 0;
        for (size_t i = 0; i < shape.size(); ++i) {
          int64_t coordinate =
              i == axis ? along
                        : index[i < axis ? i : i + indexShape.size() - 1];
          position = position * shape[i] + coordinate;
        }
        return position;
      });
}

} // namespace llmc::graph
