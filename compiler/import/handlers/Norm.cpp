//===- Norm.cpp - Normalizations ------------------------------------------===//

#include "compiler/import/NodeContext.h"

namespace llmc::import {

namespace {

/// graph.layer_norm wants a scale of the trailing dimensions; anything that
/// only broadcasts to them is multiplied apart.
bool coversTrailing(const Val &scale, const Val &x, int64_t axis) {
  return Dims(x->dims.begin() + axis, x->dims.end()) == scale->dims;
}

bool importLayerNorm(NodeContext &n) {
  Val x = n.in(0), scale = n.in(1), bias = n.in(2);
  int64_t axis = n.axis(n.integer("axis", -1), x->rank());
  if (axis < 0) {
    return false;
  }
  double epsilon = n.number("epsilon", 1e-5);
  if (n.wants(1) || n.wants(2)) {
    // Mean and 1 / deviation are results too: in single steps.
    Emitter &e = n.emit;
    std::vector<int64_t> axes;
    for (int64_t d = axis; d < x->rank(); ++d) {
      axes.push_back(d);
    }
    Val mean = e.reduce("mean", x, axes, true);
    Val centered = e.binary("sub", x, mean);
    Val variance = e.reduce("mean", e.mul(centered, centered), axes, true);
    Val inverse =
        e.unary("reciprocal",
                e.unary("sqrt", e.add(variance, e.scalar(x->type, epsilon))));
    Val y = e.mul(centered, inverse);
    y = scale ? e.mul(y, scale) : y;
    y = bias ? e.add(y, bias) : y;
    return (!n.wants(1) || n.out(1, mean)) &&
           (!n.wants(2) || n.out(2, inverse)) && n.out(y);
  }
  bool fits = (!scale || coversTrailing(scale, x, axis)) &&
              (!bias || coversTrailing(bias, x, axis));
  Val y = n.emit.layerNorm(x, fits ? scale : nullptr, fits ? bias : nullptr,
                           x->rank() - axis, epsilon);
  if (!fits) {
    y = scale ? n.emit.mul(y, scale) : y;
    y = bias ? n.emit.add(y, bias) : y;
  }
  return n.out(y);
}

/// ONNX 23 RMSNormalization, and onnxruntime's SimplifiedLayerNormalization,
/// which exporters put into the default domain.
bool importRmsNorm(NodeContext &n) {
  Val x = n.in(0), scale = n.in(1);
  int64_t axis = n.axis(n.integer("axis", -1), x->rank());
  if (axis < 0) {
    return false;
  }
  if (n.wants(1)) {
    return n.fail("its deviation output is not supported");
  }
  bool fits = !scale || coversTrailing(scale, x, axis);
  Val y = n.emit.rmsNorm(x, fits ? scale : nullptr, x->rank() - axis,
                         n.number("epsilon", 1e-5));
  return n.out(fits ? y : n.emit.mul(y, scale));
}

/// [C] -> [C, 1, 1] for an input of rank 4.
Val perChannel(NodeContext &n, Val v, int64_t rank) {
  Dims dims(rank - 1, DimExpr(1));
  if (v && v->rank() != 1) {
    return n.emit.fail("one number per channel is wanted, found " +
                       toString(v->dims));
  }
  dims[0] = v ? v->dims[0] : DimExpr(1);
  return n.emit.reshape(v, dims);
}

/// Inference only: (x - mean) / sqrt(var + epsilon) * scale + bias.
bool importBatchNorm(NodeContext &n) {
  Val x = n.in(0);
  if (n.integer("training_mode", 0) != 0 || x->rank() < 2) {
    return n.fail("training mode is not supported");
  }
  auto channel = [&](size_t i) { return perChannel(n, n.in(i), x->rank()); };
  Val epsilon = n.emit.scalar(x->type, n.number("epsilon", 1e-5));
  Val factor = n.emit.binary(
      "div", channel(1), n.emit.unary("sqrt", n.emit.add(channel(4), epsilon)));
  Val y = n.emit.mul(n.emit.binary("sub", x, channel(3)), factor);
  return n.out(n.emit.add(y, channel(2)));
}

/// Mean and variance over the spatial axes, or over groups of channels.
bool importInstanceNorm(NodeContext &n) {
  Val x = n.in(0);
  int64_t rank = x->rank();
  if (rank < 3) {
    return n.fail("input " + toString(x->dims));
  }
  bool grouped = n.node.op_type() == "GroupNormalization";
  DimExpr groups = grouped ? DimExpr(n.integer("num_groups", 1)) : x->dims[1];
  std::optional<DimExpr> inner =
      graph::numElements(Dims(x->dims.begin() + 1, x->dims.end()))
          .dividedBy(groups);
  if (!inner) {
    return n.fail("channels are not a multiple of the groups");
  }
  Val flat = n.emit.reshape(x, {x->dims[0], groups, *inner});
  Val y = n.emit.reshape(
      n.emit.layerNorm(flat, nullptr, nullptr, 1, n.number("epsilon", 1e-5)),
      x->dims);
  Val scale = n.in(1), bias = n.in(2);
  if (grouped && n.version < 21) {
    // Scale and bias per group; repeat them per channel.
    std::optional<DimExpr> repeat = x->dims[1].dividedBy(groups);
    auto spread = [&](Val v) {
      v = n.emit.broadcast(n.emit.reshape(v, {groups, 1}), {groups, *repeat});
      return n.emit.reshape(v, {x->dims[1]});
    };
    scale = spread(scale);
    bias = spread(bias);
  }
  y = n.emit.mul(y, perChannel(n, scale, rank));
  return n.out(n.emit.add(y, perChannel(n, bias, rank)));
}

/// x / norm along an axis.
bool importLpNorm(NodeContext &n) {
  Val x = n.in(0);
  int64_t axis = n.axis(n.integer("axis", -1), x->rank());
  if (axis < 0) {
    return false;
  }
  Val norm =
      n.emit.reduce(n.integer("p", 2) == 1 ? "l1" : "l2", x, {axis}, true);
  // What has no length stays zero.
  Val isZero = n.emit.binary("eq", norm, n.emit.splat(x->type, {}, 0));
  norm = n.emit.select(isZero, n.emit.splat(x->type, {}, 1), norm);
  return n.out(n.emit.binary("div", x, norm));
}

const Handler table[] = {
    {"", "LayerNormalization", 1, importLayerNorm},
    {"", "RMSNormalization", 23, importRmsNorm},
    {"", "SimplifiedLayerNormalization", 1, importRmsNorm},
    {"com.microsoft", "SimplifiedLayerNormalization", 1, importRmsNorm},
    {"", "BatchNormalization", 9, importBatchNorm, 5},
    {"", "InstanceNormalization", 6, importInstanceNorm, 3},
    {"", "GroupNormalization", 18, importInstanceNorm, 3},
    {"", "LpNormalization", 1, importLpNorm},
};

} // namespace

std::span<const Handler> normHandlers() { return table; }

} // namespace llmc::import
