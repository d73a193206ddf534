// SPDX-License-Identifier: MIT
#include <immintrin.h>

#include "backend/cpu/native/matmul.h"

// The loops over a block's rows and tokens must be unrolled before GCC decides where arrays live:
// GCC 12 otherwise stores every accumulator in every step.
namespace bitnet::backend::cpu {
namespace {

// --- two_bit ---------------------------------------------------------------------------------

// Wraps around, unlike the C++ additions that _mm512_reduce_add_epi32 may be made of.
std::int32_t add_lanes(__m512i sixteen) {
  const __m256i eight =
      _mm256_add_epi32(_mm512_castsi512_si256(sixteen), _mm512_extracti64x4_epi64(sixteen, 1));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return _mm_cvtsi128_si32(four);
}

template <int Rows, int Tokens>
void dot_rows(const TwoBitBlock& block, int row, std::int32_t* sums) {
  const __m512i three = _mm512_set1_epi8(3);
  const std::uint8_t* weights = block.weights + static_cast<std::size_t>(row) * block.row_stride;
  // Two sums each, for even and odd planes: vpdpbusd waits five cycles for its own result.
  __m512i even[Rows][Tokens];
  __m512i odd[Rows][Tokens];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) even[r][t] = odd[r][t] = _mm512_setzero_si512();
  }
  for (std::size_t at = 0; at < block.bytes; at += 64) {
    const std::size_t rest = block.bytes - at;
    const __mmask64 used = rest >= 64 ? ~__mmask64{0} : (__mmask64{1} << rest) - 1;
    __m512i packed[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      packed[r] = _mm512_maskz_loadu_epi8(
          used, weights + static_cast<std::size_t>(r) * block.row_stride + at);
    }
#pragma GCC unroll 4
    for (int plane = 0; plane < 4; ++plane) {
      __m512i codes[Rows];
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        codes[r] =
            _mm512_and_si512(_mm512_srli_epi16(packed[r], static_cast<unsigned>(2 * plane)), three);
      }
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const std::int8_t* x = block.planes + static_cast<std::size_t>(t) * block.token_stride +
                               static_cast<std::size_t>(plane) * block.plane_stride + at;
        const __m512i activations = _mm512_maskz_loadu_epi8(used, x);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
          __m512i& sum = plane % 2 == 0 ? even[r][t] : odd[r][t];
          sum = _mm512_dpbusd_epi32(sum, codes[r], activations);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      sums[(row + r) * kBlockTokens + t] = add_lanes(_mm512_add_epi32(even[r][t], odd[r][t]));
    }
  }
}

template <int Tokens>
void dot_block(const TwoBitBlock& block, std::int32_t* sums) {
  if (Tokens == 1 && block.rows == kBlockRows) {
    dot_rows<kBlockRows, 1>(block, 0, sums);
    return;
  }
  int row = 0;
  for (; row + 2 <= block.rows; row += 2) dot_rows<2, Tokens>(block, row, sums);
  if (row < block.rows) dot_rows<1, Tokens>(block, row, sums);
}

// --- dense -----------------------------------------------------------------------------------

struct F32 {
  using Stored = float;
  static __m512 load(const Stored* p, __mmask16 used) { return _mm512_maskz_loadu_ps(used, p); }
};
struct F16 {
  using Stored = std::uint16_t;
  static __m512 load(const Stored* p, __mmask16 used) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(used, p));
  }
};
struct Bf16 {
  using Stored = std::uint16_t;
  static __m512 load(const Stored* p, __mmask16 used) {
    const __m512i halves = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(used, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
  }
};
struct I8 {
  using Stored = std::int8_t;
  static __m512 load(const Stored* p, __mmask16 used) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(used, p)));
  }
};

// The order of the AVX2 version, so that the two agree bit for bit.
float add_lanes(__m512 sixteen) {
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}

template <typename Weight, int Rows, int Tokens>
void dense_rows(const DenseBlock& block, int row, float* sums) {
  using Stored = typename Weight::Stored;
  const Stored* weights =
      static_cast<const Stored*>(block.weights) + static_cast<std::size_t>(row) * block.row_stride;
  __m512 lanes[Rows][Tokens];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) lanes[r][t] = _mm512_setzero_ps();
  }
  for (std::size_t k = 0; k < block.cols; k += 16) {
    const std::size_t rest = block.cols - k;
    const auto used = static_cast<__mmask16>(rest >= 16 ? 0xFFFFU : (1U << rest) - 1U);
    __m512 x[Tokens];
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      x[t] = _mm512_maskz_loadu_ps(used,
                                   block.x + static_cast<std::size_t>(t) * block.token_stride + k);
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const __m512 w =
          Weight::load(weights + static_cast<std::size_t>(r) * block.row_stride + k, used);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) lanes[r][t] = _mm512_fmadd_ps(w, x[t], lanes[r][t]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) sums[(row + r) * kBlockTokens + t] = add_lanes(lanes[r][t]);
  }
}

template <typename Weight, int Tokens>
void dense_tokens(const DenseBlock& block, float* sums) {
  if (block.rows == kBlockRows) {
    dense_rows<Weight, kBlockRows, Tokens>(block, 0, sums);
    return;
  }
  for (int row = 0; row < block.rows; ++row) dense_rows<Weight, 1, Tokens>(block, row, sums);
}

template <typename Weight>
void dense_dot(const DenseBlock& block, float* sums) {
  switch (block.tokens) {
    case 1:
      return dense_tokens<Weight, 1>(block, sums);
    case 2:
      return dense_tokens<Weight, 2>(block, sums);
    case 3:
      return dense_tokens<Weight, 3>(block, sums);
    default:
      return dense_tokens<Weight, 4>(block, sums);
  }
}

}  // namespace

void two_bit_dot_avx512(const TwoBitBlock& block, std::int32_t* sums) {
  switch (block.tokens) {
    case 1:
      return dot_block<1>(block, sums);
    case 2:
      return dot_block<2>(block, sums);
    case 3:
      return dot_block<3>(block, sums);
    default:
      return dot_block<4>(block, sums);
  }
}

void dense_dot_f32_avx512(const DenseBlock& block, float* sums) { dense_dot<F32>(block, sums); }
void dense_dot_f16_avx512(const DenseBlock& block, float* sums) { dense_dot<F16>(block, sums); }
void dense_dot_bf16_avx512(const DenseBlock& block, float* sums) { dense_dot<Bf16>(block, sums); }
void dense_dot_i8_avx512(const DenseBlock& block, float* sums) { dense_dot<I8>(block, sums); }

}  // namespace bitnet::backend::cpu
