// SPDX-License-Identifier: MIT
// What the attention kernels share: places in the cache, queries and outputs of any float type, and
// the one way in which segments of positions are joined.
#pragma once

#include <metal_stdlib>

#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

// Where a token stands in the cache; both -1 where that is outside of it.
struct Place {
  int position;
  int slot;
};
inline bool is_inside(int value, uint limit) { return value >= 0 && uint(value) < limit; }
inline Place place_of(int position, int slot, uint capacity, uint slots) {
  const bool inside = is_inside(position, capacity) && is_inside(slot, slots);
  Place place;
  place.position = inside ? position : -1;
  place.slot = inside ? slot : -1;
  return place;
}
// How many positions a token sees: none where it is nowhere.
inline uint positions_seen(int position) { return uint(position) + 1u; }
inline void report_place(int position, int slot, uint capacity, uint slots,
                         device metal::atomic_uint* fault) {
  if (!is_inside(position, capacity)) report_fault(fault, fault_position, position, capacity);
  if (!is_inside(slot, slots)) report_fault(fault, fault_slot, slot, slots);
}

// Queries are read and outputs written once for thousands of operations: their type, a
// bitnet::DType, is looked at as the kernel runs rather than multiplying the kernels.
enum FloatType : uint { float_type_f32 = 0, float_type_f16 = 1 };  // otherwise bf16
inline float load_float(device const uchar* values, uint dtype, ulong i) {
  if (dtype == float_type_f32) return reinterpret_cast<device const float*>(values)[i];
  if (dtype == float_type_f16) return float(reinterpret_cast<device const half*>(values)[i]);
  return float(reinterpret_cast<device const bfloat*>(values)[i]);
}
inline void store_float(device uchar* values, uint dtype, ulong i, float x) {
  if (dtype == float_type_f32) {
    reinterpret_cast<device float*>(values)[i] = x;
  } else if (dtype == float_type_f16) {
    reinterpret_cast<device half*>(values)[i] = half(x);
  } else {
    reinterpret_cast<device bfloat*>(values)[i] = bfloat(x);
  }
}

// What exponents are taken against: with nothing but -infinity seen, against 0 (-infinity less
// itself would be NaN).
inline float exponent_shift(float most) { return most == -INFINITY ? 0.0f : most; }

// The softmax of the positions seen so far: the largest score, and the sum of exp(score - most).
struct Softmax {
  float most;
  float sum;
};
inline Softmax empty_softmax() {
  Softmax none;
  none.most = -INFINITY;
  none.sum = 0.0f;
  return none;
}
// How weighted sums of the positions so far and of the next segment are added; every kernel does it
// with these operations, segment by segment from position 0, so that all give the same bits.
struct Join {
  float keep;
  float add;
};
inline Join join(thread Softmax& total, Softmax next) {
  const float most = metal::fmax(total.most, next.most);
  const float shift = exponent_shift(most);
  Join factors;
  factors.keep = metal::precise::exp(total.most - shift);
  factors.add = metal::precise::exp(next.most - shift);
  total.sum = metal::fma(next.sum, factors.add, total.sum * factors.keep);
  total.most = most;
  return factors;
}
inline float joined(float total, float next, Join factors) {
  return metal::fma(next, factors.add, total * factors.keep);
}
