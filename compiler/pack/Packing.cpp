//===- Packing.cpp - Weights as their kernels want them -------------------===//

#include "compiler/pack/Packing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace llmc::pack {

using plan::DType;

namespace {

constexpr int64_t kPanel = 64;
/// Outputs handled together when the source is [K, N]: a whole cache line of
/// every row of the source is used at once.
constexpr int64_t kRowGroup = 64;
constexpr size_t kChunkBytes = size_t(4) << 20;

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

Error mismatch(const SegmentSpec &spec, const Source &source,
               const std::string &what) {
  std::string shape;
  for (int64_t dim : source.shape) {
    shape += (shape.empty() ? "" : "x") + std::to_string(dim);
  }
  return {ErrorCode::Internal, "cannot pack (" + spec.str() + "): " + what +
                                   "; the source is " + shape + " of " +
                                   std::string(plan::name(source.dtype))};
}

bool isFloat(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

bool isCode(DType type) {
  return type == DType::I8 || type == DType::U8 || type == DType::I4 ||
         type == DType::U4;
}

float halfToFloat(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 0x1f;
  uint32_t mantissa = h & 0x3ff;
  if (exponent == 0x1f) {
    return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  }
  if (exponent == 0) {
    float value = std::ldexp(float(mantissa), -24);
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) |
                              (mantissa << 13));
}

template <class T> T loadAt(std::span<const std::byte> bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * int64_t(sizeof(T)), sizeof(T));
  return value;
}

float floatAt(const Source &source, int64_t index) {
  switch (source.dtype) {
  case DType::F32:
    return loadAt<float>(source.bytes, index);
  case DType::F16:
    return halfToFloat(loadAt<uint16_t>(source.bytes, index));
  case DType::BF16:
    return std::bit_cast<float>(uint32_t(loadAt<uint16_t>(source.bytes, index))
                                << 16);
  default:
    return 0;
  }
}

/// The element as an unsigned code: signed ones are moved up by half the
/// range, which the zero point follows.
uint8_t codeAt(const Source &source, int64_t index) {
  switch (source.dtype) {
  case DType::U8:
    return loadAt<uint8_t>(source.bytes, index);
  case DType::I8:
    return uint8_t(loadAt<int8_t>(source.bytes, index) + 128);
  case DType::U4:
  case DType::I4: {
    uint8_t nibble =
        (loadAt<uint8_t>(source.bytes, index / 2) >> (index % 2 * 4)) & 15;
    return source.dtype == DType::U4 ? nibble : nibble ^ 8;
  }
  default:
    return 0;
  }
}

int64_t elements(const Source &source) {
  int64_t n = 1;
  for (int64_t dim : source.shape) {
    n *= dim;
  }
  return n;
}

uint64_t storedBytes(const Source &source) {
  return (uint64_t(elements(source)) * plan::bitWidth(source.dtype) + 7) / 8;
}

int64_t numBlocks(const SegmentSpec &spec) {
  return ceilDiv(spec.k, spec.blockSize);
}

int64_t codeRowBytes(const SegmentSpec &spec) {
  return ceilDiv(numBlocks(spec) * spec.blockSize * spec.bits, 8);
}

/// Collects small writes into chunks for the sink.
class ChunkWriter {
public:
  explicit ChunkWriter(const Sink &sink) : sink(sink) {
    buffer.reserve(kChunkBytes);
  }

  Result<void> write(const void *data, size_t size) {
    auto *bytes = static_cast<const std::byte *>(data);
    while (size > 0) {
      size_t take = std::min(size, kChunkBytes - buffer.size());
      buffer.insert(buffer.end(), bytes, bytes + take);
      bytes += take;
      size -= take;
      if (buffer.size() == kChunkBytes) {
        if (Result<void> done = flush(); !done) {
          return done;
        }
      }
    }
    return {};
  }

  Result<void> flush() {
    if (buffer.empty()) {
      return {};
    }
    Result<void> done = sink(buffer);
    buffer.clear();
    return done;
  }

private:
  const Sink &sink;
  std::vector<std::byte> buffer;
};

/// The bytes of `count` elements of a splat.
std::vector<std::byte> repeated(const Source &splat, int64_t count) {
  size_t width = plan::bitWidth(splat.dtype) / 8;
  std::vector<std::byte> bytes(size_t(count) * width);
  for (size_t i = 0; i < bytes.size(); i += width) {
    std::memcpy(&bytes[i], splat.bytes.data(), width);
  }
  return bytes;
}

Result<void> packRawSplat(const Source &source, ChunkWriter &out) {
  constexpr int64_t kPiece = 1 << 14;
  int64_t left = elements(source);
  std::vector<std::byte> piece = repeated(source, std::min(left, kPiece));
  for (; left > 0; left -= kPiece) {
    size_t size =
        size_t(std::min(left, kPiece)) * (plan::bitWidth(source.dtype) / 8);
    if (Result<void> done = out.write(piece.data(), size); !done) {
      return done;
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Float panels
//===----------------------------------------------------------------------===//

/// The panel of outputs [first, first + kPanel).
template <class T>
Result<void> packPanel(const SegmentSpec &spec, const Source &source,
                       int64_t first, std::vector<T> &panel, ChunkWriter &out) {
  const std::byte *base = source.bytes.data();
  panel.resize(size_t(spec.k) * kPanel);
  int64_t width = std::min(kPanel, spec.n - first);
  if (width < kPanel) {
    std::fill(panel.begin(), panel.end(), T(0));
  }
  if (source.isSplat) {
    for (int64_t k = 0; k < spec.k; ++k) {
      std::fill_n(&panel[k * kPanel], width, loadAt<T>(source.bytes, 0));
    }
  } else if (spec.kn) {
    for (int64_t k = 0; k < spec.k; ++k) {
      std::memcpy(&panel[k * kPanel],
                  base + (k * spec.n + first) * int64_t(sizeof(T)),
                  size_t(width) * sizeof(T));
    }
  } else {
    for (int64_t j = 0; j < width; ++j) {
      int64_t row = (first + j) * spec.k;
      for (int64_t k = 0; k < spec.k; ++k) {
        panel[k * kPanel + j] = loadAt<T>(source.bytes, row + k);
      }
    }
  }
  return out.write(panel.data(), panel.size() * sizeof(T));
}

/// Panel after panel, of each part in turn.
template <class T>
Result<void> packPanels(std::span<const Part> parts, ChunkWriter &out) {
  std::vector<T> panel;
  for (int64_t first = 0; first < parts[0].spec.n; first += kPanel) {
    for (const Part &part : parts) {
      if (Result<void> done =
              packPanel(part.spec, part.source, first, panel, out);
          !done) {
        return done;
      }
    }
  }
  return {};
}

Result<void> packPanels(std::span<const Part> parts, ChunkWriter &out) {
  return parts[0].source.dtype == DType::F32 ? packPanels<float>(parts, out)
                                             : packPanels<uint16_t>(parts, out);
}

template <class T>
Result<void> packRows(const SegmentSpec &spec, const Source &source,
                      ChunkWriter &out) {
  // So many rows at once that each line of the source is read once.
  std::vector<T> rows(size_t(spec.k) * kPanel);
  for (int64_t first = 0; first < spec.n; first += kPanel) {
    int64_t count = std::min(kPanel, spec.n - first);
    for (int64_t k = 0; k < spec.k; ++k) {
      for (int64_t j = 0; j < count; ++j) {
        rows[j * spec.k + k] =
            loadAt<T>(source.bytes, spec.kn ? k * spec.n + first + j
                                            : (first + j) * spec.k + k);
      }
    }
    if (Result<void> done =
            out.write(rows.data(), size_t(count * spec.k) * sizeof(T));
        !done) {
      return done;
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Quantized forms
//===----------------------------------------------------------------------===//

/// The source index of element (n, k).
int64_t sourceIndex(const SegmentSpec &spec, int64_t n, int64_t k) {
  return spec.kn ? k * spec.n + n : n * spec.k + k;
}

float rowScale(const SegmentSpec &spec, const Source &source, int64_t n) {
  float largest = 0;
  for (int64_t k = 0; k < spec.k; ++k) {
    largest =
        std::max(largest, std::fabs(floatAt(source, sourceIndex(spec, n, k))));
  }
  return largest / 127.0f;
}

Result<void> packCodes(const SegmentSpec &spec, const Source &source,
                       ChunkWriter &out) {
  int64_t rowBytes = codeRowBytes(spec);
  std::vector<uint8_t> rows(size_t(rowBytes) * kRowGroup);
  std::vector<float> scales(kRowGroup);
  for (int64_t first = 0; first < spec.n; first += kRowGroup) {
    int64_t count = std::min(kRowGroup, spec.n - first);
    std::fill(rows.begin(), rows.end(), uint8_t(0));
    if (spec.format == SourceFormat::Dense) {
      for (int64_t j = 0; j < count; ++j) {
        scales[j] = rowScale(spec, source, first + j);
      }
    }
    auto put = [&](int64_t j, int64_t k) {
      int64_t index = sourceIndex(spec, first + j, k);
      uint8_t code;
      if (spec.format == SourceFormat::Dense) {
        float steps = scales[j] == 0 ? 0 : floatAt(source, index) / scales[j];
        code = uint8_t(std::lrint(std::clamp(steps, -127.0f, 127.0f)) + 128);
      } else {
        code = codeAt(source, index);
      }
      uint8_t *row = &rows[j * rowBytes];
      if (spec.bits == 8) {
        row[k] = code;
      } else {
        row[k / 2] |= uint8_t(code << (k % 2 * 4));
      }
    };
    if (spec.kn) {
      for (int64_t k = 0; k < spec.k; ++k) {
        for (int64_t j = 0; j < count; ++j) {
          put(j, k);
        }
      }
    } else {
      for (int64_t j = 0; j < count; ++j) {
        for (int64_t k = 0; k < spec.k; ++k) {
          put(j, k);
        }
      }
    }
    if (Result<void> done = out.write(rows.data(), size_t(count * rowBytes));
        !done) {
      return done;
    }
  }
  return {};
}

/// The source index of the scale or zero point of (n, block); QDQ sources may
/// hold one per tensor, per row, or per block.
int64_t groupIndex(const SegmentSpec &spec, const Source &source, int64_t n,
                   int64_t block) {
  int64_t count = elements(source);
  int64_t blocks = numBlocks(spec);
  if (count == 1) {
    return 0;
  }
  if (count == spec.n && blocks == 1) {
    return n;
  }
  return spec.kn ? block * spec.n + n : n * blocks + block;
}

Result<void> packScales(const SegmentSpec &spec, const Source &source,
                        ChunkWriter &out) {
  int64_t blocks = numBlocks(spec);
  if (spec.format == SourceFormat::Dense) {
    for (int64_t n = 0; n < spec.n; ++n) {
      float scale = rowScale(spec, source, n);
      if (Result<void> done = out.write(&scale, sizeof(scale)); !done) {
        return done;
      }
    }
    return {};
  }
  size_t width = plan::bitWidth(source.dtype) / 8;
  for (int64_t n = 0; n < spec.n; ++n) {
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t index = spec.format == SourceFormat::Qdq
                          ? groupIndex(spec, source, n, b)
                          : n * blocks + b;
      if (Result<void> done =
              out.write(source.bytes.data() + size_t(index) * width, width);
          !done) {
        return done;
      }
    }
  }
  return {};
}

Result<void> packZero(const SegmentSpec &spec, const Source &source,
                      ChunkWriter &out) {
  int64_t blocks = numBlocks(spec);
  int64_t rowBytes = ceilDiv(blocks * spec.bits, 8);
  std::vector<uint8_t> row(blocks);
  for (int64_t n = 0; n < spec.n; ++n) {
    for (int64_t b = 0; b < blocks; ++b) {
      if (spec.format == SourceFormat::Qdq) {
        row[b] = codeAt(source, groupIndex(spec, source, n, b));
      } else {
        // MatMulNBits: every row starts at a byte.
        int64_t bit = b * spec.bits;
        uint8_t byte = loadAt<uint8_t>(source.bytes, n * rowBytes + bit / 8);
        row[b] = uint8_t((byte >> (bit % 8)) & ((1 << spec.bits) - 1));
      }
    }
    if (Result<void> done = out.write(row.data(), row.size()); !done) {
      return done;
    }
  }
  return {};
}

Result<void> packRaw(const Source &source, const Sink &sink) {
  std::span<const std::byte> rest = source.bytes.first(storedBytes(source));
  while (!rest.empty()) {
    size_t take = std::min(rest.size(), kChunkBytes);
    if (Result<void> done = sink(rest.first(take)); !done) {
      return done;
    }
    rest = rest.subspan(take);
  }
  return {};
}

} // namespace

//===----------------------------------------------------------------------===//
// Interface
//===----------------------------------------------------------------------===//

std::string SegmentSpec::str() const {
  constexpr const char *kinds[] = {"raw",    "panel64", "q_codes", "q_scales",
                                   "q_zero", "q_gidx",  "rows"};
  constexpr const char *formats[] = {"dense", "nbits", "qdq"};
  std::string out = kinds[static_cast<int>(kind)];
  if (kind == SegmentKind::Raw) {
    return out;
  }
  out += std::string(" ") + formats[static_cast<int>(format)] +
         (kn ? " kn" : " nk") + " n=" + std::to_string(n) +
         " k=" + std::to_string(k);
  if (kind != SegmentKind::Panel64) {
    out +=
        " bits=" + std::to_string(bits) + " block=" + std::to_string(blockSize);
  }
  return out;
}

std::string SegmentSpec::tag() const {
  switch (kind) {
  case SegmentKind::Raw:
    return "raw";
  case SegmentKind::Panel64:
    return "panel64";
  case SegmentKind::QCodes:
    return format == SourceFormat::Dense ? "codes.int8" : "codes";
  case SegmentKind::QScales:
    return format == SourceFormat::Dense ? "scales.int8" : "scales";
  case SegmentKind::QZero:
    return "zero";
  case SegmentKind::QGroups:
    return "groups";
  case SegmentKind::Rows:
    return "rows";
  }
  return "";
}

Result<uint64_t> packedSize(const SegmentSpec &spec, const Source &source) {
  for (int64_t dim : source.shape) {
    if (dim < 0) {
      return mismatch(spec, source, "negative dimension");
    }
  }
  unsigned bits = plan::bitWidth(source.dtype);
  if (source.isSplat && bits < 8) {
    return mismatch(spec, source, "is a splat of less than a byte");
  }
  uint64_t needed = source.isSplat ? bits / 8 : storedBytes(source);
  if (source.bytes.size() < needed) {
    return mismatch(spec, source,
                    "has " + std::to_string(source.bytes.size()) +
                        " bytes, needs " + std::to_string(needed));
  }
  if (spec.kind == SegmentKind::Raw || spec.kind == SegmentKind::QGroups) {
    return storedBytes(source);
  }
  if (spec.n <= 0 || spec.k <= 0) {
    return mismatch(spec, source, "n and k must be positive");
  }
  int64_t count = elements(source);
  if (spec.kind == SegmentKind::Panel64 || spec.kind == SegmentKind::Rows) {
    if (!isFloat(source.dtype) || count != spec.n * spec.k) {
      return mismatch(spec, source, "panels and rows need n x k floats");
    }
    if (spec.kind == SegmentKind::Rows) {
      return storedBytes(source);
    }
    return uint64_t(ceilDiv(spec.n, kPanel)) * kPanel * uint64_t(spec.k) *
           (plan::bitWidth(source.dtype) / 8);
  }
  if ((spec.bits != 4 && spec.bits != 8) || spec.blockSize <= 0) {
    return mismatch(spec, source, "bits must be 4 or 8, block size positive");
  }
  int64_t groups = spec.n * numBlocks(spec);
  bool dense = spec.format == SourceFormat::Dense;
  bool nbits = spec.format == SourceFormat::NBits;
  switch (spec.kind) {
  case SegmentKind::QCodes:
    if (dense   ? !isFloat(source.dtype) || count != spec.n * spec.k
        : nbits ? count != spec.n * codeRowBytes(spec)
                : !isCode(source.dtype) || count != spec.n * spec.k ||
                      int64_t(plan::bitWidth(source.dtype)) != spec.bits) {
      return mismatch(spec, source, "codes do not fit");
    }
    return uint64_t(spec.n) * uint64_t(codeRowBytes(spec));
  case SegmentKind::QScales:
    if (dense) {
      if (numBlocks(spec) != 1 || count != spec.n * spec.k) {
        return mismatch(spec, source, "one scale per output expected");
      }
      return uint64_t(spec.n) * sizeof(float);
    }
    if (!isFloat(source.dtype) ||
        (count != groups && (nbits || (count != 1 && count != spec.n)))) {
      return mismatch(spec, source, "scales do not fit");
    }
    return uint64_t(groups) * (plan::bitWidth(source.dtype) / 8);
  case SegmentKind::QZero:
    if (nbits && isFloat(source.dtype)) {
      if (count != groups) {
        return mismatch(spec, source, "zero points do not fit");
      }
      return uint64_t(groups) * (plan::bitWidth(source.dtype) / 8);
    }
    if (nbits ? source.dtype != DType::U8 ||
                    count != spec.n * ceilDiv(numBlocks(spec) * spec.bits, 8)
              : !isCode(source.dtype) ||
                    (count != groups && count != 1 && count != spec.n)) {
      return mismatch(spec, source, "zero points do not fit");
    }
    return uint64_t(groups);
  default:
    return mismatch(spec, source, "unknown kind");
  }
}

Result<void> writePacked(const SegmentSpec &spec, const Source &source,
                         const Sink &sink) {
  if (Result<uint64_t> size = packedSize(spec, source); !size) {
    return size.error();
  }
  ChunkWriter out(sink);
  if (source.isSplat && spec.kind == SegmentKind::Raw) {
    Result<void> done = packRawSplat(source, out);
    return done ? out.flush() : done;
  }
  if (source.isSplat && spec.kind != SegmentKind::Panel64) {
    std::vector<std::byte> bytes = repeated(source, elements(source));
    return writePacked(spec, {bytes, source.dtype, source.shape}, sink);
  }
  // MatMulNBits codes and g_idx are stored as the kernels want them.
  if (spec.kind == SegmentKind::Raw || spec.kind == SegmentKind::QGroups ||
      (spec.format == SourceFormat::NBits &&
       (spec.kind == SegmentKind::QCodes ||
        (spec.kind == SegmentKind::QZero && isFloat(source.dtype))))) {
    return packRaw(source, sink);
  }
  Result<void> done;
  switch (spec.kind) {
  case SegmentKind::Panel64: {
    const Part part{spec, source};
    done = packPanels(std::span(&part, 1), out);
    break;
  }
  case SegmentKind::Rows:
    done = source.dtype == DType::F32 ? packRows<float>(spec, source, out)
                                      : packRows<uint16_t>(spec, source, out);
    break;
  case SegmentKind::QCodes:
    done = packCodes(spec, source, out);
    break;
  case SegmentKind::QScales:
    done = packScales(spec, source, out);
    break;
  case SegmentKind::QZero:
    done = packZero(spec, source, out);
    break;
  default:
    break;
  }
  return done ? out.flush() : done;
}

Result<uint64_t> packedSize(std::span<const Part> parts,
                            Arrangement arrangement) {
  uint64_t sum = 0;
  for (const Part &part : parts) {
    const Part &first = parts.front();
    bool isPanels = part.spec.kind == SegmentKind::Panel64;
    if (parts.size() > 1 &&
        ((!isPanels && part.spec.kind != SegmentKind::Raw) ||
         part.spec.kind != first.spec.kind ||
         part.source.dtype != first.source.dtype ||
         part.spec.k != first.spec.k)) {
      return mismatch(part.spec, part.source, "does not go with the others");
    }
    if (arrangement == Arrangement::Interleaved &&
        (!isPanels || part.spec.n != first.spec.n)) {
      return mismatch(part.spec, part.source, "has other panels");
    }
    Result<uint64_t> size = packedSize(part.spec, part.source);
    if (!size) {
      return size.error();
    }
    sum += *size;
  }
  return sum;
}

Result<void> writePacked(std::span<const Part> parts, Arrangement arrangement,
                         const Sink &sink) {
  if (Result<uint64_t> size = packedSize(parts, arrangement); !size) {
    return size.error();
  }
  if (arrangement == Arrangement::Interleaved && !parts.empty()) {
    ChunkWriter out(sink);
    Result<void> done = packPanels(parts, out);
    return done ? out.flush() : done;
  }
  for (const Part &part : parts) {
    if (Result<void> done = writePacked(part.spec, part.source, sink); !done) {
      return done;
    }
  }
  return {};
}

} // namespace llmc::pack
