// SPDX-License-Identifier: MIT
// What the ternary GEMM kernels share: tiles of a packed matrix and of int8 codes on their way from
// device memory to threadgroup memory, and the output.
//
// A threadgroup of 128 threads computes 64 tokens x 64 rows and walks along the columns 64 at a
// time. Each thread fetches two blocks of 16 columns of rows and two of tokens.
#pragma once

#include <metal_stdlib>

#include "shaders/packing.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

namespace ternary_gemm {

constant constexpr uint tile_rows = 64;
constant constexpr uint tile_tokens = 64;
constant constexpr uint tile_cols = 64;
constant constexpr uint block_cols = 16;
constant constexpr uint tile_blocks = tile_cols / block_cols;  // of a row
constant constexpr uint thread_blocks = 2;
constant constexpr uint threads = tile_rows * tile_blocks / thread_blocks;
static_assert(tile_rows == tile_tokens, "a thread fetches as much of rows as of tokens");

// bitnet::DType
enum OutputType : uint { output_f32 = 0, output_f16 = 1, output_bf16 = 2, output_i32 = 3 };

// A row of a packed matrix, 16 columns at a time: block(i) is the codes of columns 16 i .. 16 i +
// 15 as a word of TwoBitTiled, column 4 j + k at bit 8 k + 2 j. Every packing pads to 16 columns.
template <typename Codes>
struct Row;

template <>
struct Row<TwoBitTiled> {
  device const uchar* first;
  static Row at(device const uchar* packed, uint cols, uint row) {
    return Row{packed + TwoBitTiled::offset(cols, row, 0)};
  }
  uint block(uint i) const { return *(device const uint*)(first + ulong(i) * 256); }
};

// From column j at bit 2 j: a transposed 4 x 4 matrix of codes.
inline uint tiled_word(uint word) {
  const uint near = (word ^ word >> 6) & 0x00cc00ccu;
  word ^= near ^ near << 6;
  const uint far = (word ^ word >> 12) & 0x0000f0f0u;
  return word ^ far ^ far << 12;
}
template <>
struct Row<TwoBit> {
  device const uchar* first;
  static Row at(device const uchar* packed, uint cols, uint row) {
    return Row{packed + TwoBit::offset(cols, row, 0)};
  }
  uint block(uint i) const { return tiled_word(*(device const uint*)(first + i * 4)); }
};

template <>
struct Row<FiveInEight> {
  device const uchar* first;
  static Row at(device const uchar* packed, uint cols, uint row) {
    return Row{packed + FiveInEight::offset(cols, row, 0)};
  }
  // The digits of two bytes, 16 bits apart, each as five codes: one at bit 2 j.
  static uint codes(uint bytes) {
    uint codes = 0;
    for (uint j = 0; j < 5; ++j) {
      bytes *= 3;  // moves the next digit above bit 7
      codes |= (bytes >> 8 & 0x00030003u) << (2 * j);
      bytes &= 0x00ff00ffu;
    }
    return codes;
  }
  uint block(uint i) const {
    device const uchar* bytes = first + i * 16 / 5;
    const uint even = codes(uint(bytes[0]) | uint(bytes[2]) << 16);
    const uint odd = codes(uint(bytes[1]) | uint(bytes[3]) << 16);
    const ulong columns = ulong(even & 0xffffu) | ulong(odd & 0xffffu) << 10 |
                          ulong(even >> 16) << 20 | ulong(odd >> 16) << 30;
    return tiled_word(uint(columns >> (i % 5 * 2)));  // 16 i is i columns into a byte, modulo 5
  }
};

template <>
struct Row<ThreeInFive> {
  device const uchar* first;
  static Row at(device const uchar* packed, uint cols, uint row) {
    return Row{packed + ThreeInFive::offset(cols, row, 0)};
  }
  uint block(uint i) const {
    const uint bit = i * 16 / 3 * 5;
    device const uchar* bytes = first + bit / 8;
    ulong fields =
        ulong(bytes[0]) | ulong(bytes[1]) << 8 | ulong(bytes[2]) << 16 | ulong(bytes[3]) << 24;
    if (bit % 8 > 2) fields |= ulong(bytes[4]) << 32;  // six fields are 30 bits
    fields >>= bit % 8;
    ulong columns = 0;
    for (uint f = 0; f < 6; ++f) {
      const uint field = uint(fields >> (5 * f)) & 31u;
      const uint third = field * 11 >> 5;  // field / 3
      const uint ninth = field * 57 >> 9;  // field / 9
      // The digits d0 = field - 3 third, d1 = third - 3 ninth, d2 = ninth as d0 + 4 d1 + 16 d2.
      columns |= ulong(field + third + 4 * ninth) << (6 * f);
    }
    return tiled_word(uint(columns >> (i % 3 * 2)));  // 16 i is i columns into a field, modulo 3
  }
};

// The blocks of a tile that a thread fetches: numbers thread_index and thread_index + threads.
// Neighbours fetch neighbouring blocks of a row, or the same block of neighbouring rows where those
// lie side by side in memory.
struct AlongRows {
  static uint number(uint i, uint thread_index) { return i * threads + thread_index; }
  static uint row(uint i, uint thread_index) { return number(i, thread_index) / tile_blocks; }
  static uint block(uint i, uint thread_index) { return number(i, thread_index) % tile_blocks; }
};
struct AcrossRows {
  static uint row(uint i, uint thread_index) {
    return AlongRows::number(i, thread_index) % tile_rows;
  }
  static uint block(uint i, uint thread_index) {
    return AlongRows::number(i, thread_index) / tile_rows;
  }
};
template <typename Codes>
struct RowOrder : AlongRows {};
template <>
struct RowOrder<TwoBitTiled> : AcrossRows {};

// A thread's share of the rows of a tile, wherever along them.
template <typename Codes>
struct TileRows {
  typedef RowOrder<Codes> Order;
  Row<Codes> rows[thread_blocks];
  uint row_blocks;  // past a row's last block there is no memory

  // Rows past the end repeat the last one: no one stores its sums.
  static TileRows at(device const uchar* packed, constant TernaryGemmParams& p, uint first_row,
                     uint thread_index) {
    TileRows tile;
    for (uint i = 0; i < thread_blocks; ++i) {
      const uint row = metal::min(first_row + Order::row(i, thread_index), p.layout.rows - 1);
      tile.rows[i] = Row<Codes>::at(packed, p.layout.cols, row);
    }
    tile.row_blocks = (p.layout.cols + block_cols - 1) / block_cols;
    return tile;
  }
};
struct RowPiece {
  uint words[thread_blocks];
};
// `begin` is a multiple of 16.
template <typename Codes>
inline RowPiece fetch_rows(TileRows<Codes> tile, uint thread_index, uint begin) {
  RowPiece piece;
  for (uint i = 0; i < thread_blocks; ++i) {
    const uint block = begin / block_cols + TileRows<Codes>::Order::block(i, thread_index);
    piece.words[i] = block < tile.row_blocks ? tile.rows[i].block(block) : 0u;
  }
  return piece;
}

// Activation codes, four in a word.
struct TokenPiece {
  uint4 quads[thread_blocks];
};
// Zero from column `end` on, a multiple of 32, and past the last token.
inline TokenPiece fetch_tokens(device const uchar* codes, constant TernaryGemmParams& p,
                               uint first_token, uint thread_index, uint begin, uint end) {
  TokenPiece piece;
  for (uint i = 0; i < thread_blocks; ++i) {
    const uint token = first_token + AlongRows::row(i, thread_index);
    const uint col = begin + AlongRows::block(i, thread_index) * block_cols;
    piece.quads[i] = uint4(0u);
    if (token < p.tokens && col < end) {
      piece.quads[i] = *(device const uint4*)(codes + ulong(token) * p.code_cols + col);
    }
  }
  return piece;
}
// A weight is stored as its trit plus one: the sum of the activation codes is taken away once.
inline int sum_codes(uint4 quads, int sum) {
  for (uint i = 0; i < 4; ++i) sum = dot4_u8_i8(0x01010101u, quads[i], sum);
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
