//===- GraphOpsWindows.cpp - Verifiers of ops over windows -----*- C++ -*-===//

#include "dialects/graph/GraphOps.h"
#include "dialects/graph/VerifyHelpers.h"

using namespace mlir;

namespace llmc::graph {

using namespace verify;

LogicalResult PoolOp::verify() {
  static constexpr StringLiteral kinds[] = {"max", "average"};
  RankedTensorType x = typeOf(getX()), result = typeOf(getResult());
  if (failed(verifyOneOf(*this, "kind", getKind(), kinds)) ||
      failed(verifySameElementType(*this, getX(), getResult())) ||
      failed(verifyRank(*this, "the result", getResult(), x.getRank()))) {
    return failure();
  }
  if (getKind() == "average" && !isa<FloatType>(x.getElementType())) {
    return emitOpError() << "means need floats, found " << x;
  }
  size_t spatial = getKernel().size();
  if (x.getRank() != static_cast<int64_t>(spatial) + 2 || spatial == 0) {
    return emitOpError() << "kernel has " << spatial << " extents, x is " << x;
  }
  for (ArrayRef<int64_t> list :
       {getStrides(), getDilations(), getPadsBegin(), getPadsEnd()}) {
    if (list.size() != spatial) {
      return emitOpError() << "kernel, strides, dilations and pads must have "
                              "one length";
    }
  }
  if (differ(x.getDimSize(0), result.getDimSize(0)) ||
      differ(x.getDimSize(1), result.getDimSize(1))) {
    return emitOpError() << "batch or channels of the result " << result
                         << " differ from " << x;
  }
  for (size_t i = 0; i < spatial; ++i) {
    int64_t kernel = getKernel()[i], stride = getStrides()[i],
            dilation = getDilations()[i], begin = getPadsBegin()[i],
            end = getPadsEnd()[i];
    if (kernel < 1 || stride < 1 || dilation < 1 || begin < 0 || end < 0) {
      return emitOpError() << "kernel, strides and dilations must be positive, "
                              "pads not negative";
    }
    auto axis = static_cast<unsigned>(i) + 2;
    int64_t in = x.getDimSize(axis), out = result.getDimSize(axis);
    if (ShapedType::isDynamic(in) || ShapedType::isDynamic(out)) {
      continue;
    }
    int64_t room = in + begin + end - dilation * (kernel - 1) - 1;
    int64_t wanted = 0;
    if (room >= 0) {
      wanted = room / stride + 1;
      bool isCut = room % stride != 0;
      if (getCeilMode() && isCut && wanted * stride < in + begin) {
        ++wanted;
      }
    }
    if (out != wanted) {
      return emitOpError() << "axis " << axis << " of the result is " << out
                           << ", expected " << wanted;
    }
  }
  return success();
}

LogicalResult LrnOp::verify() {
  if (typeOf(getX()).getRank() < 2 ||
      !isa<FloatType>(typeOf(getX()).getElementType())) {
    return emitOpError() << "x must be floats [N, C, ..], found "
                         << getX().getType();
  }
  if (getSize() < 1) {
    return emitOpError() << "size must be positive, found "
                         << static_cast<int64_t>(getSize());
  }
  return success();
}

} // namespace llmc::graph
