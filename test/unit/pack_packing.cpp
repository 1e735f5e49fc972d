//===- pack_packing.cpp ---------------------------------------------------===//

#include "compiler/pack/Packing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

using namespace llmc;
using namespace llmc::pack;
using plan::DType;

namespace {

template <class T>
Source source(const std::vector<T> &values, DType dtype,
              std::vector<int64_t> shape) {
  return {std::as_bytes(std::span(values)), dtype, std::move(shape)};
}

std::vector<std::byte> packed(const SegmentSpec &spec, const Source &from) {
  std::vector<std::byte> out;
  Result<void> done =
      writePacked(spec, from, [&](std::span<const std::byte> chunk) {
        out.insert(out.end(), chunk.begin(), chunk.end());
        return Result<void>();
      });
  EXPECT_TRUE(done) << (done ? "" : done.error().message);
  Result<uint64_t> size = packedSize(spec, from);
  EXPECT_TRUE(size);
  EXPECT_EQ(*size, out.size());
  return out;
}

template <class T> T at(const std::vector<std::byte> &bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

std::vector<float> randomFloats(int64_t count) {
  std::mt19937 rng(5);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float &value : out) {
    value = normal(rng);
  }
  return out;
}

TEST(Packing, PanelsFromBothLayouts) {
  // 70 outputs: the second panel is padded with zeros.
  constexpr int64_t n = 70, k = 5;
  std::vector<float> nk = randomFloats(n * k), kn(n * k);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      kn[j * n + i] = nk[i * k + j];
    }
  }
  SegmentSpec spec{SegmentKind::Panel64, SourceFormat::Dense, false, n, k};
  std::vector<std::byte> a = packed(spec, source(nk, DType::F32, {n, k}));
  spec.kn = true;
  std::vector<std::byte> b = packed(spec, source(kn, DType::F32, {k, n}));
  EXPECT_EQ(a, b);
  ASSERT_EQ(a.size(), 2 * 64 * k * sizeof(float));
  for (int64_t i = 0; i < 128; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      float want = i < n ? nk[i * k + j] : 0.0f;
      EXPECT_EQ(at<float>(a, (i / 64 * k + j) * 64 + i % 64), want);
    }
  }
}

TEST(Packing, RowsOfATransposedTable) {
  constexpr int64_t n = 150, k = 7;
  std::vector<float> nk = randomFloats(n * k), kn(n * k);
  std::vector<uint16_t> halves(n * k), turned(n * k);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      kn[j * n + i] = nk[i * k + j];
      halves[i * k + j] = turned[j * n + i] = uint16_t(i * k + j);
    }
  }
  SegmentSpec spec{SegmentKind::Rows, SourceFormat::Dense, true, n, k};
  EXPECT_EQ(packed(spec, source(kn, DType::F32, {k, n})),
            packed({}, source(nk, DType::F32, {n, k})));
  EXPECT_EQ(packed(spec, source(turned, DType::BF16, {k, n})),
            packed({}, source(halves, DType::BF16, {n, k})));
  EXPECT_EQ(spec.tag(), "rows");
  EXPECT_FALSE(packedSize(spec, source(kn, DType::F32, {k, n - 1})));
}

TEST(Packing, SplatsAreSpreadAsTheyAreWritten) {
  // The same bytes as a source that holds every element.
  constexpr int64_t n = 70, k = 1000;
  std::vector<float> all(n * k, 0.75f), one = {0.75f};
  Source splat = source(one, DType::F32, {n, k});
  splat.isSplat = true;
  SegmentSpec specs[] = {
      {},
      {SegmentKind::Panel64, SourceFormat::Dense, false, n, k},
      {SegmentKind::Panel64, SourceFormat::Dense, true, n, k},
      {SegmentKind::QCodes, SourceFormat::Dense, false, n, k, 8, k},
      {SegmentKind::QScales, SourceFormat::Dense, false, n, k, 8, k}};
  for (const SegmentSpec &spec : specs) {
    bool same =
        packed(spec, splat) == packed(spec, source(all, DType::F32, {n, k}));
    EXPECT_TRUE(same) << spec.str();
  }
  // Empty, and of less than a byte.
  splat.shape = {0, k};
  EXPECT_TRUE(packed({}, splat).empty());
  splat.shape = {n, k};
  splat.dtype = DType::U4;
  EXPECT_FALSE(packedSize({}, splat));
}

TEST(Packing, RoundsToInt8PerOutput) {
  constexpr int64_t n = 65, k = 33;
  std::vector<float> w = randomFloats(n * k);
  for (int64_t j = 0; j < k; ++j) {
    w[7 * k + j] = 0; // a row of zeros has scale 0
  }
  SegmentSpec spec{SegmentKind::QCodes, SourceFormat::Dense, false, n, k, 8, k};
  std::vector<std::byte> codes = packed(spec, source(w, DType::F32, {n, k}));
  spec.kind = SegmentKind::QScales;
  std::vector<std::byte> scales = packed(spec, source(w, DType::F32, {n, k}));
  for (int64_t i = 0; i < n; ++i) {
    float scale = at<float>(scales, i);
    for (int64_t j = 0; j < k; ++j) {
      float back = (int(at<uint8_t>(codes, i * k + j)) - 128) * scale;
      EXPECT_LE(std::fabs(back - w[i * k + j]), scale * 0.5001f);
    }
  }
  EXPECT_EQ(at<float>(scales, 7), 0.0f);
}

TEST(Packing, SignedNibblesMoveUpByHalfTheRange) {
  // [K, N] = [4, 3], int4, one block of 2 along K.
  constexpr int64_t n = 3, k = 4;
  std::vector<int> values = {-8, 7, 0, 1, -1, 2, 3, -3, 4, 5, -5, 6};
  std::vector<uint8_t> nibbles(6);
  for (int i = 0; i < 12; ++i) {
    nibbles[i / 2] |= uint8_t((values[i] & 15) << (i % 2 * 4));
  }
  SegmentSpec spec{SegmentKind::QCodes, SourceFormat::Qdq, true, n, k, 4, 2};
  std::vector<std::byte> codes =
      packed(spec, source(nibbles, DType::I4, {k, n}));
  ASSERT_EQ(codes.size(), 6u);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      int code = (at<uint8_t>(codes, i * 2 + j / 2) >> (j % 2 * 4)) & 15;
      EXPECT_EQ(code - 8, values[j * n + i]);
    }
  }
  std::vector<float> scales = {1, 2, 3, 4, 5, 6}; // [K/2, N]
  spec.kind = SegmentKind::QScales;
  std::vector<std::byte> out = packed(spec, source(scales, DType::F32, {2, 3}));
  EXPECT_EQ(at<float>(out, 0), 1); // n = 0, block 0
  EXPECT_EQ(at<float>(out, 1), 4); // n = 0, block 1
  EXPECT_EQ(at<float>(out, 2), 2);
}

TEST(Packing, ZeroPointsOfMatMulNBitsArePadded) {
  // 3 blocks of 4 bits: each row takes two bytes.
  constexpr int64_t n = 2, k = 48;
  std::vector<uint8_t> zero = {0x21, 0x03, 0x54, 0x06};
  SegmentSpec spec{SegmentKind::QZero, SourceFormat::NBits, false, n, k, 4, 16};
  std::vector<std::byte> out = packed(spec, source(zero, DType::U8, {4}));
  std::vector<uint8_t> want = {1, 2, 3, 4, 5, 6};
  ASSERT_EQ(out.size(), want.size());
  EXPECT_EQ(std::memcmp(out.data(), want.data(), want.size()), 0);
}

TEST(Packing, FloatZeroPointsOfMatMulNBitsStayFloats) {
  std::vector<float> zero = {7.5f, 8, 8.25f, 9, 1, 2};
  SegmentSpec spec{
      SegmentKind::QZero, SourceFormat::NBits, false, 2, 48, 4, 16};
  std::vector<std::byte> out = packed(spec, source(zero, DType::F32, {2, 3}));
  ASSERT_EQ(out.size(), 24u);
  EXPECT_EQ(at<float>(out, 2), 8.25f);
  EXPECT_FALSE(packedSize(spec, source(zero, DType::F32, {5})));
}

TEST(Packing, OneScaleForTheWholeTensorIsRepeated) {
  std::vector<float> scale = {0.5f};
  SegmentSpec spec{SegmentKind::QScales, SourceFormat::Qdq, false, 3, 8, 8, 8};
  std::vector<std::byte> out = packed(spec, source(scale, DType::F32, {}));
  ASSERT_EQ(out.size(), 12u);
  EXPECT_EQ(at<float>(out, 2), 0.5f);
}

TEST(Packing, RefusesWhatDoesNotFit) {
  std::vector<float> w(12);
  SegmentSpec spec{SegmentKind::Panel64, SourceFormat::Dense, false, 4, 4};
  EXPECT_FALSE(packedSize(spec, source(w, DType::F32, {3, 4})));
  EXPECT_FALSE(packedSize(spec, source(w, DType::F32, {4, 4}))); // too short
  spec = {SegmentKind::QScales, SourceFormat::NBits, false, 4, 64, 4, 32};
  EXPECT_FALSE(packedSize(spec, source(w, DType::F32, {4})));
  std::vector<uint8_t> codes(16);
  spec = {SegmentKind::QCodes, SourceFormat::Qdq, false, 4, 4, 4, 4};
  EXPECT_FALSE(packedSize(spec, source(codes, DType::U8, {4, 4})));
}

} // namespace
