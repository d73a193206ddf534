// SPDX-License-Identifier: MIT
// Copying and filling memory, for devices whose command buffers hold nothing but kernels. One thread
// an element; the last threadgroup may reach past the end.
#include <metal_stdlib>

#include "shaders/shader_types.h"

using namespace metal;

// to[i] = from[i]
template <typename T>
kernel void copy_elements(device const T* from [[buffer(0)]], device T* to [[buffer(1)]],
                          constant CopyParams& p [[buffer(2)]],
                          uint i [[thread_position_in_grid]]) {
  if (i < p.count) to[i] = from[i];
}
template [[host_name("copy_bytes")]] kernel decltype(copy_elements<uchar>) copy_elements<uchar>;
template [[host_name("copy_words")]] kernel decltype(copy_elements<uint4>) copy_elements<uint4>;

// to[i] = value
template <typename T>
kernel void fill_elements(device T* to [[buffer(0)]], constant FillParams& p [[buffer(1)]],
                          uint i [[thread_position_in_grid]]) {
  if (i < p.count) to[i] = T(p.value);
}
template [[host_name("fill_bytes")]] kernel decltype(fill_elements<uchar>) fill_elements<uchar>;
template [[host_name("fill_words")]] kernel decltype(fill_elements<uint4>) fill_elements<uint4>;
