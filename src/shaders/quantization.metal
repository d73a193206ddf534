// SPDX-License-Identifier: MIT
// Ternary weights: quantised with the scale max(mean |w|, 1e-5), expanded again, repacked. The mean
// takes two passes, sums and their means, whose numbers are kept to about 46 bits: the scale decides
// the trits and must not depend on the device (two_float.metal.h has the bounds).
#include <metal_stdlib>

#include "shaders/packing.metal.h"
#include "shaders/quads.metal.h"
#include "shaders/shader_types.h"
#include "shaders/two_float.metal.h"

using namespace metal;

// The floor of the scales, from the reference implementation.
constant float kSmallestScale = 1e-5f;
// Sums are kept as multiples of 2^64, where no sum of floats overflows. What is then too small for a
// float, below 2^-62 before, is beyond the 45th bit of a mean above the floor.
constant float kSumUnit = 18446744073709551616.0f;
constant float kPerSumUnit = 1.0f / 18446744073709551616.0f;

// sums[n, g] = sum of |weights[n, k]| over the columns k of group g. A SIMD-group takes a sum.
template <typename T>
kernel void sum_weights(device const T* weights [[buffer(0)]], device float2* sums [[buffer(1)]],
                        constant SumWeightsParams& p [[buffer(2)]],
                        uint threadgroup_index [[threadgroup_position_in_grid]],
                        uint lane [[thread_index_in_simdgroup]],
                        uint simdgroup [[simdgroup_index_in_threadgroup]],
                        uint simdgroups [[simdgroups_per_threadgroup]]) {
  const uint item = threadgroup_index * simdgroups + simdgroup;
  if (item >= p.rows * p.groups) return;  // the whole SIMD-group
  const uint first = item % p.groups * p.group_cols;
  const uint count = min(p.group_cols, p.cols - first);
  device const T* group = weights + ulong(item / p.groups) * p.cols + first;
  TwoFloat sum = TwoFloat{0.0f, 0.0f};
  for (uint col = 4 * lane; col < count; col += 4 * 32) {
    const float4 magnitudes = fabs(load_quad(group, col, count, p.aligned != 0)) * kPerSumUnit;
    for (uint i = 0; i < 4; ++i) sum = add(sum, magnitudes[i]);
  }
  sum = sum_of_simdgroup(sum);
  if (lane == 0) sums[item] = float2(sum.high, sum.low);
}
#define INSTANTIATE(name, T) \
  template [[host_name("sum_weights_" #name)]] kernel decltype(sum_weights<T>) sum_weights<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE

// A not-a-number stays one.
static float scale_of(TwoFloat sum, ulong count) {
  const float mean = count == 0 ? 0.0f : quotient_of(sum, count) * kSumUnit;
  return mean < kSmallestScale ? kSmallestScale : mean;
}

// scales[i] = max(sums[i] / number of weights, 1e-5). A thread takes a scale.
kernel void average_weights(device const float2* sums [[buffer(0)]],
                            device float* scales [[buffer(1)]],
                            constant WeightScalesParams& p [[buffer(2)]],
                            uint i [[thread_position_in_grid]]) {
  if (i >= p.scales) return;
  const uint first = i % p.groups * p.group_cols;
  scales[i] = scale_of(TwoFloat{sums[i].x, sums[i].y}, min(p.group_cols, p.cols - first));
}

// scales[0] = max(sum of all sums / number of weights, 1e-5). One threadgroup.
kernel void average_all_weights(device const float2* sums [[buffer(0)]],
                                device float* scales [[buffer(1)]],
                                constant WeightScalesParams& p [[buffer(2)]],
                                uint i [[thread_position_in_threadgroup]],
                                uint threads [[threads_per_threadgroup]],
                                uint lane [[thread_index_in_simdgroup]],
                                uint simdgroup [[simdgroup_index_in_threadgroup]],
                                uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup float2 partial[32];  // at most 1024 / 32 SIMD-groups
  TwoFloat sum = TwoFloat{0.0f, 0.0f};
  for (uint row = i; row < p.sums_per_scale; row += threads) {
    sum = add(sum, TwoFloat{sums[row].x, sums[row].y});
  }
  sum = sum_of_simdgroup(sum);
  if (lane == 0) partial[simdgroup] = float2(sum.high, sum.low);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (i != 0) return;
  TwoFloat total = TwoFloat{0.0f, 0.0f};
  for (uint s = 0; s < simdgroups; ++s) total = add(total, TwoFloat{partial[s].x, partial[s].y});
  scales[0] = scale_of(total, ulong(p.sums_per_scale) * p.cols);
}

// Stores the lowest `bytes` bytes of a piece, one by one: a packed matrix may begin anywhere.
template <typename Piece>
static void store_piece(device uchar* to, Piece piece, uint bytes) {
  for (uint i = 0; i < bytes; ++i) to[i] = uchar(piece >> (8 * i));
}

// packed[n, k] = clamp(round(weights[n, k] * (1 / scale)), -1, 1): half rounds to even, so that only
// beyond half is a weight not 0; not-a-number is 0. A thread takes a piece.
template <typename T, typename P>
kernel void quantize_weights(device const T* weights [[buffer(0)]],
                             device const float* scales [[buffer(1)]],
                             device uchar* packed [[buffer(2)]],
                             constant QuantizeWeightsParams& p [[buffer(3)]],
                             uint i [[thread_position_in_grid]]) {
  const uint cols = p.layout.cols;
  const uint pieces = P::pieces(cols);
  const uint row = i / pieces;
  const uint piece = i % pieces;
  if (row >= P::stored_rows(p.layout.rows)) return;
  const uint first = piece * P::piece_cols;
  device const T* values = weights + ulong(row) * cols;
  device const float* row_scales = scales + ulong(row) * p.layout.scale_stride;
  uint codes[P::piece_cols];
  uint group_end = 0;
  float inverse = 0.0f;
  for (uint at = 0; at < P::piece_cols; at += 4) {
    const uint col = first + at;
    const bool inside = row < p.layout.rows && col < cols;
    const float4 quad = inside ? load_quad(values, col, cols, p.aligned != 0) : float4(0.0f);
    for (uint j = 0; j < 4; ++j) {
      if (inside && col + j >= group_end && col + j < cols) {
        const uint group = (col + j) / p.layout.group_cols;
        group_end = (group + 1) * p.layout.group_cols;
        inverse = 1.0f / row_scales[group];
      }
      const float ratio = quad[j] * inverse;
      codes[at + j] = 1u + uint(ratio > 0.5f) - uint(ratio < -0.5f);
    }
  }
  store_piece(packed + P::offset(cols, row, piece), P::encode(codes), uint(P::piece_bytes));
}
#define INSTANTIATE_FOR(name, T, packing, P)                                                     \
  template [[host_name("quantize_weights_" #name "_" #packing)]] kernel decltype(                \
      quantize_weights<T, P>) quantize_weights<T, P>;
#define INSTANTIATE(name, T)                              \
  INSTANTIATE_FOR(name, T, 2bit, TwoBit)                  \
  INSTANTIATE_FOR(name, T, 2bit_tiled, TwoBitTiled)       \
  INSTANTIATE_FOR(name, T, 5in8, FiveInEight)             \
  INSTANTIATE_FOR(name, T, 3in5, ThreeInFive)
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
#undef INSTANTIATE_FOR

// output[n, k] = trit[n, k] * scale. A thread takes four columns.
template <typename T>
kernel void dequantize_weights(device const uchar* packed [[buffer(0)]],
                               device const float* scales [[buffer(1)]],
                               device T* output [[buffer(2)]],
                               constant DequantizeParams& p [[buffer(3)]],
                               uint i [[thread_position_in_grid]]) {
  const uint cols = p.layout.cols;
  const uint quads = (cols + 3) / 4;
  const uint row = i / quads;
  const uint col = i % quads * 4;
  if (row >= p.layout.rows) return;
  const uint4 codes = load_codes(p.layout.packing, packed, cols, row, col);
  device const float* row_scales = scales + ulong(row) * p.layout.scale_stride;
  float4 values = float4(codes) - 1.0f;
  for (uint j = 0; j < min(4u, cols - col); ++j) {
    values[j] *= row_scales[(col + j) / p.layout.group_cols];
  }
  store_quad(output + ulong(row) * cols, col, cols, p.aligned != 0, vec<T, 4>(values));
}
#define INSTANTIATE(name, T)                                                          \
  template [[host_name("dequantize_weights_" #name)]] kernel decltype(                \
      dequantize_weights<T>) dequantize_weights<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE

// The same trits in the packing P, whatever the padding of `from` holds. A thread takes a piece.
template <typename P>
kernel void repack_weights(device const uchar* from [[buffer(0)]],
                           device uchar* to [[buffer(1)]],
                           constant RepackParams& p [[buffer(2)]],
                           uint i [[thread_position_in_grid]]) {
  const uint pieces = P::pieces(p.cols);
  const uint row = i / pieces;
  const uint piece = i % pieces;
  if (row >= P::stored_rows(p.rows)) return;
  uint codes[P::piece_cols];
  for (uint at = 0; at < P::piece_cols; at += 4) {
    const uint col = piece * P::piece_cols + at;
    uint4 quad = uint4(1u);
    if (row < p.rows && col < p.cols) quad = load_codes(p.from, from, p.cols, row, col);
    for (uint j = 0; j < 4; ++j) codes[at + j] = col + j < p.cols ? quad[j] : 1u;
  }
  store_piece(to + P::offset(p.cols, row, piece), P::encode(codes), uint(P::piece_bytes));
}
#define INSTANTIATE(packing, P)                                                                \
  template [[host_name("repack_weights_" #packing)]] kernel decltype(repack_weights<P>)       \
      repack_weights<P>;
INSTANTIATE(2bit, TwoBit)
INSTANTIATE(2bit_tiled, TwoBitTiled)
INSTANTIATE(5in8, FiveInEight)
INSTANTIATE(3in5, ThreeInFive)
#undef INSTANTIATE
