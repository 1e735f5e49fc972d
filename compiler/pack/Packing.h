//===- Packing.h - Weights as their kernels want them ----------*- C++ -*-===//
//
// Turns the bytes of a model's weight into the bytes of a segment of the
// weights file. Output leaves in chunks of a few MiB, so that packing needs
// little memory however large the tensor is. The layouts are those of
// runtime/plan/Plan.h (Packing) and KernelId.h (LinearQuant). No MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_PACK_PACKING_H
#define LLMC_COMPILER_PACK_PACKING_H

#include "runtime/plan/DType.h"
#include "runtime/support/Result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace llmc::pack {

/// What a segment holds.
enum class SegmentKind : uint8_t {
  Raw,     // the weight as it is
  Panel64, // [ceil(N/64)][K][64]
  // Parts of the canonical quantized form.
  QCodes,  // [N, ceil(K/bs)*bs*bits/8] unsigned codes
  QScales, // [N, ceil(K/bs)]
  QZero,   // [N, ceil(K/bs)] u8
  QGroups, // g_idx [K] i32
  // [N, K] of a source that is [K, N]: a table whose rows are gathered.
  Rows,
};

/// How the model stores the weight.
enum class SourceFormat : uint8_t {
  Dense, // float [N, K] or [K, N]; QCodes and QScales: round to int8
  NBits, // com.microsoft MatMulNBits
  Qdq,   // DequantizeLinear input, [N, K] or [K, N]
};

struct SegmentSpec {
  SegmentKind kind = SegmentKind::Raw;
  SourceFormat format = SourceFormat::Dense;
  bool kn = false; // the source is [K, N]
  int64_t n = 0;
  int64_t k = 0;
  int64_t bits = 0;
  int64_t blockSize = 0;

  /// One line that names every field: hashed with the content.
  std::string str() const;
  /// A short form that tells the segments of one weight apart: `panel64`,
  /// `q_codes.int8`.
  std::string tag() const;
};

struct Source {
  std::span<const std::byte> bytes;
  plan::DType dtype = plan::DType::F32;
  std::vector<int64_t> shape;
  /// `bytes` is one element (of a byte or more), which all are equal to.
  bool isSplat = false;
};

/// Bytes of the segment. Errors when spec and source do not go together.
Result<uint64_t> packedSize(const SegmentSpec &spec, const Source &source);

using Sink = std::function<Result<void>(std::span<const std::byte>)>;

/// Writes the segment's packedSize() bytes to `sink`, in order. Errors of the
/// sink are passed on.
Result<void> writePacked(const SegmentSpec &spec, const Source &source,
                         const Sink &sink);

/// One of the weights that a segment holds.
struct Part {
  SegmentSpec spec; // Panel64 or Raw, the same for all parts
  Source source;
};

/// How the parts of a segment lie in it.
enum class Arrangement : uint8_t {
  Joined,      // one after the other
  Interleaved, // a panel of each in turn; all have as many panels
};

/// The same for several weights (or one) in one segment.
Result<uint64_t> packedSize(std::span<const Part> parts,
                            Arrangement arrangement);
Result<void> writePacked(std::span<const Part> parts, Arrangement arrangement,
                         const Sink &sink);

} // namespace llmc::pack

#endif // LLMC_COMPILER_PACK_PACKING_H
