// SPDX-License-Identifier: MIT
// The primitives for x86-64-v3: 8 lanes, fused multiply-add, F16C.
#include <immintrin.h>

#include "backend/cpu/native/float_ops.h"
#include "backend/cpu/native/float_ops_impl.h"

namespace bitnet::backend::cpu {
namespace {

struct Avx2Vector {
  static constexpr std::size_t kWidth = 8;
  static constexpr std::size_t kRows = 8;
  __m256 v;

  struct Double {
    __m256d low, high;
    void add(Avx2Vector x) {
      low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(x.v)));
      high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1)));
    }
    void add_square(Avx2Vector x) {
      const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x.v));
      const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1));
      low = _mm256_fmadd_pd(a, a, low);
      high = _mm256_fmadd_pd(b, b, high);
    }
    void store(double* out) const {
      _mm256_storeu_pd(out, low);
      _mm256_storeu_pd(out + 4, high);
    }
  };

  static __m256i first(std::size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m256 widened(__m128i halves, float16) { return _mm256_cvtph_ps(halves); }
  static __m256 widened(__m128i halves, bfloat16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  [[nodiscard]] __m128i narrowed(float16) const {
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // As to_bfloat16: half of the last kept place, less one unless that place is odd, then truncate.
  [[nodiscard]] __m128i narrowed(bfloat16) const {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i top = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
  }

  static Avx2Vector set(float value) { return {_mm256_set1_ps(value)}; }
  static Avx2Vector load(const float* x) { return {_mm256_loadu_ps(x)}; }
  static Avx2Vector load(const float* x, std::size_t n) {
    return {_mm256_maskload_ps(x, first(n))};
  }
  template <typename Half>
  static Avx2Vector load(const Half* x) {
    return {widened(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)), Half{})};
  }
  template <typename Half>
  static Avx2Vector load(const Half* x, std::size_t n) {
    Half part[kWidth] = {};
    for (std::size_t i = 0; i < n; ++i) part[i] = x[i];
    return load(part);
  }
  void store(float* out) const { _mm256_storeu_ps(out, v); }
  void store(float* out, std::size_t n) const { _mm256_maskstore_ps(out, first(n), v); }
  template <typename Half>
  void store(Half* out) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), narrowed(Half{}));
  }
  template <typename Half>
  void store(Half* out, std::size_t n) const {
    Half part[kWidth] = {};
    store(part);
    for (std::size_t i = 0; i < n; ++i) out[i] = part[i];
  }

  static Avx2Vector add(Avx2Vector a, Avx2Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
  static Avx2Vector sub(Avx2Vector a, Avx2Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
  static Avx2Vector mul(Avx2Vector a, Avx2Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
  static Avx2Vector div(Avx2Vector a, Avx2Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
  static Avx2Vector fma(Avx2Vector a, Avx2Vector b, Avx2Vector c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
  }
  static Avx2Vector abs(Avx2Vector x) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), x.v)}; }
  // min and max return their second operand when either is a NaN.
  static Avx2Vector relu(Avx2Vector x) { return {_mm256_max_ps(_mm256_setzero_ps(), x.v)}; }
  static Avx2Vector clamp(Avx2Vector x, float low, float high) {
    return {_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x.v))};
  }
  static Avx2Vector max_or_nan(Avx2Vector best, Avx2Vector x) {
    const __m256 take =
        _mm256_or_ps(_mm256_cmp_ps(x.v, best.v, _CMP_GT_OQ), _mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
    return {_mm256_blendv_ps(best.v, x.v, take)};
  }
  static Avx2Vector round(Avx2Vector x) {
    return {_mm256_round_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Avx2Vector times_power_of_two(Avx2Vector x, Avx2Vector n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(254));
    const __m256i half = _mm256_srli_epi32(biased, 1);
    const __m256i first = _mm256_slli_epi32(half, 23);
    const __m256i second = _mm256_slli_epi32(_mm256_sub_epi32(biased, half), 23);
    return {
        _mm256_mul_ps(_mm256_mul_ps(x.v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second))};
  }
  [[nodiscard]] float total() const {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace

constinit const FloatOps kAvx2Ops = make_float_ops<Avx2Vector>();

}  // namespace bitnet::backend::cpu
