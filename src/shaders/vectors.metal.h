// SPDX-License-Identifier: MIT
// Four neighbouring elements at a time, wherever they lie.
#pragma once

#include <metal_stdlib>

// Whether every group of four elements that a kernel moves is aligned to its size, which the host
// knows from offsets and extents. Where not, they go one by one; the results are the same.
constant bool aligned_vectors [[function_constant(0)]];

// The first n of four elements, 1 <= n <= 4; zeros behind them. Loops over four elements run to 4
// with a condition: their indices are constants, and the vectors stay in registers.
template <typename T>
inline metal::vec<T, 4> load_vector(device const T* x, uint n) {
  if (n == 4u) {
    if (aligned_vectors) return *reinterpret_cast<device const metal::vec<T, 4>*>(x);
    return metal::vec<T, 4>(x[0], x[1], x[2], x[3]);
  }
  metal::vec<T, 4> values = metal::vec<T, 4>(T(0));
  for (uint e = 0; e < 4u; ++e) {
    if (e < n) values[e] = x[e];
  }
  return values;
}
template <typename T>
inline void store_vector(device T* x, metal::vec<T, 4> values, uint n) {
  if (n == 4u && aligned_vectors) {
    *reinterpret_cast<device metal::vec<T, 4>*>(x) = values;
  } else {
    for (uint e = 0; e < 4u; ++e) {
      if (e < n) x[e] = values[e];
    }
  }
}

// The same in float; rounded once where T is narrower.
template <typename T>
inline metal::float4 load_floats(device const T* x, uint n) {
  return metal::float4(load_vector(x, n));
}
template <typename T>
inline void store_floats(device T* x, metal::float4 values, uint n) {
  store_vector(x, metal::vec<T, 4>(values), n);
}
