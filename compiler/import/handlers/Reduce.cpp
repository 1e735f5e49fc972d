//===- Reduce.cpp - Reductions and softmax --------------------------------===//

#include "compiler/import/NodeContext.h"

#include <cstring>
#include <numeric>

namespace llmc::import {

namespace {

bool importReduce(NodeContext &n) {
  static const std::pair<const char *, const char *> kinds[] = {
      {"ReduceSum", "sum"},
      {"ReduceMean", "mean"},
      {"ReduceMax", "max"},
      {"ReduceMin", "min"},
      {"ReduceProd", "prod"},
      {"ReduceSumSquare", "sum_square"},
      {"ReduceL2", "l2"},
      {"ReduceL1", "l1"},
      {"ReduceLogSumExp", "log_sum_exp"},
      {"ReduceLogSum", "sum"},
  };
  std::string kind;
  for (auto [op, name] : kinds) {
    if (n.node.op_type() == op) {
      kind = name;
    }
  }
  Val x = n.in(0);
  std::optional<std::vector<int64_t>> axes;
  if (n.attribute("axes") || n.has(1)) {
    axes = n.axes("axes", 1, x->rank());
    if (!axes) {
      return false;
    }
  }
  if (!axes || axes->empty()) {
    if (n.integer("noop_with_empty_axes", 0) != 0) {
      return n.out(x);
    }
    axes.emplace(x->rank());
    std::iota(axes->begin(), axes->end(), 0);
  }
  Val y = n.emit.reduce(kind, x, *axes, n.integer("keepdims", 1) != 0);
  return n.out(n.node.op_type() == "ReduceLogSum" ? n.emit.unary("log", y) : y);
}

bool importArgReduce(NodeContext &n) {
  int64_t axis = n.axis(n.integer("axis", 0), n.in(0)->rank());
  return axis >= 0 &&
         n.out(n.emit.argReduce(n.in(0), axis, n.node.op_type() == "ArgMin",
                                n.integer("select_last_index", 0) != 0,
                                n.integer("keepdims", 1) != 0));
}

/// Softmax, LogSoftmax. Before 13 the input is coerced to two dimensions.
bool importSoftmax(NodeContext &n) {
  Val x = n.in(0);
  bool log = n.node.op_type() == "LogSoftmax";
  bool coerced = n.version < 13;
  int64_t axis = n.axis(n.integer("axis", coerced ? 1 : -1), x->rank());
  if (axis < 0) {
    return false;
  }
  if (!coerced || axis == x->rank() - 1) {
    return n.out(n.emit.softmax(x, axis, log));
  }
  Dims flat{graph::numElements(Dims(x->dims.begin(), x->dims.begin() + axis)),
            graph::numElements(Dims(x->dims.begin() + axis, x->dims.end()))};
  Val y = n.emit.softmax(n.emit.reshape(x, flat), 1, log);
  return n.out(n.emit.reshape(y, x->dims));
}

const Handler table[] = {
    {"", "ReduceSum", 1, importReduce},
    {"", "ReduceMean", 1, importReduce},
    {"", "ReduceMax", 1, importReduce},
    {"", "ReduceMin", 1, importReduce},
    {"", "ReduceProd", 1, importReduce},
    {"", "ReduceSumSquare", 1, importReduce},
    {"", "ReduceL2", 1, importReduce},
    {"", "ReduceL1", 1, importReduce},
    {"", "ReduceLogSumExp", 1, importReduce},
    {"", "ReduceLogSum", 1, importReduce},
    {"", "ArgMax", 1, importArgReduce},
    {"", "ArgMin", 1, importArgReduce},
    {"", "Softmax", 1, importSoftmax},
    {"", "LogSoftmax", 1, importSoftmax},
};

} // namespace

std::span<const Handler> reduceHandlers() { return table; }

} // namespace llmc::import
