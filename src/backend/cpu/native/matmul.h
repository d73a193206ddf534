// SPDX-License-Identifier: MIT
// The inner loops of the matrix products, one set per instruction set. Only declarations: the files
// compiled for an instruction set include this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet::backend::cpu {

// An inner loop computes a block of at most this many rows (output features) by tokens.
inline constexpr int kBlockRows = 4;
inline constexpr int kBlockTokens = 4;

// A stretch of `bytes` (a multiple of 16) of packed two_bit rows, four codes a byte, and of the
// activation codes split by column modulo four: plane i of a token holds columns 4 j + i.
struct TwoBitBlock {
  const std::uint8_t* weights;
  std::size_t row_stride;
  const std::int8_t* planes;
  std::size_t plane_stride;
  std::size_t token_stride;
  std::size_t bytes;
  int rows;    // 1 .. kBlockRows
  int tokens;  // 1 .. kBlockTokens
};
// sums[r * kBlockTokens + t] = sum of code * activation, codes being 0 .. 3, modulo 2^32.
using TwoBitDot = void (*)(const TwoBitBlock& block, std::int32_t* sums);
void two_bit_dot_avx2(const TwoBitBlock& block, std::int32_t* sums);
void two_bit_dot_avx512(const TwoBitBlock& block, std::int32_t* sums);

// Splits `count` activation codes (a multiple of 64) into planes; returns their sum.
using SplitCodes = std::int32_t (*)(const std::int8_t* codes, std::size_t count,
                                    std::int8_t* planes, std::size_t plane_stride);
std::int32_t split_codes_avx2(const std::int8_t* codes, std::size_t count, std::int8_t* planes,
                              std::size_t plane_stride);

// Rows of dense weights and of float activations.
struct DenseBlock {
  const void* weights;
  std::size_t row_stride;  // elements
  const float* x;
  std::size_t token_stride;
  std::size_t cols;
  int rows;    // 1 .. kBlockRows
  int tokens;  // 1 .. kBlockTokens
};
// sums[r * kBlockTokens + t]: lane l of 16 adds the products of columns l, 16 + l, ... in order,
// and the lanes are added pairwise at half their distance, so that an element does not depend on
// the block it is computed in.
using DenseDot = void (*)(const DenseBlock& block, float* sums);
void dense_dot_f32_avx2(const DenseBlock& block, float* sums);
void dense_dot_f16_avx2(const DenseBlock& block, float* sums);
void dense_dot_bf16_avx2(const DenseBlock& block, float* sums);
void dense_dot_i8_avx2(const DenseBlock& block, float* sums);
void dense_dot_f32_avx512(const DenseBlock& block, float* sums);
void dense_dot_f16_avx512(const DenseBlock& block, float* sums);
void dense_dot_bf16_avx512(const DenseBlock& block, float* sums);
void dense_dot_i8_avx512(const DenseBlock& block, float* sums);

}  // namespace bitnet::backend::cpu
