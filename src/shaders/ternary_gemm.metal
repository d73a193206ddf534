// SPDX-License-Identifier: MIT
// Ternary weights times the int8 codes of many tokens, exact in int32:
// output[t, n] = sum over k of trit[n, k] * code[t, k], scaled as TernaryGemmParams says.
#include <metal_stdlib>

#include "shaders/matrix.metal.h"
#include "shaders/ternary_gemm.metal.h"

using namespace metal;
using namespace ternary_gemm;

// --- four columns at a time, with or without group scales ---

// Where the step that begins at a column ends: with the tile, or with a group of scales in it.
static uint end_of_step(constant TernaryGemmParams& p, uint begin) {
  const uint group_end = (begin / p.layout.group_cols + 1) * p.layout.group_cols;
  return min(min(begin + tile_cols, group_end), p.code_cols);
}

constant constexpr uint thread_tokens = 8;
constant constexpr uint thread_rows = 4;
constant constexpr uint row_threads = tile_rows / thread_rows;  // side by side in a tile
// A row's blocks, and one of padding, so that eight threads read eight rows from different banks.
constant constexpr uint tile_stride = tile_blocks + 1;
constant constexpr uint tile_vectors = tile_rows * tile_stride;

template <typename Codes>
static void store_row_codes(threadgroup uint4* tile, uint thread_index,
                            RowPiece piece) {
  typedef RowOrder<Codes> Order;
  for (uint i = 0; i < thread_blocks; ++i) {
    const uint word = piece.words[i];  // columns 4 j .. 4 j + 3 after j shifts
    tile[Order::row(i, thread_index) * tile_stride + Order::block(i, thread_index)] =
        uint4(word, word >> 2, word >> 4, word >> 6) & uint4(0x03030303u);
  }
}
static void store_token_codes(threadgroup uint4* tile, uint thread_index,
                              TokenPiece piece) {
  typedef AlongRows Order;
  for (uint i = 0; i < thread_blocks; ++i) {
    tile[Order::row(i, thread_index) * tile_stride + Order::block(i, thread_index)] =
        piece.quads[i];
  }
}

// Threads: thread_tokens x thread_rows of the tile each; neighbours take neighbouring rows.
template <typename Codes>
[[max_total_threads_per_threadgroup(128)]]  // `threads`
kernel void multiply_tiles(device const uchar* packed [[buffer(0)]],
                           device const float* weight_scales [[buffer(1)]],
                           device const uchar* codes [[buffer(2)]],
                           device const float* activation_scales [[buffer(3)]],
                           device uchar* output [[buffer(4)]],
                           constant TernaryGemmParams& p [[buffer(5)]],
                           uint2 tile [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]]) {
  threadgroup uint4 row_tiles[2 * tile_vectors];  // one is read while the other is written
  threadgroup uint4 token_tiles[2 * tile_vectors];
  threadgroup int code_sums[tile_tokens * tile_blocks];

  const uint first_row = tile.x * tile_rows;
  const uint first_token = tile.y * tile_tokens;
  const uint own_row = thread_index % row_threads;  // and every row_threads-th from there
  const uint own_token = thread_index / row_threads * thread_tokens;
  const TileRows<Codes> weights =
      TileRows<Codes>::at(packed, p, first_row, thread_index);

  int sums[thread_tokens][thread_rows] = {};
  float totals[thread_tokens][thread_rows] = {};
  int own_code_sums[thread_blocks] = {};  // of the blocks of this group that this thread fetched

  uint end = end_of_step(p, 0);
  RowPiece row_piece = fetch_rows(weights, thread_index, 0);
  TokenPiece token_piece =
      fetch_tokens(codes, p, first_token, thread_index, 0, end);
  uint buffer = 0;
  for (uint begin = 0; begin < p.code_cols; buffer ^= 1) {
    threadgroup uint4* row_tile = row_tiles + buffer * tile_vectors;
    threadgroup uint4* token_tile = token_tiles + buffer * tile_vectors;
    store_row_codes<Codes>(row_tile, thread_index, row_piece);
    store_token_codes(token_tile, thread_index, token_piece);
    for (uint i = 0; i < thread_blocks; ++i) {
      own_code_sums[i] = sum_codes(token_piece.quads[i], own_code_sums[i]);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint group = begin / p.layout.group_cols;
    begin = end;
    const bool ends_group = end == p.code_cols || end % p.layout.group_cols == 0;
    if (begin < p.code_cols) {  // on their way while this tile is multiplied
      end = end_of_step(p, begin);
      row_piece = fetch_rows(weights, thread_index, begin);
      token_piece = fetch_tokens(codes, p, first_token, thread_index, begin, end);
    }

    for (uint block = 0; block < tile_blocks; ++block) {
      uint4 w[thread_rows];
      for (uint r = 0; r < thread_rows; ++r) {
        w[r] = row_tile[(own_row + r * row_threads) * tile_stride + block];
      }
      for (uint t = 0; t < thread_tokens; ++t) {
        const uint4 x = token_tile[(own_token + t) * tile_stride + block];
        for (uint r = 0; r < thread_rows; ++r) {
          int sum = dot4_u8_i8(w[r].x, x.x, sums[t][r]);
          sum = dot4_u8_i8(w[r].y, x.y, sum);
          sum = dot4_u8_i8(w[r].z, x.z, sum);
          sums[t][r] = dot4_u8_i8(w[r].w, x.w, sum);
        }
      }
    }

    if (!ends_group) continue;
    for (uint i = 0; i < thread_blocks; ++i) {
      code_sums[AlongRows::number(i, thread_index)] = own_code_sums[i];
      own_code_sums[i] = 0;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint t = 0; t < thread_tokens; ++t) {
      const uint tile_token = own_token + t;
      const uint token = min(first_token + tile_token, p.tokens - 1);
      int zero = 0;
      for (uint i = 0; i < tile_blocks; ++i) zero += code_sums[tile_token * tile_blocks + i];
      for (uint r = 0; r < thread_rows; ++r) {
        const int sum = sums[t][r] - zero;
        if (p.dtype == output_i32) {
          sums[t][r] = sum;  // the only group
          continue;
        }
        const uint row = min(first_row + own_row + r * row_threads, p.layout.rows - 1);
        const float product = scaled(sum, weight_scales[ulong(row) * p.layout.scale_stride + group],
                                     activation_scales[token]);
        totals[t][r] = group == 0 ? product : totals[t][r] + product;
        sums[t][r] = 0;
      }
    }
  }

  for (uint t = 0; t < thread_tokens; ++t) {
    const uint token = first_token + own_token + t;
    for (uint r = 0; r < thread_rows; ++r) {
      const uint row = first_row + own_row + r * row_threads;
      if (token >= p.tokens || row >= p.layout.rows) continue;
      const ulong index = ulong(token) * p.layout.rows + row;
      if (p.dtype == output_i32) {
        ((device int*)output)[index] = sums[t][r];
      } else {
        store_float(output, p.dtype, index, totals[t][r]);
      }
    }
  }
}

// --- with simdgroup_matrix ---
//
// Codes become halves without arithmetic: 0, 1, 2 shifted to bit 10 are 0, 2^-14, 2^-13. The sums
// of their products with activation codes, in units of 2^-14, are integers of at most 2 * 128 *
// cols, which floats add in any order without rounding while cols <= 65536.
constant constexpr float code_unit = 16384.0f;

// Four columns as two pairs of halves: first and third, second and fourth.
static uint2 code_halves(uint word, uint quad) {  // of a word of TwoBitTiled
  return uint2(word << (10 - 2 * quad) & 0x0c000c00u,
               word >> 8 << (10 - 2 * quad) & 0x0c000c00u);
}
static uint2 activation_halves(uint quad) {
  // 0x6400 | u is the half 1024 + u; u = code + 128 is the code's byte with its sign turned.
  const half2 even = as_type<half2>((quad & 0x00ff00ffu) ^ 0x64806480u) - half2(1152.0h);
  const half2 odd = as_type<half2>((quad >> 8 & 0x00ff00ffu) ^ 0x64806480u) - half2(1152.0h);
  return uint2(as_type<uint>(even), as_type<uint>(odd));
}

// Halves of a tile's row, and eight of padding, so that the rows of a matrix lie in other banks.
constant constexpr uint matrix_stride = tile_cols + 8;
constant constexpr uint matrix_vectors = matrix_stride / 8;  // of four words
constant constexpr uint sums_stride = tile_rows + 4;  // floats of a token's sums while being scaled
static_assert(tile_tokens * sums_stride * 4 <= (tile_rows + tile_tokens) * matrix_stride * 2,
              "the sums take the place of the tiles");

template <typename Codes>
static void store_row_halves(threadgroup uint4* tile, uint thread_index, RowPiece piece) {
  typedef RowOrder<Codes> Order;
  for (uint i = 0; i < thread_blocks; ++i) {
    threadgroup uint4* to =
        tile + Order::row(i, thread_index) * matrix_vectors + Order::block(i, thread_index) * 2;
    const uint word = piece.words[i];
    to[0] = uint4(code_halves(word, 0), code_halves(word, 1));
    to[1] = uint4(code_halves(word, 2), code_halves(word, 3));
  }
}
static void store_token_halves(threadgroup uint4* tile, uint thread_index,
                               TokenPiece piece) {
  typedef AlongRows Order;
  for (uint i = 0; i < thread_blocks; ++i) {
    threadgroup uint4* to =
        tile + Order::row(i, thread_index) * matrix_vectors + Order::block(i, thread_index) * 2;
    const uint4 quads = piece.quads[i];
    to[0] = uint4(activation_halves(quads.x), activation_halves(quads.y));
    to[1] = uint4(activation_halves(quads.z), activation_halves(quads.w));
  }
}

// One group of scales. SIMD-group s computes tokens 32 (s / 2) .. and rows 32 (s % 2) .. of a tile.
template <typename Codes>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_matrices(device const uchar* packed [[buffer(0)]],
                              device const float* weight_scales [[buffer(1)]],
                              device const uchar* codes [[buffer(2)]],
                              device const float* activation_scales [[buffer(3)]],
                              device uchar* output [[buffer(4)]],
                              constant TernaryGemmParams& p [[buffer(5)]],
                              uint2 tile [[threadgroup_position_in_grid]],
                              uint thread_index [[thread_index_in_threadgroup]],
                              uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  threadgroup uint4 tiles[(tile_rows + tile_tokens) * matrix_vectors];
  threadgroup int code_sums[tile_tokens * tile_blocks];
  threadgroup uint4* row_tile = tiles;
  threadgroup uint4* token_tile = tiles + tile_rows * matrix_vectors;

  const uint first_row = tile.x * tile_rows;
  const uint first_token = tile.y * tile_tokens;
  const TileRows<Codes> weights =
      TileRows<Codes>::at(packed, p, first_row, thread_index);
  const uint own_row = simdgroup % 2 * 32;
  const uint own_token = simdgroup / 2 * 32;
  threadgroup const half* rows = (threadgroup const half*)row_tile + own_row * matrix_stride;
  threadgroup const half* tokens =
      (threadgroup const half*)token_tile + own_token * matrix_stride;

  simdgroup_float8x8 sums[4][4];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) sums[i][j] = make_filled_simdgroup_matrix<float, 8>(0.0f);
  }
  int own_code_sums[thread_blocks] = {};

  RowPiece row_piece = fetch_rows(weights, thread_index, 0);
  TokenPiece token_piece = fetch_tokens(codes, p, first_token, thread_index, 0, p.code_cols);
  for (uint col = 0; col < p.code_cols; col += tile_cols) {
    store_row_halves<Codes>(row_tile, thread_index, row_piece);
    store_token_halves(token_tile, thread_index, token_piece);
    for (uint i = 0; i < thread_blocks; ++i) {
      own_code_sums[i] = sum_codes(token_piece.quads[i], own_code_sums[i]);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint next = col + tile_cols;
    if (next < p.code_cols) {  // on their way while this tile is multiplied
      row_piece = fetch_rows(weights, thread_index, next);
      token_piece = fetch_tokens(codes, p, first_token, thread_index, next, p.code_cols);
    }
#pragma unroll
    for (uint k = 0; k < tile_cols; k += 16) {
      simdgroup_half8x8 x[4][2];
      simdgroup_half8x8 w[4][2];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 2; ++j) {
          const uint at = 8 * i * matrix_stride + k + 8 * j;
          simdgroup_load(x[i][j], tokens + at, matrix_stride);
          simdgroup_load(w[i][j], rows + at, matrix_stride, ulong2(0UL), true);
        }
      }
      for (uint i = 0; i < 4; i += 2) {
        for (uint j = 0; j < 4; ++j) {
          multiply_accumulate_blocks(sums[i][j], sums[i + 1][j], x[i][0], x[i][1], x[i + 1][0],
                                     x[i + 1][1], w[j][0], w[j][1]);
        }
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }

  threadgroup float* all_sums = (threadgroup float*)tiles;
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      simdgroup_store(sums[i][j],
                      all_sums + (own_token + 8 * i) * sums_stride + own_row + 8 * j,
                      sums_stride);
    }
  }
  for (uint i = 0; i < thread_blocks; ++i) {
    code_sums[AlongRows::number(i, thread_index)] = own_code_sums[i];
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  const uint row = first_row + thread_index % tile_rows;
  if (row >= p.layout.rows) return;
  const bool scale = p.dtype != output_i32;
  const float weight_scale = scale ? weight_scales[ulong(row) * p.layout.scale_stride] : 0.0f;
  for (uint t = thread_index / tile_rows; t < tile_tokens; t += threads / tile_rows) {
    const uint token = first_token + t;
    if (token >= p.tokens) return;
    int sum = int(all_sums[t * sums_stride + thread_index % tile_rows] * code_unit);
    for (uint i = 0; i < tile_blocks; ++i) sum -= code_sums[t * tile_blocks + i];
    const ulong index = ulong(token) * p.layout.rows + row;
    if (scale) {
      store_float(output, p.dtype, index, scaled(sum, weight_scale, activation_scales[token]));
    } else {
      ((device int*)output)[index] = sum;
    }
  }
}

#define INSTANTIATE(name, Codes)                                                              \
  template [[host_name("multiply_tiles_" #name)]] kernel decltype(multiply_tiles<Codes>)      \
      multiply_tiles<Codes>;                                                                  \
  template [[host_name("multiply_matrices_" #name)]] kernel decltype(multiply_matrices<Codes>) \
      multiply_matrices<Codes>;
INSTANTIATE(2bit, TwoBit)
INSTANTIATE(2bit_tiled, TwoBitTiled)
INSTANTIATE(5in8, FiveInEight)
INSTANTIATE(3in5, ThreeInFive)
#undef INSTANTIATE
