// SPDX-License-Identifier: MIT
// The strict check: C++ for OpenCL, whose address spaces are part of types. Nothing is ever run, so
// functions are declared only.
#pragma once

#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable

#define MSL_STRICT
#define MSL_INLINE inline
#define MSL_GENERIC __generic
#define MSL_DEVICE __global
#define MSL_CONSTANT const __constant
#define MSL_THREADGROUP __local
#define MSL_THREAD __private
#define MSL_PROGRAM_CONSTANT const __constant
#define MSL_DEVICE_FUNCTION
#define MSL_VECTOR_COPY(V)                                    \
  V(const __generic V&) = default;                            \
  V(const __constant V& other);                               \
  __generic V& operator=(const __generic V& other) __generic; \
  __generic V& operator=(const __constant V& other) __generic;

namespace metal {
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef unsigned long uintptr_t;

struct bfloat {
  ushort bits;
  bfloat() = default;
  constexpr bfloat(float) : bits(0) {}
  bfloat(const __generic bfloat&) = default;
  bfloat(const __constant bfloat&);
  operator float() const;
  operator float() const __constant;
  void operator+=(float) __generic;
  void operator-=(float) __generic;
  void operator*=(float) __generic;
  void operator/=(float) __generic;
};
}  // namespace metal
