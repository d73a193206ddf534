// SPDX-License-Identifier: MIT
#include <metal_stdlib>
using namespace metal;

template <typename T, int N>
[[kernel, max_total_threads_per_threadgroup(256)]] void scale_by(device T* p [[buffer(0)]],
                                                                 uint i [[thread_position_in_grid]]) {
  p[i] = p[i] * T(N);
}
#define INSTANTIATE(name, T) \
  template [[host_name("scale2_" #name)]] kernel void scale_by<T, 2>(device T*, uint); \
  template [[host_name("scale3_" #name)]] kernel void scale_by<T, 3>(device T*, uint);
INSTANTIATE(f32, float)
INSTANTIATE(f16, half)
INSTANTIATE(i32, int)
#undef INSTANTIATE
