// SPDX-License-Identifier: MIT
// half and bfloat as classes (CPU and CUDA). An operation on half is computed in float and rounded
// once, which gives the bits of a half instruction: 24 bits are enough for +, -, * and / of 11.
#pragma once

namespace metal {
namespace msl {

template <class To, class From>
MSL_INLINE constexpr To bit_cast(From value) {
  return __builtin_bit_cast(To, value);
}

// Round to nearest, ties to even.
MSL_INLINE constexpr ushort half_bits(float value) {
  const uint bits = bit_cast<uint>(value);
  const uint sign = bits >> 16 & 0x8000U;
  const uint magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<ushort>(sign | 0x7e00U);
  if (magnitude >= 0x477ff000U) return static_cast<ushort>(sign | 0x7c00U);  // 65520 and more
  if (magnitude < 0x38800000U) {  // subnormal: an ulp of 0.5f is half's smallest step, 2^-24
    const uint rounded = bit_cast<uint>(bit_cast<float>(magnitude) + 0.5F);
    return static_cast<ushort>(sign | (rounded - 0x3f000000U));
  }
  const uint rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return static_cast<ushort>(sign | ((rounded - 0x38000000U) >> 13));
}

MSL_INLINE constexpr float half_value(ushort bits) {
  const uint sign = (bits & 0x8000U) << 16;
  const uint magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) {
    return bit_cast<float>(sign | 0x7f800000U | (magnitude & 0x3ffU) << 13);
  }
  if (magnitude >= 0x400U) return bit_cast<float>(sign | ((magnitude << 13) + 0x38000000U));
  return bit_cast<float>(sign | bit_cast<uint>(static_cast<float>(magnitude) * 0x1p-24F));
}

MSL_INLINE constexpr ushort bfloat_bits(float value) {
  const uint bits = bit_cast<uint>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<ushort>(bits >> 16 | 0x40U);
  return static_cast<ushort>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

MSL_INLINE constexpr float bfloat_value(ushort bits) {
  return bit_cast<float>(static_cast<uint>(bits) << 16);
}

}  // namespace msl

struct half {
  ushort bits;
  half() = default;
  MSL_INLINE constexpr half(float value) : bits(MSL_HALF_FROM_FLOAT(value)) {}
  MSL_INLINE constexpr operator float() const { return MSL_HALF_TO_FLOAT(bits); }
  template <class U>
  MSL_INLINE constexpr half& operator+=(U other) {
    return *this = half(*this + other);
  }
  template <class U>
  MSL_INLINE constexpr half& operator-=(U other) {
    return *this = half(*this - other);
  }
  template <class U>
  MSL_INLINE constexpr half& operator*=(U other) {
    return *this = half(*this * other);
  }
  template <class U>
  MSL_INLINE constexpr half& operator/=(U other) {
    return *this = half(*this / other);
  }
};

struct bfloat {
  ushort bits;
  bfloat() = default;
  MSL_INLINE constexpr bfloat(float value) : bits(msl::bfloat_bits(value)) {}
  MSL_INLINE constexpr operator float() const { return msl::bfloat_value(bits); }
  template <class U>
  MSL_INLINE constexpr bfloat& operator+=(U other) {
    return *this = bfloat(*this + other);
  }
  template <class U>
  MSL_INLINE constexpr bfloat& operator-=(U other) {
    return *this = bfloat(*this - other);
  }
  template <class U>
  MSL_INLINE constexpr bfloat& operator*=(U other) {
    return *this = bfloat(*this * other);
  }
  template <class U>
  MSL_INLINE constexpr bfloat& operator/=(U other) {
    return *this = bfloat(*this / other);
  }
};

// half with half or an integer is half, as in Metal; half with float is float, by conversion. The
// operators are templates so that nothing is converted to half on their behalf.
#define MSL_SMALL_FLOAT_OPERATOR(F, op)                                                            \
  template <class A, class B,                                                                      \
            class = msl::enable_if_t<(msl::is_same<A, F>::value &&                                 \
                                      (msl::is_same<B, F>::value || msl::is_integer<B>::value)) || \
                                     (msl::is_same<B, F>::value && msl::is_integer<A>::value)>>    \
  MSL_INLINE constexpr F operator op(A a, B b) {                                                   \
    return F(static_cast<float>(a) op static_cast<float>(b));                                      \
  }
#define MSL_SMALL_FLOAT_OPERATORS(F)                      \
  MSL_SMALL_FLOAT_OPERATOR(F, +)                          \
  MSL_SMALL_FLOAT_OPERATOR(F, -)                          \
  MSL_SMALL_FLOAT_OPERATOR(F, *)                          \
  MSL_SMALL_FLOAT_OPERATOR(F, /)                          \
  MSL_INLINE constexpr F operator-(F a) {                 \
    F negated = a;                                        \
    negated.bits = static_cast<ushort>(a.bits ^ 0x8000U); \
    return negated;                                       \
  }                                                       \
  MSL_INLINE constexpr F operator+(F a) { return a; }
MSL_SMALL_FLOAT_OPERATORS(half)
MSL_SMALL_FLOAT_OPERATORS(bfloat)
#undef MSL_SMALL_FLOAT_OPERATORS
#undef MSL_SMALL_FLOAT_OPERATOR

}  // namespace metal
