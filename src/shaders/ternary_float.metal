// SPDX-License-Identifier: MIT
// Ternary weights times float activations, for models without activation quantization:
// output[t, n] = sum over k of trit[n, k] * scale(n, k) * x[t, k], accumulated in float.
//
// A product of a trit and a float is exact, so that each term costs one rounding, that of its
// addition, however fma is compiled; group scales cost another one.
#include <metal_stdlib>

#include "shaders/dtypes.metal.h"
#include "shaders/packing.metal.h"
#include "shaders/quads.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

using namespace metal;

// The trits of a piece of a packing, as halves, which every GPU multiplies with floats at no cost.
//
// Two codes of 0 .. 2, sixteen bits apart, as halves less one: 0x6400 | c is the half 1024 + c.
static half2 trit_pair(uint codes) {
  return as_type<half2>(codes | 0x64006400u) - half2(1025.0h);
}
// Four bytes, in one load where they are aligned.
static uint load_word(device const uchar* bytes, bool aligned) {
  if (aligned) return *(device const uint*)bytes;
  return uint(bytes[0]) | uint(bytes[1]) << 8u | uint(bytes[2]) << 16u | uint(bytes[3]) << 24u;
}

template <typename Codes>
struct Trits;
template <>
struct Trits<TwoBit> {
  typedef uint Bits;
  static Bits load(device const uchar* piece, bool aligned) { return load_word(piece, aligned); }
  static void decode(Bits bits, thread half* trits) {
    for (uint i = 0; i < 8; ++i) {
      const half2 pair = trit_pair(bits >> (2u * i) & 0x00030003u);
      trits[i] = pair.x;
      trits[8 + i] = pair.y;
    }
  }
};
template <>
struct Trits<TwoBitTiled> {
  typedef uint Bits;
  static Bits load(device const uchar* piece, bool aligned) { return load_word(piece, aligned); }
  static void decode(Bits bits, thread half* trits) {
    for (uint i = 0; i < 8; ++i) {  // bit 8 k + 2 j of the word begins column 4 j + k
      const uint k = i / 4u;
      const uint j = i % 4u;
      const half2 pair = trit_pair(bits >> (8u * k + 2u * j) & 0x00030003u);
      trits[4 * j + k] = pair.x;
      trits[4 * j + k + 2] = pair.y;
    }
  }
};
template <>
struct Trits<FiveInEight> {
  typedef uint Bits;
  static Bits load(device const uchar* piece, bool aligned) { return load_word(piece, aligned); }
  static void decode(Bits bits, thread half* trits) {
    for (uint i = 0; i < 2; ++i) {  // bytes i and i + 2
      uint rest = bits >> (8u * i) & 0x00ff00ffu;
      for (uint digit = 0; digit < 5; ++digit) {
        const uint product = rest * 3u;
        const half2 pair = trit_pair(product >> 8u & 0x00030003u);
        trits[5 * i + digit] = pair.x;
        trits[5 * i + digit + 10] = pair.y;
        rest = product & 0x00ff00ffu;
      }
    }
  }
};
template <>
struct Trits<ThreeInFive> {
  typedef uint2 Bits;  // four fields of five bits in each
  static Bits load(device const uchar* piece, bool) {
    const uint middle = piece[2];
    return uint2(uint(piece[0]) | uint(piece[1]) << 8u | (middle & 15u) << 16u,
                 middle >> 4u | uint(piece[3]) << 4u | uint(piece[4]) << 12u);
  }
  static void decode(Bits bits, thread half* trits) {
    for (uint field = 0; field < 4; ++field) {
      // 43 / 128 is a third, rounded down, of numbers below 32; the halves do not carry.
      const uint value = (bits.x >> (5u * field) & 31u) | (bits.y >> (5u * field) & 31u) << 16u;
      const uint third = value * 43u >> 7u & 0x000f000fu;
      const uint ninth = third * 43u >> 7u & 0x00030003u;
      const half2 pairs[3] = {trit_pair(value - 3u * third), trit_pair(third - 3u * ninth),
                              trit_pair(ninth)};
      for (uint i = 0; i < 3; ++i) {
        trits[3 * field + i] = pairs[i].x;
        trits[3 * field + i + 12] = pairs[i].y;
      }
    }
  }
};

// Whether columns of one piece may differ in their scale.
static bool splits_pieces(uint groups, uint group_cols, uint columns) {
  return groups > 1u && group_cols % columns != 0u;
}
// Of a row's scales; columns past the end have the last one.
static float scale_at(device const float* scales, uint col, uint cols, uint group_cols) {
  return scales[min(col, cols - 1u) / group_cols];
}

// --- one to eight tokens: the weights are read once ------------------------------------------

// A SIMD-group takes kRows rows; its lanes take every 32nd piece of them. kTokens bounds p.tokens.
template <typename Codes, typename T, uint kRows, uint kTokens>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_float_vectors(device const uchar* packed [[buffer(0)]],
                                   device const float* scales [[buffer(1)]],
                                   device const T* x [[buffer(2)]],
                                   device uchar* output [[buffer(3)]],
                                   constant TernaryFloatParams& p [[buffer(4)]],
                                   uint threadgroup_index [[threadgroup_position_in_grid]],
                                   uint lane [[thread_index_in_simdgroup]],
                                   uint simdgroup [[simdgroup_index_in_threadgroup]],
                                   uint simdgroups [[simdgroups_per_threadgroup]]) {
  enum : uint { columns = Codes::piece_cols };
  const uint cols = p.layout.cols;
  const uint group_cols = p.layout.group_cols;
  const bool grouped = p.groups > 1u;
  const uint first_row = (threadgroup_index * simdgroups + simdgroup) * kRows;
  if (first_row >= p.layout.rows) return;

  uint rows[kRows];  // past the end, the last one again
  float sums[kRows][kTokens];
#pragma unroll
  for (uint r = 0; r < kRows; ++r) {
    rows[r] = min(first_row + r, p.layout.rows - 1u);
    for (uint t = 0; t < kTokens; ++t) sums[r][t] = 0.0f;
  }

  if (splits_pieces(p.groups, group_cols, columns)) {
    for (uint col = lane; col < cols; col += 32u) {
      float weights[kRows];
      for (uint r = 0; r < kRows; ++r) {
        const float trit = float(Codes::code(packed, cols, rows[r], col)) - 1.0f;
        weights[r] = trit * scales[ulong(rows[r]) * p.layout.scale_stride + col / group_cols];
      }
#pragma unroll
      for (uint t = 0; t < kTokens; ++t) {
        if (t >= p.tokens) continue;
        const float value = float(x[ulong(t) * cols + col]);
        for (uint r = 0; r < kRows; ++r) sums[r][t] = fma(weights[r], value, sums[r][t]);
      }
    }
  } else {
    for (uint piece = lane; piece * columns < cols; piece += 32u) {
      half trits[kRows][columns];
      float piece_scales[kRows];
#pragma unroll
      for (uint r = 0; r < kRows; ++r) {
        device const uchar* bytes = packed + Codes::offset(cols, rows[r], piece);
        Trits<Codes>::decode(Trits<Codes>::load(bytes, p.whole_words != 0u), trits[r]);
        piece_scales[r] = 1.0f;
        if (grouped) {
          piece_scales[r] =
              scales[ulong(rows[r]) * p.layout.scale_stride + piece * columns / group_cols];
        }
      }
#pragma unroll
      for (uint t = 0; t < kTokens; ++t) {  // unrolled, so that the sums stay in registers
        if (t >= p.tokens) continue;
        float dots[kRows];
        for (uint r = 0; r < kRows; ++r) dots[r] = 0.0f;
#pragma unroll
        for (uint c = 0; c < columns; c += 4u) {
          const uint col = piece * columns + c;
          if (col >= cols) continue;
          const float4 quad = load_quad(x + ulong(t) * cols, col, cols, p.aligned != 0u);
#pragma unroll
          for (uint r = 0; r < kRows; ++r) {
            for (uint i = 0; i < 4; ++i) dots[r] = fma(float(trits[r][c + i]), quad[i], dots[r]);
          }
        }
        for (uint r = 0; r < kRows; ++r) sums[r][t] = fma(piece_scales[r], dots[r], sums[r][t]);
      }
    }
  }

#pragma unroll
  for (uint r = 0; r < kRows; ++r) {
    // Without columns there is no group, and no scale.
    const float scale =
        p.groups == 1u ? scales[ulong(rows[r]) * p.layout.scale_stride] : 1.0f;
#pragma unroll
    for (uint t = 0; t < kTokens; ++t) {
      if (t >= p.tokens) continue;
      const float sum = simd_sum(sums[r][t]);
      if (lane == 0u && first_row + r < p.layout.rows) {
        store_float(output, p.dtype, ulong(t) * p.layout.rows + first_row + r, sum * scale);
      }
    }
  }
}
#define INSTANTIATE(packing, Codes, name, T)                                               \
  template [[host_name("multiply_float_vector_" #packing "_" #name)]] kernel decltype(     \
      multiply_float_vectors<Codes, T, 4, 1>) multiply_float_vectors<Codes, T, 4, 1>;      \
  template [[host_name("multiply_float_vectors_" #packing "_" #name)]] kernel decltype(    \
      multiply_float_vectors<Codes, T, 2, 8>) multiply_float_vectors<Codes, T, 2, 8>;
#define INSTANTIATE_FLOATS(packing, Codes)  \
  INSTANTIATE(packing, Codes, f32, float)   \
  INSTANTIATE(packing, Codes, f16, half)    \
  INSTANTIATE(packing, Codes, bf16, bfloat)
INSTANTIATE_FLOATS(2bit, TwoBit)
INSTANTIATE_FLOATS(2bit_tiled, TwoBitTiled)
INSTANTIATE_FLOATS(5in8, FiveInEight)
INSTANTIATE_FLOATS(3in5, ThreeInFive)
#undef INSTANTIATE_FLOATS
#undef INSTANTIATE

// --- many tokens -----------------------------------------------------------------------------

// A threadgroup of 128 threads computes 64 rows by 32 tokens, each thread 4 by 4 of them. Both
// operands pass through threadgroup memory, two pieces of columns at a time: every thread decodes
// one piece, and scales it there, which is exact.
template <typename Codes>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_float_tiles(device const uchar* packed [[buffer(0)]],
                                 device const float* scales [[buffer(1)]],
                                 device const uchar* x [[buffer(2)]],
                                 device uchar* output [[buffer(3)]],
                                 constant TernaryFloatParams& p [[buffer(4)]],
                                 uint2 tile [[threadgroup_position_in_grid]],
                                 uint thread_index [[thread_index_in_threadgroup]]) {
  enum : uint {
    threads = 128,
    tile_rows = 64,
    tile_tokens = 32,
    columns = Codes::piece_cols,
    depth = 2 * columns,
    // One quad more than needed, so that a column's tokens are spread over the memory banks.
    token_stride = tile_tokens + 4
  };
  threadgroup float4 weights[depth * tile_rows / 4];
  threadgroup float4 values[depth * token_stride / 4];
  threadgroup float* weight_floats = (threadgroup float*)weights;
  threadgroup float* value_floats = (threadgroup float*)values;
  const uint cols = p.layout.cols;
  const uint group_cols = p.layout.group_cols;
  const bool split = splits_pieces(p.groups, group_cols, columns);

  // What this thread decodes and what it computes.
  const uint decoded = thread_index % tile_rows;
  const uint decoded_row = min(tile.x * tile_rows + decoded, p.layout.rows - 1u);
  device const float* row_scales = scales + ulong(decoded_row) * p.layout.scale_stride;
  const uint row_quad = thread_index % 16u;
  const uint token_quad = thread_index / 16u;
  float sums[4][4];
  for (uint r = 0; r < 4; ++r) {
    for (uint t = 0; t < 4; ++t) sums[r][t] = 0.0f;
  }

  for (uint begin = 0; begin < cols; begin += depth) {
    threadgroup_barrier(mem_flags::mem_threadgroup);  // the last tile has been used
    const uint slice = thread_index / tile_rows * columns;
    const uint col = begin + slice;
    half trits[columns];
    for (uint c = 0; c < columns; ++c) trits[c] = 0.0h;
    float scale = 0.0f;
    if (col < cols) {
      device const uchar* bytes = packed + Codes::offset(cols, decoded_row, col / columns);
      Trits<Codes>::decode(Trits<Codes>::load(bytes, p.whole_words != 0u), trits);
      scale = scale_at(row_scales, col, cols, group_cols);
    }
    for (uint c = 0; c < columns; ++c) {
      if (split) scale = scale_at(row_scales, col + c, cols, group_cols);
      weight_floats[(slice + c) * tile_rows + decoded] = float(trits[c]) * scale;
    }
    for (uint i = thread_index; i < depth * tile_tokens; i += threads) {
      const uint k = i % depth;
      const uint t = i / depth;
      const uint token = tile.y * tile_tokens + t;
      float value = 0.0f;
      if (begin + k < cols && token < p.tokens) {
        value = load_float(x, p.x_dtype, ulong(token) * cols + begin + k);
      }
      value_floats[k * token_stride + t] = value;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint k = 0; k < depth; ++k) {
      const float4 w = weights[k * (tile_rows / 4) + row_quad];
      const float4 v = values[k * (token_stride / 4) + token_quad];
      for (uint r = 0; r < 4; ++r) {
        for (uint t = 0; t < 4; ++t) sums[r][t] = fma(w[r], v[t], sums[r][t]);
      }
    }
  }

  for (uint t = 0; t < 4; ++t) {
    const uint token = tile.y * tile_tokens + 4u * token_quad + t;
    for (uint r = 0; r < 4; ++r) {
      const uint row = tile.x * tile_rows + 4u * row_quad + r;
      if (token < p.tokens && row < p.layout.rows) {
        store_float(output, p.dtype, ulong(token) * p.layout.rows + row, sums[r][t]);
      }
    }
  }
}
#define INSTANTIATE(packing, Codes)                                                           \
  template [[host_name("multiply_float_tiles_" #packing)]] kernel decltype(                   \
      multiply_float_tiles<Codes>) multiply_float_tiles<Codes>;
INSTANTIATE(2bit, TwoBit)
INSTANTIATE(2bit_tiled, TwoBitTiled)
INSTANTIATE(5in8, FiveInEight)
INSTANTIATE(3in5, ThreeInFive)
#undef INSTANTIATE
