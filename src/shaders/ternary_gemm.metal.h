// SPDX-License-Identifier: MIT
// What the ternary GEMM kernels share: tiles of a packed matrix and of int8 codes on their way from
// device memory to threadgroup memory, and the output.
//
// A threadgroup of 128 threads computes 64 tokens x 64 rows and walks along the columns 64 at a
// time. Thread i fetches 32 columns of a row and of a token.
#pragma once

#include <metal_stdlib>

#include "shaders/packing.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

namespace ternary_gemm {

constant constexpr uint tile_rows = 64;
constant constexpr uint tile_tokens = 64;
constant constexpr uint tile_cols = 64;
constant constexpr uint thread_cols = 32;  // fetched by a thread, of a row and of a token
constant constexpr uint threads = tile_rows * tile_cols / thread_cols;

// bitnet::DType
enum OutputType : uint { output_f32 = 0, output_f16 = 1, output_bf16 = 2, output_i32 = 3 };

// Codes of columns 16 block .. 16 block + 15 of a row as a word of TwoBitTiled: column 4 i + k at
// bit 8 k + 2 i. Every packing pads to a multiple of 16 columns.
template <typename Codes>
struct Block {
  static uint load(device const uchar* packed, uint cols, uint row, uint block) {
    uint word = 0;
    for (uint i = 0; i < 16; ++i) {
      word |= Codes::code(packed, cols, row, 16 * block + i) << (i % 4 * 8 + i / 4 * 2);
    }
    return word;
  }
};
template <>
struct Block<TwoBitTiled> {
  static uint load(device const uchar* packed, uint cols, uint row, uint block) {
    return *(device const uint*)(packed + TwoBitTiled::offset(cols, row, block));
  }
};
template <>
struct Block<TwoBit> {
  // Column 4 i + k is at bit 8 i + 2 k: the word is a 4 x 4 matrix of codes to transpose.
  static uint load(device const uchar* packed, uint cols, uint row, uint block) {
    uint word = *(device const uint*)(packed + TwoBit::offset(cols, row, block));
    const uint near = (word ^ word >> 6) & 0x00cc00ccu;
    word ^= near ^ near << 6;
    const uint far = (word ^ word >> 12) & 0x0000f0f0u;
    return word ^ far ^ far << 12;
  }
};

// Whether neighbouring threads fetch from neighbouring rows (as the tiles of two_bit_tiled lie in
// memory) or from one row.
template <typename Codes>
struct FetchOrder {
  static uint row(uint thread_index) { return thread_index / 2; }
  static uint half_row(uint thread_index) { return thread_index % 2; }
};
template <>
struct FetchOrder<TwoBitTiled> {
  static uint row(uint thread_index) { return thread_index % tile_rows; }
  static uint half_row(uint thread_index) { return thread_index / tile_rows; }
};

// 32 columns of a row: two words of TwoBitTiled.
struct RowPiece {
  uint words[2];
};
// `col` is a multiple of 16. Rows past the end repeat the last one, whose sums no one stores.
template <typename Codes>
inline RowPiece fetch_row(device const uchar* packed, constant TernaryGemmParams& p, uint row,
                          uint col) {
  RowPiece piece;
  for (uint i = 0; i < 2; ++i) {
    const uint block = col / 16 + i;
    piece.words[i] = 0;
    if (block < (p.layout.cols + 15) / 16) {
      piece.words[i] = Block<Codes>::load(packed, p.layout.cols,
                                          metal::min(row, p.layout.rows - 1), block);
    }
  }
  return piece;
}

// 32 codes of a token, four in a word; zero from column `end` on and past the last token.
struct TokenPiece {
  uint4 quads[2];
};
inline TokenPiece fetch_token(device const uchar* codes, constant TernaryGemmParams& p, uint token,
                              uint col, uint end) {
  TokenPiece piece;
  piece.quads[0] = piece.quads[1] = uint4(0u);
  if (token < p.tokens && col < end) {
    device const uint4* from =
        (device const uint4*)(codes + ulong(token) * p.code_cols + col);
    piece.quads[0] = from[0];
    piece.quads[1] = from[1];
  }
  return piece;
}
// A code is stored as its trit plus one: the sum of the activation codes is taken away once.
inline int sum_codes(TokenPiece piece) {
  int sum = 0;
  for (uint i = 0; i < 8; ++i) sum = dot4_u8_i8(0x01010101u, piece.quads[i / 4][i % 4], sum);
  return sum;
}

// float(sum) * (weight scale * activation scale), as every ternary product is scaled.
inline float scaled(int sum, float weight_scale, float activation_scale) {
  return float(sum) * (weight_scale * activation_scale);
}
inline void store_float(device uchar* output, uint dtype, ulong index, float value) {
  if (dtype == output_f32) {
    ((device float*)output)[index] = value;
  } else if (dtype == output_f16) {
    ((device half*)output)[index] = half(value);
  } else {
    ((device bfloat*)output)[index] = bfloat(value);
  }
}

}  // namespace ternary_gemm
