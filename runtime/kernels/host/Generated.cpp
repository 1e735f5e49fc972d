//===- Generated.cpp - Launches of the plan's own code --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Merges dimensions that every input walks in the same way, cuts what is left
// into tasks, and calls the function for each (plan/Code.h). Elements do not
// depend on each other across a cut, so results do not depend on the threads.
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/ThreadPool.h"
#include "runtime/kernels/host/Kernels.h"

namespace llmc::kernels::v2 {

namespace {

using plan::kMaxCodeOperands;

using Function = void (*)(void *const *data, const int64_t *rowStrides,
                          int64_t rows, int64_t columns, void *scratch);

/// The space of a launch: columns, rows, and what lies around them.
struct Space {
  int rank = 0; // groups of dimensions, columns last
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxCodeOperands][kMaxRank]; // elements
  int64_t widths[kMaxCodeOperands];            // bytes of an element
  int operands = 0;
};

/// False if a dimension is zero: then there is nothing to do.
bool measure(const Launch &launch, Space &space) {
  const int inputs = static_cast<int>(launch.ints[1]);
  const Tensor &out = launch.operands[static_cast<size_t>(inputs)];
  space.operands = static_cast<int>(launch.operands.size());
  bool moves[kMaxCodeOperands][kMaxRank];
  bool columnsAlone = launch.function->wholeRows;
  for (int d = 0; d < out.rank; ++d) {
    const int64_t size = out.dims[d];
    if (size == 0) {
      return false;
    }
    int last = space.rank - 1;
    bool merge = last >= 0 && !(columnsAlone && d == out.rank - 1);
    for (int i = 0; i < inputs; ++i) {
      bool moving = launch.ints[static_cast<size_t>(5 + i)] >> d & 1;
      merge = merge && moves[i][last] == moving;
      moves[i][space.rank] = moving;
    }
    if (merge) {
      space.sizes[last] *= size;
    } else {
      space.sizes[space.rank++] = size;
    }
  }
  if (space.rank == 0) {
    space.rank = 1;
    space.sizes[0] = 1;
    for (int i = 0; i < inputs; ++i) {
      moves[i][0] = false;
    }
  }
  for (int i = 0; i < space.operands; ++i) {
    space.widths[i] =
        plan::bitWidth(launch.operands[static_cast<size_t>(i)].dtype) / 8;
    int64_t stride = 1;
    for (int g = space.rank - 1; g >= 0; --g) {
      bool moving = i >= inputs || moves[i][g];
      space.strides[i][g] = moving ? stride : 0;
      stride *= moving ? space.sizes[g] : 1;
    }
  }
  return true;
}

} // namespace

Status generated(const Launch &launch) {
  if (!launch.code || !launch.function ||
      launch.operands.size() != launch.function->operands.size()) {
    return "the plan's code has no function for it";
  }
  Space space;
  if (!measure(launch, space)) {
    return nullptr;
  }
  const auto function =
      reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(launch.code));
  const int64_t grain = launch.ints[3];
  const int64_t columns = space.sizes[space.rank - 1];
  const int64_t rows = space.rank > 1 ? space.sizes[space.rank - 2] : 1;
  int64_t outer = 1;
  for (int g = 0; g + 2 < space.rank; ++g) {
    outer *= space.sizes[g];
  }
  // Tasks are pieces of rows where these are long, else several whole rows.
  const bool whole = launch.function->wholeRows;
  const int64_t pieceColumns =
      whole || columns <= grain ? columns : (grain + 63) / 64 * 64;
  const int64_t pieceRows =
      columns >= grain ? 1 : (grain / columns < rows ? grain / columns : rows);
  const int64_t columnPieces = (columns + pieceColumns - 1) / pieceColumns;
  const int64_t rowPieces = (rows + pieceRows - 1) / pieceRows;
  const int64_t cost = pieceRows * pieceColumns * launch.ints[4] / 1024 + 1;
  auto work = [&](int64_t task, int thread) {
    const int64_t column = task % columnPieces * pieceColumns;
    int64_t rest = task / columnPieces;
    const int64_t row = rest % rowPieces * pieceRows;
    rest /= rowPieces;
    int64_t position[kMaxRank];
    for (int g = space.rank - 3; g >= 0; --g) {
      position[g] = rest % space.sizes[g];
      rest /= space.sizes[g];
    }
    void *data[kMaxCodeOperands];
    int64_t rowStrides[kMaxCodeOperands];
    for (int i = 0; i < space.operands; ++i) {
      const int64_t *strides = space.strides[i];
      int64_t offset = column * strides[space.rank - 1];
      rowStrides[i] = 0;
      if (space.rank > 1) {
        rowStrides[i] = strides[space.rank - 2];
        offset += row * rowStrides[i];
      }
      for (int g = 0; g + 2 < space.rank; ++g) {
        offset += position[g] * strides[g];
      }
      data[i] = static_cast<std::byte *>(launch.operands[size_t(i)].data) +
                offset * space.widths[i];
    }
    const int64_t rowsLeft = rows - row, columnsLeft = columns - column;
    function(data, rowStrides, rowsLeft < pieceRows ? rowsLeft : pieceRows,
             columnsLeft < pieceColumns ? columnsLeft : pieceColumns,
             launch.pool->scratch(thread));
  };
  launch.pool->parallelFor(outer * rowPieces * columnPieces, work, cost);
  return nullptr;
}

} // namespace llmc::kernels::v2
