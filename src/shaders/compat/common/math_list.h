// SPDX-License-Identifier: MIT
// Names shared by the definitions (math.h) and the strict check's declarations.
#pragma once

// clang-format never settles on a layout of these lists.
// clang-format off

// One and two float arguments, as in the C library.
#define MSL_UNARY_FUNCTIONS(X)                                                                \
  X(acos)                                                                                     \
  X(acosh) X(asin) X(asinh) X(atan) X(atanh) X(ceil) X(cos) X(cosh) X(exp) X(exp2) X(fabs)    \
      X(floor) X(log) X(log10) X(log2) X(rint) X(round) X(sin) X(sinh) X(sqrt) X(tan) X(tanh) \
          X(trunc)
#define MSL_BINARY_FUNCTIONS(X) X(atan2) X(copysign) X(fdim) X(fmax) X(fmin) X(fmod) X(pow)
// Metal's own.
#define MSL_METAL_UNARY_FUNCTIONS(X) \
  X(cospi) X(exp10) X(fract) X(rsqrt) X(saturate) X(sign) X(sinpi) X(tanpi)
#define MSL_METAL_BINARY_FUNCTIONS(X) X(divide) X(powr) X(step)
#define MSL_INTEGER_TYPES(X) X(char) X(uchar) X(short) X(ushort) X(int) X(uint) X(long) X(ulong)
#define MSL_FLOAT_TYPES(X) X(half) X(bfloat) X(float)
// clang-format on
