//===- Cache.cpp - Writing and reading state in block layout --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A state [outer.., capacity, inner..] lies as blocks of tokens, each one
// contiguous [outer.., blockTokens, inner..]. Of a bounded state the blocks
// behind the first few share a ring.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"
#include "runtime/kernels/host/Support.h"

namespace llmc::kernels::LLMC_ISA_NS {

namespace {

struct CacheArgs {
  const Tensor *state, *dense;
  int64_t outer, inner; // products of the dimensions before and after tokens
  int64_t capacity, denseTokens, block;
  int64_t sinkBlocks = 0, ringBlocks = 0; // ringBlocks 0: all are there
};

Status prepare(const Tensor &state, const Tensor &dense, int64_t block,
               int64_t numOuter, CacheArgs &a) {
  if (numOuter < 0 || numOuter >= state.rank || dense.rank != state.rank ||
      block <= 0) {
    return kBadShape;
  }
  for (int i = 0; i < state.rank; ++i) {
    if (i != numOuter && state.dims[i] != dense.dims[i]) {
      return kBadShape;
    }
  }
  a.state = &state;
  a.dense = &dense;
  int tokenAxis = static_cast<int>(numOuter);
  a.outer = count(state, 0, tokenAxis);
  a.inner = count(state, tokenAxis + 1, state.rank);
  a.capacity = state.dims[tokenAxis];
  a.denseTokens = dense.dims[tokenAxis];
  a.block = block;
  return nullptr;
}

/// Copies n elements, converting between float types.
Status move(const Tensor &from, int64_t fromOffset, const Tensor &to,
            int64_t toOffset, int64_t n) {
  if (from.dtype == to.dtype) {
    int64_t bytes = elementBytes(to.dtype);
    std::memcpy(data<std::byte>(to) + toOffset * bytes,
                data<const std::byte>(from) + fromOffset * bytes, n * bytes);
    return nullptr;
  }
  bool known = false;
  dispatchFloat(from.dtype, [&](auto fromTag) {
    known = dispatchFloat(to.dtype, [&](auto toTag) {
      auto *in = data<const decltype(fromTag)>(from) + fromOffset;
      auto *out = data<decltype(toTag)>(to) + toOffset;
      for (int64_t i = 0; i < n; ++i) {
        out[i] = decltype(toTag)(float(in[i]));
      }
    });
  });
  return known ? nullptr : kUnsupported;
}

/// Moves `tokens` tokens between the state, from token `first` on, and the
/// dense tensor, from its token `firstDense` on.
Status transfer(const Launch &launch, const CacheArgs &a, int64_t first,
                int64_t firstDense, int64_t tokens, bool toState) {
  if (a.outer * a.inner * tokens == 0) {
    return nullptr;
  }
  if (a.state->dtype != a.dense->dtype &&
      !(isFloat32Like(a.state->dtype) && isFloat32Like(a.dense->dtype))) {
    return kUnsupported;
  }
  if (elementBytes(a.state->dtype) == 0) {
    return kUnsupported;
  }
  launch.pool->parallelFor(
      a.outer,
      [&](int64_t outer, int) {
        for (int64_t t = 0; t < tokens;) {
          int64_t token = first + t;
          int64_t within = token % a.block;
          int64_t run = minimum(tokens - t, a.block - within);
          int64_t block = token / a.block;
          if (a.ringBlocks > 0 && block >= a.sinkBlocks) {
            block = a.sinkBlocks + (block - a.sinkBlocks) % a.ringBlocks;
          }
          int64_t stateAt =
              ((block * a.outer + outer) * a.block + within) * a.inner;
          int64_t denseAt = (outer * a.denseTokens + firstDense + t) * a.inner;
          if (toState) {
            move(*a.dense, denseAt, *a.state, stateAt, run * a.inner);
          } else {
            move(*a.state, stateAt, *a.dense, denseAt, run * a.inner);
          }
          t += run;
        }
      },
      tokens * a.inner / 4);
  return nullptr;
}

} // namespace

Status kvAppend(const Launch &launch) {
  CacheArgs a;
  if (Status error = prepare(launch.operands[1], launch.operands[0],
                             launch.ints[0], launch.ints[1], a)) {
    return error;
  }
  int64_t position = launch.params[0];
  if (launch.ints.size() == 3) {
    // A window of the state: what falls outside is another launch's.
    int64_t window = launch.ints[2];
    int64_t from = maximum(position, window);
    int64_t to = minimum(position + a.denseTokens, window + a.capacity);
    return position < 0 || window < 0 || window % a.block != 0 ? kBadShape
           : from >= to ? nullptr
                        : transfer(launch, a, from - window, from - position,
                                   to - from, /*toState=*/true);
  }
  if (launch.ints.size() == 4) {
    a.sinkBlocks = launch.ints[3];
    a.ringBlocks = a.capacity / a.block - a.sinkBlocks;
    if (position < 0 || a.sinkBlocks < 0 || a.ringBlocks <= 0 ||
        a.capacity % a.block != 0 || a.denseTokens > a.ringBlocks * a.block) {
      return kBadShape;
    }
  } else if (position < 0 || a.denseTokens > a.capacity - position) {
    return "state capacity exceeded";
  }
  return transfer(launch, a, position, 0, a.denseTokens, /*toState=*/true);
}

Status kvRead(const Launch &launch) {
  CacheArgs a;
  if (Status error = prepare(launch.operands[0], launch.operands[1],
                             launch.ints[0], launch.ints[1], a)) {
    return error;
  }
  int64_t tokens = launch.params[0];
  if (tokens < 0 || tokens > a.capacity || tokens > a.denseTokens) {
    return "state capacity exceeded";
  }
  return transfer(launch, a, 0, 0, tokens, /*toState=*/false);
}

} // namespace llmc::kernels::LLMC_ISA_NS
