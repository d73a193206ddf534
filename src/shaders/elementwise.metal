// SPDX-License-Identifier: MIT
// Element-wise operations, computed in float (i32: modulo 2^32) and rounded once to the output's
// type. A thread has four neighbouring elements of the output; the last thread may have fewer, and
// the last threadgroup may reach past the end. In place, since a thread reads what it writes.
#include <metal_stdlib>

#include "shaders/math.metal.h"
#include "shaders/shader_types.h"
#include "shaders/utils.metal.h"
#include "shaders/vectors.metal.h"

using namespace metal;

// bitnet::Binary and bitnet::Unary.
enum BinaryOperation : uint { binary_add = 0, binary_sub = 1, binary_mul = 2 };
enum UnaryOperation : uint { unary_relu = 0, unary_relu2 = 1, unary_silu = 2 };

// The elements of thread i: the first, and how many; none past the end. No product overflows.
struct Elements {
  uint first;
  uint n;
};
static Elements elements_of(uint i, uint count) {
  if (i > (count - 1u) / 4u) return {0u, 0u};
  return {4u * i, min(count - 4u * i, 4u)};
}

// Where element `index` of a contiguous tensor of these extents lies in an operand of these strides.
static uint strided_offset(uint index, uint rank, constant uint* extents, constant uint* strides) {
  uint offset = 0;
  for (uint axis = rank - 1u; axis > 0u; --axis) {
    offset += index % extents[axis] * strides[axis];
    index /= extents[axis];
  }
  return offset + index * strides[0];
}

// Those elements of an operand that is broadcast, or a view. They lie in one run where the
// innermost axis is a multiple of four, or the only one.
template <typename T>
static vec<T, 4> load_strided(device const T* x, Elements elements, uint rank,
                              constant uint* extents, constant uint* strides) {
  const uint step = strides[rank - 1u];
  if (rank == 1u || extents[rank - 1u] % 4u == 0u) {
    device const T* run = x + strided_offset(elements.first, rank, extents, strides);
    if (step == 1u) return load_vector(run, elements.n);
    vec<T, 4> values = vec<T, 4>(T(0));
    for (uint e = 0; e < 4u; ++e) {
      if (e < elements.n) values[e] = run[ulong(e) * step];
    }
    return values;
  }
  vec<T, 4> values = vec<T, 4>(T(0));
  for (uint e = 0; e < 4u; ++e) {
    if (e < elements.n) {
      values[e] = x[strided_offset(elements.first + e, rank, extents, strides)];
    }
  }
  return values;
}

// Of float4 or uint4.
template <typename Values>
static Values apply(uint operation, Values a, Values b) {
  if (operation == binary_add) return a + b;
  if (operation == binary_sub) return a - b;
  return a * b;
}

// output[i] = a[i] operation b[i], with a and b broadcast by strides of 0.
template <typename T, typename Compute>
kernel void apply_binary(device const T* a [[buffer(0)]], device const T* b [[buffer(1)]],
                         device T* output [[buffer(2)]],
                         constant BinaryParams& p [[buffer(3)]],
                         uint i [[thread_position_in_grid]]) {
  const Elements own = elements_of(i, p.count);
  if (own.n == 0u) return;
  const vec<T, 4> x = load_strided(a, own, p.rank, p.extents, p.a_strides);
  const vec<T, 4> y = load_strided(b, own, p.rank, p.extents, p.b_strides);
  store_vector(output + own.first,
               vec<T, 4>(apply(p.operation, vec<Compute, 4>(x), vec<Compute, 4>(y))), own.n);
}
#define INSTANTIATE(name, T, Compute)                                                        \
  template [[host_name("apply_binary_" #name)]] kernel decltype(apply_binary<T, Compute>)    \
      apply_binary<T, Compute>;
INSTANTIATE(f32, float, float)
INSTANTIATE(f16, half, float)
INSTANTIATE(bf16, bfloat, float)
INSTANTIATE(i32, int, uint)
#undef INSTANTIATE

static float activate(uint operation, float x) {
  switch (operation) {
    case unary_relu:
      return relu(x);
    case unary_relu2:
      return relu2(x);
    case unary_silu:
      return silu(x);
    default:
      return gelu(x);
  }
}
static float4 activate(uint operation, float4 x) {
  return float4(activate(operation, x.x), activate(operation, x.y), activate(operation, x.z),
                activate(operation, x.w));
}

// output[i] = operation(x[i]): relu, relu2, silu, gelu.
template <typename T>
kernel void apply_unary(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                        constant UnaryParams& p [[buffer(2)]],
                        uint i [[thread_position_in_grid]]) {
  const Elements own = elements_of(i, p.count);
  if (own.n == 0u) return;
  const float4 values = load_floats(x + own.first, own.n);
  store_floats(output + own.first, activate(p.operation, values), own.n);
}

// output[i] = activation(gate[i]) * up[i].
template <typename T>
kernel void apply_gate(device const T* gate [[buffer(0)]], device const T* up [[buffer(1)]],
                       device T* output [[buffer(2)]],
                       constant GatedActivationParams& p [[buffer(3)]],
                       uint i [[thread_position_in_grid]]) {
  const Elements own = elements_of(i, p.count);
  if (own.n == 0u) return;
  const float4 gates = load_floats(gate + own.first, own.n);
  const float4 ups = load_floats(up + own.first, own.n);
  store_floats(output + own.first, activate(p.operation, gates) * ups, own.n);
}

// output[i] = x[i] * factor.
template <typename T>
kernel void scale_values(device const T* x [[buffer(0)]], device T* output [[buffer(1)]],
                         constant ScaleParams& p [[buffer(2)]],
                         uint i [[thread_position_in_grid]]) {
  const Elements own = elements_of(i, p.count);
  if (own.n == 0u) return;
  store_floats(output + own.first, load_floats(x + own.first, own.n) * p.factor, own.n);
}
#define INSTANTIATE(name, T)                                                                   \
  template [[host_name("apply_unary_" #name)]] kernel decltype(apply_unary<T>) apply_unary<T>; \
  template [[host_name("apply_gate_" #name)]] kernel decltype(apply_gate<T>) apply_gate<T>;    \
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
  const Elements own = elements_of(i, p.count);
  if (own.n == 0u) return;
  const vec<From, 4> values = load_strided(x, own, p.rank, p.extents, p.strides);
  const vec<To, 4> converted =
      vec<To, 4>(Cast<To>::from(Via(values.x)), Cast<To>::from(Via(values.y)),
                 Cast<To>::from(Via(values.z)), Cast<To>::from(Via(values.w)));
  store_vector(output + own.first, converted, own.n);
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
