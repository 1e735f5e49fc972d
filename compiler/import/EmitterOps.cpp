//===- EmitterOps.cpp - Reductions, products, blocks, quantized ops -------===//

#include "compiler/import/EmitterTemplates.h"

#include <algorithm>
#include <cmath>

namespace llmc::import {

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Val Emitter::reduce(const std::string &kind, Val x, std::vector<int64_t> axes,
                    bool keepdims) {
  if (!x) {
    return nullptr;
  }
  std::sort(axes.begin(), axes.end());
  Dims dims;
  DimExpr reduced(1);
  for (int64_t d = 0; d < x->rank(); ++d) {
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) {
      dims.push_back(x->dims[d]);
    } else {
      reduced = reduced * x->dims[d];
      if (keepdims) {
        dims.push_back(1);
      }
    }
  }
  if (axes.empty() && kind != "sum_square" && kind != "l1" && kind != "l2") {
    return x;
  }
  bool selects = kind == "mean" || kind == "max" || kind == "min";
  // The sum of a mask of ones is its length.
  if (std::optional<DimExpr> e = uniform(x)) {
    if (selects || (kind == "prod" && *e == DimExpr(1))) {
      return ramp(x->type, dims, {*e, 0, 0});
    }
    if (kind == "sum") {
      return ramp(x->type, dims, {*e * reduced, 0, 0});
    }
  }
  bool whole = static_cast<int64_t>(axes.size()) == x->rank();
  if (whole && (kind == "max" || kind == "min")) {
    if (auto ends = extremes(x)) {
      return ramp(x->type, dims,
                  {kind == "max" ? ends->second : ends->first, 0, 0});
    }
  }
  std::optional<std::vector<DimExpr>> list = whole ? exprsOf(x) : std::nullopt;
  if (list && !list->empty() && (kind == "sum" || kind == "prod")) {
    DimExpr total(kind == "prod" ? 1 : 0);
    for (const DimExpr &e : *list) {
      total = kind == "prod" ? total * e : total + e;
    }
    return ramp(x->type, dims, {total, 0, 0});
  }
  return emit<graph::ReduceOp>(x->type, dims, kind, materialize(x), axes,
                               keepdims);
}

Val Emitter::argReduce(Val x, int64_t axis, bool isMin, bool selectLast,
                       bool keepdims) {
  if (!x) {
    return nullptr;
  }
  Dims dims = x->dims;
  if (keepdims) {
    dims[axis] = 1;
  } else {
    dims.erase(dims.begin() + axis);
  }
  return emit<graph::ArgReduceOp>(DataType::Int64, dims, materialize(x),
                                  static_cast<uint64_t>(axis), isMin,
                                  selectLast, keepdims);
}

Val Emitter::softmax(Val x, int64_t axis, bool log) {
  if (!x) {
    return nullptr;
  }
  return emit<graph::SoftmaxOp>(x->type, x->dims, materialize(x),
                                static_cast<uint64_t>(axis), log);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Val Emitter::matmul(Val a, Val b, bool transA, bool transB, double alpha) {
  if (!a || !b) {
    return nullptr;
  }
  if (a->rank() < 1 || b->rank() < 1) {
    return fail("matrix product of " + toString(a->dims) + " and " +
                toString(b->dims));
  }
  // Vectors, as NumPy has it.
  bool rowVector = a->rank() == 1, columnVector = b->rank() == 1;
  Val left = rowVector ? unsqueeze(a, {0}) : a;
  Val right = columnVector ? unsqueeze(b, {1}) : b;
  if (!left || !right) {
    return nullptr;
  }
  size_t p = left->dims.size(), q = right->dims.size();
  DimExpr m = left->dims[transA ? p - 1 : p - 2];
  DimExpr k = left->dims[transA ? p - 2 : p - 1];
  DimExpr k2 = right->dims[transB ? q - 1 : q - 2];
  DimExpr n = right->dims[transB ? q - 2 : q - 1];
  std::optional<Dims> dims =
      broadcastDims(Dims(left->dims.begin(), left->dims.end() - 2),
                    Dims(right->dims.begin(), right->dims.end() - 2));
  if (!dims || equal(k, k2) == std::optional(false)) {
    return fail("matrix product of " + toString(a->dims) + " and " +
                toString(b->dims));
  }
  dims->push_back(m);
  dims->push_back(n);
  // positions x frequencies: an outer product, the form that the rope pattern
  // and the element-wise kernels know.
  Val result;
  if (k == DimExpr(1) && !transA && !transB && alpha == 1.0 &&
      !isWeight(left) && !isWeight(right)) {
    result = mul(left, right);
  } else {
    if (left->type != right->type) {
      return fail("operands are " + name(left->type) + " and " +
                  name(right->type));
    }
    result = emit<graph::MatMulOp>(left->type, *dims, materialize(left),
                                   materialize(right), transA, transB,
                                   llvm::APFloat(alpha));
  }
  if (rowVector) {
    result = squeeze(result, {static_cast<int64_t>(dims->size()) - 2});
  }
  if (columnVector) {
    result = squeeze(result, {result ? result->rank() - 1 : 0});
  }
  return result;
}

Val Emitter::conv(Val x, Val weight, Val bias, int64_t groups,
                  std::vector<int64_t> strides, std::vector<int64_t> dilations,
                  std::vector<int64_t> padsBegin, std::vector<int64_t> padsEnd,
                  Dims resultDims) {
  if (!x || !weight) {
    return nullptr;
  }
  return emit<graph::ConvOp>(x->type, resultDims, materialize(x),
                             materialize(weight), materialize(bias),
                             static_cast<uint64_t>(groups), strides, dilations,
                             padsBegin, padsEnd);
}

Val Emitter::pool(const std::string &kind, Val x, const Window &window,
                  bool countIncludePad, Dims resultDims) {
  if (!x) {
    return nullptr;
  }
  return emit<graph::PoolOp>(x->type, resultDims, kind, materialize(x),
                             window.kernel, window.strides, window.dilations,
                             window.begin, window.end, window.ceilMode,
                             countIncludePad);
}

Val Emitter::lrn(Val x, int64_t size, double alpha, double beta, double bias) {
  if (!x) {
    return nullptr;
  }
  return emit<graph::LrnOp>(x->type, x->dims, materialize(x),
                            static_cast<uint64_t>(size), llvm::APFloat(alpha),
                            llvm::APFloat(beta), llvm::APFloat(bias));
}

//===----------------------------------------------------------------------===//
// Transformer blocks
//===----------------------------------------------------------------------===//

Val Emitter::layerNorm(Val x, Val scale, Val bias, int64_t trailing,
                       double epsilon) {
  if (!x) {
    return nullptr;
  }
  return emit<graph::LayerNormOp>(
      x->type, x->dims, materialize(x), materialize(scale), materialize(bias),
      static_cast<uint64_t>(trailing), llvm::APFloat(epsilon));
}

Val Emitter::rmsNorm(Val x, Val scale, int64_t trailing, double epsilon) {
  if (!x) {
    return nullptr;
  }
  return emit<graph::RmsNormOp>(
      x->type, x->dims, materialize(x), materialize(scale),
      static_cast<uint64_t>(trailing), llvm::APFloat(epsilon));
}

Val Emitter::rope(Val x, Val cos, Val sin, const std::string &layout,
                  bool interleaved, int64_t rotaryDim) {
  if (!x || !cos || !sin) {
    return nullptr;
  }
  return emit<graph::RopeOp>(x->type, x->dims, materialize(x), materialize(cos),
                             materialize(sin), layout, interleaved,
                             static_cast<uint64_t>(rotaryDim));
}

Val Emitter::attention(Val q, Val k, Val v, const AttentionOptions &options) {
  if (!q || !k || !v) {
    return nullptr;
  }
  if (q->rank() != 4 || k->rank() != 4 || v->rank() != 4) {
    return fail("attention over " + toString(q->dims) + ", " +
                toString(k->dims) + ", " + toString(v->dims));
  }
  Dims dims = q->dims;
  dims[3] = v->dims[3];
  return emit<graph::AttentionOp>(
      q->type, dims, materialize(q), materialize(k), materialize(v),
      materialize(options.bias), materialize(options.sinks), options.qLayout,
      k->dims[2].str(), options.causal, static_cast<uint64_t>(options.window),
      llvm::APFloat(options.scale), llvm::APFloat(options.softcap));
}

//===----------------------------------------------------------------------===//
// Quantized
//===----------------------------------------------------------------------===//

Val Emitter::quantLinear(Val x, const QuantWeight &w, Val bias) {
  if (!x || !w.codes) {
    return nullptr;
  }
  Dims dims = x->dims;
  if (dims.empty() || equal(dims.back(), w.k) == std::optional(false)) {
    return fail("input " + toString(x->dims) + ", K is " + std::to_string(w.k));
  }
  dims.back() = w.n;
  return emit<graph::QuantLinearOp>(
      x->type, dims, materialize(x), materialize(w.codes),
      materialize(w.scales), materialize(w.zeroPoints), materialize(w.gIdx),
      materialize(bias), static_cast<uint64_t>(w.n), static_cast<uint64_t>(w.k),
      static_cast<uint64_t>(w.bits), static_cast<uint64_t>(w.blockSize),
      w.format);
}

Val Emitter::quantGather(const QuantWeight &w, Val indices, DataType type) {
  if (!w.codes || !indices) {
    return nullptr;
  }
  Dims dims = indices->dims;
  dims.push_back(w.k);
  return emit<graph::QuantGatherOp>(
      type, dims, materialize(w.codes), materialize(w.scales),
      materialize(w.zeroPoints), materialize(indices),
      static_cast<uint64_t>(w.n), static_cast<uint64_t>(w.k),
      static_cast<uint64_t>(w.bits), static_cast<uint64_t>(w.blockSize),
      w.format);
}

Val Emitter::matmulInteger(Val a, Val b, Val aZeroPoint, Val bZeroPoint) {
  if (!a || !b) {
    return nullptr;
  }
  if (a->rank() < 2 || b->rank() < 2) {
    return fail("matrix product of " + toString(a->dims) + " and " +
                toString(b->dims));
  }
  std::optional<Dims> dims =
      broadcastDims(Dims(a->dims.begin(), a->dims.end() - 2),
                    Dims(b->dims.begin(), b->dims.end() - 2));
  DimExpr k = a->dims.back(), k2 = b->dims[b->dims.size() - 2];
  if (!dims || equal(k, k2) == std::optional(false)) {
    return fail("matrix product of " + toString(a->dims) + " and " +
                toString(b->dims));
  }
  dims->push_back(a->dims[a->dims.size() - 2]);
  dims->push_back(b->dims.back());
  return emit<graph::MatMulIntegerOp>(DataType::Int32, *dims, materialize(a),
                                      materialize(b), materialize(aZeroPoint),
                                      materialize(bZeroPoint));
}

Emitter::DynamicQuantized Emitter::dynamicQuantize(Val x) {
  if (!x) {
    return {};
  }
  mlir::Type y = graph::tensorType(x->dims, elementType(DataType::UInt8));
  mlir::Type scale = graph::tensorType({}, elementType(DataType::Float));
  mlir::Type zero = graph::tensorType({}, elementType(DataType::UInt8));
  auto op = graph::DynamicQuantizeOp::create(builder, location(), y, scale,
                                             zero, materialize(x));
  graph::setDims(op, 0, x->dims);
  graph::setDims(op, 1, {});
  graph::setDims(op, 2, {});
  tag(op);
  return {fromMlir(DataType::UInt8, x->dims, op->getResult(0)),
          fromMlir(DataType::Float, {}, op->getResult(1)),
          fromMlir(DataType::UInt8, {}, op->getResult(2))};
}

Val Emitter::dequantize(Val x, Val scale, Val zeroPoint, int64_t axis,
                        int64_t blockSize) {
  if (!x || !scale) {
    return nullptr;
  }
  return emit<graph::DequantizeOp>(scale->type, x->dims, materialize(x),
                                   materialize(scale), materialize(zeroPoint),
                                   static_cast<uint64_t>(axis),
                                   static_cast<uint64_t>(blockSize));
}

Val Emitter::quantize(Val x, Val scale, Val zeroPoint, int64_t axis,
                      int64_t blockSize, DataType type) {
  if (!x || !scale) {
    return nullptr;
  }
  return emit<graph::QuantizeOp>(
      type, x->dims, materialize(x), materialize(scale), materialize(zeroPoint),
      static_cast<uint64_t>(axis), static_cast<uint64_t>(blockSize));
}

} // namespace llmc::import
