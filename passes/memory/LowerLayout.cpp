//===- LowerLayout.cpp - Reshapes, strided copies, fills -------*- C++ -*-===//

#include "passes/memory/Lowering.h"

using namespace mlir;

namespace llmc::lowering {

using graph::DimExpr;
using graph::Dims;

LogicalResult EntryLowering::copy(Operation *op, const View &in,
                                  DimExpr offsetIn, Dims stridesIn,
                                  const View &out, DimExpr offsetOut,
                                  Dims stridesOut, Dims extents,
                                  bool coversOut) {
  if (plan::bitWidth(in.dtype) < 8) {
    return op->emitOpError() << "cannot move " << plan::name(in.dtype)
                             << " elements, which are less than a byte";
  }
  // Drop unit dimensions; merge a dimension with the one inside it when both
  // sides walk through them without a gap.
  Dims e, si, so;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == DimExpr(1)) {
      continue;
    }
    if (!e.empty() && si.back() == stridesIn[i] * extents[i] &&
        so.back() == stridesOut[i] * extents[i]) {
      e.back() = e.back() * extents[i];
      si.back() = stridesIn[i];
      so.back() = stridesOut[i];
      continue;
    }
    e.push_back(extents[i]);
    si.push_back(stridesIn[i]);
    so.push_back(stridesOut[i]);
  }
  if (e.empty()) {
    e = {1};
    si = {1};
    so = {1};
  }
  Numbers numbers;
  numbers.params = {offsetIn, offsetOut};
  for (const Dims &list : {e, si, so}) {
    numbers.params.insert(numbers.params.end(), list.begin(), list.end());
  }
  numbers.ints = {static_cast<int64_t>(e.size())};
  return launch(op, plan::KernelId::StridedCopy,
                {read(in), coversOut ? write(out) : update(out)},
                std::move(numbers));
}

LogicalResult EntryLowering::fill(Operation *op, const View &out,
                                  DenseElementsAttr splat) {
  Numbers numbers;
  if (isa<FloatType>(splat.getElementType())) {
    bool losesInfo = false;
    APFloat value = splat.getSplatValue<APFloat>();
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                  &losesInfo);
    numbers.floats = {value.convertToDouble()};
  } else {
    APInt value = splat.getSplatValue<APInt>();
    numbers.ints = {value.getBitWidth() == 1
                        ? static_cast<int64_t>(value.getZExtValue())
                        : value.getSExtValue()};
  }
  return launch(op, plan::KernelId::Fill, {write(out)}, std::move(numbers));
}

LogicalResult EntryLowering::lowerReshape(Operation *op) {
  FailureOr<View> view = operand(op, op->getOperand(0));
  if (failed(view)) {
    return failure();
  }
  view->dims = graph::getDims(op->getResult(0));
  // The same elements, but the bound of the new dims may be the larger one.
  FailureOr<uint64_t> size = boundBytes(op, view->dtype, view->dims);
  if (failed(size)) {
    return failure();
  }
  uint64_t needed = static_cast<uint64_t>(view->offset) + *size;
  if (needed > view->buffer.getSize() && view->buffer.getEntry()) {
    view->buffer.setSize(needed);
  }
  views[op->getResult(0)] = *view;
  return success();
}

LogicalResult EntryLowering::lowerTranspose(graph::TransposeOp op) {
  FailureOr<View> in = operand(op, op.getX());
  if (failed(in)) {
    return failure();
  }
  Dims dims = graph::getDims(op.getResult());
  Dims inStrides = stridesOf(in->dims);
  Dims strides;
  for (int64_t axis : op.getPerm()) {
    strides.push_back(inStrides[axis]);
  }
  // Moving only unit dimensions moves nothing.
  Dims outStrides = stridesOf(dims);
  bool moves = false;
  for (size_t i = 0; i < dims.size(); ++i) {
    moves |= dims[i] != DimExpr(1) && strides[i] != outStrides[i];
  }
  if (!moves) {
    return lowerReshape(op);
  }
  FailureOr<View> out = result(op.getResult(), in->dtype);
  if (failed(out)) {
    return failure();
  }
  return copy(op, *in, 0, strides, *out, 0, outStrides, dims, true);
}

LogicalResult EntryLowering::lowerBroadcast(graph::BroadcastOp op) {
  FailureOr<View> in = operand(op, op.getX());
  FailureOr<View> out = failed(in) ? in : result(op.getResult(), in->dtype);
  if (failed(out)) {
    return failure();
  }
  size_t missing = out->dims.size() - in->dims.size();
  Dims inStrides = stridesOf(in->dims);
  Dims strides(out->dims.size(), 0);
  for (size_t i = 0; i < in->dims.size(); ++i) {
    DimExpr from = in->dims[i];
    DimExpr to = out->dims[missing + i];
    if (from == to) {
      strides[missing + i] = inStrides[i];
    } else if (from != DimExpr(1)) {
      return op.emitOpError() << "cannot tell whether dimension '" << from.str()
                              << "' broadcasts to '" << to.str() << "'";
    }
  }
  return copy(op, *in, 0, strides, *out, 0, stridesOf(out->dims), out->dims,
              true);
}

LogicalResult EntryLowering::lowerSlice(graph::SliceOp op) {
  FailureOr<View> in = operand(op, op.getX());
  FailureOr<View> out = failed(in) ? in : result(op.getResult(), in->dtype);
  if (failed(out)) {
    return failure();
  }
  Dims strides = stridesOf(in->dims);
  DimExpr offset = 0;
  for (auto [i, start, step] : llvm::enumerate(
           op.getStarts().getAsRange<StringAttr>(), op.getSteps())) {
    offset = offset + graph::exprAttr(start) * strides[i];
    strides[i] = strides[i] * DimExpr(step);
  }
  return copy(op, *in, offset, strides, *out, 0, stridesOf(out->dims),
              out->dims, true);
}

LogicalResult EntryLowering::lowerConcat(graph::ConcatOp op) {
  SmallVector<View> inputs;
  for (Value value : op.getInputs()) {
    FailureOr<View> in = operand(op, value);
    if (failed(in)) {
      return failure();
    }
    inputs.push_back(*in);
  }
  // A weight or input of a narrow type beside computed values is widened.
  plan::DType dtype = inputs.front().dtype;
  for (const View &in : inputs) {
    dtype = in.dtype == dtype ? dtype : widened(dtype);
  }
  for (View &in : inputs) {
    FailureOr<View> same = converted(op, in, dtype);
    if (failed(same)) {
      return failure();
    }
    in = *same;
  }
  FailureOr<View> out = result(op.getResult(), dtype);
  if (failed(out)) {
    return failure();
  }
  Dims outStrides = stridesOf(out->dims);
  auto axis = static_cast<size_t>(op.getAxis());
  DimExpr position = 0;
  for (const View &in : inputs) {
    if (failed(copy(op, in, 0, stridesOf(in.dims), *out,
                    position * outStrides[axis], outStrides, in.dims,
                    inputs.size() == 1))) {
      return failure();
    }
    position = position + in.dims[axis];
  }
  return success();
}

LogicalResult EntryLowering::lowerPad(graph::PadOp op) {
  FailureOr<View> in = operand(op, op.getX());
  FailureOr<View> out = failed(in) ? in : result(op.getResult(), in->dtype);
  if (failed(out)) {
    return failure();
  }
  auto value = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!value || !value.isSplat()) {
    return op.emitOpError("pads with a value that is not one element");
  }
  if (failed(fill(op, *out, value))) {
    return failure();
  }
  // A negative amount cuts.
  Dims inStrides = stridesOf(in->dims);
  Dims outStrides = stridesOf(out->dims);
  Dims extents = in->dims;
  DimExpr offsetIn = 0;
  DimExpr offsetOut = 0;
  for (size_t i = 0; i < extents.size(); ++i) {
    int64_t before = op.getBefore()[i];
    int64_t after = op.getAfter()[i];
    (before < 0 ? offsetIn : offsetOut) =
        before < 0 ? offsetIn + DimExpr(-before) * inStrides[i]
                   : offsetOut + DimExpr(before) * outStrides[i];
    extents[i] = extents[i] + DimExpr(std::min<int64_t>(before, 0)) +
                 DimExpr(std::min<int64_t>(after, 0));
  }
  return copy(op, *in, offsetIn, inStrides, *out, offsetOut, outStrides,
              extents, false);
}

LogicalResult EntryLowering::lowerIota(graph::IotaOp op) {
  Numbers numbers;
  numbers.params = {graph::exprAttr(op.getStart()),
                    graph::exprAttr(op.getStep())};
  numbers.ints = {static_cast<int64_t>(op.getAxis())};
  return launchSimple(op, plan::KernelId::Iota, std::move(numbers));
}

LogicalResult EntryLowering::lowerDimValue(graph::DimValueOp op) {
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  // One element at a time: there are few.
  int64_t bytes = plan::bitWidth(out->dtype) / 8;
  for (auto [index, expr] :
       llvm::enumerate(op.getExprs().getAsRange<Attribute>())) {
    std::optional<DimExpr> value = planir::toExpr(expr);
    if (!value) {
      return op.emitOpError() << expr << " is not an expression";
    }
    View element{
        out->buffer, static_cast<int64_t>(index) * bytes, out->dtype, {1}};
    Numbers numbers;
    numbers.params = {*value, 0};
    numbers.ints = {0};
    if (failed(launch(op, plan::KernelId::Iota, {write(element)},
                      std::move(numbers)))) {
      return failure();
    }
  }
  return success();
}

} // namespace llmc::lowering
