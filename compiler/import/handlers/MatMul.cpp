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

/// Sums over the letters of `from` that `keep` does not hold; updates `from`.
Val sumOut(NodeContext &n, Val v, std::string &from, const std::string &keep) {
  std::vector<int64_t> axes;
  std::string kept;
  for (size_t i = 0; i < from.size(); ++i) {
    if (keep.find(from[i]) == std::string::npos) {
      axes.push_back(static_cast<int64_t>(i));
    } else {
      kept += from[i];
    }
  }
  from = kept;
  return axes.empty() ? v : n.emit.reduce("sum", v, axes, false);
}

Val arrange(NodeContext &n, Val v, const std::string &from,
            const std::string &to) {
  std::vector<int64_t> perm;
  for (char c : to) {
    perm.push_back(static_cast<int64_t>(from.find(c)));
  }
  return n.emit.transpose(v, perm);
}

/// One or two operands, no repeated letters in one, no ellipsis: both sides are
/// brought to [batch.., m.., k] @ [batch.., k, n..].
bool importEinsum(NodeContext &n) {
  std::string equation = n.text("equation", "");
  std::erase(equation, ' ');
  size_t arrow = equation.find("->");
  std::string left = equation.substr(0, arrow), out;
  std::vector<std::string> letters(1);
  for (char c : left) {
    if (c == ',') {
      letters.emplace_back();
    } else {
      letters.back() += c;
    }
  }
  if (arrow != std::string::npos) {
    out = equation.substr(arrow + 2);
  } else {
    for (char c = 'A'; c <= 'z'; ++c) { // in alphabetical order
      if (std::count(left.begin(), left.end(), c) == 1) {
        out += c;
      }
    }
  }
  bool supported = letters.size() == n.numInputs() && letters.size() <= 2 &&
                   equation.find('.') == std::string::npos;
  for (size_t i = 0; supported && i < letters.size(); ++i) {
    supported = n.has(i) && letters[i].size() == n.in(i)->dims.size();
    for (char c : letters[i]) {
      supported &= std::count(letters[i].begin(), letters[i].end(), c) == 1;
    }
  }
  for (char c : out) {
    supported &= left.find(c) != std::string::npos;
  }
  if (!supported) {
    return n.fail("equation " + equation + " is not supported");
  }
  std::string &a = letters[0];
  Val x = n.in(0);
  if (letters.size() == 1) {
    x = sumOut(n, x, a, out);
    return n.out(x ? arrange(n, x, a, out) : nullptr);
  }
  std::string &b = letters[1];
  x = sumOut(n, x, a, b + out);
  Val y = sumOut(n, n.in(1), b, a + out);
  if (!x || !y) {
    return false;
  }
  auto contains = [](const std::string &set, char c) {
    return set.find(c) != std::string::npos;
  };
  std::string batch, rows, columns, inner;
  for (char c : a) {
    (!contains(b, c) ? rows : contains(out, c) ? batch : inner) += c;
  }
  for (char c : b) {
    if (!contains(a, c)) {
      columns += c;
    }
  }
  auto dimsOf = [&](const std::string &list) {
    Dims dims;
    for (char c : list) {
      size_t i = a.find(c);
      dims.push_back(i != std::string::npos ? x->dims[i] : y->dims[b.find(c)]);
    }
    return dims;
  };
  auto grouped = [&](const std::string &first, const std::string &second) {
    Dims dims = dimsOf(batch);
    dims.push_back(graph::numElements(dimsOf(first)));
    dims.push_back(graph::numElements(dimsOf(second)));
    return dims;
  };
  Val product =
      n.emit.matmul(n.emit.reshape(arrange(n, x, a, batch + rows + inner),
                                   grouped(rows, inner)),
                    n.emit.reshape(arrange(n, y, b, batch + inner + columns),
                                   grouped(inner, columns)));
  std::string order = batch + rows + columns;
  product = n.emit.reshape(product, dimsOf(order));
  return n.out(arrange(n, product, order, out));
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
  if (std::ssize(strides) != spatial || std::ssize(dilations) != spatial ||
      std::ssize(pads) != 2 * spatial ||
      *std::min_element(strides.begin(), strides.end()) < 1 ||
      *std::min_element(dilations.begin(), dilations.end()) < 1) {
    return n.fail("strides, dilations or pads do not fit " + toString(x->dims));
  }
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
    {"", "Einsum", 12, importEinsum},
    {"", "Conv", 1, importConv, 2},
    {"com.microsoft", "FusedMatMul", 1, importFusedMatMul, 2},
    {"com.microsoft", "TransposeMatMul", 1, importFusedMatMul, 2},
};

} // namespace

std::span<const Handler> matmulHandlers() { return table; }

} // namespace llmc::import
