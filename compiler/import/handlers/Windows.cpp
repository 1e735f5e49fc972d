//===- Windows.cpp - Convolutions and pooling -----------------------------===//

#include "compiler/import/NodeContext.h"

#include <algorithm>

namespace llmc::import {

namespace {

/// The attributes that convolutions and pools share, for x [N, C, spatial..]
/// and windows of `kernel`. auto_pad is resolved. Fails if they do not fit x.
std::optional<Emitter::Window> readWindow(NodeContext &n, const Val &x,
                                          std::vector<int64_t> kernel) {
  auto spatial = x->rank() - 2;
  auto list = [&](const char *name, int64_t otherwise, int64_t count) {
    return n.integers(name).value_or(
        std::vector<int64_t>(static_cast<size_t>(count), otherwise));
  };
  Emitter::Window w;
  w.strides = list("strides", 1, spatial);
  w.dilations = list("dilations", 1, spatial);
  std::vector<int64_t> pads = list("pads", 0, 2 * spatial);
  auto isPositive = [](const std::vector<int64_t> &values) {
    return std::all_of(values.begin(), values.end(),
                       [](int64_t v) { return v > 0; });
  };
  if (spatial < 1 || std::ssize(kernel) != spatial ||
      std::ssize(w.strides) != spatial || std::ssize(w.dilations) != spatial ||
      std::ssize(pads) != 2 * spatial || !isPositive(kernel) ||
      !isPositive(w.strides) || !isPositive(w.dilations)) {
    n.fail("kernel, strides, dilations or pads do not fit " +
           toString(x->dims));
    return std::nullopt;
  }
  w.kernel = std::move(kernel);
  w.begin.assign(pads.begin(), pads.begin() + spatial);
  w.end.assign(pads.begin() + spatial, pads.end());
  w.ceilMode = n.integer("ceil_mode", 0) != 0;
  std::string automatic = n.text("auto_pad", "NOTSET");
  if (automatic == "VALID") {
    w.begin.assign(w.begin.size(), 0);
    w.end.assign(w.end.size(), 0);
  } else if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    for (size_t i = 0; i < w.kernel.size(); ++i) {
      std::optional<int64_t> size = x->dims[i + 2].asConstant();
      if (!size) {
        n.fail("auto_pad of an input " + toString(x->dims));
        return std::nullopt;
      }
      int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;
      int64_t result = (*size + w.strides[i] - 1) / w.strides[i];
      int64_t total =
          std::max<int64_t>((result - 1) * w.strides[i] + reach - *size, 0);
      w.begin[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
    }
  } else if (automatic != "NOTSET") {
    n.fail("auto_pad " + automatic + " is not known");
    return std::nullopt;
  }
  return w;
}

/// The spatial sizes of the result, after `dims`.
Dims resultDims(const Val &x, const Emitter::Window &w, Dims dims) {
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    DimExpr in = x->dims[i + 2];
    int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;
    DimExpr room = in + DimExpr(w.begin[i] + w.end[i] - reach);
    if (w.strides[i] == 1) {
      dims.push_back(room + DimExpr(1));
    } else if (!w.ceilMode) {
      dims.push_back(DimExpr::floorDiv(room, w.strides[i]) + DimExpr(1));
    } else {
      // The last window starts within the input or the padding before it.
      dims.push_back(DimExpr::min(
          DimExpr::ceilDiv(room, w.strides[i]) + DimExpr(1),
          DimExpr::ceilDiv(in + DimExpr(w.begin[i]), w.strides[i])));
    }
  }
  return dims;
}

bool importConv(NodeContext &n) {
  Val x = n.in(0), weight = n.in(1);
  if (x->rank() < 3 || weight->rank() != x->rank()) {
    return n.fail("input " + toString(x->dims) + " with weight " +
                  toString(weight->dims));
  }
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < weight->dims.size(); ++i) {
    std::optional<int64_t> extent = weight->dims[i].asConstant();
    if (!extent) {
      return n.fail("weight " + toString(weight->dims));
    }
    kernel.push_back(*extent);
  }
  std::optional<Emitter::Window> w = readWindow(n, x, std::move(kernel));
  if (!w) {
    return false;
  }
  Dims dims = resultDims(x, *w, {x->dims[0], weight->dims[0]});
  return n.out(n.emit.conv(x, weight, n.in(2), n.integer("group", 1),
                           w->strides, w->dilations, w->begin, w->end, dims));
}

bool importPool(NodeContext &n) {
  Val x = n.in(0);
  if (n.wants(1)) {
    return n.fail("the output Indices is not supported");
  }
  std::optional<Emitter::Window> w = readWindow(
      n, x, n.integers("kernel_shape").value_or(std::vector<int64_t>()));
  if (!w) {
    return false;
  }
  for (size_t i = 0; i < w->kernel.size(); ++i) {
    int64_t reach = (w->kernel[i] - 1) * w->dilations[i] + 1;
    if (std::min(w->begin[i], w->end[i]) < 0 ||
        std::max(w->begin[i], w->end[i]) >= reach) {
      return n.fail("pads must be smaller than the window");
    }
  }
  bool isMax = n.node.op_type() == "MaxPool";
  bool counted = !isMax && n.integer("count_include_pad", 0) != 0;
  Dims dims = resultDims(x, *w, {x->dims[0], x->dims[1]});
  return n.out(n.emit.pool(isMax ? "max" : "average", x, *w, counted, dims));
}

bool importGlobalPool(NodeContext &n) {
  Val x = n.in(0);
  if (x->rank() < 3) {
    return n.fail("input " + toString(x->dims));
  }
  std::vector<int64_t> axes;
  for (int64_t i = 2; i < x->rank(); ++i) {
    axes.push_back(i);
  }
  bool isMax = n.node.op_type() == "GlobalMaxPool";
  return n.out(n.emit.reduce(isMax ? "max" : "mean", x, axes, true));
}

bool importLrn(NodeContext &n) {
  Val x = n.in(0);
  int64_t size = n.integer("size", 0);
  if (size < 1 || x->rank() < 2) {
    return n.fail("size " + std::to_string(size) + " for an input " +
                  toString(x->dims));
  }
  return n.out(n.emit.lrn(x, size, n.number("alpha", 1e-4),
                          n.number("beta", 0.75), n.number("bias", 1.0)));
}

const Handler table[] = {
    {"", "Conv", 1, importConv, 2},
    {"", "MaxPool", 1, importPool},
    {"", "AveragePool", 1, importPool},
    {"", "GlobalAveragePool", 1, importGlobalPool},
    {"", "GlobalMaxPool", 1, importGlobalPool},
    {"", "LRN", 1, importLrn},
};

} // namespace

std::span<const Handler> windowHandlers() { return table; }

} // namespace llmc::import
