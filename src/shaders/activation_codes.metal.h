// SPDX-License-Identifier: MIT
// The int8 codes of activations, with the roundings of torch (encode_quantize_activations).
#pragma once

#include <metal_stdlib>

#include "shaders/utils.metal.h"

// The floor of the largest magnitude, from the reference implementation.
constant float kSmallestMagnitude = 1e-5f;

// The bits of magnitudes are in the order of the magnitudes, and those of not-a-number above all.
inline uint magnitude_bits(metal::float4 values) {
  const metal::uint4 bits = metal::as_type<metal::uint4>(values) & 0x7fffffffu;
  return metal::max(metal::max(bits.x, bits.y), metal::max(bits.z, bits.w));
}

// Every thread gets the result. Whole SIMD-groups, at most 32; `partial` has 32 elements.
inline uint max_of_threadgroup(uint x, threadgroup uint* partial, uint lane, uint simdgroup,
                               uint simdgroups) {
  const uint own = metal::simd_max(x);
  if (lane == 0) partial[simdgroup] = own;
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
  return metal::simd_max(lane < simdgroups ? partial[lane] : 0u);
}

// What the codes are multiplied with for the largest magnitude m: (1 / m) * 127, not 127 / m.
inline float factor_of(float m) { return 1.0f / m * 127.0f; }

// clamp(round_half_even(values * factor), -128, 127), 0 where the product is not-a-number.
inline metal::char4 codes_of(metal::float4 values, float factor) {
  const metal::float4 products = values * factor;
  const metal::float4 codes = metal::rint(metal::clamp(products, -128.0f, 127.0f));
  return metal::char4(
      is_nan(products.x) ? char(0) : char(codes.x), is_nan(products.y) ? char(0) : char(codes.y),
      is_nan(products.z) ? char(0) : char(codes.z), is_nan(products.w) ? char(0) : char(codes.w));
}
