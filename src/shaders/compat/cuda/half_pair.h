// SPDX-License-Identifier: MIT
// Pairs of halves in one instruction. Rounded once, as the detour through float is.
#pragma once

namespace metal {
namespace msl {

template <>
struct Difference<half, 2> {
  static MSL_INLINE half2 of(half2 a, half2 b) {
    uint x;
    uint y;
    __builtin_memcpy(&x, &a, 4);
    __builtin_memcpy(&y, &b, 4);
    asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(x) : "r"(y));
    half2 result;
    __builtin_memcpy(&result, &x, 4);
    return result;
  }
};

}  // namespace msl
}  // namespace metal
