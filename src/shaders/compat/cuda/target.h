// SPDX-License-Identifier: MIT
// CUDA: a Metal thread is a CUDA thread, a SIMD-group a warp, threadgroup memory __shared__.
#pragma once

#include <cuda_fp16.h>

#define MSL_INLINE __device__ __forceinline__
#define MSL_GENERIC
#define MSL_DEVICE
#define MSL_CONSTANT const
#define MSL_THREADGROUP
#define MSL_THREAD
#define MSL_PROGRAM_CONSTANT static __constant__ const
#define MSL_DEVICE_FUNCTION __device__

#define MSL_LIBM(n) ::n##f
#define MSL_POPCOUNT(x) static_cast<uint>(__popc(x))
#define MSL_CLZ(x) static_cast<uint>(__clz(static_cast<int>(x)))
#define MSL_CTZ(x) static_cast<uint>(__ffs(static_cast<int>(x)) - 1)
#define MSL_DOT4_U8_I8(u, s, sum) msl::dot4_u8_i8(u, s, sum)
// The portable code in constants, one instruction elsewhere.
#define MSL_HALF_FROM_FLOAT(x) \
  (__builtin_is_constant_evaluated() ? msl::half_bits(x) : __half_as_ushort(__float2half_rn(x)))
#define MSL_HALF_TO_FLOAT(x) \
  (__builtin_is_constant_evaluated() ? msl::half_value(x) : __half2float(__ushort_as_half(x)))
// A defaulted copy of char4 or half4 becomes one load per element once its elements are used apart.
#define MSL_VECTOR_COPY(V)                                                   \
  MSL_INLINE V(const V& other) { msl::copy_words<sizeof(V)>(this, &other); } \
  MSL_INLINE V& operator=(const V& other) {                                  \
    msl::copy_words<sizeof(V)>(this, &other);                                \
    return *this;                                                            \
  }

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
static_assert(sizeof(long) == 8, "Metal's long has 64 bits");

namespace msl {
MSL_INLINE int dot4_u8_i8(uint unsigned_bytes, uint signed_bytes, int sum) {
  int result;
  asm("dp4a.u32.s32 %0, %1, %2, %3;"
      : "=r"(result)
      : "r"(unsigned_bytes), "r"(signed_bytes), "r"(sum));
  return result;
}

template <int kBytes>
MSL_INLINE void copy_words(void* to, const void* from) {
  if constexpr (kBytes % 16 == 0) {
    for (int i = 0; i < kBytes / 16; ++i) {
      static_cast<::uint4*>(to)[i] = static_cast<const ::uint4*>(from)[i];
    }
  } else if constexpr (kBytes == 8) {
    *static_cast<::uint2*>(to) = *static_cast<const ::uint2*>(from);
  } else if constexpr (kBytes == 4) {
    *static_cast<unsigned*>(to) = *static_cast<const unsigned*>(from);
  } else {
    static_assert(kBytes == 2, "a vector has 2, 4, 8 or a multiple of 16 bytes");
    *static_cast<unsigned short*>(to) = *static_cast<const unsigned short*>(from);
  }
}
}  // namespace msl
}  // namespace metal
