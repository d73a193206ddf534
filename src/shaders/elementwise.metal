// SPDX-License-Identifier: MIT
// Element-wise operations, computed in float (i32: modulo 2^32) and rounded once to the output's
// type. One thread an element; the last threadgroup may reach past the end.
#include <metal_stdlib>

#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"

using namespace metal;

// bitnet::Binary and bitnet::Unary.
enum BinaryOperation : uint { binary_add = 0, binary_sub = 1, binary_mul = 2 };
enum UnaryOperation : uint { unary_relu = 0, unary_relu2 = 1, unary_silu = 2 };

// Where element `index` of a contiguous tensor of these extents lies in an operand of these strides.
static uint strided_offset(uint index, uint rank, constant uint* extents, constant uint* strides) {
  uint offset = 0;
  for (uint axis = rank; axis-- > 0;) {
    offset += index % extents[axis] * strides[axis];
    index /= extents[axis];
  }
  return offset;
}

static float apply(uint operation, float a, float b) {
  return operation == binary_add ? a + b : operation == binary_sub ? a - b : a * b;
}
static uint apply(uint operation, uint a, uint b) {
  return operation == binary_add ? a + b : operation == binary_sub ? a - b : a * b;
}

// output[i] = a[i] operation b[i], with a and b broadcast by strides of 0.
template <typename T, typename Compute>
kernel void apply_binary(device const T* a [[buffer(0)]], device const T* b [[buffer(1)]],
                         device T* output [[buffer(2)]],
                         constant BinaryParams& p [[buffer(3)]],
                         uint i [[thread_position_in_grid]]) {
  if (i >= p.count) return;
  const T x = a[strided_offset(i, p.rank, p.extents, p.a_strides)];
  const T y = b[strided_offset(i, p.rank, p.extents, p.b_strides)];
  output[i] = T(apply(p.operation, Compute(x), Compute(y)));
}
#define INSTANTIATE(name, T, Compute)                                                        \
  template [[host_name("apply_binary_" #name)]] kernel decltype(apply_binary<T, Compute>)    \
      apply_binary<T, Compute>;
INSTANTIATE(f32, float, float)
INSTANTIATE(f16, half, float)
INSTANTIATE(bf16, bfloat, float)
INSTANTIATE(i32, int, uint)
#undef INSTANTIATE

// A NaN compares false and passes through.
static float relu(float x) { return x < 0.0f ? 0.0f : x; }
// x / (1 + e^-x); below -104 the result is less than the smallest float, and -inf / inf is NaN.
static float silu(float x) { return x < -104.0f ? -0.0f : x / (1.0f + precise::exp(-x)); }

// output[i] = operation(x[i]): relu, relu2, silu.
template <typename T>
kernel void apply_unary(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                        constant UnaryParams& p [[buffer(2)]],
                        uint i [[thread_position_in_grid]]) {
  if (i >= p.count) return;
  const float value = float(x[i]);
  const float positive = relu(value);
  output[i] = T(p.operation == unary_silu    ? silu(value)
                : p.operation == unary_relu2 ? positive * positive
                                             : positive);
}

// output[i] = x[i] * factor.
template <typename T>
kernel void scale_values(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                         constant ScaleParams& p [[buffer(2)]],
                         uint i [[thread_position_in_grid]]) {
  if (i >= p.count) return;
  output[i] = T(float(x[i]) * p.factor);
}
#define INSTANTIATE(name, T)                                                                  \
  template [[host_name("apply_unary_" #name)]] kernel decltype(apply_unary<T>) apply_unary<T>; \
  template [[host_name("scale_values_" #name)]] kernel decltype(scale_values<T>) scale_values<T>;
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(bf16, bfloat)
#undef INSTANTIATE

// --- casts: the nearest value of the output's type, halves to even

// An int as the float that rounds to the same half or bfloat: 24 bits, the last of which says
// whether anything was cut off (rounding to odd), so that nothing is rounded twice.
static float sticky_float(int x) {
  const uint magnitude = x < 0 ? 0u - uint(x) : uint(x);
  const uint cut = 8u - min(8u, clz(magnitude));
  const uint kept = magnitude >> cut | uint((magnitude & ((1u << cut) - 1u)) != 0u);
  const float value = float(kept << cut);
  return x < 0 ? -value : value;
}

template <typename To>
struct Cast {  // to half and bfloat
  static To from(float x) { return To(x); }
  static To from(int x) { return To(sticky_float(x)); }
};
template <>
struct Cast<float> {
  static float from(float x) { return x; }
  static float from(int x) { return float(x); }
};
// Integers saturate; NaN is 0. `limit` is the first float above the range.
static int saturated(float x, int lowest, int highest, float limit) {
  if (is_nan(x)) return 0;
  const float rounded = rint(x);
  return rounded >= limit ? highest : rounded <= float(lowest) ? lowest : int(rounded);
}
template <>
struct Cast<int> {
  static int from(float x) { return saturated(x, INT_MIN, INT_MAX, 2147483648.0f); }
  static int from(int x) { return x; }
};
template <>
struct Cast<char> {
  static char from(float x) { return char(saturated(x, -128, 127, 128.0f)); }
  static char from(int x) { return char(clamp(x, -128, 127)); }
};
template <>
struct Cast<uchar> {
  static uchar from(float x) { return uchar(saturated(x, 0, 255, 256.0f)); }
  static uchar from(int x) { return uchar(clamp(x, 0, 255)); }
};

// output[i] = x[i] in another type; x may be a strided view. Via holds every value of From.
template <typename From, typename Via, typename To>
kernel void cast_values(device const From* x [[buffer(0)]], device To* output [[buffer(1)]],
                        constant CastParams& p [[buffer(2)]],
                        uint i [[thread_position_in_grid]]) {
  if (i >= p.count) return;
  output[i] = Cast<To>::from(Via(x[strided_offset(i, p.rank, p.extents, p.strides)]));
}
#define INSTANTIATE(from_name, From, Via, to_name, To)                                       \
  template [[host_name("cast_values_" #from_name "_" #to_name)]] kernel decltype(            \
      cast_values<From, Via, To>) cast_values<From, Via, To>;
#define INSTANTIATE_FROM(name, From, Via)     \
  INSTANTIATE(name, From, Via, f32, float)    \
  INSTANTIATE(name, From, Via, f16, half)     \
  INSTANTIATE(name, From, Via, bf16, bfloat)  \
  INSTANTIATE(name, From, Via, i32, int)      \
  INSTANTIATE(name, From, Via, i8, char)      \
  INSTANTIATE(name, From, Via, u8, uchar)
INSTANTIATE_FROM(f32, float, float)
INSTANTIATE_FROM(f16, half, float)
INSTANTIATE_FROM(bf16, bfloat, float)
INSTANTIATE_FROM(i32, int, int)
INSTANTIATE_FROM(i8, char, int)
INSTANTIATE_FROM(u8, uchar, int)
#undef INSTANTIATE_FROM
#undef INSTANTIATE
