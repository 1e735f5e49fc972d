//===- MatMul.cpp - Matrix products
//----------------------------------------===//

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

const Handler table[] = {
    {"", "MatMul", 1, importMatMul, 2},
    {"", "Gemm", 7, importGemm, 2},
    {"", "Einsum", 12, importEinsum},
    {"com.microsoft", "FusedMatMul", 1, importFusedMatMul, 2},
    {"com.microsoft", "TransposeMatMul", 1, importFusedMatMul, 2},
};

} // namespace

std::span<const Handler> matmulHandlers() { return table; }

} // namespace llmc::import
