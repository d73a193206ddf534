// SPDX-License-Identifier: MIT
// Integer, relational, conversion and packing functions (CPU and CUDA).
#pragma once

namespace metal {

#define MSL_INTEGER_FUNCTIONS(T)                                                          \
  MSL_INLINE constexpr T popcount(T x) {                                                  \
    T count = 0;                                                                          \
    for (uint i = 0; i < 8 * sizeof(T); ++i) count = T(count + (x >> i & 1));             \
    return count;                                                                         \
  }                                                                                       \
  /* Of zero: the number of bits. */                                                      \
  MSL_INLINE constexpr T clz(T x) {                                                       \
    uint count = 0;                                                                       \
    while (count < 8 * sizeof(T) && (x >> (8 * sizeof(T) - 1 - count) & 1) == 0) ++count; \
    return T(count);                                                                      \
  }                                                                                       \
  MSL_INLINE constexpr T ctz(T x) {                                                       \
    uint count = 0;                                                                       \
    while (count < 8 * sizeof(T) && (x >> count & 1) == 0) ++count;                       \
    return T(count);                                                                      \
  }
MSL_INTEGER_FUNCTIONS(char)
MSL_INTEGER_FUNCTIONS(uchar)
MSL_INTEGER_FUNCTIONS(short)
MSL_INTEGER_FUNCTIONS(ushort)
MSL_INTEGER_FUNCTIONS(long)
MSL_INTEGER_FUNCTIONS(ulong)
#undef MSL_INTEGER_FUNCTIONS
MSL_INLINE uint popcount(uint x) { return MSL_POPCOUNT(x); }
MSL_INLINE uint clz(uint x) { return x == 0 ? 32 : MSL_CLZ(x); }
MSL_INLINE uint ctz(uint x) { return x == 0 ? 32 : MSL_CTZ(x); }
MSL_INLINE int popcount(int x) { return int(popcount(uint(x))); }
MSL_INLINE int clz(int x) { return int(clz(uint(x))); }
MSL_INLINE int ctz(int x) { return int(ctz(uint(x))); }

MSL_INLINE uint mulhi(uint a, uint b) { return uint(ulong(a) * b >> 32); }
MSL_INLINE int mulhi(int a, int b) { return int(long(a) * b >> 32); }
MSL_INLINE uint absdiff(int a, int b) { return a < b ? uint(b) - uint(a) : uint(a) - uint(b); }
MSL_INLINE uint absdiff(uint a, uint b) { return a < b ? b - a : a - b; }
MSL_INLINE uint reverse_bits(uint x) {
  uint result = 0;
  for (uint i = 0; i < 32; ++i) result |= (x >> i & 1U) << (31 - i);
  return result;
}
MSL_INLINE uint rotate(uint x, uint bits) {
  return bits % 32 == 0 ? x : x << bits % 32 | x >> (32 - bits % 32);
}
MSL_INLINE uint extract_bits(uint x, uint offset, uint bits) {
  return bits == 0 ? 0 : bits >= 32 ? x >> offset : x >> offset & ((1U << bits) - 1);
}
MSL_INLINE int extract_bits(int x, uint offset, uint bits) {
  return bits == 0 ? 0 : int(uint(x) << (32 - offset - bits)) >> (32 - bits);
}
MSL_INLINE uint insert_bits(uint base, uint inserted, uint offset, uint bits) {
  const uint mask = (bits >= 32 ? ~0U : (1U << bits) - 1) << offset;
  return (base & ~mask) | (inserted << offset & mask);
}

// The four bytes of `unsigned_bytes` times those of `signed_bytes`, plus `sum`: one instruction on
// NVIDIA GPUs. Not Metal; shaders/utils.metal.h has the function for every compiler.
MSL_INLINE int msl_dot4_u8_i8(uint unsigned_bytes, uint signed_bytes, int sum) {
  return MSL_DOT4_U8_I8(unsigned_bytes, signed_bytes, sum);
}

#define MSL_ABS_INTEGER(T) \
  MSL_INLINE constexpr T abs(T x) { return x < T(0) ? T(-x) : x; }
MSL_ABS_INTEGER(char)
MSL_ABS_INTEGER(short)
MSL_ABS_INTEGER(int)
MSL_ABS_INTEGER(long)
#undef MSL_ABS_INTEGER
MSL_INLINE constexpr uchar abs(uchar x) { return x; }
MSL_INLINE constexpr ushort abs(ushort x) { return x; }
MSL_INLINE constexpr uint abs(uint x) { return x; }
MSL_INLINE constexpr ulong abs(ulong x) { return x; }
template <class T, int N>
MSL_INLINE vec<T, N> abs(vec<T, N> a) {
  vec<T, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = abs(a.v[i]);
  return result;
}

// --- relational
#define MSL_SELECT(T) \
  MSL_INLINE constexpr T select(T a, T b, bool condition) { return condition ? b : a; }
MSL_INTEGER_TYPES(MSL_SELECT)
MSL_FLOAT_TYPES(MSL_SELECT)
MSL_SELECT(bool)
#undef MSL_SELECT
template <class T, int N>
MSL_INLINE vec<T, N> select(vec<T, N> a, vec<T, N> b, vec<bool, N> condition) {
  vec<T, N> result;
  for (int i = 0; i < N; ++i) result.v[i] = condition.v[i] ? b.v[i] : a.v[i];
  return result;
}
template <int N>
MSL_INLINE bool all(vec<bool, N> a) {
  bool result = true;
  for (int i = 0; i < N; ++i) result = result && a.v[i];
  return result;
}
template <int N>
MSL_INLINE bool any(vec<bool, N> a) {
  bool result = false;
  for (int i = 0; i < N; ++i) result = result || a.v[i];
  return result;
}

// --- conversion and packing
template <class To, class From>
MSL_INLINE To as_type(From value) {
  static_assert(sizeof(To) == sizeof(From), "as_type converts between types of one size");
  To result;
  __builtin_memcpy(&result, &value, sizeof(To));
  return result;
}
MSL_INLINE uint pack_float_to_snorm4x8(float4 a) {
  return as_type<uint>(char4(rint(clamp(a, -1.0F, 1.0F) * 127.0F)));
}
MSL_INLINE uint pack_float_to_unorm4x8(float4 a) {
  return as_type<uint>(uchar4(rint(clamp(a, 0.0F, 1.0F) * 255.0F)));
}
MSL_INLINE float4 unpack_snorm4x8_to_float(uint x) {
  return max(float4(as_type<char4>(x)) / 127.0F, -1.0F);
}
MSL_INLINE float4 unpack_unorm4x8_to_float(uint x) { return float4(as_type<uchar4>(x)) / 255.0F; }
MSL_INLINE uint pack_float_to_snorm2x16(float2 a) {
  return as_type<uint>(short2(rint(clamp(a, -1.0F, 1.0F) * 32767.0F)));
}
MSL_INLINE uint pack_float_to_unorm2x16(float2 a) {
  return as_type<uint>(ushort2(rint(clamp(a, 0.0F, 1.0F) * 65535.0F)));
}
MSL_INLINE float2 unpack_snorm2x16_to_float(uint x) {
  return max(float2(as_type<short2>(x)) / 32767.0F, -1.0F);
}
MSL_INLINE float2 unpack_unorm2x16_to_float(uint x) {
  return float2(as_type<ushort2>(x)) / 65535.0F;
}

}  // namespace metal
