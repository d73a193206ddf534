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

constant constexpr uint dot_blocks = 2;  // fetched by a thread, of 128
constant constexpr uint dot_parts = tile_blocks / dot_blocks;
constant constexpr uint thread_tokens = 8;
constant constexpr uint thread_rows = 4;
constant constexpr uint row_threads = tile_rows / thread_rows;  // side by side in a tile
// Words of four columns, and four of padding: eight threads read eight rows' vectors of four words
// from different banks.
constant constexpr uint tile_stride = tile_cols / 4 + 4;
constant constexpr uint tile_words = tile_rows * tile_stride;

static void store_row(threadgroup uint* tile, uint row, uint part, RowPiece<dot_blocks> piece) {
  for (uint i = 0; i < 4 * dot_blocks; ++i) {
    tile[row * tile_stride + part * 4 * dot_blocks + i] =
        piece.words[i / 4] >> (2 * (i % 4)) & 0x03030303u;  // columns 4 (i % 4) .. + 3
  }
}
static void store_token(threadgroup uint* tile, uint token, uint part,
                        TokenPiece<dot_blocks> piece) {
  for (uint i = 0; i < 4 * dot_blocks; ++i) {
    tile[token * tile_stride + part * 4 * dot_blocks + i] = piece.quads[i / 4][i % 4];
  }
}

// Threads: thread_tokens x thread_rows of the tile each; neighbours take neighbouring rows.
template <typename Codes>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_tiles(device const uchar* packed [[buffer(0)]],
                           device const float* weight_scales [[buffer(1)]],
                           device const uchar* codes [[buffer(2)]],
                           device const float* activation_scales [[buffer(3)]],
                           device uchar* output [[buffer(4)]],
                           constant TernaryGemmParams& p [[buffer(5)]],
                           uint2 tile [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]]) {
  threadgroup uint row_tiles[2 * tile_words];    // one is read while the other is written
  threadgroup uint token_tiles[2 * tile_words];
  threadgroup int code_sums[dot_parts * tile_tokens];

  const uint first_row = tile.x * tile_rows;
  const uint first_token = tile.y * tile_tokens;
  const uint own_row = thread_index % row_threads;  // and every row_threads-th from there
  const uint own_token = thread_index / row_threads * thread_tokens;
  const uint fetched_row = FetchOrder<Codes>::row(thread_index, dot_parts);
  const uint row_part = FetchOrder<Codes>::part(thread_index, dot_parts);
  const Row<Codes> weights = row_of<Codes>(packed, p, first_row + fetched_row);
  const uint blocks = (p.layout.cols + 15) / 16;
  const uint fetched_token = thread_index / dot_parts;
  const uint token_part = thread_index % dot_parts;
  const uint row_col = row_part * dot_blocks * block_cols;  // in a tile
  const uint token_col = token_part * dot_blocks * block_cols;

  int sums[thread_tokens][thread_rows] = {};
  float totals[thread_tokens][thread_rows] = {};
  int code_sum = 0;  // of this group's codes that this thread fetched

  uint end = end_of_step(p, 0);
  RowPiece<dot_blocks> row_piece = fetch_row<dot_blocks>(weights, row_col, blocks);
  TokenPiece<dot_blocks> token_piece = fetch_token<dot_blocks>(codes, p, first_token + fetched_token,
                                       token_col, end);
  uint buffer = 0;
  for (uint begin = 0; begin < p.code_cols; buffer ^= 1) {
    threadgroup uint* row_tile = row_tiles + buffer * tile_words;
    threadgroup uint* token_tile = token_tiles + buffer * tile_words;
    store_row(row_tile, fetched_row, row_part, row_piece);
    store_token(token_tile, fetched_token, token_part, token_piece);
    code_sum += sum_codes(token_piece);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint group = begin / p.layout.group_cols;
    begin = end;
    const bool ends_group = end == p.code_cols || end % p.layout.group_cols == 0;
    if (begin < p.code_cols) {  // on their way while this tile is multiplied
      end = end_of_step(p, begin);
      row_piece = fetch_row<dot_blocks>(weights, begin + row_col, blocks);
      token_piece = fetch_token<dot_blocks>(codes, p, first_token + fetched_token,
                                begin + token_col, end);
    }

    for (uint quad = 0; quad < tile_cols / 4; quad += 4) {
      uint4 w[thread_rows];
      for (uint r = 0; r < thread_rows; ++r) {
        w[r] = *(threadgroup const uint4*)(row_tile + (own_row + r * row_threads) * tile_stride +
                                           quad);
      }
      for (uint t = 0; t < thread_tokens; ++t) {
        const uint4 x = *(threadgroup const uint4*)(token_tile + (own_token + t) * tile_stride +
                                                    quad);
        for (uint r = 0; r < thread_rows; ++r) {
          int sum = dot4_u8_i8(w[r].x, x.x, sums[t][r]);
          sum = dot4_u8_i8(w[r].y, x.y, sum);
          sum = dot4_u8_i8(w[r].z, x.z, sum);
          sums[t][r] = dot4_u8_i8(w[r].w, x.w, sum);
        }
      }
    }

    if (!ends_group) continue;
    code_sums[thread_index] = code_sum;
    code_sum = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint t = 0; t < thread_tokens; ++t) {
      const uint tile_token = own_token + t;
      const uint token = min(first_token + tile_token, p.tokens - 1);
      const int zero = code_sums[2 * tile_token] + code_sums[2 * tile_token + 1];
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

template <uint kBlocks>
static void store_row(threadgroup uint4* tile, uint row, uint part, RowPiece<kBlocks> piece) {
  for (uint i = 0; i < 2 * kBlocks; ++i) {
    const uint word = piece.words[i / 2];
    tile[row * matrix_vectors + part * 2 * kBlocks + i] =
        uint4(code_halves(word, i % 2 * 2), code_halves(word, i % 2 * 2 + 1));
  }
}
template <uint kBlocks>
static void store_token(threadgroup uint4* tile, uint token, uint part,
                        TokenPiece<kBlocks> piece) {
  for (uint i = 0; i < 2 * kBlocks; ++i) {
    const uint4 quads = piece.quads[i / 2];
    const uint2 pair = i % 2 == 0 ? quads.xy : quads.zw;
    tile[token * matrix_vectors + part * 2 * kBlocks + i] =
        uint4(activation_halves(pair.x), activation_halves(pair.y));
  }
}

// One group of scales. A SIMD-group computes 32 tokens and 16 kBlocks rows of a tile.
template <typename Codes, uint kBlocks>
[[max_total_threads_per_threadgroup(256)]]
kernel void multiply_matrices(device const uchar* packed [[buffer(0)]],
                              device const float* weight_scales [[buffer(1)]],
                              device const uchar* codes [[buffer(2)]],
                              device const float* activation_scales [[buffer(3)]],
                              device uchar* output [[buffer(4)]],
                              constant TernaryGemmParams& p [[buffer(5)]],
                              uint2 tile [[threadgroup_position_in_grid]],
                              uint thread_index [[thread_index_in_threadgroup]],
                              uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  constexpr uint parts = tile_blocks / kBlocks;  // of a row, by threads
  constexpr uint threads = parts * tile_rows;
  constexpr uint simdgroup_tokens = 32;
  constexpr uint simdgroup_rows = 16 * kBlocks;
  threadgroup uint4 tiles[(tile_rows + tile_tokens) * matrix_vectors];
  threadgroup int code_sums[parts * tile_tokens];
  threadgroup uint4* row_tile = tiles;
  threadgroup uint4* token_tile = tiles + tile_rows * matrix_vectors;

  const uint first_row = tile.x * tile_rows;
  const uint first_token = tile.y * tile_tokens;
  const uint fetched_row = FetchOrder<Codes>::row(thread_index, parts);
  const uint row_part = FetchOrder<Codes>::part(thread_index, parts);
  const Row<Codes> weights = row_of<Codes>(packed, p, first_row + fetched_row);
  const uint blocks = (p.layout.cols + 15) / 16;
  const uint fetched_token = thread_index / parts;
  const uint token_part = thread_index % parts;
  const uint row_col = row_part * kBlocks * block_cols;  // in a tile
  const uint token_col = token_part * kBlocks * block_cols;
  const uint block_row = simdgroup % parts * simdgroup_rows;
  const uint block_token = simdgroup / parts * simdgroup_tokens;
  threadgroup const half* rows = (threadgroup const half*)row_tile + block_row * matrix_stride;
  threadgroup const half* tokens =
      (threadgroup const half*)token_tile + block_token * matrix_stride;

  simdgroup_float8x8 sums[4][2 * kBlocks];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 2 * kBlocks; ++j) sums[i][j] = make_filled_simdgroup_matrix<float, 8>(0.0f);
  }
  int code_sum = 0;

  RowPiece<kBlocks> row_piece = fetch_row<kBlocks>(weights, row_col, blocks);
  TokenPiece<kBlocks> token_piece = fetch_token<kBlocks>(codes, p, first_token + fetched_token,
                                       token_col, p.code_cols);
  for (uint col = 0; col < p.code_cols; col += tile_cols) {
    store_row(row_tile, fetched_row, row_part, row_piece);
    store_token(token_tile, fetched_token, token_part, token_piece);
    code_sum += sum_codes(token_piece);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint next = col + tile_cols;
    if (next < p.code_cols) {  // on their way while this tile is multiplied
      row_piece = fetch_row<kBlocks>(weights, next + row_col, blocks);
      token_piece = fetch_token<kBlocks>(codes, p, first_token + fetched_token,
                                next + token_col, p.code_cols);
    }
#pragma unroll
    for (uint k = 0; k < tile_cols; k += 16) {
      simdgroup_half8x8 x[4][2];
      simdgroup_half8x8 w[2 * kBlocks][2];
      for (uint j = 0; j < 2; ++j) {
        for (uint i = 0; i < 4; ++i) {
          simdgroup_load(x[i][j], tokens + 8 * i * matrix_stride + k + 8 * j, matrix_stride);
        }
        for (uint i = 0; i < 2 * kBlocks; ++i) {
          simdgroup_load(w[i][j], rows + 8 * i * matrix_stride + k + 8 * j, matrix_stride,
                         ulong2(0UL), true);
        }
      }
      for (uint i = 0; i < 4; i += 2) {
        for (uint j = 0; j < 2 * kBlocks; ++j) {
          multiply_accumulate_blocks(sums[i][j], sums[i + 1][j], x[i][0], x[i][1], x[i + 1][0],
                                     x[i + 1][1], w[j][0], w[j][1]);
        }
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }

  threadgroup float* all_sums = (threadgroup float*)tiles;
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 2 * kBlocks; ++j) {
      simdgroup_store(sums[i][j],
                      all_sums + (block_token + 8 * i) * sums_stride + block_row + 8 * j,
                      sums_stride);
    }
  }
  code_sums[thread_index] = code_sum;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  const uint row = first_row + thread_index % tile_rows;
  if (row >= p.layout.rows) return;
  const bool scale = p.dtype != output_i32;
  const float weight_scale = scale ? weight_scales[ulong(row) * p.layout.scale_stride] : 0.0f;
  for (uint t = thread_index / tile_rows; t < tile_tokens; t += threads / tile_rows) {
    const uint token = first_token + t;
    if (token >= p.tokens) return;
    int sum = int(all_sums[t * sums_stride + thread_index % tile_rows] * code_unit);
    for (uint i = 0; i < parts; ++i) sum -= code_sums[t * parts + i];
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
  template [[host_name("multiply_matrices_" #name)]] kernel decltype(                          \
      multiply_matrices<Codes, 1>) multiply_matrices<Codes, 1>;
INSTANTIATE(2bit, TwoBit)
INSTANTIATE(2bit_tiled, TwoBitTiled)
INSTANTIATE(5in8, FiveInEight)
INSTANTIATE(3in5, ThreeInFive)
#undef INSTANTIATE
