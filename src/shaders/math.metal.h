// SPDX-License-Identifier: MIT
// Elementary functions whose error is bounded here: Metal allows 4 ulp of exp, sin and cos, says
// nothing of large angles, and has no erf. Additions, products, fma and divisions alone, in a
// written order: the same bits on every device.
#pragma once

#include <metal_stdlib>

// e^x within 1.02 ulp; 0 below -104, infinity from 88.73 on. x = n ln 2 + r with |r| <= 0.35, ln 2
// split so that n times its first part is exact (Cody and Waite); the polynomial is that of expf in
// Cephes (Moshier). A NaN stays one.
inline float exponential(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float integers_only = 12582912.0f;  // 1.5 * 2^23: a sum has no bits for a fraction
  const float shifted = metal::fma(x, 1.44269504088896341f, integers_only);
  const float n = shifted - integers_only;
  const float r = metal::fma(n, 2.12194440e-4f, metal::fma(n, -0.693359375f, x));
  float p = 1.9875691500e-4f;
  p = metal::fma(p, r, 1.3981999507e-3f);
  p = metal::fma(p, r, 8.3334519073e-3f);
  p = metal::fma(p, r, 4.1665795894e-2f);
  p = metal::fma(p, r, 1.6666665459e-1f);
  p = metal::fma(p, r, 5.0000001201e-1f);
  p = metal::fma(p, r * r, r) + 1.0f;
  // Times 2^n as two factors, since one may be out of range.
  const uint biased = metal::as_type<uint>(shifted) - metal::as_type<uint>(integers_only) + 254u;
  const uint half_way = biased >> 1;
  return p * metal::as_type<float>(half_way << 23) *
         metal::as_type<float>((biased - half_way) << 23);
}

// --- activations. A NaN compares false and passes through.

inline float relu(float x) { return x < 0.0f ? 0.0f : x; }
inline float relu2(float x) { return relu(x) * relu(x); }
// Of -infinity: -infinity / infinity, NaN, as in torch.
inline float silu(float x) { return x / (1.0f + exponential(-x)); }

// x Phi(x) within a relative (6.4 + 2.4 x^2) 2^-24 (worst found, of every seventh float). With
// u = |x| the tail is Phi(-u) = e^(-u^2 / 2) t P(1 - 2 t), t = 3 / (u + 3). P was interpolated at
// Chebyshev nodes over u in [0, 14.5], within 2^-29 before its coefficients were rounded; beyond
// 14.5 the tail is 0.
inline float gelu(float x) {
  const float u = metal::fmin(metal::fabs(x), 20.0f);
  const float t = 3.0f / (u + 3.0f);
  const float s = metal::fma(-2.0f, t, 1.0f);
  float p = 1.79867748e-05f;
  p = metal::fma(p, s, 4.35413531e-05f);
  p = metal::fma(p, s, -8.13999359e-05f);
  p = metal::fma(p, s, -3.43908061e-04f);
  p = metal::fma(p, s, 3.41523672e-04f);
  p = metal::fma(p, s, 2.32298649e-03f);
  p = metal::fma(p, s, -3.48749501e-03f);
  p = metal::fma(p, s, -1.57542117e-02f);
  p = metal::fma(p, s, 7.66725689e-02f);
  p = metal::fma(p, s, -1.69777334e-01f);
  p = metal::fma(p, s, 2.43027896e-01f);
  const float tail = t * p * exponential(-0.5f * u * u);
  if (!(x < 0.0f)) return x * (1.0f - tail);
  return tail == 0.0f ? -0.0f : x * tail;  // -infinity * 0 would be NaN
}

// --- sine and cosine

// 2 / pi in binary, after 64 zeros.
constant uint two_over_pi[8] = {0u,          0u,          0xa2f9836eu, 0x4e441529u,
                                0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u};

// The 32 binary digits of 2 / pi from `start` on.
inline uint two_over_pi_from(uint start) {
  const uint word = start / 32u;
  const uint shift = start % 32u;
  if (shift == 0u) return two_over_pi[word];
  return two_over_pi[word] << shift | two_over_pi[word + 1u] >> (32u - shift);
}

// (cos x, sin x), each within 2.1 * 2^-24 (absolutely) of the exact one for every finite x: angles
// of positions far beyond any context are no worse than small ones. Otherwise NaN.
inline float2 cos_sin(float x) {
  const uint bits = metal::as_type<uint>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) return float2(NAN);
  float r = metal::as_type<float>(bits);
  uint quadrant = 0u;
  if (r >= 0.5f) {
    // Payne and Hanek: |x| 2 / pi modulo 4 from those digits of 2 / pi that matter, as a fraction
    // of 4 in 64 bits. Its two first bits are the quadrant, rounded to the nearest. |x| is
    // mantissa * 2^(exponent - 31); digits before start would only add multiples of 4.
    const uint mantissa = (bits << 8) | 0x80000000u;
    const uint start = (bits >> 23) - 96u;  // exponent + 31
    const ulong turns =
        (ulong(mantissa) * two_over_pi_from(start) << 32) +
        ulong(mantissa) * two_over_pi_from(start + 32u) +
        ulong(metal::mulhi(mantissa, two_over_pi_from(start + 64u)));
    quadrant = uint((turns + (1ul << 61)) >> 62);
    const ulong rest = turns - (ulong(quadrant) << 62);  // modulo 2^64: in [-2^61, 2^61)
    const float high = float(metal::as_type<int>(uint(rest >> 32)));
    r = metal::fma(float(uint(rest)), 2.168404344971009e-19f, high * 9.313225746154785e-10f) * 1.57079632679489662f;
  }
  // On [-pi/4, pi/4]: sinf and cosf of Cephes.
  const float z = r * r;
  float s = metal::fma(-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = metal::fma(s, z, -1.6666654611e-1f);
  s = metal::fma(s * z, r, r);
  float c = metal::fma(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = metal::fma(c, z, 4.166664568298827e-2f);
  c = metal::fma(c * z, z, metal::fma(-0.5f, z, 1.0f));
  const bool swapped = (quadrant & 1u) != 0u;
  float sine = swapped ? c : s;
  float cosine = swapped ? s : c;
  if (((quadrant & 2u) != 0u) != ((metal::as_type<uint>(x) >> 31) != 0u)) sine = -sine;
  if (((quadrant + 1u) & 2u) != 0u) cosine = -cosine;
  return float2(cosine, sine);
}
