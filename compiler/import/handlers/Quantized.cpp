//===- Quantized.cpp - Quantized products, tables and conversions ---------===//

#include "compiler/import/NodeContext.h"

namespace llmc::import {

namespace {

/// graph.dequantize's axis for one scale for all.
constexpr int64_t kPerTensor = -1000;

/// `v` with other dimensions over the same bytes, so that tied tables and
/// products name one graph.weight.
Val sameBytes(const Val &v, std::vector<int64_t> dims) {
  auto seen = std::make_shared<Value>(*v);
  seen->dims = Dims(dims.begin(), dims.end());
  seen->value = nullptr;
  return seen;
}

bool isConstantTensor(const Val &v) { return v && v->constant; }

/// Codes, scales and zero points brought to the shapes of graph.quant_linear's
/// "nbits" format. False after an error.
bool fillNBits(NodeContext &n, Emitter::QuantWeight &w, const Val &codes,
               const Val &scales, const Val &zeroPoints) {
  int64_t blocks = (w.k + w.blockSize - 1) / w.blockSize;
  int64_t blockBytes = w.blockSize * w.bits / 8;
  if (!isConstantTensor(codes) || !isConstantTensor(scales) ||
      (zeroPoints && !isConstantTensor(zeroPoints))) {
    return n.fail("its weight is not a constant");
  }
  auto wants = [&](const Val &v, int64_t count, const char *what) {
    if (v->count() == std::optional(count)) {
      return true;
    }
    return n.fail(std::string(what) + " are " + toString(v->dims) +
                  ", expected " + std::to_string(count) + " elements");
  };
  if (!wants(codes, w.n * blocks * blockBytes, "codes") ||
      !wants(scales, w.n * blocks, "scales")) {
    return false;
  }
  w.codes = sameBytes(codes, {w.n, blocks, blockBytes});
  w.scales = sameBytes(scales, {w.n, blocks});
  if (zeroPoints) {
    // Packed like the codes, or one float per block.
    int64_t perRow = blocks;
    if (zeroPoints->type == DataType::UInt8) {
      perRow = (blocks * w.bits + 7) / 8;
    } else if (zeroPoints->type != scales->type) {
      return n.fail("zero points of type " + name(zeroPoints->type) +
                    " with scales of type " + name(scales->type) +
                    " are not supported");
    }
    if (!wants(zeroPoints, w.n * perRow, "zero points")) {
      return false;
    }
    w.zeroPoints = sameBytes(zeroPoints, {w.n, perRow});
  }
  w.format = "nbits";
  return true;
}

/// A, B, scales, zero_points, g_idx, bias.
bool importMatMulNBits(NodeContext &n) {
  Emitter::QuantWeight w;
  w.n = n.integer("N", 0);
  w.k = n.integer("K", 0);
  w.bits = n.integer("bits", 4);
  w.blockSize = n.integer("block_size", 0);
  if (w.n <= 0 || w.k <= 0 || w.blockSize < 16 ||
      (w.bits != 4 && w.bits != 8)) {
    return n.fail("N " + std::to_string(w.n) + ", K " + std::to_string(w.k) +
                  ", bits " + std::to_string(w.bits) + ", block_size " +
                  std::to_string(w.blockSize) +
                  " (supported are 4 and 8 bits in blocks of 16 and more)");
  }
  if (!fillNBits(n, w, n.in(1), n.in(2), n.in(3))) {
    return false;
  }
  w.gIdx = n.in(4);
  if (w.gIdx && !isConstantTensor(w.gIdx)) {
    return n.fail("g_idx is not a constant");
  }
  return n.out(n.emit.quantLinear(n.in(0), w, n.in(5)));
}

/// data, indices, scales, zero_points: rows of a packed table.
bool importGatherBlockQuantized(NodeContext &n) {
  Val data = n.in(0), indices = n.in(1), scales = n.in(2), zeros = n.in(3);
  Emitter::QuantWeight w;
  w.bits = n.integer("bits", 4);
  w.blockSize = n.integer("block_size", 128);
  std::optional<std::vector<int64_t>> dims = data->staticDims();
  if ((w.bits != 4 && w.bits != 8) || w.blockSize < 16) {
    return n.fail("bits " + std::to_string(w.bits) + ", block_size " +
                  std::to_string(w.blockSize) +
                  " (supported are 4 and 8 bits in blocks of 16 and more)");
  }
  if (!dims || dims->size() < 2 || n.integer("gather_axis", 0) != 0) {
    return n.fail("data " + toString(data->dims) + " gathered along axis " +
                  std::to_string(n.integer("gather_axis", 0)));
  }
  int64_t rank = data->rank();
  int64_t quantized = n.axis(n.integer("quantize_axis", 1), rank);
  if (quantized != rank - 1 || rank != 2) {
    return n.fail("only tables [rows, columns] quantized along columns are "
                  "supported");
  }
  w.n = (*dims)[0];
  if (data->type == DataType::UInt8) {
    w.k = (*dims)[1] * 8 / w.bits;
    if (!fillNBits(n, w, data, scales, zeros)) {
      return false;
    }
  } else if (data->type == DataType::Int4 || data->type == DataType::UInt4) {
    w.bits = 4;
    w.k = (*dims)[1];
    w.codes = data;
    w.scales = scales;
    w.zeroPoints = zeros;
    w.format = "qdq_nk";
    if (!isConstantTensor(data) || !isConstantTensor(scales)) {
      return n.fail("its table is not a constant");
    }
  } else {
    return n.fail("a table of " + name(data->type) + " is not supported");
  }
  return n.out(n.emit.quantGather(w, indices, scales->type));
}

bool importDequantizeLinear(NodeContext &n) {
  Val x = n.in(0), scale = n.in(1), zero = n.in(2);
  int64_t axis = kPerTensor, block = n.integer("block_size", 0);
  if (scale->count() != std::optional<int64_t>(1) || block != 0) {
    axis = n.axis(n.integer("axis", 1), x->rank());
    if (axis < 0) {
      return false;
    }
  } else {
    // One number: as a scalar, whatever rank it came in.
    scale = n.emit.reshape(scale, {});
    zero = zero ? n.emit.reshape(zero, {}) : nullptr;
  }
  Val y = n.emit.dequantize(x, scale, zero, axis, block);
  if (n.attribute("output_dtype") && n.integer("output_dtype", 0) != 0) {
    y = n.emit.cast(y, static_cast<DataType>(n.integer("output_dtype", 0)));
  }
  return n.out(y);
}

bool importQuantizeLinear(NodeContext &n) {
  Val x = n.in(0), scale = n.in(1), zero = n.in(2);
  int64_t axis = kPerTensor, block = n.integer("block_size", 0);
  auto type = static_cast<DataType>(n.integer("output_dtype", 0));
  if (type == DataType::Undefined) {
    type = zero ? zero->type : DataType::UInt8;
  }
  if (!isInteger(type)) {
    return n.fail("element type " + name(type) + " is not supported");
  }
  if (scale->count() != std::optional<int64_t>(1) || block != 0) {
    axis = n.axis(n.integer("axis", 1), x->rank());
    if (axis < 0) {
      return false;
    }
  } else {
    scale = n.emit.reshape(scale, {});
    zero = zero ? n.emit.reshape(zero, {}) : nullptr;
  }
  return n.out(n.emit.quantize(x, scale, zero, axis, block, type));
}

bool importDynamicQuantize(NodeContext &n) {
  Emitter::DynamicQuantized q = n.emit.dynamicQuantize(n.in(0));
  return n.out(0, q.y) && n.out(1, q.scale) && n.out(2, q.zeroPoint);
}

bool importMatMulInteger(NodeContext &n) {
  return n.out(n.emit.matmulInteger(n.in(0), n.in(1), n.in(2), n.in(3)));
}

/// int32 product times both scales, plus a bias.
Val scaledProduct(NodeContext &n, Val a, Val b, Val aScale, Val bScale,
                  Val aZero, Val bZero, Val bias) {
  Emitter &e = n.emit;
  aScale = e.cast(aScale, DataType::Float);
  bScale = e.cast(bScale, DataType::Float);
  Val y = e.cast(e.matmulInteger(a, b, aZero, bZero), DataType::Float);
  y = e.mul(y, e.mul(aScale, bScale));
  return bias ? e.add(y, bias) : y;
}

/// com.microsoft: A (float), B, b_scale, b_zero_point, bias.
bool importDynamicQuantizeMatMul(NodeContext &n) {
  Emitter::DynamicQuantized q = n.emit.dynamicQuantize(n.in(0));
  return n.out(scaledProduct(n, q.y, n.in(1), q.scale, n.in(2), q.zeroPoint,
                             n.in(3), n.in(4)));
}

/// com.microsoft: A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias.
bool importMatMulIntegerToFloat(NodeContext &n) {
  return n.out(scaledProduct(n, n.in(0), n.in(1), n.in(2), n.in(3), n.in(4),
                             n.in(5), n.in(6)));
}

/// a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point.
bool importQLinearMatMul(NodeContext &n) {
  Val y = scaledProduct(n, n.in(0), n.in(3), n.in(1), n.in(4), n.in(2), n.in(5),
                        nullptr);
  Val scale = n.emit.cast(n.emit.reshape(n.in(6), {}), DataType::Float),
      zero = n.emit.reshape(n.in(7), {});
  return n.out(n.emit.quantize(y, scale, zero, kPerTensor, 0, n.in(7)->type));
}

const Handler table[] = {
    {"com.microsoft", "MatMulNBits", 1, importMatMulNBits, 3},
    {"com.microsoft", "GatherBlockQuantized", 1, importGatherBlockQuantized, 3},
    {"", "DequantizeLinear", 10, importDequantizeLinear, 2},
    {"com.microsoft", "DequantizeLinear", 1, importDequantizeLinear, 2},
    {"", "QuantizeLinear", 10, importQuantizeLinear, 2},
    {"com.microsoft", "QuantizeLinear", 1, importQuantizeLinear, 2},
    {"", "DynamicQuantizeLinear", 11, importDynamicQuantize},
    {"", "MatMulInteger", 10, importMatMulInteger, 2},
    {"com.microsoft", "DynamicQuantizeMatMul", 1, importDynamicQuantizeMatMul,
     3},
    {"com.microsoft", "MatMulIntegerToFloat", 1, importMatMulIntegerToFloat, 4},
    {"", "QLinearMatMul", 10, importQLinearMatMul, 8},
};

} // namespace

std::span<const Handler> quantizedHandlers() { return table; }

} // namespace llmc::import
