//===- Work.cpp - What a launch computes and moves -------------*- C++ -*-===//

#include "passes/memory/Work.h"

#include <algorithm>
#include <cmath>

namespace llmc::memory {

using plan::Access;
using plan::BufferKind;
using plan::KernelId;
using plan::PointwiseOp;

namespace {

/// The host kernels' cutting of products (runtime/kernels/host/Gemm.h): a task
/// is one panel of outputs for so many rows.
constexpr double kPanel = 64;
constexpr double kTileRows = 96;
/// Keys that a row of attention weighs at a time: masked ones cost the same.
constexpr int64_t kKeys = 64;

/// Simple operations that an expensive one counts as.
constexpr double kTranscendental = 8;
constexpr double kDivision = 3;

double cost(PointwiseOp op) {
  switch (op) {
  case PointwiseOp::Const:
    return 0;
  case PointwiseOp::Exp:
  case PointwiseOp::Log:
  case PointwiseOp::Sin:
  case PointwiseOp::Cos:
  case PointwiseOp::Tan:
  case PointwiseOp::Tanh:
  case PointwiseOp::Erf:
  case PointwiseOp::Sigmoid:
  case PointwiseOp::Silu:
  case PointwiseOp::GeluErf:
  case PointwiseOp::GeluTanh:
  case PointwiseOp::QuickGelu:
  case PointwiseOp::Softplus:
  case PointwiseOp::Pow:
    return kTranscendental;
  case PointwiseOp::Sqrt:
  case PointwiseOp::Rsqrt:
  case PointwiseOp::Reciprocal:
  case PointwiseOp::Div:
  case PointwiseOp::Mod:
  case PointwiseOp::FMod:
    return kDivision;
  default:
    return 1;
  }
}

class Worker {
public:
  explicit Worker(const LaunchNumbers &launch) : launch(launch) {}

  Work run() {
    switch (launch.kernel) {
    case KernelId::Pointwise:
      pointwise();
      break;
    case KernelId::Linear:
      product(operand(0), operand(1).dtype, dim(1, 0), dim(1, 1));
      break;
    case KernelId::LinearAdd:
      product(operand(0), operand(1).dtype, dim(1, 0), dim(1, 1));
      // Of the residual as much as of the result, not all that a piece is
      // given.
      move(2, work.rows * dim(1, 0) * bits(2) / 8 - bytes(2));
      break;
    case KernelId::LinearGated:
    case KernelId::LinearSplit:
      product(operand(0), operand(1).dtype, dim(1, 0), dim(1, 1));
      break;
    case KernelId::LinearQuant:
      product(operand(0), integer(2) == 4 ? plan::DType::I4 : plan::DType::I8,
              static_cast<double>(integer(0)), static_cast<double>(integer(1)));
      break;
    case KernelId::MatMul:
    case KernelId::MatMulInteger:
      matMul();
      break;
    case KernelId::Attention:
      attention();
      break;
    case KernelId::Conv:
      convolution();
      break;
    case KernelId::KvAppend: // reads the new tokens, writes as many
      move(0, bytes(0));
      move(1, bytes(0));
      break;
    case KernelId::KvRead:
      move(0, bytes(1));
      move(1, bytes(1));
      break;
    case KernelId::StridedCopy:
      stridedCopy();
      break;
    case KernelId::Gather:
    case KernelId::GatherElements:
    case KernelId::GatherND:
      // Only what is picked is read, not the whole table.
      elementwise(elements(2), 1);
      move(0, elements(2) * bits(0) / 8);
      move(1, bytes(1));
      move(2, bytes(2));
      break;
    case KernelId::GatherQuant: {
      size_t last = launch.operands.size() - 1;
      elementwise(elements(last), 2);
      move(0, elements(last) * static_cast<double>(integer(2)) / 8);
      move(last, bytes(last));
      break;
    }
    case KernelId::ScatterND:
    case KernelId::ScatterElements:
      // In place only the updates are written.
      if (operand(0).buffer != operand(3).buffer) {
        move(0, bytes(0));
        move(3, bytes(3));
      }
      elementwise(elements(2), 1);
      move(1, bytes(1));
      move(2, 2 * bytes(2));
      break;
    case KernelId::Reduce:
    case KernelId::ArgReduce:
      elementwise(elements(0), 1);
      moveAll();
      break;
    case KernelId::TopK:
      elementwise(elements(0), 4);
      moveAll();
      break;
    case KernelId::Softmax:
      elementwise(elements(0), kTranscendental + 2);
      moveAll();
      break;
    case KernelId::LayerNorm:
      elementwise(elements(0), 5);
      moveAll();
      break;
    case KernelId::RmsNorm:
      elementwise(elements(0), 3);
      moveAll();
      break;
    case KernelId::Rope:
      elementwise(elements(0), 8);
      moveAll();
      break;
    case KernelId::DynamicQuantizeLinear:
      elementwise(elements(0), 5);
      moveAll();
      break;
    case KernelId::QuantizeLinear:
    case KernelId::DequantizeLinear:
      elementwise(elements(0), kDivision);
      moveAll();
      break;
    default:
      // One operation per element of the result: casts, fills, sums.
      if (!launch.operands.empty()) {
        elementwise(elements(launch.operands.size() - 1), 1);
      }
      moveAll();
      break;
    }
    return work;
  }

private:
  const OperandNumbers &operand(size_t i) const {
    static const OperandNumbers none;
    return i < launch.operands.size() ? launch.operands[i] : none;
  }
  int64_t integer(size_t i) const {
    return i < launch.ints.size() ? launch.ints[i] : 0;
  }
  double dim(size_t i, size_t axis) const {
    const std::vector<int64_t> &dims = operand(i).dims;
    return axis < dims.size() ? static_cast<double>(dims[axis]) : 1;
  }
  double bits(size_t i) const {
    return static_cast<double>(plan::bitWidth(operand(i).dtype));
  }
  double elements(size_t i) const {
    double count = 1;
    for (int64_t extent : operand(i).dims) {
      count *= static_cast<double>(std::max<int64_t>(extent, 0));
    }
    return count;
  }
  double bytes(size_t i) const {
    double count = elements(i);
    if (operand(i).packing == plan::Packing::Panel64) {
      count = std::ceil(dim(i, 0) / kPanel) * kPanel * dim(i, 1);
    }
    return count * bits(i) / 8;
  }

  void move(size_t i, double count) {
    BufferKind kind = operand(i).kind;
    bool isWarm = kind == BufferKind::Activation || kind == BufferKind::Input ||
                  kind == BufferKind::Output || kind == BufferKind::Workspace;
    (isWarm ? work.warmBytes : work.coldBytes) += count;
  }
  void moveAll() {
    for (size_t i = 0; i < launch.operands.size(); ++i) {
      move(i, bytes(i) * (operand(i).access == Access::ReadWrite ? 2 : 1));
    }
  }
  void elementwise(double count, double perElement) {
    work.kind = WorkKind::Elementwise;
    work.operations = count * perElement;
  }

  void pointwise() {
    size_t inputs = static_cast<size_t>(std::max<int64_t>(integer(0), 0));
    double perElement = static_cast<double>(inputs);
    for (size_t at = 2; at + 5 <= launch.ints.size(); at += 5) {
      perElement += cost(static_cast<PointwiseOp>(launch.ints[at]));
    }
    elementwise(elements(inputs), perElement);
    moveAll();
  }

  /// x [.., depth] by a weight with `outputs` rows, in whole panels.
  void product(const OperandNumbers &x, plan::DType element, double outputs,
               double depth) {
    double rows = 1;
    for (size_t i = 0; i + 1 < x.dims.size(); ++i) {
      rows *= static_cast<double>(x.dims[i]);
    }
    double panels = std::ceil(outputs / kPanel);
    work.kind = WorkKind::Product;
    work.element = element;
    work.operations = 2 * rows * panels * kPanel * depth;
    work.rows = rows;
    // In largest tasks; the last one of the rows may be smaller.
    work.tasks = panels * std::max(1.0, rows / kTileRows);
    // A piece of a larger product writes its own columns of the result only.
    size_t last = launch.operands.size() - 1;
    for (size_t i = 0; i < last && operand(i).access == Access::Read; ++i) {
      move(i, bytes(i));
    }
    // If there are several results, they are of one type.
    move(last, rows * outputs * bits(last) / 8);
  }

  void matMul() {
    const OperandNumbers &a = operand(0);
    size_t last = launch.operands.size() - 1;
    size_t rank = a.dims.size();
    bool transposed = launch.kernel == KernelId::MatMul && integer(0) != 0;
    double depth =
        rank == 0 ? 1 : dim(0, rank - (transposed && rank > 1 ? 2 : 1));
    size_t outRank = operand(last).dims.size();
    work.kind = WorkKind::Product;
    work.element = a.dtype == plan::DType::I8 || a.dtype == plan::DType::U8
                       ? plan::DType::I8
                       : a.dtype;
    work.operations = 2 * elements(last) * depth;
    work.rows = outRank > 1 ? dim(last, outRank - 2) : 1;
    moveAll();
  }

  void attention() {
    bool rowsFirst = integer(0) != 0;
    bool isCausal = integer(2) != 0;
    int64_t window = integer(3);
    double batch = dim(0, 0);
    double heads = dim(0, rowsFirst ? 2 : 1);
    auto queries = static_cast<int64_t>(dim(0, rowsFirst ? 1 : 2));
    // Slices of whole states have one more dimension in front.
    size_t lead = operand(1).dims.size() > 4 ? 1 : 0;
    double kvHeads = std::max(dim(1, lead + 1), 1.0);
    double depth = dim(0, 3) + dim(2, lead + 3);
    int64_t tokens = launch.params.empty() ? 0 : launch.params[0];
    int64_t sinks = launch.ints.size() == 12 ? integer(10) : 0;
    // A part of an attention sees the keys of its window only.
    bool isPart = launch.ints.size() == 13;
    int64_t low = isPart ? integer(10) : 0;
    int64_t high =
        isPart ? low + static_cast<int64_t>(dim(1, lead + 2)) : INT64_MAX;
    // Keys that each query row sees.
    double seen = 0;
    double weighed = 0;
    int64_t first = tokens;
    for (int64_t i = 0; i < queries; ++i) {
      int64_t position = i + tokens - queries;
      int64_t end = isCausal ? std::min(tokens, position + 1) : tokens;
      int64_t begin =
          window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
      if (int64_t beside = std::min(sinks, begin)) {
        seen += static_cast<double>(beside);
        weighed += static_cast<double>((beside + kKeys - 1) / kKeys * kKeys);
      }
      begin = std::max(begin, low);
      end = std::min(end, high);
      seen += static_cast<double>(std::max<int64_t>(end - begin, 0));
      if (end > begin) {
        weighed += static_cast<double>(
            ((end + kKeys - 1) / kKeys - begin / kKeys) * kKeys);
      }
      first = std::min(first, begin);
    }
    tokens = std::max(first, std::min(tokens, high));
    work.kind = WorkKind::Attention;
    work.element = operand(1).dtype;
    work.scores = batch * heads * weighed;
    work.operations = batch * heads * seen * 2 * depth;
    work.rows = heads / kvHeads * static_cast<double>(queries);
    move(1, batch * kvHeads * static_cast<double>(tokens - first) * depth *
                bits(1) / 8);
    if (sinks > 0) {
      move(1, batch * kvHeads * static_cast<double>(std::min(sinks, first)) *
                  depth * bits(1) / 8);
    }
    for (size_t i = 0; i < launch.operands.size(); ++i) {
      if (i != 1 && i != 2) {
        move(i, bytes(i));
      }
    }
  }

  void convolution() {
    size_t last = launch.operands.size() - 1;
    double perOutput = 1;
    for (size_t i = 1; i < operand(1).dims.size(); ++i) {
      perOutput *= dim(1, i);
    }
    work.kind = WorkKind::Convolution;
    work.operations = 2 * elements(last) * perOutput;
    work.rows = elements(last) / std::max(dim(1, 0), 1.0);
    moveAll();
  }

  void stridedCopy() {
    double count = 1;
    for (int64_t i = 0; i < integer(0); ++i) {
      size_t at = 2 + static_cast<size_t>(i);
      count *=
          at < launch.params.size()
              ? static_cast<double>(std::max<int64_t>(launch.params[at], 0))
              : 1;
    }
    // Strides other than one cost more than their bytes.
    elementwise(count, 2);
    double moved = count * bits(1) / 8;
    move(0, std::min(moved, bytes(0)));
    move(1, moved);
  }

  const LaunchNumbers &launch;
  Work work;
};

} // namespace

Work workOf(const LaunchNumbers &launch) { return Worker(launch).run(); }

} // namespace llmc::memory
