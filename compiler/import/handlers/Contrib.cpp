//===- Contrib.cpp - Other operators of com.microsoft ---------------------===//

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

namespace llmc::import {

namespace {

/// input, skip, gamma, beta, bias; the fourth output is the sum.
bool importSkipLayerNorm(NodeContext &n) {
  Emitter &e = n.emit;
  bool simplified = n.node.op_type() == "SkipSimplifiedLayerNormalization";
  if (n.wants(1) || n.wants(2)) {
    return n.fail("its mean and deviation outputs are not supported");
  }
  Val sum = e.add(n.in(0), n.in(1));
  if (Val bias = n.in(simplified ? 3 : 4)) {
    sum = e.add(sum, bias);
  }
  double epsilon = n.number("epsilon", simplified ? 1e-6 : 1e-12);
  Val y = simplified ? e.rmsNorm(sum, n.in(2), 1, epsilon)
                     : e.layerNorm(sum, n.in(2), n.in(3), 1, epsilon);
  return (!n.wants(3) || n.out(3, sum)) && n.out(y);
}

/// input_ids, segment_ids, word, position and segment tables, gamma, beta,
/// mask, position_ids.
bool importEmbedLayerNorm(NodeContext &n) {
  Emitter &e = n.emit;
  Val ids = n.in(0);
  if (ids->rank() != 2) {
    return n.fail("input " + toString(ids->dims));
  }
  Val positions = n.in(8);
  if (!positions) {
    positions = e.ramp(DataType::Int64, {1, ids->dims[1]}, {0, 1, 1});
  }
  if (n.has(3)) {
    n.importer.notePositionTable(n.in(3), positions, 0);
  }
  Val sum = e.add(e.gather(n.in(2), ids, 0), e.gather(n.in(3), positions, 0));
  if (n.has(1) && n.has(4)) {
    sum = e.add(sum, e.gather(n.in(4), n.in(1), 0));
  }
  if (n.wants(1)) {
    Val count =
        n.has(7) ? e.reduce("sum", e.cast(n.in(7), DataType::Int32), {1}, false)
                 : e.splat(DataType::Int32, {ids->dims[0]}, 0);
    if (!n.out(1, count)) {
      return false;
    }
  }
  return (!n.wants(2) || n.out(2, sum)) &&
         n.out(
             e.layerNorm(sum, n.in(5), n.in(6), 1, n.number("epsilon", 1e-12)));
}

/// FastGelu, BiasGelu, Gelu: an optional bias, then the function.
bool importGelu(NodeContext &n) {
  Val x = n.has(1) ? n.emit.add(n.in(0), n.in(1)) : n.in(0);
  return n.out(n.emit.unary(
      n.node.op_type() == "FastGelu" ? "gelu_tanh" : "gelu_erf", x));
}

/// x * sigmoid(alpha * x)
bool importQuickGelu(NodeContext &n) {
  Val x = n.in(0);
  double alpha = n.number("alpha", 1.702);
  if (alpha > 1.7019 && alpha < 1.7021) {
    return n.out(n.emit.unary("quick_gelu", x));
  }
  if (alpha == 1.0) {
    return n.out(n.emit.unary("silu", x));
  }
  Val scaled = n.emit.mul(x, n.emit.scalar(x->type, alpha));
  return n.out(n.emit.mul(x, n.emit.unary("sigmoid", scaled)));
}

bool importBiasAdd(NodeContext &n) {
  return n.out(n.emit.add(n.emit.add(n.in(0), n.in(1)), n.in(2)));
}

const Handler table[] = {
    {"com.microsoft", "SkipLayerNormalization", 1, importSkipLayerNorm, 3},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", 1,
     importSkipLayerNorm, 3},
    {"com.microsoft", "EmbedLayerNormalization", 1, importEmbedLayerNorm},
    {"com.microsoft", "FastGelu", 1, importGelu},
    {"com.microsoft", "BiasGelu", 1, importGelu, 2},
    {"com.microsoft", "Gelu", 1, importGelu},
    {"com.microsoft", "QuickGelu", 1, importQuickGelu},
    {"com.microsoft", "BiasAdd", 1, importBiasAdd, 3},
};

} // namespace

std::span<const Handler> contribHandlers() { return table; }

} // namespace llmc::import
