// SPDX-License-Identifier: MIT
#include <immintrin.h>

#include "backend/cpu/native/quantization.h"

namespace bitnet::backend::cpu {
namespace {

// Lanes [0, count) of a vector of eight.
__m256i first_lanes(std::size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

// Eight codes as 32-bit integers. Clamping first leaves the rounding no way out of range; max and
// min return their second operand when the first is NaN, and the mask then makes it zero.
__m256i codes_of(__m256 x, __m256 factor) {
  const __m256 product = _mm256_mul_ps(x, factor);
  const __m256 clamped =
      _mm256_min_ps(_mm256_max_ps(product, _mm256_set1_ps(-128.0F)), _mm256_set1_ps(127.0F));
  const __m256 ordered = _mm256_cmp_ps(product, product, _CMP_ORD_Q);
  // The default rounding mode of the environment, half to even.
  return _mm256_cvtps_epi32(_mm256_and_ps(clamped, ordered));
}

__m128i narrow(__m256i codes) {
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  return _mm_packs_epi16(words, words);
}

}  // namespace

void quantize_floats_avx2(const float* x, std::size_t count, float factor, std::int8_t* codes) {
  const __m256 scale = _mm256_set1_ps(factor);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + i),
                     narrow(codes_of(_mm256_loadu_ps(x + i), scale)));
  }
  if (i < count) {
    alignas(16) std::int8_t last[16];
    const __m256 rest = _mm256_maskload_ps(x + i, first_lanes(count - i));
    _mm_store_si128(reinterpret_cast<__m128i*>(last), narrow(codes_of(rest, scale)));
    for (std::size_t j = 0; i + j < count; ++j) codes[i + j] = last[j];
  }
}

}  // namespace bitnet::backend::cpu
