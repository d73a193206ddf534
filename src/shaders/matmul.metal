// SPDX-License-Identifier: MIT
// Dense weights times float activations: output[t, n] = sum over k of weights[n, k] * x[t, k], for
// i8 weights times scales[n].
//
// Every kernel adds the products of an output in one order, so that its bits do not depend on how
// many tokens are beside it: slice s of eight takes the columns k with k / 4 % 8 = s, in order,
// each product fused with its addition; then ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). Eight
// neighbouring lanes of a SIMD-group hold the slices of an output.
#include <metal_stdlib>

#include "shaders/quads.metal.h"
#include "shaders/shader_types.h"

using namespace metal;

constant constexpr uint slices = 8;
constant constexpr uint slice_cols = 4;
constant constexpr uint round_cols = slices * slice_cols;  // one quad of each slice

// bitnet::DType
enum FloatType : uint { type_f32 = 0, type_f16 = 1, type_bf16 = 2 };

static float multiply_add(float4 w, float4 x, float sum) {
  sum = fma(w.x, x.x, sum);
  sum = fma(w.y, x.y, sum);
  sum = fma(w.z, x.z, sum);
  return fma(w.w, x.w, sum);
}

// All eight lanes get the sum of their slices.
static float add_slices(float sum) {
  sum += simd_shuffle_xor(sum, 1);
  sum += simd_shuffle_xor(sum, 2);
  return sum + simd_shuffle_xor(sum, 4);
}

// i8 weights have a scale (a float) for each row; for others any buffer stands in, on any byte.
template <typename W>
struct RowScale {
  static float apply(float sum, device const uchar*, uint) { return sum; }
};
template <>
struct RowScale<char> {
  static float apply(float sum, device const uchar* scales, uint row) {
    return sum * ((device const float*)scales)[row];
  }
};

static void store(device uchar* output, uint dtype, ulong index, float value) {
  if (dtype == type_f32) {
    ((device float*)output)[index] = value;
  } else if (dtype == type_f16) {
    ((device half*)output)[index] = half(value);
  } else {
    ((device bfloat*)output)[index] = bfloat(value);
  }
}

// sums[kRows t + r] += the products of a slice of row r and token t. As long as kRounds quads of
// each row are left, they are all on their way before the first is used.
template <uint kTokens, uint kRows, uint kRounds, typename W, typename X>
static void add_products(device const W* weights, device const X* x, constant MatmulParams& p,
                         uint first_row, uint first_token, uint slice, thread float* sums) {
  device const W* rows[kRows];  // beyond the last the last again: its sums are not stored
  for (uint r = 0; r < kRows; ++r) {
    rows[r] = weights + ulong(min(first_row + r, p.rows - 1)) * p.cols;
  }
  device const X* tokens[kTokens];
  for (uint t = 0; t < kTokens; ++t) {
    tokens[t] = x + ulong(min(first_token + t, p.tokens - 1)) * p.cols;
  }
  uint col = slice * slice_cols;
  if (p.aligned != 0) {
    for (; col + (kRounds - 1) * round_cols < p.cols; col += kRounds * round_cols) {
      vec<W, 4> w[kRounds][kRows];
      for (uint i = 0; i < kRounds; ++i) {
        for (uint r = 0; r < kRows; ++r) {
          w[i][r] = *(device const vec<W, 4>*)(rows[r] + col + i * round_cols);
        }
      }
      for (uint i = 0; i < kRounds; ++i) {
        for (uint t = 0; t < kTokens; ++t) {
          const float4 activations =
              float4(*(device const vec<X, 4>*)(tokens[t] + col + i * round_cols));
          for (uint r = 0; r < kRows; ++r) {
            sums[t * kRows + r] = multiply_add(float4(w[i][r]), activations, sums[t * kRows + r]);
          }
        }
      }
    }
  }
  for (; col < p.cols; col += round_cols) {
    for (uint t = 0; t < kTokens; ++t) {
      const float4 activations = load_quad(tokens[t], col, p.cols, p.aligned != 0);
      for (uint r = 0; r < kRows; ++r) {
        const float4 w = load_quad(rows[r], col, p.cols, p.aligned != 0);
        sums[t * kRows + r] = multiply_add(w, activations, sums[t * kRows + r]);
      }
    }
  }
}

// Up to kTokens tokens with one read of the weights: lane 8 q + s of a SIMD-group computes slice s
// of kRows rows.
template <typename W, uint kTokens, uint kRows, uint kRounds>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_dense(device const W* weights [[buffer(0)]],
                           device const uchar* scales [[buffer(1)]],
                           device const uchar* x [[buffer(2)]],
                           device uchar* output [[buffer(3)]],
                           constant MatmulParams& p [[buffer(4)]],
                           uint2 threadgroup_position [[threadgroup_position_in_grid]],
                           uint simdgroup [[simdgroup_index_in_threadgroup]],
                           uint simdgroups [[simdgroups_per_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]]) {
  const uint slice = lane % slices;
  const uint first_row =
      ((threadgroup_position.x * simdgroups + simdgroup) * (32 / slices) + lane / slices) * kRows;
  const uint first_token = threadgroup_position.y * kTokens;
  float sums[kTokens * kRows] = {};
  if (p.x_dtype == type_f32) {
    add_products<kTokens, kRows, kRounds>(weights, (device const float*)x, p, first_row,
                                          first_token, slice, sums);
  } else if (p.x_dtype == type_f16) {
    add_products<kTokens, kRows, kRounds>(weights, (device const half*)x, p, first_row,
                                          first_token, slice, sums);
  } else {
    add_products<kTokens, kRows, kRounds>(weights, (device const bfloat*)x, p, first_row,
                                          first_token, slice, sums);
  }

  for (uint t = 0; t < kTokens; ++t) {
    for (uint r = 0; r < kRows; ++r) {
      const float sum = add_slices(sums[t * kRows + r]);
      const uint row = first_row + r;
      const uint token = first_token + t;
      if (slice == (t * kRows + r) % slices && row < p.rows && token < p.tokens) {
        store(output, p.dtype, ulong(token) * p.rows + row,
              RowScale<W>::apply(sum, scales, row));
      }
    }
  }
}

// --- many tokens ---
//
// A threadgroup of four SIMD-groups computes 32 rows x 32 tokens, a SIMD-group 16 x 16 and eight
// lanes 8 x 8. Tiles hold a quad of each slice: 32 columns.
constant constexpr uint tile_size = 32;  // rows and tokens
constant constexpr uint block = 8;  // rows and tokens of eight lanes

static float4 load_activations(device const uchar* x, constant MatmulParams& p, uint token,
                               uint col) {
  const ulong first = ulong(token) * p.cols;
  const bool aligned = p.aligned != 0;
  if (p.x_dtype == type_f32) return load_quad((device const float*)x + first, col, p.cols, aligned);
  if (p.x_dtype == type_f16) return load_quad((device const half*)x + first, col, p.cols, aligned);
  return load_quad((device const bfloat*)x + first, col, p.cols, aligned);
}

template <typename W>
[[max_total_threads_per_threadgroup(128)]]
kernel void multiply_dense_tiles(device const W* weights [[buffer(0)]],
                                 device const uchar* scales [[buffer(1)]],
                                 device const uchar* x [[buffer(2)]],
                                 device uchar* output [[buffer(3)]],
                                 constant MatmulParams& p [[buffer(4)]],
                                 uint2 tile [[threadgroup_position_in_grid]],
                                 uint thread_index [[thread_index_in_threadgroup]],
                                 uint simdgroup [[simdgroup_index_in_threadgroup]],
                                 uint lane [[thread_index_in_simdgroup]]) {
  threadgroup float4 row_tile[tile_size * slices];
  threadgroup float4 token_tile[tile_size * slices];

  const uint first_row = tile.x * tile_size;
  const uint first_token = tile.y * tile_size;
  const uint slice = lane % slices;
  const uint own_row = simdgroup % 2 * 2 * block + lane / slices % 2 * block;
  const uint own_token = simdgroup / 2 * 2 * block + lane / slices / 2 * block;
  // A thread fetches its slice's quad of two rows and two tokens.
  const uint fetched = thread_index / slices;
  const uint fetched_slice = thread_index % slices;

  float sums[block][block] = {};
  for (uint begin = 0; begin < p.cols; begin += round_cols) {
    const uint col = begin + fetched_slice * slice_cols;
    float4 rows[2];
    float4 tokens[2];
    for (uint i = 0; i < 2; ++i) {
      rows[i] = tokens[i] = float4(0.0f);
      if (col >= p.cols) continue;
      const uint row = min(first_row + fetched + 16 * i, p.rows - 1);
      rows[i] = load_quad(weights + ulong(row) * p.cols, col, p.cols, p.aligned != 0);
      tokens[i] =
          load_activations(x, p, min(first_token + fetched + 16 * i, p.tokens - 1), col);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // the last tile has been read
    for (uint i = 0; i < 2; ++i) {
      row_tile[(fetched + 16 * i) * slices + fetched_slice] = rows[i];
      token_tile[(fetched + 16 * i) * slices + fetched_slice] = tokens[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float4 w[block];
    for (uint r = 0; r < block; ++r) w[r] = row_tile[(own_row + r) * slices + slice];
    for (uint t = 0; t < block; ++t) {
      const float4 activations = token_tile[(own_token + t) * slices + slice];
      for (uint r = 0; r < block; ++r) sums[t][r] = multiply_add(w[r], activations, sums[t][r]);
    }
  }

  const uint row = first_row + own_row + slice;
  for (uint t = 0; t < block; ++t) {
    float own = 0.0f;  // lane s of eight stores row s
    for (uint r = 0; r < block; ++r) {
      const float sum = add_slices(sums[t][r]);
      if (r == slice) own = sum;
    }
    const uint token = first_token + own_token + t;
    if (row < p.rows && token < p.tokens) {
      store(output, p.dtype, ulong(token) * p.rows + row, RowScale<W>::apply(own, scales, row));
    }
  }
}

#define INSTANTIATE(name, W, kRounds)                                                            \
  template [[host_name("multiply_dense_" #name "_t1")]] kernel decltype(                         \
      multiply_dense<W, 1, 2, kRounds>) multiply_dense<W, 1, 2, kRounds>;                        \
  template [[host_name("multiply_dense_" #name "_t4")]] kernel decltype(                         \
      multiply_dense<W, 4, 2, 2>) multiply_dense<W, 4, 2, 2>;                                    \
  template [[host_name("multiply_dense_" #name "_t8")]] kernel decltype(                         \
      multiply_dense<W, 8, 4, 1>) multiply_dense<W, 8, 4, 1>;                                    \
  template [[host_name("multiply_dense_tiles_" #name)]] kernel decltype(multiply_dense_tiles<W>) \
      multiply_dense_tiles<W>;
INSTANTIATE(f32, float, 4)
INSTANTIATE(f16, half, 4)
INSTANTIATE(bf16, bfloat, 4)
INSTANTIATE(i8, char, 8)
#undef INSTANTIATE
