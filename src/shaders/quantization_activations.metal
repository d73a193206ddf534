// SPDX-License-Identifier: MIT
// int8 activations: one scale a token, with the roundings of torch. A threadgroup takes a token and
// reads it twice, for the largest magnitude and for the codes; the second time from the cache.
#include <metal_stdlib>

#include "shaders/quads.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

using namespace metal;

// The floor of the largest magnitude, from the reference implementation.
constant float kSmallestMagnitude = 1e-5f;

// The bits of magnitudes are in the order of the magnitudes, and those of not-a-number above all.
static uint magnitude_bits(float4 values) {
  const uint4 bits = as_type<uint4>(values) & 0x7fffffffu;
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// Every thread gets the result. Whole SIMD-groups, at most 32; `partial` has 32 elements.
static uint max_of_threadgroup(uint x, threadgroup uint* partial, uint lane, uint simdgroup,
                               uint simdgroups) {
  const uint own = simd_max(x);
  if (lane == 0) partial[simdgroup] = own;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return simd_max(lane < simdgroups ? partial[lane] : 0u);
}
static float sum_of_threadgroup(float x, threadgroup float* partial, uint lane, uint simdgroup,
                                uint simdgroups) {
  const float own = simd_sum(x);
  if (lane == 0) partial[simdgroup] = own;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return simd_sum(lane < simdgroups ? partial[lane] : 0.0f);
}

// clamp(round_half_even(values * factor), -128, 127), 0 where the product is not-a-number.
static char4 codes_of(float4 values, float factor) {
  const float4 products = values * factor;
  const float4 codes = rint(clamp(products, -128.0f, 127.0f));
  return char4(is_nan(products.x) ? char(0) : char(codes.x),
               is_nan(products.y) ? char(0) : char(codes.y),
               is_nan(products.z) ? char(0) : char(codes.z),
               is_nan(products.w) ? char(0) : char(codes.w));
}

// What the codes are multiplied with for the largest magnitude m: (1 / m) * 127, not 127 / m.
static float factor_of(float m) { return 1.0f / m * 127.0f; }

// codes[t, k] = clamp(round(x[t, k] * factor), -128, 127), scales[t] = m / 127, where
// m = max(max |x[t, k]|, 1e-5).
template <typename T>
kernel void quantize_activations(device const T* x [[buffer(0)]], device char* codes [[buffer(1)]],
                                 device float* scales [[buffer(2)]],
                                 constant QuantizeActivationsParams& p [[buffer(3)]],
                                 uint token [[threadgroup_position_in_grid]],
                                 uint i [[thread_position_in_threadgroup]],
                                 uint threads [[threads_per_threadgroup]],
                                 uint lane [[thread_index_in_simdgroup]],
                                 uint simdgroup [[simdgroup_index_in_threadgroup]],
                                 uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup uint partial[32];
  const bool aligned = p.aligned != 0;
  device const T* values = x + ulong(token) * p.cols;
  device char* row = codes + ulong(token) * p.cols;
  uint most = as_type<uint>(kSmallestMagnitude);
  for (uint col = 4 * i; col < p.cols; col += 4 * threads) {
    most = max(most, magnitude_bits(load_quad(values, col, p.cols, aligned)));
  }
  most = max_of_threadgroup(most, partial, lane, simdgroup, simdgroups);
  const float factor = factor_of(as_type<float>(most));
  for (uint col = 4 * i; col < p.cols; col += 4 * threads) {
    store_quad(row, col, p.cols, aligned,
               codes_of(load_quad(values, col, p.cols, aligned), factor));
  }
  if (i == 0) scales[token] = as_type<float>(most) / 127.0f;
}

enum GainType : uint { gain_f32 = 0, gain_f16 = 1, gain_bf16 = 2 };  // bitnet::DType

static float4 load_gain(uint dtype, device const uchar* gain, uint col, uint cols, bool aligned) {
  if (dtype == gain_f32) return load_quad((device const float*)gain, col, cols, aligned);
  if (dtype == gain_f16) return load_quad((device const half*)gain, col, cols, aligned);
  return load_quad((device const bfloat*)gain, col, cols, aligned);
}
// A not-a-number stays one.
static float at_least(float x, float least) { return x < least ? least : x; }

// The codes of RMSNorm(x) * gain without its values: its divisor rms = sqrt(mean(x^2) + epsilon)
// cancels out of them. With m = max |x * gain|, factor = 1 / max(m, 1e-5 rms) * 127 and scales[t] =
// max(m / rms, 1e-5) / 127.
template <typename T>
kernel void rms_norm_quantize(device const T* x [[buffer(0)]],
                              device const uchar* gain [[buffer(1)]],
                              device char* codes [[buffer(2)]],
                              device float* scales [[buffer(3)]],
                              constant RmsNormQuantizeParams& p [[buffer(4)]],
                              uint token [[threadgroup_position_in_grid]],
                              uint i [[thread_position_in_threadgroup]],
                              uint threads [[threads_per_threadgroup]],
                              uint lane [[thread_index_in_simdgroup]],
                              uint simdgroup [[simdgroup_index_in_threadgroup]],
                              uint simdgroups [[simdgroups_per_threadgroup]]) {
  threadgroup uint partial_most[32];
  threadgroup float partial_squares[32];
  const bool aligned = p.aligned != 0;
  device const T* values = x + ulong(token) * p.cols;
  device char* row = codes + ulong(token) * p.cols;
  uint most = 0;
  float squares = 0.0f;
  for (uint col = 4 * i; col < p.cols; col += 4 * threads) {
    const float4 quad = load_quad(values, col, p.cols, aligned);
    most = max(most, magnitude_bits(quad * load_gain(p.gain_dtype, gain, col, p.cols, aligned)));
    const float4 square = quad * quad;
    squares += (square.x + square.y) + (square.z + square.w);
  }
  most = max_of_threadgroup(most, partial_most, lane, simdgroup, simdgroups);
  squares = sum_of_threadgroup(squares, partial_squares, lane, simdgroup, simdgroups);
  const float rms = sqrt(squares / float(p.cols) + p.epsilon);
  const float largest = as_type<float>(most);
  const float factor = factor_of(at_least(largest, kSmallestMagnitude * rms));
  for (uint col = 4 * i; col < p.cols; col += 4 * threads) {
    const float4 gained = load_quad(values, col, p.cols, aligned) *
                          load_gain(p.gain_dtype, gain, col, p.cols, aligned);
    store_quad(row, col, p.cols, aligned, codes_of(gained, factor));
  }
  if (i == 0) scales[token] = at_least(largest / rms, kSmallestMagnitude) / 127.0f;
}

// output[t, k] = codes[t, k] * scales[t]. A thread takes four columns.
template <typename T>
kernel void dequantize_activations(device const char* codes [[buffer(0)]],
                                   device const float* scales [[buffer(1)]],
                                   device T* output [[buffer(2)]],
                                   constant DequantizeActivationsParams& p [[buffer(3)]],
                                   uint i [[thread_position_in_grid]]) {
  const uint quads = (p.cols + 3) / 4;
  const uint token = i / quads;
  const uint col = i % quads * 4;
  if (token >= p.tokens) return;
  const bool aligned = p.aligned != 0;
  const ulong first = ulong(token) * p.cols;
  const float4 values = load_quad(codes + first, col, p.cols, aligned) * scales[token];
  store_quad(output + first, col, p.cols, aligned, vec<T, 4>(values));
}

#define INSTANTIATE_ONE(verb, name, T) \
  template [[host_name(#verb "_" #name)]] kernel decltype(verb<T>) verb<T>;
#define INSTANTIATE(name, T)                             \
  INSTANTIATE_ONE(quantize_activations, name, T)         \
  INSTANTIATE_ONE(rms_norm_quantize, name, T)            \
  INSTANTIATE_ONE(dequantize_activations, name, T)
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE
#undef INSTANTIATE_ONE
