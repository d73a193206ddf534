// SPDX-License-Identifier: MIT
// Functions that several families of kernels share.
#pragma once

#include <metal_stdlib>

#include "shaders/shader_types.h"

// sum + the products of four unsigned and four signed bytes. One instruction on NVIDIA GPUs, where
// the compiler does not find it by itself.
inline int dot4_u8_i8(uint unsigned_bytes, uint signed_bytes, int sum) {
#ifdef __BITNET_MSLC__
  return msl_dot4_u8_i8(unsigned_bytes, signed_bytes, sum);
#else
  const metal::uchar4 u = metal::as_type<metal::uchar4>(unsigned_bytes);
  const metal::char4 s = metal::as_type<metal::char4>(signed_bytes);
  return sum + int(u.x) * int(s.x) + int(u.y) * int(s.y) + int(u.z) * int(s.z) +
         int(u.w) * int(s.w);
#endif
}

// Records bad input in the four words of a Fault, which the host binds with kernels::faults() and
// reads when the command buffer has run. The kernel goes on, touching nothing out of range.
inline void report_fault(device metal::atomic_uint* fault, uint kind, int value, uint limit) {
  if (metal::atomic_exchange_explicit(&fault[0], 1u, metal::memory_order_relaxed) != 0u) return;
  metal::atomic_store_explicit(&fault[1], kind, metal::memory_order_relaxed);
  metal::atomic_store_explicit(&fault[2], metal::as_type<uint>(value), metal::memory_order_relaxed);
  metal::atomic_store_explicit(&fault[3], limit, metal::memory_order_relaxed);
}

// Not-a-number by its bits: `x != x` may be folded away where fast math is on.
inline bool is_nan(float x) { return (metal::as_type<uint>(x) & 0x7fffffffu) > 0x7f800000u; }
