//===- Problem.h - Placing buffers in one address space --------*- C++ -*-===//
//
// Glossary, used by every file of this folder:
//
//   buffer      a contiguous range of bytes that must exist for some time
//   lifetime    the half-open range of steps [start, end) in which a buffer
//               holds a value; an empty lifetime needs no address
//   gap         a half-open range of steps inside a lifetime in which the
//               buffer's bytes are free for others; its address stays
//   conflict    two buffers conflict when their lifetimes, less the gaps,
//               share a step; they then must not share a byte
//   offset      the first byte of a placed buffer; a multiple of its alignment
//   extent      the largest offset + size of a solution: what the arena needs
//   lower bound a number that no extent can be below: the largest sum of the
//               sizes alive at one step (or the end of a fixed buffer)
//   capacity    the largest extent that the caller accepts
//
// This is "dynamic storage allocation" (Moffitt, MiniMalloc, ASPLOS 2023).
// Standard library only: nothing here knows of tensors, plans or MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_PASSES_SOLVER_PROBLEM_H
#define LLMC_PASSES_SOLVER_PROBLEM_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llmc::solver {

/// Bytes from the beginning of the arena.
using Offset = uint64_t;
/// An index into an entry's steps.
using Step = uint32_t;

/// Steps [start, end) in which a living buffer's bytes are not needed.
struct Gap {
  Step start = 0; // first free step
  Step end = 0;   // one past the last free step
};

struct Buffer {
  uint64_t size = 0;           // bytes
  uint64_t alignment = 1;      // bytes, at least 1
  Step start = 0;              // first step of the lifetime
  Step end = 0;                // one past its last step
  std::optional<Offset> fixed; // must be placed exactly here
  std::vector<Gap> gaps;       // in any order; parts outside are ignored
};

struct Problem {
  std::vector<Buffer> buffers;
  std::optional<uint64_t> capacity;
};

struct Solution {
  std::vector<Offset> offsets; // one per buffer of the problem
  uint64_t extent = 0;         // bytes
};

/// Whether the two must not share a byte.
bool conflict(const Buffer &a, const Buffer &b);

/// No extent can be below this.
uint64_t lowerBound(const Problem &problem);

/// An independent sweep over the steps, O(n log n): fixed offsets, alignment,
/// overlap, extent and capacity. Empty if the solution is good, else one line
/// that names the buffers by index.
std::string check(const Problem &problem, const Solution &solution);

} // namespace llmc::solver

#endif // LLMC_PASSES_SOLVER_PROBLEM_H
