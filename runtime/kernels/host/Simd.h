//===- Simd.h - One vector type per instruction set ------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// VF is the widest f32 vector of the instruction set the file is compiled for.
// `fma` is fused where the hardware can and a product and a sum elsewhere, but
// always the same on one level: no kernel leaves contraction to the compiler.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_KERNELS_HOST_SIMD_H
#define LLMC_RUNTIME_KERNELS_HOST_SIMD_H

#include "runtime/kernels/host/Support.h"

#include <immintrin.h>

namespace llmc::kernels::LLMC_ISA_NS {

#if defined(__AVX512F__)
struct VF {
  static constexpr int kWidth = 16;
  __m512 v;
};
LLMC_INLINE VF vzero() { return {_mm512_setzero_ps()}; }
LLMC_INLINE VF vset(float f) { return {_mm512_set1_ps(f)}; }
LLMC_INLINE VF vload(const float *p) { return {_mm512_loadu_ps(p)}; }
LLMC_INLINE VF vload(const Half *p) {
  return {_mm512_cvtph_ps(
      _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)))};
}
LLMC_INLINE VF vload(const BFloat *p) {
  return {_mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
                            reinterpret_cast<const __m256i *>(p))),
                        16))};
}
LLMC_INLINE void vstore(float *p, VF a) { _mm512_storeu_ps(p, a.v); }
LLMC_INLINE VF vadd(VF a, VF b) { return {_mm512_add_ps(a.v, b.v)}; }
LLMC_INLINE VF vsub(VF a, VF b) { return {_mm512_sub_ps(a.v, b.v)}; }
LLMC_INLINE VF vmul(VF a, VF b) { return {_mm512_mul_ps(a.v, b.v)}; }
LLMC_INLINE VF vdiv(VF a, VF b) { return {_mm512_div_ps(a.v, b.v)}; }
/// b where either is NaN.
LLMC_INLINE VF vmax(VF a, VF b) { return {_mm512_max_ps(a.v, b.v)}; }
LLMC_INLINE VF vmin(VF a, VF b) { return {_mm512_min_ps(a.v, b.v)}; }
LLMC_INLINE VF vfma(VF a, VF b, VF c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
LLMC_INLINE VF vround(VF a) {
  return {
      _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a * 2^n for integral n, correctly rounded.
LLMC_INLINE VF vscale(VF a, VF n) { return {_mm512_scalef_ps(a.v, n.v)}; }
/// a < b ? x : y.
LLMC_INLINE VF vselectLess(VF a, VF b, VF x, VF y) {
  return {
      _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
/// The magnitude of a with the sign of b.
LLMC_INLINE VF vcopysign(VF a, VF b) {
  __m512 sign = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(sign, a.v), _mm512_and_ps(sign, b.v))};
}
/// kWidth codes of 8 bits, and of 4 bits with the low nibble first.
LLMC_INLINE VF vcodes8(const uint8_t *p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(
      _mm_loadu_si128(reinterpret_cast<const __m128i *>(p))))};
}
LLMC_INLINE VF vcodes4(const uint8_t *p) {
  __m128i pairs = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(p));
  __m128i mask = _mm_set1_epi8(15);
  __m128i codes =
      _mm_unpacklo_epi8(_mm_and_si128(pairs, mask),
                        _mm_and_si128(_mm_srli_epi16(pairs, 4), mask));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes))};
}
LLMC_INLINE float vsum(VF a) {
  __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v),
                           _mm512_extractf32x8_ps(a.v, 1));
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
#elif defined(__AVX2__)
struct VF {
  static constexpr int kWidth = 8;
  __m256 v;
};
LLMC_INLINE VF vzero() { return {_mm256_setzero_ps()}; }
LLMC_INLINE VF vset(float f) { return {_mm256_set1_ps(f)}; }
LLMC_INLINE VF vload(const float *p) { return {_mm256_loadu_ps(p)}; }
LLMC_INLINE VF vload(const Half *p) {
  return {
      _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)))};
}
LLMC_INLINE VF vload(const BFloat *p) {
  return {_mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(
                            reinterpret_cast<const __m128i *>(p))),
                        16))};
}
LLMC_INLINE void vstore(float *p, VF a) { _mm256_storeu_ps(p, a.v); }
LLMC_INLINE VF vadd(VF a, VF b) { return {_mm256_add_ps(a.v, b.v)}; }
LLMC_INLINE VF vsub(VF a, VF b) { return {_mm256_sub_ps(a.v, b.v)}; }
LLMC_INLINE VF vmul(VF a, VF b) { return {_mm256_mul_ps(a.v, b.v)}; }
LLMC_INLINE VF vdiv(VF a, VF b) { return {_mm256_div_ps(a.v, b.v)}; }
LLMC_INLINE VF vmax(VF a, VF b) { return {_mm256_max_ps(a.v, b.v)}; }
LLMC_INLINE VF vmin(VF a, VF b) { return {_mm256_min_ps(a.v, b.v)}; }
LLMC_INLINE VF vfma(VF a, VF b, VF c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
LLMC_INLINE VF vround(VF a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
LLMC_INLINE VF vscale(VF a, VF n) {
  // Two factors, since 2^n alone may be out of range.
  __m256i i = _mm256_cvtps_epi32(n.v);
  __m256i h = _mm256_srai_epi32(i, 1);
  __m256i bias = _mm256_set1_epi32(127);
  __m256i f = _mm256_slli_epi32(_mm256_add_epi32(h, bias), 23);
  __m256i g =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, h), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(f)),
                        _mm256_castsi256_ps(g))};
}
LLMC_INLINE VF vselectLess(VF a, VF b, VF x, VF y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
LLMC_INLINE VF vcopysign(VF a, VF b) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.v), _mm256_and_ps(sign, b.v))};
}
LLMC_INLINE VF vcodes8(const uint8_t *p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(
      _mm_loadl_epi64(reinterpret_cast<const __m128i *>(p))))};
}
LLMC_INLINE VF vcodes4(const uint8_t *p) {
  int32_t word;
  std::memcpy(&word, p, sizeof(word));
  __m128i pairs = _mm_cvtsi32_si128(word);
  __m128i mask = _mm_set1_epi8(15);
  __m128i codes =
      _mm_unpacklo_epi8(_mm_and_si128(pairs, mask),
                        _mm_and_si128(_mm_srli_epi16(pairs, 4), mask));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes))};
}
LLMC_INLINE float vsum(VF a) {
  __m128 c =
      _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
#else
struct VF {
  static constexpr int kWidth = 4;
  __m128 v;
};
LLMC_INLINE VF vzero() { return {_mm_setzero_ps()}; }
LLMC_INLINE VF vset(float f) { return {_mm_set1_ps(f)}; }
LLMC_INLINE VF vload(const float *p) { return {_mm_loadu_ps(p)}; }
LLMC_INLINE VF vload(const Half *p) {
  return {_mm_setr_ps(p[0], p[1], p[2], p[3])};
}
LLMC_INLINE VF vload(const BFloat *p) {
  return {_mm_castsi128_ps(_mm_unpacklo_epi16(
      _mm_setzero_si128(),
      _mm_loadl_epi64(reinterpret_cast<const __m128i *>(p))))};
}
LLMC_INLINE void vstore(float *p, VF a) { _mm_storeu_ps(p, a.v); }
LLMC_INLINE VF vadd(VF a, VF b) { return {_mm_add_ps(a.v, b.v)}; }
LLMC_INLINE VF vsub(VF a, VF b) { return {_mm_sub_ps(a.v, b.v)}; }
LLMC_INLINE VF vmul(VF a, VF b) { return {_mm_mul_ps(a.v, b.v)}; }
LLMC_INLINE VF vdiv(VF a, VF b) { return {_mm_div_ps(a.v, b.v)}; }
LLMC_INLINE VF vmax(VF a, VF b) { return {_mm_max_ps(a.v, b.v)}; }
LLMC_INLINE VF vmin(VF a, VF b) { return {_mm_min_ps(a.v, b.v)}; }
LLMC_INLINE VF vfma(VF a, VF b, VF c) {
  return {_mm_add_ps(_mm_mul_ps(a.v, b.v), c.v)};
}
LLMC_INLINE VF vround(VF a) {
  return {_mm_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
LLMC_INLINE VF vscale(VF a, VF n) {
  __m128i i = _mm_cvtps_epi32(n.v);
  __m128i h = _mm_srai_epi32(i, 1);
  __m128i bias = _mm_set1_epi32(127);
  __m128i f = _mm_slli_epi32(_mm_add_epi32(h, bias), 23);
  __m128i g = _mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(i, h), bias), 23);
  return {
      _mm_mul_ps(_mm_mul_ps(a.v, _mm_castsi128_ps(f)), _mm_castsi128_ps(g))};
}
LLMC_INLINE VF vselectLess(VF a, VF b, VF x, VF y) {
  return {_mm_blendv_ps(y.v, x.v, _mm_cmplt_ps(a.v, b.v))};
}
LLMC_INLINE VF vcopysign(VF a, VF b) {
  __m128 sign = _mm_set1_ps(-0.0f);
  return {_mm_or_ps(_mm_andnot_ps(sign, a.v), _mm_and_ps(sign, b.v))};
}
LLMC_INLINE VF vcodes8(const uint8_t *p) {
  return {_mm_setr_ps(p[0], p[1], p[2], p[3])};
}
LLMC_INLINE VF vcodes4(const uint8_t *p) {
  return {_mm_setr_ps(
      static_cast<float>(p[0] & 15), static_cast<float>(p[0] >> 4),
      static_cast<float>(p[1] & 15), static_cast<float>(p[1] >> 4))};
}
LLMC_INLINE float vsum(VF a) {
  __m128 c = _mm_add_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
#endif

constexpr int kWidth = VF::kWidth;

/// The first n < kWidth elements, zeros behind them.
template <class T> LLMC_INLINE VF vloadPart(const T *p, int64_t n) {
  T part[kWidth];
  std::memset(part, 0, sizeof(part));
  std::memcpy(part, p, n * sizeof(T));
  return vload(part);
}
#if defined(__AVX512F__)
LLMC_INLINE VF vloadPart(const float *p, int64_t n) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
}
LLMC_INLINE void vstorePart(float *p, VF a, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), a.v);
}
#else
LLMC_INLINE void vstorePart(float *p, VF a, int64_t n) {
  float part[kWidth];
  vstore(part, a);
  std::memcpy(p, part, n * sizeof(float));
}
#endif

/// e^x within 1 ulp or so; 0 for -inf, inf and NaN as libm.
LLMC_INLINE VF vexp(VF x) {
  // The order of the operands keeps NaN.
  x = vmin(vset(89.0f), vmax(vset(-104.0f), x));
  VF n = vround(vmul(x, vset(1.44269504088896341f)));
  // ln 2 in two parts; n times the first is exact.
  VF r = vfma(n, vset(-0.693359375f), x);
  r = vfma(n, vset(2.12194440e-4f), r);
  VF p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vfma(p, vmul(r, r), r);
  return vscale(vadd(p, vset(1.0f)), n);
}

/// 1 / (1 + e^-x).
LLMC_INLINE VF vsigmoid(VF x) {
  VF one = vset(1.0f);
  return vdiv(one, vadd(one, vexp(vsub(vzero(), x))));
}

/// out[i] = fn(in[i]) for i < n, each element as a full vector would have it;
/// out may be in.
template <class Fn>
LLMC_INLINE void vmap(const float *in, float *out, int64_t n, const Fn &fn) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    vstore(out + i, fn(vload(in + i)));
  }
  if (i < n) {
    vstorePart(out + i, fn(vloadPart(in + i, n - i)), n - i);
  }
}

/// Converts n elements of f32, f16 or bf16 to f32.
template <class T>
LLMC_INLINE void toFloats(const T *in, float *out, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    vstore(out + i, vload(in + i));
  }
  for (; i < n; ++i) {
    out[i] = in[i];
  }
}
template <class T>
LLMC_INLINE void fromFloats(const float *in, T *out, int64_t n) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, Half>) {
    for (; i + 8 <= n; i += 8) {
      _mm_storeu_si128(
          reinterpret_cast<__m128i *>(out + i),
          _mm256_cvtps_ph(_mm256_loadu_ps(in + i),
                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
  }
#endif
  for (; i < n; ++i) {
    out[i] = T(in[i]);
  }
}

LLMC_INLINE void toFloats(DType type, const void *in, int64_t offset,
                          float *out, int64_t n) {
  dispatchFloat(type, [&](auto tag) {
    toFloats(static_cast<const decltype(tag) *>(in) + offset, out, n);
  });
}
LLMC_INLINE void fromFloats(DType type, const float *in, void *out,
                            int64_t offset, int64_t n) {
  dispatchFloat(type, [&](auto tag) {
    fromFloats(in, static_cast<decltype(tag) *>(out) + offset, n);
  });
}

} // namespace llmc::kernels::LLMC_ISA_NS

#endif // LLMC_RUNTIME_KERNELS_HOST_SIMD_H
