// SPDX-License-Identifier: MIT
// Rows of memory four elements at a time. `aligned` says that every quad of the row lies on a
// multiple of its size and is whole (the host knows: kernels::quads_are_aligned); it is the same
// for all threads, and costs a branch that none of them takes alone.
#pragma once

#include <metal_stdlib>

// row[col .. col + 3] as floats, zeros from `cols` on. 4 divides col.
template <typename T>
inline metal::float4 load_quad(device const T* row, uint col, uint cols, bool aligned) {
  if (aligned) return metal::float4(*(device const metal::vec<T, 4>*)(row + col));
  metal::float4 quad = metal::float4(0.0f);
  for (uint i = 0; i < metal::min(4u, cols - col); ++i) quad[i] = float(row[col + i]);
  return quad;
}

// row[col .. col + 3] = quad, as far as the row goes.
template <typename T>
inline void store_quad(device T* row, uint col, uint cols, bool aligned, metal::vec<T, 4> quad) {
  if (aligned) {
    *(device metal::vec<T, 4>*)(row + col) = quad;
    return;
  }
  for (uint i = 0; i < metal::min(4u, cols - col); ++i) row[col + i] = quad[i];
}
