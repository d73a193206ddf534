// SPDX-License-Identifier: MIT
// The primitives for AVX-512 F, BW, VL, DQ: 16 lanes, masked tails.
#include <immintrin.h>

#include "backend/cpu/native/float_ops.h"
#include "backend/cpu/native/float_ops_impl.h"

namespace bitnet::backend::cpu {
namespace {

struct Avx512Vector {
  static constexpr std::size_t kWidth = 16;
  static constexpr std::size_t kRows = 8;
  __m512 v;

  struct Double {
    __m512d low, high;
    void add(Avx512Vector x) {
      low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(x.v)));
      high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1)));
    }
    void add_square(Avx512Vector x) {
      const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(x.v));
      const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1));
      low = _mm512_fmadd_pd(a, a, low);
      high = _mm512_fmadd_pd(b, b, high);
    }
    void store(double* out) const {
      _mm512_storeu_pd(out, low);
      _mm512_storeu_pd(out + 8, high);
    }
  };

  static __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
  static __m512 widened(__m256i halves, float16) { return _mm512_cvtph_ps(halves); }
  static __m512 widened(__m256i halves, bfloat16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  [[nodiscard]] __m256i narrowed(float16) const {
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // As to_bfloat16: half of the last kept place, less one unless that place is odd, then truncate.
  [[nodiscard]] __m256i narrowed(bfloat16) const {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(
        _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, rounded, quiet), 16));
  }

  static Avx512Vector set(float value) { return {_mm512_set1_ps(value)}; }
  static Avx512Vector load(const float* x) { return {_mm512_loadu_ps(x)}; }
  static Avx512Vector load(const float* x, std::size_t n) {
    return {_mm512_maskz_loadu_ps(first(n), x)};
  }
  template <typename Half>
  static Avx512Vector load(const Half* x) {
    return {widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), Half{})};
  }
  template <typename Half>
  static Avx512Vector load(const Half* x, std::size_t n) {
    return {widened(_mm256_maskz_loadu_epi16(first(n), x), Half{})};
  }
  void store(float* out) const { _mm512_storeu_ps(out, v); }
  void store(float* out, std::size_t n) const { _mm512_mask_storeu_ps(out, first(n), v); }
  template <typename Half>
  void store(Half* out) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), narrowed(Half{}));
  }
  template <typename Half>
  void store(Half* out, std::size_t n) const {
    _mm256_mask_storeu_epi16(out, first(n), narrowed(Half{}));
  }

  static Avx512Vector add(Avx512Vector a, Avx512Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
  static Avx512Vector sub(Avx512Vector a, Avx512Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static Avx512Vector mul(Avx512Vector a, Avx512Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static Avx512Vector div(Avx512Vector a, Avx512Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Avx512Vector fma(Avx512Vector a, Avx512Vector b, Avx512Vector c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  }
  static Avx512Vector abs(Avx512Vector x) { return {_mm512_abs_ps(x.v)}; }
  // min and max return their second operand when either is a NaN.
  static Avx512Vector relu(Avx512Vector x) { return {_mm512_max_ps(_mm512_setzero_ps(), x.v)}; }
  static Avx512Vector clamp(Avx512Vector x, float low, float high) {
    return {_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), x.v))};
  }
  static Avx512Vector max_or_nan(Avx512Vector best, Avx512Vector x) {
    const __mmask16 take = _kor_mask16(_mm512_cmp_ps_mask(x.v, best.v, _CMP_GT_OQ),
                                       _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q));
    return {_mm512_mask_blend_ps(take, best.v, x.v)};
  }
  static Avx512Vector round(Avx512Vector x) {
    return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Avx512Vector times_power_of_two(Avx512Vector x, Avx512Vector n) {
    return {_mm512_scalef_ps(x.v, n.v)};
  }
  [[nodiscard]] float total() const {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace

constinit const FloatOps kAvx512Ops = make_float_ops<Avx512Vector>();

}  // namespace bitnet::backend::cpu
