// SPDX-License-Identifier: MIT
// The CPU: address spaces are ordinary memory, functions come from the compiler.
#pragma once

#include "abi.h"

// Metal's char is signed; on Linux and arm64 C's is not.
static_assert(static_cast<char>(-1) < 0, "compile with -fsigned-char");

#define MSL_INLINE inline __attribute__((always_inline))
#define MSL_NO_SANITIZE_THREAD __attribute__((no_sanitize("thread")))
#define MSL_GENERIC
#define MSL_DEVICE
#define MSL_CONSTANT const
#define MSL_THREADGROUP
#define MSL_THREAD
#define MSL_PROGRAM_CONSTANT static const
#define MSL_DEVICE_FUNCTION

#define MSL_LIBM(n) __builtin_##n##f
#define MSL_POPCOUNT(x) static_cast<uint>(__builtin_popcount(x))
#define MSL_CLZ(x) static_cast<uint>(__builtin_clz(x))
#define MSL_CTZ(x) static_cast<uint>(__builtin_ctz(x))
#define MSL_DOT4_U8_I8(u, s, sum) msl::dot4_u8_i8(u, s, sum)
#define MSL_HALF_FROM_FLOAT(x) msl::half_bits(x)
#define MSL_HALF_TO_FLOAT(x) msl::half_value(x)
#define MSL_VECTOR_COPY(V) \
  V(const V&) = default;   \
  V& operator=(const V&) = default;

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
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef unsigned long uintptr_t;

namespace msl {
MSL_INLINE int dot4_u8_i8(uint unsigned_bytes, uint signed_bytes, int sum) {
  for (uint i = 0; i < 32; i += 8) {
    sum += static_cast<int>(unsigned_bytes >> i & 255U) *
           static_cast<signed char>(signed_bytes >> i & 255U);
  }
  return sum;
}
}  // namespace msl
}  // namespace metal
