//===- Copy.cpp - Strided copies, fills and ranges ------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

struct Walk {
  int rank = 0;
  int64_t extents[kMaxRank];
  int64_t strideIn[kMaxRank];
  int64_t strideOut[kMaxRank];
};

/// Drops dimensions of one element and merges those that both sides walk
/// through evenly.
Walk simplify(int64_t rank, const int64_t *extents, const int64_t *strideIn,
              const int64_t *strideOut) {
  Walk walk;
  for (int64_t i = 0; i < rank; ++i) {
    if (extents[i] == 1) {
      continue;
    }
    int last = walk.rank - 1;
    if (last >= 0 && walk.strideIn[last] == strideIn[i] * extents[i] &&
        walk.strideOut[last] == strideOut[i] * extents[i]) {
      walk.extents[last] *= extents[i];
      walk.strideIn[last] = strideIn[i];
      walk.strideOut[last] = strideOut[i];
      continue;
    }
    walk.extents[walk.rank] = extents[i];
    walk.strideIn[walk.rank] = strideIn[i];
    walk.strideOut[walk.rank] = strideOut[i];
    ++walk.rank;
  }
  if (walk.rank == 0) {
    walk.rank = 1;
    walk.extents[0] = 1;
    walk.strideIn[0] = walk.strideOut[0] = 1;
  }
  return walk;
}

/// The innermost dimension.
template <class T>
void copyRun(const T *in, int64_t strideIn, T *out, int64_t strideOut,
             int64_t n) {
  if (strideIn == 1 && strideOut == 1) {
    std::memmove(out, in, n * sizeof(T));
    return;
  }
  if (strideIn == 0 && strideOut == 1) {
    T value = *in;
    for (int64_t i = 0; i < n; ++i) {
      out[i] = value;
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    out[i * strideOut] = in[i * strideIn];
  }
}

/// The two innermost dimensions, in squares so that a transpose keeps its
/// cache lines.
template <class T>
void copyPlane(const T *in, const int64_t *strideIn, T *out,
               const int64_t *strideOut, const int64_t *extents) {
  constexpr int64_t kSquare = 32;
  if (strideIn[1] == 1 || strideIn[1] == 0 || strideOut[1] != 1) {
    for (int64_t i = 0; i < extents[0]; ++i) {
      copyRun(in + i * strideIn[0], strideIn[1], out + i * strideOut[0],
              strideOut[1], extents[1]);
    }
    return;
  }
  for (int64_t i = 0; i < extents[0]; i += kSquare) {
    int64_t iEnd = minimum(i + kSquare, extents[0]);
    for (int64_t j = 0; j < extents[1]; j += kSquare) {
      int64_t n = minimum(kSquare, extents[1] - j);
      for (int64_t row = i; row < iEnd; ++row) {
        copyRun(in + row * strideIn[0] + j * strideIn[1], strideIn[1],
                out + row * strideOut[0] + j * strideOut[1], strideOut[1], n);
      }
    }
  }
}

template <class T>
void copyAll(const Launch &launch, const Walk &walk, const T *in, T *out) {
  int planes = walk.rank - 2; // dimensions outside of a plane
  int64_t tasks = 1;
  for (int i = 0; i < planes; ++i) {
    tasks *= walk.extents[i];
  }
  const int64_t *extents = walk.extents + (planes > 0 ? planes : 0);
  int64_t plane = walk.rank == 1 ? extents[0] : extents[0] * extents[1];
  // Threads share the rows of a plane if there are no planes to share.
  if (planes <= 0 && plane > (1 << 16)) {
    bool single = walk.rank == 1;
    int64_t chunk = single ? int64_t{1} << 14
                           : maximum(1, ceilDiv(int64_t{1} << 14, extents[1]));
    launch.pool->parallelFor(
        ceilDiv(extents[0], chunk), [&](int64_t task, int) {
          int64_t first = task * chunk;
          int64_t part[2] = {minimum(chunk, extents[0] - first),
                             single ? 1 : extents[1]};
          const T *from = in + first * walk.strideIn[0];
          T *to = out + first * walk.strideOut[0];
          if (single) {
            copyRun(from, walk.strideIn[0], to, walk.strideOut[0], part[0]);
          } else {
            copyPlane(from, walk.strideIn, to, walk.strideOut, part);
          }
        });
    return;
  }
  launch.pool->parallelFor(
      tasks,
      [&](int64_t task, int) {
        const T *from = in;
        T *to = out;
        for (int i = planes - 1; i >= 0; --i) {
          int64_t position = task % walk.extents[i];
          task /= walk.extents[i];
          from += position * walk.strideIn[i];
          to += position * walk.strideOut[i];
        }
        if (walk.rank == 1) {
          copyRun(from, walk.strideIn[0], to, walk.strideOut[0], extents[0]);
        } else {
          copyPlane(from, walk.strideIn + planes, to, walk.strideOut + planes,
                    extents);
        }
      },
      plane / 4);
}

} // namespace

Status stridedCopy(const Launch &launch) {
  const Tensor &in = launch.operands[0];
  const Tensor &out = launch.operands[1];
  int64_t rank = launch.ints[0];
  if (rank < 0 || rank > kMaxRank ||
      launch.params.size() != 2 + 3 * static_cast<size_t>(rank)) {
    return kBadShape;
  }
  const int64_t *extents = launch.params.data() + 2;
  for (int64_t i = 0; i < rank; ++i) {
    if (extents[i] <= 0) {
      return nullptr;
    }
  }
  if (in.dtype != out.dtype) {
    return kUnsupported;
  }
  Walk walk = simplify(rank, extents, extents + rank, extents + 2 * rank);
  int64_t offsetIn = launch.params[0];
  int64_t offsetOut = launch.params[1];
  auto run = [&](auto tag) {
    using T = decltype(tag);
    copyAll(launch, walk, data<const T>(in) + offsetIn,
            data<T>(out) + offsetOut);
    return nullptr;
  };
  switch (plan::bitWidth(in.dtype)) {
  case 8:
    return run(uint8_t{});
  case 16:
    return run(uint16_t{});
  case 32:
    return run(uint32_t{});
  case 64:
    return run(uint64_t{});
  default: // two elements to a byte: even, contiguous copies only
    if (walk.rank != 1 || walk.strideIn[0] != 1 || walk.strideOut[0] != 1 ||
        (offsetIn | offsetOut) % 2 != 0) {
      return kUnsupported;
    }
    std::memmove(data<uint8_t>(out) + offsetOut / 2,
                 data<const uint8_t>(in) + offsetIn / 2,
                 (walk.extents[0] + 1) / 2);
    return nullptr;
  }
}

Status fill(const Launch &launch) {
  const Tensor &out = launch.operands[0];
  int64_t n = count(out);
  constexpr int64_t kRun = 1 << 14;
  if (!isFloat(out.dtype) && launch.ints.empty()) {
    return "fill has no value";
  }
  bool known = dispatchNumeric(out.dtype, [&](auto tag) {
    using T = decltype(tag);
    T value;
    if constexpr (std::is_integral_v<T>) {
      value = out.dtype == DType::Bool ? static_cast<T>(launch.ints[0] != 0)
                                       : static_cast<T>(launch.ints[0]);
    } else {
      double given = !launch.floats.empty() ? launch.floats[0]
                     : launch.ints.empty()
                         ? 0.0
                         : static_cast<double>(launch.ints[0]);
      value = T(static_cast<Compute<T>>(given));
    }
    launch.pool->parallelFor(
        ceilDiv(n, kRun),
        [&](int64_t task, int) {
          T *to = data<T>(out);
          int64_t end = minimum(n, (task + 1) * kRun);
          for (int64_t i = task * kRun; i < end; ++i) {
            to[i] = value;
          }
        },
        kRun / 8);
  });
  return known ? nullptr : kUnsupported;
}

Status iota(const Launch &launch) {
  const Tensor &out = launch.operands[0];
  int64_t start = launch.params[0];
  int64_t step = launch.params[1];
  int axis = normalAxis(launch.ints[0], out.rank);
  if (axis < 0) {
    return kBadShape;
  }
  int64_t length = out.dims[axis];
  int64_t inner = count(out, axis + 1, out.rank);
  int64_t n = count(out);
  auto run = [&](auto tag) {
    using T = decltype(tag);
    for (int64_t i = 0; i < n; ++i) {
      data<T>(out)[i] = static_cast<T>(start + step * (i / inner % length));
    }
    return nullptr;
  };
  switch (out.dtype) {
  case DType::I64:
    return run(int64_t{});
  case DType::I32:
    return run(int32_t{});
  case DType::F32:
    return run(float{});
  default:
    return kUnsupported;
  }
}

} // namespace llmc::kernels::LLMC_ISA_NS
