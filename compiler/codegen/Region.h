//===- Region.h - What a generated function computes -----------*- C++ -*-===//
//
// The element-wise program of a launch in a form of its own: what it computes
// and how it walks its operands, without buffers, names and sizes. Launches
// with equal text share one function.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_CODEGEN_REGION_H
#define LLMC_COMPILER_CODEGEN_REGION_H

#include "runtime/plan/Bounds.h"
#include "runtime/plan/Plan.h"

#include <string>
#include <variant>
#include <vector>

namespace llmc::codegen {

/// One value of a program: an input, or what an instruction makes.
struct Instruction {
  plan::PointwiseOp op = plan::PointwiseOp::Const;
  bool isBool = false; // the class of the result, else f32
  int operands[3] = {0, 0, 0};
  double value = 0; // Const
};

/// Registers are the inputs, then one per instruction; the last is stored.
struct Region {
  plan::CodeFunction signature; // with its text, which is the region's key
  std::vector<Instruction> instructions;
  int64_t cost = 0; // nanoseconds per 1024 elements, roughly
};

/// A launch that becomes a launch of a generated function.
struct RegionLaunch {
  Region region;
  std::vector<int64_t> masks; // of the inputs: see KernelId::Generated
};

/// The region of a Pointwise launch, or why there is none, in a few words.
std::variant<RegionLaunch, std::string>
regionOf(const plan::EntryBounds &bounds, const plan::Step &step);

} // namespace llmc::codegen

#endif // LLMC_COMPILER_CODEGEN_REGION_H
