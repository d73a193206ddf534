// SPDX-License-Identifier: MIT
// Joining what the threads of a threadgroup found in a row, in an order that depends on their
// number alone: the same bits on every device, where simd_sum may add in any order.
//
// Threadgroups here are whole SIMD-groups of 32, at most 32 of them.
#pragma once

#include <metal_stdlib>

#include "shaders/utils.metal.h"

enum RowLimit : uint { max_simdgroups = 32 };

// --- sums to twice the precision of float: x + y, unevaluated
//
// The CPU accumulates in double, which no GPU of Apple's has. After n additions x + y is within
// (n + 1) 2^-46 of the sum of magnitudes, so that rounded it is mostly the double's float. Once x
// is infinite or NaN it alone counts.

// a + b and its rounding error, exactly (Knuth, The Art of Computer Programming 4.2.2, theorem B).
inline float2 two_sum(float a, float b) {
  const float sum = a + b;
  const float b_share = sum - a;
  return float2(sum, (a - (sum - b_share)) + (b - b_share));
}
// x * x and its rounding error.
inline float2 two_square(float x) {
  const float square = x * x;
  return float2(square, metal::fma(x, x, -square));
}
inline bool is_finite(float x) { return (metal::as_type<uint>(x) & 0x7f800000u) != 0x7f800000u; }
inline float rounded_sum(float2 sum) { return is_finite(sum.x) ? sum.x + sum.y : sum.x; }
// sum / n, rounded once but for a term of 2^-47. n may have more bits than a float.
inline float rounded_mean(float2 sum, uint n) {
  const float high = float(n & ~0xffu);
  const float low = float(n & 0xffu);
  const float count = high + low;
  const float quotient = sum.x / count;
  if (!is_finite(quotient)) return quotient;
  const float rest = metal::fma(-quotient, low, metal::fma(-quotient, high, sum.x)) + sum.y;
  return quotient + rest / count;
}

// --- operations: identity() for no value, join() of two partial results, in either order

struct Sum {
  typedef float2 State;
  static State identity() { return float2(0.0f); }
  static State join(State a, State b) {
    const float2 sum = two_sum(a.x, b.x);
    return float2(sum.x, sum.y + (a.y + b.y));
  }
};
// A NaN wins over every number.
struct Maximum {
  typedef float State;
  static State identity() { return -INFINITY; }
  static State join(State a, State b) { return b > a || is_nan(b) ? b : a; }
};

// Every thread of the SIMD-group gets what all have together.
template <typename Operation>
inline typename Operation::State join_simdgroup(typename Operation::State state) {
  for (ushort distance = 16; distance > 0; distance /= 2) {
    state = Operation::join(state, metal::simd_shuffle_xor(state, distance));
  }
  return state;
}

// Every thread of the threadgroup gets what all have together. `partial` has room for
// max_simdgroups and is not used for anything else.
template <typename Operation>
inline typename Operation::State join_threadgroup(
    typename Operation::State state, threadgroup typename Operation::State* partial, uint lane,
    uint simdgroup, uint simdgroups) {
  state = join_simdgroup<Operation>(state);
  if (lane == 0) partial[simdgroup] = state;
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
  state = partial[0];
  for (uint s = 1; s < simdgroups; ++s) state = Operation::join(state, partial[s]);
  return state;
}
