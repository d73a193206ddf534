// SPDX-License-Identifier: MIT
// Sums of numbers that are not negative to about 46 bits, where there is no double: a value is the
// unevaluated sum of two floats, |low| <= half an ulp of high. The bounds, with u = 2^-24, are
// those of Joldes, Muller, Popescu, "Tight and rigorous error bounds for basic building blocks of
// double-word arithmetic" (2017), algorithms 4 and 5. Nothing of this survives fast math.
#pragma once

#include <metal_stdlib>

struct TwoFloat {
  float high;
  float low;
};

// a + b exactly. An infinity or not-a-number stays what it is, with nothing below it.
inline TwoFloat two_sum(float a, float b) {
  const float sum = a + b;
  const float part = sum - a;
  const float error = (a - (sum - part)) + (b - part);
  const bool finite = (metal::as_type<uint>(sum) & 0x7f800000u) != 0x7f800000u;
  return TwoFloat{sum, finite ? error : 0.0f};
}
// a + b exactly, |a| >= |b| or a = 0.
inline TwoFloat quick_two_sum(float a, float b) {
  const float sum = a + b;
  const bool finite = (metal::as_type<uint>(sum) & 0x7f800000u) != 0x7f800000u;
  return TwoFloat{sum, finite ? b - (sum - a) : 0.0f};
}
// Relative error at most 2 u^2.
inline TwoFloat add(TwoFloat a, float b) {
  const TwoFloat sum = two_sum(a.high, b);
  return quick_two_sum(sum.high, a.low + sum.low);
}
// Relative error at most 3 u^2, as long as the signs are equal.
inline TwoFloat add(TwoFloat a, TwoFloat b) {
  const TwoFloat sum = two_sum(a.high, b.high);
  return quick_two_sum(sum.high, a.low + b.low + sum.low);
}
// The sum over a SIMD-group of 32, in every lane, in five additions.
inline TwoFloat sum_of_simdgroup(TwoFloat x) {
  for (ushort step = 16; step > 0; step /= 2) {
    const float high = metal::simd_shuffle_xor(x.high, step);
    const float low = metal::simd_shuffle_xor(x.low, step);
    x = add(x, TwoFloat{high, low});
  }
  return x;
}
// x / count, count > 0, to the nearest float unless the quotient lies within a relative 2^-45 of
// the middle of two: the first digit of the quotient, and what is left over it.
inline float quotient_of(TwoFloat x, ulong count) {
  const float n = float(count);
  const float n_low = float(long(count - ulong(n)));
  const float quotient = x.high / n;
  const float rest = metal::fma(-quotient, n, x.high) - quotient * n_low + x.low;
  const bool finite = (metal::as_type<uint>(quotient) & 0x7f800000u) != 0x7f800000u;
  return finite ? quotient + rest / n : quotient;
}
