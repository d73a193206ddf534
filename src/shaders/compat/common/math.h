// SPDX-License-Identifier: MIT
// Math functions (CPU and CUDA). half and bfloat are computed in float and rounded once. The
// namespaces precise and fast hold the same functions: no target here is compiled with fast math.
#pragma once

#include "math_list.h"

namespace metal {
namespace msl {

MSL_INLINE float cospi(float x) { return MSL_LIBM(cos)(3.14159265358979323846F * x); }
MSL_INLINE float sinpi(float x) { return MSL_LIBM(sin)(3.14159265358979323846F * x); }
MSL_INLINE float tanpi(float x) { return MSL_LIBM(tan)(3.14159265358979323846F * x); }
MSL_INLINE float exp10(float x) { return MSL_LIBM(pow)(10.0F, x); }
MSL_INLINE float rsqrt(float x) { return 1.0F / MSL_LIBM(sqrt)(x); }
MSL_INLINE float sign(float x) { return x > 0.0F ? 1.0F : x < 0.0F ? -1.0F : x == x ? x : 0.0F; }
// NaN gives 0, as Metal says.
MSL_INLINE float saturate(float x) { return x > 0.0F ? (x < 1.0F ? x : 1.0F) : 0.0F; }
MSL_INLINE float fract(float x) {
  return MSL_LIBM(fmin)(x - MSL_LIBM(floor)(x), 0x1.fffffep-1F);  // below 1 for x = -tiny too
}
MSL_INLINE float divide(float x, float y) { return x / y; }
MSL_INLINE float powr(float x, float y) { return MSL_LIBM(pow)(x, y); }
MSL_INLINE float step(float edge, float x) { return x < edge ? 0.0F : 1.0F; }

}  // namespace msl

#define MSL_UNARY_AS(n, expression)                                      \
  MSL_INLINE float n(float x) { return expression(x); }                  \
  MSL_INLINE half n(half x) { return half(expression((float)x)); }       \
  MSL_INLINE bfloat n(bfloat x) { return bfloat(expression((float)x)); } \
  template <class T, int N>                                              \
  MSL_INLINE vec<T, N> n(vec<T, N> a) {                                  \
    vec<T, N> result;                                                    \
    for (int i = 0; i < N; ++i) result.v[i] = n(a.v[i]);                 \
    return result;                                                       \
  }
#define MSL_BINARY_AS(n, expression)                                                         \
  MSL_INLINE float n(float x, float y) { return expression(x, y); }                          \
  MSL_INLINE half n(half x, half y) { return half(expression((float)x, (float)y)); }         \
  MSL_INLINE bfloat n(bfloat x, bfloat y) { return bfloat(expression((float)x, (float)y)); } \
  template <class T, int N>                                                                  \
  MSL_INLINE vec<T, N> n(vec<T, N> a, vec<T, N> b) {                                         \
    vec<T, N> result;                                                                        \
    for (int i = 0; i < N; ++i) result.v[i] = n(a.v[i], b.v[i]);                             \
    return result;                                                                           \
  }
#define MSL_UNARY_LIBM(n) MSL_UNARY_AS(n, MSL_LIBM(n))
#define MSL_BINARY_LIBM(n) MSL_BINARY_AS(n, MSL_LIBM(n))
#define MSL_UNARY_METAL(n) MSL_UNARY_AS(n, msl::n)
#define MSL_BINARY_METAL(n) MSL_BINARY_AS(n, msl::n)
#define MSL_ALL_MATH                         \
  MSL_UNARY_FUNCTIONS(MSL_UNARY_LIBM)        \
  MSL_BINARY_FUNCTIONS(MSL_BINARY_LIBM)      \
  MSL_METAL_UNARY_FUNCTIONS(MSL_UNARY_METAL) \
  MSL_METAL_BINARY_FUNCTIONS(MSL_BINARY_METAL)
MSL_ALL_MATH
namespace precise {
MSL_ALL_MATH
}  // namespace precise
namespace fast {
MSL_ALL_MATH
}  // namespace fast
#undef MSL_ALL_MATH
#undef MSL_BINARY_METAL
#undef MSL_UNARY_METAL
#undef MSL_BINARY_LIBM
#undef MSL_UNARY_LIBM
#undef MSL_BINARY_AS
#undef MSL_UNARY_AS

MSL_INLINE float fma(float a, float b, float c) { return MSL_LIBM(fma)(a, b, c); }
MSL_INLINE half fma(half a, half b, half c) {
  return half(MSL_LIBM(fma)((float)a, (float)b, (float)c));
}
template <class T, int N>
MSL_INLINE vec<T, N> fma(vec<T, N> a, vec<T, N> b, vec<T, N> c) {
  vec<T, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = fma(a.v[i], b.v[i], c.v[i]);
  return result;
}
MSL_INLINE float ldexp(float x, int exponent) { return MSL_LIBM(ldexp)(x, exponent); }
MSL_INLINE float mix(float a, float b, float t) { return a + (b - a) * t; }
template <class T, int N>
MSL_INLINE vec<T, N> mix(vec<T, N> a, vec<T, N> b, vec<T, N> t) {
  return a + (b - a) * t;
}
MSL_INLINE bool isnan(float x) { return x != x; }
MSL_INLINE bool isinf(float x) { return MSL_LIBM(fabs)(x) == __builtin_huge_valf(); }
MSL_INLINE bool isfinite(float x) { return MSL_LIBM(fabs)(x) < __builtin_huge_valf(); }
MSL_INLINE bool signbit(float x) { return msl::bit_cast<uint>(x) >> 31 != 0; }

#define MSL_MIN_MAX_INTEGER(T)                                   \
  MSL_INLINE constexpr T min(T a, T b) { return b < a ? b : a; } \
  MSL_INLINE constexpr T max(T a, T b) { return a < b ? b : a; } \
  MSL_INLINE constexpr T clamp(T x, T low, T high) { return min(max(x, low), high); }
#define MSL_MIN_MAX_FLOAT(T)                                                  \
  MSL_INLINE T min(T a, T b) { return fmin(a, b); }                           \
  MSL_INLINE T max(T a, T b) { return fmax(a, b); }                           \
  MSL_INLINE T clamp(T x, T low, T high) { return fmin(fmax(x, low), high); } \
  MSL_INLINE T abs(T x) { return fabs(x); }
MSL_INTEGER_TYPES(MSL_MIN_MAX_INTEGER)
MSL_FLOAT_TYPES(MSL_MIN_MAX_FLOAT)
#undef MSL_MIN_MAX_FLOAT
#undef MSL_MIN_MAX_INTEGER

#define MSL_VECTOR_AND_SCALAR(n)                                         \
  template <class T, int N>                                              \
  MSL_INLINE vec<T, N> n(vec<T, N> a, vec<T, N> b) {                     \
    vec<T, N> result;                                                    \
    for (int i = 0; i < N; ++i) result.v[i] = n(a.v[i], b.v[i]);         \
    return result;                                                       \
  }                                                                      \
  template <class T, int N>                                              \
  MSL_INLINE vec<T, N> n(vec<T, N> a, typename vec<T, N>::component b) { \
    return n(a, vec<T, N>(b));                                           \
  }
MSL_VECTOR_AND_SCALAR(min)
MSL_VECTOR_AND_SCALAR(max)
#undef MSL_VECTOR_AND_SCALAR
template <class T, int N>
MSL_INLINE vec<T, N> clamp(vec<T, N> x, vec<T, N> low, vec<T, N> high) {
  return min(max(x, low), high);
}
template <class T, int N>
MSL_INLINE vec<T, N> clamp(vec<T, N> x, typename vec<T, N>::component low,
                           typename vec<T, N>::component high) {
  return min(max(x, vec<T, N>(low)), vec<T, N>(high));
}

// --- geometric
template <class T, int N>
MSL_INLINE T dot(vec<T, N> a, vec<T, N> b) {
  T sum = T(0);
  for (int i = 0; i < N; ++i) sum = T(sum + a.v[i] * b.v[i]);
  return sum;
}
template <class T, int N>
MSL_INLINE T length_squared(vec<T, N> a) {
  return dot(a, a);
}
template <class T, int N>
MSL_INLINE T length(vec<T, N> a) {
  return sqrt(dot(a, a));
}
template <class T, int N>
MSL_INLINE vec<T, N> normalize(vec<T, N> a) {
  return a * vec<T, N>(rsqrt(dot(a, a)));
}

}  // namespace metal
