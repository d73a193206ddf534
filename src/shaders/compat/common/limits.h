// SPDX-License-Identifier: MIT
// numeric_limits, memory flags and orders, and Metal's macro constants (all targets).
#pragma once

namespace metal {

enum class mem_flags {
  mem_none = 0,
  mem_device = 1,
  mem_threadgroup = 2,
  mem_texture = 4,
  mem_device_and_threadgroup = 3
};
MSL_INLINE mem_flags operator|(mem_flags a, mem_flags b) {
  return static_cast<mem_flags>(static_cast<int>(a) | static_cast<int>(b));
}
enum memory_order { memory_order_relaxed };

template <class T>
struct numeric_limits;
#define MSL_LIMITS(T, lowest_value, max_value)                      \
  template <>                                                       \
  struct numeric_limits<T> {                                        \
    static MSL_INLINE constexpr T max() { return max_value; }       \
    static MSL_INLINE constexpr T lowest() { return lowest_value; } \
    static MSL_INLINE constexpr T min() { return lowest_value; }    \
  };
MSL_LIMITS(char, -128, 127)
MSL_LIMITS(uchar, 0, 255)
MSL_LIMITS(short, -32768, 32767)
MSL_LIMITS(ushort, 0, 65535)
MSL_LIMITS(int, -2147483647 - 1, 2147483647)
MSL_LIMITS(uint, 0, 4294967295U)
MSL_LIMITS(long, -9223372036854775807L - 1, 9223372036854775807L)
MSL_LIMITS(ulong, 0, 18446744073709551615UL)
#undef MSL_LIMITS
template <>
struct numeric_limits<float> {
  static MSL_INLINE constexpr float max() { return 0x1.fffffep+127F; }
  static MSL_INLINE constexpr float lowest() { return -0x1.fffffep+127F; }
  static MSL_INLINE constexpr float min() { return 0x1p-126F; }
  static MSL_INLINE constexpr float epsilon() { return 0x1p-23F; }
  static MSL_INLINE constexpr float infinity() { return __builtin_huge_valf(); }
  static MSL_INLINE constexpr float quiet_NaN() { return __builtin_nanf(""); }
};
template <>
struct numeric_limits<half> {
  static MSL_INLINE constexpr half max() { return half(65504.0F); }
  static MSL_INLINE constexpr half lowest() { return half(-65504.0F); }
  static MSL_INLINE constexpr half min() { return half(0x1p-14F); }
  static MSL_INLINE constexpr half epsilon() { return half(0x1p-10F); }
  static MSL_INLINE constexpr half infinity() { return half(__builtin_huge_valf()); }
  static MSL_INLINE constexpr half quiet_NaN() { return half(__builtin_nanf("")); }
};

}  // namespace metal

#undef INFINITY
#undef NAN
#undef HUGE_VALF
#undef MAXFLOAT
#undef MAXHALF
#undef FLT_MAX
#undef FLT_MIN
#undef FLT_EPSILON
#undef HALF_MAX
#undef HALF_MIN
#undef INT_MAX
#undef INT_MIN
#undef UINT_MAX
#undef M_PI_F
#undef M_E_F
#undef M_LOG2E_F
#undef M_LN2_F
#undef M_SQRT2_F
#define INFINITY (__builtin_huge_valf())
#define NAN (__builtin_nanf(""))
#define HUGE_VALF (__builtin_huge_valf())
#define MAXFLOAT 0x1.fffffep+127F
#define MAXHALF (half(65504.0F))
#define FLT_MAX 0x1.fffffep+127F
#define FLT_MIN 0x1p-126F
#define FLT_EPSILON 0x1p-23F
#define HALF_MAX (half(65504.0F))
#define HALF_MIN (half(0x1p-14F))
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 4294967295U
#define M_PI_F 3.14159265358979323846F
#define M_E_F 2.71828182845904523536F
#define M_LOG2E_F 1.44269504088896340736F
#define M_LN2_F 0.69314718055994530942F
#define M_SQRT2_F 1.41421356237309504880F
#define METAL_FUNC inline
