// SPDX-License-Identifier: MIT
#include <immintrin.h>

#include "backend/cpu/native/matmul.h"

// The loops over a block's rows and tokens are unrolled by force: see matmul_avx512.cpp.
namespace bitnet::backend::cpu {
namespace {

// --- two_bit ---------------------------------------------------------------------------------

// Sixteen-bit sums of one 32-byte vector of packed weights are at most 4 * 2 * 3 * 128 = 3072 in
// magnitude, even for the bad code 3, so ten vectors fit; eight divide the loop evenly.
constexpr std::size_t kVectorsPerFlush = 8;

template <int Tokens>
void dot_row(const TwoBitBlock& block, const std::uint8_t* weights, const std::int8_t* planes,
             std::int32_t* sums) {
  const __m256i three = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i totals[Tokens];
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) totals[t] = _mm256_setzero_si256();
  const auto flush = [&](const __m256i* words) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      totals[t] = _mm256_add_epi32(totals[t], _mm256_madd_epi16(words[t], ones));
    }
  };
  const auto multiply = [&](__m256i packed, std::size_t at, bool half, __m256i* words) {
#pragma GCC unroll 4
    for (int plane = 0; plane < 4; ++plane) {
      const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(packed, 2 * plane), three);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const std::int8_t* x = planes + static_cast<std::size_t>(t) * block.token_stride +
                               static_cast<std::size_t>(plane) * block.plane_stride + at;
        const __m256i activations =
            half ? _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)))
                 : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
        words[t] = _mm256_add_epi16(words[t], _mm256_maddubs_epi16(codes, activations));
      }
    }
  };
  std::size_t at = 0;
  while (at < block.bytes) {
    __m256i words[Tokens];
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) words[t] = _mm256_setzero_si256();
    const std::size_t rest = block.bytes - at;
    const std::size_t whole = rest < kVectorsPerFlush * 32 ? rest / 32 * 32 : kVectorsPerFlush * 32;
    for (const std::size_t end = at + whole; at < end; at += 32) {
      multiply(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + at)), at, false,
               words);
    }
    if (whole == 0) {  // the last 16 bytes
      const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + at));
      multiply(_mm256_zextsi128_si256(last), at, true, words);
      at += 16;
    }
    flush(words);
  }
#pragma GCC unroll 4
  for (int t = 0; t < Tokens; ++t) {
    __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(totals[t]), _mm256_extracti128_si256(totals[t], 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    sums[t] = _mm_cvtsi128_si32(four);
  }
}

// --- dense -----------------------------------------------------------------------------------

struct F32 {
  using Stored = float;
  static __m256 load(const Stored* p) { return _mm256_loadu_ps(p); }
};
struct F16 {
  using Stored = std::uint16_t;
  static __m256 load(const Stored* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};
struct Bf16 {
  using Stored = std::uint16_t;
  static __m256 load(const Stored* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
};
struct I8 {
  using Stored = std::int8_t;
  static __m256 load(const Stored* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
};

float add_lanes(__m256 low, __m256 high) {
  const __m256 eight = _mm256_add_ps(low, high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

template <typename Weight, int Rows, int Tokens>
void dense_rows(const DenseBlock& block, int row, float* sums) {
  using Stored = typename Weight::Stored;
  const Stored* weights =
      static_cast<const Stored*>(block.weights) + static_cast<std::size_t>(row) * block.row_stride;
  __m256 low[Rows][Tokens];
  __m256 high[Rows][Tokens];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) low[r][t] = high[r][t] = _mm256_setzero_ps();
  }
  const auto multiply = [&](int r, const Stored* w, const float* const* x) {
    const __m256 first = Weight::load(w);
    const __m256 second = Weight::load(w + 8);
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      low[r][t] = _mm256_fmadd_ps(first, _mm256_loadu_ps(x[t]), low[r][t]);
      high[r][t] = _mm256_fmadd_ps(second, _mm256_loadu_ps(x[t] + 8), high[r][t]);
    }
  };
  const float* x[Tokens];
  std::size_t k = 0;
  for (; k + 16 <= block.cols; k += 16) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t)
      x[t] = block.x + static_cast<std::size_t>(t) * block.token_stride + k;
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      multiply(r, weights + static_cast<std::size_t>(r) * block.row_stride + k, x);
    }
  }
  if (k < block.cols) {  // the rest beside zeros, which add nothing to their lanes
    const std::size_t rest = block.cols - k;
    float last_x[Tokens][16] = {};
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      __builtin_memcpy(last_x[t], block.x + static_cast<std::size_t>(t) * block.token_stride + k,
                       rest * sizeof(float));
      x[t] = last_x[t];
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      Stored last[16] = {};
      __builtin_memcpy(last, weights + static_cast<std::size_t>(r) * block.row_stride + k,
                       rest * sizeof(Stored));
      multiply(r, last, x);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      sums[(row + r) * kBlockTokens + t] = add_lanes(low[r][t], high[r][t]);
    }
  }
}

// Four rows at once keep enough additions in flight for one token; for several, the tokens do.
template <typename Weight>
void dense_dot(const DenseBlock& block, float* sums) {
  if (block.tokens == 1 && block.rows == kBlockRows) {
    dense_rows<Weight, kBlockRows, 1>(block, 0, sums);
    return;
  }
  for (int row = 0; row < block.rows; ++row) {
    switch (block.tokens) {
      case 1:
        dense_rows<Weight, 1, 1>(block, row, sums);
        break;
      case 2:
        dense_rows<Weight, 1, 2>(block, row, sums);
        break;
      case 3:
        dense_rows<Weight, 1, 3>(block, row, sums);
        break;
      default:
        dense_rows<Weight, 1, 4>(block, row, sums);
        break;
    }
  }
}

}  // namespace

void two_bit_dot_avx2(const TwoBitBlock& block, std::int32_t* sums) {
  for (int row = 0; row < block.rows; ++row) {
    const std::uint8_t* weights = block.weights + static_cast<std::size_t>(row) * block.row_stride;
    std::int32_t* out = sums + row * kBlockTokens;
    switch (block.tokens) {
      case 1:
        dot_row<1>(block, weights, block.planes, out);
        break;
      case 2:
        dot_row<2>(block, weights, block.planes, out);
        break;
      case 3:
        dot_row<3>(block, weights, block.planes, out);
        break;
      default:
        dot_row<4>(block, weights, block.planes, out);
        break;
    }
  }
}

std::int32_t split_codes_avx2(const std::int8_t* codes, std::size_t count, std::int8_t* planes,
                              std::size_t plane_stride) {
  // Within each vector the bytes of a plane are brought together, as one of four 32-bit words.
  const __m128i gather = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m128i bytes_of_one = _mm_set1_epi8(1);
  const __m128i words_of_one = _mm_set1_epi16(1);
  __m128i total = _mm_setzero_si128();
  for (std::size_t at = 0; at < count; at += 64) {
    __m128i part[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + at + 16 * i));
      const __m128i pairs = _mm_maddubs_epi16(bytes_of_one, x);
      total = _mm_add_epi32(total, _mm_madd_epi16(pairs, words_of_one));
      part[i] = _mm_shuffle_epi8(x, gather);
    }
    const __m128i low_01 = _mm_unpacklo_epi32(part[0], part[1]);
    const __m128i low_23 = _mm_unpacklo_epi32(part[2], part[3]);
    const __m128i high_01 = _mm_unpackhi_epi32(part[0], part[1]);
    const __m128i high_23 = _mm_unpackhi_epi32(part[2], part[3]);
    const __m128i plane[4] = {
        _mm_unpacklo_epi64(low_01, low_23), _mm_unpackhi_epi64(low_01, low_23),
        _mm_unpacklo_epi64(high_01, high_23), _mm_unpackhi_epi64(high_01, high_23)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      std::int8_t* to = planes + static_cast<std::size_t>(i) * plane_stride + at / 4;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), plane[i]);
    }
  }
  total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
  total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
  return _mm_cvtsi128_si32(total);
}

void dense_dot_f32_avx2(const DenseBlock& block, float* sums) { dense_dot<F32>(block, sums); }
void dense_dot_f16_avx2(const DenseBlock& block, float* sums) { dense_dot<F16>(block, sums); }
void dense_dot_bf16_avx2(const DenseBlock& block, float* sums) { dense_dot<Bf16>(block, sums); }
void dense_dot_i8_avx2(const DenseBlock& block, float* sums) { dense_dot<I8>(block, sums); }

}  // namespace bitnet::backend::cpu
