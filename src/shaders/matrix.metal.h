// SPDX-License-Identifier: MIT
// Products of 8 x 8 matrices that several families of kernels share.
#pragma once

#include <metal_simdgroup_matrix>
#include <metal_stdlib>

// top += a00 b0 + a01 b1 and bottom += a10 b0 + a11 b1: a 16 x 16 matrix times a 16 x 8 one. One
// instruction on NVIDIA GPUs, whose tensor cores would idle for half of a single 8 x 8 product.
inline void multiply_accumulate_blocks(thread metal::simdgroup_float8x8& top,
                                       thread metal::simdgroup_float8x8& bottom,
                                       metal::simdgroup_half8x8 a00, metal::simdgroup_half8x8 a01,
                                       metal::simdgroup_half8x8 a10, metal::simdgroup_half8x8 a11,
                                       metal::simdgroup_half8x8 b0, metal::simdgroup_half8x8 b1) {
#ifdef __BITNET_MSLC__
  msl_multiply_accumulate_blocks(top, bottom, a00, a01, a10, a11, b0, b1);
#else
  metal::simdgroup_multiply_accumulate(top, a00, b0, top);
  metal::simdgroup_multiply_accumulate(bottom, a10, b0, bottom);
  metal::simdgroup_multiply_accumulate(top, a01, b1, top);
  metal::simdgroup_multiply_accumulate(bottom, a11, b1, bottom);
#endif
}
