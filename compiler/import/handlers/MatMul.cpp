//===- MatMul.cpp - Matrix products and convolutions ----------------------===//

#include "compiler/import/NodeContext.h"

#include <algorithm>

namespace llmc::import {

namespace {

bool importMatMul(NodeContext &n) {
  return n.out(n.emit.matmul(n.in(0), n.in(1)));
}

/// alpha * A' B' + beta * C
bool importGemm(NodeContext &n) {
  Val y = n.emit.matmul(n.in(0), n.in(1), n.integer("transA", 0) != 0,
                        n.integer("transB", 0) != 0, n.number("alpha", 1.0));
  if (n.has(2)) {
    double beta = n.number("beta", 1.0);
    Val c = n.in(2);
    if (beta != 1.0) {
      c = n.emit.mul(c, n.emit.scalar(c->type, beta));
    }
    y = n.emit.add(y, c);
  }
  return n.out(y);
}

/// com.microsoft FusedMatMul, TransposeMatMul.
bool importFusedMatMul(NodeContext &n) {
  if (n.integer("transBatchA", 0) != 0 || n.integer("transBatchB", 0) != 0) {
    return n.fail("transposed batches are not supported");
  }
  return n.out(n.emit.matmul(n.in(0), n.in(1), n.integer("transA", 0) != 0,
                             n.integer("transB", 0) != 0,
                             n.number("alpha", 1.0)));
}

/// Letters to axes: transposes both sides to [batch.., m.., k] @ [.., k, n..].
bool importEinsum(NodeContext &n) {
  std::string equation = n.text("equation", "");
  std::erase(equation, ' ');
  size_t arrow = equation.find("->"), comma = equation.find(',');
  if (n.numInputs() != 2 || arrow == std::string::npos ||
      comma == std::string::npos || equation.find('.') != std::string::npos) {
    return n.fail("equation " + equation + " is not supported");
  }
  std::string a = equation.substr(0, comma);
  std::string b = equation.substr(comma + 1, arrow - comma - 1);
  std::string out = equation.substr(arrow + 2);
  Val x = n.in(0), y = n.in(1);
  if (a.size() != x->dims.size() || b.size() != y->dims.size()) {
    return n.fail("equation " + equation + " for " + toString(x->dims) +
                  " and " + toString(y->dims));
  }
  auto contains = [](const std::string &set, char c) {
    return set.find(c) != std::string::npos;
  };
  auto dimOf = [&](char c) {
    size_t i = a.find(c);
    return i != std::string::npos ? x->dims[i] : y->dims[b.find(c)];
  };
  std::string batch, rows, columns, inner;
  for (char c : a) {
    if (contains(b, c)) {
      (contains(out, c) ? batch : inner) += c;
    } else if (contains(out, c)) {
      rows += c;
    } else {
      return n.fail("equation " + equation + " is not supported");
    }
  }
  for (char c : b) {
    if (!contains(a, c)) {
      if (!contains(out, c)) {
        return n.fail("equation " + equation + " is not supported");
      }
      columns += c;
    }
  }
  auto arrange = [&](Val v, const std::string &from,
                     const std::string &groups) {
    std::vector<int64_t> perm;
    for (char c : groups) {
      perm.push_back(static_cast<int64_t>(from.find(c)));
    }
    return n.emit.transpose(v, perm);
  };
  auto dimsOf = [&](const std::string &letters) {
    Dims dims;
    for (char c : letters) {
      dims.push_back(dimOf(c));
    }
    return dims;
  };
  Dims batchDims = dimsOf(batch);
  auto with = [&](std::initializer_list<std::string> groups) {
    Dims dims = batchDims;
    for (const std::string &group : groups) {
      dims.push_back(graph::numElements(dimsOf(group)));
    }
    return dims;
  };
  Val left =
      n.emit.reshape(arrange(x, a, batch + rows + inner), with({rows, inner}));
  Val right = n.emit.reshape(arrange(y, b, batch + inner + columns),
                             with({inner, columns}));
  Val product = n.emit.matmul(left, right);
  std::string order = batch + rows + columns;
  product = n.emit.reshape(product, dimsOf(order));
  return n.out(arrange(product, order, out));
}

bool importConv(NodeContext &n) {
  Val x = n.in(0), w = n.in(1);
  int64_t spatial = x->rank() - 2;
  if (spatial < 1 || w->rank() != x->rank()) {
    return n.fail("input " + toString(x->dims) + " with weight " +
                  toString(w->dims));
  }
  auto list = [&](const char *name, int64_t otherwise, int64_t count) {
    return n.integers(name).value_or(std::vector<int64_t>(count, otherwise));
  };
  std::vector<int64_t> strides = list("strides", 1, spatial);
  std::vector<int64_t> dilations = list("dilations", 1, spatial);
  std::vector<int64_t> pads = list("pads", 0, 2 * spatial);
  std::string automatic = n.text("auto_pad", "NOTSET");
  std::vector<int64_t> begin(pads.begin(), pads.begin() + spatial),
      end(pads.begin() + spatial, pads.end());
  Dims dims{x->dims[0], w->dims[0]};
  for (int64_t i = 0; i < spatial; ++i) {
    std::optional<int64_t> kernel = w->dims[i + 2].asConstant();
    if (!kernel) {
      return n.fail("weight " + toString(w->dims));
    }
    int64_t reach = (*kernel - 1) * dilations[i] + 1;
    DimExpr in = x->dims[i + 2];
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      std::optional<int64_t> size = in.asConstant();
      if (!size) {
        return n.fail("auto_pad of an input " + toString(x->dims));
      }
      int64_t result = (*size + strides[i] - 1) / strides[i];
      int64_t total =
          std::max<int64_t>((result - 1) * strides[i] + reach - *size, 0);
      begin[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      end[i] = total - begin[i];
    }
    DimExpr room = in + DimExpr(begin[i] + end[i] - reach);
    dims.push_back(
        (strides[i] == 1 ? room : DimExpr::floorDiv(room, strides[i])) +
        DimExpr(1));
  }
  return n.out(n.emit.conv(x, w, n.in(2), n.integer("group", 1), strides,
                           dilations, begin, end, dims));
}

const Handler table[] = {
    {"", "MatMul", 1, importMatMul, 2},
    {"", "Gemm", 7, importGemm, 2},
    {"", "Einsum", 12, importEinsum, 2},
    {"", "Conv", 1, importConv, 2},
    {"com.microsoft", "FusedMatMul", 1, importFusedMatMul, 2},
    {"com.microsoft", "TransposeMatMul", 1, importFusedMatMul, 2},
};

} // namespace

std::span<const Handler> matmulHandlers() { return table; }

} // namespace llmc::import
