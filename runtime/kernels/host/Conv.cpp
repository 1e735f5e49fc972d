//===- Conv.cpp - Convolution ---------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A product of the weights [M, K] with the windows of the image, K = channels x
// taps: the values that 64 results see are brought side by side in the thread's
// scratch, some rows of K at a time, and multiplied by gemmTile(). A group of
// few outputs (depthwise) and f64 go tap by tap over rows of results instead.
// Each sum is one chain over ascending K, so that no cut changes a bit.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Gemm.h"
#include "runtime/kernels/host/Kernels.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

constexpr int kMaxSpatial = kMaxRank - 2;
/// Groups of fewer outputs do not fill a register block.
constexpr int64_t kLeastRows = 4;
/// Results of one row that are accumulated together, on the stack.
constexpr int64_t kRowPiece = 256;
/// Outputs of one task: all of a group in most networks, so that the windows
/// are brought together once.
constexpr int64_t kConvRows = 720;

struct ConvScratch {
  alignas(64) float tile[kConvRows * kPanel];
  alignas(64) float windows[kDepthBlock * kPanel];
  alignas(64) float rows[kRowBlock * kDepthBlock]; // weights brought to f32
};
static_assert(sizeof(ConvScratch) <= ThreadPool::kScratchBytes);

struct ConvArgs {
  const Tensor *x, *w, *bias, *out;
  int spatial;
  int64_t groups, groupIn, groupOut;   // channels per group
  int64_t inSize, outSize, kernelSize; // elements of one channel
  int64_t in[kMaxSpatial], result[kMaxSpatial], kernel[kMaxSpatial];
  int64_t strides[kMaxSpatial], dilations[kMaxSpatial], pads[kMaxSpatial];
};

/// Results o of [first, last) with 0 <= o * stride + shift < size.
LLMC_INLINE void clip(int64_t shift, int64_t stride, int64_t size,
                      int64_t &first, int64_t &last) {
  if (shift < 0) {
    first = maximum(first, ceilDiv(-shift, stride));
  }
  last = minimum(last, size > shift ? ceilDiv(size - shift, stride) : 0);
  last = maximum(first, last);
}

//===-- As a product ------------------------------------------------------===//

/// Neighbouring results in a row, and where their windows start.
struct Segment {
  int64_t column, count; // in the panel
  int64_t start[kMaxSpatial];
};

/// Cuts results [first, first + columns) of a channel where a row ends.
LLMC_INLINE int cutPanel(const ConvArgs &a, int64_t first, int64_t columns,
                         Segment *segments) {
  int last = a.spatial - 1;
  int number = 0;
  for (int64_t column = 0; column < columns; ++number) {
    Segment &segment = segments[number];
    int64_t rest = first + column;
    int64_t inRow = a.result[last] - rest % a.result[last];
    segment.column = column;
    segment.count = minimum(inRow, columns - column);
    for (int d = last; d >= 0; --d) {
      segment.start[d] = rest % a.result[d] * a.strides[d] - a.pads[d];
      rest /= a.result[d];
    }
    column += segment.count;
  }
  return number;
}

/// windows[i][column] = what the result sees at k + i; zero in the padding.
template <class T>
void bringWindows(const ConvArgs &a, const T *x, int64_t k, int64_t depth,
                  const Segment *segments, int number, float *windows) {
  int last = a.spatial - 1;
  int64_t stride = a.strides[last], width = a.in[last];
  const Segment &end = segments[number - 1];
  for (int64_t i = 0; i < depth; ++i) {
    float *row = windows + i * kPanel;
    int64_t tap = (k + i) % a.kernelSize;
    const T *channel = x + (k + i) / a.kernelSize * a.inSize;
    int64_t reach[kMaxSpatial];
    for (int d = last; d >= 0; --d) {
      reach[d] = tap % a.kernel[d] * a.dilations[d];
      tap /= a.kernel[d];
    }
    for (int s = 0; s < number; ++s) {
      const Segment &segment = segments[s];
      float *to = row + segment.column;
      int64_t line = 0;
      bool isInside = true;
      for (int d = 0; d < last; ++d) {
        int64_t position = segment.start[d] + reach[d];
        isInside &= position >= 0 && position < a.in[d];
        line = line * a.in[d] + position;
      }
      int64_t shift = segment.start[last] + reach[last];
      int64_t low = 0, high = isInside ? segment.count : 0;
      clip(shift, stride, width, low, high);
      low = minimum(low, segment.count);
      high = minimum(high, segment.count);
      for (int64_t j = 0; j < low; ++j) {
        to[j] = 0;
      }
      const T *from = channel + line * width + shift;
      if (stride == 1) {
        for (int64_t j = low; j < high; ++j) {
          to[j] = float(from[j]);
        }
      } else {
        for (int64_t j = low; j < high; ++j) {
          to[j] = float(from[j * stride]);
        }
      }
      for (int64_t j = maximum(low, high); j < segment.count; ++j) {
        to[j] = 0;
      }
    }
    for (int64_t j = end.column + end.count; j < kPanel; ++j) {
      row[j] = 0;
    }
  }
}

/// Outputs [row, row + rows) of a group, results [first, first + columns).
template <class T>
void productTask(const ConvArgs &a, int64_t image, int64_t group, int64_t row,
                 int64_t rows, int64_t first, ConvScratch &scratch) {
  int64_t columns = minimum(kPanel, a.outSize - first);
  int64_t depthAll = a.groupIn * a.kernelSize;
  Segment segments[kPanel];
  int number = cutPanel(a, first, columns, segments);
  const T *x =
      data<const T>(*a.x) + (image * a.groups + group) * a.groupIn * a.inSize;
  int64_t output = group * a.groupOut + row;
  std::memset(scratch.tile, 0, rows * kPanel * sizeof(float));
  for (int64_t k = 0; k < depthAll; k += kDepthBlock) {
    int64_t depth = minimum(kDepthBlock, depthAll - k);
    bringWindows(a, x, k, depth, segments, number, scratch.windows);
    if (a.w->dtype == DType::F32) {
      gemmTile(rows, data<const float>(*a.w) + output * depthAll + k, depthAll,
               scratch.windows, depth, scratch.tile);
      continue;
    }
    for (int64_t r = 0; r < rows; r += kRowBlock) {
      int64_t some = minimum(kRowBlock, rows - r);
      for (int64_t i = 0; i < some; ++i) {
        toFloats(a.w->dtype, a.w->data, (output + r + i) * depthAll + k,
                 scratch.rows + i * depth, depth);
      }
      gemmTile(some, scratch.rows, depth, scratch.windows, depth,
               scratch.tile + r * kPanel);
    }
  }
  int64_t outputs = a.groups * a.groupOut;
  for (int64_t r = 0; r < rows; ++r) {
    float *sums = scratch.tile + r * kPanel;
    if (a.bias) {
      float bias = loadFloat(a.bias->dtype, a.bias->data, output + r);
      for (int64_t i = 0; i < columns; ++i) {
        sums[i] += bias;
      }
    }
    fromFloats(a.out->dtype, sums, a.out->data,
               (image * outputs + output + r) * a.outSize + first, columns);
  }
}

template <class T> void product(const Launch &launch, const ConvArgs &a) {
  int64_t images = a.x->dims[0];
  int64_t panels = ceilDiv(a.outSize, kPanel);
  // Smaller tasks where there are few, for the sake of all threads.
  int64_t wanted = 4 * launch.pool->numThreads();
  int64_t chunks = ceilDiv(a.groupOut, kConvRows);
  while (images * a.groups * panels * chunks < wanted &&
         a.groupOut / (2 * chunks) >= 4 * kRowBlock) {
    chunks *= 2;
  }
  int64_t rows =
      ceilDiv(ceilDiv(a.groupOut, chunks), kRowBlock) * int64_t{kRowBlock};
  chunks = ceilDiv(a.groupOut, rows);
  launch.pool->parallelFor(
      images * a.groups * panels * chunks,
      [&](int64_t task, int thread) {
        int64_t row = task % chunks * rows;
        int64_t rest = task / chunks;
        int64_t group = rest / panels;
        productTask<T>(
            a, group / a.groups, group % a.groups, row,
            minimum(rows, a.groupOut - row), rest % panels * kPanel,
            *static_cast<ConvScratch *>(launch.pool->scratch(thread)));
      },
      (rows + 2) * a.groupIn * a.kernelSize * kPanel / 16);
}

//===-- Tap by tap --------------------------------------------------------===//

/// One row of results of output `m`.
template <class T, class W>
void directRow(const ConvArgs &a, int64_t image, int64_t m, int64_t row) {
  using C = Compute<T>;
  int last = a.spatial - 1;
  int64_t group = m / a.groupOut;
  const T *x =
      data<const T>(*a.x) + (image * a.groups + group) * a.groupIn * a.inSize;
  const W *w = data<const W>(*a.w) + m * a.groupIn * a.kernelSize;
  int64_t width = a.result[last], stride = a.strides[last];
  int64_t outerTaps = a.kernelSize / a.kernel[last];
  int64_t start[kMaxSpatial];
  int64_t rest = row;
  for (int d = last - 1; d >= 0; --d) {
    start[d] = rest % a.result[d] * a.strides[d] - a.pads[d];
    rest /= a.result[d];
  }
  C bias = 0;
  if constexpr (std::is_same_v<C, double>) {
    bias = a.bias ? data<const double>(*a.bias)[m] : 0.0;
  } else if (a.bias) {
    bias = loadFloat(a.bias->dtype, a.bias->data, m);
  }
  int64_t to = (image * a.groups * a.groupOut + m) * a.outSize + row * width;
  for (int64_t from = 0; from < width; from += kRowPiece) {
    int64_t count = minimum(kRowPiece, width - from);
    C acc[kRowPiece];
    for (int64_t i = 0; i < count; ++i) {
      acc[i] = 0;
    }
    for (int64_t c = 0; c < a.groupIn; ++c) {
      for (int64_t tap = 0; tap < outerTaps; ++tap) {
        int64_t left = tap, line = 0, lines = 1;
        bool isInside = true;
        for (int d = last - 1; d >= 0; --d) {
          int64_t position = start[d] + left % a.kernel[d] * a.dilations[d];
          left /= a.kernel[d];
          isInside &= position >= 0 && position < a.in[d];
          line += position * lines;
          lines *= a.in[d];
        }
        if (!isInside) {
          continue;
        }
        const T *values = x + c * a.inSize + line * a.in[last];
        const W *weights = w + c * a.kernelSize + tap * a.kernel[last];
        for (int64_t j = 0; j < a.kernel[last]; ++j) {
          C weight = C(weights[j]);
          int64_t shift = j * a.dilations[last] - a.pads[last];
          int64_t low = from, high = from + count;
          clip(shift, stride, a.in[last], low, high);
          if (stride == 1) {
            for (int64_t o = low; o < high; ++o) {
              acc[o - from] += weight * C(values[o + shift]);
            }
          } else {
            for (int64_t o = low; o < high; ++o) {
              acc[o - from] += weight * C(values[o * stride + shift]);
            }
          }
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<C, double>) {
        data<double>(*a.out)[to + from + i] = acc[i] + bias;
      } else {
        storeFloat(a.out->dtype, a.out->data, to + from + i, acc[i] + bias);
      }
    }
  }
}

template <class T, class W>
void direct(const Launch &launch, const ConvArgs &a) {
  int64_t outputs = a.groups * a.groupOut;
  int64_t rows = a.outSize / a.result[a.spatial - 1];
  int64_t rowCost = a.result[a.spatial - 1] * a.groupIn * a.kernelSize / 4;
  int64_t together = minimum(rows, 1 + 16384 / maximum(rowCost, 1));
  int64_t pieces = ceilDiv(rows, together);
  launch.pool->parallelFor(
      a.x->dims[0] * outputs * pieces,
      [&](int64_t task, int) {
        int64_t first = task % pieces * together;
        int64_t channel = task / pieces;
        for (int64_t row = first; row < minimum(first + together, rows);
             ++row) {
          directRow<T, W>(a, channel / outputs, channel % outputs, row);
        }
      },
      together * rowCost);
}

} // namespace

Status conv(const Launch &launch) {
  ConvArgs a;
  bool hasBias = launch.ints[2] != 0;
  a.x = &launch.operands[0];
  a.w = &launch.operands[1];
  a.bias = hasBias ? &launch.operands[2] : nullptr;
  a.out = &launch.operands[hasBias ? 3 : 2];
  int64_t spatial = launch.ints[0];
  a.groups = launch.ints[1];
  if (spatial < 1 || spatial > kMaxSpatial || a.groups < 1 ||
      launch.ints.size() < 3 + 4 * static_cast<size_t>(spatial) ||
      a.x->rank != spatial + 2 || a.w->rank != spatial + 2 ||
      a.out->rank != spatial + 2) {
    return kBadShape;
  }
  a.spatial = static_cast<int>(spatial);
  a.groupIn = a.w->dims[1];
  int64_t outputs = a.w->dims[0];
  if (a.groupIn * a.groups != a.x->dims[1] || outputs % a.groups != 0 ||
      a.out->dims[1] != outputs || a.out->dims[0] != a.x->dims[0] ||
      (hasBias && count(*a.bias) != outputs)) {
    return kBadShape;
  }
  const int64_t *numbers = launch.ints.data() + 3;
  bool isPlain = true; // windows of one element, side by side
  for (int d = 0; d < a.spatial; ++d) {
    a.in[d] = a.x->dims[2 + d];
    a.result[d] = a.out->dims[2 + d];
    a.kernel[d] = a.w->dims[2 + d];
    a.strides[d] = numbers[d];
    a.dilations[d] = numbers[spatial + d];
    a.pads[d] = numbers[2 * spatial + d];
    int64_t behind = numbers[3 * spatial + d];
    int64_t room =
        a.in[d] + a.pads[d] + behind - a.dilations[d] * (a.kernel[d] - 1) - 1;
    if (a.strides[d] < 1 || a.dilations[d] < 1 ||
        a.result[d] != (room < 0 ? 0 : room / a.strides[d] + 1)) {
      return kBadShape;
    }
    isPlain &=
        a.kernel[d] == 1 && a.strides[d] == 1 && a.pads[d] == 0 && behind == 0;
  }
  // Float types may be mixed, doubles only among themselves.
  for (const Tensor *tensor :
       {a.x, a.w, a.bias, static_cast<const Tensor *>(a.out)}) {
    if (tensor && (!isFloat(tensor->dtype) || (tensor->dtype == DType::F64) !=
                                                  (a.x->dtype == DType::F64))) {
      return kUnsupported;
    }
  }
  if (count(*a.out) == 0) {
    return nullptr;
  }
  a.groupOut = outputs / a.groups;
  a.inSize = count(*a.x, 2, a.x->rank);
  a.outSize = count(*a.out, 2, a.out->rank);
  a.kernelSize = count(*a.w, 2, a.w->rank);
  if (isPlain) {
    a.spatial = 1;
    a.in[0] = a.result[0] = a.inSize;
  }
  if (a.x->dtype == DType::F64) {
    direct<double, double>(launch, a);
    return nullptr;
  }
  dispatchFloat(a.x->dtype, [&](auto tag) {
    using T = decltype(tag);
    if (a.groupOut >= kLeastRows) {
      product<T>(launch, a);
      return;
    }
    dispatchFloat(a.w->dtype, [&](auto weightTag) {
      direct<T, decltype(weightTag)>(launch, a);
    });
  });
  return nullptr;
}

} // namespace llmc::kernels::LLMC_ISA_NS
